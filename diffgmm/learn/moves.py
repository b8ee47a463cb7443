"""Split-merge moves: leave an optimum by splitting every component and merging back.

A wrong optimum of EM has one component on two groups and two components on another (Chen, Xi
2020). Splitting all of them finds the first, reduction merges the second, and what was right
comes back together: no move has to guess where the fault is.
"""

import numpy as np

from ..matrices import inverse_cholesky
from .em import Parameters, Problem, Shrinkage, run_passes
from .reduction import reduce_to

# Halves lie this many standard deviations to each side; moments are preserved for any value below 1.
SPLIT_STEP = 0.8

# Rows that fourth moments are taken of, at most so many whitened numbers of them, and the standard
# errors of a normal law's kurtosis by which that of another direction must be below the principal axis's.
ROWS_OF_DIRECTIONS = 2_000
NUMBERS_OF_DIRECTIONS = 2_000_000
CLEARLY_DIVIDED = 3.0

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
        Directions are drawn from each component when given; `split_directions` otherwise.
    """
    n_components = len(parameters.weights)
    halves = halves_of(problem, parameters, rng, seeks=True)
    split = run_passes(problem, halves, PASSES_AFTER_SPLIT, shrinkage)
    return reduce_to(problem, split, n_components, shrinkage)


def halves_of(
    problem: Problem, parameters: Parameters, rng: np.random.Generator | None, *, seeks: bool = False
) -> Parameters:
    """Return twice as many components: those of component j are j and K + j.

    They lie along the principal axes, along directions that `rng` draws from each component, or where
    one `seeks` them along `split_directions`.
    """
    full = problem.family.as_full(parameters.covariances, parameters.means.shape[1])
    values, vectors = np.linalg.eigh(full)
    if rng is None:
        directions = vectors[:, :, -1]
        if seeks:
            directions = split_directions(problem, parameters, full, directions)
    else:
        noise = np.sqrt(values) * rng.standard_normal(values.shape)
        directions = np.einsum("kab,kb->ka", vectors, noise)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    factors = np.swapaxes(vectors, 1, 2) / np.sqrt(values)[:, :, None]
    weights, means, halves = split_all(
        Parameters(parameters.weights, parameters.means, full), directions, factors
    )
    return Parameters(weights, means, problem.family.from_full(halves))


def split_directions(
    problem: Problem, parameters: Parameters, full: np.ndarray, axes: np.ndarray
) -> np.ndarray:
    """Return unit vectors (K, D): where a component's rows lie in two groups, or its principal axis.

    A component on two groups has too small a fourth moment along the line between them, whatever
    the units of the features; the principal axis changes with these.

    Parameters
    ----------
    problem : Problem
    parameters : Parameters
    full : ndarray, shape (K, D, D)
        Covariances.
    axes : ndarray, shape (K, D)
        Principal axes.

    Notes
    -----
    With u whitened, v' E |u|^2 u u' v is the fourth moment along v and what it shares with the other
    directions; the lowest eigenvector is where rows are divided most (Cardoso 1989, FOBI). It
    counts where its own kurtosis is clearly lower than the principal axis's: with few rows and many
    features it is noise.
    """
    values, weights = problem.rows.values, problem.rows.weights
    n_rows = min(ROWS_OF_DIRECTIONS, max(1, NUMBERS_OF_DIRECTIONS // parameters.means.size))
    every = -(-len(values) // n_rows)
    x = values[::every]
    factors, log_determinants = inverse_cholesky(full)
    white = (x[None] - parameters.means[:, None]) @ np.swapaxes(factors, 1, 2)
    lengths = np.einsum("kna,kna->kn", white, white)
    logs = np.log(np.maximum(parameters.weights, 1e-300)) - 0.5 * log_determinants
    joint = logs[:, None] - 0.5 * lengths
    shares = np.exp(joint - joint.max(axis=0))
    shares /= shares.sum(axis=0)
    if weights.size:
        shares *= weights[::every]
    counts = np.maximum(shares.sum(axis=1), 1.0)
    fourth = np.swapaxes(white * (shares * lengths)[:, :, None], 1, 2) @ white
    divided = np.linalg.eigh(fourth / counts[:, None, None])[1][:, :, 0]
    along_axes = np.einsum("kab,kb->ka", factors, axes)

    def kurtosis(directions: np.ndarray) -> np.ndarray:
        squares = np.square(white @ directions[:, :, None])[:, :, 0]
        variance = np.einsum("kn,kn->k", shares, squares) / counts
        moments = np.einsum("kn,kn,kn->k", shares, squares, squares) / counts
        return moments / np.maximum(variance**2, np.finfo(float).tiny)  # rows may be all the same

    gain = kurtosis(along_axes) - kurtosis(divided)
    is_better = gain > CLEARLY_DIVIDED * np.sqrt(24.0 / counts)
    # A step v of whitened coordinates is F^-1 v of the rows'.
    directions = np.linalg.solve(factors, divided[:, :, None])[:, :, 0]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.where(is_better[:, None], directions, axes)
