"""Mixtures with a known truth of other kinds than those of zoo.py: small, close, long, wide, every covariance.

`mixtures(seed)` returns {name: (mixture, n_rows, covariance_type)}. Nothing may be tuned to these either.
"""

import numpy as np
from zoo import _covariance, _means, _mixture


def mixtures(seed=0):
    """{name: (Mixture, n_rows, covariance_type)}."""
    rng = np.random.default_rng([seed, 7])

    def full(k, d, condition):
        return [_covariance(d, condition, rng) for _ in range(k)]

    def weights(k, concentration, least):
        return rng.dirichlet(np.full(k, concentration)) + least

    def diagonal(k, d, spread):
        return [np.diag(np.exp(rng.uniform(-spread, spread, d))) for _ in range(k)]

    def round_ones(k, d, spread):
        return [np.eye(d) * np.exp(s) for s in rng.uniform(-spread, spread, k)]

    angle = 2.0 * np.pi * np.arange(8) / 8.0
    circle = 4.0 * np.c_[np.cos(angle), np.sin(angle)]
    along = np.stack([-np.sin(angle), np.cos(angle)], axis=1)
    dashes = 0.2 * np.eye(2) + 0.8 * along[:, :, None] * along[:, None, :]
    pairs = np.repeat(_means(4, 3, 8.0, rng), 2, axis=0)
    pairs[::2] += 2.8 * np.eye(3)[rng.integers(3, size=4)]
    return {
        "line_d1_k4": (_mixture(weights(4, 4.0, 0.05), 3.5 * np.arange(4)[:, None]), 1_000, "full"),
        "tiny_d2_k3": (_mixture(weights(3, 4.0, 0.1), _means(3, 2, 4, rng), full(3, 2, 5)), 250, "full"),
        "small_d3_k4": (_mixture(weights(4, 4.0, 0.05), _means(4, 3, 4, rng), full(4, 3, 5)), 400, "full"),
        "small_d4_k5": (_mixture(weights(5, 4.0, 0.03), _means(5, 4, 4, rng), full(5, 4, 10)), 800, "full"),
        "small_d6_k3": (_mixture(weights(3, 4.0, 0.1), _means(3, 6, 3.5, rng), full(3, 6, 10)), 500, "full"),
        "small_d2_k10": (_mixture(weights(10, 4.0, 0.02), _means(10, 2, 5, rng), full(10, 2, 4)), 700, "full"),
        "unequal_d2_k6": (_mixture(weights(6, 1.0, 0.02), _means(6, 2, 4, rng), full(6, 2, 10)), 1_500, "full"),
        "unequal_d5_k8": (_mixture(weights(8, 1.0, 0.02), _means(8, 5, 4, rng), full(8, 5, 10)), 3_000, "full"),
        "close_d3_k3": (_mixture(weights(3, 4.0, 0.1), _means(3, 3, 2.5, rng)), 3_000, "full"),
        "close_d2_k4": (_mixture(weights(4, 4.0, 0.05), _means(4, 2, 2.8, rng), full(4, 2, 6)), 4_000, "full"),
        "long_d4_k5": (_mixture(weights(5, 4.0, 0.03), _means(5, 4, 4, rng), full(5, 4, 300)), 2_000, "full"),
        "long_d10_k4": (_mixture(weights(4, 4.0, 0.05), _means(4, 10, 4, rng), full(4, 10, 300)), 4_000, "full"),
        "dashes_d2_k8": (_mixture(np.ones(8), circle, dashes), 1_600, "full"),
        "pairs_d3_k8": (_mixture(weights(8, 6.0, 0.03), pairs), 3_000, "full"),
        "sizes_d2_k6": (_mixture(weights(6, 4.0, 0.03), _means(6, 2, 5, rng), round_ones(6, 2, 2.0)), 2_000, "full"),
        "crowd_d2_k30": (_mixture(weights(30, 5.0, 0.005), _means(30, 2, 5, rng), full(30, 2, 4)), 6_000, "full"),
        "wide_d16_k4": (_mixture(weights(4, 4.0, 0.05), _means(4, 16, 5, rng), full(4, 16, 10)), 3_000, "full"),
        "wide_spherical_d40_k6": (_mixture(weights(6, 4.0, 0.03), _means(6, 40, 6, rng), round_ones(6, 40, 0.5)), 1_000, "spherical"),
        "wide_identity_d25_k6": (_mixture(weights(6, 4.0, 0.03), _means(6, 25, 4, rng)), 1_000, "identity"),
        "identity_d8_k12": (_mixture(weights(12, 4.0, 0.02), _means(12, 8, 4, rng)), 2_400, "identity"),
        "spherical_d3_k12": (_mixture(weights(12, 4.0, 0.02), _means(12, 3, 5, rng), round_ones(12, 3, 1.0)), 1_500, "spherical"),
        "diag_d8_k6": (_mixture(weights(6, 4.0, 0.03), _means(6, 8, 4, rng), diagonal(6, 8, 1.5)), 2_000, "diag"),
        "diag_d6_k4": (_mixture(weights(4, 4.0, 0.05), _means(4, 6, 4, rng), diagonal(4, 6, 1.0)), 400, "diag"),
        "tied_d5_k6": (_mixture(weights(6, 4.0, 0.03), _means(6, 5, 4, rng), full(1, 5, 10) * 6), 1_500, "tied"),
        "tied_d3_k4": (_mixture(weights(4, 4.0, 0.05), _means(4, 3, 3.5, rng), full(1, 3, 20) * 4), 400, "tied"),
    }  # fmt: skip
