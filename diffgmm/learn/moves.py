"""Split-merge moves: leave an optimum by splitting every component and merging back.

A wrong optimum of EM has one component on two groups and two components on another (Chen, Xi
2020). Splitting all of them finds the first, reduction merges the second, and what was right
comes back together: no move has to guess where the fault is.
"""

import numpy as np

from .em import Parameters, Problem, Shrinkage, run_passes
from .reduction import reduce_to

# Halves lie this many standard deviations to each side; moments are preserved for any value below 1.
SPLIT_STEP = 0.8

# EM passes that let the halves find what they belong to.
PASSES_AFTER_SPLIT = 4


def split_all(
    parameters: Parameters, directions: np.ndarray, factors: np.ndarray
) -> Parameters:
    """Return twice as many components: halves along `directions`, with the moments of the whole.

    Parameters
    ----------
    parameters : Parameters
        Of K components with full covariances.
    directions : ndarray, shape (K, D)
        Unit vectors.
    factors : ndarray, shape (K, D, D)
        Whitening factors of the covariances: F with F' F = S^-1.
    """
    weights, means, covariances = parameters
    white = np.einsum("kab,kb->ka", factors, directions)
    # The longest step along v that keeps S - s^2 v v' positive definite is 1 / sqrt(v' S^-1 v).
    length = SPLIT_STEP / np.sqrt(np.square(white).sum(axis=1))
    step = length[:, None] * directions
    halves = covariances - step[:, :, None] * step[:, None, :]
    return Parameters(
        np.concatenate([weights, weights]) / 2.0,
        np.concatenate([means + step, means - step]),
        np.concatenate([halves, halves]),
    )


def split_merge(
    problem: Problem,
    parameters: Parameters,
    shrinkage: Shrinkage,
    rng: np.random.Generator | None = None,
) -> Parameters:
    """Return other parameters with as many components, by splitting all and reducing.

    Parameters
    ----------
    problem, parameters, shrinkage
        Rows, where to start, and what keeps small components from collapsing meanwhile.
    rng : Generator, optional
        Directions are drawn from each component when given; principal axes otherwise.
    """
    n_components = len(parameters.weights)
    split = run_passes(problem, halves_of(problem, parameters, rng), PASSES_AFTER_SPLIT, shrinkage)
    return reduce_to(problem, split, n_components, shrinkage)


def halves_of(
    problem: Problem, parameters: Parameters, rng: np.random.Generator | None
) -> Parameters:
    """Return twice as many components: those of component j are j and K + j.

    They lie along the principal axes, or along directions that `rng` draws from each component.
    """
    full = problem.family.as_full(parameters.covariances, parameters.means.shape[1])
    values, vectors = np.linalg.eigh(full)
    if rng is None:
        directions = vectors[:, :, -1]
    else:
        noise = np.sqrt(values) * rng.standard_normal(values.shape)
        directions = np.einsum("kab,kb->ka", vectors, noise)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    factors = np.swapaxes(vectors, 1, 2) / np.sqrt(values)[:, :, None]
    weights, means, halves = split_all(
        Parameters(parameters.weights, parameters.means, full), directions, factors
    )
    return Parameters(weights, means, problem.family.from_full(halves))
