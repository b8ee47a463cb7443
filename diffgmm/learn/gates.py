"""How many gates a diffusion model has: by held-out denoising loss, and only on evidence.

The gates of a score model are the components of its mixture. The denoising loss of a mixture,
integrated over noise levels with weight 1/t per log t, is its negative log density up to a constant
(`design/0005-continuous.md`), so held-out log density is held-out denoising loss without the noise.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..blocks import check_cores
from ..covariance import Family, components_of
from ..data import Data
from ..kernels import gaussian
from .candidates import PASSES_ON_COVER
from .em import Parameters, Problem, run_em, run_passes
from .path import n_parameters
from .reduction import merge_cheapest, reduce_to
from .search import Optimum, Units
from .warm_start import cover

# Numbers of gates, each about a third more than the one below it.
NUMBERS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)

# Fitted rows for every free number of a mixture, at least.
ROWS_PER_PARAMETER = 5

# Components of the cover for every gate: this search need not find the best optimum.
COVER_FACTOR = 2.0

# Rows that the choice looks at, the share of them that is held out, and how often, each time others.
MOST_ROWS = 20_000
HELD_OUT = 0.2
FEWEST_ROWS = round(1.0 / HELD_OUT)
N_SPLITS = 4

# Nats per row left to gain where EM stops, and passes at each number.
TOLERANCE = 1e-5
PASSES = 20
MOST_PASSES = 200  # of the last one, on all rows

# Standard errors by which some other number must beat the one that BIC chose. Where a mixture is
# right, q parameters too many cost q / 2n nats per row: no larger number got there in 50 data sets.
EVIDENCE = 1.0


@dataclass(frozen=True, eq=False)
class GateChoice:
    """Numbers of gates and what they were worth on held-out rows.

    chosen : number of gates.   reference : the number that BIC chose.
    numbers : (P,) increasing.
    gains : (P,) mean held-out log density above that of the reference, in nats per row; this is
        how much less held-out denoising loss there is.
    errors : (P,) standard errors of the gains; rows are the unit.
    """

    chosen: int
    reference: int
    numbers: np.ndarray
    gains: np.ndarray
    errors: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, ready for JSON."""
        return {each.name: np.asarray(getattr(self, each.name)).tolist() for each in fields(self)}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> "GateChoice":
        """Return the choice that `to_dict` described."""
        arrays = {name: np.array(state[name]) for name in ("numbers", "gains", "errors")}
        return cls(state["chosen"], state["reference"], **arrays)


def choose_gates(
    data: Data,
    family: Family,
    reference: int,
    *,
    rng: np.random.Generator,
    row_weights: np.ndarray | None = None,
    cores: int | None = None,
) -> tuple[GateChoice, Optimum | None]:
    """Return how many gates to use, and their mixture where that is not BIC's choice.

    Parameters
    ----------
    data : Data
    family : Family
    reference : int
        Number of components that BIC chose.
    rng : Generator
    row_weights : ndarray, shape (N,), optional
    cores : int, optional

    Returns
    -------
    choice : GateChoice
    optimum : Optimum or None
        Fitted to all rows, in the user's units; None where the reference is chosen.

    Notes
    -----
    One reduction from a cover visits every number. If any number beats the reference by EVIDENCE
    standard errors of their difference, row by row, the largest is taken that is within one
    standard error of the best: too many gates cost some density, too few displace whole regions.
    """
    units = Units.of(data, family)
    weights = np.ones(data.n_rows) if row_weights is None else row_weights.astype(float)
    rows = rng.permutation(np.flatnonzero(weights > 0.0))[:MOST_ROWS]
    numbers = _numbers(len(rows) * (1.0 - HELD_OUT), data.n_features, family, reference)
    folds = [np.sort(own) for own in np.array_split(rows, FEWEST_ROWS)[:N_SPLITS]]

    def judged(kept: np.ndarray, seed: np.random.Generator):
        fitted = np.setdiff1d(rows, kept, assume_unique=True)
        problem, judge = (
            _problem(data, units, family, np.sort(own), row_weights) for own in (fitted, kept)
        )
        found = _descend(problem, numbers, seed)
        return found, np.array([_log_density(judge, found[number]) for number in numbers])

    with ThreadPoolExecutor(min(check_cores(cores), N_SPLITS)) as pool:
        results = list(pool.map(judged, folds, rng.spawn(len(folds))))
    densities = np.concatenate([own for _, own in results], axis=1)
    choice = _choose(numbers, reference, densities, weights[np.concatenate(folds)])
    if choice.chosen == reference:
        return choice, None
    whole = Problem.of(data.rows(units.shift, units.scale, row_weights), family, cores)
    result = run_em(whole, results[0][0][choice.chosen], max_passes=MOST_PASSES)
    return choice, units.to_user(result, family, whole.n_effective)


def _choose(
    numbers: list[int], reference: int, densities: np.ndarray, weights: np.ndarray
) -> GateChoice:
    """Return the choice, from the log densities (P, N) of held-out rows with weights (N,)."""
    gains, errors = _gains(densities, densities[numbers.index(reference)], weights)
    chosen = reference
    if np.any(gains > EVIDENCE * errors):
        losses, of_losses = _gains(densities, densities[int(np.argmax(gains))], weights)
        chosen = max(np.array(numbers)[losses >= -of_losses])
    return GateChoice(int(chosen), reference, np.array(numbers), gains, errors)


def _gains(
    densities: np.ndarray, reference: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean differences (P,) of log densities (P, N) to others (N,), and standard errors."""
    share = weights / weights.sum()
    differences = densities - reference
    gains = differences @ share
    return gains, np.sqrt(np.square(share * (differences - gains[:, None])).sum(axis=1))


def _numbers(n_rows: float, n_features: int, family: Family, reference: int) -> list[int]:
    """Return the numbers to try, increasing: those that the rows can carry, and the reference."""
    affordable = [
        number
        for number in NUMBERS
        if ROWS_PER_PARAMETER * n_parameters(family, number, n_features) <= n_rows
    ]
    return sorted({*affordable, reference})


def _problem(
    data: Data,
    units: Units,
    family: Family,
    rows: np.ndarray,
    row_weights: np.ndarray | None,
) -> Problem:
    """Return the problem of some rows, standardised and contiguous, for one thread."""
    points = Data.of((data.values[rows] - units.shift) / units.scale)
    weights = None if row_weights is None else row_weights[rows]
    unit = np.ones(data.n_features)
    return Problem.of(points.rows(0.0 * unit, unit, weights), family, 1)


def _descend(
    problem: Problem, numbers: list[int], rng: np.random.Generator
) -> dict[int, Parameters]:
    """Return the parameters at every number, from the largest down."""
    found = {}
    parameters = _start(problem, numbers[-1], rng)
    for number in reversed(numbers):
        parameters = _reduce(problem, parameters, number)
        parameters = run_em(problem, parameters, tolerance=TOLERANCE, max_passes=PASSES).parameters
        found[number] = parameters
    return found


def _start(problem: Problem, n_gates: int, rng: np.random.Generator) -> Parameters:
    """Return a cover of the rows, reduced to `n_gates`."""
    start, shrinkage = cover(problem, int(np.ceil(COVER_FACTOR * n_gates)), rng)
    start = run_passes(problem, start, PASSES_ON_COVER, shrinkage)
    start = reduce_to(problem, start, n_gates, shrinkage)
    return run_passes(problem, start, PASSES_ON_COVER, shrinkage)


def _reduce(problem: Problem, parameters: Parameters, n_gates: int) -> Parameters:
    """Return parameters with `n_gates`, by merges one by one with an EM pass after each."""
    while len(parameters.weights) > n_gates:
        parameters = merge_cheapest(problem, parameters, 1)
        parameters = run_passes(problem, parameters, 1)
    return parameters


def _log_density(problem: Problem, parameters: Parameters) -> np.ndarray:
    """Return the log density of every row, (N,)."""
    components = components_of(*parameters, problem.family)
    out = np.empty(len(problem.rows.values))
    problem.blocks.map(
        lambda start, stop: gaussian.log_density(problem.rows, components, start, stop, out)
    )
    return out
