"""Second part of the warm-up: chains are watched, and get what they need to mix.

One record of sweeps says whether chains and rivals are apart, so that they need jumps, and where they are not,
how well the sweeps of each chain mix: perhaps not as well as steps would. Only adaptation looks at the past of
a chain; from the first draw on nothing changes any more.
"""

from collections.abc import Callable
from dataclasses import replace

from ..progress import Progress
from . import jumps, marginal_steps
from .gibbs import Target
from .warm_up import Warm

# Share of what is left of the warm-up in which chains are watched; what then is left forgets their search.
WATCHED_SHARE = 0.75

# Fewer sweeps say nothing, and chains are left alone.
FEWEST_FOR_STEPS, FEWEST_FOR_JUMPS = 50, 100


def adapt(
    target: Target,
    warm: Warm,
    tune: int,
    cores: int,
    pointwise: bool,
    progress: Progress,
    on_progress: Callable[[int, int], None],
) -> tuple[list[Target], Warm]:
    """Run the next part of a warm-up of `tune` sweeps, and return the target of each chain.

    Parameters
    ----------
    target : Target
    warm : Warm
        Chains after the first part.
    tune, cores : int
    pointwise : bool
        Whether log densities of rows will be wanted.
    progress : Progress
        Where the search for modes has a bar of its own.
    on_progress : callable
        Called with the chain's number and its sweeps so far, from threads.

    Returns
    -------
    targets : list of Target
        With jumps where chains or rivals are apart.
    warm : Warm
        With states for `Target.sweep` of either kind.
    """
    n = int(WATCHED_SHARE * (tune - warm.n_sweeps))
    may_jump = n >= FEWEST_FOR_JUMPS and jumps.may_jump(target)
    may_step = n >= FEWEST_FOR_STEPS and marginal_steps.may_step(target, warm.states[0])
    alone = [target] * len(warm.states)
    if not (may_jump or may_step):
        return alone, warm
    watched = replace(target, moves=target.moves and target.moves.of_warm_up)
    chains = [
        jumps.chain_from(watched, state, rng, n)
        for state, rng in zip(warm.states, warm.generators, strict=True)
    ]
    rivals = [jumps.chain_from(watched, one.state, one.rng, n) for one in warm.rivals if may_jump]

    def update(index: int, done: int) -> None:
        if index < len(chains):  # rivals have no bar
            on_progress(index, warm.n_sweeps + done)

    seconds = warm.seconds + jumps.run(chains + rivals, cores, update)
    warm = warm._replace(n_sweeps=warm.n_sweeps + n, seconds=seconds)
    # Chains that agree may have come to one narrow mode, all of them; a rival that moves do not bring there
    # says so.
    if may_jump and jumps.are_apart(chains + rivals):
        targets, states, more = jumps.find_jumps(target, chains, cores, progress)
        return targets, warm._replace(states=states, seconds=seconds + more)
    if may_step:
        warm = warm._replace(states=marginal_steps.with_steps(target, chains, cores, pointwise))
    return alone, warm
