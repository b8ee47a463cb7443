"""Chains that alternate Gibbs sweeps with Metropolis steps whose target has no allocations.

Where components overlap, rows say little about their component, and parameters given allocations
move little: a Gibbs sweep may keep nine tenths of a deviation. `kernels.marginal_step` proposes
from a t law at a mode instead. Each chain finds that law for itself, in its own labels, from sweeps
of the warm-up, which say whether steps would mix better. Then it is frozen.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ..kernels.allocation import ChainDraws, ChainState
from ..kernels.marginal_step import N_NUMBERS, Position, Reference, SteppedState
from .coordinates import Coordinates
from .gibbs import Chain, Target
from .modes import find_mode, widened

# Degrees of freedom of the proposals, of which the better is taken: tails heavier than the
# posterior's, so that a chain is not held where proposals are rare; with many coordinates the t law
# of 30 is too unlike a normal one.
DFS = (30.0, 300.0)

# With more coordinates a proposal of all of them at once is hardly ever taken, and looking for the mode
# takes a pass over the rows for each: seconds for each chain, that nobody sees go by.
MOST_COORDINATES = 100

# Where steps pay, every so many-th sweep is a Gibbs sweep: it goes where proposals are rare.
PERIOD = 5

# Sweeps that are worth so many independent draws each are not improved upon.
GOOD_SHARE = 0.8

# A rate of acceptance that underflows.
SMALLEST_RATE = 1e-300


def may_step(target: Target, state: ChainState) -> bool:
    """Return whether chains may have steps: without row weights, and few coordinates."""
    if target.row_weights is not None:
        return False
    return Coordinates(target, state).n_coordinates <= MOST_COORDINATES


def with_steps(
    target: Target, chains: list[Chain], cores: int, pointwise: bool
) -> list[Any]:
    """Return the states of chains, of either kind, with steps where their draws say that steps help.

    Parameters
    ----------
    target : Target
    chains : list of Chain
        With draws of the warm-up.
    cores : int
    pointwise : bool
        Whether log densities of rows will be wanted.
    """
    with ThreadPoolExecutor(cores, thread_name_prefix="diffgmm") as pool:
        found = list(pool.map(lambda one: find_reference(target, one.state, one.draws), chains))
    return [
        chain.state if one is None else stepped(target, chain.state, one, pointwise)
        for chain, one in zip(chains, found, strict=True)
    ]


def find_reference(target: Target, state: ChainState, draws: ChainDraws) -> Reference | None:
    """Return proposals that beat the sweeps of which `draws` are, or None.

    Nothing is timed, so that the same seed gives the same draws on any machine. A step costs less
    than a sweep, which is left as a margin for the sweeps between steps.
    """
    by_sweeps = share_of_sweeps(np.column_stack([draws.parameters, draws.log_likelihood]))
    if by_sweeps > GOOD_SHARE:
        return None
    own = Coordinates(target, state)
    points, log_posterior = own.of_draws(draws)
    try:
        with np.errstate(all="ignore"):  # Newton's method may try what overflows
            mode = find_mode(own, points[np.argmax(log_posterior)])
            if mode is None:
                return None
            centre, root = widened(own, mode)
    except np.linalg.LinAlgError:  # a mode too flat or too steep for numbers
        return None
    squares = np.square(np.linalg.solve(root, (points - centre).T)).sum(axis=0)
    by_steps = {
        df: share_of_steps(log_posterior + 0.5 * (df + len(root)) * np.log1p(squares / df))
        for df in DFS
    }
    best = max(DFS, key=by_steps.__getitem__)
    return Reference(centre, root, best, PERIOD) if by_steps[best] > by_sweeps else None


def share_of_sweeps(series: np.ndarray) -> float:
    """Return how many independent draws a sweep is worth, from series (S, Q) of quantities.

    (1 - r) / (1 + r) for the largest correlation r of one quantity with its next value, less two
    standard errors: the largest of many estimates is too large.
    """
    centred = series - series.mean(axis=0)
    squares = np.square(centred).sum(axis=0)
    moving = squares > 1e-16 * np.square(series).sum(axis=0)
    products = (centred[1:] * centred[:-1]).sum(axis=0)
    r = np.max(products[moving] / squares[moving], initial=0.0) - 2.0 / np.sqrt(len(series))
    return float((1.0 - r) / (1.0 + r))


def share_of_steps(log_ratios: np.ndarray) -> float:
    """Return how many independent draws a step is worth, from draws of the posterior (S,).

    log_ratios : log posterior minus log proposal density at each draw, but for a constant.

    From draw i a step is accepted with the probability E_q min(1, w / w_i) for w the ratio at a
    proposal, here estimated by sum_j min(1 / w_j, 1 / w_i) / sum_j 1 / w_j over the draws
    themselves; a chain that stays 1 / rate_i steps is worth 1 / mean(2 / rate_i - 1).
    """
    inverse = np.exp(log_ratios.min() - log_ratios)
    total = inverse.sum()
    increasing = np.sort(inverse)
    below = np.cumsum(increasing)
    above = np.arange(len(inverse) - 1, -1, -1)
    rates = np.maximum((below + above * increasing) / total, SMALLEST_RATE)
    return float(1.0 / np.mean(2.0 / rates - 1.0))


def stepped(
    target: Target, state: ChainState, reference: Reference, pointwise: bool
) -> SteppedState:
    """Return the state of a chain with these proposals."""
    n_coordinates = len(reference.centre)
    position = Position(
        np.zeros(N_NUMBERS),
        np.empty((2, target.data.n_rows if pointwise else 0)),
        np.empty(n_coordinates),
        np.empty(n_coordinates),
        state.weights.copy(),
        state.means.copy(),
        state.factors.copy(),
    )
    return SteppedState(state, reference, position)
