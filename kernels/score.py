"""Score of a mixture with full covariances, a block of rows at a time."""

from . import _vectors
from ._compile import BLOCK, aligned_blocks, kernel
from ._vectors import EXPLICIT
from .gaussian import exp_block, load_block, log_joint_block, normalise_block

# Responsibilities up to here are taken for 0 where all rows of a tile have them: what they would
# add to a score is far below its rounding errors, of 2^-53.
NEGLIGIBLE = 2.0**-60


@kernel
def add_pulls(factors, white, gates, out):
    """Add -sum_j gate_ij W_j' u_ij to `out`.

    Shapes: factors W (K, D, D), lower triangular; white u (K, D, BLOCK); gates (K, BLOCK);
    out (D, BLOCK).
    """
    if EXPLICIT:
        _vectors.add_pulls(factors, white, gates, out, NEGLIGIBLE)
    else:
        for j in range(gates.shape[0]):
            for i in range(BLOCK):
                if not gates[j, i] <= NEGLIGIBLE:  # NaN passes
                    for a in range(out.shape[0]):
                        total = 0.0
                        for b in range(a, out.shape[0]):
                            total += factors[j, b, a] * white[j, b, i]
                        out[a, i] -= gates[j, i] * total


@kernel
def mixture_score(rows, components, start, stop, out):
    """Write the score of rows start .. stop into out[start:stop].

    Shapes: rows Rows of (N, D); components of K, with full factors; out (N, D).
    Equation: -sum_j p(j | x) W_j' u_j with the whitened rows u_j = W_j (x - m_j), of which the log
    densities are made as well: two triangular products for each component, not one and a square
    one by W_j' W_j.
    """
    n_components, n_features = components.means.shape
    scratch = aligned_blocks((n_components + 2) * n_features + n_components + 2)
    largest, sums = scratch[0], scratch[1]
    block, rest = scratch[2 : 2 + n_features], scratch[2 + n_features :]
    result, rest = rest[:n_features], rest[n_features:]
    joint, rest = rest[:n_components], rest[n_components:]
    white = rest.reshape(n_components, n_features, BLOCK)
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        load_block(rows, first, count, block)
        log_joint_block(block, components, joint, largest, white)
        exp_block(joint, largest, sums)
        normalise_block(joint, sums, count)
        for a in range(n_features):
            for i in range(BLOCK):
                result[a, i] = 0.0
        add_pulls(components.factors, white, joint, result)
        for i in range(count):
            for a in range(n_features):
                out[first + i, a] = result[a, i]
