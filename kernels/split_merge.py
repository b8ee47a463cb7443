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
from typing import NamedTuple

import numpy as np

from ._compile import BLOCK, aligned_blocks, kernel
from .allocation import choose_components, prepare
from .bundles import Components
from .conjugate import draw_weights
from .gaussian import exp_block, load_block, log_joint_block
from .division import Parts, divide, gather, load_row
from .groups import (
    KNOWN,
    add_row,
    copy_group,
    draw_factor,
    draw_mean,
    forget,
    group_prior,
    log_predictive,
    log_weight,
    narrow,
    new_groups,
    refresh,
    widen,
    write_merged,
)
from .sweep import recorded_sweep, scratch_for

# Rows are also moved one by one where there are at most so many for each component and feature: there
# the covariance of a component hangs on single rows, and a sweep given covariances hardly moves them.
ROWS_EACH = 10


class Moves(NamedTuple):
    """Sweeps between moves in the warm-up and between draws; 0 for none."""

    in_warm_up: int
    later: int


@kernel
def draw_labels(rows, prior, state, parts, rng):
    """Draw the component of every row, and write the groups.

    Shapes: rows Rows of (N, D); prior GroupPrior; state ChainState, whose statistics become 0.
    """
    own, x = parts.own, parts.x
    n_components, n_features = state.means.shape
    lines = aligned_blocks(n_features + n_components + 5)
    block, joint = lines[:n_features], lines[n_features + 5 :]
    largest, sums, uniforms = lines[n_features], lines[n_features + 1], lines[n_features + 2]
    running, choice = lines[n_features + 3], lines[n_features + 4]
    prepare(state.weights, state.factors, parts.line, state.counts, state.first, state.second)
    components = Components(parts.line, state.means, state.factors)
    forget(own)
    for begin in range(0, rows.values.shape[0], BLOCK):
        count = min(BLOCK, rows.values.shape[0] - begin)
        load_block(rows, begin, count, block)
        log_joint_block(block, components, joint, largest)
        exp_block(joint, largest, sums)
        for i in range(count):
            uniforms[i] = rng.random()
        choose_components(joint, sums, uniforms, running, choice)
        for i in range(count):
            parts.labels[begin + i] = int(choice[i])
            for a in range(n_features):
                x[a] = block[a, i]
            add_row(own, int(choice[i]), x, 1.0)
    widen(state.factors, own.factors)
    for j in range(n_components):
        refresh(prior, own, j)
    if prior.kind == KNOWN:  # the same for all
        for groups in (parts.new, parts.halves, parts.pool):
            for j in range(groups.counts.shape[0]):
                copy_group(own, 0, groups, j)


@kernel
def log_gain(prior, concentration, parts, j, to, rng):
    """Draw the covariance of group j of `new`, which is to be component `to`; return the log ratio.

    Shapes: as in `scan`; concentration (K,).
    """
    own, new = parts.own, parts.new
    draw_factor(prior, new, j, rng)
    gain = log_weight(prior, new, j) + math.lgamma(concentration[to] + new.counts[j])
    return gain - log_weight(prior, own, to) - math.lgamma(concentration[to] + own.counts[to])


@kernel
def move_one_by_one(prior, rows, concentration, parts, rng):
    """Try to move as many rows as there are, one by one, to another component.

    Shapes: as in `log_gain`.
    Equation: row i goes from a to b with the probability p_b of `log_predictive` given all other
    rows; the ratio of densities times p_a / p_b is near 1.
    """
    own, new, x, line = parts.own, parts.new, parts.x, parts.line
    n_components = line.shape[0]
    for _ in range(parts.labels.shape[0]):
        i = int(parts.labels.shape[0] * rng.random())
        a = parts.labels[i]
        load_row(rows, i, x)
        largest, total = -np.inf, 0.0
        for j in range(n_components):
            line[j] = log_predictive(prior, own, j, x, j == a)
            largest = max(largest, line[j])
        for j in range(n_components):
            total += math.exp(line[j] - largest)
        threshold, running, b = rng.random() * total, 0.0, -1
        while running <= threshold and b < n_components - 1:
            b += 1
            running += math.exp(line[b] - largest)
        if b != a:
            ratio = line[a] - line[b]
            for m in range(2):
                to = b if m == 1 else a
                copy_group(own, to, new, m)
                add_row(new, m, x, 1.0 if m == 1 else -1.0)
                refresh(prior, new, m)
                ratio += log_gain(prior, concentration, parts, m, to, rng)
            if math.log(1.0 - rng.random()) < ratio:
                parts.labels[i] = b
                copy_group(new, 0, own, a)
                copy_group(new, 1, own, b)


@kernel
def move_components(prior, rows, concentration, parts, rng):
    """Try one split-merge move, return the probability with which it is taken.

    Shapes: as in `log_gain`.
    Equation: with q of `divide`, p(new) q(division of a and b) / (p(old) q(division of c)).
    """
    own, new, k = parts.own, parts.new, parts.line.shape[0]
    a, b = int(k * rng.random()), int((k - 1) * rng.random())
    b += 1 if b >= a else 0
    c = a
    if k > 2 and rng.random() < 0.5:
        c = int((k - 2) * rng.random())
        c += 1 if c >= min(a, b) else 0
        c += 1 if c >= max(a, b) else 0
    write_merged(prior, own, a, b, parts.pool, 0)
    ratio, n = 0.0, 0
    for proposed in range(2):
        alone = proposed == 1 and c != a
        n = gather(parts.labels, c if alone else a, -1 if alone else b, parts)
        if alone:
            copy_group(parts.pool, 0, new, 2)
            copy_group(own, c, parts.pool, 0)
        own_share = divide(prior, rows, parts, n, parts.pool, 0, proposed == 0, rng)
        ratio += -own_share if proposed == 1 else own_share
    n_changed = 2 if c == a else 3
    for j in range(n_changed):
        to = c if j == 0 else (b if j == 1 else a)
        if j < 2:
            copy_group(parts.halves, j, new, j)
        ratio += log_gain(prior, concentration, parts, j, to, rng)
    if math.log(1.0 - rng.random()) < ratio:
        for i in range(parts.labels.shape[0]):
            parts.labels[i] = a if parts.labels[i] == b else parts.labels[i]
        for m in range(n):
            parts.labels[parts.members[m]] = b if parts.given[m] == 1 else c
        for j in range(n_changed):
            copy_group(new, j, own, c if j == 0 else (b if j == 1 else a))
    return math.exp(min(ratio, 0.0))


@kernel
def parts_for(rows, state):
    """Return the arrays of moves.

    Shapes: rows Rows of (N, D); state ChainState.
    """
    n_rows, d = rows.values.shape
    k = state.weights.shape[0]
    return Parts(
        np.empty(n_rows, np.int32),
        np.empty(n_rows, np.int32),
        np.empty(n_rows, np.int8),
        np.empty(n_rows, np.int8),
        new_groups(k, d),
        new_groups(3, d),
        new_groups(2, d),
        new_groups(1, d),
        np.empty(d),
        np.empty(d),
        np.empty(d),
        np.empty(k),
    )


@kernel
def split_merge(rows, kernel_prior, state, parts, rng):
    """Move rows one by one if there are few, then try one move; return how probable it was.

    Shapes: rows Rows of (N, D); kernel_prior ConjugatePrior; state ChainState; parts Parts.
    """
    concentration = kernel_prior.concentration
    n_components, n_features = state.means.shape
    prior = group_prior(kernel_prior, state)
    draw_labels(rows, prior, state, parts, rng)
    if rows.values.shape[0] <= ROWS_EACH * n_components * n_features:
        move_one_by_one(prior, rows, concentration, parts, rng)
    probability = move_components(prior, rows, concentration, parts, rng)
    for j in range(n_components):
        draw_mean(prior, parts.own, j, rng, state.means[j])
    draw_weights(concentration, parts.own.counts, rng, state.weights)
    narrow(parts.own.factors, state.factors)
    return probability


@kernel
def gibbs(rows, prior, state, draws, noise, moves, begin, end, rng):
    """Run sweeps begin .. end of one chain, as `sweep.gibbs` does, with moves between them.

    Shapes: rows Rows of (N, D); noise (T,) noise levels of the warm-up; the others as their classes say.
    Every `moves.in_warm_up` sweeps without noise, then every `moves.later`, a move follows; after draw n
    its probability goes to `draws.acceptance[n]`.
    """
    scratch, parts = scratch_for(state), parts_for(rows, state)
    for n in range(begin, end):
        level = noise[noise.shape[0] + n] if n < 0 else 0.0
        recorded_sweep(rows, prior, state, draws, n, level, scratch, rng)
        every = moves.in_warm_up if n < 0 else moves.later
        if level == 0.0 and every > 0 and (n + 1) % every == 0:
            probability = split_merge(rows, prior, state, parts, rng)
            if n >= 0:
                draws.acceptance[n] = probability
