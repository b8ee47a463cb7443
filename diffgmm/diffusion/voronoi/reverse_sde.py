"""Draws of a Voronoi score by the reverse SDE, with the steps of the paper."""

import itertools
from typing import Any

import numpy as np

from ..._seeding import Seed, seed_sequence, stream
from ...arguments import check_count
from ...blocks import RowBlocks
from ...errors import SamplingDivergedError
from ..samplers.sde import sde_step

# Length of a step in the paper's kappa, whose proved value is 1e-5. With exact scores of three
# components on a line, draws are 0.020, 0.011 and 0.006 from their law (Kolmogorov-Smirnov) for
# 0.2, 0.1 and 0.05; learned scores of 4,000 rows differ by more.
KAPPA = 0.1


def sde_levels(top: float, lowest: float, kappa: float = KAPPA) -> np.ndarray:
    """Return noise levels from `top` to `lowest`, both included, shape (L + 1,).

    Equation: t' + 1 = (t + 1) max(exp(-2 kappa), (t + 1)^-kappa) with t = sigma^2: geometric in
    1 + t where t is large and in t where it is small. The last step is cut.
    """
    clock, end = [np.log1p(top * top)], np.log1p(lowest * lowest)
    while clock[-1] > end:
        clock.append(max(clock[-1] - kappa * min(2.0, clock[-1]), end))
    return np.array([top, *np.sqrt(np.expm1(clock[1:-1])), lowest])


def draw(model: Any, n: int, *, random_seed: Seed = None, cores: int | None = None) -> np.ndarray:
    """Return n independent draws of a `VoronoiScore`, shape (n, D), in the user's units.

    Parameters
    ----------
    model : VoronoiScore
    n : int
    random_seed : int, sequence of int, Generator or None
    cores : int or None
        Threads; the draws do not depend on it.

    Raises
    ------
    SamplingDivergedError
        When a draw becomes infinite or NaN.

    Notes
    -----
    From N(0, T + v) at the highest level T, v the variances of the data (1 in the paper's theorem
    and in standardised units), down to the lowest level.
    """
    n, sequence = check_count("n", n), seed_sequence(random_seed)
    levels, d = np.append(model.levels, model.sigmas[-1]), len(model.shift)
    start = np.sqrt(levels[0] ** 2 + np.square(model.spread))
    out = np.empty((n, d))

    def work(first: int, stop: int) -> None:
        rng, shape = stream(sequence, first), (stop - first, d)
        y = start * rng.standard_normal(shape)
        for a, b in itertools.pairwise(levels):
            y = sde_step(y, model.standardised_score(y, a), a, b, rng.standard_normal(shape))
        if not np.isfinite(y).all():
            raise SamplingDivergedError(
                f"{int((~np.isfinite(y)).any(axis=1).sum())} draws of a chunk became infinite or "
                "NaN. Fit the score again with another random_seed, or draw from a mixture."
            )
        out[first:stop] = y * model.scale + model.shift

    RowBlocks(n, d, cores).map(work)
    return out
