"""Search in the subspace that holds the means, when there are many more features than components.

K means span at most K - 1 directions, and the leading principal components of the rows hold them
when the components are apart. Distances there are not drowned in the noise of the other features,
and passes cost less. What is found is lifted to all features and improved there like any start.
"""

import numpy as np

from ..covariance import components_of
from ..data import Data
from ..kernels import gaussian
from .em import SMALLEST_COUNT, Parameters, Problem, Shrinkage

# Features per component from which the subspace is used, and its dimension beyond K.
FEATURES_PER_COMPONENT = 4
EXTRA_DIMENSIONS = 2


def is_wide(n_components: int, n_features: int) -> bool:
    """Whether there are so many features that the search starts in a subspace."""
    return n_components > 1 and n_features >= FEATURES_PER_COMPONENT * n_components


def project(problem: Problem, n_dimensions: int) -> Problem:
    """Return the same rows in their leading principal components.

    Parameters
    ----------
    problem : Problem
        Of standardised, contiguous rows.
    n_dimensions : int
    """
    points, weights = problem.rows.values, problem.rows.weights
    weighted = points * weights[:, None] if weights.size else points
    _, axes = np.linalg.eigh(weighted.T @ points)
    low = Data.of(points @ axes[:, -n_dimensions:])
    ones = np.ones(n_dimensions)
    rows = low.rows(0.0 * ones, ones, weights if weights.size else None)
    return Problem.of(rows, problem.family, problem.blocks.n_threads)


def lift(
    problem: Problem, low: Problem, parameters: Parameters, shrinkage: Shrinkage
) -> Parameters:
    """Return parameters in all features from those in the subspace, by one M-step.

    Parameters
    ----------
    problem : Problem
        Of standardised, contiguous rows with all features.
    low : Problem
        The same rows in the subspace.
    parameters : Parameters
        Found in the subspace.
    shrinkage : Shrinkage
        What the covariances are drawn to.
    """
    points, weights = problem.rows.values, problem.rows.weights
    components = components_of(*parameters, problem.family)
    (k, _), d = parameters.means.shape, points.shape[1]

    def work(start: int, stop: int, sums: tuple[np.ndarray, ...]) -> float:
        counts, first, second = sums
        own, shares = points[start:stop], np.empty((stop - start, k))
        part = low.rows._replace(values=low.rows.values[start:stop])
        gaussian.responsibilities(part, components, 0, stop - start, shares)
        if weights.size:
            shares *= weights[start:stop, None]
        counts += shares.sum(axis=0)
        first += shares.T @ own
        for j in range(k):
            second[j] += (own * shares[:, j, None]).T @ own
        return 0.0

    _, (counts, first, second) = low.blocks.sum(work, ((k,), (k, d), (k, d, d)))
    counts = np.maximum(counts, SMALLEST_COUNT)
    means = first / counts[:, None]
    covariances = second / counts[:, None, None] - means[:, :, None] * means[:, None, :]
    family_covariances = problem.family.from_full(covariances)
    if problem.family.is_free:
        share = shrinkage.n_rows / (counts + shrinkage.n_rows)
        share = share.reshape(-1, *[1] * (family_covariances.ndim - 1))
        family_covariances = (1.0 - share) * family_covariances + share * shrinkage.covariance
    return Parameters(counts / counts.sum(), means, family_covariances)
