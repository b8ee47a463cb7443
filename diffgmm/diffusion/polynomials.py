"""Hermite products by their exponents, and the coefficients of their derivatives."""

import numpy as np

from ..kernels.features import hermite_table


def exponents(n_features: int, n_products: int) -> np.ndarray:
    """Return the power of every feature in every Hermite product of the kernels, shape (p, D)."""
    powers = np.zeros((n_products, n_features), int)
    for product, (parent, feature, _) in enumerate(hermite_table(n_features, n_products)[1:], 1):
        powers[product] = powers[parent]
        powers[product, feature] += 1
    return powers


def slopes(coefficients: np.ndarray) -> np.ndarray:
    """Return the coefficients (K, D, p, D) of the derivatives of polynomials by every coordinate.

    Parameters
    ----------
    coefficients : ndarray, shape (K, p, D)
        Of K polynomials with D values each.

    Notes
    -----
    h_k' = sqrt(k) h_(k-1): [j, c, q] is the coefficient of product q in dP_j / du_c.
    """
    k, p, d = coefficients.shape
    powers = exponents(d, p)
    places = {tuple(own): place for place, own in enumerate(powers)}
    out = np.zeros((k, d, p, d))
    for product, own in enumerate(powers):
        for feature in np.flatnonzero(own):
            lower = own.copy()
            lower[feature] -= 1
            root = np.sqrt(own[feature])
            out[:, feature, places[tuple(lower)]] += root * coefficients[:, product]
    return out
