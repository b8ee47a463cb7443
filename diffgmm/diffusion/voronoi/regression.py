"""The regression at one noise level: a pass over rows, and a polynomial for every cell."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..._seeding import stream
from ...blocks import RowBlocks
from ...data import Data
from ...kernels import voronoi
from ...matrices import symmetric
from ..normal_equations import n_polynomials
from .cells import Cells, sort_rows
from .equations import best_polynomial

# Rows per coefficient below which a cell falls back to a lower degree.
ROWS_PER_COLUMN = 3

# Folds of rows, on which each cell's degree and ridge are chosen.
N_FOLDS = 5

# Most entries of the Gram matrices of all cells and folds of a level: 8 MB, which is 447
# polynomials of one cell and 115 of each of fifteen.
MAX_GRAM = 1_000_000

# Noise pairs are drawn until there are so many, at least 2 and at most 16 of each row.
N_PAIRS = 20_000

# As in `diffusion.regression`: the work per row allows the small chunks of higher dimensions.
CHUNK_FEATURES = 5


class CellRegression:
    """The passes over rows (N, D) of one fit. Same results for any number of threads.

    noise_scale : sigma_0, in standardised units like everything here.
    """

    def __init__(
        self,
        data: Data,
        scale: np.ndarray,
        noise_scale: float,
        degree: int,
        sequence: np.random.SeedSequence,
        cores: int | None,
    ) -> None:
        self.data, self.scale, self.degree = data, scale, degree
        self.noise_scale, self.sequence = noise_scale, sequence
        self.n_pairs = int(np.clip(-(-N_PAIRS // data.n_rows), 2, 16))
        self.blocks = RowBlocks(data.n_rows, max(data.n_features, CHUNK_FEATURES), cores)

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """Return these rows in standardised units."""
        return (self.data.values[numbers] - self.data.means) / self.scale

    def fit(self, centres: np.ndarray, parents: np.ndarray, sigma: float, index: int) -> Cells:
        """Return the cells of centres (J, D) at noise level number `index`, with polynomials.

        The target of y = x + sigma xi is z = y + (sigma_0^2 / sigma^2 + 1) (x - y). Its mean given
        y is y + (sigma_0^2 + sigma^2) score(y), whatever sigma_0 is.
        """
        deviation = float(np.hypot(sigma, self.noise_scale))
        empty = self._empty(centres, parents, sigma, deviation)
        j, d, p = empty.coefficients.shape
        pull = (deviation / sigma) ** 2

        def work(start: int, stop: int, sums: tuple[np.ndarray, ...]) -> float:
            gram, right, counts = sums
            for fold, x, noise in self._noised(index, sigma, start, stop):
                y, z = x + noise, x + (1.0 - pull) * noise
                rows = sort_rows(y, empty.centres)
                counts += np.diff(rows.starts)
                own = gram[fold], right[fold]
                voronoi.normal_equations(y, z, rows, empty.centres, deviation, *own)
            return 0.0

        shapes = ((N_FOLDS, j, p, p), (N_FOLDS, j, d, p), (j,))
        gram, right, counts = self.blocks.sum(work, shapes)[1]
        counts /= 2 * self.n_pairs
        gram = symmetric(gram)
        fits = [
            best_polynomial(gram[:, own], right[:, own], self._sizes(counts[own], p))
            for own in range(j)
        ]
        degrees, coefficients = (np.array(part) for part in zip(*fits))
        return replace(empty, counts=counts, degrees=degrees, coefficients=coefficients)

    def _empty(
        self, centres: np.ndarray, parents: np.ndarray, sigma: float, deviation: float
    ) -> Cells:
        """Return the cells without polynomials, with room for as many as any of them may have."""
        j, d = centres.shape
        p = self._sizes(self.data.n_rows, np.sqrt(MAX_GRAM / (N_FOLDS * j)))[-1]
        return Cells(
            sigma=sigma,
            deviation=deviation,
            centres=centres,
            parents=parents,
            counts=np.zeros(j),
            degrees=np.zeros(j, int),
            coefficients=np.zeros((j, d, p)),
        )

    def _sizes(self, n_rows: float, most: float) -> list[int]:
        """Return the numbers of polynomials of degree 0, 1, ... that `n_rows` rows allow."""
        sizes = [n_polynomials(self.data.n_features, degree) for degree in range(self.degree + 1)]
        return [p for p in sizes if p == 1 or p <= min(most, n_rows / ROWS_PER_COLUMN)]

    def _noised(
        self, index: int, sigma: float, start: int, stop: int
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield fold number, rows and noise of every antithetic copy of a chunk's rows."""
        order = start + stream(self.sequence, 0, start).permutation(stop - start)
        rng = stream(self.sequence, 1, index, start)
        for fold, own in enumerate(np.array_split(order, N_FOLDS)):
            x = self.rows(own)
            for _ in range(self.n_pairs):
                noise = sigma * rng.standard_normal(x.shape)
                yield fold, x, noise
                yield fold, x, -noise
