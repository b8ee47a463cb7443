"""Denoising score matching as least squares: normal equations, and gains on rows held out.

A row x and its noise pairs (+xi, -xi) give noised rows y = x +- sigma xi and targets
t = (x - D(y)) / sigma, with D the mixture's denoiser. The features of y are f = p(j | y) phi_q(u_j)
for all components together: components overlap at high noise, and polynomials fitted to each of
them alone would each explain the same residual.
"""

from typing import NamedTuple

import numpy as np

from ._compile import BLOCK, aligned_blocks, kernel, kernel_part
from .bundles import Components
from .features import (
    CLIP,
    add_family_product,
    add_residual,
    clip_block,
    fill_zeros,
    gates_block,
    hermite_block,
    hermite_table,
    whiten_block,
)
from .moments import add_cross_moments


class Level(NamedTuple):
    """A mixture at one noise level sigma.

    components : of K, with the covariances S_j = Sigma_j + sigma^2 I and whitening factors W_j.
    pulls : sigma W_j', (K, D, D), (K, D) or (K,); -sum_j p(j | y) pull_j u_j is sigma x score.
    sigma : noise standard deviation, positive.
    """

    components: Components
    pulls: np.ndarray
    sigma: float


@kernel_part
def gather_block(rows, order, block):
    """Copy rows `order` into the first columns of `block`, shifted and scaled; others become zero.

    Shapes: rows Rows of (N, D); order (at most BLOCK,); block (D, BLOCK).
    """
    count = order.shape[0]
    for a in range(block.shape[0]):
        shift = rows.shift[a]
        inverse_scale = rows.inverse_scale[a]
        for i in range(count):
            block[a, i] = (rows.values[order[i], a] - shift) * inverse_scale
        for i in range(count, BLOCK):
            block[a, i] = 0.0


@kernel
def noised_block(clean, noise, first, count, step, noised, target):
    """Write y = x + step xi into `noised` and the noise's share -sign xi of t into `target`.

    Shapes: clean, noised, target (D, BLOCK), 0 for rows past `count`; noise (D, n), the block's
    rows from column `first` on; step (sigma, sign).
    """
    sigma, sign = step
    for a in range(clean.shape[0]):
        xi = noise[a, first : first + count]
        for i in range(count):
            noised[a, i] = clean[a, i] + sigma * (sign * xi[i])
            target[a, i] = -sign * xi[i]
        for i in range(count, BLOCK):
            noised[a, i] = 0.0
            target[a, i] = 0.0


@kernel_part
def pair_block(noised, level, white, joint, target, scratch, count):
    """Write gates and clipped whitened coordinates of noised rows, and complete their targets.

    Shapes: noised (D, BLOCK); level Level of K; white (K, D, BLOCK); joint (K, BLOCK);
    target (D, BLOCK); scratch (D + 1, BLOCK).
    Equation: t = (x - D(y)) / sigma = (x - y) / sigma + sum_j p(j | y) pull_j u_j.
    """
    whiten_block(noised, level.components, scratch, white, joint)
    gates_block(joint, scratch[0], scratch[1], count)
    for j in range(joint.shape[0]):
        add_family_product(level.pulls, j, white[j], joint[j], target)
    clip_block(white, CLIP)


@kernel_part
def load_weights(rows, order, line):
    """Copy the weights of rows `order` into `line`, 1 for rows without; the rest becomes zero.

    Shapes: rows Rows of (N, D); order (at most BLOCK,); line (BLOCK,).
    """
    count = order.shape[0]
    for i in range(count):
        line[i] = rows.weights[order[i]] if rows.weights.shape[0] > 0 else 1.0
    for i in range(count, BLOCK):
        line[i] = 0.0


@kernel_part
def weigh_block(lines, weights):
    """Multiply column i of `lines` by the root of its weight.

    Shapes: lines (n, BLOCK); weights (BLOCK,).
    """
    for a in range(lines.shape[0]):
        for i in range(BLOCK):
            lines[a, i] *= np.sqrt(weights[i])


@kernel
def add_outer(left, right, out):
    """Add sum_i left_i right_i' to `out`.

    Shapes: left (A, BLOCK); right (B, BLOCK); out (A, B).
    """
    n_columns = right.shape[0]
    n_tiled = n_columns // 4 * 4
    for a in range(left.shape[0]):
        t, own = left[a], out[a]
        for q in range(0, n_tiled, 4):
            f = right[q : q + 4]
            s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
            for i in range(BLOCK):
                s0 += t[i] * f[0, i]
                s1 += t[i] * f[1, i]
                s2 += t[i] * f[2, i]
                s3 += t[i] * f[3, i]
            own[q] += s0
            own[q + 1] += s1
            own[q + 2] += s2
            own[q + 3] += s3
        for q in range(n_tiled, n_columns):
            f0, s0 = right[q], 0.0
            for i in range(BLOCK):
                s0 += t[i] * f0[i]
            own[q] += s0


@kernel_part
def add_targets(target, features, right):
    """Add t f' to `right` and return the sum of |t|^2.

    Shapes: target (D, BLOCK) and features (P, BLOCK), 0 for rows past the end; right (D, P).
    """
    energy = 0.0
    for a in range(target.shape[0]):
        for i in range(BLOCK):
            energy += target[a, i] * target[a, i]
    add_outer(target, features, right)
    return energy


@kernel_part
def add_gain(target, fitted, joint, weight, gain, share):
    """Add weight p(j | y) (|t|^2 - |t - R|^2) to `gain` and weight p(j | y) to `share`.

    Shapes: target, fitted (D, BLOCK); joint, gain, share (K, BLOCK).
    """
    total = fitted[0]
    for i in range(BLOCK):
        total[i] = fitted[0, i] * (2.0 * target[0, i] - fitted[0, i])
    for a in range(1, target.shape[0]):
        for i in range(BLOCK):
            total[i] += fitted[a, i] * (2.0 * target[a, i] - fitted[a, i])
    for j in range(joint.shape[0]):
        for i in range(BLOCK):
            value = weight * joint[j, i]
            gain[j, i] += value * total[i]
            share[j, i] += value


@kernel_part
def add_squares(lines, weights, sums, squares):
    """Add each line's weighted sum and sum of squares; set the lines to zero.

    Shapes: lines (K, BLOCK); weights (BLOCK,); sums, squares (K,).
    """
    for j in range(lines.shape[0]):
        total, square = 0.0, 0.0
        for i in range(BLOCK):
            total += weights[i] * lines[j, i]
            square += weights[i] * (lines[j, i] * lines[j, i])
            lines[j, i] = 0.0
        sums[j] += total
        squares[j] += square


@kernel
def noise_pairs(rows, order, noise, level, polynomials, statistics):
    """Add what the noise pairs of rows `order` say to `statistics`.

    One kernel for two passes, which see the same noised rows: without polynomials the normal
    equations are added and the sum of w |t|^2 is returned, with them the moments of what they gain.

    Shapes: rows Rows of (N, D); order (n,) row numbers; noise (M, D, n); level Level of K;
    polynomials (0, D, p) or (K, D, p); statistics (gram (P, P), right (D, P), moments (4, K)) with
    P = K p, of which what is not added to may be empty.
    Equations: gram += w f f' (lower triangle), right += w t f', over both signs of the M noises of
    each row, with the row's weight w. With R the residual of the polynomials,
    g_ij = mean over the 2 M noised rows y of row i of p(j | y) (|t|^2 - |t - R(y)|^2) and
    r_ij = mean of p(j | y);
    moments += (sum_i w_i g_ij, sum_i w_i g_ij^2, sum_i w_i r_ij, sum_i w_i r_ij^2). Rows are the
    unit, and a row of weight 2 is two of them.
    """
    n_components, n_features = level.components.means.shape
    n_outputs = polynomials.shape[2]
    is_given = polynomials.shape[0] > 0
    gram, right, moments = statistics
    n_columns = max(gram.shape[0], n_outputs + 1)
    lines = aligned_blocks((n_components + 5) * n_features + 3 * n_components + n_columns + 2)
    clean, noised = lines[:n_features], lines[n_features : 2 * n_features]
    target, fitted = lines[2 * n_features : 3 * n_features], lines[3 * n_features : 4 * n_features]
    weights, rest = lines[4 * n_features], lines[4 * n_features + 1 :]
    scratch, rest = rest[: n_features + 1], rest[n_features + 1 :]
    features, rest = rest[:n_columns], rest[n_columns:]
    joint, gain = rest[:n_components], rest[n_components : 2 * n_components]
    share, rest = rest[2 * n_components : 3 * n_components], rest[3 * n_components :]
    white = rest.reshape(n_components, n_features, BLOCK)
    zeros = np.zeros(gram.shape[0])
    table = hermite_table(n_features, n_outputs)
    weight = 0.5 / noise.shape[0]
    energy = 0.0
    for first in range(0, order.shape[0], BLOCK):
        count = min(BLOCK, order.shape[0] - first)
        gather_block(rows, order[first : first + count], clean)
        load_weights(rows, order[first : first + count], weights)
        for half in range(2 * noise.shape[0]):
            step = (level.sigma, 1.0 if half % 2 == 0 else -1.0)
            noised_block(clean, noise[half // 2], first, count, step, noised, target)
            pair_block(noised, level, white, joint, target, scratch, count)
            if is_given:
                fill_zeros(fitted)
                add_residual(white, joint, polynomials, table, features, fitted)
                add_gain(target, fitted, joint, weight, gain, share)
            else:
                weigh_block(joint, weights)
                weigh_block(target, weights)
                for j in range(n_components):
                    own = features[j * n_outputs : (j + 1) * n_outputs]
                    hermite_block(white[j], joint[j], table, own)
                products = features[: gram.shape[0]]
                add_cross_moments(products, zeros, products, gram)
                energy += add_targets(target, products, right)
        if is_given:
            add_squares(gain, weights, moments[0], moments[1])
            add_squares(share, weights, moments[2], moments[3])
    return energy
