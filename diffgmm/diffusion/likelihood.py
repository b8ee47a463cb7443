"""Log density of a score model, by the likelihood identity: a second estimator without divergence."""

import itertools
from typing import Any

import numpy as np

from .._seeding import Seed, seed_sequence
from ..arguments import check_count
from ..data import Data
from .density import borders, soft_score
from .samplers.standardised import StandardisedScore, highest_level, mixture_at

# Nodes of the integral per unit of log(variance), in each piece between two levels 2 more.
NODES_PER_UNIT = 4

# Rows times noise per evaluation.
ROWS_AT_ONCE = 16_384

# Independent scramblings of the noise, from which the standard error comes.
REPLICATES = 8


def log_density_by_denoising(
    model: Any,
    x: Any,
    *,
    n_noise: int = 1024,
    control_variate: bool = True,
    random_seed: Seed = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the log density at rows `x` by the likelihood identity, and its standard error.

    log p(x) = E log p_T(x + sqrt(T) xi) - 1/2 int_0^T (E|D_t(x + sqrt(t) xi) - x|^2 / t^2 - D / t) dt
    when D_t is the exact denoiser of p. Of a learned denoiser the right side is a lower bound of the
    log density of the continuous reverse SDE that it drives: not normalised, and below that density
    by as much as the score is wrong. No divergence is needed.

    Parameters
    ----------
    model : ScoreModel
    x : array-like, shape (N, D)
        In the user's units.
    n_noise : int, default 1024
        Points of noise xi at every level, the same ones for all rows, in antithetic pairs.
    control_variate : bool, default True
        Estimate the difference from the mixture's own identity, whose left side is known. The
        error is then that of the residual alone, and 0 where it is silent.
    random_seed : int, sequence of int, Generator or None

    Returns
    -------
    log_density : ndarray, shape (N,)
        In nats.
    standard_error : ndarray, shape (N,)
        Of the noise; over 8 independent scramblings of a Sobol sequence.

    References
    ----------
    Chewi, Kalavasis, Mehrotra, Montasser (2025), arXiv:2504.05161, Lemma 1; as a bound: Song,
    Durkan, Murray, Ermon (2021), arXiv:2101.09258, theorem 3.
    """
    data = Data.of(x, feature_names=model.feature_names)
    z = (data.values - model.shift) / model.scale
    n_noise = check_count("n_noise", n_noise)
    score, replicates = soft_score(model, "log_density_by_denoising"), []
    for sequence in seed_sequence(random_seed).spawn(REPLICATES):
        noise = _normal_points(-(-n_noise // (2 * REPLICATES)), z.shape[1], sequence)
        replicates.append(_identity(score, z, noise, control_variate))
    values = np.array(replicates)
    error = values.std(axis=0, ddof=1) / np.sqrt(REPLICATES)
    return values.mean(axis=0) - np.log(model.scale).sum(), error


def _normal_points(n: int, d: int, sequence: np.random.SeedSequence) -> np.ndarray:
    """Return at least n scrambled Sobol points of a standard normal law, (M, D).

    With their negatives they have mean 0 and, after a linear map, covariance I to the last bit: the
    identity is then exact for one Gaussian, and has a hundredth of the error for many mixtures.
    """
    from scipy.special import ndtri
    from scipy.stats import qmc

    points = qmc.Sobol(d, seed=np.random.default_rng(sequence)).random_base2(
        int(np.ceil(np.log2(max(n, 2 * d))))
    )
    normal = ndtri(np.clip(points, 1e-15, 1.0 - 1e-15))
    root = np.linalg.cholesky(normal.T @ normal / len(normal))
    return np.linalg.solve(root, normal.T).T


def _identity(
    score: StandardisedScore, z: np.ndarray, noise: np.ndarray, control_variate: bool
) -> np.ndarray:
    """Return the right side of the identity for standardised rows (N, D) and noise (M, D): (N,)."""
    floor, out = float(score.start.values.min()), np.empty(len(z))
    nodes, lengths = _gauss_legendre(borders(score, floor))
    both = np.concatenate([noise, -noise])
    top, size = highest_level(score.model), max(1, ROWS_AT_ONCE // len(both))
    law = mixture_at(score.model, 0.0 if control_variate else top)
    for first in range(0, len(z), size):
        rows = z[first : first + size]
        if control_variate:
            result = law.log_density(rows)
        else:
            result = law.log_density(_noised(rows, top * both)).reshape(len(rows), -1).mean(axis=1)
        for clock, length in zip(nodes, lengths):
            sigma = np.sqrt(np.exp(clock) - floor)
            term = _integrand(score, rows, both, sigma, control_variate)
            result -= 0.5 * length * np.exp(clock) * term
        out[first : first + size] = result
    return out


def _noised(rows: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return every row (N, D) with every noise (M, D) added, (N * M, D)."""
    return (rows[:, None, :] + noise).reshape(-1, rows.shape[1])


def _integrand(
    score: StandardisedScore, rows: np.ndarray, noise: np.ndarray, sigma: float, control: bool
) -> np.ndarray:
    """Return E|D_t(y) - x|^2 / t^2 - D / t, or what it has beyond the mixture's, of rows (N, D): (N,).

    With D_t(y) - x = sigma xi + sigma^2 s(y) it is E[2 xi' s / sigma + |s|^2], and the pair xi, -xi
    keeps it finite at sigma = 0. With s = m + r, the mixture's score and the residual, the
    mixture's part of it is left out: E[2 xi' r / sigma + (2 m + r)' r].
    """
    y = _noised(rows, sigma * noise)
    own = score.score(y, sigma)
    part = own
    if control:
        part = score.model.residual(y, sigma)
        own = 2.0 * own - part
    own, part = (each.reshape(len(rows), *noise.shape) for each in (own, part))
    return np.sum((2.0 / sigma * noise + own) * part, axis=2).mean(axis=1)


def _gauss_legendre(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights for integrals over the whole range, piece by piece."""
    nodes, weights = [], []
    for start, stop in itertools.pairwise(edges):
        count = 2 + int(np.ceil(NODES_PER_UNIT * (stop - start)))
        unit, share = np.polynomial.legendre.leggauss(count)
        half = 0.5 * (stop - start)
        nodes.append(start + half * (1.0 + unit))
        weights.append(half * share)
    return np.concatenate(nodes), np.concatenate(weights)
