"""Inverse gamma priors of variances, as `families.CovariancePrior` describes them."""

import numpy as np

from . import laws
from .checks import positive, positive_entries

# The published prior: c0 for one feature, g0 for one feature, and the inverse of the prior mean of
# C0 in units of c0 R^2, R the range. Richardson and Green (1997), Stephens (1997).
SHAPE, HYPER_SHAPE, INVERSE_SHARE = 2.5, 0.5, 100.0


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
