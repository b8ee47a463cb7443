"""Merging components, cheapest first: from a cover of the data to the number asked for."""

from functools import lru_cache

import numpy as np

from ..covariance import Family
from ..data import read_only
from .em import Parameters, Problem, Shrinkage, run_passes

# Share of the surplus merged in one round: larger saves passes, smaller merges better informed.
SHARE_PER_ROUND = 0.2

# EM passes after each round of merges; two cost a third more and find no more optima.
PASSES_PER_ROUND = 1

# From this many components on, only pairs of near neighbours are candidates.
ALL_PAIRS_UP_TO = 24
NEIGHBOURS = 6


def candidate_pairs(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return indices (i, j), i < j, of the pairs worth pricing: all of few, neighbours of many."""
    k = len(means)
    if k <= ALL_PAIRS_UP_TO:
        return _all_pairs(k)
    distance = np.square(means[:, None, :] - means).sum(axis=-1)
    np.fill_diagonal(distance, np.inf)
    near = np.argpartition(distance, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    low = np.minimum(np.arange(k)[:, None], near).ravel()
    high = np.maximum(np.arange(k)[:, None], near).ravel()
    code = np.unique(low * k + high)
    return code // k, code % k


@lru_cache(ALL_PAIRS_UP_TO)
def _all_pairs(k: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.triu_indices(k, 1)
    return read_only(first), read_only(second)


def merge_cheapest(problem: Problem, parameters: Parameters, n_merges: int) -> Parameters:
    """Return the parameters after merging the `n_merges` cheapest disjoint pairs.

    The cost is Runnalls' bound on the Kullback-Leibler divergence that a merge adds.
    """
    weights, means, covariances = parameters
    first, second = candidate_pairs(means)
    used = np.zeros(len(weights), bool)
    chosen: list[int] = []
    for pair in merge_costs(problem.family, parameters, first, second).argsort():
        if len(chosen) == n_merges:
            break
        i, j = first[pair], second[pair]
        if not (used[i] or used[j]):
            used[i] = used[j] = True
            chosen.append(pair)
    one, other = first[chosen], second[chosen]
    merged = merge_pairs(problem.family, parameters, one, other)
    return Parameters(
        np.concatenate([weights[~used], merged.weights]),
        np.concatenate([means[~used], merged.means]),
        np.concatenate([covariances[~used], merged.covariances]),
    )


def reduce_to(
    problem: Problem, parameters: Parameters, n_components: int, shrinkage: Shrinkage | None
) -> Parameters:
    """Return parameters with `n_components`, by rounds of merges with EM passes in between."""
    while (surplus := len(parameters.weights) - n_components) > 0:
        n_merges = max(1, round(SHARE_PER_ROUND * surplus))
        parameters = merge_cheapest(problem, parameters, n_merges)
        parameters = run_passes(problem, parameters, PASSES_PER_ROUND, shrinkage)
    return parameters


def merge_pairs(
    family: Family, parameters: Parameters, first: np.ndarray, second: np.ndarray
) -> Parameters:
    """Return pairs of components (P,), (P,) taken as one: weights, means and covariances of both."""
    weights, means, covariances = parameters
    total, share = shares_of_pairs(weights, first, second)
    steps = means[first] - means[second]
    merged = merge_covariances(family, share, steps, covariances[first], covariances[second])
    centres = share[:, None] * means[first] + (1.0 - share)[:, None] * means[second]
    return Parameters(total, centres, merged)


def shares_of_pairs(
    weights: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of pairs of components, and the first one's share: a half where both have 0."""
    total = weights[first] + weights[second]
    share = np.full(len(total), 0.5)
    np.divide(weights[first], total, out=share, where=total > 0.0)
    return total, share


def merge_covariances(
    family: Family,
    share: np.ndarray,
    steps: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
) -> np.ndarray:
    """Return the covariances of pairs of components taken as one.

    Parameters
    ----------
    share : ndarray, shape (P,)
        Weight of the first of each pair, relative to both.
    steps : ndarray, shape (P, D)
        Difference of the pair's means.
    first, second : ndarray
        Covariances of the P pairs, in the family's shape.
    """
    if family.is_shared:
        return first
    share = share.reshape(-1, *[1] * (first.ndim - 1))
    return share * first + (1.0 - share) * second + share * (1.0 - share) * family.spread(steps)


def merge_costs(
    family: Family,
    parameters: tuple[np.ndarray, np.ndarray, np.ndarray],
    first: np.ndarray,
    second: np.ndarray,
) -> np.ndarray:
    """Return Runnalls' bound on the Kullback-Leibler divergence that merging each pair adds, (P,).

    Equations: 0.5 [(w_i + w_j) log|S_ij| - w_i log|S_i| - w_j log|S_j|]; with a covariance that all
    components share, 0.5 w_i w_j / (w_i + w_j) (m_i - m_j)' S^-1 (m_i - m_j).

    References
    ----------
    Runnalls (2007), IEEE Transactions on Aerospace and Electronic Systems 43(3), equation 21.
    """
    weights, means, covariances = parameters
    total, share = shares_of_pairs(weights, first, second)
    steps = means[first] - means[second]
    factors, log_determinants = family.factors(covariances, means.shape[1])
    if family.is_shared:
        white = steps @ factors[0].T if factors.ndim == 3 else steps * factors[0]
        return 0.5 * total * share * (1.0 - share) * np.square(white).sum(axis=1)
    merged = merge_covariances(family, share, steps, covariances[first], covariances[second])
    _, log_merged = family.factors(merged, means.shape[1])
    before = weights[first] * log_determinants[first] + weights[second] * log_determinants[second]
    return 0.5 * (total * log_merged - before)
