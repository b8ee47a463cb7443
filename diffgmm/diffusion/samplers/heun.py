"""The probability-flow ODE by Heun's method."""

import itertools

import numpy as np

from .standardised import StandardisedScore


def heun(
    score: StandardisedScore, draws: np.ndarray, levels: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Move draws down the levels along dy / dsigma = -sigma score(y, sigma); order 2.

    Two evaluations a step; one for the step to 0, where the slope is 0.

    Parameters
    ----------
    score, draws, levels
        As in `mixture_kernel`.
    rng : Generator
        Not used: the flow is deterministic.

    Returns
    -------
    draws : ndarray, shape (N, D)
    n_score_evaluations : int

    References
    ----------
    Karras, Aittala, Aila, Laine (2022), arXiv:2206.00364, Algorithm 1. Their last step is Euler's,
    because their network ends above 0; the score of a noised law does not.
    """
    before = score.n_evaluations
    for a, b in itertools.pairwise(levels):
        slope = -a * score.score(draws, a)
        end = 0.0
        if b > 0.0:
            end = -b * score.score(draws + (b - a) * slope, b)
        draws = draws + (b - a) * 0.5 * (slope + end)
    return draws, score.n_evaluations - before
