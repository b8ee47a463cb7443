"""One cell's ridge regression: degree and penalty are those that predict left-out rows best."""

from collections.abc import Sequence

import numpy as np

# Ridge penalties per row; the paper bounds the coefficients instead. The polynomials are
# orthonormal, so that a penalty of 0.1 takes a tenth of a coefficient away.
RIDGES = (1e-3, 1e-2, 1e-1, 1.0)


def best_polynomial(
    gram: np.ndarray, right: np.ndarray, sizes: Sequence[int]
) -> tuple[int, np.ndarray]:
    """Return the degree and the coefficients of a cell's polynomial.

    Parameters
    ----------
    gram : ndarray, shape (F, p, p)
        Sums of phi phi' over the rows of each fold; polynomials in order of their degree, the
        first of them 1.
    right : ndarray, shape (F, D, p)
        Sums of t phi', t the target minus the cell's centre.
    sizes : sequence of int
        Numbers of polynomials of degree 0, 1, ... that may be tried, each at most p.

    Returns
    -------
    degree : int
    coefficients : ndarray, shape (D, p)
        0 beyond the degree; all 0 when nothing predicts better than the centre.
    """
    coefficients = np.zeros(right.shape[1:])
    least, best = 0.0, None
    whole_gram, whole_right = gram.sum(axis=0), right.sum(axis=0)
    for degree, p in enumerate(sizes):
        block, target = gram[:, :p, :p], right[:, :, :p]
        for ridge in RIDGES:
            fitted = _solve(whole_gram[:p, :p] - block, whole_right[:, :p] - target, ridge)
            # What |t - B phi|^2 is above |t|^2 on the fold that was left out.
            loss = float((fitted * (fitted @ block - 2.0 * target)).sum())
            if loss < least:
                least, best = loss, (degree, p, ridge)
    if best is None:
        return 0, coefficients
    degree, p, ridge = best
    coefficients[:, :p] = _solve(whole_gram[:p, :p], whole_right[:, :p], ridge)
    return degree, coefficients


def _solve(gram: np.ndarray, right: np.ndarray, ridge: float) -> np.ndarray:
    """Return B (..., D, p) with B (G + ridge n I) = right, n the sum of the weights."""
    p = gram.shape[-1]
    # A fold may hold all rows of the cell: then nothing is left, and B is 0.
    penalty = np.maximum(ridge * gram[..., :1, :1], np.finfo(float).tiny)
    solved = np.linalg.solve(gram + penalty * np.eye(p), np.swapaxes(right, -1, -2))
    return np.swapaxes(solved, -1, -2)
