"""Derivatives of a score model's score, in standardised units."""

from typing import TYPE_CHECKING

import numpy as np

from ..blocks import RowBlocks
from ..kernels import derivatives
from ..kernels.bundles import Rows
from .polynomials import slopes

if TYPE_CHECKING:
    from .score_model import ScoreModel


def score_and_divergence(
    model: "ScoreModel", rows: Rows, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the score (N, D) and its divergence (N,), the latter in the user's units.

    The divergence weighs the features' own derivatives by 1 / scale^2.
    """
    n, d = rows.values.shape
    out, metric = (np.empty((n, d)), np.empty(n)), model.scale**-2.0
    components, pulls = model.spectrum.components(sigma), model.spectrum.pulls(sigma)
    polynomials = model.score_polynomials(sigma)
    steepness = slopes(np.swapaxes(polynomials, 1, 2))
    # Factors W_j (K, D, D), whatever the family: S_j^-1 = W_j' W_j.
    factors = np.swapaxes(pulls, 1, 2) if pulls.ndim == 3 else pulls[:, :, None] * np.eye(d)
    traces = (
        metric,
        np.einsum("jba,jba,a->j", factors, factors, metric),
        np.ascontiguousarray(np.einsum("jbqa,jba,a->jbq", steepness, factors, metric)),
    )
    RowBlocks(n, d).map(
        lambda start, stop: derivatives.score_and_divergence(
            rows, components, -pulls, polynomials, traces, start, stop, out
        )
    )
    return out


def jacobian(model: "ScoreModel", rows: Rows, sigma: float) -> np.ndarray:
    """Return the Jacobian of the score in standardised units, (N, D, D)."""
    n, d = rows.values.shape
    out = np.empty((n, d, d))
    components, pulls = model.spectrum.components(sigma), model.spectrum.pulls(sigma)
    polynomials = model.score_polynomials(sigma)
    steepness = slopes(np.swapaxes(polynomials, 1, 2))
    steepness = np.ascontiguousarray(np.swapaxes(steepness, 2, 3))
    RowBlocks(n, d).map(
        lambda start, stop: derivatives.jacobian(
            rows, components, -pulls, polynomials, steepness, start, stop, out
        )
    )
    return out
