"""Log densities and responsibilities against the naive twins."""

import numpy as np
import pytest
import reference
import targets

from diffgmm.kernels import gaussian
from diffgmm.kernels._compile import BLOCK
from diffgmm.kernels.bundles import Components, Rows

# D roundings of 1e-16 in a squared norm, a few in what surrounds it: 1e-12 leaves two digits.
RELATIVE = 1e-12

DIMENSIONS = (1, 2, 3, 4, 5, 8, 9)  # both sides of every remainder of the 4 x 4 tiles

families = pytest.mark.parametrize("family", targets.FAMILIES)


def log_density(rows, components, start=0, stop=None):
    out = np.full(len(rows.values), np.nan)  # an unwritten entry stays visible
    gaussian.log_density(rows, components, start, len(out) if stop is None else stop, out)
    return out


def responsibilities(rows, components, start=0, stop=None):
    out = np.full((len(rows.values), len(components.means)), np.nan)
    gaussian.responsibilities(rows, components, start, len(out) if stop is None else stop, out)
    return out


def tolerance(rows, components):
    """Return what the largest logarithm costs: its rounding is passed on by exp unchanged."""
    joint = reference.log_joint(rows, components)
    return RELATIVE * (1.0 + np.abs(joint[np.isfinite(joint)]).max(initial=0.0))


def assert_equal_to_reference(rows, components):
    before = [array.copy() for array in (*rows, *components)]
    within = tolerance(rows, components)
    np.testing.assert_allclose(
        log_density(rows, components), reference.log_density(rows, components), rtol=0, atol=within
    )
    np.testing.assert_allclose(
        responsibilities(rows, components),
        reference.responsibilities(rows, components),
        rtol=0,
        atol=within,
    )
    for array, copy in zip((*rows, *components), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@families
@pytest.mark.parametrize("d", DIMENSIONS)
def test_equals_reference(d, family, rng):
    for n, k in targets.sizes():
        components = targets.components(rng, k, d, family)
        assert_equal_to_reference(targets.rows_near(rng, n, components.means), components)


@families
def test_equals_reference_in_twenty_dimensions(family, rng):
    components = targets.components(rng, 2, 20, family)
    assert_equal_to_reference(targets.rows_near(rng, 130, components.means), components)


@pytest.mark.usefixtures("compiled")  # too slow as plain Python
@families
@pytest.mark.parametrize("d", [64, 161])
def test_equals_reference_in_many_dimensions(d, family, rng):
    components = targets.components(rng, 3, d, family)
    assert_equal_to_reference(targets.rows_near(rng, 130, components.means), components)


@pytest.mark.parametrize("d", [2, 5])
def test_float32_rows_are_converted_not_rounded(d, rng):
    components = targets.components(rng, 2, d, "full")
    rows = targets.rows_near(rng, 129, components.means, np.float32)
    assert rows.values.dtype == np.float32
    assert_equal_to_reference(rows, components)


@families
def test_a_row_far_from_everything_keeps_its_digits(family, rng):
    components = targets.components(rng, 3, 5, family)
    rows = targets.rows_near(rng, 9, components.means, affine=False)
    values = rows.values.copy()
    values[::2] += 1e3 * np.sign(rng.standard_normal((5, 5)))
    assert_equal_to_reference(targets.frozen(rows._replace(values=values)), components)


@families
def test_a_component_of_weight_zero_gets_nothing(family, rng):
    components = targets.components(rng, 3, 4, family)
    constants = components.log_constants.copy()
    constants[1] = -np.inf
    components = components._replace(log_constants=constants)
    rows = targets.rows_near(rng, 130, components.means)
    assert_equal_to_reference(rows, components)
    assert not responsibilities(rows, components)[:, 1].any()


@families
def test_all_weights_zero_is_density_zero(family, rng):
    components = targets.components(rng, 2, 3, family)
    components = components._replace(log_constants=np.full(2, -np.inf))
    rows = targets.rows_near(rng, 5, components.means)
    np.testing.assert_array_equal(log_density(rows, components), np.full(5, -np.inf))
    np.testing.assert_array_equal(responsibilities(rows, components), np.zeros((5, 2)))


@families
def test_a_row_infinitely_far_has_density_zero_and_spoils_no_other(family, rng):
    components = targets.components(rng, 2, 5, family)
    rows = targets.rows_near(rng, 130, components.means, affine=False)
    clean = log_density(rows, components)
    values = rows.values.copy()
    values[[3, 128]] = 1e160  # its square is infinite
    far = targets.frozen(rows._replace(values=values))
    expected = clean.copy()
    expected[[3, 128]] = -np.inf
    np.testing.assert_array_equal(log_density(far, components), expected)
    shares = responsibilities(far, components)
    assert not shares[[3, 128]].any()
    np.testing.assert_allclose(np.delete(shares, [3, 128], axis=0).sum(axis=1), 1.0, rtol=1e-14)


def test_nan_is_not_hidden(rng):
    components = targets.components(rng, 2, 5, "full")
    rows = targets.rows_near(rng, 130, components.means, affine=False)
    values = rows.values.copy()
    values[7, 2] = np.nan
    spoiled = log_density(targets.frozen(rows._replace(values=values)), components)
    assert np.flatnonzero(np.isnan(spoiled)).tolist() == [7]


@families
def test_one_component_takes_all(family, rng):
    components = targets.components(rng, 1, 3, family)
    rows = targets.rows_near(rng, 129, components.means)
    np.testing.assert_array_equal(responsibilities(rows, components), np.ones((129, 1)))


def test_standard_normal_by_hand():
    components = Components(np.array([-0.9189385332046727]), np.zeros((1, 1)), np.ones((1, 1, 1)))
    values = np.array([[0.0], [1.0], [-2.0]])
    rows = targets.frozen(Rows(values, np.zeros(1), np.ones(1), np.zeros(0)))
    expected = [-0.9189385332046727, -1.4189385332046727, -2.9189385332046727]
    np.testing.assert_allclose(log_density(rows, components), expected, rtol=1e-15)


def test_only_the_rows_asked_for_are_written(rng):
    components = targets.components(rng, 2, 3, "full")
    rows = targets.rows_near(rng, 300, components.means)
    expected = log_density(rows, components)
    part = log_density(rows, components, 5, 200)
    assert np.isnan(part[:5]).all()
    assert np.isnan(part[200:]).all()
    # A row's place in its block changes nothing: every column of a block is computed alike.
    np.testing.assert_array_equal(part[5:200], expected[5:200])
    shares = responsibilities(rows, components, 5, 200)
    assert np.isnan(shares[:5]).all()
    assert np.isnan(shares[200:]).all()
    np.testing.assert_array_equal(shares[5:200], responsibilities(rows, components)[5:200])


def test_an_empty_range_writes_nothing(rng):
    components = targets.components(rng, 2, 3, "full")
    rows = targets.rows_near(rng, 5, components.means)
    assert np.isnan(log_density(rows, components, 3, 3)).all()


def test_equal_rows_get_equal_bits(rng):
    components = targets.components(rng, 3, 5, "full")
    rows = targets.rows_near(rng, 1, components.means)
    rows = targets.frozen(rows._replace(values=np.repeat(rows.values, BLOCK + 3, axis=0)))
    assert len(set(log_density(rows, components))) == 1
