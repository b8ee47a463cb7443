"""Components as ellipses over the rows, with their posterior uncertainty."""

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from ..draws import VariableNames
from .canvas import colour, line_style
from .subject import (
    Subject,
    corner,
    curve,
    finish_corner,
    head,
    histogram,
    limits_of,
    panels_of,
    place_labels,
    scatter,
    subject_of,
)

# An ellipse of 2 standard deviations holds 86 % of a Gaussian's mass in two dimensions.
STANDARD_DEVIATIONS = 2.0
N_ELLIPSES = 60
N_POINTS = 100


def plot_components(
    idata: Any,
    X: Any = None,
    *,
    features: Sequence[int | str] | None = None,
    n_draws: int = N_ELLIPSES,
    axes: Any = None,
    figsize: tuple[float, float] | None = None,
    **names: Unpack[VariableNames],
) -> np.ndarray:
    """Plot every component's ellipse of 2 standard deviations, of many draws and on average.

    A thin ellipse is one draw, a thick one has the mean of the draws' parameters. One feature:
    weighted densities over a histogram. Three or more: a corner of all planes.

    Parameters
    ----------
    idata : arviz.InferenceData, xarray.DataTree or MixtureFit
        Of any library; labels are aligned first where nothing says that they are.
    X : array-like, shape (N, D), optional
        Rows; those of `observed_data` when not given.
    features : names or numbers, optional
        Those shown, at most 6; all of them by default.
    n_draws : int, default 60
    axes : matplotlib Axes, or D by D of them for D > 2 features, optional
    figsize : (float, float), optional
        In inches.
    **names
        weights, means, covariances, scales, cluster_dim: as in `diffgmm.relabel`.

    Returns
    -------
    ndarray of matplotlib Axes, shape (1, 1) or (D, D)

    Raises
    ------
    InvalidParameterError, InvalidDataError
        When a variable is missing, K is unknown, or features or axes are not what they must be.
    """
    subject = subject_of(idata, X, names, features=features, draws=n_draws)
    axes = corner(subject.names, axes, figsize)
    for ax, own in panels_of(subject, axes):
        draw = _draw_plane if len(own) == 2 else _draw_line
        draw(ax, subject, own, limits_of(subject)[list(own)])
    finish_corner(axes, subject.names, limits_of(subject))
    many = subject.mixtures.n_draws > 1
    what = "weighted densities" if len(subject.names) == 1 else "2-sd ellipses"
    head(axes, f"Components: {what}" + (f" of {subject.mixtures.n_draws} draws" if many else ""))
    texts = [str(label) for label in subject.cluster]
    for ax, own in panels_of(subject, axes):
        if len(own) == 2 and subject.mixtures.n_components > 1:
            centres = subject.mixtures.means.mean(axis=0)[:, list(own)]
            size = 8.5 if len(axes) == 1 else 6.5
            place_labels(ax, centres, texts, range(len(texts)), size)
    return axes


def ellipse(means: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Return points (..., n, 2) at 2 standard deviations around means (..., 2)."""
    angle = np.linspace(0.0, 2.0 * np.pi, N_POINTS)
    circle = STANDARD_DEVIATIONS * np.column_stack([np.cos(angle), np.sin(angle)])
    roots = np.linalg.cholesky(covariances)
    return means[..., None, :] + np.einsum("...ab,nb->...na", roots, circle)


def _draw_plane(ax: Any, subject: Subject, pair: tuple[int, ...], limits: np.ndarray) -> None:
    from matplotlib.collections import LineCollection

    scatter(ax, subject, pair)
    own = subject.mixtures.marginal(list(pair))
    faint = min(0.5, 6.0 / own.n_draws)
    for k in range(own.n_components):
        # A component that has next to no rows is everywhere: its ellipses would hide the others.
        share = float(own.weights[:, k].mean())
        alpha = faint * min(1.0, 10.0 * share * own.n_components)
        many = ellipse(own.means[:, k], own.covariances[:, k])
        ax.add_collection(
            LineCollection(list(many), colors=colour(k), alpha=alpha, linewidths=0.8), autolim=False
        )
        mean = ellipse(own.means[:, k].mean(axis=0), own.covariances[:, k].mean(axis=0))
        ax.plot(*mean.T, color=colour(k), linestyle=line_style(k), linewidth=1.7, zorder=4)


def _draw_line(ax: Any, subject: Subject, own: tuple[int, ...], limits: np.ndarray) -> None:
    """Draw weighted densities of the components of one feature over a histogram of the rows."""
    part = subject.mixtures.marginal(list(own))
    x = np.linspace(limits[0, 0], limits[0, 1], 400)
    sds = np.sqrt(part.covariances[:, :, 0, 0])
    white = (x - part.means) / sds[..., None]
    density = part.weights[..., None] * np.exp(-0.5 * white**2) / sds[..., None]
    density /= np.sqrt(2.0 * np.pi)
    histogram(ax, subject, own)
    for k in range(part.n_components):
        curve(ax, x, density[:, k], k, f"component {subject.cluster[k]}")
    if len(subject.names) == 1:
        ax.set_ylabel("density")
        ax.legend(fontsize="small", frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02))
