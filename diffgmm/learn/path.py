"""How many components: every number from one reduction, with what each costs and explains.

The reduction from a cover visits every number of components anyway. It walks on a subsample of
the rows that are not held out, a few passes at every number; each stop is carried to all rows by a
few more. Only numbers that are still in the running for the smallest BIC are polished.

Exact: log likelihood, BIC and ICL are those of the optimum that the path keeps, on all rows; the
held-out rows take no part in the fits that they judge. Not exact: an optimum out of the running has
stopped early, so that its log likelihood may still rise, by less than what would bring it back.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..covariance import Family, components_of
from ..data import Data
from ..kernels import moments
from .candidates import COVER_FACTOR, covered
from .em import EMResult, Parameters, Problem, expect, remaining_gain, run_em, run_passes
from .reduction import merge_cheapest
from .search import Optimum, Units, subsample

# Components tried by default: up to this many, and never more than leave ROWS_PER_COMPONENT rows
# to each.
LARGEST_DEFAULT = 15
ROWS_PER_COMPONENT = 10

# One row in five is held out.
FOLDS = 5

# Passes on the subsample at every number, and on all rows before numbers are compared.
PASSES_OF_WALK = 6
PASSES_AT_STOP = 3

# A number is in the running while so many times what EM seems to have left to gain would give it
# the smallest BIC; gains on a plateau are underestimated.
GAIN_FACTOR = 5.0

# Information criteria differ by log(n) / 2 nats per parameter: EM need not go on below this.
PATH_TOLERANCE = 1e-5
PATH_PASSES = 60

CRITERIA = ("n_components", "log_likelihood", "bic", "icl", "held_out")


@dataclass(frozen=True, eq=False)
class ComponentPath:
    """What every number of components explains.

    Attributes
    ----------
    n_components : ndarray, shape (P,)
        Numbers tried, increasing.
    log_likelihood : ndarray, shape (P,)
        Of all rows, in nats.
    bic, icl : ndarray, shape (P,)
        Smaller is better; icl adds twice the entropy of the assignments to bic.
    held_out : ndarray, shape (P,)
        Mean log density, in nats, of one row in five under fits to the other four that have never
        seen it.
    optima : tuple of Optimum
        One for each number, in the user's units.
    """

    n_components: np.ndarray
    log_likelihood: np.ndarray
    bic: np.ndarray
    icl: np.ndarray
    held_out: np.ndarray
    optima: tuple[Optimum, ...]

    def best(self, criterion: str = "bic") -> int:
        """Return the number of components that `criterion` ("bic", "icl", "held_out") prefers."""
        values = getattr(self, criterion)
        index = np.argmax(values) if criterion == "held_out" else np.argmin(values)
        return int(self.n_components[index])

    def optimum(self, n_components: int) -> Optimum:
        """Return the optimum with `n_components`."""
        return self.optima[int(np.flatnonzero(self.n_components == n_components)[0])]

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, ready for JSON."""
        state: dict[str, Any] = {name: getattr(self, name).tolist() for name in CRITERIA}
        state["optima"] = [
            {
                each.name: np.asarray(getattr(optimum, each.name)).tolist()
                for each in fields(optimum)
            }
            for optimum in self.optima
        ]
        return state

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> "ComponentPath":
        """Return the path that `to_dict` described."""
        arrays = ("weights", "means", "covariances", "trace")
        optima = tuple(
            Optimum(**(own | {name: np.array(own[name]) for name in arrays}))
            for own in state["optima"]
        )
        return cls(**{name: np.array(state[name]) for name in CRITERIA}, optima=optima)


def default_numbers(n_rows: int) -> range:
    """Return the numbers of components tried when none is given."""
    return range(1, max(1, min(LARGEST_DEFAULT, n_rows // ROWS_PER_COMPONENT)) + 1)


def fit_path(
    data: Data,
    numbers: range,
    family: Family,
    *,
    rng: np.random.Generator,
    row_weights: np.ndarray | None = None,
    cores: int | None = None,
) -> ComponentPath:
    """Return the path of optima from the largest of `numbers` down to the smallest.

    Parameters
    ----------
    data : Data
    numbers : range
        Numbers of components, each at least 1.
    family : Family
    rng : Generator
    row_weights : ndarray, shape (N,), optional
    cores : int, optional
    """
    units = Units.of(data, family)
    fitted, kept = _split(data.n_rows, row_weights, rng)
    problem, fitted_problem, kept_problem = (
        Problem.of(data.rows(units.shift, units.scale, weights), family, cores)
        for weights in (row_weights, fitted, kept)
    )
    # The path is that of the fitted rows; every stop then sees all rows. The other way round the
    # kept rows would have shaped the fits that they judge.
    small = subsample(data, units, max(numbers), family, rng, fitted, cores)
    results, held_out = {}, {}
    for parameters in _walk(small, numbers, rng):
        k = len(parameters.weights)
        if len(small.rows.values) < 0.5 * np.count_nonzero(fitted):
            parameters = _polish(fitted_problem, parameters, PASSES_AT_STOP).parameters
        held_out[k] = expect(kept_problem, parameters)[0] - np.log(units.scale).sum()
        results[k] = _polish(problem, parameters, PASSES_AT_STOP)
    bics = {k: _bic(problem, result) for k, result in results.items()}
    for k in sorted(results, key=bics.__getitem__):
        gain = GAIN_FACTOR * remaining_gain(*results[k].trace[-3:])
        if bics[k] - 2.0 * problem.n_effective * gain <= min(bics.values()):
            results[k] = _polish(problem, results[k].parameters, PATH_PASSES)
            bics[k] = _bic(problem, results[k])
    ks = sorted(results)
    optima = [units.to_user(results[k], family, problem.n_effective) for k in ks]
    jacobian = 2.0 * problem.n_effective * np.log(units.scale).sum()
    bic = np.array([bics[k] for k in ks]) + jacobian
    entropies = [assignment_entropy(problem, results[k].parameters) for k in ks]
    return ComponentPath(
        np.array(ks),
        np.array([optimum.log_likelihood for optimum in optima]),
        bic,
        bic + 2.0 * np.array(entropies),
        np.array([held_out[k] for k in ks]),
        tuple(optima),
    )


def _walk(problem: Problem, numbers: range, rng: np.random.Generator) -> Iterator[Parameters]:
    """Yield parameters for the largest of `numbers`, and for the others by merging two at a time."""
    parameters, shrinkage = covered(problem, max(numbers), rng, COVER_FACTOR)
    for k in range(max(numbers), min(numbers) - 1, -1):
        if k < len(parameters.weights):
            parameters = merge_cheapest(problem, parameters, 1)
        parameters = run_passes(problem, parameters, PASSES_OF_WALK, shrinkage)
        yield parameters


def n_parameters(family: Family, n_components: int, n_features: int) -> int:
    """Return how many free numbers a mixture has: weights, means and covariances."""
    return (
        n_components - 1
        + n_components * n_features
        + family.n_parameters(n_components, n_features)
    )  # fmt: skip


def assignment_entropy(problem: Problem, parameters: Parameters) -> float:
    """Return the entropy of the rows' assignments to components, summed over rows, in nats."""
    components = components_of(*parameters, problem.family)
    total, _ = problem.blocks.sum(
        lambda start, stop, _: moments.assignment_entropy(problem.rows, components, start, stop),
        (),
    )
    return total


def _bic(problem: Problem, result: EMResult) -> float:
    size = n_parameters(problem.family, *result.parameters.means.shape)
    n = problem.n_effective
    return -2.0 * n * result.log_likelihood + size * np.log(n)


def _polish(problem: Problem, parameters: Parameters, max_passes: int) -> EMResult:
    return run_em(problem, parameters, tolerance=PATH_TOLERANCE, max_passes=max_passes)


def _split(
    n_rows: int, row_weights: np.ndarray | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of the rows that are fitted and of those kept apart; others have 0."""
    weights = np.ones(n_rows) if row_weights is None else row_weights.astype(float)
    counting = rng.permutation(np.flatnonzero(weights > 0.0))
    kept = np.zeros(n_rows, bool)
    kept[counting[: max(1, len(counting) // FOLDS)]] = True
    return np.where(kept, 0.0, weights), np.where(kept, weights, 0.0)
