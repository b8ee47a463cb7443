"""The default: the mixture's exact reverse kernel, and a shift by the residual."""

import itertools

import numpy as np

from ...errors import InvalidParameterError, SamplingDivergedError
from ...kernels import reverse
from .standardised import StandardisedScore


def mixture_kernel(
    score: StandardisedScore, draws: np.ndarray, levels: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Move draws down the levels by the mixture's exact reverse kernel and the residual's shift.

    Exact for any number of steps, also one, when the residual is silent; of weak order 1 when it
    is not.

    Parameters
    ----------
    score : StandardisedScore
        Of a ScoreModel: the kernel needs the mixture.
    draws : ndarray, shape (N, D)
        At noise level levels[0], in standardised units.
    levels : ndarray, shape (L + 1,)
        Decreasing; the last may be 0.
    rng : Generator

    Returns
    -------
    draws : ndarray, shape (N, D)
        At noise level levels[-1].
    n_score_evaluations : int

    Notes
    -----
    A step from a to b draws j ~ p(j | y; a), then x ~ N(m_j + S_b S_a^-1 (y - m_j),
    (a^2 - b^2) S_b S_a^-1), and adds (a^2 - b^2) times the residual of the score at (y, a).
    """
    if not score.has_mixture:
        raise InvalidParameterError(
            "sampler='mixture' needs a score with a mixture, which this one has not. "
            "Give sampler='gms' or another."
        )
    model, columns = score.model, np.ascontiguousarray(draws.T)
    for index, (a, b) in enumerate(itertools.pairwise(levels)):
        step = model.spectrum.step(a, b, model.coefficients_at(a))
        uniform, noise = rng.random(len(draws)), rng.standard_normal(columns.shape)
        reverse.reverse_step(columns, uniform, noise, step)
        score.n_evaluations += 1
        if not np.isfinite(columns).all():
            bad = int((~np.isfinite(columns)).any(axis=0).sum())
            raise SamplingDivergedError(
                f"{bad} draws of a chunk became infinite or NaN in the step from noise level "
                f"{index}, sigma = {a:.4g} (standardised). Fit the score model again with another "
                "random_seed, or draw from its mixture."
            )
    return columns.T, len(levels) - 1
