"""Log density of Gaussian mixtures, a block of rows at a time.

A block holds `BLOCK` rows feature-major: block[a, i] is feature a of row i. Rows past the end of
the data are zeros and are masked by whoever sums. The loops over rows are innermost, so that LLVM
turns them into vector code; nothing of size rows x components leaves a block.
"""

import numpy as np

from . import _vector_lines, _vectors
from ._compile import BLOCK, aligned_blocks, exp_nonpositive, kernel
from ._vectors import EXPLICIT

# Row sums multiplied together before one logarithm is taken: sums of at most K terms, each term at
# most 1. 128 of them stay below 1e300 for K up to 200, 16 for K up to 1e18.
FEW_COMPONENTS, ROWS_PER_LOG = 200, 16


@kernel
def load_block(rows, first, count, block):
    """Copy rows first .. first + count into `block`, feature-major, shifted and scaled.

    Shapes: rows Rows of (N, D); block (D, BLOCK). Columns past `count` become zero.
    """
    for a in range(block.shape[0]):
        shift = rows.shift[a]
        inverse_scale = rows.inverse_scale[a]
        # Views of their own: indices that start at 0 need no check for negative ones.
        column, line = rows.values[first : first + count, a], block[a]
        for i in range(column.shape[0]):
            line[i] = (column[i] - shift) * inverse_scale
        for i in range(count, BLOCK):
            line[i] = 0.0


@kernel
def write_log_joint(log_constants, means, factors, block, log_joint, largest, white):
    """Write log w_j + log N(row; component j) into `log_joint` and raise `largest` to it.

    Shapes: log_constants (K,); means (K, D); factors (K, D, D), lower triangular, (K, D) or (K,);
    block (D, BLOCK); log_joint (K, BLOCK); largest (BLOCK,); white (K, D, BLOCK) takes the whitened
    rows W_j (x - m_j) of full factors, None leaves them out.
    Centring inside the product costs nothing: the adders are idle while the multipliers work.
    """
    if factors.ndim == 3:
        if EXPLICIT:
            _vectors.write_log_joint(
                log_constants, means, factors, block, log_joint, largest, white
            )
        else:
            for j in range(means.shape[0]):
                for i in range(BLOCK):
                    norm = 0.0
                    for a in range(means.shape[1]):
                        value = 0.0
                        for b in range(a + 1):
                            value += factors[j, a, b] * (block[b, i] - means[j, b])
                        if white is not None:
                            white[j, a, i] = value
                        norm += value * value
                    value = log_constants[j] - 0.5 * norm
                    log_joint[j, i] = value
                    largest[i] = value if value > largest[i] else largest[i]
    elif EXPLICIT:
        _vector_lines.write_log_joint(log_constants, means, factors, block, log_joint, largest)
    else:
        for j in range(means.shape[0]):
            constant = log_constants[j]
            for i in range(BLOCK):
                log_joint[j, i] = constant
            for a in range(means.shape[1]):
                mean = means[j, a]
                if factors.ndim == 2:
                    f = factors[j, a]
                else:
                    f = factors[j]
                for i in range(BLOCK):
                    own = f * (block[a, i] - mean)
                    log_joint[j, i] -= 0.5 * own * own
            for i in range(BLOCK):
                value = log_joint[j, i]
                largest[i] = value if value > largest[i] else largest[i]


@kernel
def log_joint_block(block, components, log_joint, largest, white=None):
    """Write log(weight_j) + log N(row; component j) into `log_joint`, its maximum into `largest`.

    Shapes: block (D, BLOCK); log_joint (K, BLOCK); largest (BLOCK,); white as in `write_log_joint`.
    """
    log_constants, means, factors = components
    for i in range(BLOCK):
        largest[i] = -np.inf
    write_log_joint(log_constants, means, factors, block, log_joint, largest, white)
    # A row infinitely far from every component: keep differences to its maximum defined.
    for i in range(BLOCK):
        largest[i] = largest[i] if largest[i] > -np.inf else 0.0


@kernel
def exp_block(log_joint, largest, sums):
    """Replace `log_joint` by exp(log_joint - largest), write the sums over components into `sums`.

    Shapes: log_joint (K, BLOCK); largest, sums (BLOCK,).
    A row infinitely far from every component gets 0 from each of them.
    """
    if EXPLICIT:
        _vector_lines.exp_block(log_joint, largest, sums)
    else:
        for i in range(BLOCK):
            sums[i] = 0.0
        for j in range(log_joint.shape[0]):
            for i in range(BLOCK):
                value = exp_nonpositive(log_joint[j, i] - largest[i])
                log_joint[j, i] = value
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
    if EXPLICIT:
        _vector_lines.normalise_block(joint, sums)
    else:
        for j in range(joint.shape[0]):
            for i in range(BLOCK):
                joint[j, i] *= sums[i]


@kernel
def sum_of_logs(largest, sums, count, n_components):
    """Return the sum over the block's rows of largest + log(sums), one logarithm for many rows.

    Shapes: largest, sums (BLOCK,).
    """
    total = 0.0
    for i in range(count):
        total += largest[i]
    step = BLOCK if n_components <= FEW_COMPONENTS else ROWS_PER_LOG
    for first in range(0, count, step):
        product = 1.0
        for i in range(first, min(first + step, count)):
            product *= sums[i]
        total += np.log(product)
    return total


@kernel
def log_density(rows, components, start, stop, out):
    """Write the log density of rows start .. stop into out[start:stop].

    Shapes: rows Rows of (N, D); components of K; out (N,). A weight of 0 and -inf are fine.
    """
    n_components, n_features = components.means.shape
    scratch = aligned_blocks(n_features + n_components + 2)
    largest, sums = scratch[0], scratch[1]
    block, joint = scratch[2 : 2 + n_features], scratch[2 + n_features :]
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        load_block(rows, first, count, block)
        log_joint_block(block, components, joint, largest)
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
    scratch = aligned_blocks(n_features + n_components + 2)
    largest, sums = scratch[0], scratch[1]
    block, joint = scratch[2 : 2 + n_features], scratch[2 + n_features :]
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        load_block(rows, first, count, block)
        log_joint_block(block, components, joint, largest)
        exp_block(joint, largest, sums)
        normalise_block(joint, sums, count)
        for i in range(count):
            for j in range(n_components):
                out[first + i, j] = joint[j, i]
