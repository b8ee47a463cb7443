"""Split-merge moves of the Gibbs sampler with K fixed: two components become one, another becomes two.

A move draws the component of every row, then changes components a, b, c: the rows of a and b go to a,
those of c are divided between c and b. Or the rows of a and b alone are divided anew. Components are
chosen uniformly, the opposite move has the same chance, and labels keep their meaning: no factor of a
choice enters the ratio. Means and weights are summed out, covariances very nearly (`groups`), so that
what decides is how well the rows go together. `tutorials/design/0012-split-merge.md` has the ratio.

Rows are divided in one of two ways, each with probability 1/2, for the move and for its opposite by
themselves: row by row given those before, which gives any division about the probability that it has,
good or bad; or one scan, row by row given all others, after scans from a random division, which finds
good ones. A good division of c together with a poor one of a and b is what a chain in a wrong mode needs:
Jain and Neal (2007), doi:10.1214/07-BA219; Wang and Russell (2015), Smart-dumb/dumb-smart.
"""

import math

import numpy as np

from ._compile import BLOCK, aligned_blocks, kernel
from .allocation import choose_components, prepare
from .bundles import Components
from .conjugate import draw_weights
from .division import Parts, divide, gather, load_row
from .gaussian import exp_block, load_block, log_joint_block
from .group_prior import KNOWN, group_prior
from .groups import (
    COUNT,
    SCATTER,
    add_row,
    copy_group,
    draw_factor,
    draw_mean,
    forget,
    log_predictive,
    log_weight,
    refresh,
    write_merged,
)

# Rows are also moved one by one where there are at most so many for each component and feature: there
# the covariance of a component hangs on single rows, and a sweep given covariances hardly moves them.
ROWS_EACH = 10


@kernel
def widen(factors, groups):
    """Write the factors of a family into the first K groups.

    Shapes: factors (K, D, D), (K, D) or (K,).
    """
    d = groups.shape[2]
    for j in range(factors.shape[0]):
        for a in range(d):
            for b in range(a + 1):
                groups[j, SCATTER + d + a, b] = 0.0
            if factors.ndim == 3:
                for b in range(a + 1):
                    groups[j, SCATTER + d + a, b] = factors[j, a, b]
            elif factors.ndim == 2:
                groups[j, SCATTER + d + a, a] = factors[j, a]
            else:
                groups[j, SCATTER + d + a, a] = factors[j]


@kernel
def narrow(groups, factors):
    """Write the factors of the first K groups as a family's: the inverse of `widen`.

    Shapes: factors (K, D, D), (K, D) or (K,).
    """
    d = groups.shape[2]
    for j in range(factors.shape[0]):
        for a in range(d):
            if factors.ndim == 3:
                for b in range(a + 1):
                    factors[j, a, b] = groups[j, SCATTER + d + a, b]
            elif factors.ndim == 2:
                factors[j, a] = groups[j, SCATTER + d + a, a]
            else:
                factors[j] = groups[j, SCATTER + d + a, a]


@kernel
def draw_labels(rows, prior, state, parts, rng):
    """Draw the component of every row, and write the groups.

    Shapes: rows Rows of (N, D); prior GroupPrior; state ChainState, whose statistics become 0.
    """
    groups = parts.groups
    n_components, n_features = state.means.shape
    x, constants = parts.lines[0, :n_features], parts.lines[3, :n_components]
    lines = aligned_blocks(n_features + n_components + 5)
    block, joint = lines[:n_features], lines[n_features + 5 :]
    largest, sums, uniforms = lines[n_features], lines[n_features + 1], lines[n_features + 2]
    running, choice = lines[n_features + 3], lines[n_features + 4]
    prepare(state.weights, state.factors, constants, state.counts, state.first, state.second)
    components = Components(constants, state.means, state.factors)
    forget(groups, 0, n_components)
    for begin in range(0, rows.values.shape[0], BLOCK):
        count = min(BLOCK, rows.values.shape[0] - begin)
        load_block(rows, begin, count, block)
        log_joint_block(block, components, joint, largest)
        exp_block(joint, largest, sums)
        for i in range(count):
            uniforms[i] = rng.random()
        choose_components(joint, sums, uniforms, running, choice)
        for i in range(count):
            parts.labels[0, begin + i] = int(choice[i])
            for a in range(n_features):
                x[a] = block[a, i]
            add_row(groups, int(choice[i]), x, 1.0)
    widen(state.factors, groups)
    for j in range(n_components):
        refresh(prior, groups, j)
    if prior.kind == KNOWN:  # the same for all
        for j in range(n_components, groups.shape[0]):
            copy_group(groups, 0, j)


@kernel
def log_gain(prior, concentration, parts, j, to, rng):
    """Draw the covariance of group j, which is to be component `to`; return the log ratio.

    Shapes: as in `scan`; concentration (K,).
    """
    groups = parts.groups
    draw_factor(prior, groups, j, rng)
    gain = log_weight(prior, groups, j) - log_weight(prior, groups, to)
    gain += math.lgamma(concentration[to] + groups[j, COUNT, 0])
    return gain - math.lgamma(concentration[to] + groups[to, COUNT, 0])


@kernel
def move_one_by_one(prior, rows, concentration, parts, rng):
    """Try to move as many rows as there are, one by one, to another component.

    Shapes: as in `log_gain`.
    Equation: row i goes from a to b with the probability p_b of `log_predictive` given all other
    rows; the ratio of densities times p_a / p_b is near 1.
    """
    groups, labels, k = parts.groups, parts.labels[0], concentration.shape[0]
    x, line = parts.lines[0, : groups.shape[2]], parts.lines[3]
    for _ in range(labels.shape[0]):
        i = int(labels.shape[0] * rng.random())
        a = labels[i]
        load_row(rows, i, x)
        largest, total = -np.inf, 0.0
        for j in range(k):
            line[j] = log_predictive(prior, groups, j, x, j == a)
            largest = max(largest, line[j])
        for j in range(k):
            total += math.exp(line[j] - largest)
        threshold, running, b = rng.random() * total, 0.0, -1
        while running <= threshold and b < k - 1:
            b += 1
            running += math.exp(line[b] - largest)
        if b != a:
            ratio = line[a] - line[b]
            for m in range(2):
                to = b if m == 1 else a
                copy_group(groups, to, k + m)
                add_row(groups, k + m, x, 1.0 if m == 1 else -1.0)
                refresh(prior, groups, k + m)
                ratio += log_gain(prior, concentration, parts, k + m, to, rng)
            if math.log(1.0 - rng.random()) < ratio:
                labels[i] = b
                copy_group(groups, k, a)
                copy_group(groups, k + 1, b)


@kernel
def move_components(prior, rows, concentration, parts, rng):
    """Try one split-merge move, return the probability with which it is taken.

    Shapes: as in `log_gain`.
    Equation: with q of `divide`, p(new) q(division of a and b) / (p(old) q(division of c)).
    """
    groups, labels, k = parts.groups, parts.labels, concentration.shape[0]
    a, b = int(k * rng.random()), int((k - 1) * rng.random())
    b += 1 if b >= a else 0
    c = a
    if k > 2 and rng.random() < 0.5:
        c = int((k - 2) * rng.random())
        c += 1 if c >= min(a, b) else 0
        c += 1 if c >= max(a, b) else 0
    write_merged(prior, groups, a, b, k + 5)
    ratio, n = 0.0, 0
    for proposed in range(2):
        alone = proposed == 1 and c != a
        n = gather(parts, c if alone else a, -1 if alone else b)
        if alone:
            copy_group(groups, k + 5, k + 2)
            copy_group(groups, c, k + 5)
        log_share = divide(prior, rows, parts, n, proposed == 0, rng)
        ratio += -log_share if proposed == 1 else log_share
    n_changed = 2 if c == a else 3
    for j in range(n_changed):
        to = c if j == 0 else (b if j == 1 else a)
        if j < 2:
            copy_group(groups, k + 3 + j, k + j)
            refresh(prior, groups, k + j)
        ratio += log_gain(prior, concentration, parts, k + j, to, rng)
    if math.log(1.0 - rng.random()) < ratio:
        for i in range(labels.shape[1]):
            labels[0, i] = a if labels[0, i] == b else labels[0, i]
        for m in range(n):
            labels[0, labels[1, m]] = b if labels[2, m] == 1 else c
        for j in range(n_changed):
            copy_group(groups, k + j, c if j == 0 else (b if j == 1 else a))
    return math.exp(min(ratio, 0.0))


@kernel
def parts_for(rows, state):
    """Return the arrays of moves.

    Shapes: rows Rows of (N, D); state ChainState.
    """
    k, d = state.means.shape
    labels = np.empty((4, rows.values.shape[0]), np.int32)
    return Parts(labels, np.zeros((k + 6, 5 + 3 * d, d)), np.empty((4, max(k, d))))


@kernel
def split_merge(rows, kernel_prior, state, rng):
    """Move rows one by one if there are few, then try one move; return how probable it was.

    Shapes: rows Rows of (N, D); kernel_prior ConjugatePrior; state ChainState.
    """
    parts, concentration = parts_for(rows, state), kernel_prior.concentration
    n_components, n_features = state.means.shape
    prior = group_prior(kernel_prior, state)
    draw_labels(rows, prior, state, parts, rng)
    if rows.values.shape[0] <= ROWS_EACH * n_components * n_features:
        move_one_by_one(prior, rows, concentration, parts, rng)
    probability = move_components(prior, rows, concentration, parts, rng)
    for j in range(n_components):
        draw_mean(prior, parts.groups, j, rng, state.means[j])
        state.counts[j] = parts.groups[j, COUNT, 0]
    draw_weights(concentration, state.counts, rng, state.weights)
    narrow(parts.groups, state.factors)
    return probability
