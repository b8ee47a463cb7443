"""Densities, responsibilities and labels from the attributes of a fitted estimator."""

import numpy as np

from ..blocks import RowBlocks
from ..covariance import LOG_2PI
from ..data import raw_rows
from ..kernels import gaussian
from ..kernels.bundles import Components


def components_of(
    weights: np.ndarray, means: np.ndarray, roots: np.ndarray, covariance_type: str
) -> Components:
    """Return what kernels need, from the three attributes that scikit-learn reads as well.

    Parameters
    ----------
    weights : ndarray, shape (K,)
    means : ndarray, shape (K, D)
    roots : ndarray
        `precisions_cholesky_`, in the shape of `covariance_type`.
    covariance_type : {"full", "tied", "diag", "spherical"}
    """
    weights, means, roots = (np.array(part, dtype=float) for part in (weights, means, roots))
    n_components, n_features = means.shape
    if covariance_type in ("full", "tied"):
        shape = (n_components, n_features, n_features)
        factors = lower_factors(np.broadcast_to(roots, shape))
        log_roots = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    else:
        factors = roots
        log_roots = np.log(roots).sum(axis=1) if roots.ndim == 2 else n_features * np.log(roots)
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)
    constants = log_weights + log_roots - 0.5 * n_features * LOG_2PI
    return Components(constants, means, np.ascontiguousarray(factors))


def lower_factors(roots: np.ndarray) -> np.ndarray:
    """Return lower triangular W with W' W = U U' for roots U (K, D, D) of precisions.

    scikit-learn's own roots are upper triangular, and then W = U'; roots set by hand may not be.
    """
    if not np.tril(roots, -1).any():
        return np.swapaxes(roots, 1, 2)
    precisions = roots @ np.swapaxes(roots, 1, 2)
    flipped = np.linalg.cholesky(precisions[:, ::-1, ::-1])
    return np.swapaxes(flipped[:, ::-1, ::-1], 1, 2)


def log_density(values: np.ndarray, components: Components) -> np.ndarray:
    """Return the log density of every row of `values` (N, D), shape (N,)."""
    out, rows = np.empty(len(values)), raw_rows(values)
    RowBlocks(*values.shape).map(
        lambda start, stop: gaussian.log_density(rows, components, start, stop, out)
    )
    return out


def responsibilities(values: np.ndarray, components: Components) -> np.ndarray:
    """Return p(component | row) for every row of `values` (N, D), shape (N, K)."""
    out, rows = np.empty((len(values), len(components.means))), raw_rows(values)
    RowBlocks(*values.shape).map(
        lambda start, stop: gaussian.responsibilities(rows, components, start, stop, out)
    )
    return out


def labels(values: np.ndarray, components: Components) -> np.ndarray:
    """Return the most probable component of every row of `values` (N, D), shape (N,)."""
    out, rows = np.empty(len(values), dtype=np.int64), raw_rows(values)

    def label(start: int, stop: int) -> None:
        own = np.empty((stop - start, len(components.means)))
        chunk = rows._replace(values=rows.values[start:stop])
        gaussian.responsibilities(chunk, components, 0, stop - start, own)
        out[start:stop] = own.argmax(axis=1)

    RowBlocks(*values.shape).map(label)
    return out
