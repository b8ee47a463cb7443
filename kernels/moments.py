"""One EM pass over rows: log likelihood and sufficient statistics together.

Second moments are taken about the components' current means: raw moments lose all digits when
components lie 1e6 standard deviations apart, centred ones lose none.
"""

import numpy as np

from ._compile import BLOCK, aligned_blocks, exp_nonpositive, kernel
from .gaussian import (
    exp_block,
    load_block,
    log_joint_block,
    normalise_block,
    sum_of_logs,
)

# What a block adds to a component is skipped below this share of what the component already has:
# float64 would hardly see it. A share and not a number, because the scale of row weights is free.
NEGLIGIBLE = 1e-14


@kernel
def add_cross_moments(weighted, mean, block, out):
    """Add sum_i weighted_i (x_i - m)' to the lower triangle of `out`.

    Shapes: weighted, block (D, BLOCK); mean (D,); out (D, D).
    Tiles of 4 x 4: sixteen sums in registers, eight loads for sixteen products. Tiles on the
    diagonal also write above it; callers read the lower triangle only.
    """
    n_features = mean.shape[0]
    n_tiled = n_features // 4 * 4
    for a in range(0, n_tiled, 4):
        w = weighted[a : a + 4]
        for b in range(0, a + 1, 4):
            x = block[b : b + 4]
            m0 = mean[b]
            m1 = mean[b + 1]
            m2 = mean[b + 2]
            m3 = mean[b + 3]
            t00 = 0.0
            t01 = 0.0
            t02 = 0.0
            t03 = 0.0
            t10 = 0.0
            t11 = 0.0
            t12 = 0.0
            t13 = 0.0
            t20 = 0.0
            t21 = 0.0
            t22 = 0.0
            t23 = 0.0
            t30 = 0.0
            t31 = 0.0
            t32 = 0.0
            t33 = 0.0
            for i in range(BLOCK):
                w0 = w[0, i]
                w1 = w[1, i]
                w2 = w[2, i]
                w3 = w[3, i]
                c0 = x[0, i] - m0
                c1 = x[1, i] - m1
                c2 = x[2, i] - m2
                c3 = x[3, i] - m3
                t00 += w0 * c0
                t01 += w0 * c1
                t02 += w0 * c2
                t03 += w0 * c3
                t10 += w1 * c0
                t11 += w1 * c1
                t12 += w1 * c2
                t13 += w1 * c3
                t20 += w2 * c0
                t21 += w2 * c1
                t22 += w2 * c2
                t23 += w2 * c3
                t30 += w3 * c0
                t31 += w3 * c1
                t32 += w3 * c2
                t33 += w3 * c3
            tile = out[a : a + 4, b : b + 4]
            tile[0, 0] += t00
            tile[0, 1] += t01
            tile[0, 2] += t02
            tile[0, 3] += t03
            tile[1, 0] += t10
            tile[1, 1] += t11
            tile[1, 2] += t12
            tile[1, 3] += t13
            tile[2, 0] += t20
            tile[2, 1] += t21
            tile[2, 2] += t22
            tile[2, 3] += t23
            tile[3, 0] += t30
            tile[3, 1] += t31
            tile[3, 2] += t32
            tile[3, 3] += t33
    for a in range(n_tiled, n_features):
        for b in range(0, n_tiled, 4):
            x = block[b : b + 4]
            m0 = mean[b]
            m1 = mean[b + 1]
            m2 = mean[b + 2]
            m3 = mean[b + 3]
            t0 = 0.0
            t1 = 0.0
            t2 = 0.0
            t3 = 0.0
            for i in range(BLOCK):
                w0 = weighted[a, i]
                t0 += w0 * (x[0, i] - m0)
                t1 += w0 * (x[1, i] - m1)
                t2 += w0 * (x[2, i] - m2)
                t3 += w0 * (x[3, i] - m3)
            out[a, b] += t0
            out[a, b + 1] += t1
            out[a, b + 2] += t2
            out[a, b + 3] += t3
        for b in range(n_tiled, a + 1):
            total, m0 = 0.0, mean[b]
            for i in range(BLOCK):
                total += weighted[a, i] * (block[b, i] - m0)
            out[a, b] += total


@kernel
def add_second_moments(weighted, mean, block, second, j):
    """Add component j's second moments, of the kind that `second` has room for.

    Shapes: weighted, block (D, BLOCK); mean (D,); second (K, D, D), (K, D) or (K, 0).
    A function of its own, because Numba drops the other branch only for the number of dimensions
    of an argument.
    """
    if second.ndim == 3:
        add_cross_moments(weighted, mean, block, second[j])
    else:
        for a in range(second.shape[1]):
            total, centre = 0.0, mean[a]
            for i in range(BLOCK):
                total += weighted[a, i] * (block[a, i] - centre)
            second[j, a] += total


@kernel
def add_moments(block, means, responsibility, weighted, statistics):
    """Add one block's counts, first and second moments about `means` to `statistics`.

    Shapes: block (D, BLOCK); means (K, D); responsibility (K, BLOCK);
    weighted (D, BLOCK) scratch;
    statistics (counts (K,), first (K, D), second (K, D, D), (K, D) or (K, 0)).
    """
    n_components, n_features = means.shape
    counts, first, second = statistics
    for j in range(n_components):
        own = responsibility[j]
        total = 0.0
        for i in range(BLOCK):
            total += own[i]
        counts[j] += total
        if total > NEGLIGIBLE * counts[j]:
            for a in range(n_features):
                total, centre = 0.0, means[j, a]
                for i in range(BLOCK):
                    value = own[i] * (block[a, i] - centre)
                    weighted[a, i] = value
                    total += value
                first[j, a] += total
            add_second_moments(weighted, means[j], block, second, j)


@kernel
def expectation(rows, components, start, stop, statistics):
    """Add the sufficient statistics of rows start .. stop and return their log likelihood.

    Shapes: rows Rows of (N, D); components of K; statistics as in `add_moments`.
    Equation: r_ij = w_i p(j | x_i); counts_j = sum_i r_ij, first_j = sum_i r_ij (x_i - m_j),
    second_j = sum_i r_ij (x_i - m_j)(x_i - m_j)'; returns sum_i w_i log p(x_i).
    """
    n_components, n_features = components.means.shape
    scratch = aligned_blocks(2 * n_features + n_components + 6)
    white, largest, sums = scratch[:4], scratch[4], scratch[5]
    block, work = scratch[6 : 6 + n_features], scratch[6 + n_features : 6 + 2 * n_features]
    joint = scratch[6 + 2 * n_features :]
    weighted = rows.weights.shape[0] > 0
    log_likelihood = 0.0
    for begin in range(start, stop, BLOCK):
        count = min(BLOCK, stop - begin)
        load_block(rows, begin, count, block)
        log_joint_block(block, components, white, joint, largest)
        exp_block(joint, largest, sums)
        if weighted:
            for i in range(count):
                weight = rows.weights[begin + i]
                if weight > 0.0:
                    log_likelihood += weight * (largest[i] + np.log(sums[i]))
        else:
            log_likelihood += sum_of_logs(largest, sums, count)
        normalise_block(joint, sums, count)
        if weighted:
            for j in range(n_components):
                for i in range(count):
                    joint[j, i] *= rows.weights[begin + i]
        add_moments(block, components.means, joint, work, statistics)
    return log_likelihood


@kernel
def assignment_entropy(rows, components, start, stop):
    """Return the sum over rows start .. stop of w_i sum_j -r_ij log r_ij, in nats.

    Shapes: rows Rows of (N, D); components of K.
    With e_j = exp(l_j - max l): -sum_j r_j log r_j = log(sum e) - sum_j e_j (l_j - max l) / sum e.
    """
    n_components, n_features = components.means.shape
    scratch = aligned_blocks(n_features + n_components + 7)
    white = scratch[:4]
    largest = scratch[4]
    sums = scratch[5]
    moments = scratch[6]
    block, joint = scratch[7 : 7 + n_features], scratch[7 + n_features :]
    weighted = rows.weights.shape[0] > 0
    entropy = 0.0
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        load_block(rows, first, count, block)
        log_joint_block(block, components, white, joint, largest)
        for i in range(BLOCK):
            sums[i] = 0.0
            moments[i] = 0.0
        for j in range(n_components):
            for i in range(BLOCK):
                difference = joint[j, i] - largest[i]
                value = exp_nonpositive(difference)
                sums[i] += value
                # A weight of 0 has the log joint -inf, and its share of the entropy is 0.
                moments[i] += value * difference if value > 0.0 else 0.0
        for i in range(count):
            own = np.log(sums[i]) - moments[i] / sums[i] if sums[i] > 0.0 else 0.0
            entropy += own * rows.weights[first + i] if weighted else own
    return entropy
