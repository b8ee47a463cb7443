"""Rows and a prior in, aligned draws of the parameters out."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .._seeding import stream
from ..covariance import Family
from ..data import Data
from ..progress import Progress
from .chain_target import ChainTarget
from .densities import N_ANCHORS, log_densities, points_of, spread_rows, weight_entropy
from .gibbs import Chain, Run, Target, parameter_shapes, run_chains, split
from .jumps import add_jumps
from .labels import alignment
from .ladder import LadderReport, ladder_chains, report_of, run_ahead
from .marginal_steps import add_steps
from .moves import with_moves
from .priors import Prior
from .starts import Start, choose_starts
from .warm_up import ANNEALED_SHARE, COMPARED_SHARE, warm_up

# Largest pointwise log likelihood that is kept whole; beyond it, every second, third, ... draw.
POINTWISE_BYTES = 2**30

N_REFERENCE_ROWS = 200


@dataclass(frozen=True, eq=False)
class Settings:
    """How much to sample, and where: as in `diffgmm.sample`."""

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    cores: int = 1
    progressbar: bool = False
    compute_log_likelihood: bool = True
    method: str = "gibbs"
    init: str = "auto"


@dataclass(frozen=True, eq=False)
class PosteriorDraws:
    """Draws of C chains with S draws each, in the user's units.

    weights (C, S, K); means (C, S, K, D).
    covariances : (C, S, K, D, D), tied (C, S, D, D), diag (C, S, K, D), spherical (C, S, K), or None
    when known.   C0 : (C, S, D, D), diag (C, S, D), spherical (C, S), or None when fixed.
    log_prior : each parameter's normalised log prior density (C, S).
    log_lik : (C, S), allocations summed out.   lp : (C, S), log_lik plus all of log_prior.
    n_filled : (C, S), components with a row in that draw's allocation.
    weight_entropy : (C, S).   log_density_anchor : (C, S, A) at the rows `anchors` (A,).
    pointwise : weighted log density of each row (C, S', N) at draws 0, every, 2 every, ..., or None.
    acceptance_rate : (C, S) after each draw, of the component that is least likely to move; None when
    there is nothing to reject.
    split_merge_rate : (C, S) probability with which the move after each draw was taken, NaN after most;
    None when there are no moves.
    starts : where each chain started, and whether its rival took over.
    aligned : whether labels were.   interrupted : whether Ctrl-C ended the run early.
    seconds : of all sweeps, warm-up included, starts and compilation apart.
    ladder : what the noise ladder says about itself, None without one.
    """

    target: Target
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray | None
    C0: np.ndarray | None
    log_prior: dict[str, np.ndarray]
    log_lik: np.ndarray
    n_filled: np.ndarray
    log_density_anchor: np.ndarray
    anchors: np.ndarray
    pointwise: np.ndarray | None
    acceptance_rate: np.ndarray | None
    split_merge_rate: np.ndarray | None
    every: int
    starts: list[str]
    aligned: bool
    interrupted: bool
    seconds: float
    ladder: LadderReport | None = None

    @property
    def lp(self) -> np.ndarray:
        """Normalised log prior plus log likelihood (C, S)."""
        return self.log_lik + sum(self.log_prior.values())

    @property
    def weight_entropy(self) -> np.ndarray:
        """Entropy of the weights (C, S), in nats."""
        return weight_entropy(self.weights)


def sample_posterior(
    data: Data,
    family: Family,
    prior: Prior,
    n_components: int,
    settings: Settings,
    sequence: np.random.SeedSequence,
    row_weights: np.ndarray | None = None,
    starts: list[Start] | None = None,
) -> PosteriorDraws:
    """Sample the posterior of a mixture; labels are aligned over all chains.

    With weights (N,) of the rows the target is sum_i w_i log p(x_i | theta) plus the log prior.
    Chains begin at `starts`, one each, or where `choose_starts` says.

    Raises
    ------
    KeyboardInterrupt
        When Ctrl-C came before every chain had a draw.
    """
    target = Target.of(data, family, prior, n_components, row_weights)
    if settings.method == "gibbs" and settings.init == "prior":
        target = with_moves(target, int((1.0 - ANNEALED_SHARE - COMPARED_SHARE) * settings.tune))
    run = run_posterior(target, settings, sequence, starts)
    pointwise = run.pointwise
    if pointwise is not None and row_weights is not None:
        pointwise -= target.log_jacobian * (row_weights - 1.0)
    return replace(
        _collect(run.target.fixed, run.chains, run.n_draws),
        pointwise=pointwise,
        every=run.every,
        starts=run.starts,
        interrupted=run.interrupted,
        seconds=run.seconds,
        ladder=run.ladder,
    )


@dataclass(frozen=True, eq=False)
class PosteriorRun:
    """Chains of `target` at their end; `n_draws` of each were drawn. The rest as in `PosteriorDraws`."""

    target: ChainTarget
    chains: Sequence[Chain]
    n_draws: int
    pointwise: np.ndarray | None
    every: int
    starts: list[str]
    interrupted: bool
    seconds: float
    ladder: LadderReport | None


def run_posterior(
    target: ChainTarget,
    settings: Settings,
    sequence: np.random.SeedSequence,
    starts: list[Start] | None = None,
) -> PosteriorRun:
    """Start the chains, warm them up and run them to their end, or until Ctrl-C."""
    every = pointwise_step(settings, target.data.n_rows)
    kept = -(-settings.draws // every) if settings.compute_log_likelihood else 0
    pointwise = np.empty((settings.chains, kept, target.data.n_rows))
    if settings.method == "diffusion":
        walk = _climb(target.fixed, settings, (pointwise, every), sequence)
    else:
        walk = _run(target, starts, settings, (pointwise, every), sequence)
    target, chains, kinds, seconds, run, ladder = walk
    n_draws = min(max(chain.position, 0) for chain in chains)
    if n_draws == 0:
        raise KeyboardInterrupt
    if run.interrupted:
        warnings.warn(
            f"Sampling was interrupted: {n_draws} of {settings.draws} draws per chain are "
            "returned.",
            UserWarning,
            stacklevel=5,
        )
    pointwise = pointwise[:, : -(-n_draws // every)]
    pointwise -= target.log_jacobian
    return PosteriorRun(
        target=target,
        chains=chains,
        n_draws=n_draws,
        pointwise=pointwise if kept else None,
        every=every,
        starts=kinds,
        interrupted=run.interrupted,
        seconds=seconds + run.seconds,
        ladder=ladder,
    )


def pointwise_step(settings: Settings, n_rows: int) -> int:
    """Return that every n-th draw keeps its pointwise log likelihood, within POINTWISE_BYTES."""
    most = max(1, POINTWISE_BYTES // (8 * n_rows * settings.chains))
    return -(-settings.draws // most)


class Walk(NamedTuple):
    """The target, its chains at their end, their starts, seconds before and the run, the ladder."""

    target: ChainTarget
    chains: Sequence[Chain]
    starts: list[str]
    seconds: float
    run: Run
    ladder: LadderReport | None


def _run(
    target: ChainTarget,
    starts: list[Start] | None,
    settings: Settings,
    pointwise: tuple[np.ndarray, int],
    sequence: np.random.SeedSequence,
) -> Walk:
    """Run chains of plain sweeps: warm-up and the rest."""
    from threadpoolctl import threadpool_limits

    starts = starts or choose_starts(
        target.fixed, settings.chains, sequence, settings.cores, from_prior=settings.init == "prior"
    )
    labels = [f"Chain {index}" for index in range(len(starts))]
    with Progress(settings.progressbar) as progress, threadpool_limits(1):
        update = progress.bars(labels, settings.tune + settings.draws)
        warm = warm_up(
            target.fixed, starts, settings.tune, settings.cores, sequence, progress, update
        )
        arrays, every = pointwise
        targets: Sequence[ChainTarget] = [target] * len(starts)
        if isinstance(target, Target):
            if warm.disagree and target.moves is None:
                target = with_moves(target, settings.tune - warm.n_sweeps)
            warm = add_steps(
                target, warm, settings.tune, settings.cores, arrays.shape[1] > 0, update
            )
            targets, warm = add_jumps(
                target, warm, settings.tune, settings.cores, progress, update
            )
        levels = np.zeros(settings.tune - warm.n_sweeps)
        chains = [
            Chain(
                one,
                one.with_room(state),
                one.new_draws(settings.draws, own, every),
                levels,
                rng,
            )
            for one, state, rng, own in zip(
                targets, warm.states, warm.generators, arrays, strict=True
            )
        ]
        run = run_chains(
            chains, settings.cores, lambda index, done: update(index, warm.n_sweeps + done)
        )
    kinds = [
        f"{start.kind}, then an annealed prior draw" if taken else start.kind
        for start, taken in zip(starts, warm.replaced, strict=True)
    ]
    return Walk(target, chains, kinds, warm.seconds, run, None)


def _climb(
    target: Target,
    settings: Settings,
    pointwise: tuple[np.ndarray, int],
    sequence: np.random.SeedSequence,
) -> Walk:
    """Run chains of the noise ladder, particles ahead of them."""
    from threadpoolctl import threadpool_limits

    generators = [stream(sequence, index) for index in range(settings.chains)]
    labels = [f"Chain {index}" for index in range(settings.chains)]
    with Progress(settings.progressbar) as progress, threadpool_limits(1):
        on_level = progress.levels("Particles")
        update = progress.bars(labels, settings.tune + settings.draws)
        ahead = run_ahead(target, generators, settings.cores, sequence, on_level)
        arrays, every = pointwise
        draws = [target.new_draws(settings.draws, own, every) for own in arrays]
        chains = ladder_chains(target, ahead, draws, settings.tune, generators)
        run = run_chains(chains, settings.cores, update)
    report = report_of(chains, ahead.passages)
    return Walk(target, chains, ["particles from the prior"] * len(chains), ahead.seconds, run, report)


def _collect(target: Target, chains: Sequence[Chain], n_draws: int) -> PosteriorDraws:
    """Return the first `n_draws` of every chain, aligned and in the user's units."""
    jacobian = target.log_jacobian
    units, prior = target.units, target.prior
    everything = np.stack([chain.draws.parameters[:n_draws] for chain in chains])
    shapes = parameter_shapes(target.n_components, target.data.n_features, target.family)
    weights, means, scales, factors = split(everything, shapes)
    acceptance = np.stack([chain.draws.acceptance[:n_draws] for chain in chains])
    log_lik = np.stack([chain.draws.log_likelihood[:n_draws] for chain in chains])
    log_lik -= target.n_effective * jacobian

    anchors = spread_rows(target.data, units, N_ANCHORS)
    flat_weights, flat_means, flat_factors = (
        array.reshape(-1, *array.shape[2:]) for array in (weights, means, factors)
    )
    at_anchors = log_densities(
        flat_weights, flat_means, flat_factors, points_of(target.data, units, anchors)
    )
    at_anchors -= jacobian

    own = target.covariance_prior
    covariances = own.covariances_of(factors, units.scale)
    C0 = own.scale_of(scales, units.scale) if own.is_free and prior.C0 is None else None
    means = means * units.scale + units.shift
    log_prior = prior.log_prior(weights, means, covariances, C0)
    if prior.is_exchangeable:
        rows = spread_rows(target.data, units, N_REFERENCE_ROWS)
        points = points_of(target.data, units, rows)
        lp = log_lik + sum(log_prior.values())
        order = alignment(
            prior, flat_weights, flat_means, flat_factors, points=points, lp=lp.ravel()
        )
        order = order.reshape(weights.shape)
        weights, means = permute(weights, order), permute(means, order)
        if covariances is not None and own.is_labelled:
            covariances = permute(covariances, order)
    return PosteriorDraws(
        target=target,
        weights=weights,
        means=means,
        covariances=covariances,
        C0=C0,
        log_prior=log_prior,
        log_lik=log_lik,
        n_filled=np.stack([chain.draws.n_filled[:n_draws] for chain in chains]),
        log_density_anchor=at_anchors.reshape(*weights.shape[:2], -1),
        anchors=anchors,
        pointwise=None,
        acceptance_rate=acceptance if target.is_corrected else None,
        split_merge_rate=acceptance if target.moves else None,
        every=1,
        starts=[],
        aligned=prior.is_exchangeable,
        interrupted=False,
        seconds=0.0,
    )


def permute(array: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return array (C, S, K, ...) with the components of each draw in `order` (C, S, K)."""
    index = order.reshape(*order.shape, *[1] * (array.ndim - 3))
    return np.take_along_axis(array, index, axis=2)
