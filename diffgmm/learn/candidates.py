"""Candidates for the best optimum: covers, reduced, moved, and compared by what they are worth."""

import itertools
import math
from functools import partial
from typing import NamedTuple

import numpy as np

from ..matrices import inverse_cholesky
from .em import (
    Parameters,
    Problem,
    Shrinkage,
    run_and_judge,
    run_em,
    run_passes,
    run_prior_passes,
    worth,
)
from .local_swaps import swap_locally
from .moves import split_merge
from .reduction import reduce_to
from .subspace import EXTRA_DIMENSIONS, is_wide, lift, project
from .warm_start import cover

# Components of the cover for every component asked for; and of further covers, in turn: which wrong
# optima a cover leads to depends on its size.
COVER_FACTOR = 3.0
OTHER_FACTORS = (3.0, 2.0, 3.0, 5.0)

PASSES_ON_COVER = 4

# Small problems have more optima and cost little: covers are compared until the best optimum has
# come back so often, at most so many and as many as look at so many numbers in a pass (rows times
# free parameters); three times as many where it has been found less than three times. Where they
# lead is polished first: a difference of 1e-3 nats decides, and a component that closes in on a few
# rows has not yet paid for it.
TIMES_FOUND = 5
MOST_COVERS = 15
NUMBERS_OF_ALL_COVERS = 1_000_000
FEWEST_TIMES_FOUND = 3
MORE_COVERS = 3
SMALL_PROBLEM_TOLERANCE = 1e-5
SMALL_PROBLEM_PASSES = 100

# EM has come to an optimum again where all parameters are as close to it, means in standard deviations and the
# rest as shares, and log likelihood is below its by the square in nats per row at most.
NEAR = 0.1

# Passes before two candidates are compared: under the prior that they suggest, and plain ones after
# them. Where the search ends the former are repeated with what they then suggest: a component that
# gives back rows it has taken looks more like the others.
PASSES_UNDER_PRIOR = 4
PLAIN_PASSES = 2
LAST_ROUNDS = 5

# Rounds end when no component has changed its weight by more than this share.
SETTLED = 1e-3

# Passes in the subspace before what was found there is lifted.
PASSES_IN_SUBSPACE = 6

# Split-merge moves in a row that may fail before the search ends, or before local swaps follow
# (small problems compare covers instead), and moves in all.
PATIENCE = 2
PATIENCE_BEFORE_SWAPS = 1
MOST_MOVES = 12

# A move must gain this much, in nats per row, to count as another optimum; one that ends this
# close below has come back to where it started, and the next of its kind would as well.
SMALLEST_GAIN = 1e-5
SAME_OPTIMUM = 1e-4


def cover_size(n_components: int, factor: float) -> int:
    """Return how many components the cover for `n_components` has; 1 needs no cover."""
    return 1 if n_components == 1 else math.ceil(factor * n_components + 1)


class Settled(NamedTuple):
    """An optimum of a small problem, what it is worth (`em.worth`), and its log likelihood per row."""

    worth: float
    parameters: Parameters
    log_likelihood: float


def find_candidates(
    problem: Problem, n_components: int, rng: np.random.Generator, *, compares: bool = True
) -> tuple[Parameters, list[Parameters], bool]:
    """Return the best parameters that covers, reduction and moves find, and those left behind.

    Those of a small problem are different optima, the best one last, from several covers if the search
    `compares` them.
    The last value says whether Ctrl-C ended the search; before it has met any, the exception goes
    through.
    """
    best, abandoned, interrupted = _improve(problem, n_components, rng, COVER_FACTOR)
    n_covers, n_found = _most_covers(problem, n_components, NUMBERS_OF_ALL_COVERS), 1
    most = _most_covers(problem, n_components, MORE_COVERS * NUMBERS_OF_ALL_COVERS)
    if most == 1 or interrupted or not compares:
        return best, abandoned, interrupted
    settled: list[Settled] = []
    try:
        settled = _settle(problem, [best, *abandoned], [])
        factors = itertools.cycle(OTHER_FACTORS)
        for n_compared in range(1, most):
            enough = FEWEST_TIMES_FOUND if n_compared >= n_covers else TIMES_FOUND
            if interrupted or n_found >= enough:
                break
            other, more, interrupted = _improve(problem, n_components, rng, next(factors))
            new, before = _settle(problem, [other, *more], settled), settled[0].worth
            if new[0].worth > before - SAME_OPTIMUM:
                n_found = 1 if new[0].worth > before + SAME_OPTIMUM else n_found + 1
            settled = _different(settled + new)
    except KeyboardInterrupt:
        interrupted = True
    if not settled:
        return best, abandoned, interrupted
    found = [each.parameters for each in settled]
    return found[0], found[:0:-1], interrupted


def _most_covers(problem: Problem, n_components: int, all_numbers: int) -> int:
    """Return how many covers look at `all_numbers`: 1 for one component and for large problems."""
    if n_components == 1:
        return 1
    n_rows, n_features = problem.rows.values.shape
    numbers = n_components * n_features + problem.family.n_parameters(n_components, n_features)
    return int(np.clip(all_numbers // (n_rows * numbers), 1, MOST_COVERS))


def _settle(problem: Problem, candidates: list[Parameters], before: list[Settled]) -> list[Settled]:
    """Return where EM leads on a small problem, the best one first; it ends next to optima found before."""
    known = [_Neighbourhood(problem, each) for each in before]
    settled: list[Settled] = []
    for start in candidates:
        result = run_em(
            problem,
            start,
            tolerance=SMALL_PROBLEM_TOLERANCE,
            max_passes=SMALL_PROBLEM_PASSES,
            ends_at=partial(_optimum_near, known),
        )
        optimum = _optimum_near(known, result.parameters, result.log_likelihood)
        if optimum is None:
            value = worth(problem, result.parameters, result.log_likelihood)
            optimum = Settled(value, result.parameters, result.log_likelihood)
            known.append(_Neighbourhood(problem, optimum))
        settled.append(optimum)
    return _different(settled)


class _Neighbourhood:
    """Parameters from which EM leads to an optimum."""

    def __init__(self, problem: Problem, optimum: Settled) -> None:
        self.optimum, self._family = optimum, problem.family
        self._factors, _ = inverse_cholesky(self._full(optimum.parameters))

    def _full(self, parameters: Parameters) -> np.ndarray:
        return self._family.as_full(parameters.covariances, parameters.means.shape[1])

    def has(self, parameters: Parameters, log_likelihood: float) -> bool:
        """Return whether parameters, numbered in any way, are within `NEAR` of the optimum, below it."""
        own = self.optimum
        if not 0.0 <= own.log_likelihood - log_likelihood <= NEAR**2:
            return False
        steps = parameters.means[:, None] - own.parameters.means
        white = np.einsum("kab,jkb->jka", self._factors, steps)
        order = np.square(white).sum(axis=2).argmin(axis=0)
        k = np.arange(len(order))
        if np.abs(white[order, k]).max() > NEAR or len(set(order)) < len(order):
            return False
        # A component without rows is nowhere near anything.
        ratio = parameters.weights[order] / np.maximum(own.parameters.weights, 1e-300)
        if np.abs(ratio - 1.0).max() > NEAR:
            return False
        full = self._full(parameters)[order]
        excess = self._factors @ full @ np.swapaxes(self._factors, 1, 2) - np.eye(full.shape[1])
        return bool(np.abs(excess).max() <= NEAR)


def _optimum_near(
    known: list[_Neighbourhood], parameters: Parameters, log_likelihood: float
) -> Settled | None:
    """Return the optimum that EM leads to from here, if it is known."""
    return next((each.optimum for each in known if each.has(parameters, log_likelihood)), None)


def _different(settled: list[Settled]) -> list[Settled]:
    """Return optima whose worth differs, the best one first."""
    kept: list[Settled] = []
    for each in sorted(settled, key=lambda each: -each.worth):
        if not kept or each.worth < kept[-1].worth - SAME_OPTIMUM:
            kept.append(each)
    return kept


def covered(
    problem: Problem, n_components: int, rng: np.random.Generator, factor: float
) -> tuple[Parameters, Shrinkage]:
    """Return `n_components` reduced from a cover, and what keeps them from collapsing."""
    n_features = problem.rows.values.shape[1]
    if not is_wide(n_components, n_features):
        start, shrinkage = cover(problem, cover_size(n_components, factor), rng)
        start = run_passes(problem, start, PASSES_ON_COVER, shrinkage)
        return reduce_to(problem, start, n_components, shrinkage), shrinkage
    low = project(problem, n_components + EXTRA_DIMENSIONS)
    start, tight = cover(low, cover_size(n_components, factor), rng)
    start = run_passes(low, start, PASSES_ON_COVER, tight)
    start = reduce_to(low, start, n_components, tight)
    start = run_passes(low, start, PASSES_IN_SUBSPACE)
    _, shrinkage = cover(problem, n_components, rng)
    return lift(problem, low, start, shrinkage), shrinkage


def _judged(problem: Problem, start: Parameters, n_rounds: int = 1) -> tuple[Parameters, float]:
    """Return where rounds under the prior and some plain passes lead, and what it is worth."""
    for _ in range(n_rounds):
        before = start.weights
        start = run_prior_passes(problem, start, PASSES_UNDER_PRIOR)
        if np.all(np.abs(start.weights - before) <= SETTLED * before):
            break
    return run_and_judge(problem, start, PLAIN_PASSES)


def _improve(
    problem: Problem, n_components: int, rng: np.random.Generator, factor: float
) -> tuple[Parameters, list[Parameters], bool]:
    """Return where one cover leads, the parameters left behind, and whether Ctrl-C cut it short."""
    start, shrinkage = covered(problem, n_components, rng, factor)
    best, value = _judged(problem, start)
    abandoned: list[Parameters] = []
    failures = 0
    can_swap = n_components > 2
    patience = PATIENCE_BEFORE_SWAPS if can_swap else PATIENCE
    try:
        for move in range(MOST_MOVES if n_components > 1 else 0):
            is_last = failures >= patience
            if not is_last:
                moved = split_merge(problem, best, shrinkage, rng if move % 2 else None)
            elif not can_swap or (swapped := swap_locally(problem, best, shrinkage)) is None:
                break
            else:
                moved = swapped
            moved, new_value = _judged(problem, moved)
            if new_value > value + SMALLEST_GAIN:
                abandoned.append(best)
                best, value, failures = moved, new_value, 0
                continue
            is_same = new_value > value - SAME_OPTIMUM
            if not is_same:
                abandoned.append(moved)
            if is_last:
                break
            failures = patience if is_same else failures + 1
        if n_components > 1 and not problem.family.is_shared:
            calm, new_value = _judged(problem, best, LAST_ROUNDS)
            if new_value > value + SMALLEST_GAIN:
                abandoned.append(best)
                best = calm
    except KeyboardInterrupt:
        return best, abandoned, True
    return best, abandoned, False
