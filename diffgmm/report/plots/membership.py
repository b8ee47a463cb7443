"""Which component every row belongs to, and how sure that is."""

from typing import Any, Unpack

import numpy as np

from ..draws import VariableNames
from ..numbers import interval_tails
from .canvas import COLOURS, LINE_STYLES, MOST_POINTS, PANEL, colour, panels
from .subject import Subject, subject_of

N_DRAWS = 200

# Hatches tell apart rounds of colours, as line styles do for lines.
HATCHES = ("", "////", "....", "xxxx")


def plot_membership(
    idata: Any,
    X: Any = None,
    *,
    n_draws: int = N_DRAWS,
    axes: Any = None,
    figsize: tuple[float, float] | None = None,
    **names: Unpack[VariableNames],
) -> np.ndarray:
    """Plot p(component | row) of every row, and the uncertainty of the largest one.

    Rows are ordered by their most probable component, the surest first. Above, the mean
    probabilities of all components, stacked; below, that of the most probable component, with the
    94 % interval that comes from not knowing the parameters.

    Parameters
    ----------
    idata : arviz.InferenceData, xarray.DataTree or MixtureFit
        Of any library; labels are aligned first where nothing says that they are.
    X : array-like, shape (N, D), optional
        Those of `observed_data` when not given; at most 2000 rows, evenly chosen, are shown.
    n_draws : int, default 200
    axes : two matplotlib Axes, optional
    figsize : (float, float), optional
        In inches.
    **names
        weights, means, covariances, scales, cluster_dim: as in `diffgmm.relabel`.

    Returns
    -------
    ndarray of two matplotlib Axes

    Raises
    ------
    InvalidParameterError, InvalidDataError
        When a variable or the rows are missing, K is unknown, or axes are not two.
    """
    subject = subject_of(idata, X, names, features=[0], draws=n_draws, needs_rows=True)
    assert subject.observed is not None
    rows = subject.observed[:: -(-len(subject.observed) // MOST_POINTS)]
    shares = np.stack([own.copy() for own in subject.every.responsibilities(rows)])
    mean = shares.mean(axis=0)
    own = mean.argmax(axis=1)
    order = np.lexsort((-mean.max(axis=1), own))
    top, bottom = axes = _axes(axes, figsize)
    _stack(top, mean[order], subject)
    _intervals(bottom, shares[:, order], own[order], subject)
    for ax in axes:
        ax.set_xlim(0, len(rows))
        ax.set_ylim(0.0, 1.0)
    top.set_ylabel("p(component | row)")
    bottom.set_ylabel("largest, 94 % interval")
    bottom.set_xlabel(f"{len(rows):,} rows, by component and certainty")
    top.set_title("Membership")
    return axes


def _axes(axes: Any, figsize: tuple[float, float] | None) -> np.ndarray:
    if axes is None:
        from .canvas import pyplot

        _, axes = pyplot().subplots(
            2, 1, figsize=figsize or (PANEL + 2.6, PANEL + 1.2), sharex=True, layout="constrained"
        )
    return panels(2, axes, figsize, (PANEL, PANEL))


def _stack(ax: Any, mean: np.ndarray, subject: Subject) -> None:
    edges = np.arange(len(mean) + 1)
    below = np.zeros(len(edges))
    for k in range(mean.shape[1]):
        above = below + np.append(mean[:, k], mean[-1, k])
        ax.fill_between(
            edges, below, above, step="post", facecolor=colour(k), edgecolor="white", linewidth=0.0,
            hatch=HATCHES[k // len(COLOURS) % len(HATCHES)], label=str(subject.cluster[k]),
        )  # fmt: skip
        below = above
    columns = 1 + (mean.shape[1] > 8)
    ax.legend(
        title="component", fontsize="small", title_fontsize="small", frameon=False, ncols=columns,
        loc="upper left", bbox_to_anchor=(1.0, 1.02),
    )  # fmt: skip


def _intervals(ax: Any, shares: np.ndarray, own: np.ndarray, subject: Subject) -> None:
    """Draw the interval of each row's largest probability, and its mean."""
    every = np.arange(len(own))
    largest = shares[:, every, own]
    low, high = np.quantile(largest, interval_tails(), axis=0)
    for k in np.unique(own):
        mine = own == k
        ax.vlines(
            every[mine] + 0.5, low[mine], high[mine], color=colour(k), linewidth=0.7, alpha=0.5
        )
        style = {"color": colour(k), "linewidth": 0.0, "marker": ".", "markersize": 2.5}
        ax.plot(every[mine] + 0.5, largest[:, mine].mean(axis=0), **style)
        if mine.sum() > len(own) / 40:
            ax.annotate(
                str(subject.cluster[k]), (every[mine].mean() + 0.5, 0.03), ha="center", va="bottom",
                fontsize="small",
                bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none"},
            )  # fmt: skip
    for edge in np.flatnonzero(np.diff(own)) + 1:
        ax.axvline(edge, color="black", linewidth=0.5, linestyle=LINE_STYLES[3])
