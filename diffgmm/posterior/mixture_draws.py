"""Many draws of a mixture's parameters, evaluated at rows one draw after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..blocks import RowBlocks
from ..data import raw_rows
from ..errors import InvalidParameterError
from ..kernels import draws, gaussian
from ..kernels.bundles import Components
from .densities import contiguous, log_constants, probabilities

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
        matrices = contiguous(self.covariances)
        factors = np.empty(matrices.shape)
        square = (-1, *matrices.shape[-2:])
        flat, nothing = factors.reshape(square), np.empty(self.n_draws * self.n_components)
        if draws.whiten(matrices.reshape(square), ASYMMETRY, flat, nothing) > 0:
            raise InvalidParameterError(
                "covariances must be symmetric positive definite in every draw. "
                "Standard deviations or Cholesky factors must be turned into covariances first."
            )
        constants = log_constants(self.weights, factors, self.n_features)
        return Components(constants, contiguous(self.means), factors)

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
        constants, means, factors = self._all

        def work(start: int, stop: int) -> None:
            draws.log_densities(rows, constants, means, factors, start, stop, out)

        RowBlocks(*values.shape).map(work)
        return out

    def probabilities(self, values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Return p(component | row) of every row under the draws numbered `chosen`, (n, K, N)."""
        constants, means, factors = (array[chosen] for array in self._all)
        return probabilities(constants, means, factors, values)
