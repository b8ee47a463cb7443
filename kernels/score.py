"""Score and denoiser of a mixture: one gated affine map, a block of rows at a time."""

from . import _vectors
from ._compile import BLOCK, aligned_blocks, kernel
from ._vectors import EXPLICIT
from .gaussian import exp_block, load_block, log_joint_block, normalise_block


@kernel
def add_matrix_product(matrix, mean, block, gate, out):
    """Add gate_i * M (x_i - m) to column i of `out`, for a full matrix M.

    Shapes: matrix (D, D); mean (D,); block, out (D, BLOCK); gate (BLOCK,).
    """
    if EXPLICIT:
        _vectors.add_matrix_product(matrix, mean, block, gate, out)
    else:
        for i in range(BLOCK):
            for a in range(mean.shape[0]):
                total = 0.0
                for b in range(mean.shape[0]):
                    total += matrix[a, b] * (block[b, i] - mean[b])
                out[a, i] += gate[i] * total


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
    scratch = aligned_blocks(2 * n_features + n_components + 2)
    largest, sums = scratch[0], scratch[1]
    block, result = scratch[2 : 2 + n_features], scratch[2 + n_features : 2 + 2 * n_features]
    joint = scratch[2 + 2 * n_features :]
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        load_block(rows, first, count, block)
        log_joint_block(block, components, joint, largest)
        exp_block(joint, largest, sums)
        normalise_block(joint, sums, count)
        gated_affine_block(block, components, matrices, offsets, joint, result)
        for i in range(count):
            for a in range(n_features):
                out[first + i, a] = result[a, i]
