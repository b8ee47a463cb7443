"""A fit repeated on bootstrap data sets, mixture and residual both."""

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .._seeding import Seed, child_sequence, seed_sequence, stream
from ..blocks import check_cores
from ..covariance import family_of
from ..data import Data
from ..diffusion import ScoreModel, refit_score_model
from ..mixture import GaussianMixture
from .em import Parameters, Problem, run_em
from .mixture_fit import MixtureFit, Trace
from .resampling import RESAMPLERS, Bootstrap
from .search import Units

# Nats per row left to gain when the EM of a refit stops: far below what the weights do to it.
TOLERANCE = 1e-5


def refit(
    fit: MixtureFit,
    data: Data,
    row_weights: np.ndarray,
    *,
    random_seed: Seed = None,
    cores: int | None = 1,
) -> MixtureFit:
    """Return the fit to reweighted rows, started from `fit`: its labels, cells and degrees stay.

    Parameters
    ----------
    fit : MixtureFit
    data : Data
        The rows (N, D) that it was fitted to.
    row_weights : ndarray, shape (N,)
        Not negative.
    random_seed : int, sequence of int, Generator or None
        Of the noise of the score regression.
    cores : int or None
        Threads.
    """
    assert isinstance(fit.score_model, ScoreModel)  # to_arviz refuses the other kind
    family = family_of(fit.covariance_type)
    units = Units(fit.score_model.shift, fit.score_model.scale)
    problem = Problem.of(data.rows(units.shift, units.scale, row_weights), family, cores)
    mixture = fit.mixture
    start = Parameters(
        mixture.weights,
        (mixture.means - units.shift) / units.scale,
        family.rescale(family.from_full(mixture.covariances), 1.0 / units.scale),
    )
    result = run_em(problem, start, tolerance=TOLERANCE)
    found = units.to_user(result, family, problem.n_effective)
    moved = GaussianMixture(
        found.weights,
        found.means,
        family.as_full(found.covariances, data.n_features),
        feature_names=data.feature_names,
    )
    score_model = refit_score_model(
        fit.score_model,
        data,
        moved,
        row_weights=row_weights,
        random_seed=random_seed,
        cores=cores,
    )
    message = "fitted to reweighted rows, from the fit to the rows themselves"
    trace = Trace(found.trace, found.converged, found.gradient_norm, message)
    return MixtureFit(
        moved, score_model, trace, problem.n_effective, fit.covariance_type, fit.name, None
    )


def bootstrap_refits(  # noqa: PLR0913  each names one choice
    fit: MixtureFit,
    data: Data,
    draws: int,
    *,
    bootstrap: Bootstrap = "dirichlet",
    chains: int = 1,
    row_weights: np.ndarray | None = None,
    random_seed: Seed = None,
    cores: int | None = None,
    on_draw: Callable[[int], None] | None = None,
) -> list[MixtureFit]:
    """Return independent refits, each to its own bootstrap data set.

    Parameters
    ----------
    fit : MixtureFit
    data : Data
        The rows (N, D) that it was fitted to.
    draws : int
        Of each chain.
    bootstrap : {"dirichlet", "multinomial", "diffusion"}
        Dirichlet weights, rows drawn with replacement, or rows made by the fit's own sampler.
    chains : int
        Sets of draws; refit i is draw i // chains of chain i % chains.
    row_weights : ndarray, shape (N,), optional
        Of the fit: a row of weight 2 is two rows.
    random_seed : int, sequence of int, Generator or None
        Every draw has its own stream: more draws or chains leave the first ones as they are.
    cores : int or None
        Threads; each works on whole draws, and the result does not depend on them.
    on_draw : callable, optional
        Called with the number of refits that are done.

    Warns
    -----
    UserWarning
        After Ctrl-C: the refits that were done are returned, the same number of each chain.

    Raises
    ------
    KeyboardInterrupt
        When Ctrl-C came before every chain had a draw.

    References
    ----------
    Rubin (1981), Annals of Statistics 9(1), the Bayesian bootstrap; Newton, Raftery (1994), JRSS B
    56(1), the weighted likelihood bootstrap; Efron (1979), Annals of Statistics 7(1).
    """
    from threadpoolctl import threadpool_limits

    sequence, resample = seed_sequence(random_seed), RESAMPLERS[bootstrap]
    # One noise for all: fresh noise for each draw would count its share of the variance twice, and
    # fewer noise pairs than the fit had would double the variance of the residual's values.
    noise = child_sequence(sequence, 1)
    base = np.ones(data.n_rows) if row_weights is None else row_weights

    def one(index: int) -> MixtureFit:
        rng = refit_stream(sequence, index, chains)
        return refit(fit, *resample(fit, data, base, rng), random_seed=noise)

    done = []
    with threadpool_limits(1), ThreadPoolExecutor(check_cores(cores), "diffgmm") as pool:
        try:
            for result in pool.map(one, range(draws * chains)):
                done.append(result)
                if on_draw is not None:
                    on_draw(len(done))
        except BaseException as error:  # an error in a draw, or Ctrl-C: nobody starts another one
            pool.shutdown(wait=False, cancel_futures=True)
            done = done[: len(done) // chains * chains]
            if not done or not isinstance(error, KeyboardInterrupt):
                raise
            warnings.warn(
                f"Interrupted: {len(done)} of {draws * chains} refits are done and returned.",
                UserWarning,
                stacklevel=2,
            )
    return done


def refit_stream(sequence: np.random.SeedSequence, index: int, chains: int) -> np.random.Generator:
    """Return the generator of the data set of refit `index`, named by its chain and draw."""
    return stream(sequence, 0, index % chains, index // chains)
