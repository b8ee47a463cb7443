"""Paths of the probability-flow ODE, for pictures."""

import itertools

import numpy as np

from .._seeding import Seed, seed_sequence, stream
from ..kernels import reverse
from .samplers.heun import heun
from .samplers.levels import karras
from .samplers.standardised import StandardisedScore
from .score_model import ScoreModel

# Positions of a path; curves look smooth from some forty on.
N_STEPS = 60


def reverse_trajectories(
    model: ScoreModel, n: int, random_seed: Seed = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return noise levels (T,), decreasing to 0, and positions (T, n, D) in the user's units.

    Parameters
    ----------
    model : ScoreModel
    n : int
        Number of draws.
    random_seed : int, sequence of int, Generator or None
        Of the noised draws that the paths start from.
    """
    d, rng = len(model.shift), stream(seed_sequence(random_seed), 0)
    score = StandardisedScore(model, d)
    levels = karras(score.top, 0.1 * score.smallest_deviation, N_STEPS)
    noised = np.empty((d, n))
    reverse.mixture_draws(
        score.start_weights,
        score.start.means,
        score.start.roots(levels[0]),
        rng.random(n),
        rng.standard_normal((d, n)),
        noised,
    )
    positions = [np.ascontiguousarray(noised.T)]
    for step in itertools.pairwise(levels):
        positions.append(heun(score, positions[-1], np.array(step), rng)[0])
    return levels, np.array(positions) * model.scale + model.shift
