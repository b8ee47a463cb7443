"""Predictive checks by cluster: how far rows lie from the centre of their component."""

from typing import Any, Unpack

import numpy as np

from ..draws import VariableNames
from ..numbers import interval_tails
from .canvas import GREY, PANEL, colour, panels, pyplot
from .subject import Subject, subject_of

N_DRAWS = 200
N_POINTS = 60

# Panels side by side, and clusters shown.
MOST_COLUMNS = 4
MOST_CLUSTERS = 16

PANEL_WIDTH, PANEL_HEIGHT = 2.3, 2.0


def plot_ppc_clusters(
    idata: Any,
    X: Any = None,
    *,
    n_draws: int = N_DRAWS,
    random_seed: int = 0,
    axes: Any = None,
    figsize: tuple[float, float] | None = None,
    **names: Unpack[VariableNames],
) -> np.ndarray:
    """Plot, for every component, the distances of its rows beside those of replicated rows.

    In each draw every row gets a component from p(component | row), and its Mahalanobis distance
    from that component's centre. Of a Gaussian component, the squares are chi-squared with D
    degrees of freedom: that is what replicated rows have. Lines: the distribution function of the
    rows, mean over draws; bands: 94 % of the replications. p is the probability that replicated
    distances are farther from the chi-squared distribution, in the Kolmogorov-Smirnov distance,
    than those of the rows: small values say that the component is not Gaussian.

    Parameters
    ----------
    idata : arviz.InferenceData, xarray.DataTree or MixtureFit
        Of any library; labels are aligned first where nothing says that they are.
    X : array-like, shape (N, D), optional
        Those of `observed_data` when not given.
    n_draws : int, default 200
    random_seed : int, default 0
        Of the allocations and the replications.
    axes : matplotlib Axes, one for each component, optional
    figsize : (float, float), optional
        In inches.
    **names
        weights, means, covariances, scales, cluster_dim: as in `diffgmm.relabel`.

    Returns
    -------
    ndarray of matplotlib Axes, one for each of the 16 largest components at most

    Raises
    ------
    InvalidParameterError, InvalidDataError
        When a variable or the rows are missing, K is unknown, or axes are not as many as panels.

    References
    ----------
    Gelman, Meng, Stern (1996), realized discrepancies, Statistica Sinica 6, 733-807.
    """
    subject = subject_of(idata, X, names, features=[0], draws=n_draws, needs_rows=True)
    n_shown = min(subject.every.n_components, MOST_CLUSTERS)
    axes = _axes(n_shown, axes, figsize)
    observed, replicated, sizes, d = distances(subject, np.random.default_rng(random_seed))
    from scipy.special import chdtr

    for k, ax in enumerate(axes):
        grid = np.linspace(0.0, 1.1 * _largest(observed[k] + replicated[k], d), N_POINTS)
        expected = chdtr(d, grid**2)
        seen, drawn = (_ecdfs(own[k], grid) for own in (observed, replicated))
        if len(drawn):
            low, high = np.quantile(drawn, interval_tails(), axis=0)
            ax.fill_between(grid, low, high, color=GREY, alpha=0.35, linewidth=0)
        ax.plot(grid, expected, color="black", linewidth=0.8, linestyle=":")
        if len(seen):
            ax.plot(grid, seen.mean(axis=0), color=colour(0), linewidth=1.4)
        p = p_value(observed[k], replicated[k], d)
        text = "p = –" if np.isnan(p) else f"p = {p:.2f}"
        ax.set_title(
            f"component {subject.cluster[k]}: {sizes[k]:.0f} rows, {text}", fontsize="small"
        )
        ax.set_ylim(0.0, 1.02)
        ax.set_xlim(0.0, grid[-1])
    return axes


def distances(
    subject: Subject, rng: np.random.Generator
) -> tuple[list[list[np.ndarray]], list[list[np.ndarray]], np.ndarray, int]:
    """Return distances of rows and of replicated ones, by component and draw, and mean sizes."""
    mixtures, rows = subject.every, subject.observed
    assert rows is not None
    k_all, d = mixtures.n_components, mixtures.n_features
    factors = np.linalg.inv(np.linalg.cholesky(mixtures.covariances))
    observed: list[list[np.ndarray]] = [[] for _ in range(k_all)]
    replicated: list[list[np.ndarray]] = [[] for _ in range(k_all)]
    sizes = np.zeros(k_all)
    for s, own in enumerate(mixtures.responsibilities(rows)):
        cumulative = np.cumsum(own, axis=1)
        uniform = rng.random(len(rows)) * cumulative[:, -1]
        component = (uniform[:, None] >= cumulative[:, :-1]).sum(axis=1)
        counts = rng.multinomial(len(rows), mixtures.weights[s] / mixtures.weights[s].sum())
        for k in range(k_all):
            white = (rows[component == k] - mixtures.means[s, k]) @ factors[s, k].T
            observed[k].append(np.sort(np.linalg.norm(white, axis=1)))
            replicated[k].append(np.sort(np.sqrt(rng.chisquare(d, counts[k]))))
            sizes[k] += len(white)
    return observed, replicated, sizes / mixtures.n_draws, d


def p_value(observed: list[np.ndarray], replicated: list[np.ndarray], d: int) -> float:
    """Return the share of draws in which replicated distances are farther from chi-squared."""
    pairs = [(a, b) for a, b in zip(observed, replicated) if len(a) and len(b)]
    if not pairs:
        return float("nan")
    # sqrt(n) makes distances of different numbers of rows comparable.
    return float(np.mean([_misfit(b, d) >= _misfit(a, d) for a, b in pairs]))


def _misfit(distance: np.ndarray, d: int) -> float:
    """Return sqrt(n) times the Kolmogorov-Smirnov distance of sorted distances from chi's law."""
    from scipy.special import chdtr

    n, expected = len(distance), chdtr(d, distance**2)
    steps = np.arange(n + 1) / n
    return float(np.sqrt(n) * max((steps[1:] - expected).max(), (expected - steps[:-1]).max()))


def _ecdfs(draws: list[np.ndarray], grid: np.ndarray) -> np.ndarray:
    """Return the distribution functions of the draws that have rows, (draws, points)."""
    return np.array(
        [np.searchsorted(own, grid, side="right") / len(own) for own in draws if len(own)]
    )


def _largest(draws: list[np.ndarray], d: int) -> float:
    """Return a distance beyond which there are few rows, of these draws and of a Gaussian."""
    from scipy.special import chdtri

    ends = [own[int(0.99 * (len(own) - 1))] for own in draws if len(own)]
    return max(float(np.median(ends)) if ends else 0.0, float(np.sqrt(chdtri(d, 0.01))))


def _axes(n: int, axes: Any, figsize: tuple[float, float] | None) -> np.ndarray:
    """Return n panels, new ones in rows of four."""
    if axes is not None:
        return panels(n, axes, figsize, (PANEL, PANEL))
    columns = min(n, MOST_COLUMNS)
    rows = -(-n // columns)
    size = (PANEL_WIDTH * columns + 0.9, PANEL_HEIGHT * rows + 0.6)
    figure, axes = pyplot().subplots(
        rows, columns, figsize=figsize or size, squeeze=False, sharey=True, layout="constrained"
    )
    for ax in axes.ravel()[n:]:
        ax.set_visible(False)
    figure.supxlabel("Mahalanobis distance from the centre (sd)", fontsize="medium")
    figure.supylabel("share of the component's rows", fontsize="medium")
    return axes.ravel()[:n]
