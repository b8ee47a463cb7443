"""Warm-up: annealed starts, and a rival for every chain that starts at a fit.

Chains from prior draws begin at a high noise level and come down: the noise ladder of
`gibbs`. A chain from a fit runs beside such a chain for the first part of the warm-up. The best
optimum of the likelihood may lie in a narrow mode of the posterior that no chain leaves; the
annealed rival comes from above and finds broad modes. It takes over if it also explains the rows
better. The reverse is not done: a narrow mode that explains the rows better may still hold less
of the posterior, and must show in R-hat. Chains that go on from earlier draws have no rivals.

With many rows modes are steep and a slow descent costs much: annealing then sees a random part of
the rows, as many sweeps as it takes, and sweeps of all rows go on from there.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .._seeding import stream
from ..kernels.allocation import ChainState
from ..progress import Progress
from .gibbs import Chain, Target, run_chains
from .moves import has_few_rows
from .starts import CONTINUED, PRIOR, Start, prior_start, state_at

# Shares of the warm-up: annealing, then sweeps that compare a chain with its rival; the rest
# forgets both.
ANNEALED_SHARE = 0.5
COMPARED_SHARE = 0.1

# Rows that annealing sees, and its sweeps when there are more. Four components of 200,000 rows in
# three dimensions: of 50 sweeps from the prior over all rows, half end in a wrong mode; of 500 over
# so many rows none of 16 did.
ROWS_ANNEALED = 2_000
SWEEPS_ANNEALED = 500
TRIES = 3

# Sweeps of all rows that then bring a rival to its place before it is compared.
SETTLED = 100

# Fewer sweeps compare nothing: chains then have no rival, and are annealed only on a part.
FEWEST_COMPARED = 10

# A rival takes over when its mean log likelihood is higher by this many standard deviations of the
# log likelihood within a chain: two modes that fit alike are left to the starts.
MARGIN = 2.0


class Warm(NamedTuple):
    """Chains after the first part of the warm-up.

    states, generators : of each chain, to go on with.
    replaced : whether the annealed rival took over.
    disagree : whether some chain explains the rows clearly worse than another, or than one of `rivals`.
    rivals : with few rows for each component those that lost.
    n_sweeps : how many sweeps were run.   seconds : what they took, compilation apart.
    """

    states: list[ChainState]
    generators: list[np.random.Generator]
    replaced: list[bool]
    disagree: bool
    rivals: list[Chain]
    n_sweeps: int
    seconds: float


def warm_up(
    target: Target,
    starts: list[Start],
    tune: int,
    cores: int,
    sequence: np.random.SeedSequence,
    progress: Progress,
    on_progress: Callable[[int, int], None],
) -> Warm:
    """Run the first part of the warm-up.

    Parameters
    ----------
    target : Target
    starts : list of Start
    tune : int
        Sweeps of the whole warm-up.
    cores : int
    sequence : SeedSequence
    progress : Progress
        Where annealing on a part of the rows has a bar of its own.
    on_progress : callable
        Called with the chain's number and its sweeps so far, from threads.
    """
    goes_on = all(start.kind == CONTINUED for start in starts)
    n_annealed, n_compared = _lengths(tune, goes_on)
    chains, rivals = [], {}
    for index, start in enumerate(starts):
        rng = stream(sequence, index)
        annealed = start.kind == PRIOR
        chains.append(_candidate(target, start, annealed, n_annealed, n_compared, rng))
        if n_compared and not annealed and not goes_on:
            rng = stream(sequence, index, 2)
            own = prior_start(target, rng)
            n_sweeps = min(n_annealed, SETTLED) if _sees_part(target) else n_annealed
            rivals[index] = _candidate(target, own, True, n_sweeps, n_compared, rng)
    from_prior = [chain for chain, start in zip(chains, starts) if start.kind == PRIOR]
    annealed_chains = [*from_prior, *rivals.values()] if tune else []
    seconds = _anneal_on_part(target, annealed_chains, cores, progress)

    def update(index: int, done: int) -> None:
        if index < len(chains):  # rivals have no bar
            on_progress(index, done)

    if n_compared:
        run = run_chains([*chains, *rivals.values()], cores, update)
        if run.interrupted:
            raise KeyboardInterrupt
        seconds += run.seconds
    generators = [chain.rng for chain in chains]
    replaced = [False] * len(starts)
    for index, rival in rivals.items():
        if _is_better(rival, chains[index]):
            chains[index], replaced[index] = rival, True
    # With few rows all fits may be in narrow modes that hold nothing; rivals are not.
    lost = [rival for index, rival in rivals.items() if not replaced[index]]
    lost = lost if has_few_rows(target) else []
    apart = bool(n_compared) and disagree([*chains, *lost])
    states = [chain.state for chain in chains]
    return Warm(states, generators, replaced, apart, lost, n_annealed + n_compared, seconds)


def _lengths(tune: int, goes_on: bool) -> tuple[int, int]:
    """Return the sweeps of both parts; chains that go on have no start to forget."""
    n_compared = int(COMPARED_SHARE * tune)
    if n_compared < FEWEST_COMPARED:
        return 0, 0
    return 0 if goes_on else int(ANNEALED_SHARE * tune), n_compared


def _candidate(
    target: Target,
    start: Start,
    annealed: bool,
    n_annealed: int,
    n_compared: int,
    rng: np.random.Generator,
) -> Chain:
    state = state_at(target, start)
    draws = target.new_draws(n_compared, np.empty((0, target.data.n_rows)), 1)
    levels = np.zeros(n_annealed)
    # Copies of a row would have to be noised apart.
    if annealed and target.row_weights is None and not _sees_part(target):
        levels = target.noise_levels(n_annealed)
    return Chain(target, state, draws, levels, rng)


def _sees_part(target: Target) -> bool:
    return target.row_weights is None and target.data.n_rows > ROWS_ANNEALED


def _anneal_on_part(
    target: Target, chains: list[Chain], cores: int, progress: Progress
) -> float:
    """Bring chains down the noise several times, each on rows of its own choice; keep the best.

    Among so many rows the mode that explains them best has nearly all of the posterior. Only where
    chains start depends on it: what they draw later has the law of all rows. Returns its seconds.
    """
    if not chains or not _sees_part(target):
        return 0.0
    tries = []
    for chain in chains:
        part = target.of_rows(np.sort(chain.rng.choice(target.data.n_rows, ROWS_ANNEALED, False)))
        levels = target.noise_levels(SWEEPS_ANNEALED)
        for _ in range(TRIES):
            state = state_at(target, prior_start(target, chain.rng))
            draws = part.new_draws(FEWEST_COMPARED, np.empty((0, ROWS_ANNEALED)), 1)
            seed = chain.rng.integers(2**63)
            tries.append(Chain(part, state, draws, levels, np.random.default_rng(seed)))
    done = np.zeros(len(tries), dtype=np.int64)
    show = progress.bars(["Annealing"], len(tries) * (SWEEPS_ANNEALED + FEWEST_COMPARED))

    def update(index: int, n_sweeps: int) -> None:
        done[index] = n_sweeps
        show(0, int(done.sum()))

    run = run_chains(tries, cores, update)
    if run.interrupted:
        raise KeyboardInterrupt
    for index, chain in enumerate(chains):
        own = tries[index * TRIES : (index + 1) * TRIES]
        best = max(own, key=lambda one: one.draws.log_likelihood.mean())
        chain.state.everything[:] = best.state.everything
    return run.seconds


def disagree(chains: list[Chain]) -> bool:
    """Return whether some chain explains the rows clearly worse than another."""
    best = max(chains, key=lambda one: one.draws.log_likelihood.mean())
    return any(_is_better(best, chain) for chain in chains)


def _is_better(rival: Chain, chain: Chain) -> bool:
    theirs, own = rival.draws.log_likelihood, chain.draws.log_likelihood
    spread = np.sqrt(0.5 * (theirs.var() + own.var()))
    return bool(theirs.mean() - own.mean() > MARGIN * spread)
