"""One EM pass over rows: log likelihood and sufficient statistics together, and full covariances.

Second moments are taken about the components' current means: raw moments lose all digits when
components lie 1e6 standard deviations apart, centred ones lose none.
"""

import numpy as np

from . import _vector_lines, _vectors
from ._compile import BLOCK, aligned_blocks, exp_nonpositive, kernel
from ._vectors import EXPLICIT
from .conjugate import cholesky
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
    """
    if EXPLICIT:
        _vectors.add_cross_moments(weighted, mean, block, out)
    else:
        for a in range(mean.shape[0]):
            for b in range(a + 1):
                for i in range(BLOCK):
                    out[a, b] += weighted[a, i] * (block[b, i] - mean[b])


@kernel
def add_moments(block, means, responsibility, lines, counts, first, second):
    """Add one block's counts, first moments about `means`, and second ones as far as there is room.

    Shapes: block (D, BLOCK); means, first (K, D); responsibility (K, BLOCK);
    lines (4, BLOCK) scratch; counts (K,); second (K, D, D), its lower triangles, (K, D) or (K, 0).
    """
    if second.ndim == 3:
        if EXPLICIT:
            _vectors.add_moments(
                block, means, responsibility, lines, counts, first, second, NEGLIGIBLE
            )
        else:
            for j in range(means.shape[0]):
                total = 0.0
                for i in range(BLOCK):
                    total += responsibility[j, i]
                counts[j] += total
                if total > NEGLIGIBLE * counts[j]:
                    for a in range(means.shape[1]):
                        for i in range(BLOCK):
                            weighted = responsibility[j, i] * (block[a, i] - means[j, a])
                            first[j, a] += weighted
                            for b in range(a + 1):
                                second[j, a, b] += weighted * (block[b, i] - means[j, b])
    elif EXPLICIT:
        _vector_lines.add_moments(block, means, responsibility, counts, first, second, NEGLIGIBLE)
    else:
        for j in range(means.shape[0]):
            total = 0.0
            for i in range(BLOCK):
                total += responsibility[j, i]
            counts[j] += total
            if total > NEGLIGIBLE * counts[j]:
                for a in range(means.shape[1]):
                    total = 0.0
                    square = 0.0
                    mean = means[j, a]
                    for i in range(BLOCK):
                        difference = block[a, i] - mean
                        weighted = responsibility[j, i] * difference
                        total += weighted
                        square += weighted * difference
                    first[j, a] += total
                    if a < second.shape[1]:
                        second[j, a] += square


@kernel
def expectation(rows, components, start, stop, statistics):
    """Add the sufficient statistics of rows start .. stop and return their log likelihood.

    Shapes: rows Rows of (N, D); components of K; statistics (counts (K,), first (K, D),
    second (K, D, D), (K, D) or (K, 0)).
    Equation: r_ij = w_i p(j | x_i); counts_j = sum_i r_ij, first_j = sum_i r_ij (x_i - m_j),
    second_j = sum_i r_ij (x_i - m_j)(x_i - m_j)'; returns sum_i w_i log p(x_i).
    """
    n_components, n_features = components.means.shape
    scratch = aligned_blocks(n_features + n_components + 6)
    lines, largest, sums = scratch[:4], scratch[4], scratch[5]
    block, joint = scratch[6 : 6 + n_features], scratch[6 + n_features :]
    weighted = rows.weights.shape[0] > 0
    counts, first, second = statistics
    log_likelihood = 0.0
    for begin in range(start, stop, BLOCK):
        count = min(BLOCK, stop - begin)
        load_block(rows, begin, count, block)
        log_joint_block(block, components, joint, largest)
        exp_block(joint, largest, sums)
        if weighted:
            for i in range(count):
                weight = rows.weights[begin + i]
                if weight > 0.0:
                    log_likelihood += weight * (largest[i] + np.log(sums[i]))
        else:
            log_likelihood += sum_of_logs(largest, sums, count, n_components)
        normalise_block(joint, sums, count)
        if weighted:
            for j in range(n_components):
                for i in range(count):
                    joint[j, i] *= rows.weights[begin + i]
        add_moments(block, components.means, joint, lines, counts, first, second)
    return log_likelihood


@kernel
def write_covariances(counts, first, second, floor, out):
    """Write full covariances, return how many may have an eigenvalue below `floor`, NaN included.

    Shapes: counts > 0 (K,); first (K, D); second, out (K, D, D), of `second` the lower triangles.
    Equation: S_j = second_j / n_j - s_j s_j' with the mean's step s_j = first_j / n_j. Every
    eigenvalue is above the floor if S_j - floor I has a Cholesky factor.
    """
    n_features = first.shape[1]
    root = np.empty((n_features, n_features))
    n_low = 0
    for j in range(counts.shape[0]):
        n = counts[j]
        for a in range(n_features):
            for b in range(a + 1):
                value = second[j, a, b] / n - first[j, a] / n * (first[j, b] / n)
                out[j, a, b] = value
                out[j, b, a] = value
                root[a, b] = value
            root[a, a] -= floor
        n_low += 0 if cholesky(root, root) == 0 else 1
    return n_low


@kernel
def assignment_entropy(rows, components, start, stop):
    """Return the sum over rows start .. stop of w_i sum_j -r_ij log r_ij, in nats.

    Shapes: rows Rows of (N, D); components of K.
    With e_j = exp(l_j - max l): -sum_j r_j log r_j = log(sum e) - sum_j e_j (l_j - max l) / sum e.
    """
    n_components, n_features = components.means.shape
    scratch = aligned_blocks(n_features + n_components + 3)
    largest, sums, moments = scratch[0], scratch[1], scratch[2]
    block, joint = scratch[3 : 3 + n_features], scratch[3 + n_features :]
    weighted = rows.weights.shape[0] > 0
    entropy = 0.0
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        load_block(rows, first, count, block)
        log_joint_block(block, components, joint, largest)
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
