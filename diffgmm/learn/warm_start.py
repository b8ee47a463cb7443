"""Warm starts: a cover of the data by more components than asked for.

Gatmiry, Kelner and Lee (arXiv:2404.18869) start each noise level from O(K log(1 / smallest weight))
centres that leave no component uncovered; K centres cannot promise that.
"""

import numpy as np

from .em import Parameters, Problem, Shrinkage

# Smallest variance of a cover's components, in the units of the scaled data.
SMALLEST_VARIANCE = 1e-6


def spread_centres(
    points: np.ndarray, weights: np.ndarray, n_centres: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return `n_centres` points by k-means++ and every point's squared distance to the nearest.

    Parameters
    ----------
    points : ndarray, shape (N, D)
        Standardised rows.
    weights : ndarray, shape (N,) or (0,)
        Row weights, or none.
    n_centres : int
    rng : Generator

    Returns
    -------
    index : ndarray, shape (n_centres,)
    distance : ndarray, shape (N,)

    References
    ----------
    Arthur, Vassilvitskii (2007), k-means++.
    """
    n = len(points)
    norms = np.einsum("nd,nd->n", points, points)
    mass = weights if weights.size else np.ones(n)
    chosen: list[int] = []
    distance = np.full(n, np.inf)
    chances = mass
    while len(chosen) < n_centres:
        cumulative = np.cumsum(chances)
        if not cumulative[-1] > 0.0:  # every row that counts is a centre already
            cumulative = np.cumsum(mass)
        target = rng.random() * cumulative[-1]
        index = min(int(np.searchsorted(cumulative, target, side="right")), n - 1)
        chosen.append(index)
        new = norms - 2.0 * (points @ points[index]) + norms[index]
        distance = np.minimum(distance, np.maximum(new, 0.0))
        chances = mass * distance
    return np.array(chosen), distance


def cover(
    problem: Problem, n_centres: int, rng: np.random.Generator
) -> tuple[Parameters, Shrinkage]:
    """Return `n_centres` equal round components at k-means++ centres, and what to shrink to.

    Parameters
    ----------
    problem : Problem
        Of standardised, contiguous rows.
    n_centres : int
        At most the number of rows is used.
    rng : Generator
    """
    points = problem.rows.values
    n_features = points.shape[1]
    n_centres = min(n_centres, len(points))
    index, distance = spread_centres(points, problem.rows.weights, n_centres, rng)
    weights = problem.rows.weights
    spread = np.average(distance, weights=weights if weights.size else None)
    variance = max(spread / n_features, SMALLEST_VARIANCE)
    round_one = variance * np.eye(n_features)
    covariances = problem.family.from_full(
        np.broadcast_to(round_one, (n_centres, n_features, n_features))
    )
    start = Parameters(np.full(n_centres, 1.0 / n_centres), points[index].copy(), covariances)
    return start, Shrinkage(covariances[0], n_features + 2.0)
