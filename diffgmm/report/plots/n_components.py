"""The posterior of the number of components, of those with rows, and of modes."""

from typing import Any, Unpack

import numpy as np

from ...errors import InvalidParameterError
from ..diagnostics import n_modes
from ..draws import VariableNames, posterior_group
from ..inference_data import as_tree
from .canvas import PANEL, colour, panels, pyplot

LABELS = {
    "n_components": "components K",
    "n_filled": "components with rows K+",
    "n_modes": "modes of the density",
}

MOST_TICKS = 15

# Probability that is left out at each end.
SMALLEST_TAIL = 0.002

# Side by side, the bars of one number take this much of its width.
WIDTH = 0.8


def plot_n_components(
    idata: Any,
    *,
    axes: Any = None,
    figsize: tuple[float, float] | None = None,
    **names: Unpack[VariableNames],
) -> np.ndarray:
    """Plot the posterior of the number of components K, of those with rows K+, and of modes.

    Bars are probabilities over all chains, dots those of each chain: dots apart say that chains
    disagree. K is shown where it was sampled. Numbers in the last 0.2 % of the tails are left out.

    Parameters
    ----------
    idata : arviz.InferenceData or xarray.DataTree
        With n_components or n_filled in sample_stats or posterior, or of any library: the number of
        modes is that of `diffgmm.n_modes`.
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
        When this is something else, or a variable is missing.
    """
    pyplot()
    tree = as_tree(idata)
    if not hasattr(tree, "children"):
        raise InvalidParameterError(
            f"The picture needs InferenceData or a DataTree, got {type(idata).__name__}."
        )
    counts = _counts(tree, posterior_group(tree), idata, names)
    (ax,) = axes = panels(1, axes, figsize, (PANEL + 1.6, PANEL))
    # The law of K has a long tail; what is left out is smaller than a bar that can be seen.
    low = min(int(np.quantile(own, SMALLEST_TAIL, method="lower")) for own in counts.values())
    high = max(int(np.quantile(own, 1 - SMALLEST_TAIL, method="lower")) for own in counts.values())
    numbers = np.arange(low, high + 1)
    width = WIDTH / len(counts)
    for i, (name, own) in enumerate(counts.items()):
        place = numbers + (i - 0.5 * (len(counts) - 1)) * width
        by_chain = np.array([[np.mean(chain == number) for number in numbers] for chain in own])
        ax.bar(
            place, by_chain.mean(axis=0), 0.92 * width, color=colour(i), alpha=0.75,
            label=LABELS[name],
        )  # fmt: skip
        if len(own) > 1:
            shift = np.linspace(-0.25, 0.25, len(own)) * width
            ax.plot(
                (place + shift[:, None]).ravel(),
                by_chain.ravel(),
                "o",
                color="black",
                markersize=2.5,
            )
    ax.set_xlim(low - 0.6, high + 0.6)
    ax.set_ylim(0.0, 1.05)
    ax.set_xticks(numbers[:: -(-len(numbers) // MOST_TICKS)])
    ax.set_xlabel("number")
    ax.set_ylabel("posterior probability")
    ax.set_title("How many; dots are single chains", pad=24)
    ax.legend(
        fontsize="small", frameon=False, ncols=len(counts), loc="lower center",
        bbox_to_anchor=(0.5, 1.0), borderaxespad=0.1, columnspacing=1.2, handlelength=1.2,
    )  # fmt: skip
    return axes


def _counts(tree: Any, posterior: Any, idata: Any, names: VariableNames) -> dict[str, np.ndarray]:
    """Return draws (chain, draw) of the numbers that there are."""
    counts: dict[str, np.ndarray] = {}
    for name in ("n_components", "n_filled"):
        for group in ("sample_stats", "posterior"):
            found = tree[group].data_vars if group in tree.children else {}
            if name in found and found[name].dims == ("chain", "draw"):
                counts.setdefault(name, np.asarray(found[name].values))
    if "n_components" not in counts:  # with K sampled, clusters are not the same in every draw
        counts["n_modes"] = n_modes(idata, **names).values
    return counts
