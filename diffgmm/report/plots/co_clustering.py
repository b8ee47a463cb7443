"""The probability that two rows share a component, as a heat map ordered by a partition."""

from typing import Any, Unpack

import numpy as np

from ..._seeding import Seed
from ..aligned import read_draws
from ..clustering import co_clustering, partition
from ..draws import VariableNames, names_of
from .canvas import PANEL, panels, pyplot

# Rows on each side: beyond them the picture has more of them than pixels.
MOST_ROWS = 400

# Smallest share of the rows that has room for its label, and the gap between two labels.
LABEL_SHARE = 0.03


def plot_co_clustering(
    idata: Any,
    X: Any = None,
    *,
    n_rows: int = MOST_ROWS,
    random_seed: Seed = 0,
    axes: Any = None,
    figsize: tuple[float, float] | None = None,
    **names: Unpack[VariableNames],
) -> np.ndarray:
    """Plot the probability that two rows share a component; labels play no part.

    Rows are ordered by the partition with the least expected variation of information
    (`diffgmm.partition`), within its clusters by agreement; lines are between clusters.

    Parameters
    ----------
    idata : arviz.InferenceData, xarray.DataTree or MixtureFit
        Of any library.
    X : array-like, shape (N, D), optional
        Those of `observed_data` when not given.
    n_rows : int, default 400
        Rows shown at most, evenly chosen.
    random_seed : int, sequence of int, Generator or None
        Of the partition.
    axes : matplotlib Axes, optional
    figsize : (float, float), optional
        In inches.
    **names
        weights, means, covariances, scales, cluster_dim: as in `diffgmm.relabel`.

    Returns
    -------
    ndarray with one matplotlib Axes

    Raises
    ------
    InvalidParameterError, InvalidDataError
        When a variable or the rows are missing, or columns do not fit.
    """
    pyplot()
    values = read_draws(idata, names_of(**names)).rows(X)
    values = np.ascontiguousarray(values[:: -(-len(values) // n_rows)])
    found = partition(idata, values, random_seed=random_seed, **names)
    labels, agreement = found["partition"].values, found["agreement"].values
    order = np.lexsort((-agreement, labels))
    together = co_clustering(idata, values, **names).values[np.ix_(order, order)]
    (ax,) = axes = panels(1, axes, figsize, (PANEL + 1.6, PANEL + 0.8))
    image = ax.imshow(together, cmap="cividis", vmin=0.0, vmax=1.0, interpolation="nearest")
    sizes = np.bincount(labels)
    ends = np.cumsum(sizes)
    for end in ends[:-1]:
        ax.axhline(end - 0.5, color="white", linewidth=0.8)
        ax.axvline(end - 0.5, color="white", linewidth=0.8)
    middles, shown = ends - 0.5 * sizes - 0.5, sizes >= LABEL_SHARE * len(labels)
    texts = [f"{k} ({size})" for k, size in enumerate(sizes)]
    ax.set_yticks(middles[shown], np.array(texts)[shown], fontsize="small")
    ax.set_xticks([])
    ax.set_xlabel(f"{len(values):,} rows, in the same order")
    ax.set_ylabel("cluster of the partition (rows)")
    ax.set_title("Co-clustering")
    ax.figure.colorbar(image, ax=ax, shrink=0.85).set_label("probability of one component")
    return axes
