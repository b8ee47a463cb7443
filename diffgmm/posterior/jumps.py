"""Jumps between modes: found by independent runs in the warm-up, and kept as they are from the first draw on.

Where components have few rows for their covariances a posterior has many modes, of like mass, and neither
sweeps nor split-merge moves go from one to another often enough. Each chain makes runs of its own from draws of
the prior and keeps, of every stretch of sweeps, how often each row was in each component: one table of
`kernels.jumps`. A mixture of such tables is near enough to the law of allocations for independent proposals.
Then the chain and its runs go on together with jumps, and tables of their stretches, which are more and more in
the modes that hold the posterior, are added. The chain goes on from that of them which jumps most often.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from ..data import raw_rows
from ..kernels import draws, jumps
from ..kernels.allocation import ChainState
from ..progress import Progress
from .densities import log_constants, points_of
from .gibbs import Chain, Target, parameter_shapes, run_chains, split
from .moves import Jumps, Moves, has_few_rows
from .starts import prior_start, state_at
from .warm_up import Warm, disagree

# Sweeps at the end of the warm-up that say whether chains disagree, if they did not before.
CHECKED = 100

# From here on they do. With an autocorrelation time of ten sweeps R-hat is about 1.05 after so many.
RHAT = 1.1

# Runs of each chain, their sweeps at falling noise, without it, and those of which tables are made. On the 8-D
# problem of benchmarks/posterior a quarter of all runs come to the mode with most mass in 200 sweeps with
# moves, hardly more in 2,000, and however slowly the noise falls: many short runs find it.
RUNS, ANNEALED, SETTLED, USED = 20, 100, 100, 100

# Sweeps of one stretch, stretches of a chain and of each of its runs between two makings of tables, and how often
# they are made.
STRETCH, STRETCHES, MAKINGS = 25, 3, 6

# A row is anywhere with this probability, shared by all clusters.
ANYWHERE = 1e-3

# Proposals after each sweep, and after each stretch of the warm-up: one costs about a fifteenth of a sweep
# with its move.
TRIES, STRETCH_TRIES = 60, 150

# Largest rows x components x features^2. At 115,000 all of this takes four chains 60 seconds of CPU.
MOST_WORK = 250_000

# Largest rows x components: a chain keeps 400 tables of them, twice, which takes some 64 MB here.
MOST_ENTRIES = 10_000


def may_jump(target: Target) -> bool:
    """Return whether components have so few rows for their covariances that chains may need jumps."""
    n_rows, d, k = target.data.n_rows, target.data.n_features, target.n_components
    few = has_few_rows(target) and n_rows * k <= MOST_ENTRIES and n_rows * k * d**2 <= MOST_WORK
    return few and target.moves is not None and target.prior.is_exchangeable


def add_jumps(
    target: Target,
    warm: Warm,
    tune: int,
    cores: int,
    progress: Progress,
    on_progress: Callable[[int, int], None],
) -> tuple[list[Target], Warm]:
    """Finish the warm-up; where chains disagree or did, return targets with jumps, one for each chain.

    Parameters
    ----------
    target : Target
    warm : Warm
        Chains somewhere in the warm-up.
    tune : int
        Sweeps of the whole warm-up.
    cores : int
    progress : Progress
        Where the runs and the making of tables have a bar of their own.
    on_progress : callable
        Called with the chain's number and its sweeps so far, from threads.
    """
    left = tune - warm.n_sweeps
    if not may_jump(target) or left < CHECKED:
        return [target] * len(warm.states), warm
    busy = replace(target, moves=Moves(1, 1))
    chains = [
        _chain(target, state, CHECKED, np.zeros(left - CHECKED), rng)
        for state, rng in zip(warm.states, warm.generators, strict=True)
    ]
    seconds = warm.seconds
    seconds += _run(chains, cores, lambda index, done: on_progress(index, warm.n_sweeps + done))
    warm = warm._replace(n_sweeps=tune, seconds=seconds)
    # Chains that come to agree may have come to one narrow mode, all of them.
    if not (warm.disagree or are_apart(chains)):
        return [target] * len(chains), warm
    tables, states, more = _find_tables(busy, chains, cores, progress)
    targets = [replace(busy, jumps=Jumps(one, TRIES, 1)) for one in tables]
    return targets, warm._replace(states=states, seconds=seconds + more)


def are_apart(chains: list[Chain]) -> bool:
    """Return whether chains explain the rows differently: `disagree`, or R-hat of log_lik above `RHAT`.

    Where each chain stays in a mode of its own their log likelihoods may differ by less than `disagree` asks for.
    """
    series = np.stack([chain.draws.log_likelihood for chain in chains])
    if len(series) == 1:
        return False
    ratio = series.mean(axis=1).var(ddof=1) / max(series.var(axis=1, ddof=1).mean(), 1e-300)
    return disagree(chains) or bool(np.sqrt(1.0 - 1.0 / series.shape[1] + ratio) > RHAT)


def _find_tables(
    busy: Target, chains: list[Chain], cores: int, progress: Progress
) -> tuple[list[jumps.Tables], list[ChainState], float]:
    """Return the tables of each chain, where it has come to, and the seconds of the search."""
    runs = [_run_from_prior(busy, chain.rng) for chain in chains for _ in range(RUNS)]
    each = RUNS * (ANNEALED + SETTLED + USED) + MAKINGS * (1 + RUNS) * STRETCHES * STRETCH
    done = np.zeros((1 + MAKINGS, len(runs) + len(chains)), dtype=np.int64)
    show = progress.bars(["Finding modes"], each * len(chains))

    def update(making: int, index: int, n_sweeps: int) -> None:
        done[making, index] = n_sweeps
        show(0, int(done.sum()))

    seconds = _run(runs, cores, partial(update, 0))
    # a chain and its runs, which go on together
    groups = [[chain, *runs[c * RUNS : (c + 1) * RUNS]] for c, chain in enumerate(chains)]
    makers = [_Tables(busy, chain.rng) for chain in chains]
    for group, maker in zip(groups, makers, strict=True):
        maker.add(group, USED)
    for making in range(MAKINGS):
        for group, maker in zip(groups, makers, strict=True):
            tables = maker.tables()
            group[:] = [_with_jumps(busy, chain, tables) for chain in group]
        walking = [chain for group in groups for chain in group]
        seconds += _run(walking, cores, partial(update, 1 + making))
        for group, maker in zip(groups, makers, strict=True):
            maker.add(group, STRETCH)
    # Where tables fit best: elsewhere a chain may stay as it is for hundreds of draws.
    states = [max(group, key=lambda one: np.nanmean(one.draws.jumps)).state for group in groups]
    return [maker.tables() for maker in makers], states, seconds


def _chain(
    target: Target, state: ChainState, n: int, levels: np.ndarray, rng: np.random.Generator
) -> Chain:
    """Return a chain of n recorded sweeps after those of `levels`."""
    draws = target.new_draws(n, np.empty((0, target.data.n_rows)), 1)
    return Chain(target, state, draws, levels, rng)


def _run(chains: list[Chain], cores: int, on_progress: Callable[[int, int], None]) -> float:
    run = run_chains(chains, cores, on_progress)
    if run.interrupted:
        raise KeyboardInterrupt
    return run.seconds


def _run_from_prior(busy: Target, rng: np.random.Generator) -> Chain:
    own = np.random.default_rng(rng.integers(2**63))
    state = state_at(busy, prior_start(busy, own))
    levels = np.concatenate([busy.noise_levels(ANNEALED), np.zeros(SETTLED)])
    return _chain(busy, state, USED, levels, own)


def _with_jumps(busy: Target, chain: Chain, tables: jumps.Tables) -> Chain:
    """Return the chain from where it is, with jumps after each stretch."""
    target = replace(busy, jumps=Jumps(tables, STRETCH_TRIES, STRETCH))
    return _chain(target, chain.state, STRETCH * STRETCHES, np.zeros(0), chain.rng)


class _Tables:
    """The tables of one chain."""

    def __init__(self, target: Target, rng: np.random.Generator) -> None:
        self._target = target
        self._points = points_of(target.data, target.units, np.arange(target.data.n_rows))
        # (N, K) each
        self._shares: list[np.ndarray] = []
        # No two numberings of components may match the pivot alike.
        self._noise = 1e-6 * rng.random((target.data.n_rows, target.n_components))

    def add(self, group: list[Chain], stretch: int) -> None:
        """Make a table of each stretch of draws."""
        pivot = self._pivot() if self._shares else None
        for chain in group:
            shares = self._shares_of(chain)
            if pivot is None:
                pivot = np.ascontiguousarray(shares[-1].T + self._noise)
            shares = _numbered(shares, pivot)
            for begin in range(0, len(shares), stretch):
                self._shares.append(shares[begin : begin + stretch].mean(axis=0))

    def _shares_of(self, chain: Chain) -> np.ndarray:
        """Return how probable each component is for each row in each draw (S, K, N)."""
        target = self._target
        shapes = parameter_shapes(target.n_components, target.data.n_features, target.family)
        weights, means, _, factors = split(chain.draws.parameters, shapes)
        shares = np.empty((len(weights), target.n_components, target.data.n_rows), dtype=np.float32)
        constants = log_constants(weights, factors, target.data.n_features)
        arrays = (np.ascontiguousarray(array) for array in (constants, means, factors))
        draws.probabilities(raw_rows(self._points), *arrays, shares)
        return shares

    def tables(self) -> jumps.Tables:
        """Return all tables so far, numbered anew."""
        for _ in range(2):
            self._shares = list(_numbered(np.stack(self._shares), self._pivot()))
        shares = np.stack(self._shares, axis=-1).astype(float).transpose(1, 0, 2)
        shares /= shares.sum(axis=1, keepdims=True)
        k = shares.shape[1]
        shares = (1.0 - ANYWHERE) * shares + ANYWHERE / k
        running = np.ascontiguousarray(shares.transpose(2, 0, 1)).cumsum(axis=-1)
        return jumps.Tables(np.ascontiguousarray(np.log(shares)), running, self._pivot())

    def _pivot(self) -> np.ndarray:
        """Return the mean of all tables.

        Most of what they propose then matches it best as it is numbered: of proposals from tables numbered
        as one of them, up to a fifth did not.
        """
        return np.ascontiguousarray(np.mean(self._shares, axis=0, dtype=float).T + self._noise)


def _numbered(shares: np.ndarray, pivot: np.ndarray) -> np.ndarray:
    """Return shares (M, K, N) whose components are numbered as they match the pivot (N, K) best."""
    gain = np.asarray(shares, dtype=float) @ pivot
    order = np.empty(gain.shape[:2], dtype=np.int64)
    draws.match(gain, order)
    return np.take_along_axis(shares, order[:, :, None], axis=1)
