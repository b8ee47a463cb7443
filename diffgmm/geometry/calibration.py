"""Probability integral transforms of rows under mixtures, by the mixtures' own distributions."""

from dataclasses import dataclass

import numpy as np

from ..blocks import RowBlocks


@dataclass(frozen=True, eq=False)
class Transforms:
    """Numbers between 0 and 1 that are uniform if rows come from the predictive distribution.

    marginal : (N, D), F_d(x_d).   rosenblatt : (N, D), F(x_d | x_1, ..., x_{d-1}); independent.
    """

    marginal: np.ndarray
    rosenblatt: np.ndarray


def predictive_transforms(
    weights: np.ndarray,
    means: np.ndarray,
    covariances: np.ndarray,
    values: np.ndarray,
    log_draw_weights: np.ndarray,
) -> Transforms:
    """Return the transforms of rows under weighted averages of S mixtures.

    Parameters
    ----------
    weights : ndarray, shape (S, K)
    means : ndarray, shape (S, K, D)
    covariances : ndarray, shape (S, K, D, D)
    values : ndarray, shape (N, D)
        In the units of the means.
    log_draw_weights : ndarray, shape (S, N)
        Of each draw for each row, such as those of PSIS; need not be normalised.

    Notes
    -----
    With z_k = L_k^-1 (x - m_k), L_k lower triangular, component k's distribution of x_d given those
    before it is that of a standard normal at z_kd, and its probability given those before it is
    proportional to w_k prod_{j<d} phi(z_kj) / L_kjj. No draws of data are needed.

    References
    ----------
    Rosenblatt (1952), doi:10.1214/aoms/1177729394; Gneiting, Balabdaoui, Raftery (2007),
    doi:10.1111/j.1467-9868.2007.00587.x.
    """
    factors = np.tril(np.linalg.inv(np.linalg.cholesky(covariances)))
    sds = np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)
    out = Transforms(np.empty(values.shape), np.empty(values.shape))
    mixtures = (log_weights, means, sds, factors)

    def work(start: int, stop: int) -> None:
        own = np.asarray(values[start:stop], dtype=float)
        marginal, rosenblatt = _of_block(mixtures, own, log_draw_weights[:, start:stop])
        out.marginal[start:stop], out.rosenblatt[start:stop] = marginal, rosenblatt

    RowBlocks(*values.shape).map(work)
    return out


def _of_block(
    mixtures: tuple[np.ndarray, ...], x: np.ndarray, log_draw_weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return marginal and Rosenblatt transforms of some rows, (n, D) each."""
    from scipy.special import ndtr

    log_share = log_draw_weights - np.logaddexp.reduce(log_draw_weights, axis=0)
    marginal = np.zeros(x.shape)
    below, total = np.full(x.shape, -np.inf), np.full(x.shape, -np.inf)
    for s, (log_w, means, sds, factors) in enumerate(zip(*mixtures)):
        gap = x[:, None] - means
        inside = np.einsum("k,nkd->nd", np.exp(log_w), ndtr(gap / sds))
        marginal += np.exp(log_share[s])[:, None] * inside
        white = np.einsum("kab,nkb->nka", factors, gap)
        joint = np.broadcast_to(log_w, white.shape[:2])
        for d in range(x.shape[1]):
            top = joint.max(axis=1)
            share = np.exp(joint - top[:, None])
            at = log_share[s] + top
            with np.errstate(divide="ignore"):  # nothing of a mixture may lie below a row
                under = at + np.log((share * ndtr(white[:, :, d])).sum(axis=1))
            total[:, d] = np.logaddexp(total[:, d], at + np.log(share.sum(axis=1)))
            below[:, d] = np.logaddexp(below[:, d], under)
            joint = joint + np.log(factors[:, d, d]) - 0.5 * white[:, :, d] ** 2
    rosenblatt = np.exp(np.minimum(below - total, 0.0))
    return np.clip(marginal, 0.0, 1.0), rosenblatt
