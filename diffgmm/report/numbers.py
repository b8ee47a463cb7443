"""Numbers as text: as many digits as mean something."""

import math

import numpy as np

# ArviZ's older default, and the one that Bayesian texts of this field use.
INTERVAL = 0.94


def number(value: float, step: float) -> str:
    """Return `value` with so many decimals that its last one counts at most half of `step`."""
    if not (math.isfinite(value) and 0.0 < step < math.inf) or abs(value) >= 1e7:
        return f"{value:.6g}"
    decimals = max(0, math.ceil(-math.log10(0.5 * step)))
    text = f"{value:.6g}" if decimals > 7 else f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0.0 else text


def estimate(draws: np.ndarray) -> str:
    """Return the mean of draws."""
    return number(float(draws.mean()), float(draws.std()))


def interval(draws: np.ndarray, finest: float = 0.0) -> str:
    """Return the mean of draws and their equal-tailed interval; one draw has none.

    finest : half of it is the least that the last digit counts, however sure the draws are.
    """
    if len(draws) == 1:
        return f"{float(draws[0]):.4g}"
    step = max(float(draws.std()), finest)
    ends = np.quantile(draws, interval_tails())
    mean, low, high = (number(float(value), step) for value in (draws.mean(), *ends))
    return f"{mean} [{low}, {high}]"


def interval_tails() -> tuple[float, float]:
    """Return the probabilities below the two ends of an interval."""
    tail = 0.5 * (1.0 - INTERVAL)
    return tail, 1.0 - tail
