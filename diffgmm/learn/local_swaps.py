"""Local swaps: split one component and merge two others, each judged on its own rows.

A wrong optimum may have one small component on two groups and a large group cut in two. Splitting
all (`moves.split_merge`) finds the groups and then loses them again: Runnalls' bound holds the
merge of two small groups cheaper than that of the two overlapping parts of a large one. On the
rows of one component EM costs as little as two components do, and what a merge loses can be
measured.
"""

from typing import NamedTuple

import numpy as np

from ..covariance import components_of
from ..data import read_only
from ..kernels import gaussian, moments
from ..kernels.bundles import Components, Rows
from .em import SMALLEST_COUNT, Parameters, Problem, Shrinkage, maximise
from .marginal_likelihood import Prior, occam_factors, prior_of
from .moves import halves_of
from .reduction import candidate_pairs, merge_costs, merge_pairs, shares_of_pairs

# Rows of which a component holds less than this share say nothing about its halves.
SMALLEST_SHARE = 0.01

# Passes of the halves on the rows of their whole.
PASSES_ON_HALVES = 6

# Rows whose shares are computed together: this many times K numbers are kept at once.
ROWS_AT_ONCE = 4_096


class Members(NamedTuple):
    """The rows of every component, stacked: those of component j are bounds[j] .. bounds[j + 1].

    rows : Rows with the components' shares as weights.   bounds : ndarray, shape (K + 1,)
    """

    rows: Rows
    bounds: np.ndarray


def members_of(problem: Problem, parameters: Parameters) -> Members:
    """Return the rows of which each component holds more than a negligible share."""
    rows, k = problem.rows, len(parameters.weights)
    components = components_of(*parameters, problem.family)
    owners, indices, shares = [], [], []
    for start in range(0, len(rows.values), ROWS_AT_ONCE):
        chunk = rows._replace(values=rows.values[start : start + ROWS_AT_ONCE])
        out = np.empty((len(chunk.values), k))
        gaussian.responsibilities(chunk, components, 0, len(out), out)
        index, owner = np.nonzero(out > SMALLEST_SHARE)
        owners.append(owner)
        indices.append(index + start)
        shares.append(out[index, owner])
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    index, share = np.concatenate(indices)[order], np.concatenate(shares)[order]
    if rows.weights.size:
        share *= rows.weights[index]
    bounds = np.searchsorted(owner[order], np.arange(k + 1))
    own = rows._replace(values=read_only(rows.values[index]), weights=read_only(share))
    return Members(own, bounds)


def swap_locally(
    problem: Problem, parameters: Parameters, shrinkage: Shrinkage
) -> Parameters | None:
    """Return as many components, three or more, after swaps; None where none promises a gain.

    A swap splits one component and merges two others. It promises a gain where the split adds
    more worth than the merge loses.

    Parameters
    ----------
    problem, parameters, shrinkage
        Rows, where to start, and what keeps small components from collapsing meanwhile.
    """
    members = members_of(problem, parameters)
    prior = prior_of_components(problem, parameters)
    halves, gains = fitted_halves(problem, parameters, members, prior, shrinkage)
    pairs, losses = cheapest_pairs(problem, parameters, members, prior)
    whole, merged = disjoint_swaps(gains, pairs, losses)
    if not whole:
        return None
    parts = np.concatenate([[2 * j, 2 * j + 1] for j in whole])
    share = np.repeat(parameters.weights[whole], 2)
    rest = np.ones(len(parameters.weights), bool)
    rest[whole] = rest[pairs[merged].ravel()] = False
    kept = (array[rest] for array in parameters)
    split = (share * halves.weights[parts], halves.means[parts], halves.covariances[parts])
    one = merge_pairs(problem.family, parameters, *pairs[merged].T)
    return Parameters(*map(np.concatenate, zip(kept, split, one, strict=True)))


def fitted_halves(
    problem: Problem,
    parameters: Parameters,
    members: Members,
    prior: Prior,
    shrinkage: Shrinkage,
) -> tuple[Parameters, np.ndarray]:
    """Return two parts of every component, 2 j and 2 j + 1, and by how much they are worth more."""
    k = len(parameters.weights)
    own = np.arange(k)[:, None]
    alone = parameters._replace(weights=np.ones(k))
    before = worth_locally(problem, members, alone, own, prior)
    halves = _in_pairs(halves_of(problem, parameters, None))
    halves = fit_locally(problem, members, halves, shrinkage)
    return halves, worth_locally(problem, members, halves, own, prior) - before


def cheapest_pairs(
    problem: Problem, parameters: Parameters, members: Members, prior: Prior
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of components (P, 2) and by how much they are worth more than merged.

    Runnalls' bound chooses whom to price; of a group cut in two it is far too high.
    """
    k = len(parameters.weights)
    first, second = candidate_pairs(parameters.means)
    costs = merge_costs(problem.family, parameters, first, second)
    cheapest = np.argsort(costs, kind="stable")[:k]
    first, second = first[cheapest], second[cheapest]
    pairs = np.stack([first, second], axis=1)
    parts = Parameters(*(array[pairs.ravel()] for array in parameters))
    _, share = shares_of_pairs(parameters.weights, first, second)
    parts = parts._replace(weights=np.stack([share, 1.0 - share], axis=1).ravel())
    merged = merge_pairs(problem.family, parameters, first, second)
    merged = merged._replace(weights=np.ones(len(pairs)))
    before = worth_locally(problem, members, parts, pairs, prior)
    return pairs, before - worth_locally(problem, members, merged, pairs, prior)


def disjoint_swaps(
    gains: np.ndarray, pairs: np.ndarray, losses: np.ndarray
) -> tuple[list[int], list[int]]:
    """Return components to split and as many pairs to merge: best first, none touched twice."""
    used = np.zeros(len(gains), bool)
    whole: list[int] = []
    merged: list[int] = []
    order = np.argsort(losses, kind="stable")
    for j in np.argsort(-gains, kind="stable"):
        if not len(order) or gains[j] <= losses[order[0]]:
            break
        free = [p for p in order if not used[pairs[p]].any() and j not in pairs[p]]
        if used[j] or not free or gains[j] <= losses[free[0]]:
            continue
        whole.append(int(j))
        merged.append(int(free[0]))
        used[j] = used[pairs[free[0]]] = True
    return whole, merged


def _in_pairs(halves: Parameters) -> Parameters:
    """Return halves j and K + j as neighbours 2 j and 2 j + 1, each with half of the weight."""
    size = len(halves.weights)
    order = np.arange(size).reshape(2, size // 2).T.ravel()
    return Parameters(np.full(size, 0.5), halves.means[order], halves.covariances[order])


def fit_locally(
    problem: Problem, members: Members, halves: Parameters, shrinkage: Shrinkage
) -> Parameters:
    """Return the halves 2 j and 2 j + 1 of every component after EM on that component's rows."""
    own = np.arange(len(halves.weights) // 2)[:, None]
    for _ in range(PASSES_ON_HALVES):
        _, statistics = _expect_locally(problem, members, halves, own)
        halves = maximise(problem, halves, statistics, shrinkage)
        shares = halves.weights.reshape(-1, 2)
        shares = shares / np.maximum(shares.sum(axis=1, keepdims=True), SMALLEST_COUNT)
        halves = halves._replace(weights=shares.ravel())
    return halves


def prior_of_components(problem: Problem, parameters: Parameters) -> Prior:
    """Return the prior that all components suggest (`marginal_likelihood.prior_of`)."""
    weights, means, covariances = parameters
    return prior_of(problem.family, weights * problem.n_effective, means, covariances)


def worth_locally(
    problem: Problem, members: Members, parts: Parameters, groups: np.ndarray, prior: Prior
) -> np.ndarray:
    """Return the log likelihood of each group's rows less its parts' Occam factors, (G,), in nats.

    Parameters
    ----------
    parts : Parameters
        As many for each group, neighbours, with weights that add up to 1.
    groups : ndarray, shape (G, m)
        The components whose rows each group has; a row of two counts with the shares of both.
    prior : Prior
        Of the components of the whole mixture.
    """
    log_likelihoods, (counts, *_) = _expect_locally(problem, members, parts, groups)
    factors = occam_factors(problem.family, counts, parts.means, parts.covariances, prior)
    return log_likelihoods - factors.reshape(len(groups), -1).sum(axis=1)


def _expect_locally(
    problem: Problem, members: Members, parts: Parameters, groups: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Return the log likelihoods (G,) of each group's rows under its parts, and statistics."""
    n_parts, n_features = parts.means.shape
    size = n_parts // len(groups)
    components = components_of(*parts, problem.family)
    statistics = (
        np.zeros(n_parts),
        np.zeros((n_parts, n_features)),
        np.zeros(problem.family.moment_shape(n_parts, n_features)),
    )
    log_likelihoods, bounds = np.zeros(len(groups)), members.bounds.tolist()
    for g, owners in enumerate(groups.tolist()):
        own = slice(size * g, size * (g + 1))
        part = Components(*(array[own] for array in components))
        sums = tuple(array[own] for array in statistics)
        for j in owners:
            log_likelihoods[g] += moments.expectation(
                members.rows, part, bounds[j], bounds[j + 1], sums
            )
    return log_likelihoods, statistics
