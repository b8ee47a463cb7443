"""Expectation maximisation: the polish of a fit, never its search.

One pass gives the log likelihood of the parameters it starts from and the statistics of the next
ones. The tail of EM is linear and can be slow, so passes are extrapolated (SQUAREM); an
extrapolated step is kept only if the log likelihood does not fall.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..blocks import RowBlocks
from ..covariance import Family, components_of
from ..kernels import moments
from ..kernels.bundles import Rows
from ..matrices import symmetric
from .marginal_likelihood import own_occam_factors, prior_of

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
        n_rows, n_features = rows.values.shape
        return cls(rows, RowBlocks(n_rows, n_features, cores), family, n)


class Shrinkage(NamedTuple):
    """Prior counts that keep small components from collapsing while the search runs.

    covariance : what every covariance is drawn to, one entry of the family's shape.
    n_rows : with the weight of so many rows.
    """

    covariance: np.ndarray
    n_rows: float


class EMResult(NamedTuple):
    """What EM arrived at: log likelihoods are means per row, in nats.

    trace : of every parameters that were kept, the last ones included.
    """

    parameters: Parameters
    log_likelihood: float
    trace: list[float]
    converged: bool
    n_passes: int
    gradient_norm: float


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
    all_alive = counts.min() > SMALLEST_COUNT
    safe = counts if all_alive else np.maximum(counts, SMALLEST_COUNT)
    step = first / safe[:, None]
    if not all_alive:
        alive = safe > SMALLEST_COUNT
        step = np.where(alive[:, None], step, 0.0)
    means = parameters.means + step
    covariances = problem.family.estimate(safe, first, second)
    if shrinkage is not None and problem.family.is_free:
        share = shrinkage.n_rows / (safe + shrinkage.n_rows)
        share = share.reshape(-1, *[1] * (covariances.ndim - 1))
        covariances = (1.0 - share) * covariances + share * shrinkage.covariance
    if not all_alive and not problem.family.is_shared:
        keep = alive.reshape(-1, *[1] * (covariances.ndim - 1))
        covariances = np.where(keep, covariances, parameters.covariances)
    return Parameters(weights, means, covariances)


def run_passes(
    problem: Problem, parameters: Parameters, n_passes: int, shrinkage: Shrinkage | None = None
) -> Parameters:
    """Return the parameters after exactly `n_passes`."""
    for _ in range(n_passes):
        _, statistics = expect(problem, parameters)
        parameters = maximise(problem, parameters, statistics, shrinkage)
    return parameters


def run_prior_passes(problem: Problem, parameters: Parameters, n_passes: int) -> Parameters:
    """Return the parameters after exactly `n_passes`, one or more, under the prior that they suggest.

    Where components resemble one another, a small one that has taken rows of a large one for its
    own, and is wider for them, cannot keep them: its covariance is drawn to that of the others.
    Covariances that are shared or known need no prior.
    """
    if problem.family.is_shared:
        return run_passes(problem, parameters, n_passes)
    _, statistics = expect(problem, parameters)
    weights, means, covariances = maximise(problem, parameters, statistics)
    prior = prior_of(problem.family, weights * problem.n_effective, means, covariances)
    per_row = means.shape[1] if covariances.ndim == 1 else 1  # a variance that all features share
    shrinkage = Shrinkage(prior.covariance[0], prior.n_rows / per_row)
    parameters = maximise(problem, parameters, statistics, shrinkage)
    return run_passes(problem, parameters, n_passes - 1, shrinkage)


def run_and_judge(
    problem: Problem, parameters: Parameters, n_passes: int
) -> tuple[Parameters, float]:
    """Return the parameters after exactly `n_passes`, one or more, and their worth before the last."""
    parameters = run_passes(problem, parameters, n_passes - 1)
    log_likelihood, statistics = expect(problem, parameters)
    value = worth(problem, parameters, log_likelihood)
    return maximise(problem, parameters, statistics), value


def worth(problem: Problem, parameters: Parameters, log_likelihood: float) -> float:
    """Return the log marginal likelihood (`marginal_likelihood.occam_factors`) per row, in nats.

    A component that collapses onto a few rows gains likelihood and loses worth.
    """
    weights, means, covariances = parameters
    counts = weights * problem.n_effective
    factors = own_occam_factors(problem.family, counts, means, covariances)
    return log_likelihood - factors.sum() / problem.n_effective


def run_em(
    problem: Problem,
    parameters: Parameters,
    *,
    tolerance: float = TOLERANCE,
    max_passes: int = 2000,
    ends_at: Callable[[Parameters, float], object] = lambda parameters, log_likelihood: None,
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
    ends_at : callable
        Given parameters and their log likelihood per row; EM ends where it returns anything true.

    References
    ----------
    Varadhan, Roland (2008), Scandinavian Journal of Statistics 35, scheme SqS3.
    """
    here = _stand(problem, parameters)
    trace, n_passes, small_gains = [here.value], 1, 0
    while n_passes < max_passes and small_gains < 2 and not ends_at(here.parameters, here.value):
        one = _stand(problem, maximise(problem, here.parameters, here.statistics))
        two = maximise(problem, one.parameters, one.statistics)
        leap = extrapolate(problem.family, here.parameters, one.parameters, two)
        new = _stand(problem, two if leap is None else leap)
        n_passes += 2
        if leap is not None and not new.value >= one.value:
            new = _stand(problem, two)
            n_passes += 1
        small = remaining_gain(here.value, one.value, new.value) < tolerance
        small_gains = small_gains + 1 if small else 0
        trace += [one.value, new.value]
        here = new
    gradient = gradient_norm(problem, here.parameters, here.statistics)
    return EMResult(here.parameters, here.value, trace, small_gains >= 2, n_passes, gradient)


class _Stand(NamedTuple):
    """Where EM stands: parameters, their log likelihood per row, and the statistics of a pass."""

    parameters: Parameters
    value: float
    statistics: tuple[np.ndarray, ...]


def _stand(problem: Problem, parameters: Parameters) -> _Stand:
    return _Stand(parameters, *expect(problem, parameters))


def gradient_norm(
    problem: Problem, parameters: Parameters, statistics: tuple[np.ndarray, ...]
) -> float:
    """Return the length of the gradient of the mean log likelihood, free of units.

    Means are measured in standard deviations of their component, covariances relative to
    themselves and weights on the simplex, so that 1e-6 means as much for every mixture.

    Equations: in whitened coordinates, sum_i r_ij u_i / n and sum_i r_ij (u_i u_i' - I) / 2n.
    """
    counts, first, second = statistics
    n, family = problem.n_effective, problem.family
    factors, _ = family.factors(parameters.covariances, parameters.means.shape[1])
    if factors.ndim == 3:
        white = np.einsum("kab,kb->ka", factors, first)
    else:
        white = factors.reshape(len(factors), -1) * first
    parts = [white, counts - counts.sum() * parameters.weights]
    if family.is_free and second.ndim == 3:
        excess = factors @ symmetric(second) @ np.swapaxes(factors, 1, 2)
        excess -= counts[:, None, None] * np.eye(first.shape[1])
        parts.append(0.5 * (excess.sum(axis=0) if family.is_shared else excess))
    elif family.is_free:
        excess = second * factors.reshape(len(factors), -1) ** 2 - counts[:, None]
        parts.append(0.5 * (excess if factors.ndim == 2 else excess.sum(axis=1)))
    return float(np.sqrt(sum(np.square(part).sum() for part in parts)) / n)


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
    here = _coordinates(start)
    middle = _coordinates(one)
    step = middle - here
    bend = (_coordinates(two) - middle) - step
    norm_bend = float(bend @ bend)
    if not norm_bend > 0.0:
        return None
    alpha = min(math.sqrt(float(step @ step) / norm_bend), LONGEST_STEP)
    if alpha <= 1.0:
        return None
    leap = here + (2.0 * alpha) * step + (alpha * alpha) * bend
    k, n_means = len(start.weights), start.means.size
    weights = np.exp(leap[:k] - leap[:k].max())
    means = leap[k : k + n_means].reshape(start.means.shape)
    covariances = leap[k + n_means :].reshape(start.covariances.shape)
    try:
        family.factors(covariances, means.shape[1])
    except np.linalg.LinAlgError:
        return None
    return Parameters(weights / weights.sum(), means, covariances)


def _coordinates(parameters: Parameters) -> np.ndarray:
    """Return log weights, means and covariances as one vector."""
    weights, means, covariances = parameters
    logs = np.log(np.maximum(weights, 1e-300))
    return np.concatenate([logs, means.ravel(), covariances.ravel()])
