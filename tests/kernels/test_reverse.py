"""Draws of mixtures and reverse steps against their naive twins."""

import numpy as np
import pytest
import reference
import reference_diffusion
import targets

from diffgmm.data import raw_rows
from diffgmm.kernels import reverse
from diffgmm.kernels._compile import BLOCK
from diffgmm.kernels.reverse import Step

RELATIVE = 1e-12  # as in test_gaussian

families = pytest.mark.parametrize("family", targets.FAMILIES)


def problem(rng, n, k, d, family, p=0):
    """Return draws (N, D), uniform numbers, noise and a step, matrices not symmetric."""
    components = targets.components(rng, k, d, family)
    draws = reference.rows_seen(targets.rows_near(rng, n, components.means))
    shape = components.factors.shape
    step = Step(
        components,
        rng.standard_normal(shape),
        rng.standard_normal(shape),
        rng.standard_normal((k, d, p)),
    )
    return draws, rng.random(n), rng.standard_normal((d, n)), step


def reverse_step(draws, uniform, noise, step):
    """Return moved draws, (N, D)."""
    columns = draws.T.copy()
    reverse.reverse_step(columns, uniform, noise, step)
    return columns.T


def mixture_draws(weights, means, roots, uniform, noise):
    out = np.full(noise.shape, np.nan)  # an unwritten entry stays visible
    reverse.mixture_draws(weights, means, roots, uniform, noise, out)
    return out.T


@families
@pytest.mark.parametrize("d", [1, 2, 3, 5, 9])
def test_step_equals_reference(d, family, rng):
    for index, (n, k) in enumerate(targets.sizes()):
        p = (0, 1, 1 + d, 1 + d + d * (d + 1) // 2)[index % 4]
        given = problem(rng, n, k, d, family, p)
        before = [array.copy() for array in given[:3]]
        joint = reference.log_joint(raw_rows(given[0]), given[3].components)
        expected = reference_diffusion.reverse_step(*given)
        size = (1.0 + np.abs(joint).max()) * (np.abs(expected).max() + 16.0 * p * d)
        np.testing.assert_allclose(reverse_step(*given), expected, rtol=0, atol=RELATIVE * size)
        for array, copy in zip(given[:3], before, strict=True):
            np.testing.assert_array_equal(array, copy)


@families
@pytest.mark.parametrize("d", [1, 2, 3, 5, 9])
def test_mixture_draws_equal_reference(d, family, rng):
    for n, k in targets.sizes():
        components = targets.components(rng, k, d, family)
        weights = rng.dirichlet(np.ones(k))
        given = (weights, components.means, components.factors, rng.random(n))
        given = (*given, rng.standard_normal((d, n)))
        expected = reference_diffusion.mixture_draws(*given)
        size = 1.0 + np.abs(expected).max()
        np.testing.assert_allclose(mixture_draws(*given), expected, rtol=0, atol=RELATIVE * size)


def picked(weights, uniform):
    """Return which component each uniform number picks, by a kernel's block."""
    k = len(weights)
    gates, picks = np.empty((k, BLOCK)), np.full((k, BLOCK), np.nan)
    gates[:] = np.array(weights)[:, None]
    numbers = np.zeros(BLOCK)
    numbers[: len(uniform)] = uniform
    reverse.pick_block(gates, numbers, np.empty(BLOCK), picks)
    assert np.all((picks == 0.0) | (picks == 1.0))
    assert np.all(picks.sum(axis=0) == 1.0)
    return picks.argmax(axis=0)[: len(uniform)]


def test_every_uniform_number_picks_exactly_one_component(rng):
    """Also where rounding leaves a sum of weights below the largest uniform number."""
    largest = np.nextafter(1.0, 0.0)
    for k in (1, 2, 3, 7, 50):
        for _ in range(20):
            weights = rng.dirichlet(np.full(k, 0.3))
            edges = np.clip(np.cumsum(weights), 0.0, largest)[:60]
            uniform = np.concatenate([[0.0, largest], edges, np.nextafter(edges, 0.0)])[:BLOCK]
            index = picked(weights, uniform)
            assert np.all(weights[index] > 0.0)


def test_a_component_of_weight_zero_is_never_picked():
    for weights in ([0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [0.0, 0.0, 1.0]):
        index = picked(weights, [0.0, 0.25, 0.5, 0.75, np.nextafter(1.0, 0.0)])
        assert np.all(np.array(weights)[index] > 0.0)


def test_picks_split_the_unit_interval_in_order():
    np.testing.assert_array_equal(picked([0.25, 0.5, 0.25], [0.1, 0.25, 0.7, 0.75]), [0, 1, 1, 2])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_draw_stays_bad_and_alone(bad, rng):
    draws, uniform, noise, step = problem(rng, 10, 2, 3, "full")
    draws[4, 1] = bad
    moved = reverse_step(draws, uniform, noise, step)
    assert not np.isfinite(moved[4]).any()
    assert np.isfinite(np.delete(moved, 4, axis=0)).all()


def test_a_draw_without_any_density_becomes_nan(rng):
    draws, uniform, noise, step = problem(rng, 3, 2, 2, "full")
    draws[1] = 1e200  # its squared distance overflows
    moved = reverse_step(draws, uniform, noise, step)
    assert np.isnan(moved[1]).all()
    assert np.isfinite(moved[[0, 2]]).all()


@pytest.mark.usefixtures("compiled")
def test_one_compilation_per_family(rng):
    known = []
    for n, k, p in ((5, 1, 0), (300, 3, 6)):
        reverse_step(*problem(rng, n, k, 2, "full", p))
        known.append(len(reverse.reverse_step.signatures))
    assert known[0] == known[1]
