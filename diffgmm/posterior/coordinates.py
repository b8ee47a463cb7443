"""The posterior with allocations summed out, in the coordinates of `kernels.coordinates`.

They have no bounds, so that a normal or t law may resemble it. The gradient comes from the
statistics of one EM pass (Fisher's identity); C0 is integrated out where it is drawn.
"""

from dataclasses import dataclass

import numpy as np

from ..kernels.allocation import ChainDraws, ChainState
from ..kernels.bundles import Components, Rows
from ..kernels.coordinates import log_prior, write_coordinates, write_parameters
from ..kernels.moments import expectation
from .densities import log_constants
from .gibbs import Target, parameter_shapes, split

# Rows of which curvature is taken; it need not be exact.
ROWS_OF_CURVATURE = 20_000


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The log posterior of coordinates (P,), but for a constant.

    state : whose C0, if that is fixed, and known factors are used.
    """

    target: Target
    state: ChainState

    @property
    def n_different(self) -> int:
        """Number of covariances that are drawn."""
        second = self.state.second
        return second.shape[0] if second.shape[1] > 0 else 0

    @property
    def n_coordinates(self) -> int:
        """Their number P."""
        k, d = self.state.means.shape
        per_factor = {3: d * (d + 1) // 2, 2: d, 1: 1}[self.state.factors.ndim]
        return k - 1 + k * d + self.n_different * per_factor

    @property
    def some_rows(self) -> Rows:
        """Rows of which curvature is taken, evenly spread over all."""
        rows = self.target.rows
        step = -(-len(rows.values) // ROWS_OF_CURVATURE)
        return rows._replace(values=np.ascontiguousarray(rows.values[::step]))

    def of_draws(self, draws: ChainDraws) -> tuple[np.ndarray, np.ndarray]:
        """Return the coordinates (S, P) of recorded draws, and the log posterior there (S,)."""
        k, d = self.state.means.shape
        shapes = parameter_shapes(k, d, self.target.family)
        weights, means, _, factors = split(draws.parameters, shapes)
        out = np.empty((len(weights), self.n_coordinates))
        log_posterior = draws.log_likelihood.copy()
        prior, work = self.target.kernel_prior, np.empty((5, d, d))
        for s, own in enumerate(zip(weights, means, factors, strict=True)):
            write_coordinates(*own, self.n_different, out[s])
            log_posterior[s] += log_prior(prior, self.state.scale, *own, self.n_different, work)
        return out, log_posterior

    def value_and_gradient(self, point: np.ndarray, rows: Rows) -> tuple[float, np.ndarray]:
        """Return the log posterior and its gradient (P,), each of some `rows` counted for many."""
        state, prior, n_different = self.state, self.target.kernel_prior, self.n_different
        weights, means, factors = (
            array.copy() for array in (state.weights, state.means, state.factors)
        )
        write_parameters(point, n_different, weights, means, factors)
        k, d = means.shape
        statistics = (
            np.zeros(k),
            np.zeros((k, d)),
            np.zeros((k, d, d) if factors.ndim == 3 else (k, d)),
        )
        components = Components(log_constants(weights, factors, d), means, factors)
        value = expectation(rows, components, 0, len(rows.values), statistics)
        times = self.target.data.n_rows / len(rows.values)
        own = (state.scale, weights, means, factors, n_different)
        value = times * value + log_prior(prior, *own, np.empty((5, d, d)))
        counts, first, second = (times * array for array in statistics)
        filled = counts + prior.concentration
        if factors.ndim == 3:
            pull = np.einsum("kba,kbc,kc->ka", factors, factors, first)
        else:
            pull = np.square(factors.reshape(k, -1)) * first
        parts = [
            (filled - filled.sum() * weights)[:-1],
            pull + prior.mean_linear - means @ prior.mean_precision,
        ]
        if n_different > 0 and factors.ndim == 3:
            parts.append(self._by_matrices(factors, counts, second))
        elif n_different > 0:
            parts.append(self._by_variances(factors, counts, second))
        return value, np.concatenate([part.ravel() for part in parts])

    def _by_matrices(self, factors, counts, second):
        """Return the gradient by log W_aa and W_ab / W_aa (M, D (D + 1) / 2), row by row."""
        prior, scale, n_different = self.target.kernel_prior, self.state.scale, self.n_different
        own, d = factors[:n_different], factors.shape[1]
        second = second + np.swapaxes(np.tril(second, -1), 1, 2)  # lower triangles are written
        if n_different < len(factors):
            counts, second = counts.sum(keepdims=True), second.sum(axis=0, keepdims=True)
        if prior.hyper_df > 0.0:
            rate = prior.hyper_rate + np.einsum("kba,kbc->ac", own, own)
            scale = self._shape_of_scale * np.linalg.inv(rate)
        product = own @ (second + 2.0 * scale)
        n = counts[:, None] + prior.covariance_df - d + 1.0 + 2.0 * np.arange(d)
        by_log = n - np.einsum("kab,kab->ka", product, own)
        by_ratio = -product * np.diagonal(own, axis1=1, axis2=2)[:, :, None]
        lines = [np.column_stack([by_log[:, a], by_ratio[:, a, :a]]) for a in range(d)]
        return np.concatenate(lines, axis=1)

    def _by_variances(self, factors, counts, second):
        """Return the gradient by log W, of the shape of factors."""
        prior, scale = self.target.kernel_prior, self.state.scale[:, 0]
        squares, d = np.square(factors), second.shape[1]
        n, rate = counts[:, None], np.diag(prior.hyper_rate)
        if factors.ndim == 1:  # one variance of all features
            n, second, rate, scale = d * counts, second.sum(axis=1), rate[0], scale[0]
        if prior.hyper_df > 0.0:
            scale = self._shape_of_scale / (rate + squares.sum(axis=0))
        return n + prior.covariance_df - squares * (second + 2.0 * scale)

    @property
    def _shape_of_scale(self) -> float:
        """Return g0 + M c0, the shape of C0 given the covariances."""
        prior = self.target.kernel_prior
        return 0.5 * (prior.hyper_df + self.n_different * prior.covariance_df)
