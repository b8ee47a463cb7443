"""Noise levels: which ones the residual is fitted at, and which ones the sampler visits."""

import numpy as np

# Highest level, in standard deviations of the data. EM matches the data's mean and covariance, and
# above two standard deviations of noise nothing else is left to see.
SIGMA_MAX = 2.0

# Lowest level, as a share of the smallest standard deviation of any component: the residual shifts
# a draw by about sigma times a bounded polynomial, and below this it hardly moves anything.
LOWEST_SHARE = 0.3

# Most levels, and so most score evaluations of a draw.
MAX_LEVELS = 10

# Ratio of neighbouring levels, as near above it as fits between highest and lowest; smaller where
# MAX_LEVELS would not do, but not below the limit: one collapsed component must not thin out the
# levels of all others.
RATIO = 0.65
SMALLEST_RATIO = 0.5


def noise_levels(eigenvalues: np.ndarray) -> np.ndarray:
    """Return decreasing noise levels, geometric, in standardised units.

    Parameters
    ----------
    eigenvalues : ndarray, shape (K, D)
        Of the components' covariances.
    """
    lowest = LOWEST_SHARE * float(np.sqrt(eigenvalues.min()))
    lowest = max(lowest, SIGMA_MAX * SMALLEST_RATIO ** (MAX_LEVELS - 1))
    lowest = min(lowest, 0.5 * SIGMA_MAX)
    steps = np.log(lowest / SIGMA_MAX) / np.log(RATIO)
    n_levels = min(MAX_LEVELS, int(np.ceil(steps)) + 1)
    return np.geomspace(SIGMA_MAX, lowest, n_levels)


def visited_levels(sigmas: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Return the decreasing levels that a draw steps down from; the last step ends at 0.

    Parameters
    ----------
    sigmas : ndarray, shape (L,)
        The residual's levels.
    active : ndarray, shape (L,)
        Whether a level has any residual.

    Notes
    -----
    Where there is no residual the reverse kernel is exact for any step, so draws start at the
    highest active level, from the noised mixture itself, and visit only active levels and the
    level below each of them, where its residual stops acting. A silent model takes one step from 1.
    """
    if not active.any():
        return np.array([1.0])
    stops = np.concatenate([[False], active[:-1]])
    return sigmas[active | stops]
