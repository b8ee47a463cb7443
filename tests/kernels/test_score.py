"""Scores of mixtures against their naive twin."""

import numpy as np
import pytest
import reference
import targets

from diffgmm.kernels import score
from diffgmm.kernels.bundles import Components, Rows

RELATIVE = 1e-12  # as in test_gaussian

DIMENSIONS = (1, 2, 3, 4, 5, 8, 9)


def mixture_score(rows, components, start=0, stop=None):
    out = np.full(rows.values.shape, np.nan)  # an unwritten entry stays visible
    score.mixture_score(rows, components, start, len(out) if stop is None else stop, out)
    return out


def assert_equal_to_reference(rows, components):
    before = [array.copy() for array in (*rows, *components)]
    joint = reference.log_joint(rows, components)
    within = RELATIVE * (1.0 + np.abs(joint[np.isfinite(joint)]).max(initial=0.0))
    x = reference.rows_seen(rows)
    reach = np.abs(x - components.means[:, None, :]).max()
    # bounds the absolute terms of a sum
    size = reach * (np.abs(components.factors).sum(axis=1).max() ** 2) * x.shape[1]
    actual, expected = mixture_score(rows, components), reference.score_terms(rows, components)
    np.testing.assert_allclose(actual, expected.sum(axis=0), rtol=0, atol=within * size)
    for array, copy in zip((*rows, *components), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("d", DIMENSIONS)
def test_equals_reference(d, rng):
    for n, k in targets.sizes():
        components = targets.components(rng, k, d, "full")
        assert_equal_to_reference(targets.rows_near(rng, n, components.means), components)


def test_equals_reference_in_twenty_dimensions(rng):
    components = targets.components(rng, 2, 20, "full")
    assert_equal_to_reference(targets.rows_near(rng, 130, components.means), components)


@pytest.mark.usefixtures("compiled")  # too slow as plain Python
@pytest.mark.parametrize("d", [64, 161])
def test_equals_reference_in_many_dimensions(d, rng):
    components = targets.components(rng, 3, d, "full")
    assert_equal_to_reference(targets.rows_near(rng, 130, components.means), components)


def test_float32_rows(rng):
    components = targets.components(rng, 2, 5, "full")
    rows = targets.rows_near(rng, 129, components.means, np.float32)
    assert_equal_to_reference(rows, components)


def test_rows_far_from_everything(rng):
    components = targets.components(rng, 3, 5, "full")
    rows = targets.rows_near(rng, 20, components.means, affine=False)
    values = rows.values.copy()
    values[::2] += 1e3
    assert_equal_to_reference(targets.frozen(rows._replace(values=values)), components)


def round_gaussians(means):
    """Return Components of equal weights with the covariance I."""
    k, d = means.shape
    factors = np.tile(np.eye(d), (k, 1, 1))
    constant = -np.log(k) - 0.5 * d * reference.LOG_2PI
    return Components(np.full(k, constant), means, factors)


@pytest.mark.parametrize("apart", [60.0, 12.0, 8.9, 1.0])
def test_products_of_negligible_components_are_left_out(apart, rng):
    """Blocks whose rows are all of one component, whose rows are of each, and where all overlap.

    Means 60 apart leave the other's responsibility at 0, 12 below 2^-60 for most rows, 8.9 around
    it, and 1 at a half. The twin leaves nothing out; a score near 0 is compared with its terms.
    """
    means = np.zeros((2, 5))
    means[1, 0] = apart
    components = round_gaussians(means)
    owner = np.repeat([0, 1, 0], [128, 130, 130])
    owner[258:] = rng.integers(2, size=130)
    values = means[owner] + rng.standard_normal((len(owner), 5))
    rows = targets.frozen(Rows(values, np.zeros(5), np.ones(5), np.zeros(0)))
    terms = reference.score_terms(rows, components)
    error = np.abs(mixture_score(rows, components) - terms.sum(axis=0))
    assert np.all(error <= 1e-12 * np.abs(terms).sum(axis=0))


@pytest.mark.parametrize(("gate", "added"), [(2.0**-61, 0.0), (2.0**-59, -(2.0**-58))])
def test_the_limit_of_what_is_left_out(gate, added):
    white, out = np.ones((1, 1, score.BLOCK)), np.zeros((1, score.BLOCK))
    score.add_pulls(np.full((1, 1, 1), 2.0), white, np.full((1, score.BLOCK), gate), out)
    np.testing.assert_array_equal(out, added)


def test_a_row_infinitely_far_gets_zeros(rng):
    components = targets.components(rng, 2, 3, "full")
    rows = targets.rows_near(rng, 4, components.means, affine=False)
    values = rows.values.copy()
    values[1] = 1e160
    out = mixture_score(targets.frozen(rows._replace(values=values)), components)
    np.testing.assert_array_equal(out[1], np.zeros(3))
    assert np.all(out[[0, 2, 3]] != 0.0)


def test_a_row_that_is_no_number_gets_none(rng):
    components = targets.components(rng, 2, 3, "full")
    rows = targets.rows_near(rng, 4, components.means, affine=False)
    values = rows.values.copy()
    values[1, 2] = np.nan
    out = mixture_score(targets.frozen(rows._replace(values=values)), components)
    np.testing.assert_array_equal(np.isnan(out).any(axis=1), [False, True, False, False])
    assert np.isnan(out[1]).all()


def test_a_component_of_weight_zero_has_no_say(rng):
    components = targets.components(rng, 3, 4, "full")
    constants = components.log_constants.copy()
    constants[1] = -np.inf
    components = components._replace(log_constants=constants)
    rows = targets.rows_near(rng, 20, components.means)
    expected = mixture_score(rows, components)
    components.factors[1] *= 1e9
    np.testing.assert_array_equal(mixture_score(rows, components), expected)


def test_only_the_rows_asked_for_are_written(rng):
    components = targets.components(rng, 2, 3, "full")
    rows = targets.rows_near(rng, 140, components.means)
    part = mixture_score(rows, components, 5, 137)
    assert np.isnan(part[:5]).all()
    assert np.isnan(part[137:]).all()
    np.testing.assert_array_equal(part[5:137], mixture_score(rows, components)[5:137])
