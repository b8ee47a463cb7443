"""The noise ladder: chains whose states move between noise levels by exchanges of neighbours.

Replica exchange (Geyer 1991; Hukushima and Nemoto 1996, doi:10.1143/JPSJ.65.1604) over the noise
levels of `kernels.ladder`: at the highest the posterior is nearly the prior and chains go
everywhere, at level 0 it is exact. Particles of `smc` run ahead from the prior: they find where the
levels must be, and give every level of a chain its first state.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from .._seeding import stream
from ..kernels import ladder
from ..kernels.allocation import ChainDraws
from .gibbs import Chain, Target, new_state, run_chains
from .smc import PLACING_STREAM, Particles, Passage, added_concentration

# Neighbours are placed for exchanges to be accepted with this probability, the middle of the range
# 0.2 to 0.4 in which round trips are fastest: Kone and Kofke (2005), doi:10.1063/1.1917749.
SWAP_RATE = 0.3

# The number of levels grows with the square root of the number of rows; beyond this many a sweep
# of all of them costs more than it brings, and the ladder ends below the prior.
MOST_LEVELS = 96

# Particles per chain and their sweeps at each level. On the means -20, -16, 20 and on eight
# features with six components more sweeps bring more than more particles.
PARTICLES = 48
SWEEPS = 10

# Runs of particles for each chain, of which it takes one in proportion to its evidence: of 10 runs on
# the means -20, -16, 20 one ends in the low mode, and its evidence says so by some ten nats.
ISLANDS = 2

# Names the streams of a chain's other islands, after the chain's number.
ISLAND_STREAM = 3

# Shares of the warm-up after which levels are placed again, by the exchanges since.
PLACINGS = (0.2, 0.5)

# An acceptance probability that was estimated from few exchanges is kept away from 0 and 1.
SURELY = 0.02


def distance_at(rate: np.ndarray) -> np.ndarray:
    """Return the distance of levels whose exchanges are accepted at `rate`; see `smc`."""
    normal = NormalDist()
    clipped = np.clip(rate, SURELY, 1.0 - SURELY)
    return np.array([-np.sqrt(2.0) * normal.inv_cdf(0.5 * r) for r in np.ravel(clipped)])


def place(levels: np.ndarray, distances: np.ndarray, n: int, spacing: float) -> np.ndarray:
    """Return n levels, evenly spaced down to 0.

    Parameters
    ----------
    levels : ndarray, shape (T,)
        Falling to 0.
    distances : ndarray, shape (T - 1,)
        Between them.
    n : int
    spacing : float
        At most this; levels then end below the highest.
    """
    above_zero = np.append(np.cumsum(distances[::-1])[::-1], 0.0)
    wanted = np.linspace(min(above_zero[0], (n - 1) * spacing), 0.0, n)
    return np.interp(wanted, above_zero[::-1], levels[::-1])


def n_levels_for(passage: Passage) -> int:
    """Return how many levels have the wanted swap rate between the highest and 0."""
    total = passage.distances[1:].sum()
    return 2 + int(total / distance_at(np.array(SWAP_RATE))[0])


class LadderChain(Chain):
    """One chain with a state at each of L noise levels; its draws are those of level 0.

    ladder : the states and what became of exchanges, of draws only.
    """

    def __init__(
        self,
        target: Target,
        passage: Passage,
        n_levels: int,
        draws: ChainDraws,
        tune: int,
        rng: np.random.Generator,
    ) -> None:
        state = new_state(target.n_components, target.data.n_features, target.family)
        super().__init__(target, state, draws, np.zeros(tune), rng)
        # The highest level is the first that the particles passed, one step from the prior.
        spacing = float(distance_at(np.array(SWAP_RATE))[0]) if n_levels == MOST_LEVELS else np.inf
        levels = place(passage.levels, passage.distances[1:], n_levels, spacing)
        nearest = [int(np.abs(passage.levels - level).argmin()) for level in levels]
        self.ladder = ladder.Ladder(
            passage.states[nearest],
            levels,
            np.array([added_concentration(target)]),
            np.zeros(n_levels - 1),
            np.zeros(n_levels - 1),
            np.zeros(n_levels),
            np.zeros(1),
        )
        self._placings = [int(share * tune) - tune for share in PLACINGS]

    def run(self, n_sweeps: int) -> None:
        """Run some sweeps of every level; the draws do not depend on how they are divided."""
        end = min(self.position + n_sweeps, self.end)
        while True:
            stops = [stop for stop in (*self._placings, 0) if self.position < stop < end]
            self._exchange(min([end, *stops]))
            if self.position in self._placings:
                self._place_again()
            elif self.position == 0:
                self._forget()
            if self.position >= end:
                return

    def _exchange(self, end: int) -> None:
        target = self.target.fixed
        ladder.exchange(
            target.rows,
            target.kernel_prior,
            self.state,
            self.ladder,
            self.draws,
            self.position,
            end,
            self.rng,
        )
        self.position = end

    def _place_again(self) -> None:
        if np.any(self.ladder.attempts == 0.0):
            return
        distances = distance_at(self.swap_rates)
        levels = self.ladder.levels
        levels[:] = place(levels.copy(), distances, len(levels), np.inf)
        self._forget()

    def _forget(self) -> None:
        for array in (self.ladder.acceptance, self.ladder.attempts, self.ladder.trips):
            array[:] = 0.0

    @property
    def swap_rates(self) -> np.ndarray:
        """Mean acceptance probability of exchanges of levels l and l + 1, (L - 1,)."""
        return self.ladder.acceptance / np.maximum(self.ladder.attempts, 1.0)


class LadderReport(NamedTuple):
    """What a ladder says about itself, of C chains with L levels each.

    noise_levels : (C, L), falling to 0, in the units of the computation. Of several zeros at the end
    only the last is the posterior; the others still have added concentration.
    swap_rates : (C, L - 1), of draws.   round_trips : (C,), states that came from the highest
    level to 0 during draws.   log_evidence : (C,), of each chain's particles.
    """

    noise_levels: np.ndarray
    swap_rates: np.ndarray
    round_trips: np.ndarray
    log_evidence: np.ndarray


def report_of(chains: list[LadderChain], passages: list[Passage]) -> LadderReport:
    """Return what the ladders of these chains say."""
    return LadderReport(
        np.maximum(np.stack([chain.ladder.levels for chain in chains]) - 1.0, 0.0),
        np.stack([chain.swap_rates for chain in chains]),
        np.array([int(chain.ladder.trips[0]) for chain in chains]),
        np.array([passage.log_evidence for passage in passages]),
    )


@dataclass(frozen=True, eq=False)
class Ahead:
    """What the particles found: one passage per chain, how many levels, seconds."""

    passages: list[Passage]
    n_levels: int
    seconds: float


def run_ahead(
    target: Target,
    generators: list[np.random.Generator],
    cores: int,
    sequence: np.random.SeedSequence,
    on_level: Callable[[int, int | None], None],
) -> Ahead:
    """Run the particles of every chain, and those that say how many levels all of them have.

    Runs choose their levels as they go: `on_level` is called with the last level that any of them
    has passed, and with the number of all levels at the end.

    Warns
    -----
    UserWarning
        When so many levels would be needed that the ladder ends below the prior.
    """
    placing = stream(sequence, PLACING_STREAM)
    more = [
        stream(sequence, index, ISLAND_STREAM, island)
        for index in range(len(generators))
        for island in range(1, ISLANDS)
    ]
    runs = [Particles(target, PARTICLES, SWEEPS, rng) for rng in (*generators, *more, placing)]
    run = run_chains(runs, cores, lambda index, done: on_level(done - 1, None))
    if run.interrupted:  # there is no draw to keep
        raise KeyboardInterrupt
    most = max(one.n_sweeps for one in runs)
    on_level(most - 1, most)
    passages = [one.passage() for one in runs]
    n_levels = n_levels_for(passages[-1])
    if n_levels > MOST_LEVELS:
        warnings.warn(
            f"The noise ladder would need {n_levels} levels for swap rates of {SWAP_RATE}; it has "
            f"{MOST_LEVELS} and ends below the prior, so that chains start from the prior but may "
            "not come back to it. With so many rows use method='gibbs', or fewer rows.",
            UserWarning,
            stacklevel=7,
        )
    n = len(generators)
    islands = [
        [passages[i], *passages[n + i * (ISLANDS - 1) : n + (i + 1) * (ISLANDS - 1)]]
        for i in range(n)
    ]
    chosen = [choose(own, rng) for own, rng in zip(islands, generators, strict=True)]
    return Ahead(chosen, min(n_levels, MOST_LEVELS), run.seconds)


def choose(islands: list[Passage], rng: np.random.Generator) -> Passage:
    """Return one of independent passages, in proportion to its evidence; the evidence is the mean."""
    logs = np.array([island.log_evidence for island in islands])
    shares = np.exp(logs - logs.max())
    chosen = islands[rng.choice(len(islands), p=shares / shares.sum())]
    return replace(chosen, log_evidence=float(logs.max() + np.log(shares.mean())))


def ladder_chains(
    target: Target,
    ahead: Ahead,
    draws: list[ChainDraws],
    tune: int,
    generators: list[np.random.Generator],
) -> list[LadderChain]:
    """Return one chain for each passage."""
    return [
        LadderChain(target, passage, ahead.n_levels, own, tune, rng)
        for passage, own, rng in zip(ahead.passages, draws, generators, strict=True)
    ]
