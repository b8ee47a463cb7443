"""Rows -> a Voronoi score: polynomials per cell, level by level, warm starts as the noise halves."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..._seeding import Seed, seed_sequence, stream
from ...arguments import check_count, finite_array, is_integer
from ...data import Data, check_constant_columns
from ...errors import InvalidParameterError
from .cells import Cells, nearest_centres
from .cover import COVER_ROWS, greedy_cover
from .noise_scale import estimate_noise_scale
from .regression import ROWS_PER_COLUMN, CellRegression
from .score import VoronoiScore

# Accuracy epsilon of the paper: T = (M2 + D) / eps^2 at the top, eps^2 sigma_0^2 / (2 sqrt(D)) at
# the bottom.
ACCURACY = 0.1

# Ratio of t = sigma^2 of neighbouring levels.
RATIO = 0.6

# Highest degree: He_5 / sqrt(5!) at the clip of 4 is already 40.
MAX_DEGREE = 5

# Radius of the covering balls, in deviations sqrt(sigma_0^2 + sigma^2): one polynomial does for two
# centres at most 2 deviations apart.
RADIUS = 1.0

# Centres are refined as long as t is above this share of sigma_0^2: below it the deviation shrinks
# no more, and new centres would be errors of the polynomials.
LOWEST_REFINED = 0.5

# Most cells: three a component where their number is known. Smallest share of the rows that a cell
# may have: a quarter of an even share, and at most 1 %.
CELLS_PER_COMPONENT = 3
MAX_CELLS = 60
SMALLEST_SHARE = 0.01


def fit_voronoi_score(
    data: Any,
    *,
    n_components: int | None = None,
    degree: int = 3,
    noise_scale: float | None = None,
    scale: Any = None,
    random_seed: Seed = None,
    cores: int | None = None,
    on_level: Callable[[int, int], None] | None = None,
) -> VoronoiScore:
    """Return the score of noised data by the algorithm of Gatmiry, Kelner and Lee.

    Parameters
    ----------
    data : array-like, table or Data, shape (N, D)
    n_components : int, optional
        Number of components k, when it is known: at most 3 k cells.
    degree : int, default 3
        Highest degree of the polynomials, 0 to 5. A cell with fewer than 3 rows per coefficient
        falls back to the highest degree that it has rows for.
    noise_scale : float, optional
        sigma_0, the standard deviation of each component around its centre (or of the noise around
        a curve), in standardised units, as if the same in all directions. Estimated when not given:
        the smallest standard deviation within k-means clusters, in any direction. It sets the size
        of the cells and the lowest noise level; the score is consistent for any value.
    scale : array-like, shape (D,), optional
        Units of the noise, in the units of the data; the columns' standard deviations when not
        given.
    random_seed : int, sequence of int, Generator or None
    cores : int or None
        Threads; the result does not depend on it.
    on_level : callable, optional
        Called as on_level(index, n_levels) after each noise level.

    Returns
    -------
    VoronoiScore

    Raises
    ------
    InvalidDataError, InvalidParameterError
        One line: the rule, what was given, the remedy.

    References
    ----------
    Gatmiry, Kelner, Lee (2025), arXiv:2404.18869, Algorithms 1 and 2. The theorem asks for degrees
    and numbers of levels that nobody can run; structure and corrected formulas are kept. Added
    here: antithetic noise pairs, a ridge in place of the bound on coefficients, and limits to the
    number of cells.

    Examples
    --------
    >>> import diffgmm
    >>> from diffgmm.diffusion import fit_voronoi_score
    >>> score = fit_voronoi_score(diffgmm.datasets.load_faithful(), n_components=2, random_seed=1)
    >>> score.sample(3, random_seed=1).shape
    (3, 2)
    """
    data = Data.of(data)
    most, degree = _check_n_components(n_components, data.n_rows), _check_degree(degree)
    scale = _check_scale(scale, data)
    spread, sequence = data.scales / scale, seed_sequence(random_seed)
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        if noise_scale is None:
            noise_scale = estimate_noise_scale(data, scale, n_components, stream(sequence, 3))
        noise_scale = _check_noise_scale(noise_scale, float(spread.max()))
        regression = CellRegression(data, scale, noise_scale, degree, sequence, cores)
        cells = fit_levels(regression, noise_levels(spread, noise_scale), most, on_level)
    return VoronoiScore(
        cells=tuple(cells),
        noise_scale=noise_scale,
        spread=spread,
        shift=data.means,
        scale=scale,
        feature_names=data.feature_names,
    )


def noise_levels(spread: np.ndarray, noise_scale: float) -> np.ndarray:
    """Return decreasing noise levels, geometric; `spread` (D,) are the data's deviations."""
    d = len(spread)
    top = (np.square(spread).sum() + d) / ACCURACY**2
    lowest = 0.5 * (ACCURACY * noise_scale) ** 2 / np.sqrt(d)
    steps = int(np.ceil(np.log(lowest / top) / np.log(RATIO)))
    return np.sqrt(np.geomspace(top, lowest, steps + 1))


def fit_levels(
    regression: CellRegression,
    sigmas: np.ndarray,
    most: int,
    on_level: Callable[[int, int], None] | None,
) -> list[Cells]:
    """Return the cells of all noise levels, from high to low (Algorithm 1); `most` cells a level."""
    found: list[Cells] = []
    centres, parents = np.zeros((1, regression.data.n_features)), np.array([-1])
    refreshed = sigmas[0] ** 2
    for index, sigma in enumerate(sigmas):
        cells = regression.fit(centres, parents, float(sigma), index)
        found.append(cells)
        centres, parents, t = cells.centres, np.arange(len(cells)), sigma**2
        if t <= 0.5 * refreshed and t >= LOWEST_REFINED * regression.noise_scale**2:
            centres = warm_starts(regression, cells, most, index)
            parents, refreshed = nearest_centres(centres, cells.centres), t
        if on_level is not None:
            on_level(index, len(sigmas))
    return found


def warm_starts(regression: CellRegression, cells: Cells, most: int, index: int) -> np.ndarray:
    """Return centres (J, D) that cover rows which are noised afresh and denoised (Algorithm 2)."""
    n_rows, d = regression.data.n_rows, regression.data.n_features
    rng = stream(regression.sequence, 2, index)
    chosen = np.sort(rng.choice(n_rows, min(n_rows, COVER_ROWS), replace=False))
    x = regression.rows(chosen)
    points = cells.evaluate(x + cells.sigma * rng.standard_normal(x.shape))
    share = min(SMALLEST_SHARE, 0.25 * CELLS_PER_COMPONENT / most)
    share = max(share, ROWS_PER_COLUMN * (1 + d) / n_rows)
    least = int(np.ceil(share * len(points)))
    return points[greedy_cover(points, RADIUS * cells.deviation, most, least)]


def _check_degree(degree: Any) -> int:
    if not is_integer(degree) or not 0 <= degree <= MAX_DEGREE:
        raise InvalidParameterError(
            f"degree must be an integer from 0 to {MAX_DEGREE}, got {degree!r}."
        )
    return int(degree)


def _check_n_components(n_components: Any, n_rows: int) -> int:
    """Return the largest number of cells."""
    if n_components is None:
        return MAX_CELLS
    k = check_count("n_components", n_components)
    if k > n_rows:
        raise InvalidParameterError(
            f"n_components must not exceed the number of rows, got {k} components for "
            f"{n_rows} rows."
        )
    return CELLS_PER_COMPONENT * k


def _check_noise_scale(noise_scale: Any, largest: float) -> float:
    value = finite_array("noise_scale", noise_scale)
    # No component is wider than all data; twice as much, that few rows may look narrower.
    if value.ndim or not 0.0 < value <= 2.0 * largest:
        raise InvalidParameterError(
            "noise_scale must be a positive number, at most twice the largest standard deviation "
            f"{largest:.4g} of the data in units of `scale`, got {noise_scale!r}."
        )
    return float(value)


def _check_scale(scale: Any, data: Data) -> np.ndarray:
    """Return the units of the noise (D,)."""
    if scale is None or not data.scales.any():
        check_constant_columns(data)
    if scale is None:
        return data.scales
    value = finite_array("scale", scale)
    if value.shape != (data.n_features,) or value.min() <= 0.0:
        raise InvalidParameterError(
            f"scale must have one positive number for each of {data.n_features} features, "
            f"got {value.tolist()}."
        )
    return value
