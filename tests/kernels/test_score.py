"""Gated affine maps, the form of every score and denoiser, against their naive twin."""

import numpy as np
import pytest
import reference
import targets

from diffgmm.kernels import score

RELATIVE = 1e-12  # as in test_gaussian

DIMENSIONS = (1, 2, 3, 4, 5, 8, 9)

families = pytest.mark.parametrize("family", targets.FAMILIES)


def gated_affine(rows, components, maps, start=0, stop=None):
    out = np.full(rows.values.shape, np.nan)  # an unwritten entry stays visible
    score.gated_affine(rows, components, maps, start, len(out) if stop is None else stop, out)
    return out


def random_maps(rng, components):
    """Return matrices of the family of `components`, full ones not symmetric, and offsets."""
    matrices = rng.standard_normal(components.factors.shape)
    return matrices, rng.standard_normal(components.means.shape)


def assert_equal_to_reference(rows, components, maps):
    before = [array.copy() for array in (*rows, *components, *maps)]
    joint = reference.log_joint(rows, components)
    within = RELATIVE * (1.0 + np.abs(joint[np.isfinite(joint)]).max(initial=0.0))
    terms = reference.affine_terms(rows, components, *maps)
    x = reference.rows_seen(rows)
    reach = np.abs(x - components.means[:, None, :]).max() * np.abs(maps[0]).max()
    size = np.abs(maps[1]).max() + reach * x.shape[1]  # bounds the absolute terms of a sum
    actual = gated_affine(rows, components, maps)
    np.testing.assert_allclose(actual, terms.sum(axis=0), rtol=0, atol=within * size)
    for array, copy in zip((*rows, *components, *maps), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@families
@pytest.mark.parametrize("d", DIMENSIONS)
def test_equals_reference(d, family, rng):
    for n, k in targets.sizes():
        components = targets.components(rng, k, d, family)
        rows = targets.rows_near(rng, n, components.means)
        assert_equal_to_reference(rows, components, random_maps(rng, components))


@families
def test_equals_reference_in_twenty_dimensions(family, rng):
    components = targets.components(rng, 2, 20, family)
    rows = targets.rows_near(rng, 130, components.means)
    assert_equal_to_reference(rows, components, random_maps(rng, components))


@pytest.mark.usefixtures("compiled")  # too slow as plain Python
@families
@pytest.mark.parametrize("d", [64, 161])
def test_equals_reference_in_many_dimensions(d, family, rng):
    components = targets.components(rng, 3, d, family)
    rows = targets.rows_near(rng, 130, components.means)
    assert_equal_to_reference(rows, components, random_maps(rng, components))


def test_float32_rows(rng):
    components = targets.components(rng, 2, 5, "full")
    rows = targets.rows_near(rng, 129, components.means, np.float32)
    assert_equal_to_reference(rows, components, random_maps(rng, components))


def test_rows_far_from_everything(rng):
    components = targets.components(rng, 3, 5, "full")
    rows = targets.rows_near(rng, 20, components.means, affine=False)
    values = rows.values.copy()
    values[::2] += 1e3
    rows = targets.frozen(rows._replace(values=values))
    assert_equal_to_reference(rows, components, random_maps(rng, components))


def test_a_row_infinitely_far_gets_zeros(rng):
    components = targets.components(rng, 2, 3, "full")
    rows = targets.rows_near(rng, 4, components.means, affine=False)
    values = rows.values.copy()
    values[1] = 1e160
    out = gated_affine(
        targets.frozen(rows._replace(values=values)), components, random_maps(rng, components)
    )
    np.testing.assert_array_equal(out[1], np.zeros(3))
    assert np.all(out[[0, 2, 3]] != 0.0)


def test_a_component_of_weight_zero_has_no_say(rng):
    components = targets.components(rng, 3, 4, "full")
    constants = components.log_constants.copy()
    constants[1] = -np.inf
    components = components._replace(log_constants=constants)
    rows = targets.rows_near(rng, 20, components.means)
    matrices, offsets = random_maps(rng, components)
    expected = gated_affine(rows, components, (matrices, offsets))
    matrices[1], offsets[1] = 1e9, 1e9
    np.testing.assert_array_equal(gated_affine(rows, components, (matrices, offsets)), expected)


def test_the_identity_map_returns_the_rows(rng):
    """M = I and offset m_j make every component say x; the gates sum to 1."""
    components = targets.components(rng, 4, 6, "full")
    rows = targets.rows_near(rng, 129, components.means)
    maps = (np.broadcast_to(np.eye(6), (4, 6, 6)).copy(), components.means.copy())
    x = reference.rows_seen(rows)
    # four gated sums of numbers below 20: some ten roundings of 2e-15
    np.testing.assert_allclose(gated_affine(rows, components, maps), x, rtol=0, atol=5e-14)


def test_only_the_rows_asked_for_are_written(rng):
    components = targets.components(rng, 2, 3, "full")
    rows = targets.rows_near(rng, 140, components.means)
    maps = random_maps(rng, components)
    part = gated_affine(rows, components, maps, 5, 137)
    assert np.isnan(part[:5]).all()
    assert np.isnan(part[137:]).all()
    np.testing.assert_array_equal(part[5:137], gated_affine(rows, components, maps)[5:137])
