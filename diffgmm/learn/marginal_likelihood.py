"""What a candidate is worth: its marginal likelihood, under a prior that the candidate itself suggests.

Log likelihood prefers components that close in on a few rows, and so does whatever only counts
parameters. The marginal likelihood also asks how much of the prior's space fits as well: a component
unlike all others has to earn its shape. How alike components are is not known beforehand, so it is
estimated with the rest (empirical Bayes): covariances are drawn to the one within components as
strongly as makes the rows most probable.

Up to a constant shared by all candidates with as many components.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..covariance import Family
from ..matrices import inverse_cholesky

# Fewer rows than this are no rows: logarithms stay finite.
SMALLEST_COUNT = 1e-8

# Prior rows beyond the fewest with which a prior covariance has a mean; the last ones make all
# covariances equal.
PRIOR_ROWS = tuple(2.0**power for power in range(11))


class Prior(NamedTuple):
    """A normal-inverse-Wishart prior of means and covariances.

    centre : (D,) expected mean.   mean_rows : how many rows the centre counts for.
    covariance : expected covariance, one entry (1, ...) of the family's shape.
    n_rows : how many rows it counts for, beyond the fewest.
    """

    centre: np.ndarray
    mean_rows: float
    covariance: np.ndarray
    n_rows: float


def prior_of(
    family: Family, counts: np.ndarray, means: np.ndarray, covariances: np.ndarray
) -> Prior:
    """Return the prior under which the components of a candidate are most probable.

    Parameters
    ----------
    family : Family
    counts : ndarray, shape (K,)
        Rows of each component.
    means, covariances : ndarray
        Means (K, D) and covariances in the family's shape.

    Notes
    -----
    The centre is the mean of all rows, the covariance that within components, and means spread
    around the centre as far beyond the components' own width as they do here.
    """
    return _suggest(family, counts, means, covariances)[0]


def occam_factors(
    family: Family, counts: np.ndarray, means: np.ndarray, covariances: np.ndarray, prior: Prior
) -> np.ndarray:
    """Return by how much the best parameters overrate each component, (K,), in nats.

    Log likelihood minus their sum approximates the log marginal likelihood: exactly what it would be
    if the rows came with shares in components (Cheeseman, Stutz).

    References
    ----------
    Cheeseman, Stutz (1996), Bayesian classification (AutoClass), equation 8; Chickering, Heckerman
    (1997), Machine Learning 29, section 2.4.
    """
    if family.is_shared:
        costs = _step_costs(family, counts, means, covariances, prior)
    else:
        rows = (prior.n_rows,)
        costs = _covariance_costs(family, counts, means, covariances, prior, rows)[0]
    return _counts_and_means(counts, means.shape[1], prior) + costs


def own_occam_factors(
    family: Family, counts: np.ndarray, means: np.ndarray, covariances: np.ndarray
) -> np.ndarray:
    """Return `occam_factors` under `prior_of` the same components, (K,), in one go."""
    prior, costs = _suggest(family, counts, means, covariances)
    return _counts_and_means(counts, means.shape[1], prior) + costs


def _suggest(
    family: Family, counts: np.ndarray, means: np.ndarray, covariances: np.ndarray
) -> tuple[Prior, np.ndarray]:
    """Return the prior that components suggest, and what its covariances cost, (K,)."""
    shares = counts / counts.sum()
    centre = shares @ means
    within = (shares @ covariances.reshape(len(shares), -1)).reshape(1, *covariances.shape[1:])
    inside = family.as_full(within, means.shape[1])[0].diagonal()
    between = shares @ np.square(means - centre)
    prior = Prior(centre, float((inside / (inside + between)).mean()), within, np.inf)
    if family.is_shared:
        return prior, _step_costs(family, counts, means, covariances, prior)
    costs = _covariance_costs(family, counts, means, covariances, prior, PRIOR_ROWS)
    best = int(costs.sum(axis=1).argmin())
    return prior._replace(n_rows=PRIOR_ROWS[best]), costs[best]


def _counts_and_means(counts: np.ndarray, n_features: int, prior: Prior) -> np.ndarray:
    """Return the part of the Occam factors that counts and the width of means have, (K,)."""
    from scipy.special import gammaln

    counts = np.maximum(counts, SMALLEST_COUNT)
    shares = counts * np.log(counts) - gammaln(counts + 1.0)
    return shares + 0.5 * n_features * np.log1p(counts / prior.mean_rows)


def _step_costs(
    family: Family, counts: np.ndarray, means: np.ndarray, covariances: np.ndarray, prior: Prior
) -> np.ndarray:
    """Return the Occam factors of means' steps from the centre, (K,), where covariances are shared."""
    counts = np.maximum(counts, SMALLEST_COUNT)
    factors, _ = family.factors(covariances, means.shape[1])
    steps = means - prior.centre
    if factors.ndim == 3:
        white = np.einsum("kab,kb->ka", factors, steps)
    else:
        white = factors.reshape(len(factors), -1) * steps
    pull = prior.mean_rows * counts / (prior.mean_rows + counts)
    return 0.5 * pull * np.square(white).sum(axis=1)


def _covariance_costs(
    family: Family,
    counts: np.ndarray,
    means: np.ndarray,
    covariances: np.ndarray,
    prior: Prior,
    prior_rows: tuple[float, ...],
) -> np.ndarray:
    """Return the Occam factors of covariances for every number of prior rows, shape (P, K).

    Equation: -n/2 (log|S| + b log 2e) + log G(v/2) - log G((v + n)/2) - v/2 log|a C| + (v + n)/2
    log|a C + n S + n m / (n + m) d d'| relative to the prior covariance C, with m prior rows of the
    mean, d its step from the centre, v = a + b + 1 and G the gamma function of b x b matrices. A
    matrix is one block (b = D), variances are blocks of their own, a spherical one has n D rows.
    """
    counts = np.maximum(counts, SMALLEST_COUNT)
    pull = prior.mean_rows / (prior.mean_rows + counts)
    shape = (-1, *[1] * (covariances.ndim - 1))
    spread = family.spread(means - prior.centre)
    both = np.concatenate([covariances, covariances + pull.reshape(shape) * spread])
    n = counts[:, None]
    if covariances.ndim == 3:  # (2 K, blocks, b): as they are, and with the pull on the mean
        root = inverse_cholesky(prior.covariance)[0]
        both = np.linalg.eigvalsh(root @ both @ root.swapaxes(1, 2))[:, None]
    else:
        both = (both / prior.covariance).reshape(len(both), -1, 1)
        n = n * means.shape[1] if covariances.ndim == 1 else n
    own, drawn = both[: len(counts)], both[len(counts) :]
    b = own.shape[2]
    a, v, of_prior = _of_prior_rows(prior_rows, b)
    scatter = np.log(a[..., None] + n[..., None] * drawn).sum(axis=-1)
    log_own = np.log(np.maximum(own, np.finfo(float).tiny)).sum(axis=-1)
    costs = (
        of_prior
        - 0.5 * n * (log_own + b * np.log(2.0 * np.e))
        - _log_gamma(0.5 * (v + n), b)
        + 0.5 * (v + n) * scatter
    )
    return costs.sum(axis=-1)


@lru_cache
def _of_prior_rows(
    prior_rows: tuple[float, ...], b: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a, v and log G(v/2) - v/2 log|a| of `_covariance_costs`, shape (P, 1, 1) each."""
    a = np.array(prior_rows)[:, None, None]
    v = a + b + 1.0
    return a, v, _log_gamma(0.5 * v, b) - 0.5 * v * b * np.log(a)


def _log_gamma(x: np.ndarray, b: int) -> np.ndarray:
    """Return the log gamma function of b x b matrices up to a constant; SciPy's loops in Python."""
    from scipy.special import gammaln

    return gammaln(x[..., None] - 0.5 * np.arange(b)).sum(axis=-1)
