"""Bands that the empirical distribution function of uniform numbers leaves seldom anywhere."""

import numpy as np

N_SIMULATIONS = 2000


def simultaneous_band(n: int, points: np.ndarray, probability: float) -> tuple[np.ndarray, ...]:
    """Return ends that hold the empirical CDF of n uniform numbers at all points together.

    Parameters
    ----------
    n : int
        Number of independent uniform numbers.
    points : ndarray, shape (Z,)
        Increasing, between 0 and 1.
    probability : float
        That no point is outside, by simulation: 2,000 sets, always the same.

    Returns
    -------
    low, high : ndarray, shape (Z,)
        Shares of the numbers.

    References
    ----------
    Säilynoja, Bürkner, Vehtari (2022), doi:10.1007/s11222-022-10090-6, algorithm 1.
    """
    from scipy.stats import binom

    rng = np.random.default_rng(0)
    steps = np.diff(points, prepend=0.0, append=1.0)
    counts = rng.multinomial(n, steps, size=N_SIMULATIONS)[:, :-1].cumsum(axis=1)
    # How extreme each simulated set is at its most extreme point.
    below, above = binom.cdf(counts, n, points), binom.sf(counts - 1, n, points)
    extreme = 2.0 * np.minimum(below, above).min(axis=1)
    gamma = float(np.quantile(extreme, 1.0 - probability))
    low, high = binom.ppf([[0.5 * gamma], [1.0 - 0.5 * gamma]], n, points) / n
    return low, high
