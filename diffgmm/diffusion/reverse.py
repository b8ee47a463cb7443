"""Reverse diffusion: a score model -> draws of data, and many mixtures -> replicated rows."""

from typing import Any

import numpy as np

from .._seeding import Seed, seed_sequence, stream
from ..arguments import check_count
from ..blocks import RowBlocks
from ..kernels import draws
from . import samplers
from .score_model import ScoreModel


def draw(
    model: ScoreModel,
    n: int,
    *,
    levels: Any = None,
    random_seed: Seed = None,
    cores: int | None = None,
) -> tuple[np.ndarray, int]:
    """Return n independent draws and the number of score evaluations that each of them took.

    By the mixture's exact kernel and the residual's shift; `samplers.draw` has other samplers.

    Parameters
    ----------
    model : ScoreModel
    n : int
        Number of draws.
    levels : array-like, shape (L,), optional
        Decreasing positive noise levels to step down from, in standardised units; the model's own
        when not given. Draws of a silent model have the mixture's law for any of them.
    random_seed : int, sequence of int, Generator or None
    cores : int or None
        Threads; the draws do not depend on it.

    Returns
    -------
    draws : ndarray, shape (n, D)
        In the user's units.
    n_score_evaluations : int

    Raises
    ------
    SamplingDivergedError
        When a draw becomes infinite or NaN.
    """
    done = samplers.draw(model, n, levels=levels, random_seed=random_seed, cores=cores)
    return done.values, done.n_score_evaluations


def replicate(
    weights: np.ndarray,
    means: np.ndarray,
    covariances: np.ndarray,
    n: int,
    random_seed: Seed = None,
    cores: int | None = None,
) -> np.ndarray:
    """Return n rows of each of S mixtures, made by the reverse kernel, shape (S, n, D).

    Parameters
    ----------
    weights, means, covariances : ndarray, shapes (S, K), (S, K, D), (S, K, D, D)
    n : int
        Rows of each mixture.
    random_seed : int, sequence of int, Generator or None
    cores : int or None
        Threads; the rows do not depend on it.

    Notes
    -----
    The reverse kernel from noise without end: the noised row says nothing, so that components have
    the probabilities of their weights, and a clean row the law of its component.
    """
    n = check_count("n", n)
    s, _, d = means.shape
    own = [np.ascontiguousarray(array, float) for array in (weights, means, covariances)]
    sequence, out = seed_sequence(random_seed), np.empty((s * n, d))

    def work(start: int, stop: int) -> None:
        draws.replicate(*own, n, start, stop, stream(sequence, start), out)

    RowBlocks(s * n, d, cores).map(work)
    return out.reshape(s, n, d)
