"""The modes of a density, found from many starts that cover its space."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import InvalidParameterError
from .target import Target

# Standard deviations of the starts around the initial point, in unconstrained units.
NEAREST, FARTHEST = 0.5, 50.0

# Iterations of the ascent from one start: a mode that takes more is left to local moves.
ASCENT = 200

# Modes closer than this, per dimension and in standard deviations, are one.
SAME_MODE = 0.5

# Modes whose Laplace evidence is so many nats below the best, and so many more for each dimension, are
# dropped: the approximation may be off by a few nats per dimension; a mode that is wrongly kept costs
# time only.
NEGLIGIBLE, NEGLIGIBLE_PER_DIMENSION = 12.0, 2.0
MOST_MODES = 24

# Curvatures below this share of the largest are lifted.
SMALLEST_CURVATURE = 1e-10


@dataclass(frozen=True, eq=False)
class Mode:
    """A local maximum: where, its log density, and the Laplace covariance there."""

    x: np.ndarray
    logp: float
    covariance: np.ndarray

    @property
    def log_evidence(self) -> float:
        """Log integral of the density around the mode, by Laplace's method."""
        _, log_det = np.linalg.slogdet(2.0 * np.pi * self.covariance)
        return self.logp + 0.5 * log_det


def starts_of(target: Target, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n starts: half of them prior draws, the rest ever farther from the initial point."""
    draws = target.prior_draws(n // 2, rng)
    scales = np.geomspace(NEAREST, FARTHEST, n - len(draws))
    around = target.start + scales[:, None] * rng.standard_normal((len(scales), target.n_dims))
    return np.concatenate([target.start[None], draws, around])


def find_modes(
    target: Target,
    starts: np.ndarray,
    canonical: Callable[[np.ndarray], np.ndarray],
    on_start: Callable[[int, int], None] = lambda index, done: None,
) -> list[Mode]:
    """Return the different modes that ascents from the starts end in, the best first.

    `canonical` maps points that differ by the numbering of components only to one of them;
    `on_start` is told, for bar 0, how many ascents are done.
    """
    ends = []
    for index, start in enumerate(starts):
        x, logp = _ascend(target, start)
        if np.isfinite(logp):
            ends.append((logp, canonical(x)))
        on_start(0, index + 1)
    ends.sort(key=lambda end: -end[0])
    modes: list[Mode] = []
    for logp, x in ends:
        if len(modes) < MOST_MODES and not any(_same(mode, x) for mode in modes):
            modes.append(Mode(x, logp, laplace_covariance(target, x)))
    modes.sort(key=lambda mode: -mode.log_evidence)
    if not modes:
        raise InvalidParameterError(
            "The density is not finite at any start. Look at model.debug(), or give initvals."
        )
    lowest = modes[0].log_evidence - NEGLIGIBLE - NEGLIGIBLE_PER_DIMENSION * target.n_dims
    return [mode for mode in modes if mode.log_evidence > lowest]


def _same(mode: Mode, x: np.ndarray) -> bool:
    step = x - mode.x
    return float(step @ np.linalg.solve(mode.covariance, step)) < SAME_MODE**2 * len(x)


def _ascend(target: Target, start: np.ndarray) -> tuple[np.ndarray, float]:
    from scipy.optimize import minimize

    def negative(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = target(x)
        return (-value, -gradient) if np.isfinite(value) else (1e100, gradient)

    found = minimize(negative, start, jac=True, method="L-BFGS-B", options={"maxiter": ASCENT})
    return found.x, target(found.x)[0]


def laplace_covariance(target: Target, x: np.ndarray) -> np.ndarray:
    """Return the inverse of the negative Hessian, made positive definite, by central differences."""
    d = len(x)
    hessian = np.empty((d, d))
    for a in range(d):
        step = np.zeros(d)
        step[a] = 1e-5 * max(1.0, abs(x[a]))
        hessian[a] = (target(x + step)[1] - target(x - step)[1]) / (2.0 * step[a])
    values, vectors = np.linalg.eigh(-0.5 * (hessian + hessian.T))
    values = np.abs(values)
    values = np.maximum(values, max(SMALLEST_CURVATURE * values.max(), 1e-12))
    return (vectors / values) @ vectors.T
