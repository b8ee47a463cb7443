"""The tree of warm starts: how the centres of one noise level come from those above it."""

from typing import Any

import numpy as np

from ...errors import InvalidParameterError
from .canvas import PANEL, colour, fit_of, panels


def plot_warm_starts(
    fit: Any, *, axes: Any = None, figsize: tuple[float, float] | None = None
) -> np.ndarray:
    """Plot the centres of the Voronoi cells of every noise level, and where each came from.

    Across are the centres along the first principal axis of the lowest level's, downwards the noise
    falls. A line leads from each centre to the cell above in which it was found.

    Parameters
    ----------
    fit : MixtureFit
        Fitted with model="diffusion", gating="voronoi".
    axes : matplotlib Axes, optional
    figsize : (float, float), optional
        In inches.

    Returns
    -------
    ndarray with one matplotlib Axes

    Raises
    ------
    InvalidParameterError
        When the fit is not one with gating="voronoi".
    """
    model = fit_of(fit).score_model
    if not hasattr(model, "warm_starts"):
        raise InvalidParameterError(
            "The fit has no warm starts: fit with model='diffusion' and gating='voronoi'."
        )
    levels = model.warm_starts
    axis = _principal_axis(levels[-1][1])
    (ax,) = axes = panels(1, axes, figsize, (PANEL + 1.6, PANEL + 0.6))
    above = None
    for sigma, centres, parents in levels:
        across = centres @ axis
        if above is not None:
            upper_sigma, upper = above
            for place, parent in zip(across, parents):
                ax.plot(
                    [upper[parent], place], [upper_sigma, sigma], color=colour(0), linewidth=0.8
                )
        ax.scatter(across, np.full(len(across), sigma), s=12, color=colour(1), zorder=3)
        above = sigma, across
    ax.set_yscale("log")
    ax.set_xlabel("centres along their first principal axis")
    ax.set_ylabel("noise level σ (standardised)")
    ax.set_title(f"Warm starts: {len(levels[0][1])} to {len(levels[-1][1])} cells")
    return axes


def _principal_axis(centres: np.ndarray) -> np.ndarray:
    """Return the unit vector (D,) along which centres (J, D) differ most."""
    return np.linalg.svd(centres - centres.mean(axis=0), full_matrices=False)[2][0]
