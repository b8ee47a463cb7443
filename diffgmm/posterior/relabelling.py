"""One numbering of the components for all draws, for draws of any library, and how sure it is.

Each draw is described by a table, one line per component; lines are matched to those of a
reference by the Hungarian algorithm. Three descriptions:

ecr      the component of each reference row; the reference is the mode over aligned draws
         (Papastamoulis, Iliopoulos 2010, doi:10.1198/jcgs.2010.09008; alternated until stable).
stephens p(component | row); the reference is the log of the mean over aligned draws
         (Stephens 2000, doi:10.1111/1467-9868.00265).
pivot    parameters; the reference is the mean over aligned draws, each parameter in units of its
         spread within clusters. It starts from one draw, the pivot of
         Marin, Mengersen, Robert (2005), doi:10.1016/S0169-7161(05)25011-2.
"""

import math
from dataclasses import dataclass

import numpy as np

# Draws that shape the reference; all others are then matched to it.
LEADING_DRAWS = 4_000

# Numbers of a description that are computed together: 16 MB.
VALUES_PER_CHUNK = 4_000_000

# A probability below this is taken as this: one row must not decide alone.
SMALLEST_PROBABILITY = 1e-6

# The cost falls with every round and ends after a handful.
MOST_ROUNDS = 100

# Where rows say nothing (components without rows) the parameters decide; all of them together
# weigh less than a hundredth of one row.
PARAMETER_WEIGHT = 1e-3

# Spread within clusters, of parameters with spread 1 over all, that is taken at least.
SMALLEST_SPREAD = 1e-3

METHODS = ("ecr", "stephens", "pivot")


@dataclass(frozen=True, eq=False)
class Alignment:
    """The order of components of S draws, and how sure it is.

    order : (S, K); parameters[s, order[s]] are aligned.
    log_odds : (S,) of the order against the exchange of two clusters that is nearest, in nats.
    """

    order: np.ndarray
    log_odds: np.ndarray


def align(method: str, parameters: np.ndarray, rows: np.ndarray | None, best: int) -> Alignment:
    """Return the order of components of each draw, after which all draws agree.

    Parameters
    ----------
    method : {"ecr", "stephens", "pivot"}
    parameters : ndarray, shape (S, K, P)
        Standardised.
    rows : ndarray, shape (S, K, R), or None
        For ecr and stephens: p(component | row), or 0 and 1.
    best : int
        The draw from which the numbering starts.
    """
    n_draws, k, n_parameters = parameters.shape
    table, n_rows = parameters, 0
    if method != "pivot":
        assert rows is not None
        n_rows = rows.shape[2]
        scaled = parameters * math.sqrt(PARAMETER_WEIGHT / n_parameters)
        table = np.concatenate([rows, scaled.astype(np.float32)], axis=2)
    leading = np.unique(np.linspace(0, n_draws - 1, min(n_draws, LEADING_DRAWS)).astype(int))
    # The first numbering must not depend on the labels that came in.
    start = table[best, np.lexsort(parameters[best].T)].astype(float)
    reference = _settled(method, table[leading], start, n_rows).T.astype(table.dtype)
    order, costs = np.empty((n_draws, k), dtype=np.int64), np.empty((n_draws, k, k))
    size = max(1, VALUES_PER_CHUNK // table[0].size)
    for first in range(0, n_draws, size):
        own = slice(first, first + size)
        gain = (table[own] @ reference).astype(float)
        order[own] = match(gain)
        costs[own] = exchange_costs(gain, order[own])
    return Alignment(order, exchange_log_odds(costs))


def _settled(method: str, table: np.ndarray, start: np.ndarray, n_rows: int) -> np.ndarray:
    """Return the reference (K, R + P) after alternating with the orders until they stay.

    The gain of a line of `table` in a cluster is its inner product with the cluster's line.
    """
    reference = _reference(method, start, np.ones(start.shape[1]), n_rows)
    known = np.full(table.shape[:2], -1)
    for _ in range(MOST_ROUNDS):
        order = match(table @ reference.T.astype(table.dtype))
        if np.array_equal(order, known):
            break
        known = order
        mean, square = np.zeros(start.shape), np.zeros(start.shape)
        for first in range(0, len(table), 512):
            own = slice(first, first + 512)
            moved = np.take_along_axis(table[own], order[own][:, :, None], axis=1)
            mean += moved.sum(axis=0, dtype=float)
            square += np.square(moved).sum(axis=0, dtype=float)
        mean /= len(table)
        variance = (square / len(table) - mean**2).mean(axis=0)
        reference = _reference(method, mean, variance, n_rows)
    return reference


def _reference(method: str, mean: np.ndarray, variance: np.ndarray, n_rows: int) -> np.ndarray:
    """Return the lines that score orders, from means (K, R + P) and variances within clusters."""
    if method == "pivot":
        # Half the squared distance to the mean, but for terms that are the same for every order.
        return mean / np.maximum(variance, SMALLEST_SPREAD**2)
    rows = mean[:, :n_rows]
    if method == "ecr":
        own = (np.argmax(rows, axis=0) == np.arange(len(rows))[:, None]).astype(float)
    else:
        own = np.log(np.maximum(rows, SMALLEST_PROBABILITY))
    return np.concatenate([own, mean[:, n_rows:]], axis=1)


def match(gain: np.ndarray) -> np.ndarray:
    """Return for each draw which component goes to which cluster, so that the gain is largest.

    gain (S, K, K) of component j in cluster l; returns (S, K), the component of each cluster.
    """
    from scipy.optimize import linear_sum_assignment

    order = np.empty(gain.shape[:2], dtype=np.int64)
    for s, own in enumerate(gain):
        components, clusters = linear_sum_assignment(own, maximize=True)
        order[s, clusters] = components
    return order


def exchange_costs(gain: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return what the exchange of any two clusters would cost, (S, K, K); none is negative."""
    chosen = np.take_along_axis(gain, order[:, :, None], axis=1)
    own = np.diagonal(chosen, axis1=1, axis2=2)
    costs = own[:, :, None] + own[:, None, :] - chosen - np.swapaxes(chosen, 1, 2)
    return np.maximum(costs, 0.0)


def exchange_log_odds(costs: np.ndarray) -> np.ndarray:
    """Return each draw's log odds against the exchange that is nearest, (S,); infinity for K = 1.

    An exchange turns the cost c into -c. If the costs of draws in their right order are normal
    with mean m and variance v, the log odds of c against -c are 2 c m / v. Rows and parameters of
    a draw move together, so the scatter over draws is the yardstick, not the number of rows. Where
    no order is right, c is the absolute value of a number around 0, and half of the draws have
    odds below 19 : 1.
    """
    k = costs.shape[1]
    if k == 1:
        return np.full(len(costs), np.inf)
    first, second = np.triu_indices(k, 1)
    pairs = costs[:, first, second]
    mean, variance = pairs.mean(axis=0), pairs.var(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_odds = 2.0 * pairs * mean / variance
    return np.where(np.isnan(log_odds), np.where(pairs > 0.0, np.inf, 0.0), log_odds).min(axis=1)
