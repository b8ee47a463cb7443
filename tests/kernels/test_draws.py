"""Many draws at a few rows: each draw as if it were alone, and the best assignment of all."""

import itertools
import os

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from diffgmm.data import raw_rows
from diffgmm.kernels import draws, gaussian
from diffgmm.kernels.bundles import Components

COMPILED = os.environ.get("NUMBA_DISABLE_JIT") != "1"


def mixtures(rng, s, k, d, kind):
    """Return constants, means and factors of s draws."""
    shape = {"full": (d, d), "diag": (d,), "spherical": ()}[kind]
    factors = rng.uniform(0.5, 2.0, (s, k, *shape))
    factors = np.tril(factors) if kind == "full" else factors
    return rng.standard_normal((s, k)), 2.0 * rng.standard_normal((s, k, d)), factors


@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
@pytest.mark.parametrize(("n", "d"), [(1, 1), (131, 3)])
def test_every_draw_is_as_if_alone(kind, n, d, rng):
    constants, means, factors = mixtures(rng, 4, 3, d, kind)
    rows = raw_rows(3.0 * rng.standard_normal((n, d)))
    densities, tables = np.full((4, n), np.nan), np.full((4, 3, n), np.nan, dtype=np.float32)
    draws.log_densities(rows, constants, means, factors, 0, n // 2, densities)
    draws.log_densities(rows, constants, means, factors, n // 2, n, densities)
    none = np.empty((0, 3, 3))
    draws.gains(rows, constants, means, factors, np.empty((3, 0)), none, tables)
    for s in range(4):
        own = Components(constants[s], means[s], factors[s])
        density, table = np.empty(n), np.empty((n, 3))
        gaussian.log_density(rows, own, 0, n, density)
        gaussian.responsibilities(rows, own, 0, n, table)
        np.testing.assert_allclose(densities[s], density, rtol=1e-13)
        np.testing.assert_allclose(tables[s], table.T, rtol=1e-6, atol=1e-37)


@pytest.mark.parametrize("n", [5, 131])
def test_gains_are_sums_of_probabilities(n, rng):
    constants, means, factors = mixtures(rng, 4, 3, 2, "full")
    rows, reference = raw_rows(3.0 * rng.standard_normal((n, 2))), rng.standard_normal((3, n))
    tables, out = np.empty((4, 3, n), dtype=np.float32), np.full((4, 3, 3), np.nan)
    draws.gains(rows, constants, means, factors, np.empty((3, 0)), out[:0], tables)
    draws.gains(rows, constants, means, factors, reference, out, tables[:0])
    np.testing.assert_allclose(out, tables @ reference.T, rtol=1e-4, atol=1e-4)


def test_replicated_rows_are_their_components_roots_times_normals(rng):
    """The same random stream, row by row; parts of the rows as the whole with its own generator."""
    s, k, d, n = 3, 3, 2, 7
    weights, means = rng.dirichlet(np.ones(k), s), rng.standard_normal((s, k, d))
    weights[1] = [0.0, 1.0, 0.0]
    roots = np.tril(rng.uniform(0.5, 2.0, (s, k, d, d)))
    out = np.full((s * n, d), np.nan)
    stream = (roots @ np.swapaxes(roots, 2, 3), n, 3, s * n - 1, np.random.default_rng(8), out)
    draws.replicate(weights, means, *stream)
    twin = np.random.default_rng(8)
    for i in range(3, s * n - 1):
        own = i // n
        j = np.sum(np.cumsum(weights[own])[:-1] <= twin.random())
        normals = [twin.standard_normal() for _ in range(d)]
        np.testing.assert_allclose(out[i], means[own, j] + roots[own, j] @ normals, rtol=1e-9)
    assert np.isnan(out[[0, 1, 2, -1]]).all()


@pytest.mark.parametrize("d", [1, 4])
def test_whitening_factors(d, rng):
    roots = rng.standard_normal((6, d, d + 2))
    covariances = roots @ np.swapaxes(roots, 1, 2)
    factors = np.full(covariances.shape, np.nan)
    log_determinants = np.full(6, np.nan)
    assert draws.whiten(covariances, 1e-5, factors, log_determinants) == 0
    expected = np.linalg.inv(np.linalg.cholesky(covariances))
    np.testing.assert_allclose(factors, expected, rtol=1e-9, atol=1e-12)
    expected = np.linalg.slogdet(covariances).logabsdet
    np.testing.assert_allclose(log_determinants, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "matrix",
    [
        [[1.0, 0.5], [0.4, 1.0]],
        [[1.0, 2.0], [2.0, 1.0]],
        [[0.0, 0.0], [0.0, 1.0]],
        [[-1.0, 0.0], [0.0, 1.0]],
        [[np.nan, 0.0], [0.0, 1.0]],
        [[1.0, np.nan], [np.nan, 1.0]],
    ],
    ids=["asymmetric", "indefinite", "singular", "negative", "NaN", "NaN beside"],
)
def test_what_is_no_covariance_is_counted(matrix):
    if not COMPILED and matrix[0][0] < 0.0:
        pytest.skip("the root of a negative number is NaN when compiled, an error in Python")
    covariances = np.array([np.eye(2), matrix, matrix])
    assert draws.whiten(covariances, 1e-5, np.empty((3, 2, 2)), np.empty(3)) == 2


@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_assignment_is_the_best_of_all(k, rng):
    gain = rng.standard_normal((20, k, k))
    order = np.full((20, k), -1)
    draws.match(gain, order)
    clusters = np.arange(k)
    for own, found in zip(gain, order, strict=True):
        best = max(own[list(p), clusters].sum() for p in itertools.permutations(range(k)))
        assert own[found, clusters].sum() == pytest.approx(best, abs=1e-12)


def test_the_assignment_is_that_of_scipy(rng):
    """Gains of very different size, some of them equal."""
    gain = np.round(rng.standard_normal((50, 12, 12)) * 10.0 ** rng.integers(-2, 6, (50, 12, 1)), 1)
    order = np.empty((50, 12), dtype=np.int64)
    draws.match(gain, order)
    for own, found in zip(gain, order, strict=True):
        components, clusters = linear_sum_assignment(own, maximize=True)
        assert np.array_equal(np.sort(found), np.arange(12))
        assert own[found, np.arange(12)].sum() == pytest.approx(own[components, clusters].sum())


def test_nan_gains_end(rng):
    order = np.empty((1, 4), dtype=np.int64)
    draws.match(np.full((1, 4, 4), np.nan), order)
    assert np.array_equal(np.sort(order[0]), np.arange(4))
