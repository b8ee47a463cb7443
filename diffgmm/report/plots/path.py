"""BIC, ICL and held-out log likelihood along the path over numbers of components."""

from typing import Any

import numpy as np

from ...errors import InvalidParameterError
from ...learn.path import ComponentPath
from .canvas import PANEL, colour, fit_of, panels

LABELS = {
    "bic": "BIC (smaller is better)",
    "icl": "ICL (smaller is better)",
    "held_out": "held-out log density (nat per row)",
}


def plot_path(
    fit: Any, *, axes: Any = None, figsize: tuple[float, float] | None = None
) -> np.ndarray:
    """Plot BIC, ICL and held-out log density against the number of components.

    Parameters
    ----------
    fit : MixtureFit or ComponentPath
        A fit whose number of components was chosen (`n_components` None or a range).
    axes : array of three matplotlib Axes, optional
    figsize : (float, float), optional
        In inches.

    Returns
    -------
    ndarray of three matplotlib Axes

    Raises
    ------
    InvalidParameterError
        When the number of components was given.
    """
    path = fit if isinstance(fit, ComponentPath) else fit_of(fit).path
    if path is None:
        raise InvalidParameterError(
            "The fit has no path: its number of components was given. Fit with n_components=None "
            "or a range."
        )
    axes = panels(3, axes, figsize, (3.0 * PANEL + 0.6, PANEL - 0.1))
    for index, (ax, (criterion, label)) in enumerate(zip(axes, LABELS.items())):
        values, best = getattr(path, criterion), path.best(criterion)
        finite = np.isfinite(values)
        ax.plot(path.n_components[finite], values[finite], "o-", color=colour(index), markersize=4)
        ax.axvline(best, color="black", linewidth=0.9, linestyle=":")
        ax.set_title(f"best: {best}", fontsize="medium")
        ax.set_ylabel(label)
        ax.set_xlabel("number of components")
        ax.xaxis.get_major_locator().set_params(integer=True)
    return axes
