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

from ..kernels import draws, jumps
from ..kernels.allocation import ChainState
from ..progress import Progress
from .densities import log_constants, points_of, probabilities
from .gibbs import Chain, Target, parameter_shapes, run_chains, split
from .moves import Jumps, Moves, has_few_rows
from .starts import prior_start, state_at

# From here on chains are apart. With an autocorrelation time of ten sweeps R-hat is about 1.03 after 200.
RHAT = 1.1

# Runs of each chain and how often tables are made, at first and where the walkers are apart after that.
STAGES = {"Finding modes": (5, 2), "Finding more modes": (15, 6)}

# Sweeps of a run at falling noise, without it, and those of which tables are made. On the 8-D problem of
# benchmarks/posterior a quarter of all runs come to the mode with most mass in 200 sweeps with moves, hardly
# more in 2,000, and however slowly the noise falls: many short runs find it.
ANNEALED, SETTLED, USED = 100, 100, 100

# Sweeps of one stretch, and stretches of a walker between two makings of tables.
STRETCH, STRETCHES = 25, 3

# A row is anywhere with this probability, shared by all clusters.
ANYWHERE = 1e-3

# Most proposals after each sweep, and those after each stretch of the warm-up: one costs about a fifteenth of
# a sweep with its move.
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


def are_apart(chains: list[Chain]) -> bool:
    """Return whether chains explain the rows differently: R-hat of the log likelihood, later draws alone."""
    series = np.stack([chain.draws.log_likelihood for chain in chains])
    series = series[:, series.shape[1] // 3 :]
    if len(series) == 1:
        return False
    ratio = series.mean(axis=1).var(ddof=1) / max(series.var(axis=1, ddof=1).mean(), 1e-300)
    return bool(np.sqrt(1.0 - 1.0 / series.shape[1] + ratio) > RHAT)


def find_jumps(
    target: Target, chains: list[Chain], cores: int, progress: Progress
) -> tuple[list[Target], list[ChainState], float]:
    """Look for modes, each chain for itself.

    Parameters
    ----------
    target : Target
    chains : list of Chain
        With draws of the warm-up.
    cores : int
    progress : Progress
        Where the search has a bar.

    Returns
    -------
    targets : list of Target
        With jumps, one for each chain.
    states : list of ChainState
        Where each chain goes on.
    seconds : float
        What all this took, compilation apart.
    """
    busy = replace(target, moves=Moves(1, 1))
    groups = [_Group(busy, chain) for chain in chains]
    seconds = 0.0
    for label, (n_runs, makings) in STAGES.items():
        seconds += _search(groups, n_runs, makings, cores, partial(progress.bars, [label]))
        if not are_apart([walker for group in groups for walker in group.walkers]):
            break
    targets = [replace(busy, jumps=Jumps(group.tables(), group.tries(), 1)) for group in groups]
    return targets, [group.best_state() for group in groups], seconds


def _search(
    groups: list["_Group"],
    n_runs: int,
    makings: int,
    cores: int,
    bar: Callable[[int], Callable[[int, int], None]],
) -> float:
    """Add runs to each group, let all of them go on with jumps, return the seconds."""
    new = [group.new_runs(n_runs) for group in groups]
    n_walkers = sum(len(group.walkers) + n_runs for group in groups)
    each = makings * STRETCHES * STRETCH
    show = bar(n_runs * len(groups) * (ANNEALED + SETTLED + USED) + n_walkers * each)
    done = np.zeros((1 + makings, n_walkers), dtype=np.int64)

    def update(turn: int, index: int, n_sweeps: int) -> None:
        done[turn, index] = n_sweeps
        show(0, int(done.sum()))

    seconds = run([one for own in new for one in own], cores, partial(update, 0))
    for group, own in zip(groups, new, strict=True):
        group.add(own, USED)
        group.walkers += own
    for turn in range(1, 1 + makings):
        for group in groups:
            group.let_jump()
        walking = [walker for group in groups for walker in group.walkers]
        seconds += run(walking, cores, partial(update, turn))
        for group in groups:
            group.add(group.walkers, STRETCH)
    return seconds


def chain_from(
    target: Target,
    state: ChainState,
    rng: np.random.Generator,
    n: int,
    levels: np.ndarray | None = None,
) -> Chain:
    """Return a chain of n recorded sweeps, after those of the noise levels."""
    draws = target.new_draws(n, np.empty((0, target.data.n_rows)), 1)
    return Chain(target, state, draws, np.zeros(0) if levels is None else levels, rng)


def run(chains: list[Chain], cores: int, on_progress: Callable[[int, int], None]) -> float:
    """Run chains to their end, return the seconds."""
    done = run_chains(chains, cores, on_progress)
    if done.interrupted:
        raise KeyboardInterrupt
    return done.seconds


class _Group:
    """A chain, its runs, and tables of their draws.

    walkers : the chain and its runs, which go on together.
    """

    def __init__(self, target: Target, chain: Chain) -> None:
        self._target, self._rng = target, chain.rng
        self._points = points_of(target.data, target.units, np.arange(target.data.n_rows))
        # (N, K) each
        self._shares: list[np.ndarray] = []
        # No two numberings of components may match the pivot alike.
        self._noise = 1e-6 * chain.rng.random((target.data.n_rows, target.n_components))
        self.walkers = [chain]
        self.add(self.walkers, USED)

    def new_runs(self, n: int) -> list[Chain]:
        """Return n runs from draws of the prior."""
        runs, busy = [], self._target
        for _ in range(n):
            own = np.random.default_rng(self._rng.integers(2**63))
            levels = np.concatenate([busy.noise_levels(ANNEALED), np.zeros(SETTLED)])
            state = state_at(busy, prior_start(busy, own))
            runs.append(chain_from(busy, state, own, USED, levels))
        return runs

    def let_jump(self) -> None:
        """Let walkers go on from where they are, with jumps after each stretch."""
        target = replace(self._target, jumps=Jumps(self.tables(), STRETCH_TRIES, STRETCH))
        n = STRETCH * STRETCHES
        self.walkers = [chain_from(target, one.state, one.rng, n) for one in self.walkers]

    def tries(self) -> int:
        """Return of how many proposals one is taken, where the fewest are."""
        rates = [np.nanmean(one.draws.jumps) for one in self.walkers]
        return int(min(np.ceil(1.0 / max(min(rates), 1e-9)), TRIES))

    def best_state(self) -> ChainState:
        """Return where tables fit best: elsewhere a chain may stay as it is for hundreds of draws."""
        return max(self.walkers, key=lambda one: np.nanmean(one.draws.jumps)).state

    def add(self, chains: list[Chain], stretch: int) -> None:
        """Make a table of each stretch of draws."""
        pivot = self._pivot() if self._shares else None
        for chain in chains:
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
        constants = log_constants(weights, factors, target.data.n_features)
        return probabilities(constants, means, factors, self._points)

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
