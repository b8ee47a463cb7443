"""Hermite products by their exponents, and the coefficients of their derivatives."""

from functools import lru_cache

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
    products, features, lowered, roots = _lowerings(d, p)
    out = np.zeros((k, d, p, d))
    out[:, features, lowered] = roots[:, None] * coefficients[:, products]
    return out


@lru_cache(maxsize=64)
def _lowerings(n_features: int, n_products: int) -> tuple[np.ndarray, ...]:
    """Return for each power of a feature in a product: product, feature, lowered product, root."""
    powers = exponents(n_features, n_products)
    places = {tuple(own): place for place, own in enumerate(powers)}
    products, features = np.nonzero(powers)
    lowered = powers[products] - np.eye(n_features, dtype=int)[features]
    numbers = np.array([places[tuple(own)] for own in lowered], int)
    return products, features, numbers, np.sqrt(powers[products, features])
