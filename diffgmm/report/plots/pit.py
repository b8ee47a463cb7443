"""Whether predictions are calibrated: empirical distributions of PIT numbers against uniform."""

from typing import Any, Unpack

import numpy as np

from ...errors import InvalidParameterError
from ...geometry.bands import simultaneous_band
from ..calibration import loo_pit
from ..draws import VariableNames
from .canvas import GREY, PANEL, colour, panels, pyplot

N_POINTS = 100
PROBABILITY = 0.95

MOST_COLUMNS = 3
MOST_FEATURES = 11
PANEL_HEIGHT = 2.4


def plot_pit(
    idata: Any,
    X: Any = None,
    *,
    axes: Any = None,
    figsize: tuple[float, float] | None = None,
    **names: Unpack[VariableNames],
) -> np.ndarray:
    """Plot how far the leave-one-out PIT numbers of every feature are from uniform.

    One panel for each feature, and one for all features together (Rosenblatt's transform): the
    empirical distribution function less the uniform one. Calibrated predictions stay within the
    grey band, everywhere at once in 95 % of data sets. Above it on the left: predictions too
    narrow or too high; a wave from below to above: too wide.

    Parameters
    ----------
    idata : arviz.InferenceData, xarray.DataTree, MixtureFit, or what `loo_pit` returned
    X : array-like, shape (N, D), optional
        Those of `observed_data` when not given.
    axes : D + 1 matplotlib Axes, 1 for a single feature, optional
    figsize : (float, float), optional
        In inches.
    **names
        weights, means, covariances, scales, cluster_dim: as in `diffgmm.relabel`.

    Returns
    -------
    ndarray of matplotlib Axes

    Raises
    ------
    InvalidParameterError, InvalidDataError
        When a variable or the rows are missing, or axes are not as many as panels.
    """
    pyplot()
    ready = hasattr(idata, "data_vars") and "pit" in idata
    found = idata if ready else loo_pit(idata, X, **names)
    features = [str(name) for name in found["feature"].values]
    if len(features) > MOST_FEATURES:
        raise InvalidParameterError(
            f"The picture has room for {MOST_FEATURES} features, not {len(features)}. Give what "
            "loo_pit returned, with some of them: found.isel(feature=[0, 1])."
        )
    numbers = {name: found["pit"].values[:, d] for d, name in enumerate(features)}
    if len(features) > 1:
        numbers["all features (Rosenblatt)"] = found["joint"].values
    axes = _axes(len(numbers), axes, figsize)
    points = np.linspace(0.0, 1.0, N_POINTS + 2)[1:-1]
    low, high = simultaneous_band(found.sizes["obs_id"], points, PROBABILITY)
    for ax, (name, own) in zip(axes, numbers.items()):
        share = np.searchsorted(np.sort(own), points, side="right") / len(own)
        outside = (share < low) | (share > high)
        ax.fill_between(points, low - points, high - points, color=GREY, alpha=0.25, linewidth=0)
        ax.axhline(0.0, color="black", linewidth=0.7)
        ax.plot(points, share - points, color=colour(0), linewidth=1.4, drawstyle="steps-mid")
        ax.plot(points[outside], (share - points)[outside], ".", color=colour(1), markersize=5)
        ax.set_title(name, fontsize="medium")
        ax.set_xlabel("PIT")
        ax.set_xlim(0.0, 1.0)
        ax.set_xticks([0.0, 0.5, 1.0], ["0", "0.5", "1"])
    axes[0].set_ylabel("ECDF − uniform")
    return axes


def _axes(n: int, axes: Any, figsize: tuple[float, float] | None) -> np.ndarray:
    """Return n panels, new ones in rows of three."""
    if axes is not None:
        return panels(n, axes, figsize, (PANEL, PANEL))
    columns = min(n, MOST_COLUMNS)
    rows = -(-n // columns)
    size = (2.7 * columns + 0.6, PANEL_HEIGHT * rows + 0.2)
    _, axes = pyplot().subplots(
        rows, columns, figsize=figsize or size, squeeze=False, sharey=True, layout="constrained"
    )
    for ax in axes.ravel()[n:]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("ECDF − uniform")
    return axes.ravel()[:n]
