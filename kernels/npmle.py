"""Sums over rows that the nonparametric estimate of a mixing distribution needs."""

import numpy as np

from ._compile import BLOCK, aligned_blocks, exp_nonpositive, kernel
from .gaussian import exp_block, load_block, log_joint_block, normalise_block
from .moments import add_cross_moments


@kernel
def kernel_sums(rows, scales, points, start, stop, out):
    """Write sums over all rows of s_i k_ip and of s_i k_ip (x_i - a_p) for points start .. stop.

    Shapes: rows Rows of (N, D); scales (N,); points (M, D); out (M, 1 + D).
    Equation: k_ip = exp(-|x_i - a_p|^2 / 2). With s_i = c / (n p(x_i)), c the constant of the
    normal density, the first is the directional derivative D(a_p), and the first moment over it
    is the step of mean shift, which never lowers D.
    """
    n_rows, n_features = rows.values.shape
    lines = aligned_blocks(n_features + 2)
    block = lines[:n_features]
    norms = lines[n_features]
    weights = lines[n_features + 1]
    for p in range(start, stop):
        for a in range(n_features + 1):
            out[p, a] = 0.0
    for first in range(0, n_rows, BLOCK):
        count = min(BLOCK, n_rows - first)
        load_block(rows, first, count, block)
        for i in range(count):
            weights[i] = scales[first + i]
        for i in range(count, BLOCK):
            weights[i] = 0.0
        for p in range(start, stop):
            for i in range(BLOCK):
                norms[i] = 0.0
            for a in range(n_features):
                centre = points[p, a]
                for i in range(BLOCK):
                    norms[i] += (block[a, i] - centre) * (block[a, i] - centre)
            total = 0.0
            for i in range(BLOCK):
                value = weights[i] * exp_nonpositive(-0.5 * norms[i])
                norms[i] = value
                total += value
            # Points lie among the rows, but most rows are far from any one of them.
            if total > 0.0:
                out[p, 0] += total
                for a in range(n_features):
                    total, centre = 0.0, points[p, a]
                    for i in range(BLOCK):
                        total += norms[i] * (block[a, i] - centre)
                    out[p, 1 + a] += total


@kernel
def responsibility_moments(rows, components, start, stop, gram):
    """Add the cross moments of the responsibilities of rows start .. stop to `gram`.

    Shapes: rows Rows of (N, D); components of K; gram (K, K), its lower triangle.
    Equation: gram_jk += sum_i p(j | x_i) p(k | x_i).
    """
    n_components, n_features = components.means.shape
    lines = aligned_blocks(n_features + n_components + 2)
    largest, sums = lines[0], lines[1]
    block, joint = lines[2 : 2 + n_features], lines[2 + n_features :]
    zeros = np.zeros(n_components)
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        load_block(rows, first, count, block)
        log_joint_block(block, components, joint, largest)
        exp_block(joint, largest, sums)
        normalise_block(joint, sums, count)
        add_cross_moments(joint, zeros, joint, gram)
