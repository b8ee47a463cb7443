"""The reverse SDE by the exponential integrator of Gatmiry, Kelner and Lee, corrected."""

import itertools

import numpy as np

from .standardised import StandardisedScore


def sde(
    score: StandardisedScore, draws: np.ndarray, levels: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Move draws down the levels by the reverse SDE; weak order 1, one evaluation a step.

    Parameters
    ----------
    score, draws, levels, rng
        As in `mixture_kernel`.

    Returns
    -------
    draws : ndarray, shape (N, D)
    n_score_evaluations : int

    References
    ----------
    Gatmiry, Kelner, Lee (2025), arXiv:2404.18869, Algorithm 1; see `sde_step` for a correction.
    """
    before = score.n_evaluations
    for a, b in itertools.pairwise(levels):
        noise = rng.standard_normal(draws.shape)
        draws = sde_step(draws, score.score(draws, a), a, b, noise)
    return draws, score.n_evaluations - before


def sde_step(
    draws: np.ndarray, score: np.ndarray, a: float, b: float, noise: np.ndarray
) -> np.ndarray:
    """Return draws at noise level b from draws and their scores at level a > b, all (N, D).

    y + 2 ((t + 1) - sqrt((t' + 1) (t + 1))) score + sqrt(t - t') xi, with t = a^2 and t' = b^2: the
    exponential integrator of the Ornstein-Uhlenbeck process x_s = exp(-s) y_{exp(2 s) - 1}, of
    which 1 + t = exp(2 s) is the clock. The paper prints t - 1 and t' - 1, which diverges;
    tutorials/design/0003-scores.md derives it.
    """
    clock, next_clock = 1.0 + a * a, 1.0 + b * b
    gain = 2.0 * (clock - np.sqrt(next_clock * clock))
    return draws + gain * score + np.sqrt((a - b) * (a + b)) * noise
