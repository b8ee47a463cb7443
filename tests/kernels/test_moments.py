"""The EM pass against its naive twin: log likelihood and moments about the current means."""

import numpy as np
import pytest
import reference
import targets

from diffgmm.blocks import RowBlocks
from diffgmm.kernels import moments
from diffgmm.kernels.bundles import Components, Rows

# As in test_gaussian: the rounding of the largest logarithm, passed on to every share by exp.
RELATIVE = 1e-12

DIMENSIONS = (1, 2, 3, 4, 5, 8, 9)

families = pytest.mark.parametrize("family", targets.FAMILIES)


def second_shape(k, d, family):
    """Return the shape of the second moments that a family needs; scalar ones need the diagonal."""
    return (k, d, d) if family == "full" else (k, d)


def expectation(rows, components, family, start=0, stop=None):
    k, d = components.means.shape
    statistics = (np.zeros(k), np.zeros((k, d)), np.zeros(second_shape(k, d, family)))
    stop = len(rows.values) if stop is None else stop
    return moments.expectation(rows, components, start, stop, statistics), statistics


def comparable(second):
    """Return second moments as kernels promise them: lower triangles, or diagonals."""
    return np.tril(second) if second.ndim == 3 else second


def for_family(second, family):
    return np.tril(second) if family == "full" else np.diagonal(second, axis1=1, axis2=2)


def assert_equal_to_reference(rows, components, family):
    before = [array.copy() for array in (*rows, *components)]
    joint = reference.log_joint(rows, components)
    within = RELATIVE * (1.0 + np.abs(joint[np.isfinite(joint)]).max(initial=0.0))
    total, (counts, first, second) = expectation(rows, components, family)
    expected_total, expected = reference.expectation(rows, components)
    sizes = reference.expectation_sizes(rows, components)
    assert abs(total - expected_total) <= within * reference.row_weights(rows).sum()
    for actual, exact, size in zip(
        (counts, first, comparable(second)),
        (*expected[:2], for_family(expected[2], family)),
        (*sizes[:2], for_family(sizes[2], family)),
        strict=True,
    ):
        assert np.all(np.abs(actual - exact) <= within * size)
    for array, copy in zip((*rows, *components), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@families
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("d", DIMENSIONS)
def test_equals_reference(d, weighted, family, rng):
    for n, k in targets.sizes():
        components = targets.components(rng, k, d, family)
        rows = targets.rows_near(rng, n, components.means, weighted=weighted)
        assert_equal_to_reference(rows, components, family)


@families
def test_equals_reference_in_twenty_dimensions(family, rng):
    components = targets.components(rng, 2, 20, family)
    rows = targets.rows_near(rng, 130, components.means)
    assert_equal_to_reference(rows, components, family)


@pytest.mark.usefixtures("compiled")  # too slow as plain Python
@families
@pytest.mark.parametrize("d", [64, 161])
def test_equals_reference_in_many_dimensions(d, family, rng):
    components = targets.components(rng, 3, d, family)
    rows = targets.rows_near(rng, 130, components.means)
    assert_equal_to_reference(rows, components, family)


@pytest.mark.parametrize("weighted", [False, True])
def test_float32_rows(weighted, rng):
    components = targets.components(rng, 2, 5, "full")
    rows = targets.rows_near(rng, 129, components.means, np.float32, weighted=weighted)
    assert_equal_to_reference(rows, components, "full")


def test_no_room_for_second_moments_is_fine(rng):
    components = targets.components(rng, 3, 4, "scalar")
    rows = targets.rows_near(rng, 130, components.means)
    statistics = (np.zeros(3), np.zeros((3, 4)), np.zeros((3, 0)))
    total = moments.expectation(rows, components, 0, 130, statistics)
    with_second, (counts, first, _) = expectation(rows, components, "scalar")
    assert total == with_second
    np.testing.assert_array_equal(statistics[0], counts)
    np.testing.assert_array_equal(statistics[1], first)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e30])
def test_the_scale_of_row_weights_is_free(scale, rng):
    components = targets.components(rng, 3, 4, "full")
    rows = targets.rows_near(rng, 130, components.means, weighted=True)
    scaled = targets.frozen(rows._replace(weights=rows.weights * scale))
    total, statistics = expectation(scaled, components, "full")
    plain_total, plain = expectation(rows, components, "full")
    assert total == pytest.approx(plain_total * scale, rel=1e-13)
    sizes = reference.expectation_sizes(scaled, components)
    for actual, expected, size in zip(statistics, plain, sizes, strict=True):
        # n roundings of 1.1e-16 in each of two sums of 130 terms
        assert np.all(np.abs(comparable(actual - expected * scale)) <= 3e-14 * size)


@families
def test_whole_weights_are_repeated_rows(family, rng):
    components = targets.components(rng, 2, 3, family)
    rows = targets.rows_near(rng, 60, components.means)
    times = rng.integers(0, 4, 60)
    repeated = targets.frozen(rows._replace(values=np.repeat(rows.values, times, axis=0)))
    weighted = targets.frozen(rows._replace(weights=times.astype(float)))
    total, statistics = expectation(weighted, components, family)
    expected_total, expected = expectation(repeated, components, family)
    sizes = reference.expectation_sizes(weighted, components)
    assert total == pytest.approx(expected_total, rel=1e-13)
    for actual, exact, size in zip(statistics[:2], expected[:2], sizes[:2], strict=True):
        assert np.all(np.abs(actual - exact) <= 3e-14 * size)


def test_a_component_of_weight_zero_gets_nothing(rng):
    components = targets.components(rng, 3, 4, "full")
    constants = components.log_constants.copy()
    constants[1] = -np.inf
    components = components._replace(log_constants=constants)
    rows = targets.rows_near(rng, 130, components.means)
    assert_equal_to_reference(rows, components, "full")
    _, (counts, first, second) = expectation(rows, components, "full")
    assert counts[1] == 0.0
    assert not first[1].any()
    assert not second[1].any()


@families
def test_rows_far_from_everything(family, rng):
    components = targets.components(rng, 3, 5, family)
    rows = targets.rows_near(rng, 20, components.means, affine=False)
    values = rows.values.copy()
    values[::2] += 1e3 * np.sign(rng.standard_normal((10, 5)))
    rows = targets.frozen(rows._replace(values=values))
    assert_equal_to_reference(rows, components, family)


@pytest.mark.parametrize("weights", [None, 1.0])
def test_a_row_infinitely_far_costs_infinity_and_moves_nothing(weights, rng):
    components = targets.components(rng, 2, 5, "full")
    rows = targets.rows_near(rng, 130, components.means, affine=False)
    values = rows.values.copy()
    values[3] = 1e160
    row_weights = np.zeros(0) if weights is None else np.full(130, weights)
    far = targets.frozen(rows._replace(values=values, weights=row_weights))
    total, statistics = expectation(far, components, "full")
    assert total == -np.inf
    without = np.ones(130)
    without[3] = 0.0
    kept, expected = expectation(targets.frozen(rows._replace(weights=without)), components, "full")
    assert np.isfinite(kept)
    for actual, exact in zip(statistics, expected, strict=True):
        np.testing.assert_array_equal(actual, exact)


def test_a_row_of_weight_zero_does_not_exist_wherever_it_is(rng):
    components = targets.components(rng, 2, 5, "full")
    rows = targets.rows_near(rng, 130, components.means, affine=False)
    weights = np.ones(130)
    weights[[0, 129]] = 0.0
    values = rows.values.copy()
    values[0] = 1e160
    near, far = (
        targets.frozen(rows._replace(values=v, weights=weights)) for v in (rows.values, values)
    )
    total, statistics = expectation(far, components, "full")
    expected_total, expected = expectation(near, components, "full")
    assert total == expected_total
    for actual, exact in zip(statistics, expected, strict=True):
        np.testing.assert_array_equal(actual, exact)


def test_components_a_million_sd_apart_keep_the_digits_of_their_second_moments(rng):
    """Raw moments lose 1e6^2 of 1e16; moments about the current means lose nothing."""
    d, k, n = 3, 3, 129
    means = np.array([[0.0] * d, [1e6] * d, [-1e6, 1e6, 0.0]])
    factors = np.broadcast_to(np.eye(d), (k, d, d)).copy()
    components = Components(np.full(k, np.log(1 / k) - 0.5 * d * reference.LOG_2PI), means, factors)
    owner = np.arange(n) % k
    values = means[owner] + rng.standard_normal((n, d))
    rows = targets.frozen(Rows(values, np.zeros(d), np.ones(d), np.zeros(0)))
    _, (counts, _, second) = expectation(rows, components, "full")
    np.testing.assert_array_equal(counts, [43.0, 43.0, 43.0])
    worst_raw = 0.0
    for j in range(k):
        own = values[owner == j]
        centred = own - means[j]
        exact, size = centred.T @ centred, np.abs(centred).T @ np.abs(centred)
        # 43 roundings of 1.1e-16 in each of two sums
        assert np.all(np.abs(np.tril(second[j] - exact)) <= 1e-14 * size)
        raw = (own**2).sum(axis=0) - 2.0 * own.sum(axis=0) * means[j] + 43.0 * means[j] ** 2
        worst_raw = max(worst_raw, np.abs((raw - np.diag(exact)) / np.diag(size)).max())
    assert worst_raw > 1e-7  # what this test is there to see


def test_statistics_are_added_to(rng):
    components = targets.components(rng, 2, 3, "full")
    rows = targets.rows_near(rng, 129, components.means)
    total, expected = expectation(rows, components, "full")
    statistics = tuple(np.full_like(array, 100.0) for array in expected)
    assert moments.expectation(rows, components, 0, 129, statistics) == total
    for actual, exact in zip(statistics, expected, strict=True):
        # one rounding of a number near 100 more
        np.testing.assert_allclose(comparable(actual), comparable(exact + 100.0), rtol=1e-15 * 4)


def test_parts_add_up(rng):
    components = targets.components(rng, 3, 5, "full")
    rows = targets.rows_near(rng, 300 if targets.sizes()[-1][0] == 300 else 140, components.means)
    n = len(rows.values)
    total, statistics = expectation(rows, components, "full")
    parts = [expectation(rows, components, "full", a, b) for a, b in ((0, 7), (7, 135), (135, n))]
    sizes = reference.expectation_sizes(rows, components)
    assert sum(part[0] for part in parts) == pytest.approx(total, rel=1e-13)
    for index, size in enumerate(sizes):
        added = sum(part[1][index] for part in parts)
        assert np.all(np.abs(comparable(added - statistics[index])) <= 3e-14 * size)


@pytest.mark.parametrize("weighted", [False, True])
def test_one_two_and_four_threads_give_equal_bits(weighted, rng, monkeypatch):
    """Many chunks, each finished by whichever thread comes first."""
    chunk, n = (16_384, 300_007) if targets.sizes()[-1][0] == 300 else (64, 400)
    monkeypatch.setattr("diffgmm.blocks.ROWS_PER_CHUNK_LOW", chunk)
    components = targets.components(rng, 3, 1, "full")
    rows = targets.rows_near(rng, n, components.means, weighted=weighted)
    shapes = ((3,), (3, 1), (3, 1, 1))

    def work(start, stop, statistics):
        return moments.expectation(rows, components, start, stop, statistics)

    runs = [RowBlocks(n, 1, cores).sum(work, shapes) for cores in (1, 2, 4, 4)]
    assert RowBlocks(n, 1, 4).n_threads == 4
    for total, statistics in runs[1:]:
        assert total == runs[0][0]
        for actual, expected in zip(statistics, runs[0][1], strict=True):
            np.testing.assert_array_equal(actual, expected)
    # The sum over chunks is the sum over rows.
    expected_total, expected = reference.expectation(rows, components)
    assert runs[0][0] == pytest.approx(expected_total, rel=1e-12)
    np.testing.assert_allclose(runs[0][1][2], expected[2], rtol=1e-11)


@pytest.mark.parametrize("d", DIMENSIONS)
def test_covariances_are_about_the_new_means(d, rng):
    values, shares = rng.standard_normal((40, d)), rng.random((40, 3))
    counts, first, second = reference.moments(shares, values - rng.standard_normal((3, 1, d)))
    second[:, *np.triu_indices(d, 1)] = np.nan  # only the lower triangles are promised
    found = np.full((3, d, d), np.nan)
    assert moments.write_covariances(counts, first, second, 1e-8, found) == 0
    expected = [np.cov(values.T, aweights=share, ddof=0).reshape(d, d) for share in shares.T]
    # 40 roundings of second moments some ten times the covariances
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(found, np.swapaxes(found, 1, 2))


def test_covariances_with_an_eigenvalue_below_the_floor_are_counted():
    variances = np.array([0.5, 0.99, 1.01, 2.0, np.nan])
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    second = np.stack([turn @ np.diag([3.0, variance]) @ turn.T for variance in variances])
    counts, first, out = np.ones(5), np.zeros((5, 2)), np.empty((5, 2, 2))
    assert moments.write_covariances(counts, first, second, 1.0, out) == 3
    assert moments.write_covariances(counts, first, second, 0.0, out) == 1
