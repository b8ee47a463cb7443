"""Inverse Wishart priors of covariance matrices, as `families.CovariancePrior` describes them."""

import numpy as np

from . import laws
from .checks import above_degrees, positive_definite
from .variance_priors import HYPER_SHAPE, INVERSE_SHARE, SHAPE


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
