"""Divisions of rows between two groups, drawn with a probability that is known.

Either row by row given those before: any division, good or bad, has about the probability that it has in
the posterior. Or by one scan, row by row given all others, that follows some from a random division: it
finds good ones, and says little of others.
"""

import math
from typing import NamedTuple

import numpy as np

from ._compile import kernel
from .groups import Groups, add_row, distance, forget, log_predictive, refresh

# Probability with which a division leaves the second side empty, so that components can run empty
# and be filled again.
EMPTY = 0.1

# Largest number of scans between a random division and the one that counts.
LAUNCH_SCANS = 3


class Parts(NamedTuple):
    """Arrays of a move. N rows, K components, D features.

    labels : (N,) component of each row.   members, sides, given : (N,) rows of the components that a
    move divides; the side of each, 0, 1 or -1 for none yet; the side that it had or is to have.
    own : K groups.   new : what c, b and a become.   halves, pool : two sides, and their union.
    x, one, two : (D,).   line : (K,).
    """

    labels: np.ndarray
    members: np.ndarray
    sides: np.ndarray
    given: np.ndarray
    own: Groups
    new: Groups
    halves: Groups
    pool: Groups
    x: np.ndarray
    one: np.ndarray
    two: np.ndarray
    line: np.ndarray


@kernel
def load_row(rows, i, x):
    """Copy row i into `x` (D,), shifted and scaled."""
    for a in range(x.shape[0]):
        x[a] = (rows.values[i, a] - rows.shift[a]) * rows.inverse_scale[a]


@kernel
def scan(prior, rows, parts, n, is_given, rng):
    """Draw the side of each member given the others, or take it as given; return the log probability.

    Shapes: prior GroupPrior; rows Rows of (N, D); parts Parts, whose first n members count.
    """
    halves, x, sides, total = parts.halves, parts.x, parts.sides, 0.0
    for m in range(n):
        load_row(rows, parts.members[m], x)
        side = sides[m]
        gap = 0.0
        for j in range(2):
            gap = log_predictive(prior, halves, j, x, side == j) - gap
        log_second = min(gap, 0.0) - math.log1p(math.exp(-abs(gap)))
        if is_given:
            to = parts.given[m]
        else:
            to = 1 if math.log(1.0 - rng.random()) < log_second else 0
        total += log_second - (0.0 if to == 1 else gap)
        if to != side:
            for j in range(2):
                if j == side or j == to:
                    add_row(halves, j, x, 1.0 if j == to else -1.0)
                    refresh(prior, halves, j)
            sides[m] = to
    return total


@kernel
def launch(rows, parts, n, pool, p, rng):
    """Give each of n members a random side: in a ball about a member or not, or the nearer of two.

    Shapes: as in `scan`; pool Groups, group p of which has all members.
    """
    x, one, two, roots = parts.x, parts.one, parts.two, pool.inverses
    load_row(rows, parts.members[int(n * rng.random())], one)
    load_row(rows, parts.members[int(n * rng.random())], two)
    radius = distance(one, two, roots, p) if rng.random() < 0.5 else -1.0
    first = 0 if rng.random() < 0.5 else 1
    for m in range(n):
        load_row(rows, parts.members[m], x)
        far = radius if radius >= 0.0 else distance(x, two, roots, p)
        parts.sides[m] = first if distance(x, one, roots, p) < far else 1 - first
        add_row(parts.halves, parts.sides[m], x, 1.0)


@kernel
def divide(prior, rows, parts, n, pool, p, is_given, rng):
    """Divide n members into `halves`, or take the sides as given; return the log probability.

    Shapes: as in `launch`.
    What the sides are given is random and does not depend on the division that members had.
    """
    members, sides, given = parts.members, parts.sides, parts.given
    forget(parts.halves)
    if n == 0:
        return 0.0
    for m in range(n):
        sides[m] = -1
        other = m + int((n - m) * rng.random())
        row, side = members[m], given[m]
        members[m], given[m] = members[other], given[other]
        members[other], given[other] = row, side
    n_scans, total, n_second = 0, 0.0, 0
    if rng.random() < 0.5:
        launch(rows, parts, n, pool, p, rng)
        n_scans = int((LAUNCH_SCANS + 1) * rng.random())
    for j in range(2):
        refresh(prior, parts.halves, j)
    if not is_given and rng.random() < EMPTY:
        is_given = True
        for m in range(n):
            given[m] = 0
    for left in range(n_scans, -1, -1):
        total = scan(prior, rows, parts, n, is_given and left == 0, rng)
    for m in range(n):
        given[m] = sides[m]
        n_second += sides[m]
    if n_second == 0:
        return math.log(EMPTY + (1.0 - EMPTY) * math.exp(total))
    return math.log(1.0 - EMPTY) + total


@kernel
def gather(labels, a, b, parts):
    """List the rows of components a and b, those of b on side 1; return how many they are."""
    n = 0
    for i in range(labels.shape[0]):
        if labels[i] == a or labels[i] == b:
            parts.members[n] = i
            parts.given[n] = 1 if labels[i] == b else 0
            n += 1
    return n
