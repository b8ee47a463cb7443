"""Normal equations and held-out gains against their naive twins."""

import math

import numpy as np
import pytest
import reference
import reference_diffusion
import targets

from diffgmm.blocks import RowBlocks
from diffgmm.kernels import regression
from diffgmm.kernels.regression import Level

RELATIVE = 1e-12  # as in test_gaussian

families = pytest.mark.parametrize("family", targets.FAMILIES)


def problem(rng, n, k, d, family, n_noises=2, weighted=False):
    """Return rows, shuffled row numbers, noise and a level."""
    components = targets.components(rng, k, d, family)
    rows = targets.rows_near(rng, n, components.means, weighted=weighted)
    pulls = 0.5 * rng.standard_normal(components.factors.shape)
    noise = rng.standard_normal((n_noises, d, n))
    return rows, rng.permutation(n), noise, Level(components, pulls, 0.7)


def add_equations(rows, order, noise, level, gram, right):
    k, d = level.components.means.shape
    none, no_moments = np.empty((0, d, len(gram) // k)), np.empty((4, 0))
    return regression.noise_pairs(rows, order, noise, level, none, (gram, right, no_moments))


def normal_equations(rows, order, noise, level, p):
    k, d = level.components.means.shape
    gram, right = np.zeros((k * p, k * p)), np.zeros((d, k * p))
    energy = add_equations(rows, order, noise, level, gram, right)
    return np.tril(gram), right, energy


def gains(rows, order, noise, level, polynomials):
    k, d = level.components.means.shape
    moments = np.zeros((4, k))
    statistics = (np.empty((0, 0)), np.empty((d, 0)), moments)
    assert regression.noise_pairs(rows, order, noise, level, polynomials, statistics) == 0.0
    return moments


def rounding(rows, level):
    """Return what the rounding of a log density costs, as a factor on sums of absolute terms."""
    joint = reference.log_joint(rows, level.components)
    return RELATIVE * (1.0 + np.abs(joint[np.isfinite(joint)]).max(initial=0.0))


def assert_normal_equations(rows, order, noise, level, p):
    arrays = (*rows, order, noise, *level.components, level.pulls)
    before = [array.copy() for array in arrays]
    gram, right, energy = normal_equations(rows, order, noise, level, p)
    # No feature exceeds 32 in size (degree 3 at the clip: 3^3 = 27), which bounds means
    # over rows of its products with others.
    expected = reference_diffusion.normal_equations(rows, order, noise, level, p)
    within, count = rounding(rows, level), 2 * len(noise) * len(order)
    reach = 1.0 + np.sqrt(expected[2] / count)
    np.testing.assert_allclose(gram, np.tril(expected[0]), rtol=0, atol=within * 32.0**2 * count)
    np.testing.assert_allclose(right, expected[1], rtol=0, atol=within * 32.0 * reach * count)
    np.testing.assert_allclose(energy, expected[2], rtol=0, atol=within * reach**2 * count)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@families
@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_normal_equations_equal_reference(d, family, rng):
    for index, (n, k) in enumerate(targets.sizes()):
        p = math.comb(d + index % (4 if d < 3 else 3), d)  # plain Python takes its time
        weighted = index % 2 == 1
        assert_normal_equations(*problem(rng, n, k, d, family, weighted=weighted), p)


@families
@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_gains_equal_reference(d, family, rng):
    for index, (n, k) in enumerate(targets.sizes()):
        p = math.comb(d + index % (4 if d < 3 else 3), d)  # plain Python takes its time
        rows, order, noise, level = problem(rng, n, k, d, family, weighted=index % 2 == 1)
        polynomials = 0.1 * rng.standard_normal((k, d, p))
        actual = gains(rows, order, noise, level, polynomials)
        expected = reference_diffusion.gains(rows, order, noise, level, polynomials)
        # Relative to the sums of absolute gains, which the sum of squares bounds.
        size = np.sqrt(len(order) * expected[1].max()) + expected[1].max() + len(order)
        reach = 32.0 * np.abs(polynomials).sum(axis=2).max() * d
        np.testing.assert_allclose(
            actual, expected, rtol=0, atol=rounding(rows, level) * (1.0 + reach**2) * size
        )


def test_the_target_is_the_error_of_the_mixtures_denoiser(rng):
    """(x - D(y)) / sigma, with D in closed form: the pulls of a level are sigma W'."""
    mixture = targets.TARGETS["three_in_the_plane"]
    sigma = 0.8
    noised = mixture.noised(sigma)._components
    pulls = np.ascontiguousarray(sigma * np.swapaxes(noised.factors, 1, 2))
    x = mixture.sample(50, rng)
    rows = targets.frozen(targets.rows_near(rng, 50, x, affine=False)._replace(values=x))
    noise = rng.standard_normal((1, 2, 50))
    order = np.arange(50)
    energy = normal_equations(rows, order, noise, Level(noised, pulls, sigma), 1)[2]
    errors = [
        (x - mixture.denoise(x + sign * sigma * noise[0].T, sigma)) / sigma for sign in (1, -1)
    ]
    np.testing.assert_allclose(energy, np.sum(np.square(errors)), rtol=1e-12)


def test_statistics_are_added_to_what_is_there(rng):
    rows, order, noise, level = problem(rng, 200, 2, 2, "full")
    gram, right = np.zeros((12, 12)), np.zeros((2, 12))
    parts = [
        add_equations(rows, own, np.ascontiguousarray(noise[:, :, columns]), level, gram, right)
        for own, columns in ((order[:90], slice(0, 90)), (order[90:], slice(90, 200)))
    ]
    whole = normal_equations(rows, order, noise, level, 6)
    np.testing.assert_allclose(np.tril(gram), whole[0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(right, whole[1], rtol=0, atol=1e-10)
    np.testing.assert_allclose(sum(parts), whole[2], rtol=1e-12)


def test_no_rows_add_nothing(rng):
    rows, _, _, level = problem(rng, 5, 2, 3, "full")
    none = (rows, np.zeros(0, int), np.zeros((2, 3, 0)), level)
    gram, right, energy = normal_equations(*none, 4)
    assert energy == 0.0
    assert not gram.any()
    assert not right.any()
    assert not gains(*none, np.ones((2, 3, 4))).any()


def test_a_silent_residual_gains_nothing(rng):
    rows, order, noise, level = problem(rng, 150, 3, 2, "full")
    moments = gains(rows, order, noise, level, np.zeros((3, 2, 6)))
    assert not moments[:2].any()
    np.testing.assert_allclose(moments[2].sum(), 150.0, rtol=1e-12)


def test_least_squares_gains_what_the_normal_equations_say(rng):
    """The sum of gains over components is t' f B twice minus |B f|^2, for any coefficients."""
    rows, order, noise, level = problem(rng, 300, 2, 2, "full")
    gram, right, _ = normal_equations(rows, order, noise, level, 6)
    gram = gram + np.tril(gram, -1).T
    solved = np.linalg.solve(gram + 1e-6 * np.eye(12), right.T)
    polynomials = np.ascontiguousarray(np.swapaxes(solved.reshape(2, 6, 2), 1, 2))
    moments = gains(rows, order, noise, level, polynomials)
    expected = 2.0 * np.sum(solved.T * right) - np.sum(solved * (gram @ solved))
    np.testing.assert_allclose(moments[0].sum() * 2 * len(noise), expected, rtol=1e-10)


@pytest.mark.usefixtures("compiled")
def test_bit_equal_for_any_number_of_threads(rng):
    rows, order, noise, level = problem(rng, 20_000, 3, 5, "full", n_noises=1)
    order = np.sort(order)

    def run(cores):
        def work(start, stop, sums):
            own = np.ascontiguousarray(noise[:, :, start:stop])
            return add_equations(rows, order[start:stop], own, level, *sums)

        return RowBlocks(20_000, 5, cores).sum(work, ((18, 18), (5, 18)))

    first = run(1)
    for cores in (2, 4):
        again = run(cores)
        assert again[0] == first[0]
        for array, same in zip(again[1], first[1], strict=True):
            np.testing.assert_array_equal(array, same)
