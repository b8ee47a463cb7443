"""How wide one component is, before there are components: the noise of a k-means cluster."""

import numpy as np

from ...data import Data
from ...mixture import GaussianMixture
from .cells import nearest_centres

# Rows that are clustered, and passes over them: only a scale is wanted.
ROWS, PASSES = 2_000, 10

# Clusters when the number of components is not known, at least so many rows each.
CLUSTERS, ROWS_PER_CLUSTER = 8, 20

# Smallest value, in standard deviations of the data: a component that has collapsed onto a point or
# a plane must not ask for a hundred noise levels.
SMALLEST = 0.01


def estimate_noise_scale(
    data: Data, scale: np.ndarray, n_clusters: int | None, rng: np.random.Generator
) -> float:
    """Return the smallest standard deviation, in any direction, of rows around cluster centres.

    Parameters
    ----------
    data : Data
        Rows (N, D).
    scale : ndarray, shape (D,)
        The unit of the result in the units of the data.
    n_clusters : int or None
    rng : Generator

    Notes
    -----
    k-means on at most 2,000 rows; the covariance around the centres is pooled over clusters.
    """
    n = data.n_rows
    if n_clusters is None:
        n_clusters = min(CLUSTERS, n // ROWS_PER_CLUSTER)
    rows = np.sort(rng.choice(n, min(n, ROWS), replace=False))
    x = (data.values[rows] - data.means) / scale
    residuals, n_filled = _cluster(x, max(1, min(n_clusters, len(x) // 2)), rng)
    covariance = residuals.T @ residuals / max(len(x) - n_filled, 1)
    return _floored(float(np.linalg.eigvalsh(covariance)[0]), data.scales / scale)


def noise_scale_of(mixture: GaussianMixture, data: Data, scale: np.ndarray) -> float:
    """Return the smallest standard deviation, in any direction, of the components on average.

    The mean over components, by weight, of the smallest variance; in units of `scale` (D,).
    """
    smallest = np.linalg.eigvalsh(mixture.covariances / (scale[:, None] * scale))[:, 0]
    return _floored(float(mixture.weights @ smallest), data.scales / scale)


def _floored(variance: float, spread: np.ndarray) -> float:
    """Return the standard deviation, within limits given by those of the data (D,)."""
    deviation = np.sqrt(max(variance, 0.0))
    return float(np.clip(deviation, SMALLEST * np.sqrt(np.mean(spread**2)), spread.max()))


def _cluster(x: np.ndarray, k: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Return rows (M, D) minus the means of their clusters, and how many clusters have rows."""
    centres = x[rng.integers(len(x))][None]
    nearest = np.square(x - centres[0]).sum(axis=1)
    while len(centres) < k:  # k-means++
        total = nearest.sum()
        if total <= 0.0:
            break
        new = x[rng.choice(len(x), p=nearest / total)]
        centres = np.vstack([centres, new])
        nearest = np.minimum(nearest, np.square(x - new).sum(axis=1))
    labels = nearest_centres(x, centres)
    for _ in range(PASSES):
        counts = np.bincount(labels, minlength=len(centres))
        filled = counts > 0
        sums = np.zeros_like(centres)
        np.add.at(sums, labels, x)
        centres[filled] = sums[filled] / counts[filled, None]
        own, labels = labels, nearest_centres(x, centres)
        if np.array_equal(own, labels):
            break
    return x - centres[own], int(filled.sum())
