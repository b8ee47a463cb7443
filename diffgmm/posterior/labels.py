"""Label alignment of a posterior's own draws: Stephens' method of `relabelling` at reference rows.

A mixture's likelihood does not change when its components are renumbered, so each draw carries
labels of its own; nothing is changed but the order of components.
"""

import numpy as np

from ..data import raw_rows
from ..errors import InvalidParameterError
from ..kernels import draws
from .densities import contiguous, log_constants, probabilities
from .priors import Prior
from .relabelling import align, standardised


def alignment(
    prior: Prior,
    weights: np.ndarray,
    means: np.ndarray,
    factors: np.ndarray,
    *,
    points: np.ndarray,
    lp: np.ndarray,
) -> np.ndarray:
    """Return the order of components of each draw, after which all draws agree.

    Parameters
    ----------
    prior : Prior
        The same for every component.
    weights : ndarray, shape (S, K)
        Draws of all chains, one after the other.
    means : ndarray, shape (S, K, D)
    factors : ndarray, shape (S, K, D, D), (S, K, D) or (S, K)
        Whitening factors.
    points : ndarray, shape (R, D)
        Reference rows, in the units of the means.
    lp : ndarray, shape (S,)
        Log posterior density; the numbering starts from the draw with the highest.

    Returns
    -------
    ndarray of int, shape (S, K)
        parameters[s, order[s]] are aligned; clusters are in the order of decreasing mean weight.

    Raises
    ------
    InvalidParameterError
        When the prior tells components apart: then labels mean something.
    """
    if not prior.is_exchangeable:
        raise InvalidParameterError(
            "Labels can be aligned only if the prior is the same for every component, but "
            f"concentration is {prior.concentration.tolist()}. Keep the labels as sampled."
        )
    k, n_rows = weights.shape[1], len(points)
    rows, constants = raw_rows(points), log_constants(weights, factors, points.shape[1])

    def describe(chosen: np.ndarray) -> np.ndarray:
        return probabilities(constants[chosen], means[chosen], factors[chosen], points)

    def score(reference: np.ndarray) -> np.ndarray:
        out, nothing = np.empty((len(weights), k, k)), np.empty((0, k, n_rows), dtype=np.float32)
        draws.gains(rows, *map(contiguous, (constants, means, factors)), reference, out, nothing)
        return out

    best = int(np.argmax(lp))
    order = align("stephens", standardised(weights, means), describe, best, score).order
    mean_weights = np.take_along_axis(weights, order, axis=1).mean(axis=0)
    return order[:, np.argsort(-mean_weights, kind="stable")]
