"""Voronoi cells and their polynomials against naive twins."""

import itertools
import math

import numpy as np
import pytest
from numpy.polynomial import hermite_e

from diffgmm.diffusion.normal_equations import n_polynomials
from diffgmm.diffusion.voronoi.cells import sort_rows
from diffgmm.kernels import voronoi
from diffgmm.kernels._compile import aligned_blocks
from diffgmm.kernels.features import hermite_table

# Sums of at most some hundred rounded terms, as in test_gaussian.
RELATIVE = 1e-12

SHAPES = pytest.mark.parametrize(
    ("n", "d", "j", "degree"),
    [(1, 1, 1, 0), (127, 2, 1, 1), (128, 1, 3, 5), (129, 3, 4, 3), (300, 5, 2, 2), (300, 2, 9, 4)],
)


def exponents(d, degree):
    """Return the exponents (p, D) of the products, shorter ones first."""
    tuples = [
        own
        for total in range(degree + 1)
        for own in itertools.combinations_with_replacement(range(d), total)
    ]
    return np.array([[own.count(a) for a in range(d)] for own in tuples])


def naive_products(u, degree):
    """Return the Hermite products (N, p) of coordinates u (N, D), clipped."""
    u = np.clip(u, -4.0, 4.0)

    def h(k, x):
        return hermite_e.hermeval(x, [0.0] * k + [1.0]) / math.sqrt(math.factorial(k))

    columns = [
        math.prod(h(k, u[:, a]) for a, k in enumerate(own)) for own in exponents(u.shape[1], degree)
    ]
    return np.stack(columns, axis=1)


def problem(rng, n, d, j):
    """Return rows, targets and centres; some rows are far outside the clip."""
    centres = 2.0 * rng.standard_normal((j, d))
    y = centres[rng.integers(j, size=n)] + 2.5 * rng.standard_normal((n, d))
    return y, rng.standard_normal((n, d)), centres


def naive_labels(y, centres):
    return np.square(y[:, None] - centres).sum(axis=2).argmin(axis=1)


def close(actual, expected):
    size = max(np.abs(expected).max(), 1.0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=RELATIVE * size)


@SHAPES
def test_nearest(n, d, j, degree, rng):
    y, _, centres = problem(rng, n, d, j)
    labels = np.full(n, -1)
    voronoi.nearest(y, centres, labels)
    np.testing.assert_array_equal(labels, naive_labels(y, centres))


def test_nearest_takes_the_first_of_equals_and_survives_what_is_not_finite():
    labels = np.full(4, -1)
    rows = np.array([[0.0], [np.nan], [np.inf], [1e200]])
    voronoi.nearest(rows, np.array([[1.0], [-1.0], [1.0]]), labels)
    np.testing.assert_array_equal(labels, [0, 0, 0, 0])


@SHAPES
def test_normal_equations(n, d, j, degree, rng):
    y, z, centres = problem(rng, n, d, j)
    p = n_polynomials(d, degree)
    gram, right = rng.standard_normal((j, p, p)), rng.standard_normal((j, d, p))
    before = [array.copy() for array in (y, z, centres, gram, right)]
    rows = sort_rows(y, centres)
    voronoi.normal_equations(y, z, rows, centres, 1.7, gram, right)
    labels = naive_labels(y, centres)
    for own, centre in enumerate(centres):
        inside = labels == own
        phi = naive_products((y[inside] - centre) / 1.7, degree)
        close(np.tril(gram[own]), np.tril(before[3][own] + phi.T @ phi))
        close(right[own], before[4][own] + (z[inside] - centre).T @ phi)
    for array, copy in zip((y, z, centres), before, strict=False):
        np.testing.assert_array_equal(array, copy)


@SHAPES
def test_evaluate(n, d, j, degree, rng):
    y, _, centres = problem(rng, n, d, j)
    polynomials = rng.standard_normal((j, d, n_polynomials(d, degree)))
    out = np.full((n, d), np.nan)  # an unwritten entry stays visible
    rows = sort_rows(y, centres)
    voronoi.evaluate(y, rows, centres, 0.8, polynomials, out)
    labels = naive_labels(y, centres)
    phi = naive_products((y - centres[labels]) / 0.8, degree)
    close(out, centres[labels] + np.einsum("naq,nq->na", polynomials[labels], phi))


@pytest.mark.parametrize(("d", "degree"), [(1, 5), (2, 3), (3, 2)])
def test_products_are_orthonormal(d, degree):
    """Not the polynomials of the recursion He_{k+1} = x He_k - k He_{k-1}, of squared norm k!."""
    nodes, weights = hermite_e.hermegauss(degree + 1)  # exact to degree 2 (degree + 1) - 1
    assert np.abs(nodes).max() < voronoi.CLIP
    grid = np.array(list(itertools.product(nodes, repeat=d)))
    mass = np.prod(list(itertools.product(weights / weights.sum(), repeat=d)), axis=1)
    p = n_polynomials(d, degree)
    phi, scratch = aligned_blocks(p), aligned_blocks(d + 1)
    order = np.arange(len(grid))
    voronoi.products_block(grid, order, np.zeros(d), 1.0, hermite_table(d, p), scratch, phi)
    seen = phi[:, : len(grid)]
    close((seen * mass) @ seen.T, np.eye(len(seen)))
    assert not phi[:, len(grid) :].any()


@pytest.mark.usefixtures("compiled")
def test_compile_once_for_fits_and_scores(rng):
    import diffgmm
    from diffgmm.diffusion import fit_voronoi_score

    rows = rng.standard_normal((200, 2))
    score = fit_voronoi_score(rows, n_components=1, degree=1, random_seed=1)
    known = [len(own.signatures) for own in (voronoi.nearest, voronoi.evaluate)]
    for x in (rows[:3], rows[::2], np.asfortranarray(rows), rows.astype(np.float32), [[1, 2]]):
        score.score(x, 0.5)
    score.sample(10, random_seed=1)
    diffgmm.diffusion.VoronoiScore.from_dict(score.to_dict()).score(rows, 0.5)
    assert [len(own.signatures) for own in (voronoi.nearest, voronoi.evaluate)] == known
