"""Label alignment: one numbering of the components for all draws of all chains.

A mixture's likelihood does not change when its components are renumbered, so each draw carries
labels of its own. Stephens (2000), doi:10.1111/1467-9868.00265: renumber each draw so that the
probabilities p(component | row) come closest, in Kullback-Leibler divergence, to their mean over
draws. The assignment is solved exactly; nothing is changed but the order of components.
"""

import numpy as np

from ..errors import InvalidParameterError
from .densities import component_log_densities
from .priors import Prior

# Draws that shape the mean probabilities; all others are then matched to it.
LEADING_DRAWS = 4_000

# Draws whose probabilities are computed together.
DRAWS_PER_CHUNK = 512

# A probability below this is taken as this: one row must not decide alone.
SMALLEST_PROBABILITY = 1e-6

# The divergence falls with every round and ends after a handful.
MOST_ROUNDS = 100


def _check_exchangeable(prior: Prior) -> None:
    if not prior.is_exchangeable:
        raise InvalidParameterError(
            "Labels can be aligned only if the prior is the same for every component, but "
            f"concentration is {prior.concentration.tolist()}. Keep the labels as sampled."
        )


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
    factors : ndarray, shape (S, K, D, D) or (S, K)
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
    _check_exchangeable(prior)
    n_draws, n_components = weights.shape
    if n_components == 1:
        return np.zeros((n_draws, 1), dtype=np.int64)

    def own(chosen: np.ndarray) -> np.ndarray:
        return probabilities(weights[chosen], means[chosen], factors[chosen], points)

    best = int(np.argmax(lp))
    reference = own(np.array([best]))[0].T
    leading = np.unique(np.linspace(0, n_draws - 1, min(n_draws, LEADING_DRAWS)).astype(int))
    known = np.concatenate([own(chunk) for chunk in _chunks(leading)])
    known_order = np.full((len(leading), n_components), -1)
    for _ in range(MOST_ROUNDS):
        new_order = match(known, reference)
        if np.array_equal(new_order, known_order):
            break
        known_order = new_order
        reference = np.take_along_axis(known, known_order[:, :, None], axis=1).mean(axis=0).T
    if len(leading) == n_draws:
        order = known_order
    else:
        every = _chunks(np.arange(n_draws))
        order = np.concatenate([match(own(chunk), reference) for chunk in every])
    mean_weights = np.take_along_axis(weights, order, axis=1).mean(axis=0)
    return order[:, np.argsort(-mean_weights, kind="stable")]


def _chunks(index: np.ndarray) -> list[np.ndarray]:
    return np.array_split(index, -(-len(index) // DRAWS_PER_CHUNK))


def probabilities(
    weights: np.ndarray, means: np.ndarray, factors: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """Return p(component | row), shape (S, K, R), float32."""
    log_joint = component_log_densities(weights, means, factors, points)
    log_joint -= log_joint.max(axis=1, keepdims=True)
    joint = np.exp(log_joint)
    return (joint / joint.sum(axis=1, keepdims=True)).astype(np.float32)


def match(probabilities: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the order of components of each draw that is closest to `reference` (R, K)."""
    from scipy.optimize import linear_sum_assignment

    logs = np.log(np.maximum(reference, SMALLEST_PROBABILITY))
    # gain[s, j, l]: sum over rows of p_s(j | row) log q(l | row); the entropy of p is the same
    # for every order.
    gain = probabilities @ logs
    order = np.empty(gain.shape[:2], dtype=np.int64)
    for s, own in enumerate(gain):
        components, clusters = linear_sum_assignment(own, maximize=True)
        order[s, clusters] = components
    return order
