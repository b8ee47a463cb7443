"""Log density of Gaussian mixtures, a block of rows at a time.

A block holds `BLOCK` rows feature-major: block[a, i] is feature a of row i. Rows past the end of
the data are zeros and are masked by whoever sums. The loops over rows are innermost, so that LLVM
turns them into vector code; nothing of size rows x components leaves a block.
"""

import numpy as np

from ._compile import BLOCK, aligned_blocks, exp_nonpositive, kernel

# Row sums multiplied together before one logarithm is taken: 16 sums of at most K terms, each term
# at most 1, stay below 1e300 for K up to 1e18.
ROWS_PER_LOG = 16


@kernel
def load_block(rows, first, count, block):
    """Copy rows first .. first + count into `block`, feature-major, shifted and scaled.

    Shapes: rows Rows of (N, D); block (D, BLOCK). Columns past `count` become zero.
    """
    for a in range(block.shape[0]):
        shift = rows.shift[a]
        inverse_scale = rows.inverse_scale[a]
        for i in range(count):
            block[a, i] = (rows.values[first + i, a] - shift) * inverse_scale
        for i in range(count, BLOCK):
            block[a, i] = 0.0


@kernel
def triangular_norms(factor, mean, block, white, out):
    """Write |F (x_i - m)|^2 for every row x_i of `block` into `out`, for a lower triangular F.

    Shapes: factor (D, D); mean (D,); block (D, BLOCK); white (4, BLOCK) scratch; out (BLOCK,).
    Tiles of 4 x 4: sixteen products for eight loads and four stores. The subtractions run on the
    adders while the multipliers are busy: centring a copy of the block first costs a quarter more.
    """
    n_features = mean.shape[0]
    n_tiled = n_features // 4 * 4
    for i in range(BLOCK):
        out[i] = 0.0
    for a in range(0, n_tiled, 4):
        f = factor[a : a + 4]
        for r in range(4):
            for i in range(BLOCK):
                white[r, i] = 0.0
        for b in range(0, a, 4):
            x = block[b : b + 4]
            m0 = mean[b]
            m1 = mean[b + 1]
            m2 = mean[b + 2]
            m3 = mean[b + 3]
            f00 = f[0, b]
            f01 = f[0, b + 1]
            f02 = f[0, b + 2]
            f03 = f[0, b + 3]
            f10 = f[1, b]
            f11 = f[1, b + 1]
            f12 = f[1, b + 2]
            f13 = f[1, b + 3]
            f20 = f[2, b]
            f21 = f[2, b + 1]
            f22 = f[2, b + 2]
            f23 = f[2, b + 3]
            f30 = f[3, b]
            f31 = f[3, b + 1]
            f32 = f[3, b + 2]
            f33 = f[3, b + 3]
            for i in range(BLOCK):
                c0 = x[0, i] - m0
                c1 = x[1, i] - m1
                c2 = x[2, i] - m2
                c3 = x[3, i] - m3
                white[0, i] += f00 * c0 + f01 * c1 + f02 * c2 + f03 * c3
                white[1, i] += f10 * c0 + f11 * c1 + f12 * c2 + f13 * c3
                white[2, i] += f20 * c0 + f21 * c1 + f22 * c2 + f23 * c3
                white[3, i] += f30 * c0 + f31 * c1 + f32 * c2 + f33 * c3
        x = block[a : a + 4]
        m0 = mean[a]
        m1 = mean[a + 1]
        m2 = mean[a + 2]
        m3 = mean[a + 3]
        f00, f10, f11 = f[0, a], f[1, a], f[1, a + 1]
        f20, f21, f22 = f[2, a], f[2, a + 1], f[2, a + 2]
        f30 = f[3, a]
        f31 = f[3, a + 1]
        f32 = f[3, a + 2]
        f33 = f[3, a + 3]
        for i in range(BLOCK):
            c0 = x[0, i] - m0
            c1 = x[1, i] - m1
            c2 = x[2, i] - m2
            c3 = x[3, i] - m3
            w0 = white[0, i] + f00 * c0
            w1 = white[1, i] + f10 * c0 + f11 * c1
            w2 = white[2, i] + f20 * c0 + f21 * c1 + f22 * c2
            w3 = white[3, i] + f30 * c0 + f31 * c1 + f32 * c2 + f33 * c3
            out[i] += w0 * w0 + w1 * w1 + w2 * w2 + w3 * w3
    for a in range(n_tiled, n_features):
        f0, m0 = factor[a, a], mean[a]
        for i in range(BLOCK):
            white[0, i] = f0 * (block[a, i] - m0)
        for b in range(0, n_tiled, 4):
            x = block[b : b + 4]
            m0 = mean[b]
            m1 = mean[b + 1]
            m2 = mean[b + 2]
            m3 = mean[b + 3]
            f0 = factor[a, b]
            f1 = factor[a, b + 1]
            f2 = factor[a, b + 2]
            f3 = factor[a, b + 3]
            for i in range(BLOCK):
                c0 = x[0, i] - m0
                c1 = x[1, i] - m1
                c2 = x[2, i] - m2
                c3 = x[3, i] - m3
                white[0, i] += f0 * c0 + f1 * c1 + f2 * c2 + f3 * c3
        for b in range(n_tiled, a):
            f0, m0 = factor[a, b], mean[b]
            for i in range(BLOCK):
                white[0, i] += f0 * (block[b, i] - m0)
        for i in range(BLOCK):
            out[i] += white[0, i] * white[0, i]


@kernel
def squared_norms(factors, j, mean, block, white, out):
    """Write |W_j (x_i - m)|^2 for every row x_i of `block` into `out`.

    Shapes: factors (K, D, D), (K, D) or (K,); mean (D,); block (D, BLOCK); white (4, BLOCK);
    out (BLOCK,).
    """
    if factors.ndim == 3:
        triangular_norms(factors[j], mean, block, white, out)
    else:
        for i in range(BLOCK):
            out[i] = 0.0
        for a in range(mean.shape[0]):
            centre = mean[a]
            if factors.ndim == 2:
                f = factors[j, a]
            else:
                f = factors[j]
            for i in range(BLOCK):
                white[0, i] = f * (block[a, i] - centre)
                out[i] += white[0, i] * white[0, i]


@kernel
def log_joint_block(block, components, white, log_joint, largest):
    """Write log(weight_j) + log N(row; component j) into `log_joint`, its maximum into `largest`.

    Shapes: block (D, BLOCK); white (4, BLOCK); log_joint (K, BLOCK); largest (BLOCK,).
    """
    for i in range(BLOCK):
        largest[i] = -np.inf
    for j in range(components.means.shape[0]):
        own = log_joint[j]
        squared_norms(components.factors, j, components.means[j], block, white, own)
        constant = components.log_constants[j]
        for i in range(BLOCK):
            value = constant - 0.5 * own[i]
            own[i] = value
            largest[i] = value if value > largest[i] else largest[i]
    # A row infinitely far from every component: keep differences to its maximum defined.
    for i in range(BLOCK):
        largest[i] = largest[i] if largest[i] > -np.inf else 0.0


@kernel
def exp_block(log_joint, largest, sums):
    """Replace `log_joint` by exp(log_joint - largest), write the sums over components into `sums`.

    Shapes: log_joint (K, BLOCK); largest, sums (BLOCK,).
    A row infinitely far from every component gets 0 from each of them.
    """
    for i in range(BLOCK):
        sums[i] = 0.0
    for j in range(log_joint.shape[0]):
        own = log_joint[j]
        for i in range(BLOCK):
            value = exp_nonpositive(own[i] - largest[i])
            own[i] = value
            sums[i] += value


@kernel
def normalise_block(joint, sums, count):
    """Divide `joint` by `sums`: responsibilities, 0 for rows past `count` or with an empty sum.

    Shapes: joint (K, BLOCK); sums (BLOCK,), overwritten by its inverse.
    """
    for i in range(BLOCK):
        sums[i] = 1.0 / sums[i] if sums[i] > 0.0 else 0.0
    for i in range(count, BLOCK):
        sums[i] = 0.0
    for j in range(joint.shape[0]):
        own = joint[j]
        for i in range(BLOCK):
            own[i] *= sums[i]


@kernel
def sum_of_logs(largest, sums, count):
    """Return the sum over the block's rows of largest + log(sums), one logarithm for 16 rows.

    Shapes: largest, sums (BLOCK,).
    """
    total = 0.0
    for i in range(count):
        total += largest[i]
    for first in range(0, count, ROWS_PER_LOG):
        product = 1.0
        for i in range(first, min(first + ROWS_PER_LOG, count)):
            product *= sums[i]
        total += np.log(product)
    return total


@kernel
def log_density(rows, components, start, stop, out):
    """Write the log density of rows start .. stop into out[start:stop].

    Shapes: rows Rows of (N, D); components of K; out (N,). A weight of 0 and -inf are fine.
    """
    n_components, n_features = components.means.shape
    scratch = aligned_blocks(n_features + n_components + 6)
    white, largest, sums = scratch[:4], scratch[4], scratch[5]
    block, joint = scratch[6 : 6 + n_features], scratch[6 + n_features :]
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        load_block(rows, first, count, block)
        log_joint_block(block, components, white, joint, largest)
        exp_block(joint, largest, sums)
        for i in range(count):
            out[first + i] = largest[i] + np.log(sums[i])


@kernel
def responsibilities(rows, components, start, stop, out):
    """Write p(component | row) for rows start .. stop into out[start:stop].

    Shapes: rows Rows of (N, D); components of K; out (N, K).
    A row infinitely far from every component gets zeros.
    """
    n_components, n_features = components.means.shape
    scratch = aligned_blocks(n_features + n_components + 6)
    white, largest, sums = scratch[:4], scratch[4], scratch[5]
    block, joint = scratch[6 : 6 + n_features], scratch[6 + n_features :]
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        load_block(rows, first, count, block)
        log_joint_block(block, components, white, joint, largest)
        exp_block(joint, largest, sums)
        normalise_block(joint, sums, count)
        for i in range(count):
            for j in range(n_components):
                out[first + i, j] = joint[j, i]
