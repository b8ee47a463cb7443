"""A mixture in the eigenbasis of its components: every noise level is a diagonal rescaling."""

from dataclasses import dataclass

import numpy as np

from ..covariance import LOG_2PI
from ..kernels.bundles import Components
from ..kernels.regression import Level
from ..kernels.reverse import Step


@dataclass(frozen=True, eq=False)
class Spectrum:
    """One eigendecomposition per component, Sigma_j = V_j diag(v_j) V_j', for all noise levels.

    log_weights : (K,).   means : (K, D).   values : (K, D) eigenvalues, positive.
    vectors : (K, D, D) eigenvectors in columns, or (0,) when every covariance is diagonal: kernels
        then receive (K, D) instead of (K, D, D) and skip the rotations.
    """

    log_weights: np.ndarray
    means: np.ndarray
    values: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(cls, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> "Spectrum":
        """Return the spectrum of a mixture: weights (K,), means (K, D), covariances (K, D, D)."""
        with np.errstate(divide="ignore"):
            log_weights = np.log(weights)
        diagonals = np.diagonal(covariances, axis1=1, axis2=2)
        if np.array_equal(covariances, diagonals[:, :, None] * np.eye(means.shape[1])):
            return cls(log_weights, np.array(means), diagonals.copy(), np.zeros(0))
        values, vectors = np.linalg.eigh(covariances)
        return cls(log_weights, np.array(means), values, vectors)

    def _matrices(self, diagonals: np.ndarray) -> np.ndarray:
        """Return V_j diag(d_j), shape (K, D, D), or d_j, shape (K, D)."""
        if self.vectors.ndim == 1:
            return np.ascontiguousarray(diagonals)
        return self.vectors * diagonals[:, None, :]

    def components(self, sigma: float) -> Components:
        """Return the mixture noised by `sigma`, whitened by W_j = diag(v_j + sigma^2)^-1/2 V_j'."""
        variances = self.values + sigma * sigma
        constants = self.log_weights - 0.5 * (
            np.log(variances).sum(axis=1) + self.means.shape[1] * LOG_2PI
        )
        factors = self._matrices(1.0 / np.sqrt(variances))
        if factors.ndim == 3:
            factors = np.ascontiguousarray(np.swapaxes(factors, 1, 2))
        return Components(constants, self.means, factors)

    def pulls(self, sigma: float) -> np.ndarray:
        """Return W_j', with -sum_j p(j | y) W_j' u_j the score at noise level `sigma`."""
        return self._matrices(1.0 / np.sqrt(self.values + sigma * sigma))

    def level(self, sigma: float) -> Level:
        """Return what the regression kernels need at noise level `sigma`."""
        return Level(self.components(sigma), sigma * self.pulls(sigma), sigma)

    def roots(self, sigma: float) -> np.ndarray:
        """Return square roots of the noised covariances, for draws of the noised mixture."""
        return self._matrices(np.sqrt(self.values + sigma * sigma))

    def step(self, a: float, b: float, coefficients: np.ndarray) -> Step:
        """Return the reverse step from noise level `a` to `b` < `a`.

        coefficients (K, p, D) are the residual's at level a, p = 0 for none. With S_b S_a^-1 = V_j
        diag(g_j) V_j', g = (v + b^2) / (v + a^2), everything is diagonal in the same basis.
        """
        above, below = self.values + a * a, self.values + b * b
        fallen = (a - b) * (a + b)
        shifts = np.ascontiguousarray(np.swapaxes(coefficients, 1, 2) * (fallen / a))
        return Step(
            self.components(a),
            self._matrices(below / np.sqrt(above)),
            self._matrices(np.sqrt(fallen * below / above)),
            shifts,
        )
