"""Reverse diffusion: a score model -> draws of data, and many mixtures -> replicated rows."""

from typing import Any

import numpy as np

from .._seeding import Seed, seed_sequence, stream
from ..arguments import check_count
from ..blocks import RowBlocks
from ..kernels import reverse
from ..kernels.bundles import Components
from . import samplers
from .score_model import ScoreModel
from .spectrum import Spectrum


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
    Noise of one standard deviation is added to each mixture in closed form and taken away in one
    exact reverse step. All mixtures share one scale per feature: features may have any units.
    """
    n = check_count("n", n)
    s, k, d = means.shape
    scale = np.sqrt(np.diagonal(covariances, axis1=2, axis2=3).mean(axis=(0, 1)))
    spectrum = Spectrum.of(
        weights.reshape(s * k),
        means.reshape(s * k, d) / scale,
        covariances.reshape(s * k, d, d) / (scale[:, None] * scale),
    )
    roots = spectrum.roots(1.0)
    roots = roots.reshape(s, k, *roots.shape[1:])
    steps = _split(spectrum.step(1.0, 0.0, np.zeros((s * k, 0, d))), s)
    sequence, out = seed_sequence(random_seed), np.empty((s * n, d))

    def work(start: int, stop: int) -> None:
        rng = stream(sequence, start)
        for index in range(start // n, (stop - 1) // n + 1):
            first, last = max(start, index * n), min(stop, (index + 1) * n)
            uniform = rng.random((2, last - first))
            noise = rng.standard_normal((2, d, last - first))
            draws, step = np.empty((d, last - first)), steps[index]
            reverse.mixture_draws(
                weights[index], step.components.means, roots[index], uniform[0], noise[0], draws
            )
            reverse.reverse_step(draws, uniform[1], noise[1], step)
            np.multiply(draws.T, scale, out=out[first:last])

    RowBlocks(s * n, d, cores).map(work)
    return out.reshape(s, n, d)


def _split(step: reverse.Step, n_mixtures: int) -> list[reverse.Step]:
    """Return the steps of each mixture from one step of all their components together."""
    k = len(step.gains) // n_mixtures
    parts = [
        array.reshape(n_mixtures, k, *array.shape[1:])
        for array in (*step.components, step.gains, step.roots, step.shifts)
    ]
    return [
        reverse.Step(Components(constants, means, factors), gains, roots, shifts)
        for constants, means, factors, gains, roots, shifts in zip(*parts)
    ]
