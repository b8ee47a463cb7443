"""Divisions of rows between two groups, drawn with a probability that is known.

Either row by row given those before: any division, good or bad, has about the probability that it has in
the posterior. Or by one scan, row by row given all others, that follows some from a random division: it
finds good ones, and says little of others.
"""

import math
from typing import NamedTuple

import numpy as np

from ._compile import kernel
from .groups import SCATTER, add_row, distance, forget, log_predictive, refresh

# Probability with which a division leaves the second side empty, so that components can run empty
# and be filled again.
EMPTY = 0.1

# Largest number of scans between a random division and the one that counts.
LAUNCH_SCANS = 3


class Parts(NamedTuple):
    """Arrays of a move. N rows, K components, D features.

    labels : (4, N) the component of each row; the rows of the components that a move divides; the side of
    each of these, 0, 1 or -1 for none yet; the side that it had or is to have.
    groups : (K + 6, ...) as in `groups`: components, what c, b and a are to become, two sides, their union.
    lines : (4, max(K, D)).
    """

    labels: np.ndarray
    groups: np.ndarray
    lines: np.ndarray


@kernel
def load_row(rows, i, x):
    """Copy row i into `x` (D,), shifted and scaled.

    Shapes: rows Rows of (N, D); x (D,).
    """
    for a in range(x.shape[0]):
        x[a] = (rows.values[i, a] - rows.shift[a]) * rows.inverse_scale[a]


@kernel
def scan(prior, rows, parts, n, is_given, rng):
    """Draw the side of each member given the others, or take it as given; return the log probability.

    Shapes: prior GroupPrior; rows Rows of (N, D); parts Parts, whose first n members count.
    """
    groups, sides, total = parts.groups, parts.labels[2], 0.0
    x, first = parts.lines[0, : groups.shape[2]], groups.shape[0] - 3
    for m in range(n):
        load_row(rows, parts.labels[1, m], x)
        side = sides[m]
        gap = 0.0
        for j in range(2):
            gap = log_predictive(prior, groups, first + j, x, side == j) - gap
        log_second = min(gap, 0.0) - math.log1p(math.exp(-abs(gap)))
        if is_given:
            to = parts.labels[3, m]
        else:
            to = 1 if math.log(1.0 - rng.random()) < log_second else 0
        total += log_second - (0.0 if to == 1 else gap)
        if to != side:
            for j in range(2):
                if j == side or j == to:
                    add_row(groups, first + j, x, 1.0 if j == to else -1.0)
                    refresh(prior, groups, first + j)
            sides[m] = to
    return total


@kernel
def launch(rows, parts, n, rng):
    """Give each of n members a random side: in a ball about a member or not, or the nearer of two.

    Shapes: as in `scan`.
    Distances are those of the union's own covariance.
    """
    groups, sides, last = parts.groups, parts.labels[2], parts.groups.shape[0] - 1
    d = groups.shape[2]
    x, one, two = parts.lines[0, :d], parts.lines[1, :d], parts.lines[2, :d]
    line = SCATTER + 2 * d
    load_row(rows, parts.labels[1, int(n * rng.random())], one)
    load_row(rows, parts.labels[1, int(n * rng.random())], two)
    radius = distance(one, two, groups, last, line) if rng.random() < 0.5 else -1.0
    first = 0 if rng.random() < 0.5 else 1
    for m in range(n):
        load_row(rows, parts.labels[1, m], x)
        far = radius if radius >= 0.0 else distance(x, two, groups, last, line)
        sides[m] = first if distance(x, one, groups, last, line) < far else 1 - first
        add_row(groups, last - 2 + sides[m], x, 1.0)


@kernel
def divide(prior, rows, parts, n, is_given, rng):
    """Divide n members, or take their sides as given; return the log probability.

    Shapes: as in `scan`.
    The sides are written, and their groups. The last group has all members.
    """
    groups, last = parts.groups, parts.groups.shape[0] - 1
    members, sides, given = parts.labels[1], parts.labels[2], parts.labels[3]
    forget(groups, last - 2, last)
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
        launch(rows, parts, n, rng)
        n_scans = int((LAUNCH_SCANS + 1) * rng.random())
    for j in range(2):
        refresh(prior, groups, last - 2 + j)
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
def gather(parts, a, b):
    """List the rows of components a and b, those of b on side 1; return how many they are.

    Shapes: parts Parts.
    """
    labels, n = parts.labels, 0
    for i in range(labels.shape[1]):
        if labels[0, i] == a or labels[0, i] == b:
            labels[1, n] = i
            labels[3, n] = 1 if labels[0, i] == b else 0
            n += 1
    return n
