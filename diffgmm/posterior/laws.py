"""Log densities and draws of the laws that a prior is made of, over any leading axes.

The shape c and the scale or rate C are those of `Prior`: invwishart(df=2 c, scale=2 C) and
wishart(df=2 c, scale=(2 C)^-1) in scipy's conventions, for one feature invgamma(a=c, scale=C) and
gamma(a=c, scale=1 / C).
"""

import math

import numpy as np

from ..covariance import LOG_2PI
from ..kernels import draws

# Log weights must be finite.
SMALLEST_WEIGHT = 1e-300


def log_dirichlet(weights: np.ndarray, concentrations: np.ndarray) -> np.ndarray:
    """Return the log density of weights (..., K), as one of the first K - 1 of them."""
    constant = math.lgamma(concentrations.sum()) - sum(map(math.lgamma, concentrations))
    return constant + np.log(np.maximum(weights, SMALLEST_WEIGHT)) @ (concentrations - 1.0)


def log_normal(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return the log density of x (..., D)."""
    root = np.linalg.cholesky(covariance)
    white = (x - mean) @ np.linalg.inv(root).T
    constant = np.log(np.diag(root)).sum() + 0.5 * len(mean) * LOG_2PI
    return -0.5 * np.square(white).sum(axis=-1) - constant


def log_inverse_wishart(x: np.ndarray, c: float, scale: np.ndarray) -> np.ndarray:
    """Return the log density of positive definite x (..., D, D), for scales C (D, D) or (..., D, D)."""
    d = x.shape[-1]
    if d == 1:  # the same, without matrices
        return log_inverse_gamma(x[..., 0, 0], c, scale[..., 0, 0])
    factors, log_determinants = np.empty(x.shape), np.empty(x.shape[:-2])
    square = (-1, d, d)
    matrices = np.ascontiguousarray(x, float).reshape(square)
    draws.whiten(matrices, np.inf, factors.reshape(square), log_determinants.reshape(-1))
    # tr C X^-1 = sum of the entries of (W C) * W for W'W = X^-1.
    trace = np.einsum("...ab,...ab->...", factors @ scale, factors)
    constant = c * np.linalg.slogdet(scale)[1] - _log_multigamma(c, d)
    return constant - (c + 0.5 * (d + 1)) * log_determinants - trace


def log_wishart(x: np.ndarray, c: float, rate: np.ndarray) -> np.ndarray:
    """Return the log density of matrices x (..., D, D), for a rate C (D, D)."""
    d = x.shape[-1]
    trace = np.einsum("ab,...ab->...", rate, x)
    constant = c * np.linalg.slogdet(rate)[1] - _log_multigamma(c, d)
    return constant + (c - 0.5 * (d + 1)) * np.linalg.slogdet(x)[1] - trace


def log_inverse_gamma(x: np.ndarray, c: float, scale: np.ndarray) -> np.ndarray:
    """Return the log density of each number x, for scales C that broadcast with it."""
    return c * np.log(scale) - math.lgamma(c) - (c + 1.0) * np.log(x) - scale / x


def log_gamma(x: np.ndarray, c: float, rate: np.ndarray) -> np.ndarray:
    """Return the log density of each number x, for rates C that broadcast with it."""
    return c * np.log(rate) - math.lgamma(c) + (c - 1.0) * np.log(x) - rate * x


def filled_components(concentrations: np.ndarray, n: int) -> np.ndarray:
    """Return the probabilities (K + 1,) that 0, ..., K components have one of n rows.

    Polya's urn: after i rows a component without rows and with concentration e gets the next one
    with probability e / (i + sum of concentrations). The state is how many components of each
    distinct concentration are filled.
    """
    values, sizes = np.unique(concentrations, return_counts=True)
    shape = tuple((sizes + 1).tolist())
    counts, states = np.indices(shape), np.zeros(shape)
    states.flat[0] = 1.0
    empty = [(size - own) * value for size, own, value in zip(sizes, counts, values, strict=True)]
    total = concentrations.sum()
    for i in range(n):
        moved = [states * (own / (total + i)) for own in empty]
        states = states - sum(moved)
        for axis, own in enumerate(moved):
            # The last entry along this axis has no empty component: nothing wraps around.
            states = states + np.roll(own, 1, axis=axis)
    filled = counts.sum(axis=0).ravel()
    return np.bincount(filled, weights=states.ravel(), minlength=len(concentrations) + 1)


def draw_dirichlet(concentrations: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n draws of weights, shape (n, K)."""
    return np.maximum(rng.dirichlet(concentrations, size=n), SMALLEST_WEIGHT)


def draw_normal(
    mean: np.ndarray, covariance: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray:
    """Return draws of shape (*shape, D)."""
    normals = rng.standard_normal((*shape, len(mean)))
    return mean + normals @ np.linalg.cholesky(covariance).T


def draw_inverse_wishart(c: float, scales: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return one draw for each scale C (..., D, D)."""
    roots = np.linalg.inv(_whitening_factors(c, scales, rng))
    return roots @ np.swapaxes(roots, -1, -2)


def draw_wishart(c: float, rate: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n draws (n, D, D): the inverses of inverse Wishart draws with the rate as scale."""
    factors = _whitening_factors(c, np.tile(rate, (n, 1, 1)), rng)
    return np.swapaxes(factors, -1, -2) @ factors


def draw_inverse_gamma(c: float, scales: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return one draw for each scale C."""
    return scales / rng.standard_gamma(c, size=np.shape(scales))


def draw_gamma(c: float, rates: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return one draw for each rate C."""
    return rng.standard_gamma(c, size=np.shape(rates)) / rates


def _log_multigamma(a: float, d: int) -> float:
    """Return the logarithm of the multivariate gamma function."""
    return 0.25 * d * (d - 1) * math.log(math.pi) + sum(math.lgamma(a - 0.5 * j) for j in range(d))


def _whitening_factors(c: float, scales: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return whitening factors (..., D, D) of inverse Wishart draws, lower triangular.

    As `kernels.conjugate.draw_whitening`: T L^-1 with 2 C = L L' and T'T ~ wishart(2 c, I).
    """
    d = scales.shape[-1]
    bartlett = np.tril(rng.standard_normal(scales.shape), -1)
    shape = c - 0.5 * (d - 1) + 0.5 * np.arange(d)
    diagonal = np.sqrt(2.0 * rng.standard_gamma(shape, size=scales.shape[:-1]))
    bartlett[..., np.arange(d), np.arange(d)] = diagonal
    return bartlett @ np.linalg.inv(np.linalg.cholesky(2.0 * scales))
