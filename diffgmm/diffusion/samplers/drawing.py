"""Draws of data from a score: one function, six samplers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._seeding import Seed, seed_sequence, stream
from ...arguments import check_count, finite_array
from ...blocks import RowBlocks
from ...errors import InvalidParameterError
from ...kernels import reverse
from ...mixture import GaussianMixture
from .bias import start_bias
from .dpm import dpm
from .gms import gms
from .heun import heun
from .levels import exponential_integrator, geometric, karras
from .mixture_kernel import mixture_kernel
from .predictor_corrector import predictor_corrector
from .sde import sde
from .standardised import StandardisedScore, checked

Grid = Callable[[float, float, int], np.ndarray]


@dataclass(frozen=True)
class Sampler:
    """A way down the noise levels.

    run : (score, draws, levels, rng) -> (draws, n_score_evaluations), as `mixture_kernel`.
    grid : (top, lowest, steps) -> decreasing levels, the last of them where the draws end.
    steps : how many of them when the caller does not say.
    """

    run: Callable[..., tuple[np.ndarray, int]]
    grid: Grid
    steps: int


SAMPLERS = {
    "mixture": Sampler(mixture_kernel, geometric, 10),
    "gms": Sampler(gms, geometric, 5),
    "sde": Sampler(sde, exponential_integrator, 100),
    "predictor-corrector": Sampler(predictor_corrector, geometric, 40),
    "heun": Sampler(heun, karras, 20),
    "dpm++": Sampler(dpm, geometric, 20),
    "ode": Sampler(dpm, geometric, 20),
}


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of data and what they cost.

    values : (n, D), in the user's units.
    n_score_evaluations : how often each draw evaluated the score.
    start_bias : upper bound on the Kullback-Leibler divergence, in nats, of the noised data from
        the law that draws start from; see `samplers.bias`. 0 for a silent residual, NaN when
        nothing is known: without a mixture, and with another law at the start.
    stop_bias : noise level at which the draws end, in standardised units: the bound on the
        Wasserstein-2 distance per feature, root mean square, of the noised law from the clean one.
        0 for samplers that end without noise.
    """

    values: np.ndarray
    n_score_evaluations: int
    start_bias: float
    stop_bias: float


def draw(
    model: Any,
    n: int,
    *,
    sampler: str = "mixture",
    steps: int | None = None,
    levels: Any = None,
    start: GaussianMixture | None = None,
    random_seed: Seed = None,
    cores: int | None = None,
) -> Draws:
    """Return n independent draws of data from a score, by reverse diffusion.

    Parameters
    ----------
    model : ScoreModel, or a score without a mixture
        The latter is an object with `score(x, sigma)`, `shift` and `scale` (D,); a Jacobian is
        used where it has one.
    n : int
        Number of draws.
    sampler : str
        "mixture"
            The mixture's exact reverse kernel with the residual's shift. With a silent residual
            exact in one step. Needs a mixture.
        "gms"
            A reverse kernel of two Gaussians with the right moments, from score and Jacobian.
        "sde"
            The reverse SDE, by the exponential integrator of Gatmiry, Kelner and Lee.
        "predictor-corrector"
            The same steps, a Langevin step after each of them.
        "heun", "dpm++"
            The probability-flow ODE, by Heun's method and by DPM-Solver++(2M). Their law is the
            one whose density `log_density` returns.
        "ode"
            The ODE by the solver that needs fewer evaluations: "dpm++".
    steps : int, optional
        More steps are nearer to the limit of the method, and cost more evaluations.
    levels : array-like, shape (L,), optional
        Decreasing positive noise levels to step down from, in standardised units, instead of
        `steps`; one more step leads to 0.
    start : GaussianMixture, optional
        Law of the data, in the user's units, whose noised draws are the start; the model's own
        mixture when it has one. For another score, without it, a Gaussian with the data's means
        and standard deviations, noised by 2.5 of them.
    random_seed : int, sequence of int, Generator or None
    cores : int or None
        Threads; the draws do not depend on it.

    Returns
    -------
    Draws

    Raises
    ------
    InvalidParameterError
        When there is no such sampler, or it needs what the model has not.
    SamplingDivergedError
        When a draw becomes infinite or NaN.
    """
    n, chosen = check_count("n", n), check_sampler(sampler)
    shift, scale = np.asarray(model.shift, float), np.asarray(model.scale, float)
    sequence, d = seed_sequence(random_seed), len(shift)
    score = StandardisedScore(model, d, None if start is None else _inner(start, shift, scale))
    levels = _levels(score, sampler, steps, levels)
    roots = score.start.roots(levels[0])
    out, counts = np.empty((n, d)), {}

    def work(begin: int, stop: int) -> None:
        rng, size = stream(sequence, begin), stop - begin
        columns = np.empty((d, size))
        uniform, noise = rng.random(size), rng.standard_normal((d, size))
        reverse.mixture_draws(
            score.start_weights, score.start.means, roots, uniform, noise, columns
        )
        values, counts[begin] = chosen.run(score.fresh(), columns.T, levels, rng)
        np.multiply(checked(values, levels[-1]), scale, out=out[begin:stop])
        out[begin:stop] += shift

    RowBlocks(n, d, cores).map(work)
    bias = start_bias(model, levels[0]) if start is None else np.nan
    return Draws(out, counts[0], bias, float(levels[-1]))


def check_sampler(name: Any) -> Sampler:
    """Return the sampler of this name, or list the names."""
    if not isinstance(name, str) or name not in SAMPLERS:
        names = ", ".join(map(repr, SAMPLERS))
        raise InvalidParameterError(f"sampler must be one of {names}, got {name!r}.")
    return SAMPLERS[name]


def _inner(mixture: Any, shift: np.ndarray, scale: np.ndarray) -> GaussianMixture:
    """Return the law of the start in standardised units."""
    if not isinstance(mixture, GaussianMixture) or mixture.n_features != len(shift):
        raise InvalidParameterError(
            f"start must be a GaussianMixture of {len(shift)} features, got {mixture!r}."
        )
    covariances = mixture.covariances / (scale[:, None] * scale)
    return GaussianMixture(mixture.weights, (mixture.means - shift) / scale, covariances)


def _levels(score: StandardisedScore, sampler: str, steps: int | None, levels: Any) -> np.ndarray:
    """Return the levels of a draw, decreasing, the end included."""
    if levels is not None:
        if steps is not None:
            raise InvalidParameterError("Give steps or levels, not both.")
        return np.append(_check_levels(levels), 0.0)
    if sampler == "mixture" and score.has_mixture and steps is None:
        return np.append(score.model.levels, 0.0)
    steps = SAMPLERS[sampler].steps if steps is None else check_count("steps", steps)
    # The last step, to 0, has an error of order lowest^4 where the others have steps^-2.
    lowest = min(score.smallest_deviation / np.sqrt(steps), 0.5 * score.top)
    return SAMPLERS[sampler].grid(score.top, lowest, steps)


def _check_levels(levels: Any) -> np.ndarray:
    levels = finite_array("levels", levels)
    if levels.ndim != 1 or not len(levels):
        raise InvalidParameterError("levels must be a list of finite noise levels.")
    if levels[-1] <= 0.0 or np.any(np.diff(levels) >= 0.0):
        raise InvalidParameterError(f"levels must decrease and be positive, got {levels.tolist()}.")
    return levels
