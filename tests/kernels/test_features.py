"""Hermite features and learned scores against their naive twins."""

import math

import numpy as np
import pytest
import reference
import reference_diffusion
import targets
from numpy.polynomial.hermite_e import hermegauss

from diffgmm.data import raw_rows
from diffgmm.kernels import features
from diffgmm.kernels._compile import BLOCK, aligned_blocks

RELATIVE = 1e-12  # as in test_gaussian

DIMENSIONS = (1, 2, 3, 4, 5, 9)

# The largest product of degree 5 at the clip, 4^5 / sqrt(5!) = 93, is below it.
LARGEST = 100.0

families = pytest.mark.parametrize("family", targets.FAMILIES)


def counts(d):
    """Return the numbers of polynomials of degree 0, 1, 2, ..., up to 5 in few dimensions."""
    return [math.comb(d + degree, d) for degree in range(6 if d < 4 else 4 if d < 6 else 3)]


def score(rows, components, pulls, polynomials, start=0, stop=None):
    out = np.full(rows.values.shape, np.nan)  # an unwritten entry stays visible
    stop = len(out) if stop is None else stop
    features.score(rows, components, pulls, polynomials, start, stop, out)
    return out


def in_block(rows):
    """Return rows (N, D) as columns of a block, and how many."""
    block = aligned_blocks(rows.shape[1])
    block[:, : len(rows)] = rows.T
    return block


def close(actual, expected, size):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=RELATIVE * size)


def assert_equal_to_reference(rows, components, pulls, polynomials):
    given = (*rows, *components, pulls, polynomials)
    before = [array.copy() for array in given]
    y = reference.rows_seen(rows)
    joint = reference.log_joint(rows, components)
    # A log density's rounding is passed on to the gates; reach bounds the terms that they weigh.
    rounding = 1.0 + np.abs(joint[np.isfinite(joint)]).max(initial=0.0)
    u = reference_diffusion.white(y, components)
    reach = np.abs(pulls).max() * np.abs(u).max() * y.shape[1]
    reach += np.abs(polynomials).sum(axis=2).max(initial=0.0) * LARGEST
    expected = reference_diffusion.pull(y, components, pulls)
    if polynomials.shape[2]:
        expected = expected + reference_diffusion.residual(y, components, polynomials)
    close(score(rows, components, pulls, polynomials), expected, rounding * reach)
    for array, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@families
@pytest.mark.parametrize("d", DIMENSIONS)
def test_equals_reference(d, family, rng):
    for (n, k), p in zip(targets.sizes(), (0, *counts(d)) * 4, strict=False):
        components = targets.components(rng, k, d, family)
        rows = targets.rows_near(rng, n, components.means)
        pulls = rng.standard_normal(components.factors.shape)
        assert_equal_to_reference(rows, components, pulls, rng.standard_normal((k, d, p)))


@pytest.mark.usefixtures("compiled")  # too slow as plain Python
@families
def test_equals_reference_in_twenty_dimensions(family, rng):
    components = targets.components(rng, 3, 20, family)
    rows = targets.rows_near(rng, 130, components.means)
    pulls = rng.standard_normal(components.factors.shape)
    assert_equal_to_reference(rows, components, pulls, rng.standard_normal((3, 20, 231)))


def test_a_range_of_rows_leaves_the_others_alone(rng):
    components = targets.components(rng, 2, 3, "full")
    rows = targets.rows_near(rng, 300, components.means)
    polynomials = rng.standard_normal((2, 3, 4))
    pulls = rng.standard_normal((2, 3, 3))
    whole = score(rows, components, pulls, polynomials)
    part = score(rows, components, pulls, polynomials, 130, 259)
    assert np.isnan(part[:130]).all()
    assert np.isnan(part[259:]).all()
    close(part[130:259], whole[130:259], 100.0)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_features_are_orthonormal_under_the_component(d):
    """Gauss-Hermite quadrature of 6 nodes is exact for products of two features of degree 5."""
    nodes, weights = hermegauss(6)
    weights = weights / weights.sum()
    grid = np.stack(np.meshgrid(*[nodes] * d, indexing="ij"), axis=-1).reshape(-1, d)
    mass = np.prod(np.stack(np.meshgrid(*[weights] * d, indexing="ij"), axis=-1), axis=-1).ravel()
    p, phi = counts(d)[-1], []
    for first in range(0, len(grid), BLOCK):
        out = aligned_blocks(p)
        own = grid[first : first + BLOCK]
        features.hermite_block(in_block(own), np.ones(BLOCK), features.hermite_table(d, p), out)
        phi.append(out[:, : len(own)])
    phi = np.hstack(phi)
    np.testing.assert_allclose((phi * mass) @ phi.T, np.eye(len(phi)), rtol=0, atol=1e-12)


def test_features_come_in_the_order_of_the_docstring(rng):
    u, gate = rng.standard_normal((BLOCK, 2)), rng.random(BLOCK)
    out = aligned_blocks(6)
    features.hermite_block(in_block(u), gate, features.hermite_table(2, 6), out)
    a, b = u.T
    expected = [1.0 + 0.0 * a, a, b, (a**2 - 1) / 2**0.5, a * b, (b**2 - 1) / 2**0.5]
    np.testing.assert_allclose(out, gate * np.array(expected), rtol=1e-14, atol=1e-15)


def test_the_residual_is_bounded_far_from_all_rows(rng):
    """Clipped at 4, no feature exceeds 16: a draw in the tails is pushed, never thrown."""
    components = targets.components(rng, 3, 2, "full")
    far = 1e6 * rng.standard_normal((BLOCK, 2))
    polynomials = rng.standard_normal((3, 2, 6))
    pulls = np.zeros((3, 2, 2))
    moved = score(raw_rows(far), components, pulls, polynomials)
    assert np.abs(moved).max() <= 16.0 * np.abs(polynomials).sum(axis=2).max()


def test_a_component_of_weight_zero_adds_nothing(rng):
    components = targets.components(rng, 3, 2, "full")
    constants = components.log_constants.copy()
    constants[1] = -np.inf
    components = components._replace(log_constants=constants)
    rows = targets.rows_near(rng, 40, components.means)
    pulls, polynomials = rng.standard_normal((3, 2, 2)), rng.standard_normal((3, 2, 6))
    first = score(rows, components, pulls, polynomials)
    polynomials[1], pulls[1] = 7.0, -3.0
    np.testing.assert_array_equal(score(rows, components, pulls, polynomials), first)


def test_permuting_components_permutes_nothing_visible(rng):
    components = targets.components(rng, 4, 3, "full")
    rows = targets.rows_near(rng, 50, components.means)
    pulls, polynomials = rng.standard_normal((4, 3, 3)), rng.standard_normal((4, 3, 10))
    order = [2, 0, 3, 1]
    moved = type(components)(*(np.ascontiguousarray(array[order]) for array in components))
    shuffled = score(rows, moved, pulls[order], polynomials[order])
    close(shuffled, score(rows, components, pulls, polynomials), 100.0)


@pytest.mark.usefixtures("compiled")
def test_one_compilation_per_family(rng):
    known = []
    for n, k, p in ((5, 1, 0), (300, 3, 6)):
        components = targets.components(rng, k, 2, "full")
        rows = targets.rows_near(rng, n, components.means)
        score(rows, components, rng.standard_normal((k, 2, 2)), rng.standard_normal((k, 2, p)))
        known.append(len(features.score.signatures))
    assert known[0] == known[1]
