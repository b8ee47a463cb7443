"""Warm starts: a few centres whose balls cover the denoised rows (Algorithm 2)."""

import numpy as np

# Rows that are denoised and covered. The smallest share that a cell may have, 1 %, is 10 of them.
COVER_ROWS = 1_000


def greedy_cover(points: np.ndarray, radius: float, most: int, least: int) -> np.ndarray:
    """Return the numbers of points whose balls cover all points, the fullest ball first.

    Parameters
    ----------
    points : ndarray, shape (M, D)
    radius : float
        Of the balls, in the units of the points.
    most : int
        Largest number of balls; points left over stay uncovered.
    least : int
        Points that a ball must newly cover to be taken, the first excepted.

    Returns
    -------
    ndarray of int, shape (J,)
        1 <= J <= most.

    References
    ----------
    Gatmiry, Kelner, Lee (2025), arXiv:2404.18869, Algorithm 2.
    """
    points = points - points.mean(axis=0)
    squares = np.square(points).sum(axis=1)
    distances = squares[:, None] - 2.0 * (points @ points.T) + squares
    # Rounding must not cut a point off from itself.
    inside = distances <= radius**2 + 1e-12 * (squares[:, None] + squares)
    uncovered = np.ones(len(points), bool)
    chosen: list[int] = []
    while len(chosen) < most and uncovered.any():
        gains = inside @ uncovered.astype(np.float32)
        best = int(np.argmax(gains))
        if chosen and gains[best] < least:
            break
        chosen.append(best)
        uncovered &= ~inside[best]
    return np.array(chosen)
