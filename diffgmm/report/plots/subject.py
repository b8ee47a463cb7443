"""What pictures of draws are about: aligned mixtures, their rows, a plane or corner of features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InvalidParameterError
from ...posterior.mixture_draws import MixtureDraws
from ..aligned import read_aligned, read_draws
from ..draws import VariableNames, names_of
from ..numbers import interval_tails
from .canvas import GREY, MOST_POINTS, colour, line_style, pyplot

# Features of a corner: more panels than these are not read.
MOST_FEATURES = 6

N_BINS = 20

# Inches of a corner's side, whatever the number of its panels.
CORNER_BASE = 2.2
CORNER_PANEL = 1.6


@dataclass(frozen=True, eq=False)
class Subject:
    """Draws of a mixture of the features shown, and the rows behind them.

    mixtures : MixtureDraws of the features shown.   rows : (N, D shown) or None.
    cluster : labels.   names : of the features shown.   every : the draws of all features.
    observed : rows of all features, or None.
    """

    mixtures: MixtureDraws
    rows: np.ndarray | None
    cluster: np.ndarray
    names: tuple[str, ...]
    every: MixtureDraws
    observed: np.ndarray | None

    @property
    def shown_rows(self) -> np.ndarray:
        """At most 2000 rows, evenly chosen."""
        if self.rows is None:
            return np.empty((0, len(self.names)))
        return self.rows[:: -(-len(self.rows) // MOST_POINTS)]


def subject_of(
    idata: Any,
    X: Any,
    names: VariableNames,
    *,
    features: Sequence[int | str] | None = None,
    draws: int | None = None,
    needs_rows: bool = False,
    labelled: bool = True,
) -> Subject:
    """Return what a picture shows, checked.

    Parameters
    ----------
    idata : InferenceData, DataTree or MixtureFit
    X : array-like, shape (N, D), or None
    names : dict
        Of variables.
    features : names or numbers, or None
        All of them when None.
    draws : int, optional
        At most so many, evenly spread.
    needs_rows : bool
        Whether there is no picture without rows.
    labelled : bool
        Whether it shows components; the density needs no labels.
    """
    pyplot()
    own_names = names_of(**names)
    if labelled:
        posterior = read_aligned(idata, own_names, X, what="The picture")
    else:
        posterior = read_draws(idata, own_names)
    if draws is not None:
        posterior = posterior.thinned(draws)
    rows = None
    if needs_rows or X is not None or posterior.observed is not None:
        rows = posterior.rows(X)
    index = _index(features, posterior.feature_names)
    return Subject(
        posterior.mixtures.marginal(index),
        None if rows is None else np.asarray(rows[:, index], dtype=float),
        posterior.cluster,
        tuple(posterior.feature_names[i] for i in index),
        posterior.mixtures,
        None if rows is None else np.asarray(rows, dtype=float),
    )


def _index(features: Sequence[int | str] | None, names: Sequence[str]) -> list[int]:
    """Return the numbers of the features shown."""
    listed = ", ".join(names)
    if features is None:
        if len(names) > MOST_FEATURES:
            raise InvalidParameterError(
                f"features must name at most {MOST_FEATURES} of {len(names)} features: {listed}."
            )
        return list(range(len(names)))
    given = [features] if isinstance(features, (str, int)) else list(features)
    numbers: dict[Any, int] = {name: i for i, name in enumerate(names)}
    chosen = [numbers.get(own, own) for own in given]
    if (
        not 1 <= len(chosen) <= MOST_FEATURES
        or any(own not in range(len(names)) for own in chosen)
        or len(set(chosen)) != len(chosen)
    ):
        raise InvalidParameterError(
            f"features must be 1 to {MOST_FEATURES} different ones of {listed}, got {given}."
        )
    return [int(own) for own in chosen]


def corner(names: Sequence[str], axes: Any, figsize: tuple[float, float] | None) -> np.ndarray:
    """Return axes (D, D) of which the lower triangle and the diagonal are used, labelled.

    One or two features need one panel: (1, 1).
    """
    d = len(names) if len(names) > 2 else 1
    if axes is None:
        size = (4.8, 3.8) if d == 1 else (CORNER_BASE + CORNER_PANEL * d,) * 2
        _, axes = pyplot().subplots(
            d, d, figsize=figsize or size, squeeze=False, layout="constrained"
        )
    given = np.asarray(axes, dtype=object)
    if given.size != d * d or not all(hasattr(ax, "plot") for ax in given.ravel()):
        raise InvalidParameterError(
            f"axes must be {d * d} matplotlib axes"
            + (f" ({d} by {d})" if d > 1 else "")
            + f", got {[type(ax).__name__ for ax in given.ravel()]}."
        )
    return given.reshape(d, d)


def finish_corner(axes: np.ndarray, names: Sequence[str], limits: np.ndarray) -> None:
    """Label the outer panels, share limits (D, 2) and hide the upper triangle."""
    d = len(axes)
    if d == 1:
        axes[0, 0].set_xlim(limits[0])
        axes[0, 0].set_xlabel(names[0])
        if len(names) == 2:
            axes[0, 0].set_ylim(limits[1])
            axes[0, 0].set_ylabel(names[1])
        return
    for i in range(d):
        for j in range(d):
            if j > i:
                axes[i, j].set_visible(False)
            else:
                _finish_panel(axes[i, j], (i, j), d, names, limits)


def _finish_panel(
    ax: Any, place: tuple[int, int], d: int, names: Sequence[str], limits: np.ndarray
) -> None:
    """Set limits of a panel of a corner, and its labels where it is at the edge."""
    i, j = place
    ax.set_xlim(limits[j])
    ax.locator_params(axis="x", nbins=3)
    if i == j:
        ax.set_yticks([])
    else:
        ax.set_ylim(limits[i])
        ax.locator_params(axis="y", nbins=3)
        ax.tick_params(labelleft=j == 0)
    if j == 0 and i > 0:
        ax.set_ylabel(names[i])
    if i == d - 1:
        ax.set_xlabel(names[j])
    ax.tick_params(labelbottom=i == d - 1)


def head(axes: np.ndarray, title: str) -> None:
    """Write the title over a single panel, or over the whole corner."""
    if len(axes) == 1:
        axes[0, 0].set_title(title)
    else:
        axes[0, 0].figure.suptitle(title)


def panels_of(subject: Subject, axes: np.ndarray) -> list[tuple[Any, tuple[int, ...]]]:
    """Return each panel that is used, with the one or two features (across, up) it shows."""
    if len(axes) == 1:
        return [(axes[0, 0], tuple(range(len(subject.names))))]
    d = len(axes)
    return [(axes[i, j], (j,) if i == j else (j, i)) for i in range(d) for j in range(i + 1)]


def limits_of(subject: Subject, deviations: float = 2.6) -> np.ndarray:
    """Return the range (D, 2) that holds the rows and the components that have weight."""
    mixtures = subject.mixtures
    means, sds = mixtures.means.mean(axis=0), _sds(mixtures)
    heavy = mixtures.weights.mean(axis=0) > 0.02
    heavy |= mixtures.weights.mean(axis=0) >= mixtures.weights.mean(axis=0).max()
    low = (means - deviations * sds)[heavy].min(axis=0)
    high = (means + deviations * sds)[heavy].max(axis=0)
    if subject.rows is not None:
        margin = 0.04 * np.ptp(subject.rows, axis=0)
        low = np.minimum(low, subject.rows.min(axis=0) - margin)
        high = np.maximum(high, subject.rows.max(axis=0) + margin)
    return np.stack([low, high], axis=1)


def _sds(mixtures: MixtureDraws) -> np.ndarray:
    """Return typical standard deviations (K, D): the median over draws."""
    return np.sqrt(np.median(np.diagonal(mixtures.covariances, axis1=2, axis2=3), axis=0))


def scatter(ax: Any, subject: Subject, pair: tuple[int, ...]) -> None:
    """Draw the rows in a plane."""
    rows = subject.shown_rows
    size = 7 if len(rows) < 500 else 4
    ax.scatter(rows[:, pair[0]], rows[:, pair[1]], s=size, color=GREY, linewidths=0, alpha=0.6)


def histogram(ax: Any, subject: Subject, own: tuple[int, ...]) -> None:
    """Draw the rows of one feature, scaled to a density."""
    if subject.rows is not None:
        ax.hist(subject.rows[:, own[0]], bins=N_BINS, density=True, color=GREY, alpha=0.35)


def curve(ax: Any, x: np.ndarray, draws: np.ndarray, k: int = 0, label: str | None = None) -> None:
    """Draw the mean of curves (S, n) over x (n,) and their 94 % interval, as component k."""
    low, high = np.quantile(draws, interval_tails(), axis=0)
    ax.fill_between(x, low, high, color=colour(k), alpha=0.3, linewidth=0)
    style = {"color": colour(k), "linestyle": line_style(k), "linewidth": 1.4}
    ax.plot(x, draws.mean(axis=0), label=label, **style)


def place_labels(
    ax: Any, points: np.ndarray, texts: Sequence[str], numbers: Sequence[int], size: float = 8.5
) -> None:
    """Write labels near points (n, 2), moved apart so that none covers another.

    Labels are moved in units of the paper, a thin line leads back to the point. Places are found
    for the axes as they are now; layout must be done.
    """
    ax.figure.draw_without_rendering()
    scale = 72.0 / ax.figure.dpi
    box = ax.get_window_extent()
    low = np.array([box.x0, box.y0]) * scale
    high = np.array([box.x1, box.y1]) * scale
    start = ax.transData.transform(points) * scale
    inside = np.all((start >= low) & (start <= high), axis=1)
    diameter = (1.3 + 0.7 * max(map(len, texts))) * size
    place = spread_apart(start[inside], low + size, high - size, diameter)
    for (x, y), at, k in zip(np.asarray(points)[inside], place, np.flatnonzero(inside).tolist()):
        shift = at - start[k]
        ax.annotate(
            texts[k],
            (x, y),
            xytext=tuple(shift),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=size,
            fontweight="bold",
            color="black",
            zorder=6,
            bbox={
                "boxstyle": "circle,pad=0.18",
                "facecolor": "white",
                "edgecolor": colour(numbers[k]),
                "linewidth": 1.4,
            },
            arrowprops={"arrowstyle": "-", "color": "black", "linewidth": 0.7}
            if np.hypot(*shift) > size
            else None,
        )


def spread_apart(
    points: np.ndarray, low: np.ndarray, high: np.ndarray, distance: float
) -> np.ndarray:
    """Return points (n, 2) moved until no two are closer than `distance`, inside a box."""
    place = np.clip(points, low, high) + 1e-3 * np.arange(len(points))[:, None]
    for _ in range(500):
        gaps = place[:, None] - place[None]
        length = np.hypot(*np.moveaxis(gaps, -1, 0)) + np.eye(len(place)) * 1e9
        short = np.maximum(1.02 * distance - length, 0.0)
        if not short.any():
            break
        place = place + 0.5 * (gaps / length[..., None] * short[..., None]).sum(axis=1)
        place = np.clip(place, low, high)
    return place
