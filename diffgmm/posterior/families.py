"""The prior of covariances, family by family: the one place of `posterior` where families differ.

A covariance is inverse Wishart, a variance inverse gamma: the same law for one feature. Their half
scale C0 is fixed, or drawn from a Wishart or a gamma law with the shape g0 and the rate G0. Adding a
family means adding a class and an entry to `COVARIANCE_PRIORS`, beside `covariance.FAMILIES`.

The kernel keeps whitening factors, second moments and C0 in arrays whose shapes are listed in
`kernels.allocation`; "user's" arrays are those of `Prior` and of the posterior's variables.
"""

from typing import Any, Protocol

import numpy as np

from ..errors import InvalidParameterError
from ..kernels.allocation import ConjugatePrior
from .matrix_priors import FullPrior, TiedPrior
from .variance_priors import DiagPrior, SphericalPrior

Shape = tuple[int, ...]


class CovariancePrior(Protocol):
    """What the prior of a family's covariances must be able to do; K components, D features.

    dims, scale_dims : of `covariances` and C0 in InferenceData, after chain and draw.
    is_free : whether there are covariances to draw.
    is_labelled : whether each component has its own.
    """

    dims: tuple[str, ...]
    scale_dims: tuple[str, ...]
    is_free: bool
    is_labelled: bool

    def check_shape(self, name: str, value: Any, d: int) -> float:
        """Return c0 or g0 as a number for which the law exists."""

    def check_scale(self, name: str, value: Any, d: int) -> Any:
        """Return C0 or G0 in its shape, positive."""

    def weakly_informative(self, squares: np.ndarray) -> dict[str, Any]:
        """Return c0, g0 and G0 for squared ranges (D,)."""

    def unit(self, scale: np.ndarray) -> Any:
        """Return what C0 is divided by when the features are divided by `scale` (D,)."""

    def draw(
        self, c0: float, C0: Any, shape: tuple[int, int], rng: np.random.Generator
    ) -> np.ndarray:
        """Return S draws for each of K components, `shape` (S, K), under one C0 or S of them."""

    def draw_scale(self, g0: float, G0: Any, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return n draws of C0."""

    def log_density(self, covariances: np.ndarray, c0: float, C0: Any) -> np.ndarray:
        """Return the log density of covariances (..., K, ...), summed over components: (...,)."""

    def log_density_scale(self, C0: np.ndarray, g0: float, G0: Any) -> np.ndarray:
        """Return the log density of C0 (...,)."""

    def kernel_shapes(self, k: int, d: int) -> tuple[Shape, Shape, Shape]:
        """Return the kernel's shapes of C0, factors and second moments."""

    def kernel_scale(self, C0: Any) -> np.ndarray:
        """Return C0 as the kernel keeps it."""

    def kernel_rate(self, G0: Any, d: int) -> np.ndarray:
        """Return G0 as a matrix (D, D)."""

    def expected_scale(self, prior: ConjugatePrior, factors: np.ndarray) -> np.ndarray:
        """Return the mean of C0 given the factors of a state, as the kernel keeps it."""

    def scale_of(self, scales: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Return the user's C0 from the kernel's (C, S, ...), features multiplied by `scale`."""

    def covariances_of(self, factors: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
        """Return the user's covariances from factors (C, S, K, ...); None when known."""

    def per_component(self, covariances: np.ndarray | None, k: int) -> np.ndarray:
        """Return one draw's covariances in the shape of `covariance.Family`, K entries."""

    def as_full(self, covariances: np.ndarray | None, k: int, d: int) -> np.ndarray:
        """Return matrices (..., K, D, D) from the user's covariances; (K, D, D) when known."""


class IdentityPrior:
    """Known unit covariance in the user's units: nothing to draw, c0, C0, g0 and G0 are None."""

    dims: tuple[str, ...] = ()
    scale_dims: tuple[str, ...] = ()
    is_free = False
    is_labelled = False

    def weakly_informative(self, squares):
        """Return nothing."""
        return {}

    def kernel_shapes(self, k, d):
        """Return factors only."""
        return (0, 0), (k,), (k, 0)

    def covariances_of(self, factors, scale):
        """Return None."""

    def per_component(self, covariances, k):
        """Return ones (K,)."""
        return np.ones(k)

    def as_full(self, covariances, k, d):
        """Return identity matrices (K, D, D)."""
        return np.broadcast_to(np.eye(d), (k, d, d))


COVARIANCE_PRIORS: dict[str, Any] = {
    "full": FullPrior(),
    "tied": TiedPrior(),
    "diag": DiagPrior(),
    "spherical": SphericalPrior(),
    "identity": IdentityPrior(),
}


def covariance_prior(covariance_type: str) -> CovariancePrior:
    """Return the prior of the covariances of the family named `covariance_type`."""
    try:
        return COVARIANCE_PRIORS[covariance_type]
    except (KeyError, TypeError):
        raise InvalidParameterError(
            f"A posterior needs covariance_type in {', '.join(map(repr, COVARIANCE_PRIORS))}, "
            f"got {covariance_type!r}."
        ) from None
