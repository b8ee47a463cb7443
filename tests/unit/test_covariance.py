"""Covariance families: estimates, whitening, units, merging, and the floor under eigenvalues."""

import math

import numpy as np
import pytest
import reference
from scipy import integrate, stats

from diffgmm.covariance import FAMILIES, components_of, family_of
from diffgmm.data import raw_rows
from diffgmm.errors import InvalidParameterError
from diffgmm.learn.em import Parameters
from diffgmm.learn.reduction import merge_costs, merge_covariances, merge_pairs
from diffgmm.matrices import (
    EIGENVALUE_FLOOR,
    floor_eigenvalues,
    inverse_cholesky,
    inverse_lower,
    symmetric,
)

EPS = np.finfo(float).eps
FALSE_ALARM = 1e-6  # per run of a statistical test

NAMES = ("full", "tied", "diag", "spherical", "identity")
SHARED = ("tied", "identity")

each_family = pytest.mark.parametrize("name", NAMES)
each_own = pytest.mark.parametrize("name", [name for name in NAMES if name not in SHARED])


def spread_matrices(rng, k, d):
    """Return positive definite matrices (K, D, D) with eigenvalues from about 0.3 to 5."""
    roots = rng.standard_normal((k, d, d))
    return roots @ np.swapaxes(roots, 1, 2) / d + 0.3 * np.eye(d)


def closest(name, matrices):
    """Return the covariances of a family closest to matrices (K, D, D), as full matrices."""
    k, d, _ = matrices.shape
    if name == "tied":
        return np.stack([matrices.mean(axis=0)] * k)
    if name == "diag":
        return np.stack([np.diag(np.diag(m)) for m in matrices])
    if name == "spherical":
        return np.stack([np.trace(m) / d * np.eye(d) for m in matrices])
    if name == "identity":
        return np.stack([np.eye(d)] * k)
    return matrices


def parameters(rng, k, d, name):
    """Return weights, means, and covariances in the family's shape."""
    covariances = family_of(name).from_full(spread_matrices(rng, k, d))
    return rng.dirichlet(np.ones(k)), rng.standard_normal((k, d)), covariances


def shape_of(name, k, d):
    return {"full": (k, d, d), "tied": (k, d, d), "diag": (k, d)}.get(name, (k,))


def test_the_families_have_their_names():
    assert tuple(FAMILIES) == NAMES
    assert all(family_of(name).name == name for name in NAMES)
    assert tuple(name for name in NAMES if family_of(name).is_shared) == SHARED
    assert [name for name in NAMES if not family_of(name).is_free] == ["identity"]


@pytest.mark.parametrize(
    ("value", "shown"), [("ful", "'ful'"), (None, "None"), (["full"], "['full']")]
)
def test_an_unknown_family_is_refused(value, shown):
    with pytest.raises(InvalidParameterError) as caught:
        family_of(value)
    assert str(caught.value) == (
        "covariance_type must be one of 'full', 'tied', 'diag', 'spherical', 'identity', "
        f"got {shown}."
    )


@pytest.mark.parametrize(
    ("name", "moments", "numbers"),
    [
        ("full", (3, 4, 4), 30),
        ("tied", (3, 4, 4), 10),
        ("diag", (3, 4), 12),
        ("spherical", (3, 4), 3),
        ("identity", (3, 0), 0),
    ],
)
def test_shapes_of_moments_and_numbers_of_parameters(name, moments, numbers):
    assert family_of(name).moment_shape(3, 4) == moments
    assert family_of(name).n_parameters(3, 4) == numbers


@each_family
@pytest.mark.parametrize(("k", "d"), [(1, 1), (3, 1), (1, 4), (3, 4)])
def test_from_full_matrices_and_back(name, k, d, rng):
    family, matrices = family_of(name), spread_matrices(rng, k, d)
    own = family.from_full(matrices)
    assert own.shape == shape_of(name, k, d)
    full = family.as_full(own, d)
    np.testing.assert_allclose(full, closest(name, matrices), rtol=4 * EPS, atol=0)
    np.testing.assert_allclose(family.from_full(full), own, rtol=4 * EPS)


@each_family
@pytest.mark.parametrize("old_mean", [0.0, 0.7])
def test_estimates_are_maximum_likelihood_whatever_the_old_means_were(name, old_mean, rng):
    rows = rng.standard_normal((200, 3)) @ np.array([[2.0, 0, 0], [1.0, 1, 0], [0, 0.5, 0.3]])
    share = rng.dirichlet(np.ones(2), 200)
    means = np.stack([rows.mean(axis=0) + old_mean, rows[0]])
    counts, first, second = reference.moments(share, rows - means[:, None, :])
    full = np.stack([np.cov(rows.T, aweights=share[:, k], ddof=0) for k in range(2)])
    expected = closest(name, full)
    if name == "tied":  # pooled: components count by their rows
        expected = np.stack([np.einsum("k,kab->ab", counts, full) / counts.sum()] * 2)
    family = family_of(name)
    kept = {3: np.tril(second), 2: np.diagonal(second, axis1=1, axis2=2)}
    shape = family.moment_shape(2, 3)
    given = np.zeros(shape) if shape[-1] == 0 else kept[len(shape)]
    estimate = family.as_full(family.estimate(counts, first, given), 3)
    # 200 roundings of second moments some ten times the covariances
    np.testing.assert_allclose(estimate, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES[:4])
def test_estimates_of_a_collapsed_component_stay_usable(name):
    """All of its rows are one point: the covariance is the floor, not 0."""
    family = family_of(name)
    second = np.zeros(family.moment_shape(1, 2))
    estimate = family.estimate(np.array([5.0]), np.zeros((1, 2)), second)
    full = family.as_full(estimate, 2)
    np.testing.assert_allclose(full, [EIGENVALUE_FLOOR * np.eye(2)], rtol=1e-12, atol=1e-20)
    family.factors(estimate, 2)


@each_family
@pytest.mark.parametrize("d", [1, 2, 5, 20])
def test_whitening_factors(name, d, rng):
    family = family_of(name)
    own = family.from_full(spread_matrices(rng, 3, d))
    full = family.as_full(own, d)
    factors, log_determinants = family.factors(own, d)
    assert factors.shape == own.shape
    within = 100 * d * EPS * np.linalg.cond(full).max()
    for factor, covariance, log_determinant in zip(factors, full, log_determinants, strict=True):
        w = reference.whitening(factor, d)
        np.testing.assert_allclose(w @ covariance @ w.T, np.eye(d), rtol=0, atol=within)
        np.testing.assert_array_equal(np.triu(w, 1), np.zeros((d, d)))
        exact = np.log(np.linalg.eigvalsh(covariance)).sum()
        assert log_determinant == pytest.approx(exact, abs=within)


@pytest.mark.parametrize("name", NAMES[:4])
@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan])
def test_what_is_not_positive_definite_has_no_factors(name, bad, rng):
    family = family_of(name)
    own = np.array(family.from_full(spread_matrices(rng, 2, 3)))
    own[:] = own * bad
    with pytest.raises(np.linalg.LinAlgError):
        family.factors(own, 3)


@each_family
def test_components_agree_with_the_log_density_of_the_family(name, rng):
    weights, means, covariances = parameters(rng, 3, 4, name)
    family = family_of(name)
    components = components_of(weights, np.asfortranarray(means), covariances, family)
    assert components.means.flags.c_contiguous  # another layout would compile again
    assert components.factors.flags.c_contiguous
    x = rng.standard_normal((10, 4))
    expected = [
        np.log(w) + stats.multivariate_normal(m, c).logpdf(x)
        for w, m, c in zip(weights, means, family.as_full(covariances, 4), strict=True)
    ]
    joint = reference.log_joint(raw_rows(x), components)
    np.testing.assert_allclose(joint, np.transpose(expected), rtol=1e-12)


def test_a_weight_of_zero_is_minus_infinity_without_a_warning():
    components = components_of(
        np.array([1.0, 0.0]), np.zeros((2, 1)), np.ones(2), family_of("identity")
    )
    np.testing.assert_array_equal(np.isinf(components.log_constants), [False, True])


@each_family
def test_other_units(name, rng):
    family = family_of(name)
    own = family.from_full(spread_matrices(rng, 2, 3))
    scale = {
        "feature": np.array([0.5, 3.0, 100.0]),
        "common": np.full(3, 7.0),
        "none": np.ones(3),
    }[family.scaling]
    rescaled = family.as_full(family.rescale(own, scale), 3)
    expected = scale[:, None] * family.as_full(own, 3) * scale
    np.testing.assert_allclose(rescaled, expected, rtol=4 * EPS)


def test_no_family_allows_more_scaling_than_it_survives():
    allowed = {name: family_of(name).scaling for name in NAMES}
    assert allowed == {
        "full": "feature",
        "tied": "feature",
        "diag": "feature",
        "spherical": "common",
        "identity": "none",
    }


def pairs(k):
    return np.triu_indices(k, 1)


def merged_pair(name, weights, means, covariances, i, j):
    """Return weight and family covariance, as a matrix, of two components taken as one."""
    full = family_of(name).as_full(covariances, means.shape[1])
    both = [i, j]
    total, _, merged = reference.merged(weights[both], means[both], full[both])
    return total, closest(name, merged[None])[0]


@each_own
def test_merging_keeps_the_moments_of_the_pair(name, rng):
    weights, means, covariances = parameters(rng, 4, 3, name)
    first, second = pairs(4)
    share = weights[first] / (weights[first] + weights[second])
    steps = means[first] - means[second]
    merged = merge_covariances(
        family_of(name), share, steps, covariances[first], covariances[second]
    )
    full = family_of(name).as_full(merged, 3)
    for one, i, j in zip(full, first, second, strict=True):
        _, expected = merged_pair(name, weights, means, covariances, i, j)
        np.testing.assert_allclose(one, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", SHARED)
def test_a_shared_covariance_stays(name, rng):
    _, means, covariances = parameters(rng, 2, 3, name)
    merged = merge_covariances(
        family_of(name), np.array([0.3]), means[:1] - means[1:], covariances[:1], covariances[1:]
    )
    np.testing.assert_array_equal(merged, covariances[:1])


@each_own
def test_components_without_rows_merge(name, rng):
    """After a split both halves may be empty; 0 / 0 must not reach their covariance."""
    weights, means, covariances = parameters(rng, 3, 2, name)
    weights[:] = [0.0, 0.0, 1.0]
    first, second = pairs(3)
    costs = merge_costs(family_of(name), (weights, means, covariances), first, second)
    assert costs[0] == 0.0
    merged = merge_pairs(
        family_of(name), Parameters(weights, means, covariances), first[:1], second[:1]
    )
    assert merged.weights == [0.0]
    np.testing.assert_allclose(merged.means[0], means[:2].mean(axis=0), rtol=1e-12)
    assert np.all(np.isfinite(merged.covariances))


@each_own
def test_merge_costs_are_runnalls_bound(name, rng):
    weights, means, covariances = parameters(rng, 5, 3, name)
    full = family_of(name).as_full(covariances, 3)
    first, second = pairs(5)
    costs = merge_costs(family_of(name), (weights, means, covariances), first, second)
    for cost, i, j in zip(costs, first, second, strict=True):
        total, merged = merged_pair(name, weights, means, covariances, i, j)
        log_det = [np.log(np.linalg.det(c)) for c in (merged, full[i], full[j])]
        expected = 0.5 * (total * log_det[0] - weights[i] * log_det[1] - weights[j] * log_det[2])
        assert cost == pytest.approx(expected, rel=1e-11)
        assert cost > 0.0


@pytest.mark.parametrize("name", SHARED)
def test_merge_costs_with_a_shared_covariance_are_half_the_scatter_that_merging_adds(name, rng):
    weights, means, covariances = parameters(rng, 5, 3, name)
    precision = np.linalg.inv(family_of(name).as_full(covariances, 3)[0])
    first, second = pairs(5)
    costs = merge_costs(family_of(name), (weights, means, covariances), first, second)
    for cost, i, j in zip(costs, first, second, strict=True):
        _, mean, _ = reference.merged(weights[[i, j]], means[[i, j]], np.zeros((2, 3, 3)))
        steps = [(weights[k], means[k] - mean) for k in (i, j)]
        expected = 0.5 * sum(w * step @ precision @ step for w, step in steps)
        assert cost == pytest.approx(expected, rel=1e-11)


def test_merge_costs_bound_the_divergence():
    """One dimension, by quadrature: KL(pair | merged Gaussian) is not above the bound."""
    weights, means = np.array([0.3, 0.7]), np.array([[0.0], [1.5]])
    covariances = np.array([[[1.0]], [[0.4]]])
    pair = (np.array([0]), np.array([1]))
    (cost,) = merge_costs(family_of("full"), (weights, means, covariances), *pair)
    _, mean, variance = reference.merged(weights, means, covariances)
    one = stats.norm(mean[0], math.sqrt(variance[0, 0]))

    def integrand(x):
        p = sum(
            w * stats.norm.pdf(x, m[0], math.sqrt(v[0, 0]))
            for w, m, v in zip(weights, means, covariances, strict=True)
        )
        return p * (math.log(p) - one.logpdf(x))

    divergence, error = integrate.quad(integrand, -12.0, 12.0)
    assert error < 1e-7
    assert 0.0 < divergence <= cost


@each_family
def test_merging_a_component_with_its_twin_costs_nothing(name, rng):
    twice = [np.repeat(array, 2, axis=0) for array in parameters(rng, 1, 3, name)]
    (cost,) = merge_costs(family_of(name), tuple(twice), np.array([0]), np.array([1]))
    assert abs(cost) < 1e-14


def test_symmetric_reads_the_lower_triangle_only(rng):
    matrices = rng.standard_normal((2, 4, 4))
    full = symmetric(matrices)
    np.testing.assert_array_equal(np.tril(full), np.tril(matrices))
    np.testing.assert_array_equal(full, np.swapaxes(full, 1, 2))


@pytest.mark.parametrize("d", [1, 16, 17, 50, 101])  # whole, and both parities of halves
def test_inverse_of_lower_triangular_matrices(d, rng):
    lower = np.linalg.cholesky(spread_matrices(rng, 3, d))
    inverse = inverse_lower(lower)
    # Substitution leaves at most d roundings of the terms of each entry (Higham 2002, section 14.2).
    within = 2 * d * EPS * np.abs(inverse) @ np.abs(lower)
    assert np.all(np.abs(inverse @ lower - np.eye(d)) <= within)
    assert not np.triu(inverse, 1).any()
    np.testing.assert_array_equal(inverse_lower(lower[0]), inverse[0])


def test_inverse_cholesky_of_what_is_not_positive_definite_fails():
    with pytest.raises(np.linalg.LinAlgError):
        inverse_cholesky(np.array([np.eye(2), [[1.0, 2.0], [2.0, 1.0]]]))


def test_the_floor_lifts_low_eigenvalues_and_nothing_else(rng):
    good = spread_matrices(rng, 2, 4)
    flat = good[0].copy()
    flat[:, 3] = flat[3, :] = 0.0  # a component collapsed onto a plane
    floored = floor_eigenvalues(np.stack([good[0], flat, np.zeros((4, 4)), good[1]]), floor=1e-3)
    np.testing.assert_array_equal(floored[[0, 3]], good)
    values = np.linalg.eigvalsh(floored[1])
    assert values[0] == pytest.approx(1e-3, rel=1e-10)
    np.testing.assert_allclose(values[1:], np.linalg.eigvalsh(flat)[1:], rtol=1e-12)
    np.testing.assert_allclose(floored[2], 1e-3 * np.eye(4), rtol=1e-12, atol=1e-18)


def test_the_floor_mends_what_rounding_made_indefinite():
    matrix = np.array([[[1.0, 1.0], [1.0, 1.0 - 1e-12]]])
    floored = floor_eigenvalues(matrix, floor=1e-8)
    # Rounding of an eigenvalue is 1e-16 of the largest one: 1e-8 of the floor
    assert np.linalg.eigvalsh(floored[0])[0] == pytest.approx(1e-8, rel=1e-6)


def test_healthy_covariances_are_returned_as_they_are(rng):
    covariances = spread_matrices(rng, 3, 5)
    assert floor_eigenvalues(covariances) is covariances


@each_own
def test_two_components_without_weight_can_be_merged(name, rng):
    """The halves of a component that collapsed onto one row: 0 / 0 once ended fits."""
    weights, means, covariances = parameters(rng, 3, 2, name)
    weights[:2] = 0.0
    family, first, second = family_of(name), np.array([0, 0]), np.array([1, 2])
    costs = merge_costs(family, (weights, means, covariances), first, second)
    np.testing.assert_allclose(costs, 0.0, atol=1e-14)
    merged = merge_pairs(family, (weights, means, covariances), first, second)
    np.testing.assert_allclose(merged.means[0], means[:2].mean(axis=0))
    np.testing.assert_allclose(merged.means[1], means[2])
    np.testing.assert_allclose(merged.covariances[1], covariances[2])
