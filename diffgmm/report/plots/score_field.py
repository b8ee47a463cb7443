"""The score of noised data as arrows, at chosen noise levels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...arguments import check_sigma
from ...errors import InvalidParameterError
from .canvas import (
    PANEL,
    colour,
    fit_of,
    grid,
    label_plane,
    limits_with_rows,
    panels,
    plane,
    pyplot,
    scatter_rows,
)

# Arrows on each side of the grid, and points of the shading beneath.
N_ARROWS = 17
N_SHADES = 80

# Share of the plane that the shading tells apart.
SHADED_SHARE = 0.95

# Levels shown when the caller chooses none and the residual has none.
DEFAULT_LEVELS = (1.0, 0.3, 0.1)


def plot_score_field(
    fit: Any,
    sigmas: Sequence[float] | None = None,
    *,
    features: Sequence[int | str] | None = None,
    X: Any = None,
    axes: Any = None,
    figsize: tuple[float, float] | None = None,
) -> np.ndarray:
    """Plot the learned score at several noise levels, and where the residual acts.

    Arrows point to where noised rows are denoised, sigma^2 times the score; the shading is the
    length of the residual's share of it, in units of the noise.

    Parameters
    ----------
    fit : MixtureFit
        Of two features, or more with `features`.
    sigmas : sequence of float, optional
        Noise levels in standardised units; three of the residual's by default.
    features : two names or numbers, optional
        Of the plane shown; the other features are kept at the mixture's mean.
    X : array-like, shape (N, D), optional
        Rows to show as well.
    axes : array of matplotlib Axes, optional
        One for each level.
    figsize : (float, float), optional
        In inches.

    Returns
    -------
    ndarray of matplotlib Axes, one for each level

    Raises
    ------
    InvalidParameterError
        When this is no fit of two features, or features do not name two.
    """
    plt, pair, model = pyplot(), plane(fit, features), fit_of(fit).score_model
    if not hasattr(model, "residual"):
        raise InvalidParameterError(
            "The score field shows a residual: fit with gating='soft'. For gating='voronoi' there "
            "is plot_warm_starts."
        )
    chosen = _levels(model) if sigmas is None else [check_sigma(own) for own in np.ravel(sigmas)]
    if not chosen:
        raise InvalidParameterError("sigmas must name at least one noise level.")
    size = (PANEL * len(chosen) + 0.8, PANEL + 0.3)
    axes = panels(len(chosen), axes, figsize, size)
    box = limits_with_rows(fit, pair, X)
    shades = [_residual_length(fit, pair, sigma, box) for sigma in chosen]
    # Far outside the data the residual is large and means nothing: it must not set the scale.
    top = max(float(np.quantile(shades, SHADED_SHARE)), 0.05)
    for ax, sigma, shade in zip(axes, chosen, shades):
        a, b, _ = grid(fit, pair, N_SHADES, box)
        image = ax.pcolormesh(a, b, shade, cmap="Oranges", vmin=0.0, vmax=top, rasterized=True)
        scatter_rows(ax, fit, X, pair, s=3, alpha=0.4)
        _arrows(ax, fit, pair, sigma, box)
        label_plane(ax, fit, pair)
        ax.set_title(f"σ = {sigma:.2g}")
    bar = plt.colorbar(image, ax=list(axes), extend="max")
    bar.set_label("residual (units of noise)")
    return axes


def _levels(model: Any) -> list[float]:
    """Return the highest, a middle and the lowest level with a residual."""
    active = model.sigmas[model.active.any(axis=1)]
    if len(active) < 3:
        return list(DEFAULT_LEVELS)
    return [float(active[i]) for i in (0, len(active) // 2, len(active) - 1)]


def _residual_length(
    fit: Any, pair: tuple[int, int], sigma: float, box: np.ndarray
) -> np.ndarray:
    """Return |sigma residual| in standardised units on the grid, (n, n)."""
    _, _, rows = grid(fit, pair, N_SHADES, box)
    model = fit.score_model
    pushed = sigma * model.residual(rows, sigma) * model.scale
    return np.linalg.norm(pushed, axis=1).reshape(N_SHADES, N_SHADES)


def _arrows(ax: Any, fit: Any, pair: tuple[int, int], sigma: float, box: np.ndarray) -> None:
    """Draw arrows from the grid towards the denoised rows, long ones shortened."""
    a, b, rows = grid(fit, pair, N_ARROWS, box)
    move = (fit.score_model.denoise(rows, sigma) - rows)[:, list(pair)]
    steps = np.array([a[1] - a[0], b[1] - b[0]])
    length = np.maximum(np.linalg.norm(move / steps, axis=1, keepdims=True), 1e-12)
    # Cube roots keep the direction readable where arrows are short; none leaves its own cell.
    shown = move / length * 0.9 * np.cbrt(length / length.max())
    ax.quiver(
        *rows[:, list(pair)].T, *shown.T, color=colour(0), angles="xy", scale_units="xy", scale=1.0,
        width=0.006, headwidth=4.0,
    )  # fmt: skip
