"""Small linear algebra that the covariance families share."""

from functools import lru_cache

import numpy as np

from .kernels import draws

# Smallest eigenvalue of a fitted covariance, in the units of the scaled data: 1e-4 standard
# deviations. Below it a component has collapsed onto a point or a plane.
EIGENVALUE_FLOOR = 1e-8

# Matrices up to this size are factored in a kernel and inverted whole: what NumPy's calls and
# halves cost in Python is more than the work.
LARGEST_WHOLE = 16

# Triangles kept: a process meets few numbers of features.
SIZES_KEPT = 16


@lru_cache(SIZES_KEPT)
def _lower_triangle(d: int) -> np.ndarray:
    return np.tri(d, dtype=bool)


def symmetric(lower: np.ndarray) -> np.ndarray:
    """Return matrices (..., D, D) whose lower triangle is that of `lower`."""
    return np.where(_lower_triangle(lower.shape[-1]), lower, lower.swapaxes(-1, -2))


def inverse_lower(matrices: np.ndarray) -> np.ndarray:
    """Return the inverses of lower triangular matrices (..., D, D), exact zeros above included.

    By halves, [[A, 0], [B, C]]^-1 = [[A^-1, 0], [-C^-1 B A^-1, C^-1]]: LAPACK's general inverse
    does six times the work, which is seen in an EM pass from D = 50 on.
    """
    d = matrices.shape[-1]
    if d <= LARGEST_WHOLE:
        return np.tril(np.linalg.inv(matrices))
    half = d // 2
    inverse = np.zeros_like(matrices)
    top = inverse_lower(matrices[..., :half, :half])
    bottom = inverse_lower(matrices[..., half:, half:])
    inverse[..., :half, :half] = top
    inverse[..., half:, half:] = bottom
    inverse[..., half:, :half] = -bottom @ (matrices[..., half:, :half] @ top)
    return inverse


def inverse_cholesky(covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return lower W with W S W' = I, and log |S|, for positive definite S (..., D, D).

    Raises
    ------
    numpy.linalg.LinAlgError
        When a matrix is not positive definite.
    """
    if _is_small(covariances):
        return _whitened(covariances)
    cholesky, log_determinants = _cholesky(covariances)
    return inverse_lower(cholesky), log_determinants


def is_positive_definite(covariances: np.ndarray) -> bool:
    """Return whether all matrices (..., D, D) have a Cholesky factor."""
    try:
        if _is_small(covariances):
            _whitened(covariances)
        else:
            _cholesky(covariances)
    except np.linalg.LinAlgError:
        return False
    return True


def _is_small(covariances: np.ndarray) -> bool:
    """Whether matrices go to a kernel: NumPy's calls would take twenty times as long as the work."""
    return covariances.ndim == 3 and covariances.shape[-1] <= LARGEST_WHOLE


def _whitened(covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return lower W with W S W' = I, and log |S|, for small S (K, D, D)."""
    factors, log_determinants = np.empty(covariances.shape), np.empty(len(covariances))
    matrices = np.ascontiguousarray(covariances, float)
    if draws.whiten(matrices, np.inf, factors, log_determinants) > 0:
        raise np.linalg.LinAlgError("a covariance is not positive definite")
    return factors, log_determinants


def _cholesky(covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return lower L with L L' = S, and log |S|, for S (..., D, D)."""
    cholesky = np.linalg.cholesky(covariances)
    log_determinants = 2.0 * np.log(cholesky.diagonal(0, -2, -1)).sum(axis=-1)
    if not np.all(np.isfinite(log_determinants)):  # LAPACK lets NaN pass
        raise np.linalg.LinAlgError("a covariance is not finite")
    return cholesky, log_determinants


def inverse_roots(variances: np.ndarray) -> np.ndarray:
    """Return 1 / sqrt(variances); LinAlgError unless all are positive and finite."""
    if not (variances.min() > 0.0 and variances.max() < np.inf):  # NaN fails as well
        raise np.linalg.LinAlgError("a variance is not positive")
    return 1.0 / np.sqrt(variances)


def floor_eigenvalues(covariances: np.ndarray, floor: float = EIGENVALUE_FLOOR) -> np.ndarray:
    """Return covariances (K, D, D) whose eigenvalues are at least `floor`; others are unchanged."""
    if floor <= 0.0:
        return covariances
    # As `kernels.moments.write_covariances`: a Cholesky factor of what is left without the floor.
    if is_positive_definite(covariances - floor * np.eye(covariances.shape[-1])):
        return covariances
    values, vectors = np.linalg.eigh(covariances)
    low = values[:, 0] < floor
    if not low.any():
        return covariances
    floored = covariances.copy()
    kept = np.maximum(values[low], floor)
    floored[low] = np.einsum("kab,kb,kcb->kac", vectors[low], kept, vectors[low])
    return floored
