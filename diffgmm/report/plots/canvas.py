"""What all pictures share: axes, colours, and a plane of two features."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...data import Data
from ...errors import DiffgmmError, InvalidParameterError
from ...learn.mixture_fit import MixtureFit

# Okabe and Ito's colours, which people with colour blindness can tell apart; black comes last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")

# Where colours come round again, these tell their rounds apart, also in print.
LINE_STYLES = ("-", "--", ":", "-.")

GREY = "#666666"

# Rows shown at most: beyond them a scatter is a blot.
MOST_POINTS = 2000

PANEL = 3.4


def pyplot() -> Any:
    """Return matplotlib.pyplot, or say how to get it."""
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError:
        raise DiffgmmError(
            "Plots need the package matplotlib: pip install 'diffgmm[plots]'."
        ) from None
    return plt


def fit_of(fit: Any) -> MixtureFit:
    """Return a fit, or say that the picture needs one."""
    if not isinstance(fit, MixtureFit):
        raise InvalidParameterError(
            f"The picture needs a MixtureFit, as diffgmm.fit returns it, got {type(fit).__name__}."
        )
    return fit


def panels(
    n: int, axes: Any, figsize: tuple[float, float] | None, size: tuple[float, float]
) -> np.ndarray:
    """Return n axes, the caller's or new ones side by side, as a flat array.

    Parameters
    ----------
    n : int
    axes : matplotlib Axes, array of them or None
    figsize : (float, float) or None
        Of a new figure, in inches; `size` when None.
    size : (float, float)
    """
    if axes is None:
        _, axes = pyplot().subplots(
            1, n, figsize=figsize or size, squeeze=False, layout="constrained"
        )
    given = np.ravel(np.asarray(axes, dtype=object))
    if len(given) != n or not all(hasattr(ax, "plot") for ax in given):
        raise InvalidParameterError(f"axes must be {n} matplotlib axes, got {[type(ax).__name__ for ax in given]}.")
    return given


def colour(index: int) -> str:
    """Return the colour of component `index`."""
    return COLOURS[index % len(COLOURS)]


def line_style(index: int) -> str:
    """Return the line style of component `index`."""
    return LINE_STYLES[index // len(COLOURS) % len(LINE_STYLES)]


def plane(fit: Any, features: Sequence[int | str] | None) -> tuple[int, int]:
    """Return the numbers of the two features that a picture shows; names are understood."""
    names = list(fit_of(fit).mixture.feature_names or ())
    d = fit.mixture.n_features
    if d < 2:
        raise InvalidParameterError("The picture needs two features, the fit has one.")
    if features is None:
        if d > 2:
            raise InvalidParameterError(
                f"features must name two of {d} features: {', '.join(names)}; the others are "
                "kept at the mixture's mean."
            )
        return 0, 1
    if isinstance(features, (str, int)):
        raise InvalidParameterError(f"features must be two of {', '.join(names)}, got {features!r}.")
    chosen = [names.index(own) if own in names else own for own in features]
    if len(chosen) != 2 or any(own not in range(d) for own in chosen) or chosen[0] == chosen[1]:
        raise InvalidParameterError(
            f"features must be two different ones of {', '.join(names)}, got {list(features)}."
        )
    return int(chosen[0]), int(chosen[1])


def limits(fit: Any, pair: tuple[int, int], deviations: float = 2.5) -> np.ndarray:
    """Return the range (2, 2) of two features that holds every component, so many sd wide."""
    mixture, chosen = fit.mixture, list(pair)
    spread = deviations * np.sqrt(np.diagonal(mixture.covariances, axis1=1, axis2=2)[:, chosen])
    means = mixture.means[:, chosen]
    return np.stack([(means - spread).min(axis=0), (means + spread).max(axis=0)], axis=1)


def limits_with_rows(fit: Any, pair: tuple[int, int], X: Any) -> np.ndarray:
    """Return the range (2, 2) of two features that holds every component and every row."""
    box = limits(fit, pair)
    if X is None:
        return box
    values = Data.of(X, feature_names=tuple(fit.mixture.feature_names)).values[:, list(pair)]
    low, high = np.minimum(box[:, 0], values.min(axis=0)), np.maximum(box[:, 1], values.max(axis=0))
    return np.stack([low, high], axis=1)


def grid(
    fit: Any, pair: tuple[int, int], n: int, box: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return coordinates (n,), (n,) and the rows (n * n, D) of a grid in the plane.

    Features outside the plane have the mixture's mean; `box` (2, 2) is the plane's range.
    """
    (low_a, high_a), (low_b, high_b) = limits(fit, pair) if box is None else box
    a, b = np.linspace(low_a, high_a, n), np.linspace(low_b, high_b, n)
    rows = np.tile(fit.mixture.weights @ fit.mixture.means, (n * n, 1))
    rows[:, pair[0]], rows[:, pair[1]] = (part.ravel() for part in np.meshgrid(a, b))
    return a, b, rows


def scatter_rows(axes: Any, fit: Any, X: Any, pair: tuple[int, int], **style: Any) -> None:
    """Draw rows in the plane, at most 2000 of them, evenly chosen."""
    if X is None:
        return
    values = Data.of(X, feature_names=tuple(fit.mixture.feature_names)).values
    shown = values[:: -(-len(values) // MOST_POINTS)]
    settings = {"s": 6, "color": GREY, "linewidths": 0, "alpha": 0.6} | style
    axes.scatter(shown[:, pair[0]], shown[:, pair[1]], **settings)


def label_plane(axes: Any, fit: Any, pair: tuple[int, int]) -> None:
    """Name the two features on the axes."""
    names = list(fit.mixture.feature_names or ())
    axes.set_xlabel(names[pair[0]])
    axes.set_ylabel(names[pair[1]])
