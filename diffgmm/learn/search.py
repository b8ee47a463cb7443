"""The search for the best optimum: cover, reduce, move, and only then polish.

Rows -> covers of more components on a subsample -> rounds of cheapest merges down to K ->
split-merge moves and local swaps until none improves -> EM on all rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .._seeding import Seed, generator
from ..covariance import Family
from ..data import Data
from .candidates import COVER_FACTOR, SMALLEST_GAIN, cover_size, find_candidates
from .em import EMResult, Parameters, Problem, expect, gradient_norm, run_em, worth

# Rows that the search looks at: enough that the smallest component keeps a few dozen of them.
SEARCH_ROWS = 6_000
ROWS_PER_CENTRE = 20
ROWS_PER_CENTRE_AND_FEATURE = 3

# Passes of the polish that a Ctrl-C can cost, and of the whole polish.
PASSES_PER_STRETCH = 100
MOST_PASSES = 2000


@dataclass(frozen=True, eq=False)
class Optimum:
    """Where a fit ended, in the user's units.

    weights (K,), means (K, D), covariances in the family's shape.
    log_likelihood : of all rows, in nats.   trace : mean log likelihood per row on the way.
    converged : whether less than the tolerance was left to gain.
    gradient_norm : of the mean log likelihood, free of units (`em.gradient_norm`).
    interrupted : whether Ctrl-C ended the search or the polish.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    log_likelihood: float
    trace: np.ndarray
    converged: bool
    gradient_norm: float
    interrupted: bool = False

    def heaviest_first(self) -> "Optimum":
        """Return the same with the components by weight: which of equal ones was met first is chance."""
        order = np.argsort(-self.weights, kind="stable")
        own = {name: getattr(self, name)[order] for name in ("weights", "means", "covariances")}
        return replace(self, **own)


@dataclass(frozen=True, eq=False)
class Units:
    """The affine map between the user's units and those in which a fit is computed."""

    shift: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, data: Data, family: Family) -> "Units":
        """Return the columns' means, and standard deviations as far as the family allows."""
        scale = np.where(data.scales > 0.0, data.scales, 1.0)
        if family.scaling == "common":
            scale = np.full_like(scale, np.sqrt(np.mean(np.square(scale))))
        elif family.scaling == "none":
            scale = np.ones_like(scale)
        return cls(data.means, scale)

    def from_user(self, optimum: Optimum, family: Family) -> Parameters:
        """Return the parameters of an optimum in the units of the computation."""
        covariances = family.rescale(optimum.covariances, 1.0 / self.scale)
        return Parameters(optimum.weights, (optimum.means - self.shift) / self.scale, covariances)

    def to_user(self, result: EMResult, family: Family, n_effective: float) -> Optimum:
        """Return a result of EM in the user's units, Jacobian included."""
        weights, means, covariances = result.parameters
        jacobian = np.log(self.scale).sum()
        return Optimum(
            weights,
            means * self.scale + self.shift,
            family.rescale(covariances, self.scale),
            n_effective * (result.log_likelihood - jacobian),
            np.array(result.trace) - jacobian,
            result.converged,
            result.gradient_norm,
        )


def search(
    data: Data,
    n_components: int,
    family: Family,
    *,
    seed: Seed = None,
    row_weights: np.ndarray | None = None,
    cores: int | None = None,
    n_others: int = 0,
    also: Sequence[Optimum] = (),
) -> tuple[Optimum, list[Optimum]]:
    """Return the best optimum found and up to `n_others` different ones met on the way.

    Parameters
    ----------
    data : Data
    n_components : int
        K, at most the number of distinct rows.
    family : Family
    seed : seed
    row_weights : ndarray, shape (N,), optional
        How often each row counts.
    cores : int, optional
        Threads for passes over more than one chunk of rows.
    n_others : int, default 0
        How many abandoned optima to polish and return as well.
    also : sequence of Optimum
        Other starts, polished as well; the best of all is returned.
    """
    rng = generator(seed)
    units = Units.of(data, family)
    rows = data.rows(units.shift, units.scale, row_weights)
    problem = Problem.of(rows, family, cores)
    starts = [units.from_user(optimum, family) for optimum in also]
    abandoned: list[Parameters] = []
    interrupted = False
    try:
        best, abandoned, interrupted = find_start(
            data, units, n_components, family, rng, row_weights, cores
        )
        starts.insert(0, best)
    except KeyboardInterrupt:
        if not starts:
            raise
        interrupted = True
    result, interrupted = _polish_best(problem, starts, interrupted)
    found = units.to_user(result, family, problem.n_effective)
    found = replace(found, interrupted=interrupted)
    others = [
        units.to_user(run_em(problem, parameters), family, problem.n_effective)
        for parameters in ([] if interrupted else abandoned[::-1][:n_others])
    ]
    return found, [
        other
        for other in others
        if abs(other.log_likelihood - found.log_likelihood) > SMALLEST_GAIN * problem.n_effective
    ]


def _polish_best(
    problem: Problem, starts: list[Parameters], interrupted: bool
) -> tuple[EMResult, bool]:
    """Return the result of EM from `starts` with the most worth, and whether Ctrl-C has cut it."""
    results: list[EMResult] = []
    for start in starts:
        result, interrupted = _polish(problem, start, interrupted)
        results.append(result)
    worths = [worth(problem, each.parameters, each.log_likelihood) for each in results]
    return results[int(np.argmax(worths))], interrupted


def _polish(problem: Problem, start: Parameters, interrupted: bool) -> tuple[EMResult, bool]:
    """Return where EM leads; after a Ctrl-C, the end of its last stretch or the start itself."""
    result: EMResult | None = None
    trace: list[float] = []
    n_passes = 0
    try:
        while not interrupted and n_passes < MOST_PASSES:
            result = run_em(problem, start, max_passes=PASSES_PER_STRETCH)
            start, trace, n_passes = result.parameters, trace + result.trace, n_passes + result.n_passes
            if result.converged:
                break
    except KeyboardInterrupt:
        interrupted = True
    if result is None:
        value, statistics = expect(problem, start)
        gradient = gradient_norm(problem, start, statistics)
        result, trace, n_passes = EMResult(start, value, [], False, 1, gradient), [value], 1
    return result._replace(trace=trace, n_passes=n_passes), interrupted


def find_start(
    data: Data,
    units: Units,
    n_components: int,
    family: Family,
    rng: np.random.Generator,
    row_weights: np.ndarray | None = None,
    cores: int | None = None,
    compares: bool = True,
) -> tuple[Parameters, list[Parameters], bool]:
    """Return the best parameters that the search meets on a subsample, and those it left behind.

    Where it `compares` covers, those of small problems are optima already (`find_candidates`).
    The last value says whether Ctrl-C ended the search; before it has met any, the exception goes
    through.
    """
    small = subsample(data, units, n_components, family, rng, row_weights, cores)
    return find_candidates(small, n_components, rng, compares=compares)


def subsample(
    data: Data,
    units: Units,
    n_components: int,
    family: Family,
    rng: np.random.Generator,
    row_weights: np.ndarray | None,
    cores: int | None,
) -> Problem:
    """Return the problem of the rows that the search looks at, standardised and contiguous."""
    n_centres = cover_size(n_components, COVER_FACTOR)
    per_centre = max(ROWS_PER_CENTRE, ROWS_PER_CENTRE_AND_FEATURE * data.n_features)
    n = max(SEARCH_ROWS, n_centres * per_centre)
    values = data.values
    counting = None if row_weights is None else np.flatnonzero(row_weights > 0.0)
    available = data.n_rows if counting is None else len(counting)
    if n < available or available < data.n_rows:
        chosen = np.sort(rng.choice(available, size=min(n, available), replace=False))
        chosen = chosen if counting is None else counting[chosen]
        values = values[chosen]
        row_weights = None if row_weights is None else row_weights[chosen]
    if row_weights is not None:  # what the search shrinks by is counted in rows
        row_weights = row_weights / row_weights.mean()
    points = Data.of((values - units.shift) / units.scale)
    ones = np.ones(data.n_features)
    return Problem.of(points.rows(0.0 * ones, ones, row_weights), family, cores)
