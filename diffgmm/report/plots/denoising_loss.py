"""What the residual gains on held-out rows, by noise level."""

from typing import Any

import numpy as np

from ...diffusion import ScoreModel
from ...errors import InvalidParameterError
from .canvas import PANEL, colour, fit_of, line_style, panels


def plot_denoising_loss(
    fit: Any, *, axes: Any = None, figsize: tuple[float, float] | None = None
) -> np.ndarray:
    """Plot the share of the held-out denoising error that the residual removes, by noise level.

    One line for each component; filled marks are cells where the residual was switched on.
    Below 0 the residual would do harm, and stays silent.

    Parameters
    ----------
    fit : MixtureFit
        Fitted with model="diffusion".
    axes : matplotlib Axes, optional
    figsize : (float, float), optional
        In inches.

    Returns
    -------
    ndarray with one matplotlib Axes

    Raises
    ------
    InvalidParameterError
        When the fit has no learned scores.
    """
    model = fit_of(fit).score_model
    if not isinstance(model, ScoreModel) or model.report is None:
        raise InvalidParameterError(
            "The fit has no held-out losses: fit with model='diffusion', and with at least 5 rows "
            "for each component."
        )
    (ax,) = axes = panels(1, axes, figsize, (PANEL + 2.0, PANEL + 0.2))
    percent, sigmas = 100.0 * model.report.gains, model.sigmas
    for k, gains in enumerate(percent.T):
        style = {"color": colour(k), "linestyle": line_style(k)}
        ax.plot(sigmas, gains, linewidth=1.4, label=f"component {k}", **style)
        for active, face in ((True, colour(k)), (False, "white")):
            chosen = model.active[:, k] == active
            ax.scatter(
                sigmas[chosen], gains[chosen], s=26, facecolors=face, edgecolors=colour(k), zorder=3
            )
    ax.axhline(0.0, color="black", linewidth=0.8)
    ax.set_xscale("log")
    ax.set_xlabel("noise level σ (standardised)")
    ax.set_ylabel("held-out error removed (%)")
    p = model.report.p_value
    ax.set_title(f"Residual beside the mixture, p = {p:.2g}")
    if not percent.any():  # every line is the axis: a legend of hidden lines tells nothing
        ax.text(0.5, 0.6, "the residual is 0 at every level", transform=ax.transAxes, ha="center")
        return axes
    ax.legend(fontsize="small", frameon=False, ncols=1 + (percent.shape[1] > 6))
    return axes
