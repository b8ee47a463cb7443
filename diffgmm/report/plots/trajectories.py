"""Reverse trajectories: the way of draws from noise to data."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..._seeding import Seed
from ...arguments import check_count
from ...diffusion.trajectories import reverse_trajectories
from .canvas import PANEL, colour, label_plane, panels, plane, scatter_rows


def plot_trajectories(
    fit: Any,
    n: int = 40,
    *,
    features: Sequence[int | str] | None = None,
    X: Any = None,
    random_seed: Seed = None,
    axes: Any = None,
    figsize: tuple[float, float] | None = None,
) -> np.ndarray:
    """Plot the paths of draws along the probability-flow ODE, from noise (hollow) to data (filled).

    Parameters
    ----------
    fit : MixtureFit
        Of two features, or more with `features`.
    n : int, default 40
        Number of draws.
    features : two names or numbers, optional
        Of the plane shown.
    X : array-like, shape (N, D), optional
        Rows to show as well.
    random_seed : int, sequence of int, Generator or None
    axes : matplotlib Axes, optional
    figsize : (float, float), optional
        In inches.

    Returns
    -------
    ndarray with one matplotlib Axes

    Raises
    ------
    InvalidParameterError
        When this is no fit of two features, or features do not name two.
    """
    pair = plane(fit, (0, 1) if features is None else features)
    sigmas, paths = reverse_trajectories(fit.score_model, check_count("n", n), random_seed)
    (ax,) = axes = panels(1, axes, figsize, (PANEL + 1.2, PANEL + 0.8))
    scatter_rows(ax, fit, X, pair, zorder=1)
    a, b = paths[..., pair[0]], paths[..., pair[1]]
    ax.plot(a, b, color=colour(0), linewidth=0.8, alpha=0.7, zorder=2)
    ax.scatter(a[0], b[0], s=14, facecolors="white", edgecolors=colour(0), zorder=3)
    ax.scatter(a[-1], b[-1], s=16, color=colour(1), linewidths=0, zorder=4)
    label_plane(ax, fit, pair)
    ax.set_title(f"{n} draws, from σ = {sigmas[0]:.2g} to 0")
    return axes
