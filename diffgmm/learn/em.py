"""Expectation maximisation: the polish of a fit, never its search.

One pass gives the log likelihood of the parameters it starts from and the statistics of the next
ones. The tail of EM is linear and can be slow, so passes are extrapolated (SQUAREM); an
extrapolated step is kept only if the log likelihood does not fall.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..blocks import RowBlocks
from ..covariance import Family, components_of
from ..kernels import moments
from ..kernels.bundles import Rows

# A component must hold this share of one row; below it its parameters stay as they are.
SMALLEST_COUNT = 1e-8

# Nats per row still to be gained when EM stops: a hundredth of what anybody would notice.
TOLERANCE = 1e-6

# Squared extrapolation is tried when the passes still move and stops at this step length.
LONGEST_STEP = 256.0


class Parameters(NamedTuple):
    """A mixture in the units that kernels see: weights (K,), means (K, D), its family's covariances."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows to fit, cut into chunks, and the covariance family.

    n_effective : the number of rows, or the sum of their weights.
    """

    rows: Rows
    blocks: RowBlocks
    family: Family
    n_effective: float

    @classmethod
    def of(cls, rows: Rows, family: Family, cores: int | None = None) -> "Problem":
        """Return the problem of fitting `rows` with components of `family`."""
        weights = rows.weights
        n = float(weights.sum()) if weights.size else float(rows.values.shape[0])
        return cls(rows, RowBlocks(*rows.values.shape, cores), family, n)


class Shrinkage(NamedTuple):
    """Prior counts that keep small components from collapsing while the search runs.

    covariance : what every covariance is drawn to, one entry of the family's shape.
    count : with the weight of so many rows.
    """

    covariance: np.ndarray
    count: float


class EMResult(NamedTuple):
    """What EM arrived at: log likelihoods are means per row, in nats, before each pass."""

    parameters: Parameters
    log_likelihood: float
    trace: list[float]
    converged: bool
    n_passes: int


def expect(problem: Problem, parameters: Parameters) -> tuple[float, tuple[np.ndarray, ...]]:
    """Return the mean log likelihood per row and the sufficient statistics of `parameters`."""
    n_components, n_features = parameters.means.shape
    components = components_of(*parameters, problem.family)
    total, statistics = problem.blocks.sum(
        lambda start, stop, out: moments.expectation(problem.rows, components, start, stop, out),
        (
            (n_components,),
            (n_components, n_features),
            problem.family.moment_shape(n_components, n_features),
        ),
    )
    return total / problem.n_effective, statistics


def maximise(
    problem: Problem,
    parameters: Parameters,
    statistics: tuple[np.ndarray, ...],
    shrinkage: Shrinkage | None = None,
) -> Parameters:
    """Return the parameters that maximise the expected log likelihood of `statistics`."""
    counts, first, second = statistics
    weights = counts / counts.sum()
    alive = counts > SMALLEST_COUNT
    safe = np.where(alive, counts, 1.0)
    means = parameters.means + np.where(alive[:, None], first / safe[:, None], 0.0)
    covariances = problem.family.estimate(safe, first, second)
    if shrinkage is not None and problem.family.is_free:
        share = shrinkage.count / (safe + shrinkage.count)
        share = share.reshape(-1, *[1] * (covariances.ndim - 1))
        covariances = (1.0 - share) * covariances + share * shrinkage.covariance
    if not alive.all():
        keep = alive.reshape(-1, *[1] * (covariances.ndim - 1))
        covariances = np.where(keep, covariances, parameters.covariances)
    return Parameters(weights, means, covariances)


def run_passes(
    problem: Problem, parameters: Parameters, n_passes: int, shrinkage: Shrinkage | None = None
) -> tuple[Parameters, float]:
    """Return the parameters after exactly `n_passes` and what they are worth before the last one.

    Returns
    -------
    parameters : Parameters
    worth : float
        Mean log likelihood per row less its expected optimism, in nats: what fresh rows would
        have. A component that collapses onto a few rows gains likelihood and loses worth.
    """
    worth = -np.inf
    for _ in range(n_passes):
        log_likelihood, statistics = expect(problem, parameters)
        optimism = problem.family.optimism(statistics[0], parameters.means.shape[1])
        worth = log_likelihood - optimism.sum() / problem.n_effective
        parameters = maximise(problem, parameters, statistics, shrinkage)
    return parameters, worth


def run_em(
    problem: Problem, parameters: Parameters, *, tolerance: float = TOLERANCE, max_passes: int = 2000
) -> EMResult:
    """Run accelerated EM until the gain still to come is below `tolerance` nats per row.

    Parameters
    ----------
    problem, parameters
        Rows and where to start.
    tolerance : float
        Gains of EM shrink geometrically; what is left is estimated from the last two (Aitken).
    max_passes : int
        Passes over the rows.

    References
    ----------
    Varadhan, Roland (2008), Scandinavian Journal of Statistics 35, scheme SqS3.
    """
    trace: list[float] = []
    here = parameters
    value, statistics = expect(problem, here)
    trace.append(value)
    small_gains = 0
    while len(trace) < max_passes:
        one = maximise(problem, here, statistics)
        value_one, statistics_one = expect(problem, one)
        two = maximise(problem, one, statistics_one)
        trace.append(value_one)
        leap = extrapolate(problem.family, here, one, two)
        if leap is None:
            value_new, statistics_new, new = *expect(problem, two), two
        else:
            value_new, statistics_new = expect(problem, leap)
            new = leap
            if not value_new >= value_one:
                trace.append(value_one)
                value_new, statistics_new, new = *expect(problem, two), two
        trace.append(value_new)
        small_gains = small_gains + 1 if remaining_gain(value, value_one, value_new) < tolerance else 0
        value, statistics, here = value_new, statistics_new, new
        if small_gains >= 2:
            return EMResult(here, value, trace, True, len(trace))
    return EMResult(here, value, trace, False, len(trace))


def remaining_gain(before: float, middle: float, after: float) -> float:
    """Return the log likelihood still to be gained, from three successive values."""
    first, second = middle - before, after - middle
    if second <= 0.0:
        return max(first, 0.0)
    if first <= second:
        return max(first, second) * 10.0
    return second * second / (first - second) + second


def extrapolate(
    family: Family, start: Parameters, one: Parameters, two: Parameters
) -> Parameters | None:
    """Return the squared extrapolation of two EM steps, or None where it leaves the domain."""
    points = [
        (np.log(np.maximum(p.weights, 1e-300)), p.means, p.covariances)
        for p in (start, one, two)
    ]
    step = [b - a for a, b in zip(points[0], points[1], strict=True)]
    bend = [c - 2.0 * b + a for a, b, c in zip(*points, strict=True)]
    norm_step = sum(np.vdot(s, s) for s in step)
    norm_bend = sum(np.vdot(b, b) for b in bend)
    if not norm_bend > 0.0:
        return None
    alpha = min(np.sqrt(norm_step / norm_bend), LONGEST_STEP)
    if alpha <= 1.0:
        return None
    log_weights, means, covariances = (
        p + 2.0 * alpha * s + alpha * alpha * b
        for p, s, b in zip(points[0], step, bend, strict=True)
    )
    weights = np.exp(log_weights - log_weights.max())
    try:
        family.factors(covariances, means.shape[1])
    except np.linalg.LinAlgError:
        return None
    return Parameters(weights / weights.sum(), means, covariances)
