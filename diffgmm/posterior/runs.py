"""Chains from their starts to their end, warm-up included, and further."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._seeding import stream
from ..progress import Progress
from .adaptation import adapt
from .chain_target import ChainTarget
from .gibbs import Chain, Run, Target, run_chains
from .ladder import LadderReport, ladder_chains, report_of, run_ahead
from .moves import with_moves
from .starts import Start, choose_starts
from .warm_up import warm_up

# Largest pointwise log likelihood that is kept whole; beyond it, every second, third, ... draw.
POINTWISE_BYTES = 2**30


@dataclass(frozen=True, eq=False)
class Settings:
    """How much to sample, and where: as in `diffgmm.sample`.

    moves : whether split-merge moves are tried, whatever the warm-up says.
    """

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    cores: int = 1
    progressbar: bool = False
    compute_log_likelihood: bool = True
    method: str = "gibbs"
    init: str = "auto"
    moves: bool = False


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
    arrays, every = pointwise_arrays(settings, target.data.n_rows)
    if settings.method == "diffusion":
        walk = _climb(target.fixed, settings, (arrays, every), sequence)
    else:
        walk = _run(target, starts, settings, (arrays, every), sequence)
    return _run_of(walk, settings, arrays, every)


def go_on(earlier: PosteriorRun, settings: Settings) -> PosteriorRun:
    """Run the same chains further: `settings.draws` more draws of each, or until Ctrl-C."""
    from threadpoolctl import threadpool_limits

    arrays, every = pointwise_arrays(settings, earlier.target.data.n_rows)
    chains = [
        Chain(
            chain.target,
            chain.state,
            chain.target.new_draws(settings.draws, own, every),
            np.zeros(0),
            chain.rng,
        )
        for chain, own in zip(earlier.chains, arrays, strict=True)
    ]
    labels = [f"Chain {index}" for index in range(len(chains))]
    with Progress(settings.progressbar) as progress, threadpool_limits(1):
        run = run_chains(chains, settings.cores, progress.bars(labels, settings.draws))
    walk = Walk(earlier.target, chains, earlier.starts, 0.0, run, None)
    return _run_of(walk, settings, arrays, every)


def _run_of(walk: "Walk", settings: Settings, pointwise: np.ndarray, every: int) -> PosteriorRun:
    """Return what the walk left, with a warning when Ctrl-C ended it."""
    n_draws = min(max(chain.position, 0) for chain in walk.chains)
    if n_draws == 0:
        raise KeyboardInterrupt
    if walk.run.interrupted:
        warnings.warn(
            f"Sampling was interrupted: {n_draws} of {settings.draws} draws per chain are "
            "returned.",
            UserWarning,
            stacklevel=6,
        )
    kept = pointwise.shape[1] > 0
    pointwise = pointwise[:, : -(-n_draws // every)]
    pointwise -= walk.target.log_jacobian
    return PosteriorRun(
        target=walk.target,
        chains=walk.chains,
        n_draws=n_draws,
        pointwise=pointwise if kept else None,
        every=every,
        starts=walk.starts,
        interrupted=walk.run.interrupted,
        seconds=walk.seconds + walk.run.seconds,
        ladder=walk.ladder,
    )


def pointwise_arrays(settings: Settings, n_rows: int) -> tuple[np.ndarray, int]:
    """Return room for log likelihoods (C, S', N) of every n-th draw, and n."""
    every = pointwise_step(settings, n_rows)
    kept = -(-settings.draws // every) if settings.compute_log_likelihood else 0
    return np.empty((settings.chains, kept, n_rows)), every


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
            kept = arrays.shape[1] > 0
            targets, warm = adapt(
                target, warm, settings.tune, settings.cores, kept, progress, update
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
