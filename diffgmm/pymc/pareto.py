"""The shape of the tail of importance ratios."""

import numpy as np

# At least so many ratios make a tail.
FEWEST = 5


def pareto_k(log_ratios: np.ndarray) -> float:
    """Return the shape k of a generalised Pareto distribution fitted to the largest ratios.

    Ratios of moments up to order 1 / k have finite means; estimates are good for k < 0.7.

    Parameters
    ----------
    log_ratios : ndarray, shape (S,)
        Of independent draws; -inf counts as a ratio of 0.

    References
    ----------
    Zhang, Stephens (2009), doi:10.1198/tech.2009.08017; Vehtari, Simpson, Gelman, Yao, Gabry
    (2024), arXiv:1507.02646, equations 8 to 10: 0.2 S or 3 sqrt(S) ratios, k shrunk to 0.5 with the
    weight of ten.
    """
    n = len(log_ratios)
    size = int(min(0.2 * n, 3.0 * np.sqrt(n)))
    ordered = np.sort(log_ratios)
    if size < FEWEST or not np.isfinite(ordered[-1]):
        return np.inf
    cut = ordered[-size - 1]
    tail = np.exp(ordered[-size:] - ordered[-1]) - np.exp(cut - ordered[-1])
    if tail[0] <= 0.0 and tail[-1] <= 1e-12:  # all alike: no tail
        return -np.inf
    tail = np.maximum(tail, 1e-300)
    n_grid = 30 + int(np.sqrt(size))
    quarter = tail[int(size / 4 + 0.5) - 1]
    grid = 1.0 / tail[-1] + (1.0 - np.sqrt(n_grid / (np.arange(1, n_grid + 1) - 0.5))) / (
        3.0 * quarter
    )
    shapes = np.log1p(-grid[:, None] * tail).mean(axis=1)
    profile = size * (np.log(-grid / shapes) - shapes - 1.0)
    weights = np.exp(profile - np.logaddexp.reduce(profile))
    shape = np.log1p(-(weights @ grid) * tail).mean()
    return float((shape * size + 5.0) / (size + 10.0))
