"""Log density of a score model, by the probability-flow ODE."""

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..blocks import RowBlocks
from ..data import Data
from ..errors import ConvergenceWarning, InvalidParameterError
from .samplers.standardised import StandardisedScore, highest_level, mixture_at

# Two solutions, one of twice the steps, agree on a row within this many nats. Where the score is
# smooth the error of the better one is a fifteenth of it; on a path on which the residual meets its
# bound, where its slope jumps, it is about as large.
TOLERANCE = 5e-4

# Steps of the coarsest solution over the whole range of noise, and how often they may double. Rows
# near the border of two far and narrow components need small steps; only they take them.
FIRST_STEPS = 12
MOST_DOUBLINGS = 8


def log_density(model: Any, x: Any, *, cores: int | None = None) -> np.ndarray:
    """Return the log density at rows `x` of the law of the probability-flow ODE.

    That is the law of the draws of sampler="ode", "heun" and "dpm++", in the limit of many steps.
    The default sampler, and the reverse SDE, have a slightly different law where the residual is
    active, because a learned score need not be a gradient. With a silent residual all laws are the
    mixture's, and its exact density is returned.

    Parameters
    ----------
    model : ScoreModel
    x : array-like, shape (N, D)
        In the user's units.
    cores : int or None
        Threads; the result does not depend on it.

    Returns
    -------
    ndarray, shape (N,)
        In nats; within 5e-4 of the ODE's, mostly 5e-5, by the solver's own estimate.

    Warns
    -----
    ConvergenceWarning
        When the estimate of some row is larger than that.

    Notes
    -----
    With t = sigma^2 the flow is dy/dt = -score / 2, and log p changes along it by div score / 2.
    It is solved from the row at t = 0 up to the lowest level from which on there is no residual,
    where the law is the noised mixture. Runge-Kutta of order 4 in log(t + c), c the smallest
    variance of any component, in which the flow of one Gaussian is smooth; no step crosses a level
    of the residual. Each row is solved with ever more steps until two solutions agree.

    References
    ----------
    Chen, Rubanova, Bettencourt, Duvenaud (2018), "Neural ordinary differential equations",
    equation 8; Song et al. (2021), arXiv:2011.13456, section 4.3.
    """
    data = Data.of(x, feature_names=model.feature_names)
    z = (data.values - model.shift) / model.scale
    out, score = np.empty(len(z)), soft_score(model, "log_density")
    errors = np.zeros(len(z))
    if model.is_silent:
        out[:] = mixture_at(score.model, 0.0).log_density(z)
    else:

        def work(start: int, stop: int) -> None:
            out[start:stop], errors[start:stop] = _converged(score.fresh(), z[start:stop])

        RowBlocks(len(z), z.shape[1], cores).map(work)
    _warn(errors)
    return out - np.log(model.scale).sum()


def soft_score(model: Any, name: str) -> StandardisedScore:
    """Return the standardised score, or say that `name` needs soft gates and a mixture."""
    if not hasattr(model, "spectrum"):
        raise InvalidParameterError(
            f"{name} needs a score model with a mixture and soft gates: a score with jumps between "
            "cells has no divergence there. Fit with gating='soft'."
        )
    return StandardisedScore(model, len(model.shift))


def _warn(errors: np.ndarray) -> None:
    bad = int((~(errors <= TOLERANCE)).sum())
    if bad:
        warnings.warn(
            f"The log density of {bad} rows has an estimated error of up to "
            f"{errors.max():.2g} nats, above {TOLERANCE:g}: they lie where the score is steep.",
            ConvergenceWarning,
            stacklevel=3,
        )


def _converged(score: StandardisedScore, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log densities (N,) of standardised rows and the estimates of their errors (N,)."""
    coarse = _solved(score, z, FIRST_STEPS)
    errors, open_rows = np.full(len(z), np.inf), np.arange(len(z))
    result = coarse.copy()
    for doubling in range(1, MOST_DOUBLINGS + 1):
        fine = _solved(score, z[open_rows], FIRST_STEPS * 2**doubling)
        errors[open_rows] = np.abs(fine - result[open_rows])
        result[open_rows] = fine
        open_rows = open_rows[~(errors[open_rows] <= TOLERANCE)]
        if not len(open_rows):
            break
    return result, errors


def _solved(score: StandardisedScore, z: np.ndarray, n_steps: int) -> np.ndarray:
    """Return log densities (N,) of standardised rows, by about `n_steps` steps of Runge-Kutta."""
    floor = float(score.start.values.min())
    clocks = _clocks(score, floor, n_steps)
    y, gained = z, np.zeros(len(z))

    def slopes(clock: float, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        speed = 0.5 * np.exp(clock)  # dt / dlog(t + c), halved
        sigma = np.sqrt(max(np.exp(clock) - floor, 0.0))
        own, divergence = score.score_and_divergence(rows, sigma)
        return -speed * own, speed * divergence

    for start, stop in itertools.pairwise(clocks):
        y, gain = _runge_kutta(slopes, start, stop - start, y)
        gained += gain
    top = np.sqrt(np.exp(clocks[-1]) - floor)
    return mixture_at(score.model, top).log_density(y) - gained


def _runge_kutta(
    slopes: Callable[[float, np.ndarray], tuple[np.ndarray, np.ndarray]],
    clock: float,
    h: float,
    y: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows after one classical step of length h, (N, D), and the integral over it, (N,).

    slopes(clock, rows) returns the rows' velocity (N, D) and what is integrated (N,).
    """
    v1, g1 = slopes(clock, y)
    v2, g2 = slopes(clock + 0.5 * h, y + 0.5 * h * v1)
    v3, g3 = slopes(clock + 0.5 * h, y + 0.5 * h * v2)
    v4, g4 = slopes(clock + h, y + h * v3)
    sixth = h / 6.0
    return y + sixth * (v1 + 2.0 * (v2 + v3) + v4), sixth * (g1 + 2.0 * (g2 + g3) + g4)


def borders(score: StandardisedScore, floor: float) -> np.ndarray:
    """Return log(t + c) at t = 0, at the residual's levels and at the top, increasing."""
    top, sigmas = highest_level(score.model), score.model.sigmas
    inner = np.sort(sigmas[sigmas < top])
    return np.log(np.concatenate([[0.0], inner, [top]]) ** 2 + floor)


def _clocks(score: StandardisedScore, floor: float, n_steps: int) -> np.ndarray:
    """Return where steps end: at every border, and evenly between, about `n_steps` in all."""
    edges = borders(score, floor)
    parts = [edges[:1]]
    for start, stop in itertools.pairwise(edges):
        count = max(1, round(n_steps * (stop - start) / (edges[-1] - edges[0])))
        parts.append(np.linspace(start, stop, count + 1)[1:])
    return np.concatenate(parts)
