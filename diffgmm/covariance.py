"""Covariance families: the one place that knows what distinguishes full from identity.

Kernels see a family only through the number of dimensions of its arrays (see
`kernels.bundles.Components`). Adding a family means adding a class here and an entry to `FAMILIES`.

Shapes: every family keeps one entry per component, so that components can be selected, merged and
split alike: full and tied (K, D, D), diag (K, D), spherical and identity (K,).
"""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from .errors import InvalidParameterError
from .kernels import moments
from .kernels.bundles import Components
from .matrices import (
    EIGENVALUE_FLOOR,
    LARGEST_WHOLE,
    floor_eigenvalues,
    inverse_cholesky,
    inverse_roots,
    symmetric,
)

LOG_2PI = math.log(2.0 * math.pi)

Scaling = Literal["feature", "common", "none"]


class Family(Protocol):
    """What a covariance family must be able to do; K components, D features.

    name : scikit-learn's word for it.
    scaling : which scaling of columns leaves the family unchanged: each on its own, all alike, none.
    is_free : whether covariances are estimated.
    is_shared : whether components keep their covariance when they merge.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def scaling(self) -> Scaling: ...  # noqa: D102
    @property
    def is_free(self) -> bool: ...  # noqa: D102
    @property
    def is_shared(self) -> bool: ...  # noqa: D102

    def moment_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """Return the shape of the second moments that its updates need."""

    def estimate(
        self,
        counts: np.ndarray,
        first: np.ndarray,
        second: np.ndarray,
        floor: float = EIGENVALUE_FLOOR,
    ) -> np.ndarray:
        """Return maximum likelihood covariances from moments about the old means.

        Eigenvalues are at least `floor`; 0 leaves them as they are.
        """

    def factors(self, covariances: np.ndarray, n_features: int) -> tuple[np.ndarray, np.ndarray]:
        """Return whitening factors and the log determinants (K,); LinAlgError if not definite."""

    def spread(self, steps: np.ndarray) -> np.ndarray:
        """Return the covariances of steps (K, D), seen as means of a pair around their centre."""

    def rescale(self, covariances: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Return covariances after multiplying the features by `scale` (D,)."""

    def from_full(self, covariances: np.ndarray) -> np.ndarray:
        """Return the family's covariances closest to matrices (K, D, D)."""

    def as_full(self, covariances: np.ndarray, n_features: int) -> np.ndarray:
        """Return matrices (K, D, D)."""

    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Return how many free numbers the covariances have."""


@dataclass(frozen=True)
class FullCovariance:
    """One symmetric positive definite matrix per component: covariances (K, D, D)."""

    name: str = "full"
    scaling: Scaling = "feature"
    is_free: bool = True
    is_shared: bool = False

    def moment_shape(self, n_components, n_features):
        """Return (K, D, D)."""
        return (n_components, n_features, n_features)

    def estimate(self, counts, first, second, floor=EIGENVALUE_FLOOR):
        """Return second / counts minus the square of the mean's step, eigenvalues floored."""
        if first.shape[1] <= LARGEST_WHOLE:
            covariances = np.empty(second.shape)
            n_low = moments.write_covariances(counts, first, second, floor, covariances)
            return floor_eigenvalues(covariances, floor) if n_low > 0 else covariances
        step = first / counts[:, None]
        raw = symmetric(second) / counts[:, None, None]
        return floor_eigenvalues(raw - step[:, :, None] * step[:, None, :], floor)

    def factors(self, covariances, n_features):
        """Return inverse Cholesky factors (K, D, D) and log determinants (K,)."""
        return inverse_cholesky(covariances)

    def spread(self, steps):
        """Return outer products (K, D, D)."""
        return steps[:, :, None] * steps[:, None, :]

    def rescale(self, covariances, scale):
        """Multiply rows and columns by `scale`."""
        return covariances * (scale[:, None] * scale)

    def from_full(self, covariances):
        """Return (K, D, D)."""
        return np.array(covariances)

    def as_full(self, covariances, n_features):
        """Return (K, D, D)."""
        return covariances

    def n_parameters(self, n_components, n_features):
        """Return K D (D + 1) / 2."""
        return n_components * n_features * (n_features + 1) // 2


@dataclass(frozen=True)
class TiedCovariance:
    """One symmetric positive definite matrix for all components: K equal copies (K, D, D)."""

    name: str = "tied"
    scaling: Scaling = "feature"
    is_free: bool = True
    is_shared: bool = True

    moment_shape = FullCovariance.moment_shape
    spread = FullCovariance.spread
    rescale = FullCovariance.rescale
    as_full = FullCovariance.as_full

    def estimate(self, counts, first, second, floor=EIGENVALUE_FLOOR):
        """Return the pooled covariance, eigenvalues floored."""
        step = first / counts[:, None]
        pooled = symmetric(second.sum(axis=0) - first.T @ step)
        one = floor_eigenvalues(pooled[None] / counts.sum(), floor)
        return np.repeat(one, len(counts), axis=0)

    def factors(self, covariances, n_features):
        """Return inverse Cholesky factors (K, D, D) and log determinants (K,)."""
        factor, log_determinant = inverse_cholesky(covariances[:1])
        k = len(covariances)
        return np.repeat(factor, k, axis=0), np.repeat(log_determinant, k)

    def from_full(self, covariances):
        """Return K copies of the mean matrix."""
        return np.repeat(np.mean(covariances, axis=0, keepdims=True), len(covariances), axis=0)

    def n_parameters(self, n_components, n_features):
        """Return D (D + 1) / 2."""
        return n_features * (n_features + 1) // 2


@dataclass(frozen=True)
class DiagCovariance:
    """Independent features within a component: variances (K, D)."""

    name: str = "diag"
    scaling: Scaling = "feature"
    is_free: bool = True
    is_shared: bool = False

    def moment_shape(self, n_components, n_features):
        """Return (K, D)."""
        return (n_components, n_features)

    def estimate(self, counts, first, second, floor=EIGENVALUE_FLOOR):
        """Return variances about the new means, floored."""
        step = first / counts[:, None]
        return np.maximum(second / counts[:, None] - step**2, floor)

    def factors(self, covariances, n_features):
        """Return inverse standard deviations (K, D) and log determinants (K,)."""
        return inverse_roots(covariances), np.log(covariances).sum(axis=1)

    def spread(self, steps):
        """Return squares (K, D)."""
        return steps**2

    def rescale(self, covariances, scale):
        """Multiply variances by squared `scale`."""
        return covariances * scale**2

    def from_full(self, covariances):
        """Return diagonals (K, D)."""
        return np.diagonal(covariances, axis1=1, axis2=2).copy()

    def as_full(self, covariances, n_features):
        """Return diagonal matrices (K, D, D)."""
        return covariances[:, :, None] * np.eye(n_features)

    def n_parameters(self, n_components, n_features):
        """Return K D."""
        return n_components * n_features


@dataclass(frozen=True)
class SphericalCovariance:
    """One variance per component: variances (K,)."""

    name: str = "spherical"
    scaling: Scaling = "common"
    is_free: bool = True
    is_shared: bool = False

    def moment_shape(self, n_components, n_features):
        """Return (K, D): the mean over features is taken afterwards."""
        return (n_components, n_features)

    def estimate(self, counts, first, second, floor=EIGENVALUE_FLOOR):
        """Return mean variances over features about the new means, floored."""
        step = first / counts[:, None]
        variances = np.mean(second / counts[:, None] - step**2, axis=1)
        return np.maximum(variances, floor)

    def factors(self, covariances, n_features):
        """Return inverse standard deviations (K,) and log determinants (K,)."""
        return inverse_roots(covariances), n_features * np.log(covariances)

    def spread(self, steps):
        """Return mean squares (K,)."""
        return np.mean(steps**2, axis=1)

    def rescale(self, covariances, scale):
        """Multiply variances by the square of the one scale."""
        return covariances * scale[0] ** 2

    def from_full(self, covariances):
        """Return mean variances (K,)."""
        return np.trace(covariances, axis1=1, axis2=2) / np.shape(covariances)[1]

    def as_full(self, covariances, n_features):
        """Return multiples of the identity (K, D, D)."""
        return covariances[:, None, None] * np.eye(n_features)

    def n_parameters(self, n_components, n_features):
        """Return K."""
        return n_components


@dataclass(frozen=True)
class IdentityCovariance:
    """Known unit covariance in the user's units: covariances are ones (K,)."""

    name: str = "identity"
    scaling: Scaling = "none"
    is_free: bool = False
    is_shared: bool = True

    def moment_shape(self, n_components, n_features):
        """Return (K, 0): no second moments are needed."""
        return (n_components, 0)

    def estimate(self, counts, first, second, floor=EIGENVALUE_FLOOR):
        """Return ones (K,)."""
        return np.ones(len(counts))

    def factors(self, covariances, n_features):
        """Return ones (K,) and log determinants 0 (K,)."""
        return np.ones(len(covariances)), np.zeros(len(covariances))

    def spread(self, steps):
        """Return zeros (K,): merging leaves the covariance as it is known."""
        return np.zeros(len(steps))

    def rescale(self, covariances, scale):
        """Return ones (K,)."""
        return covariances

    def from_full(self, covariances):
        """Return ones (K,)."""
        return np.ones(len(covariances))

    def as_full(self, covariances, n_features):
        """Return identity matrices (K, D, D)."""
        return np.repeat(np.eye(n_features)[None], len(covariances), axis=0)

    def n_parameters(self, n_components, n_features):
        """Return 0."""
        return 0


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        FullCovariance(),
        TiedCovariance(),
        DiagCovariance(),
        SphericalCovariance(),
        IdentityCovariance(),
    )
}
CovarianceType = Literal["full", "tied", "diag", "spherical", "identity"]


def family_of(covariance_type: str) -> Family:
    """Return the family named `covariance_type`."""
    try:
        return FAMILIES[covariance_type]
    except (KeyError, TypeError):
        raise InvalidParameterError(
            f"covariance_type must be one of {', '.join(map(repr, FAMILIES))}, "
            f"got {covariance_type!r}."
        ) from None


def components_of(
    weights: np.ndarray, means: np.ndarray, covariances: np.ndarray, family: Family
) -> Components:
    """Return what kernels need of a mixture: weights (K,), means (K, D), its family's covariances."""
    factors, log_determinants = family.factors(covariances, means.shape[1])
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)
    constants = log_weights - 0.5 * (log_determinants + means.shape[1] * LOG_2PI)
    return Components(constants, np.array(means, float, order="C"), np.ascontiguousarray(factors))
