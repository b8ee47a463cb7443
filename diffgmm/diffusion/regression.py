"""Rows and a mixture -> a score model: a residual fitted by level and tested on held-out rows."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .._seeding import Seed, seed_sequence, stream
from ..blocks import RowBlocks
from ..data import Data
from ..kernels import regression
from ..kernels.bundles import Rows
from ..kernels.regression import Level
from ..mixture import GaussianMixture
from .normal_equations import (
    SILENT,
    Choice,
    NormalEquations,
    degrees_within,
    n_polynomials,
)
from .schedule import noise_levels
from .score_model import ScoreModel
from .significance import active_cells, weigh
from .spectrum import Spectrum

# Folds of rows: five fits on 80 % of the rows each.
N_FOLDS = 5

# Features of all components together. A noised row costs 1.5 microseconds at 200 columns, and the
# cost grows with their square.
MAX_COLUMNS = 200

# Rows per column below which a degree is not tried.
ROWS_PER_COLUMN = 5

# Noise pairs are drawn until there are so many, at least 2 and at most 16 of each row: beyond 2
# pairs of 5000 rows the fitted ring does not improve (sliced Wasserstein 0.089, 0.090 with 20).
N_PAIRS = 20_000

# The kernels' work per row is some hundred nanoseconds: the small chunks of higher dimensions do.
CHUNK_FEATURES = 5


class _Regression:
    """The passes over rows of one fit. Same results for any number of threads.

    p : Hermite products of each component.   n_rows : number of rows, or the sum of their weights.
    """

    def __init__(self, spectrum: Spectrum, rows: Rows, seed: Seed, cores: int | None) -> None:
        self.spectrum, self.rows = spectrum, rows
        self.sequence = seed_sequence(seed)
        n_rows, (k, d) = len(rows.values), spectrum.means.shape
        self.n_rows = float(rows.weights.sum()) if len(rows.weights) else float(n_rows)
        self.n_pairs = int(np.clip(-(-N_PAIRS // n_rows), 2, 16))
        self.blocks = RowBlocks(n_rows, max(d, CHUNK_FEATURES), cores)
        counting = int(np.count_nonzero(rows.weights)) if len(rows.weights) else n_rows
        columns = min(MAX_COLUMNS, counting // ROWS_PER_COLUMN)
        degrees = degrees_within(d, columns / k)
        self.p = n_polynomials(d, degrees[-1]) if degrees else 0

    def _folds(self, index: int, start: int, stop: int):
        """Yield fold number, row numbers and noise of a chunk, the same each time."""
        order = start + stream(self.sequence, 0, start).permutation(stop - start)
        rng = stream(self.sequence, 1 + index, start)
        for fold, own in enumerate(np.array_split(order, N_FOLDS)):
            yield (
                fold,
                own,
                rng.standard_normal((self.n_pairs, self.rows.values.shape[1], len(own))),
            )

    def equations(self, index: int, level: Level) -> tuple[float, NormalEquations]:
        """Return the mean squared error of the mixture's denoiser and the normal equations."""
        k, d = self.spectrum.means.shape

        none, no_moments = np.empty((0, d, self.p)), np.empty((4, 0))

        def work(start, stop, sums):
            gram, right = sums
            return sum(
                regression.noise_pairs(
                    self.rows, own, noise, level, none, (gram[fold], right[fold], no_moments)
                )
                for fold, own, noise in self._folds(index, start, stop)
            )

        n = k * self.p
        energy, (gram, right) = self.blocks.sum(work, ((N_FOLDS, n, n), (N_FOLDS, d, n)))
        return energy / (2 * self.n_pairs * self.n_rows), NormalEquations.of(gram, right, k)

    def gains(self, index: int, level: Level, equations: NormalEquations) -> np.ndarray:
        """Return the moments (4, K) of the gains of rows, each under the fit of the other folds."""
        polynomials = [np.ascontiguousarray(np.swapaxes(fit, 1, 2)) for fit in equations.nested()]
        no_gram, no_right = np.empty((0, 0)), np.empty((self.rows.values.shape[1], 0))

        def work(start, stop, sums):
            for fold, own, noise in self._folds(index, start, stop):
                regression.noise_pairs(
                    self.rows, own, noise, level, polynomials[fold], (no_gram, no_right, sums[0])
                )
            return 0.0

        return self.blocks.sum(work, ((4, len(self.spectrum.means)),))[1][0]


def fit_score_model(
    data: Data,
    mixture: GaussianMixture,
    shift: np.ndarray,
    scale: np.ndarray,
    *,
    random_seed: Seed = None,
    cores: int | None = None,
    row_weights: np.ndarray | None = None,
    on_level: Callable[[int, int], None] | None = None,
) -> ScoreModel:
    """Return the mixture's score with a residual wherever held-out rows call for one.

    Parameters
    ----------
    data : Data
        Rows (N, D), in the user's units.
    mixture : GaussianMixture
        Fitted to them, in the user's units.
    shift, scale : ndarray, shape (D,)
        Noise levels are standard deviations of (x - shift) / scale.
    random_seed : int, sequence of int, Generator or None
        Of the noise and the folds.
    cores : int or None
        Threads; the result does not depend on it.
    row_weights : ndarray, shape (N,), optional
        How often each row counts; a row of weight 2 is two rows.
    on_level : callable, optional
        Called as on_level(index, n_levels) after each noise level.

    Notes
    -----
    Per level, one least-squares problem over the features of all components; degree and ridge are
    chosen on inner folds, gains are measured on outer ones, and a cell (level, component) is
    switched on only if the largest studentised gain over all cells is significant at 5 % and its
    own passes Benjamini and Hochberg at 10 %. Active cells are then refitted on all rows.

    The components' polynomials are fitted together. On a ring of four components, fits of each
    component alone leave 0.78 of the mixture's sliced Wasserstein distance, the joint fit 0.48.

    Degrees 0 to 5 are tried while there are at most 200 columns, K (D + d)! / (D! d!), and at least
    5 rows for each; beyond that the residual is silent.
    """
    from threadpoolctl import threadpool_limits

    silent = ScoreModel.silent(mixture, shift, scale)
    rows = data.rows(shift, scale, row_weights)
    work = _Regression(silent.spectrum, rows, random_seed, cores)
    if work.p == 0:
        return silent
    sigmas = noise_levels(silent.spectrum.values)
    equations, moments, energies = [], [], []
    with threadpool_limits(1):
        for index, sigma in enumerate(sigmas):
            level = silent.spectrum.level(float(sigma))
            energy, own = work.equations(index, level)
            moments.append(work.gains(index, level, own))
            energies.append(energy)
            equations.append(own)
            if on_level is not None:
                on_level(index, len(sigmas))
        report = weigh(np.array(moments), np.array(energies), work.n_rows)
        active = active_cells(report)
        choices = [
            own.restricted(cells).best() if cells.any() else SILENT
            for own, cells in zip(equations, active)
        ]
        coefficients = [_among_all(*each) for each in zip(equations, active, choices)]
    degrees, ridges = (np.array(part) for part in zip(*choices))
    report = replace(report, degrees=degrees, ridges=ridges)
    return silent.with_residual(sigmas, np.array(coefficients), active, report)


def refit_score_model(
    model: ScoreModel,
    data: Data,
    mixture: GaussianMixture,
    *,
    row_weights: np.ndarray | None = None,
    random_seed: Seed = None,
    cores: int | None = None,
) -> ScoreModel:
    """Return the model fitted to reweighted rows: same cells, degrees and ridges, new coefficients.

    One weighted linear solve for each active level; what `fit_score_model` chose is kept.

    Parameters
    ----------
    model : ScoreModel
        Of `fit_score_model`.
    data : Data
        Rows (N, D), in the user's units.
    mixture : GaussianMixture
        Fitted to the reweighted rows, with the components in the order of the model's.
    row_weights : ndarray, shape (N,), optional
    random_seed : int, sequence of int, Generator or None
        Of the noise.
    cores : int or None
        Threads; the result does not depend on it.
    """
    silent = ScoreModel.silent(mixture, model.shift, model.scale)
    if model.report is None or model.is_silent:
        return silent
    rows = data.rows(model.shift, model.scale, row_weights)
    work = _Regression(silent.spectrum, rows, random_seed, cores)
    work.p = model.coefficients.shape[2]
    coefficients = np.zeros_like(model.coefficients)
    for index in np.flatnonzero(model.active.any(axis=1)):
        level = silent.spectrum.level(float(model.sigmas[index]))
        choice = Choice(int(model.report.degrees[index]), float(model.report.ridges[index]))
        equations = work.equations(int(index), level)[1]
        coefficients[index] = _among_all(equations, model.active[index], choice)
    return silent.with_residual(model.sigmas, coefficients, model.active, model.report)


def _among_all(equations: NormalEquations, active: np.ndarray, choice: Choice) -> np.ndarray:
    """Return coefficients (K, p, D) fitted on all rows, 0 for components that are not active."""
    n_components, p = len(active), equations.gram.shape[1] // len(active)
    coefficients = np.zeros((n_components, p, equations.n_features))
    if active.any():
        coefficients[active] = equations.restricted(active).solve(choice)
    return coefficients
