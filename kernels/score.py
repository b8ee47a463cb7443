"""Score and denoiser of a mixture: one gated affine map, a block of rows at a time."""

from ._compile import BLOCK, aligned_blocks, kernel
from .gaussian import exp_block, load_block, log_joint_block, normalise_block


@kernel
def add_matrix_product(matrix, mean, block, gate, out):
    """Add gate_i * M (x_i - m) to column i of `out`, for a full matrix M.

    Shapes: matrix (D, D); mean (D,); block, out (D, BLOCK); gate (BLOCK,).
    """
    n_features = mean.shape[0]
    n_tiled = n_features // 4 * 4
    for a in range(0, n_tiled, 4):
        f, o = matrix[a : a + 4], out[a : a + 4]
        for b in range(0, n_tiled, 4):
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
                g = gate[i]
                c0, c1 = g * (x[0, i] - m0), g * (x[1, i] - m1)
                c2, c3 = g * (x[2, i] - m2), g * (x[3, i] - m3)
                o[0, i] += f00 * c0 + f01 * c1 + f02 * c2 + f03 * c3
                o[1, i] += f10 * c0 + f11 * c1 + f12 * c2 + f13 * c3
                o[2, i] += f20 * c0 + f21 * c1 + f22 * c2 + f23 * c3
                o[3, i] += f30 * c0 + f31 * c1 + f32 * c2 + f33 * c3
        for b in range(n_tiled, n_features):
            m0 = mean[b]
            f0 = f[0, b]
            f1 = f[1, b]
            f2 = f[2, b]
            f3 = f[3, b]
            for i in range(BLOCK):
                c0 = gate[i] * (block[b, i] - m0)
                o[0, i] += f0 * c0
                o[1, i] += f1 * c0
                o[2, i] += f2 * c0
                o[3, i] += f3 * c0
    for a in range(n_tiled, n_features):
        for b in range(n_features):
            f0, m0 = matrix[a, b], mean[b]
            for i in range(BLOCK):
                out[a, i] += f0 * (gate[i] * (block[b, i] - m0))


@kernel
def add_affine(matrices, j, mean, block, gate, out):
    """Add gate_i * M_j (x_i - m) to column i of `out`.

    Shapes: matrices (K, D, D), (K, D) or (K,); mean (D,); block, out (D, BLOCK); gate (BLOCK,).
    """
    if matrices.ndim == 3:
        add_matrix_product(matrices[j], mean, block, gate, out)
    else:
        for a in range(mean.shape[0]):
            centre = mean[a]
            if matrices.ndim == 2:
                f = matrices[j, a]
            else:
                f = matrices[j]
            for i in range(BLOCK):
                out[a, i] += gate[i] * (f * (block[a, i] - centre))


@kernel
def gated_affine_block(block, components, matrices, offsets, gates, out):
    """Write sum_j gate_ij (offset_j + M_j (x_i - m_j)) into `out`.

    Shapes: block, out (D, BLOCK); offsets (K, D); gates (K, BLOCK).
    """
    n_components, n_features = components.means.shape
    for a in range(n_features):
        for i in range(BLOCK):
            out[a, i] = 0.0
    for j in range(n_components):
        gate = gates[j]
        for a in range(n_features):
            offset = offsets[j, a]
            for i in range(BLOCK):
                out[a, i] += gate[i] * offset
        add_affine(matrices, j, components.means[j], block, gate, out)


@kernel
def gated_affine(rows, components, maps, start, stop, out):
    """Write sum_j p(j | x_i) (offset_j + M_j (x_i - m_j)) of rows start .. stop into `out`.

    Shapes: rows Rows of (N, D); components of K; maps (matrices, offsets): (K, D, D), (K, D) or
    (K,), and (K, D); out (N, D).
    Equations: M_j = -S_j^-1 and offset 0 give the score; M_j = Sigma_j S_j^-1 and offset m_j the
    denoiser, with S_j = Sigma_j + sigma^2 I in `components`.
    """
    n_components, n_features = components.means.shape
    matrices, offsets = maps
    scratch = aligned_blocks(2 * n_features + n_components + 6)
    white, largest, sums = scratch[:4], scratch[4], scratch[5]
    block, result = scratch[6 : 6 + n_features], scratch[6 + n_features : 6 + 2 * n_features]
    joint = scratch[6 + 2 * n_features :]
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        load_block(rows, first, count, block)
        log_joint_block(block, components, white, joint, largest)
        exp_block(joint, largest, sums)
        normalise_block(joint, sums, count)
        gated_affine_block(block, components, matrices, offsets, joint, result)
        for i in range(count):
            for a in range(n_features):
                out[first + i, a] = result[a, i]
