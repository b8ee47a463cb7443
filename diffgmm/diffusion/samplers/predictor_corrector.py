"""Predictor-corrector: a step of the reverse SDE, then Langevin steps at the level reached."""

import itertools

import numpy as np

from ...mixture import GaussianMixture
from .sde import sde_step
from .standardised import StandardisedScore

# Langevin steps after each predictor.
CORRECTIONS = 1

# Their size, in the smaller of the squared noise level and its fall in the step: a noised law's score
# has slopes above -1 / sigma^2, so the first is stable everywhere; by the second the bias of an
# unadjusted step vanishes as the number of steps grows. One size for all draws.
STEP = 0.2


def predictor_corrector(
    score: StandardisedScore, draws: np.ndarray, levels: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Move draws down the levels, each step followed by a Langevin step at the new level.

    Where the law of a level is known, because the residual is silent, the Langevin step is accepted
    or refused (MALA) and leaves that law as it is; else it is unadjusted, and the draws' law
    converges with order 1. Two evaluations a step, and one at the last step to 0.

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
    Lee, Lu, Tan (2022), arXiv:2206.06227, Algorithm 2. Its bounds need the annealing: a corrector
    alone would stay among the components where it starts.
    """
    before, own = score.n_evaluations, None
    for a, b in itertools.pairwise(levels):
        own = score.score(draws, a) if own is None else own
        draws, own = sde_step(draws, own, a, b, rng.standard_normal(draws.shape)), None
        if b > 0.0:
            law, h = score.noised_mixture(b), STEP * min(b * b, (a - b) * (a + b))
            for _ in range(CORRECTIONS):
                if law is None:
                    draws = langevin_step(score, draws, b, h, rng)
                else:
                    draws, own = mala_step(score, law, draws, b, h, rng, own)
    return draws, score.n_evaluations - before


def langevin_step(
    score: StandardisedScore, draws: np.ndarray, sigma: float, h: float, rng: np.random.Generator
) -> np.ndarray:
    """Return draws (N, D) after x + h score + sqrt(2 h) xi."""
    noise = np.sqrt(2.0 * h) * rng.standard_normal(draws.shape)
    return draws + h * score.score(draws, sigma) + noise


def mala_step(
    score: StandardisedScore,
    law: GaussianMixture,
    draws: np.ndarray,
    sigma: float,
    h: float,
    rng: np.random.Generator,
    own: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return draws (N, D) after an accepted or refused Langevin step of size h, and their scores.

    `law`, the mixture at this level, is left invariant. `own` are the scores of the draws, when
    they are known already.
    """
    own = score.score(draws, sigma) if own is None else own
    noise = rng.standard_normal(draws.shape)
    moved = draws + h * own + np.sqrt(2.0 * h) * noise
    there = score.score(moved, sigma)
    back = (draws - moved - h * there) / np.sqrt(2.0 * h)
    log_ratio = (
        law.log_density(moved)
        - law.log_density(draws)
        + 0.5 * (np.sum(noise**2, axis=1) - np.sum(back**2, axis=1))
    )
    accepted = np.log(rng.random(len(draws))) < log_ratio
    keep = accepted[:, None]
    return np.where(keep, moved, draws), np.where(keep, there, own)
