"""The predictive density: a curve with its uncertainty, or contours that hold given shares."""

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from ...posterior.mixture_draws import MixtureDraws
from ..draws import VariableNames
from .canvas import colour, pyplot
from .subject import (
    Subject,
    corner,
    curve,
    finish_corner,
    head,
    histogram,
    limits_of,
    panels_of,
    scatter,
    subject_of,
)

# Shares of the probability that the contours hold.
SHARES = (0.95, 0.8, 0.5, 0.2)

# Draws that are averaged, points on each side of a grid, and of a curve.
N_DRAWS = 100
N_GRID = 90
N_CURVE = 400

# Points whose densities' quantiles are the contours' heights.
N_LEVEL_POINTS = 4000


def plot_density(
    idata: Any,
    X: Any = None,
    *,
    features: Sequence[int | str] | None = None,
    n_draws: int = N_DRAWS,
    axes: Any = None,
    figsize: tuple[float, float] | None = None,
    **names: Unpack[VariableNames],
) -> np.ndarray:
    """Plot the posterior predictive density of one feature, two, or a corner of more.

    One feature: the mean density and its 94 % interval, over a histogram of the rows. Two: contours
    of the mean density that hold 20, 50, 80 and 95 % of the probability.

    Parameters
    ----------
    idata : arviz.InferenceData, xarray.DataTree or MixtureFit
        Of any library. A fit is shown by its mixture.
    X : array-like, shape (N, D), optional
        Rows; those of `observed_data` when not given.
    features : names or numbers, optional
        Those shown, at most 6; all of them by default.
    n_draws : int, default 100
        Draws that are averaged.
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
        When a variable is missing, or features or axes are not what they must be.
    """
    subject = subject_of(idata, X, names, features=features, draws=n_draws, labelled=False)
    axes = corner(subject.names, axes, figsize)
    for ax, own in panels_of(subject, axes):
        draw = _draw_contours if len(own) == 2 else _draw_curve
        draw(ax, subject, own, limits_of(subject)[list(own)])
    finish_corner(axes, subject.names, limits_of(subject))
    if len(subject.names) == 1:
        title = "Predictive density and 94 % interval"
        axes[0, 0].set_ylabel("density")
    else:
        title = "Predictive density: 20, 50, 80, 95 % regions"
    head(axes, title if subject.mixtures.n_draws > 1 else title.replace("Predictive d", "D"))
    return axes


def region_heights(mixtures: MixtureDraws, shares: Sequence[float]) -> np.ndarray:
    """Return heights above which the mean density holds `shares` of the probability.

    Hyndman (1996), doi:10.1080/00031305.1996.10474359: quantiles of the density at draws.
    """
    rng = np.random.default_rng(0)  # of the height of a contour, which is not data
    s = rng.integers(mixtures.n_draws, size=N_LEVEL_POINTS)
    cumulative = np.cumsum(mixtures.weights[s], axis=1)
    uniform = rng.random(N_LEVEL_POINTS) * cumulative[:, -1]
    k = (uniform[:, None] >= cumulative[:, :-1]).sum(axis=1)
    roots = np.linalg.cholesky(mixtures.covariances[s, k])
    normals = rng.standard_normal((N_LEVEL_POINTS, mixtures.n_features))
    points = mixtures.means[s, k] + np.einsum("nab,nb->na", roots, normals)
    heights = np.exp(mixtures.log_density(points)).mean(axis=0)
    return np.quantile(heights, [1.0 - share for share in shares])


def _draw_contours(ax: Any, subject: Subject, pair: tuple[int, ...], limits: np.ndarray) -> None:
    part = subject.mixtures.marginal(list(pair))
    a, b = (np.linspace(own[0], own[1], N_GRID) for own in limits)
    rows = np.column_stack([own.ravel() for own in np.meshgrid(a, b)])
    density = np.exp(part.log_density(rows)).mean(axis=0).reshape(N_GRID, N_GRID)
    heights = np.unique(region_heights(part, SHARES))
    top = max(float(density.max()), heights[-1]) * 1.01
    shades = pyplot().get_cmap("Blues")(np.linspace(0.12, 0.6, len(heights)))
    ax.contourf(a, b, density, [*heights, top], colors=shades)
    ax.contour(a, b, density, heights, colors=colour(0), linewidths=0.7)
    scatter(ax, subject, pair)


def _draw_curve(ax: Any, subject: Subject, own: tuple[int, ...], limits: np.ndarray) -> None:
    part = subject.mixtures.marginal(list(own))
    x = np.linspace(limits[0, 0], limits[0, 1], N_CURVE)
    density = np.exp(part.log_density(x[:, None]))
    histogram(ax, subject, own)
    curve(ax, x, density)
