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
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..kernels import draws

# Draws that shape the reference; all others are then matched to it.
LEADING_DRAWS = 2_000

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


def align(
    method: str,
    parameters: np.ndarray,
    describe: Callable[[np.ndarray], np.ndarray] | None,
    best: int,
    score: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Alignment:
    """Return the order of components of each draw, after which all draws agree.

    Parameters
    ----------
    method : {"ecr", "stephens", "pivot"}
    parameters : ndarray, shape (S, K, P)
        Standardised.
    describe : callable or None
        For ecr and stephens: p(component | row), or 0 and 1, of the draws with given numbers,
        (n, K, R) float32. It is asked for a chunk of draws at a time.
    best : int
        The draw from which the numbering starts.
    score : callable, optional
        From lines (K, R) to the sums over rows of their products with the descriptions of all draws,
        (S, K, K): what `describe` also gives, one table after the other.
    """
    n_draws, k, n_parameters = parameters.shape
    n_rows = 0

    def table(chosen: np.ndarray) -> np.ndarray:
        nonlocal n_rows
        own = parameters[chosen]
        if describe is None:
            return own
        rows = describe(chosen)
        n_rows = rows.shape[2]
        own *= math.sqrt(PARAMETER_WEIGHT / n_parameters)
        return np.concatenate([rows, own.astype(np.float32)], axis=2)

    # The first numbering must not depend on the labels that came in.
    start = table(np.array([best]))[0, np.lexsort(parameters[best].T)].astype(float)
    leading = np.unique(np.linspace(0, n_draws - 1, min(n_draws, LEADING_DRAWS)).astype(int))
    reference = _settled(method, table(leading), start, n_rows)
    if score is not None:
        gain = score(np.ascontiguousarray(reference[:, :n_rows]))
        own = math.sqrt(PARAMETER_WEIGHT / n_parameters) * reference[:, n_rows:].T
        gain += (parameters.reshape(-1, n_parameters) @ own).reshape(gain.shape)
        order = match(gain)
        return Alignment(order, exchange_log_odds(exchange_costs(gain, order)))
    order, costs = np.empty((n_draws, k), dtype=np.int64), np.empty((n_draws, k, k))
    for chosen in _chunks(n_draws, start.size):
        gain = _gain(table(chosen), reference)
        order[chosen] = match(gain)
        costs[chosen] = exchange_costs(gain, order[chosen])
    return Alignment(order, exchange_log_odds(costs))


def standardised(*arrays: np.ndarray | None) -> np.ndarray:
    """Return parameters (S, K, P), each divided by its spread over draws and components."""
    parts = [array.reshape(*array.shape[:2], -1) for array in arrays if array is not None]
    table = np.concatenate(parts, axis=2)
    spread = table.std(axis=(0, 1))
    varies = spread > 1e-12 * np.abs(table).max(axis=(0, 1))
    table = table[:, :, varies] if varies.any() else table[:, :, :1]
    spread = spread[varies] if varies.any() else np.ones(1)
    return (table - table.mean(axis=(0, 1))) / spread


def _chunks(n_draws: int, size: int) -> list[np.ndarray]:
    return np.array_split(np.arange(n_draws), -(-n_draws * size // VALUES_PER_CHUNK))


def _gain(table: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return what each line of `table` (n, K, R + P) gains in each cluster, (n, K, K)."""
    lines = table.reshape(-1, table.shape[2])  # one large matrix product, not n small ones
    gain = lines @ reference.T.astype(table.dtype)
    return gain.reshape(*table.shape[:2], -1).astype(float)


def _settled(method: str, table: np.ndarray, start: np.ndarray, n_rows: int) -> np.ndarray:
    """Return the reference (K, R + P) after alternating with the orders until they stay.

    The gain of a line of `table` in a cluster is its inner product with the cluster's line.
    """
    reference = _reference(method, start, np.ones(start.shape[1]), n_rows)
    known = np.full(table.shape[:2], -1)
    for _ in range(MOST_ROUNDS):
        order = match(_gain(table, reference))
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
    order = np.empty(gain.shape[:2], dtype=np.int64)
    draws.match(gain, order)
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
