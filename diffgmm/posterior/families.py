"""The prior of covariances, family by family: the one place of `posterior` where families differ.

A covariance is inverse Wishart, a variance inverse gamma: the same law for one feature. Their half
scale C0 is fixed, or drawn from a Wishart or a gamma law with the shape g0 and the rate G0. Adding a
family means adding a class here and an entry to `COVARIANCE_PRIORS`, beside `covariance.FAMILIES`.

The kernel keeps whitening factors, second moments and C0 in arrays whose shapes are listed in
`kernels.allocation`; "user's" arrays are those of `Prior` and of the posterior's variables.
"""

from typing import Any, Protocol

import numpy as np

from ..errors import InvalidParameterError
from ..kernels.allocation import ConjugatePrior
from . import laws
from .checks import above_degrees, positive, positive_definite, positive_entries

Shape = tuple[int, ...]

# The published prior: c0 for one feature, g0 for one feature, and the inverse of the prior mean of
# C0 in units of c0 R^2, R the range. Richardson and Green (1997), Stephens (1997).
SHAPE, HYPER_SHAPE, INVERSE_SHARE = 2.5, 0.5, 100.0


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


class FullPrior:
    """covariances_k ~ invwishart(2 c0, 2 C0), C0 ~ wishart(2 g0, (2 G0)^-1)."""

    dims: tuple[str, ...] = ("cluster", "feature", "feature_bis")
    scale_dims = ("feature", "feature_bis")
    is_free = True
    is_labelled = True

    def check_shape(self, name, value, d):
        """Return a number above (D - 1) / 2."""
        return above_degrees(name, value, d)

    def check_scale(self, name, value, d):
        """Return a symmetric positive definite matrix (D, D)."""
        return positive_definite(name, value, d)

    def weakly_informative(self, squares):
        """Return the published numbers: (D - 1) / 2 more in both shapes than for one feature."""
        more = (len(squares) - 1) / 2
        c0, g0 = SHAPE + more, HYPER_SHAPE + more
        return {"c0": c0, "g0": g0, "G0": np.diag(INVERSE_SHARE * g0 / c0 / squares)}

    def unit(self, scale):
        """Return products (D, D)."""
        return np.outer(scale, scale)

    def draw(self, c0, C0, shape, rng):
        """Return (S, K, D, D)."""
        d = np.shape(C0)[-1]
        scales = np.broadcast_to(np.expand_dims(C0, -3), (*shape, d, d))
        return laws.draw_inverse_wishart(c0, scales, rng)

    def draw_scale(self, g0, G0, n, rng):
        """Return (n, D, D)."""
        return laws.draw_wishart(g0, G0, n, rng)

    def log_density(self, covariances, c0, C0):
        """Return the sum over components."""
        own = laws.log_inverse_wishart(covariances, c0, np.expand_dims(C0, -3))
        return own.sum(axis=-1)

    def log_density_scale(self, C0, g0, G0):
        """Return that of a Wishart law."""
        return laws.log_wishart(C0, g0, G0)

    def kernel_shapes(self, k, d):
        """Return matrices."""
        return (d, d), (k, d, d), (k, d, d)

    def kernel_scale(self, C0):
        """Return it as it is."""
        return C0

    def kernel_rate(self, G0, d):
        """Return it as it is."""
        return np.array(G0)

    def expected_scale(self, prior, factors):
        """Return the mean of wishart(2 (g0 + K c0), (2 (G0 + sum of precisions))^-1)."""
        precisions = np.swapaxes(factors, 1, 2) @ factors
        shape = 0.5 * (prior.hyper_df + len(factors) * prior.covariance_df)
        return shape * np.linalg.inv(prior.hyper_rate + precisions.sum(axis=0))

    def scale_of(self, scales, scale):
        """Return (C, S, D, D)."""
        return scales * np.outer(scale, scale)

    def covariances_of(self, factors, scale):
        """Return (C, S, K, D, D)."""
        out = np.empty(factors.shape)
        for chain, own in enumerate(factors):
            roots = scale[:, None] * np.linalg.inv(own)
            np.matmul(roots, np.swapaxes(roots, -1, -2), out=out[chain])
        return out

    def per_component(self, covariances, k):
        """Return them as they are."""
        return covariances

    def as_full(self, covariances, k, d):
        """Return them as they are."""
        return covariances


class TiedPrior(FullPrior):
    """covariances ~ invwishart(2 c0, 2 C0), one for all components."""

    dims = ("feature", "feature_bis")
    is_labelled = False

    def draw(self, c0, C0, shape, rng):
        """Return (S, D, D)."""
        return super().draw(c0, C0, (shape[0], 1), rng)[:, 0]

    def log_density(self, covariances, c0, C0):
        """Return that of the one covariance."""
        return laws.log_inverse_wishart(covariances, c0, C0)

    def kernel_shapes(self, k, d):
        """Return matrices, second moments summed over components."""
        return (d, d), (k, d, d), (1, d, d)

    def expected_scale(self, prior, factors):
        """Return the mean given one precision."""
        return super().expected_scale(prior, factors[:1])

    def covariances_of(self, factors, scale):
        """Return (C, S, D, D)."""
        return super().covariances_of(factors[:, :, :1], scale)[:, :, 0]

    def per_component(self, covariances, k):
        """Return K copies."""
        return np.repeat(covariances[None], k, axis=0)

    def as_full(self, covariances, k, d):
        """Return K copies."""
        return np.repeat(covariances[..., None, :, :], k, axis=-3)


class DiagPrior:
    """covariances_ka ~ invgamma(c0, scale=C0_a), C0_a ~ gamma(g0, scale=1 / G0_a)."""

    dims: tuple[str, ...] = ("cluster", "feature")
    scale_dims: tuple[str, ...] = ("feature",)
    is_free = True
    is_labelled = True

    def check_shape(self, name, value, d):
        """Return a positive number."""
        return positive(name, value)

    def check_scale(self, name, value, d):
        """Return positive numbers (D,)."""
        return positive_entries(name, value, d)

    def weakly_informative(self, squares):
        """Return the published numbers of one feature, for each feature."""
        G0 = INVERSE_SHARE * HYPER_SHAPE / SHAPE / squares
        return {"c0": SHAPE, "g0": HYPER_SHAPE, "G0": G0}

    def unit(self, scale):
        """Return squares (D,)."""
        return scale**2

    def draw(self, c0, C0, shape, rng):
        """Return (S, K, D)."""
        scales = np.broadcast_to(np.expand_dims(C0, -2), (*shape, np.shape(C0)[-1]))
        return laws.draw_inverse_gamma(c0, scales, rng)

    def draw_scale(self, g0, G0, n, rng):
        """Return (n, D)."""
        return laws.draw_gamma(g0, np.broadcast_to(G0, (n, *np.shape(G0))), rng)

    def log_density(self, covariances, c0, C0):
        """Return the sum over components and features."""
        own = laws.log_inverse_gamma(covariances, c0, np.expand_dims(C0, -2))
        return own.sum(axis=(-1, -2))

    def log_density_scale(self, C0, g0, G0):
        """Return the sum over features."""
        return laws.log_gamma(C0, g0, G0).sum(axis=-1)

    def kernel_shapes(self, k, d):
        """Return one entry per feature."""
        return (d, 1), (k, d), (k, d)

    def kernel_scale(self, C0):
        """Return a column (D, 1)."""
        return np.reshape(C0, (-1, 1))

    def kernel_rate(self, G0, d):
        """Return a diagonal matrix."""
        return np.diag(G0)

    def expected_scale(self, prior, factors):
        """Return the mean of gamma(g0 + K c0) with the rates G0 + sum of precisions."""
        shape = 0.5 * (prior.hyper_df + len(factors) * prior.covariance_df)
        rate = np.diag(prior.hyper_rate) + np.square(factors).sum(axis=0)
        return (shape / rate)[:, None]

    def scale_of(self, scales, scale):
        """Return (C, S, D)."""
        return scales[..., 0] * scale**2

    def covariances_of(self, factors, scale):
        """Return (C, S, K, D)."""
        return np.square(scale / factors)

    def per_component(self, covariances, k):
        """Return them as they are."""
        return covariances

    def as_full(self, covariances, k, d):
        """Return diagonal matrices."""
        return covariances[..., None] * np.eye(d)


class SphericalPrior(DiagPrior):
    """covariances_k ~ invgamma(c0, scale=C0), C0 ~ gamma(g0, scale=1 / G0), numbers."""

    dims = ("cluster",)
    scale_dims = ()

    def check_scale(self, name, value, d):
        """Return a positive number."""
        return positive(name, value)

    def weakly_informative(self, squares):
        """Return the published numbers of one feature, at the mean squared range."""
        numbers = super().weakly_informative(np.mean(squares))
        return {**numbers, "G0": float(numbers["G0"])}

    def unit(self, scale):
        """Return the square of the one scale."""
        return float(scale[0] ** 2)

    def draw(self, c0, C0, shape, rng):
        """Return (S, K)."""
        scales = np.broadcast_to(np.expand_dims(C0, -1), shape)
        return laws.draw_inverse_gamma(c0, scales, rng)

    def log_density(self, covariances, c0, C0):
        """Return the sum over components."""
        own = laws.log_inverse_gamma(covariances, c0, np.expand_dims(C0, -1))
        return own.sum(axis=-1)

    def log_density_scale(self, C0, g0, G0):
        """Return that of a gamma law."""
        return laws.log_gamma(C0, g0, G0)

    def kernel_shapes(self, k, d):
        """Return one entry, squares summed over features."""
        return (1, 1), (k,), (k, 1)

    def kernel_scale(self, C0):
        """Return (1, 1)."""
        return np.full((1, 1), C0)

    def kernel_rate(self, G0, d):
        """Return a multiple of the identity, of which the kernel reads the first entry."""
        return G0 * np.eye(d)

    def expected_scale(self, prior, factors):
        """Return the mean of gamma(g0 + K c0) with the rate G0 + sum of precisions."""
        return super().expected_scale(prior, factors[:, None])[:1]

    def scale_of(self, scales, scale):
        """Return (C, S)."""
        return scales[..., 0, 0] * scale[0] ** 2

    def covariances_of(self, factors, scale):
        """Return (C, S, K)."""
        return np.square(scale[0] / factors)

    def as_full(self, covariances, k, d):
        """Return multiples of the identity."""
        return covariances[..., None, None] * np.eye(d)


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
