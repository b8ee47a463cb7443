"""The probability-flow ODE by DPM-Solver++(2M)."""

import itertools

import numpy as np

from .standardised import StandardisedScore


def dpm(
    score: StandardisedScore, draws: np.ndarray, levels: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Move draws down the levels along the probability flow; order 2, one evaluation a step.

    In lambda = -log(sigma) the flow is linear in the draw and in the denoised draw D; D is
    extrapolated from the step before. The step to 0, infinitely long in lambda, is one of length
    sigma^2 in sigma^2, y + sigma^2 score / 2, with an error of order sigma^4.

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
    Lu et al. (2022), arXiv:2211.01095, Algorithm 2, with alpha = 1 (variance exploding).
    """
    before = score.n_evaluations
    earlier, earlier_length = None, 0.0
    for a, b in itertools.pairwise(levels):
        clean = score.denoise(draws, a)
        if b == 0.0:
            draws = 0.5 * (draws + clean)
            break
        length, ahead = np.log(a / b), clean
        if earlier is not None:
            ahead = clean + (clean - earlier) * (0.5 * length / earlier_length)
        draws = (b / a) * draws + (1.0 - b / a) * ahead
        earlier, earlier_length = clean, length
    return draws, score.n_evaluations - before
