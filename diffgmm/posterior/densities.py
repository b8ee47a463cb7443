"""Densities of many draws at a few rows, and quantities that do not depend on labels."""

import math

import numpy as np

from ..covariance import LOG_2PI
from ..data import Data
from ..learn.search import Units

# Rows used to find the principal axis.
ROWS_FOR_AXIS = 65_536

# Rows at which the log density of every draw is kept.
N_ANCHORS = 5

# Draws whose densities are computed together.
DRAWS_PER_CHUNK = 512


def component_log_densities(
    weights: np.ndarray, means: np.ndarray, factors: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """Return log weight_k + log N(point_r; component k) of every draw.

    Parameters
    ----------
    weights : ndarray, shape (S, K)
    means : ndarray, shape (S, K, D)
    factors : ndarray, shape (S, K, D, D), (S, K, D) or (S, K)
        Whitening factors W, with W'W the precision.
    points : ndarray, shape (R, D)

    Returns
    -------
    ndarray, shape (S, K, R)
    """
    d = points.shape[1]
    if factors.ndim == 4:
        # W x - W m: one matrix product for all points.
        white = factors @ points.T
        white -= np.einsum("skab,skb->ska", factors, means)[..., None]
        log_det = np.log(np.diagonal(factors, axis1=-2, axis2=-1)).sum(axis=-1)
    else:
        white = points.T - means[..., None]
        diagonal = factors if factors.ndim == 3 else factors[..., None]
        white *= diagonal[..., None]
        # One number stands for all features.
        log_det = np.log(diagonal).sum(axis=-1) * (d // diagonal.shape[-1])
    norms = np.einsum("skar,skar->skr", white, white)
    constants = np.log(weights) + log_det - 0.5 * d * LOG_2PI
    return constants[..., None] - 0.5 * norms


def log_densities(
    weights: np.ndarray, means: np.ndarray, factors: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """Return the mixture's log density at every point, shape (S, R), for draws as above."""
    out = np.empty((len(weights), len(points)))
    for start in range(0, len(weights), DRAWS_PER_CHUNK):
        own = slice(start, start + DRAWS_PER_CHUNK)
        joint = component_log_densities(weights[own], means[own], factors[own], points)
        top = joint.max(axis=1)
        out[own] = top + np.log(np.exp(joint - top[:, None]).sum(axis=1))
    return out


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
