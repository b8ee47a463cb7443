"""The first half of a Gibbs sweep: every row gets a component and, under noise, a clean row.

What a chain's state and draws look like is said here. A family is seen through
the shapes of its arrays, as in `gaussian` and `moments`; three kinds are compiled:

    full, tied           factors (K, D, D), second moments (K, D, D) or one (1, D, D) for all, C0 (D, D)
    diag                 factors (K, D), second (K, D), C0 (D, 1)
    spherical, identity  factors (K,), second (K, 1) or (K, 0), C0 (1, 1) or (0, 0)
"""

import math
from typing import NamedTuple

import numpy as np

from ._compile import BLOCK, aligned_blocks, kernel, kernel_part
from .clean_rows import draw_clean_moments
from .gaussian import exp_block, load_block, log_joint_block, sum_of_logs

LOG_2PI = math.log(2.0 * math.pi)

# Up to so many components the moments of a block are taken component by component, with all rows
# but its own masked: vector code, where row by row every sum waits for the one before.
MOST_MASKED = 8


class ConjugatePrior(NamedTuple):
    """The prior in the units of the rows.

    concentration : (K,) of the Dirichlet.
    mean_precision, mean_linear : (D, D) B0^-1 and (D,) B0^-1 m0.
    covariance_df : 2 c0.
    hyper_df, hyper_rate : 2 g0 and G0 (D, D), diagonal where C0 is no matrix; 0 and zeros when
    C0 is fixed.
    """

    concentration: np.ndarray
    mean_precision: np.ndarray
    mean_linear: np.ndarray
    covariance_df: float
    hyper_df: float
    hyper_rate: np.ndarray


class ChainState(NamedTuple):
    """Where a chain is; every sweep writes into it.

    everything : (P,), of which the next four are views, in this order.
    weights : (K,).   means : (K, D).   scale : C0.
    factors : whitening factors, lower triangular; tied has K equal ones.
    counts, first, second : (K,), (K, D) and second moments, statistics of the rows.
    """

    everything: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    scale: np.ndarray
    factors: np.ndarray
    counts: np.ndarray
    first: np.ndarray
    second: np.ndarray


class ChainDraws(NamedTuple):
    """Where S recorded draws go.

    parameters : (S, P), `ChainState.everything` of each.   log_likelihood : (S,).
    n_filled : (S,), components with a row.
    pointwise : (S', N) log density of each row at draws 0, every, 2 every, ..., or (0, N).
    acceptance : (S,), smallest rate of the moves after each draw; stays as it is where all are taken.
    jumps : (S,), share of the proposals of jumps after each draw that was taken; stays as it is without.
    """

    parameters: np.ndarray
    log_likelihood: np.ndarray
    n_filled: np.ndarray
    pointwise: np.ndarray
    every: int
    acceptance: np.ndarray
    jumps: np.ndarray


@kernel
def choose_components(joint, sums, uniforms, running, choice):
    """Write the component of every row into `choice`: j with probability joint_j / sums.

    Shapes: joint (K, BLOCK); sums, uniforms, running scratch, choice (BLOCK,). `uniforms` become
    thresholds. A row whose densities are all 0 goes to the last component.
    """
    for i in range(BLOCK):
        uniforms[i] *= sums[i]
        running[i] = 0.0
        choice[i] = 0.0
    for j in range(joint.shape[0] - 1):
        own = joint[j]
        for i in range(BLOCK):
            running[i] += own[i]
            choice[i] += 1.0 if running[i] <= uniforms[i] else 0.0


@kernel
def copy_line(source, target):
    """Copy `source` into `target`.

    Shapes: source, target (P,).
    """
    for p in range(source.shape[0]):
        target[p] = source[p]


@kernel
def add_copies(block, i, j, n, means, counts, first, second):
    """Add n copies of row i of a block to the statistics of component j.

    Shapes: block (D, BLOCK); the others as in `add_allocated`.
    """
    s = min(j, second.shape[0] - 1)
    counts[j] += n
    for a in range(block.shape[0]):
        value = n * (block[a, i] - means[j, a])
        first[j, a] += value
        if second.ndim == 3:
            for b in range(a + 1):
                second[s, a, b] += value * (block[b, i] - means[j, b])
        elif second.shape[1] > 0:
            second[j, min(a, second.shape[1] - 1)] += value * (block[a, i] - means[j, a])


@kernel
def add_allocated(block, means, choice, count, counts, first, second):
    """Add each row to the counts, first and second moments of its own component.

    Shapes: block (D, BLOCK); means (K, D); choice (BLOCK,), set to -1 from `count` on; counts (K,);
    first (K, D) and second (K, D, D), (1, D, D), (K, D), (K, 1) or (K, 0) about `means`: what there
    is one of is summed over. Of matrices the lower triangles.
    """
    n_components, n_features = means.shape
    for i in range(count, BLOCK):
        choice[i] = -1.0
    if n_components <= MOST_MASKED:
        for j in range(n_components):
            s, total = min(j, second.shape[0] - 1), 0.0
            for i in range(BLOCK):
                total += 1.0 if choice[i] == j else 0.0
            counts[j] += total
            for a in range(n_features):
                mean, total, square = means[j, a], 0.0, 0.0
                for i in range(BLOCK):
                    value = block[a, i] - mean if choice[i] == j else 0.0
                    total += value
                    square += value * value
                first[j, a] += total
                if second.ndim == 3:
                    second[s, a, a] += square
                    for b in range(a):
                        other, total = means[j, b], 0.0
                        for i in range(BLOCK):
                            value = block[a, i] - mean if choice[i] == j else 0.0
                            total += value * (block[b, i] - other)
                        second[s, a, b] += total
                elif second.shape[1] > 0:
                    second[j, min(a, second.shape[1] - 1)] += square
    else:
        for i in range(count):
            add_copies(block, i, int(choice[i]), 1, means, counts, first, second)


@kernel_part
def allocate(rows, components, state, gains, noise, pointwise, work, rng):
    """Draw the component of every row, add to the statistics, return the log likelihood.

    Shapes: rows Rows of (N, D); components of K, noised if noise > 0; gains of `write_noised`;
    pointwise (N,) log densities, or (0,) for none; work (4, D, D) scratch.
    With noise > 0 the statistics are those of clean rows drawn by the reverse kernel.
    """
    n_components, n_features = components.means.shape
    scratch = aligned_blocks(n_features + n_components + 5)
    largest, sums = scratch[0], scratch[1]
    uniforms, running, choice = scratch[2], scratch[3], scratch[4]
    block, joint = scratch[5 : 5 + n_features], scratch[5 + n_features :]
    n_rows = rows.values.shape[0]
    log_likelihood = 0.0
    for begin in range(0, n_rows, BLOCK):
        count = min(BLOCK, n_rows - begin)
        load_block(rows, begin, count, block)
        log_joint_block(block, components, joint, largest)
        exp_block(joint, largest, sums)
        # Summed apart: whether LLVM may reorder a sum beside a store depends on addresses.
        log_likelihood += sum_of_logs(largest, sums, count, n_components)
        if pointwise.shape[0] > 0:
            for i in range(count):
                pointwise[begin + i] = largest[i] + math.log(sums[i])
        for i in range(count):
            uniforms[i] = rng.random()
        choose_components(joint, sums, uniforms, running, choice)
        add_allocated(block, state.means, choice, count, state.counts, state.first, state.second)
    if noise > 0.0:
        draw_clean_moments(gains, noise, state.counts, state.first, state.second, work, rng)
    return log_likelihood


@kernel
def prepare(weights, factors, constants, counts, first, second):
    """Write log weight + log |W_k| - D/2 log(2 pi) into `constants`, set the statistics to 0.

    Shapes: weights, constants (K,); factors (K, D, D), (K, D) or (K,); the others as in
    `add_allocated`.
    """
    n_components, n_features = first.shape
    for j in range(n_components):
        constants[j] = math.log(weights[j]) - 0.5 * n_features * LOG_2PI
        counts[j] = 0.0
        for a in range(n_features):
            first[j, a] = 0.0
            if factors.ndim == 3:
                constants[j] += math.log(factors[j, a, a])
            elif factors.ndim == 2:
                constants[j] += math.log(factors[j, a])
            else:
                constants[j] += math.log(factors[j])
    for j in range(second.shape[0]):
        for a in range(second.shape[1]):
            if second.ndim == 3:
                for b in range(n_features):
                    second[j, a, b] = 0.0
            else:
                second[j, a] = 0.0
