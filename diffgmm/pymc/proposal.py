"""The global proposal: a mixture of Gaussians with a share of wide t distributions, frozen."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..matrices import inverse_cholesky
from ..mixture import GaussianMixture

# Share, degrees of freedom and width of the t distributions: they keep the ratio of target and
# proposal bounded where a Gaussian's tails fall faster than the target's (Hesterberg 1995,
# doi:10.1080/00401706.1995.10484303).
DEFENSIVE_SHARE, DEFENSIVE_DF, DEFENSIVE_WIDTH = 0.1, 5.0, 1.5


@dataclass(frozen=True, eq=False)
class Proposal:
    """sum_k w_k ((1 - e) N(m_k, S_k) + e t_5(m_k, 1.5^2 S_k)) on the unconstrained space."""

    mixture: GaussianMixture

    @cached_property
    def _factors(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        factors, log_dets = inverse_cholesky(self.mixture.covariances)
        with np.errstate(divide="ignore"):
            return factors, np.log(self.mixture.weights) - 0.5 * log_dets, np.linalg.inv(factors)

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return the log density of points (N, D), (N,)."""
        return np.logaddexp.reduce(self._log_joint(x), axis=1)

    def _log_joint(self, x: np.ndarray) -> np.ndarray:
        factors, constants, _ = self._factors
        d, df, wide = x.shape[1], DEFENSIVE_DF, DEFENSIVE_WIDTH
        white = np.einsum("kab,nkb->nka", factors, x[:, None] - self.mixture.means)
        square = np.einsum("nka,nka->nk", white, white)
        normal = -0.5 * square - 0.5 * d * math.log(2.0 * math.pi)
        student = (
            math.lgamma(0.5 * (df + d))
            - math.lgamma(0.5 * df)
            - 0.5 * d * math.log(df * math.pi)
            - d * math.log(wide)
            - 0.5 * (df + d) * np.log1p(square / (df * wide * wide))
        )
        both = np.logaddexp(
            math.log1p(-DEFENSIVE_SHARE) + normal, math.log(DEFENSIVE_SHARE) + student
        )
        return both + constants

    def responsibilities(self, x: np.ndarray) -> np.ndarray:
        """Return p(component | point), (N, K)."""
        joint = self._log_joint(x)
        return np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return n independent draws, (n, D)."""
        component = rng.choice(len(self.mixture.weights), size=n, p=self.mixture.weights)
        white = rng.standard_normal((n, self.mixture.n_features))
        wide = DEFENSIVE_WIDTH * np.sqrt(DEFENSIVE_DF / rng.chisquare(DEFENSIVE_DF, size=n))
        scale = np.where(rng.random(n) < DEFENSIVE_SHARE, wide, 1.0)
        step = np.einsum("nab,nb->na", self._factors[2][component], white)
        return self.mixture.means[component] + scale[:, None] * step

    def with_weights(self, weights: np.ndarray) -> "Proposal":
        """Return the proposal with other weights of its components."""
        old = self.mixture
        return Proposal(GaussianMixture(weights, old.means, old.covariances))

    @property
    def pooled_covariance(self) -> np.ndarray:
        """Mean covariance within components, (D, D): the metric of local moves."""
        return np.einsum("k,kab->ab", self.mixture.weights, self.mixture.covariances)
