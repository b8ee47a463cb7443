"""Chains of the blocked Gibbs sampler: their arrays, and batches of sweeps on threads."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..covariance import Family
from ..data import Data
from ..kernels import jumps, split_merge, sweep, weighted
from ..kernels.allocation import ChainDraws, ChainState, ConjugatePrior
from ..kernels.bundles import Rows
from ..kernels.marginal_step import IS_KNOWN, SteppedState, gibbs_and_steps
from ..learn.search import Units
from .chain_target import ChainTarget
from .families import CovariancePrior, covariance_prior
from .moves import Jumps, Moves
from .priors import Prior
from .row_weights import RowWeights

# Seconds of work handed to a thread at once: long enough that Python costs nothing, short enough
# that progress looks alive and Ctrl-C is heard.
BATCH_SECONDS = 0.05

# Noise levels of annealed sweeps, in standard deviations of the data: from where components are
# hidden in noise to where most of them are not. On galaxies with K = 3 and the prior of
# benchmarks/posterior 22 % of 200 chains from prior draws stay in a mode that is 8 nats low
# without annealing, 0.7 % of 300 with 500 annealed sweeps, 0.3 % with 1000.
HIGHEST_NOISE = 1.0
LOWEST_NOISE = 0.1

State = ChainState | SteppedState


@dataclass(frozen=True, eq=False)
class Target:
    """The posterior that chains sample, in the units of the computation.

    units : the map to the user's units.   prior : in the user's units.
    row_weights : None when every row counts once.   moves : how often split-merge moves follow.
    jumps : tables of one chain and how often their proposals follow; only with moves after each sweep.
    """

    data: Data
    family: Family
    units: Units
    prior: Prior
    n_components: int
    rows: Rows
    kernel_prior: ConjugatePrior
    row_weights: RowWeights | None = None
    moves: Moves | None = None
    jumps: Jumps | None = None

    @classmethod
    def of(
        cls,
        data: Data,
        family: Family,
        prior: Prior,
        n_components: int,
        row_weights: np.ndarray | None = None,
    ) -> "Target":
        """Return the posterior of a mixture of `n_components` under `prior`."""
        units = Units.of(data, family)
        rows = data.rows(units.shift, units.scale, row_weights)
        kernel_prior = conjugate_prior(prior.in_units(units.shift, units.scale), n_components)
        own = None
        if row_weights is not None:
            own = RowWeights.of(row_weights, data.values / units.scale)
        return cls(data, family, units, prior, n_components, rows, kernel_prior, own)

    def of_rows(self, index: np.ndarray) -> "Target":
        """Return the posterior given the rows numbered `index` alone, in the same units."""
        data = replace(self.data, values=np.asarray(self.data.values[index]))
        return replace(self, data=data, rows=data.rows(self.units.shift, self.units.scale))

    @property
    def n_effective(self) -> float:
        """Number of rows, or the sum of their weights."""
        return self.data.n_rows if self.row_weights is None else self.row_weights.values.sum()

    @property
    def is_corrected(self) -> bool:
        """Whether weights of rows are rounded, so that moves may be rejected."""
        return self.row_weights is not None and bool(np.any(self.row_weights.values % 1.0))

    @property
    def covariance_prior(self) -> CovariancePrior:
        """The prior of the family's covariances."""
        return covariance_prior(self.family.name)

    @property
    def log_jacobian(self) -> float:
        """What the log density of a row loses on the way to the user's units."""
        return float(np.log(self.units.scale).sum())

    def noise_levels(self, n: int) -> np.ndarray:
        """Return n falling noise levels, in the units of the computation."""
        spread = math.sqrt(np.mean((self.data.scales / self.units.scale) ** 2))
        return spread * np.geomspace(HIGHEST_NOISE, LOWEST_NOISE, n)

    @property
    def fixed(self) -> "Target":
        """The posterior with K fixed in which chains start and warm up: this one."""
        return self

    def with_room(self, state: ChainState) -> ChainState:
        """Return the state of a chain from where it is in `fixed`."""
        return state

    def new_draws(self, n: int, pointwise: np.ndarray, every: int) -> ChainDraws:
        """Return room for n draws."""
        shapes = parameter_shapes(self.n_components, self.data.n_features, self.family)
        return ChainDraws(
            np.empty((n, sum(math.prod(shape) for shape in shapes))),
            np.empty(n),
            np.empty(n, dtype=np.int64),
            pointwise,
            every,
            np.full(n, np.nan if self.moves else 1.0),
            np.full(n, np.nan),
        )

    def sweep(
        self,
        state: State,
        draws: ChainDraws,
        noise: np.ndarray,
        bounds: tuple[int, int],
        rng: np.random.Generator,
    ) -> ChainDraws:
        """Run the sweeps from `bounds[0]` up to `bounds[1]`, return where draws went."""
        begin, end = bounds
        while begin < end:
            last = end - 1 if self.moves is None else min(self.moves.next_after(begin), end - 1)
            self._sweep_only(state, draws, noise, (begin, last + 1), rng)
            if self.moves is not None and self.moves.follows(last, noise):
                rates = self._move(state, rng, last)
                if last >= 0:
                    draws.acceptance[last], draws.jumps[last] = rates
            begin = last + 1
        return draws

    def _sweep_only(
        self,
        state: State,
        draws: ChainDraws,
        noise: np.ndarray,
        bounds: tuple[int, int],
        rng: np.random.Generator,
    ) -> None:
        common = (self.kernel_prior, state, draws)
        if isinstance(state, SteppedState):
            own = (state.chain, draws, state.reference, state.position)
            gibbs_and_steps(self.rows, self.kernel_prior, *own, *bounds, rng)
        elif self.row_weights is None:
            sweep.gibbs(self.rows, *common, noise, *bounds, rng)
        else:  # without annealing: no noise level takes row weights
            weighted.gibbs(self.rows, self.row_weights.phases, *common, *bounds, rng)

    def _move(self, state: State, rng: np.random.Generator, n: int) -> tuple[float, float]:
        """Try a move after sweep n, then jumps; return how probable the move was, the share of jumps taken."""
        if isinstance(state, SteppedState):
            state.position.numbers[IS_KNOWN] = 0.0
            state = state.chain
        rate, taken = split_merge.split_merge(self.rows, self.kernel_prior, state, rng), math.nan
        if self.jumps is not None and (n + 1) % self.jumps.every == 0:
            own = (self.jumps.tables, self.jumps.tries, rng)
            taken = jumps.jump(self.rows, self.kernel_prior, state, *own)
        return rate, taken


def conjugate_prior(prior: Prior, n_components: int) -> ConjugatePrior:
    """Return what the kernel needs of a prior that is in the units of the rows."""
    d = prior.n_features
    precision = np.linalg.inv(prior.B0)
    drawn = prior.G0 is not None
    own = covariance_prior(prior.covariance_type)
    return ConjugatePrior(
        prior.concentrations(n_components),
        precision,
        precision @ prior.m0,
        2.0 * (prior.c0 or 0.0),
        2.0 * prior.g0 if drawn else 0.0,
        own.kernel_rate(prior.G0, d) if drawn else np.zeros((d, d)),
    )


def parameter_shapes(
    n_components: int, n_features: int, family: Family
) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of weights, means, C0 and whitening factors."""
    k, d = n_components, n_features
    scale, factors, _ = covariance_prior(family.name).kernel_shapes(k, d)
    return (k,), (k, d), scale, factors


def split(everything: np.ndarray, shapes: tuple[tuple[int, ...], ...]) -> tuple[np.ndarray, ...]:
    """Return parameters (..., P) in one row as arrays of these shapes."""
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    parts = np.split(everything, ends, axis=-1)
    lead = everything.shape[:-1]
    return tuple(part.reshape(*lead, *shape) for part, shape in zip(parts, shapes, strict=True))


def new_state(n_components: int, n_features: int, family: Family) -> ChainState:
    """Return a state whose parameters are zero; its arrays are views of one row."""
    shapes = parameter_shapes(n_components, n_features, family)
    everything = np.zeros(sum(math.prod(shape) for shape in shapes))
    statistics = (
        (n_components,),
        (n_components, n_features),
        covariance_prior(family.name).kernel_shapes(n_components, n_features)[2],
    )
    return ChainState(
        everything, *split(everything, shapes), *(np.zeros(shape) for shape in statistics)
    )


class Chain:
    """One chain: its state, its generator, and how far it is.

    position : the next sweep; -tune at the start, 0 at the first draw.
    """

    def __init__(
        self,
        target: ChainTarget,
        state: Any,
        draws: Any,
        noise: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        self.target, self.state, self.draws, self.noise, self.rng = target, state, draws, noise, rng
        self.position = -len(noise)
        self.end = len(draws.log_likelihood)
        self._batch = 1

    def run(self, n_sweeps: int) -> None:
        """Run some sweeps; the draws do not depend on how they are divided."""
        end = min(self.position + n_sweeps, self.end)
        self.draws = self.target.sweep(
            self.state, self.draws, self.noise, (self.position, end), self.rng
        )
        self.position = end

    @property
    def n_sweeps(self) -> int:
        """Sweeps so far."""
        return self.position + len(self.noise)

    def run_batch(self) -> None:
        """Run as many sweeps as take about `BATCH_SECONDS`."""
        start = time.perf_counter()
        self.run(self._batch)
        seconds = max(time.perf_counter() - start, 1e-9)
        # At most ten times more at once: one slow batch must not set the pace of the next.
        wanted = int(self._batch * min(BATCH_SECONDS / seconds, 10.0))
        self._batch = max(1, wanted)

    @property
    def is_done(self) -> bool:
        """Whether every draw is there."""
        return self.position >= self.end

    def compile(self) -> None:
        """Compile what `run` calls."""
        self.run(0)


class Runner(Protocol):
    """Work that threads do batch by batch: a chain, or the particles of `smc`."""

    @property
    def is_done(self) -> bool:
        """Whether there is no more to do."""

    @property
    def n_sweeps(self) -> int:
        """How far it is, for those who look."""

    def compile(self) -> None:
        """Compile what `run_batch` calls."""

    def run_batch(self) -> None:
        """Do some work, fractions of a second."""


class Run(NamedTuple):
    """How a run went: whether Ctrl-C stopped it, and its seconds, compilation apart."""

    interrupted: bool
    seconds: float


def run_chains(
    chains: Sequence[Runner], cores: int, on_progress: Callable[[int, int], None] | None = None
) -> Run:
    """Run all chains to their end on up to `cores` threads, or until Ctrl-C.

    Threads take the chain that has waited longest, so that all are equally far at any time.

    Parameters
    ----------
    chains : sequence of Runner
    cores : int
    on_progress : callable, optional
        Called with the chain's number and its sweeps so far, from the threads.
    """
    for chain in chains:
        chain.compile()  # before the clock starts
    began = time.perf_counter()
    waiting = deque(range(len(chains)))
    stop = threading.Event()

    def worker() -> None:
        while not stop.is_set():
            try:
                index = waiting.popleft()  # atomic
            except IndexError:
                return
            chain = chains[index]
            chain.run_batch()
            if on_progress is not None:
                on_progress(index, chain.n_sweeps)
            if not chain.is_done:
                waiting.append(index)

    n_threads = min(cores, len(chains))
    with ThreadPoolExecutor(n_threads, thread_name_prefix="diffgmm") as pool:
        futures, interrupted = [pool.submit(worker) for _ in range(n_threads)], False
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:
            stop.set()
            wait(futures)
            interrupted = True
        finally:
            stop.set()
        for future in futures:
            future.result()
    return Run(interrupted, time.perf_counter() - began)
