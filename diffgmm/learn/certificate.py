"""The certificate of a nonparametric estimate: where the directional derivative exceeds 1."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ..blocks import check_cores
from ..covariance import LOG_2PI, components_of
from ..kernels import gaussian
from ..kernels import npmle as kernels
from .em import Parameters, Problem

# Ascents of the directional derivative: short ones from every start, then long ones from the best.
# A step of mean shift is over-relaxed: 1 never descends, 2 would not converge.
SHORT_ASCENT = 12
LONG_ASCENT = 60
LONG_STARTS = 200
OVER_RELAXATION = 1.8
POINTS_PER_TASK = 128

# Maxima nearer than this to a higher one, in standard deviations of the noise, are the same.
SAME_MAXIMUM = 0.2

# Beyond exp(700) there is no float64: the derivative far from every atom is cut off there.
LARGEST_LOG = 700.0


@dataclass(frozen=True, eq=False)
class Certificate:
    """Local maxima of D found, highest first: (M, D) and their values (M,)."""

    maxima: np.ndarray
    values: np.ndarray

    @property
    def gap(self) -> float:
        """How far the largest value is above 1."""
        return max(float(self.values[0]) - 1.0, 0.0)

    @property
    def largest_at(self) -> np.ndarray:
        """Where D is largest, (D,)."""
        return self.maxima[0]


def certify(
    problem: Problem, parameters: Parameters, rows: np.ndarray, cores: int | None = None
) -> Certificate:
    """Return the distinct local maxima of D that ascents from the atoms and from `rows` find."""
    points, n = problem.rows.values, len(problem.rows.values)
    components, log_density = components_of(*parameters, problem.family), np.empty(n)
    problem.blocks.map(
        lambda start, stop: gaussian.log_density(problem.rows, components, start, stop, log_density)
    )
    constant = 0.5 * points.shape[1] * LOG_2PI + np.log(n)
    scales = np.exp(np.minimum(-log_density - constant, LARGEST_LOG))
    starts = np.concatenate([parameters.means, rows])
    best, values = _ascend(problem, scales, starts, SHORT_ASCENT, cores)
    top = np.argsort(-values)[:LONG_STARTS]
    best[top], values[top] = _ascend(problem, scales, best[top], LONG_ASCENT, cores)
    return Certificate(*_distinct(best, values))


def _ascend(
    problem: Problem, scales: np.ndarray, starts: np.ndarray, n_steps: int, cores: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best point of each ascent of D by over-relaxed mean shift, and its value."""
    where, best, values = starts.copy(), starts.copy(), np.full(len(starts), -np.inf)
    sums = np.empty((len(starts), 1 + starts.shape[1]))
    firsts = range(0, len(starts), POINTS_PER_TASK)

    def look(first: int) -> None:
        stop = min(first + POINTS_PER_TASK, len(where))
        kernels.kernel_sums(problem.rows, scales, where, first, stop, sums)

    # Points are what the threads share out; each looks at every row.
    with ThreadPoolExecutor(check_cores(cores)) as pool:
        for _ in range(n_steps):
            list(pool.map(look, firsts))
            higher = sums[:, 0] > values
            best[higher], values[higher] = where[higher], sums[higher, 0]
            with np.errstate(invalid="ignore", divide="ignore"):
                shift = np.where(sums[:, :1] > 0.0, sums[:, 1:] / sums[:, :1], 0.0)
            where = where + OVER_RELAXATION * shift
    return best, values


def _distinct(points: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return points with no higher one near by, highest first, and their values."""
    order = np.argsort(-values, kind="stable")
    points, values = points[order], values[order]
    chosen = apart(points, SAME_MAXIMUM, len(points) + 1)
    return points[chosen], values[chosen]


def apart(points: np.ndarray, spacing: float, most: int) -> list[int] | None:
    """Return which points to keep so that none are nearer to each other, or None if above `most`.

    A point is kept when no point before it that is kept is nearer than `spacing`.
    """
    free = np.ones(len(points), bool)
    chosen: list[int] = []
    while free.any():
        if len(chosen) == most:
            return None
        index = int(np.argmax(free))
        chosen.append(index)
        free &= np.square(points - points[index]).sum(axis=1) > spacing**2
        free[index] = False
    return chosen
