"""Densities of many draws at a few rows, and quantities that do not depend on labels."""

import math

import numpy as np

from ..covariance import LOG_2PI
from ..data import Data, raw_rows
from ..kernels import draws
from ..learn.search import Units

# Rows used to find the principal axis.
ROWS_FOR_AXIS = 65_536

# Rows at which the log density of every draw is kept.
N_ANCHORS = 5


def log_constants(weights: np.ndarray, factors: np.ndarray, d: int) -> np.ndarray:
    """Return log weight + log |W| - D/2 log(2 pi), shape (..., K).

    Parameters
    ----------
    weights : ndarray, shape (..., K)
    factors : ndarray, shape (..., K, D, D), (..., K, D) or (..., K)
        Whitening factors W, with W'W the precision.
    d : int
        Number of features D.
    """
    extra = factors.ndim - weights.ndim
    if extra == 2:
        diagonal = np.diagonal(factors, axis1=-2, axis2=-1)
    else:
        diagonal = factors if extra == 1 else factors[..., None]
    # One number stands for all features.
    log_det = np.log(diagonal).sum(axis=-1) * (d // diagonal.shape[-1])
    with np.errstate(divide="ignore"):
        return np.log(weights) + log_det - 0.5 * d * LOG_2PI


def log_densities(
    weights: np.ndarray, means: np.ndarray, factors: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """Return the mixture's log density at every point (R, D) for every draw, shape (S, R)."""
    out = np.empty((len(weights), len(points)))
    constants = log_constants(weights, factors, points.shape[1])
    draws.log_densities(
        raw_rows(points), constants, contiguous(means), contiguous(factors), 0, len(points), out
    )
    return out


def probabilities(
    constants: np.ndarray, means: np.ndarray, factors: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """Return p(component | point) at every point (R, D) for every draw, single precision, shape (S, K, R).

    constants : (S, K), those of `log_constants`.
    """
    (s, k), n = constants.shape, len(points)
    out = np.empty((s, k, n), dtype=np.float32)
    own = (contiguous(array) for array in (constants, means, factors))
    draws.gains(raw_rows(points), *own, np.empty((k, 0)), np.empty((0, k, k)), out)
    return out


def contiguous(array: np.ndarray) -> np.ndarray:
    """Return the array as kernels want it."""
    return np.ascontiguousarray(array, dtype=float)


def weight_entropy(weights: np.ndarray) -> np.ndarray:
    """Return the entropy of the weights (..., K), in nats."""
    return -(weights * np.log(weights)).sum(axis=-1)


def spread_rows(data: Data, units: Units, n: int) -> np.ndarray:
    """Return indices of up to n rows, evenly spread along the first principal axis.

    Rows are ranked by their projection and taken at the middles of n equal parts.
    """
    stride = math.ceil(data.n_rows / ROWS_FOR_AXIS)
    rows = np.arange(0, data.n_rows, stride)
    values = (np.asarray(data.values[::stride], dtype=float) - units.shift) / units.scale
    centred = values - values.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    axis = vectors[:, -1]
    axis = axis * np.sign(axis[np.argmax(np.abs(axis))])  # the sign is arbitrary otherwise
    ranked = np.argsort(centred @ axis, kind="stable")
    n = min(n, len(rows))
    middles = ((np.arange(n) + 0.5) / n * len(rows)).astype(int)
    return rows[ranked[middles]]


def points_of(data: Data, units: Units, rows: np.ndarray) -> np.ndarray:
    """Return the rows numbered `rows` in the units of the computation."""
    values = np.asarray(data.values[rows], dtype=float)
    return (values - units.shift) / units.scale
