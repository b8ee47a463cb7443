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

# (N, D) velocities and (N,) integrands of rows at a time.
Slopes = Callable[[float, np.ndarray], tuple[np.ndarray, np.ndarray]]

# A step and two halves of it agree on a row within this, in nats and in noise's standard deviations;
# otherwise both halves are solved in the same way, for the rows that need it, this often. Where the
# score is smooth the error is a fifteenth of the difference. Where the residual meets its bound its
# slope jumps, and halving must go down to steps whose length is the tolerance.
TOLERANCE = 2e-5
MOST_HALVINGS = 20

# Relative rounding of a score and its divergence, some fifty times that of a float64.
ROUNDING = 1e-14

# Steps over the whole range of noise before any is halved.
STEPS = 12

# Largest sum of a row's differences, in nats, without a warning.
ACCURACY = 1e-3


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
        In nats; within 1e-3 of the ODE's, mostly 1e-5, by the solver's own estimate.

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
    of the residual. Each row halves its own steps until two solutions agree.

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
            out[start:stop], errors[start:stop] = _solved(score.fresh(), z[start:stop])

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
    """Say how many rows have an estimated error (N,) above ACCURACY."""
    bad = int((~(errors <= ACCURACY)).sum())
    if bad:
        warnings.warn(
            f"The log density of {bad} rows has an estimated error of up to {errors.max():.2g} nats, "
            f"above {ACCURACY:g}: they lie where the score is steep.",
            ConvergenceWarning,
            stacklevel=3,
        )


def _solved(score: StandardisedScore, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log densities (N,) of standardised rows and estimates of their errors (N,)."""
    floor = float(score.start.values.min())
    clocks = _clocks(score, floor)
    y, gained, errors = z, np.zeros(len(z)), np.zeros(len(z))

    def slopes(clock: float, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        speed = 0.5 * np.exp(clock)  # dt / dlog(t + c), halved
        sigma = np.sqrt(max(np.exp(clock) - floor, 0.0))
        own, divergence = score.score_and_divergence(rows, sigma)
        return -speed * own, speed * divergence

    for start, stop in itertools.pairwise(clocks):
        y, gain, error = _advance(slopes, start, stop - start, y, MOST_HALVINGS)
        gained, errors = gained + gain, errors + error
    top = np.sqrt(np.exp(clocks[-1]) - floor)
    return mixture_at(score.model, top).log_density(y) - gained, errors


def _advance(
    slopes: Slopes, clock: float, h: float, y: np.ndarray, halvings: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows (N, D) after a time h, the integral over it and its error (N,), each row alone."""
    whole, gain = _runge_kutta(slopes, clock, h, y)
    middle, first = _runge_kutta(slopes, clock, 0.5 * h, y)
    end, second = _runge_kutta(slopes, clock + 0.5 * h, 0.5 * h, middle)
    gained = first + second
    away = np.abs(end - whole).max(axis=1) * np.exp(-0.5 * (clock + h))
    errors = np.abs(gained - gain) + away
    # Far from all components rounding is above the tolerance, and halving would not end.
    rounding = ROUNDING * (
        np.abs(end).max(axis=1) * np.exp(-0.5 * (clock + h))
        + np.square(end - y).sum(axis=1) * np.exp(-clock) / h
    )
    rows = np.flatnonzero(errors > np.maximum(TOLERANCE, rounding))
    if halvings and len(rows):
        half, first, wrong = _advance(slopes, clock, 0.5 * h, y[rows], halvings - 1)
        end[rows], second, also_wrong = _advance(
            slopes, clock + 0.5 * h, 0.5 * h, half, halvings - 1
        )
        gained[rows], errors[rows] = first + second, wrong + also_wrong
    return end, gained, errors


def _runge_kutta(
    slopes: Slopes, clock: float, h: float, y: np.ndarray
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


def _clocks(score: StandardisedScore, floor: float) -> np.ndarray:
    """Return where steps end: at every border, and evenly between, about STEPS in all."""
    edges = borders(score, floor)
    parts = [edges[:1]]
    for start, stop in itertools.pairwise(edges):
        count = max(1, round(STEPS * (stop - start) / (edges[-1] - edges[0])))
        parts.append(np.linspace(start, stop, count + 1)[1:])
    return np.concatenate(parts)
