"""The misfit check that InferenceData keep, as a heat map of noise level by component."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InvalidParameterError
from ..inference_data import as_tree
from ..misfit import MisfitReport
from ..misfit_plot import Cells, draw_misfit
from .canvas import panels, pyplot


@dataclass(frozen=True, eq=False)
class _Group:
    """The group `misfit`, with all components together in the last column."""

    p_value: float
    noise_levels: np.ndarray
    z: np.ndarray
    p_adjusted: np.ndarray

    @property
    def n_components(self) -> int:
        return self.z.shape[1] - 1


def plot_misfit(
    idata: Any, *, axes: Any = None, figsize: tuple[float, float] | None = None
) -> np.ndarray:
    """Plot where a Gaussian mixture does not fit: noise level by component.

    Parameters
    ----------
    idata : arviz.InferenceData, xarray.DataTree or MisfitReport
        With a group misfit, which `diffgmm.compute_misfit` adds; or what `diffgmm.check` returned.
    axes : matplotlib Axes, optional
    figsize : (float, float), optional
        In inches.

    Returns
    -------
    ndarray with one matplotlib Axes

    Raises
    ------
    InvalidParameterError
        When there is no group misfit.
    """
    pyplot()
    cells = idata if isinstance(idata, MisfitReport) else _of_group(idata)
    ax = None if axes is None else panels(1, axes, None, (1.0, 1.0))[0]
    return np.array([draw_misfit(cells, ax, figsize)], dtype=object)


def _of_group(idata: Any) -> Cells:
    tree = as_tree(idata)
    if not hasattr(tree, "children") or "misfit" not in tree.children:
        raise InvalidParameterError(
            "The picture needs InferenceData or a DataTree with a group misfit (call "
            f"diffgmm.compute_misfit first) or a MisfitReport, got {type(idata).__name__}."
        )
    group = tree["misfit"].to_dataset()
    z, p = (
        np.column_stack([group[name].values, group[f"{name}_all"].values])
        for name in ("z", "p_adjusted")
    )
    return _Group(float(group.attrs["p_value"]), group["noise_level"].values, z, p)
