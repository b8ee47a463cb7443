"""Closed-form mixtures, and random inputs for kernels."""

import itertools
import os

import numpy as np
import reference

from diffgmm import GaussianMixture
from diffgmm.kernels.bundles import Components, Rows

FAMILIES = ("full", "diagonal", "scalar")


def one_gaussian():
    """Return one component in three dimensions, with units that differ a thousandfold."""
    scale = np.array([1.0, 30.0, 1000.0])
    correlation = np.array([[1.0, 0.5, -0.2], [0.5, 1.0, 0.3], [-0.2, 0.3, 1.0]])
    return GaussianMixture([1.0], [[5.0, -40.0, 3000.0]], [correlation * np.outer(scale, scale)])


def two_on_a_line():
    """Return two overlapping components in one dimension."""
    return GaussianMixture([0.3, 0.7], [[-2.0], [1.5]], [[[0.5]], [[1.2]]])


def three_in_the_plane():
    """Return three correlated components, two of them overlapping, with names."""
    return GaussianMixture(
        [0.5, 0.3, 0.2],
        [[0.0, 0.0], [1.5, 2.0], [-6.0, 3.0]],
        [[[1.0, 0.6], [0.6, 1.0]], [[0.5, -0.3], [-0.3, 0.8]], [[2.0, 0.0], [0.0, 0.1]]],
        feature_names=("height", "weight"),
    )


def one_of_them_empty():
    """Return three components in five dimensions, one with weight 0."""
    rng = np.random.default_rng(5)
    roots = rng.standard_normal((3, 5, 5))
    covariances = roots @ np.swapaxes(roots, 1, 2) / 5.0 + 0.3 * np.eye(5)
    return GaussianMixture([0.6, 0.0, 0.4], 2.0 * rng.standard_normal((3, 5)), covariances)


TARGETS = {
    make.__name__: make()
    for make in (one_gaussian, two_on_a_line, three_in_the_plane, one_of_them_empty)
}


def units(mixture):
    """Return the standard deviation of every feature, (D,)."""
    return np.sqrt(np.diag(reference.mixture_moments(mixture)[1]))


def rows_around(mixture, n, rng, spread=1.0, sigma=0.0):
    """Return rows around a mixture, `spread` times as wide as its noised draws are."""
    mean, _ = reference.mixture_moments(mixture)
    draws = mixture.sample(n, rng) + sigma * rng.standard_normal((n, mixture.n_features))
    return mean + spread * (draws - mean)


def sizes():
    """Return the numbers of (rows, components) to try: both sides of a block of 128, and several.

    As plain Python a kernel is some thousand times slower, so fewer of them.
    """
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        return ((1, 2), (127, 1), (128, 2), (129, 7))
    return tuple((n, k) for n in (1, 127, 128, 129, 300) for k in (1, 2, 7))


def components(rng, n_components, n_features, family):
    """Return random well-conditioned Components of a family, their means 3 apart."""
    k, d = n_components, n_features
    weights = rng.dirichlet(np.full(k, 2.0))
    if family == "full":
        roots = rng.standard_normal((k, d, d))
        cholesky = np.linalg.cholesky(roots @ np.swapaxes(roots, 1, 2) / d + 0.5 * np.eye(d))
        factors = np.ascontiguousarray(np.tril(np.linalg.inv(cholesky)))
        log_determinants = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    elif family == "diagonal":
        factors = rng.uniform(0.5, 2.0, (k, d))
        log_determinants = np.log(factors).sum(axis=1)
    else:
        factors = rng.uniform(0.5, 2.0, k)
        log_determinants = d * np.log(factors)
    constants = np.log(weights) + log_determinants - 0.5 * d * np.log(2.0 * np.pi)
    return Components(constants, 3.0 * rng.standard_normal((k, d)), factors)


def rows_near(rng, n_rows, means, dtype=float, *, affine=True, weighted=False):
    """Return Rows near the means, stored with a shift and a scale, with or without weights."""
    d = means.shape[1]
    shift = rng.standard_normal(d) * 10.0 if affine else np.zeros(d)
    inverse_scale = rng.uniform(0.5, 2.0, d) if affine else np.ones(d)
    seen = means[rng.integers(len(means), size=n_rows)] + 1.5 * rng.standard_normal((n_rows, d))
    values = np.ascontiguousarray(seen / inverse_scale + shift, dtype=dtype)
    # Integers, fractions and zeros: what repeated rows, importance weights and masks look like.
    weights = rng.choice([0.0, 0.25, 1.0, 3.0], n_rows) if weighted else np.zeros(0)
    return frozen(Rows(values, shift, inverse_scale, weights))


def frozen(rows):
    """Return Rows whose arrays are read-only, as kernels always receive them."""
    views = [array.view() for array in rows]
    for view in views:
        view.flags.writeable = False
    return Rows(*views)


def products(n_features, degree):
    """Return the exponents (p, D) of all products of total degree <= `degree`, degree by degree."""
    index = [
        own
        for total in range(degree + 1)
        for own in itertools.combinations_with_replacement(range(n_features), total)
    ]
    return np.array([[own.count(a) for a in range(n_features)] for own in index])
