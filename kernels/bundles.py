"""The two bundles of arrays that kernels receive.

A bundle has no behaviour: it only keeps argument lists short. `diffgmm.data` and
`diffgmm.covariance` build them; kernels trust what is in them.
"""

from typing import NamedTuple

import numpy as np


class Rows(NamedTuple):
    """Rows as the caller keeps them, and the affine map that kernels apply while copying a block.

    values : (N, D) float32 or float64, C-order, read-only.
    shift, inverse_scale : (D,); a kernel sees (values - shift) * inverse_scale.
    weights : (N,) row weights, or (0,) when every row counts once.
    """

    values: np.ndarray
    shift: np.ndarray
    inverse_scale: np.ndarray
    weights: np.ndarray


class Components(NamedTuple):
    """A mixture in the form that its log density needs.

    log_constants : (K,) log weight + log determinant of the whitening factor - D/2 log(2 pi).
    means : (K, D).
    factors : the whitening factors W_k, with (x - m_k)' S_k^-1 (x - m_k) = |W_k (x - m_k)|^2, by family:
        (K, D, D) lower triangular for full, (K, D) for a diagonal, (K,) for a multiple of the identity.
        The number of dimensions of this array selects the branch at compile time.
    """

    log_constants: np.ndarray
    means: np.ndarray
    factors: np.ndarray
