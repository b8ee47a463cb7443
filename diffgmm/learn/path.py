"""How many components: every number from one reduction, with what each costs and explains.

The reduction from a cover visits every number of components anyway. Each stop is polished, and
BIC, ICL and held-out log likelihood are noted, so that choosing K costs little more than one fit.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..covariance import Family, components_of
from ..data import Data
from ..kernels import moments
from .em import EMResult, Parameters, Problem, expect, run_em
from .reduction import merge_cheapest
from .search import Optimum, Units, find_start

# Components tried by default: up to this many, and never more than leave ROWS_PER_COMPONENT rows
# to each.
LARGEST_DEFAULT = 15
ROWS_PER_COMPONENT = 10

# One row in five is held out.
FOLDS = 5

# Information criteria differ by log(n) / 2 nats per parameter: EM need not go on below this.
PATH_TOLERANCE = 1e-5
PATH_PASSES = 60

CRITERIA = ("n_components", "log_likelihood", "bic", "icl", "held_out")


@dataclass(frozen=True, eq=False)
class ComponentPath:
    """What every number of components explains.

    n_components : (P,) numbers tried, increasing.
    log_likelihood : (P,) of all rows, in nats.
    bic, icl : (P,) smaller is better; icl adds twice the entropy of the assignments to bic.
    held_out : (P,) mean log density, in nats, of one row in five under fits to the other four that
        have never seen it.
    optima : P Optimum, in the user's units.
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

    def problem_of(weights: np.ndarray | None) -> Problem:
        return Problem.of(data.rows(units.shift, units.scale, weights), family, cores)

    fitted, kept = _split(data.n_rows, row_weights, rng)
    problem, fitted_problem, kept_problem = map(problem_of, (row_weights, fitted, kept))
    # The path is that of the fitted rows; every stop is then polished on all rows. The other way
    # round the kept rows would have shaped the fits that they judge.
    parameters, _ = find_start(data, units, max(numbers), family, rng, fitted, cores)
    rows = []
    for k in range(max(numbers), min(numbers) - 1, -1):
        if k < len(parameters.weights):
            parameters = merge_cheapest(fitted_problem, parameters, 1)
        parameters = _polish(fitted_problem, parameters).parameters
        if k in numbers:
            held_out = expect(kept_problem, parameters)[0] - np.log(units.scale).sum()
            result = _polish(problem, parameters)
            rows.append((k, *_criteria(problem, result, units), held_out))
    rows.reverse()
    n_components, optima, bic, icl, held = zip(*rows, strict=True)
    return ComponentPath(
        np.array(n_components),
        np.array([optimum.log_likelihood for optimum in optima]),
        np.array(bic),
        np.array(icl),
        np.array(held),
        optima,
    )


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


def _criteria(problem: Problem, result: EMResult, units: Units) -> tuple[Optimum, float, float]:
    optimum = units.to_user(result, problem.family, problem.n_effective)
    size = n_parameters(problem.family, *result.parameters.means.shape)
    bic = -2.0 * optimum.log_likelihood + size * np.log(problem.n_effective)
    return optimum, bic, bic + 2.0 * assignment_entropy(problem, result.parameters)


def _polish(problem: Problem, parameters: Parameters) -> EMResult:
    return run_em(problem, parameters, tolerance=PATH_TOLERANCE, max_passes=PATH_PASSES)


def _split(
    n_rows: int, row_weights: np.ndarray | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of the rows that are fitted and of those kept apart; others have 0."""
    weights = np.ones(n_rows) if row_weights is None else row_weights.astype(float)
    counting = rng.permutation(np.flatnonzero(weights > 0.0))
    kept = np.zeros(n_rows, bool)
    kept[counting[: max(1, len(counting) // FOLDS)]] = True
    return np.where(kept, 0.0, weights), np.where(kept, weights, 0.0)
