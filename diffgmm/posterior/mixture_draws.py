"""Many draws of a mixture's parameters, evaluated at rows one draw after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..blocks import RowBlocks
from ..covariance import LOG_2PI
from ..data import raw_rows
from ..errors import InvalidParameterError
from ..kernels import gaussian
from ..kernels.bundles import Components

# Rounding of single-precision draws: covariances farther from symmetric are none.
ASYMMETRY = 1e-5


@dataclass(frozen=True, eq=False)
class MixtureDraws:
    """S draws of a mixture of K Gaussians in D dimensions, in the user's units.

    weights (S, K); means (S, K, D); covariances (S, K, D, D).
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    @property
    def n_draws(self) -> int:
        """Number of draws S, of all chains."""
        return len(self.weights)

    @property
    def n_components(self) -> int:
        """Number of components K."""
        return self.weights.shape[1]

    @property
    def n_features(self) -> int:
        """Number of features D."""
        return self.means.shape[2]

    @cached_property
    def _all(self) -> Components:
        try:
            # cholesky looks at one triangle only, and would take a Cholesky factor for a matrix.
            transposed = np.swapaxes(self.covariances, -1, -2)
            size = np.abs(self.covariances).max(axis=(-2, -1), keepdims=True)
            if np.any(np.abs(self.covariances - transposed) > ASYMMETRY * size):
                raise np.linalg.LinAlgError
            roots = np.linalg.cholesky(self.covariances)
        except np.linalg.LinAlgError:
            raise InvalidParameterError(
                "covariances must be symmetric positive definite in every draw. "
                "Standard deviations or Cholesky factors must be turned into covariances first."
            ) from None
        factors = np.ascontiguousarray(np.tril(np.linalg.inv(roots)))
        log_det = np.log(np.diagonal(factors, axis1=-2, axis2=-1)).sum(axis=-1)
        with np.errstate(divide="ignore"):
            log_weights = np.log(self.weights)
        constants = log_weights + log_det - 0.5 * self.n_features * LOG_2PI
        return Components(constants, np.array(self.means, float, order="C"), factors)

    def component(self, s: int) -> Components:
        """Return what kernels need of draw `s`."""
        constants, means, factors = self._all
        return Components(constants[s], means[s], factors[s])

    def select(self, index: np.ndarray) -> "MixtureDraws":
        """Return the draws numbered `index`."""
        return MixtureDraws(self.weights[index], self.means[index], self.covariances[index])

    def marginal(self, features: list[int]) -> "MixtureDraws":
        """Return the draws' law of some features."""
        square = self.covariances[:, :, features][:, :, :, features]
        return MixtureDraws(self.weights, self.means[:, :, features], square)

    def responsibilities(self, values: np.ndarray) -> Iterator[np.ndarray]:
        """Yield p(component | row) of each draw, (N, K), in memory that is used again."""
        rows, out = raw_rows(values), np.empty((len(values), self.n_components))
        for s in range(self.n_draws):
            gaussian.responsibilities(rows, self.component(s), 0, len(values), out)
            yield out

    def log_density(self, values: np.ndarray) -> np.ndarray:
        """Return the log density of every row under every draw, (S, N), in nats."""
        rows, out = raw_rows(values), np.empty((self.n_draws, len(values)))
        self.component(0)  # before threads ask for it

        def work(start: int, stop: int) -> None:
            for s in range(self.n_draws):
                gaussian.log_density(rows, self.component(s), start, stop, out[s])

        RowBlocks(*values.shape).map(work)
        return out
