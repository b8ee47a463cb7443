"""EM: what a pass does, what an optimum is, and what row weights mean."""

import numpy as np
import pytest

from diffgmm.blocks import ROWS_PER_CHUNK_LOW
from diffgmm.covariance import FAMILIES
from diffgmm.data import Data
from diffgmm.learn.em import (
    Parameters,
    Problem,
    expect,
    extrapolate,
    gradient_norm,
    maximise,
    run_em,
    run_passes,
    run_prior_passes,
    worth,
)

each_family = pytest.mark.parametrize("name", list(FAMILIES))


def overlapping(rng, n, d=2, k=3):
    """Return rows of k overlapping round groups."""
    means = 2.0 * rng.standard_normal((k, d))
    return means[rng.integers(k, size=n)] + rng.standard_normal((n, d))


def problem_of(x, name, weights=None, cores=1):
    d = x.shape[1]
    rows = Data.of(x).rows(np.zeros(d), np.ones(d), weights)
    return Problem.of(rows, FAMILIES[name], cores)


def start_at(x, name, k=3):
    family, d = FAMILIES[name], x.shape[1]
    covariances = family.from_full(np.repeat(np.eye(d)[None], k, axis=0))
    return Parameters(np.full(k, 1.0 / k), x[:k].copy(), covariances)


def close(first, second, tolerance):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@each_family
def test_a_pass_never_loses_likelihood(name, rng, compiled):
    x = overlapping(rng, 400 if compiled else 60)
    problem, here = problem_of(x, name), start_at(x, name)
    values = []
    for _ in range(15):
        value, statistics = expect(problem, here)
        values.append(value)
        here = maximise(problem, here, statistics)
    assert np.diff(values).min() > -1e-13  # rounding of a mean of order 4
    assert values[-1] > values[0] + 0.01


@each_family
def test_integer_weights_equal_repeated_rows(name, rng, compiled):
    x = overlapping(rng, 300 if compiled else 40)
    counts = rng.integers(0, 4, size=len(x))
    start = start_at(x, name)
    weighted = run_em(problem_of(x, name, counts), start, max_passes=40)
    repeated = run_em(problem_of(np.repeat(x, counts, axis=0), name), start, max_passes=40)
    close(weighted.parameters, repeated.parameters, 1e-10)
    assert weighted.log_likelihood == pytest.approx(repeated.log_likelihood, abs=1e-12)


@each_family
@pytest.mark.usefixtures("compiled")
def test_gradient_is_that_of_finite_differences(name, rng):
    """Along one mean: the largest slope of the mean log likelihood in standard deviations."""
    x = overlapping(rng, 300)
    problem = problem_of(x, name)
    here = start_at(x, name)
    _, statistics = expect(problem, here)
    factors, _ = FAMILIES[name].factors(here.covariances, x.shape[1])
    assert factors.reshape(len(factors), -1)[0, 0] == 1.0  # start_at: unit standard deviations
    step = 1e-5
    slopes = np.zeros(here.means.shape)
    for index in np.ndindex(here.means.shape):
        moved = [here.means.copy(), here.means.copy()]
        moved[0][index] += step
        moved[1][index] -= step
        up, down = (expect(problem, here._replace(means=means))[0] for means in moved)
        slopes[index] = (up - down) / (2 * step)
    counts, first, _ = statistics
    np.testing.assert_allclose(first / len(x), slopes, atol=1e-8)
    # Only the means can move when covariances are known and weights are at their optimum.
    here = here._replace(weights=counts / counts.sum())
    if name == "identity":
        _, statistics = expect(problem, here)
        of_weights = (statistics[0] - counts) / len(x)
        expected = np.sqrt(np.square(statistics[1] / len(x)).sum() + np.square(of_weights).sum())
        assert gradient_norm(problem, here, statistics) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical"])
@pytest.mark.usefixtures("compiled")
def test_gradient_along_covariances_is_that_of_finite_differences(name, rng):
    """One component at its mean whose covariance is 1.5 times too large.

    All of its D directions have the same slope g / D, g that of the common scale; spherical
    covariances have that scale alone.
    """
    x = overlapping(rng, 300)
    problem = problem_of(x, name)
    first = run_em(problem, Parameters(np.ones(1), x.mean(axis=0)[None], start_at(x, name)[2][:1]))
    optimum = first.parameters

    def at(scale):
        return optimum._replace(covariances=scale * optimum.covariances)

    slope = (expect(problem, at(1.5 + 1e-5))[0] - expect(problem, at(1.5 - 1e-5))[0]) / 2e-5
    along_log_scale = 1.5 * slope
    expected = abs(along_log_scale) / (1.0 if name == "spherical" else np.sqrt(x.shape[1]))
    _, statistics = expect(problem, at(1.5))
    assert gradient_norm(problem, at(1.5), statistics) == pytest.approx(expected, rel=1e-5)


@each_family
@pytest.mark.usefixtures("compiled")
def test_an_optimum_is_one(name, rng):
    x = overlapping(rng, 2_000)
    problem = problem_of(x, name)
    result = run_em(problem, start_at(x, name), tolerance=1e-12, max_passes=20_000)
    assert result.converged
    assert result.gradient_norm < 1e-5
    start = expect(problem, start_at(x, name))
    assert gradient_norm(problem, start_at(x, name), start[1]) > 1e-2  # the measure can see more
    plain = result.parameters
    for _ in range(200):
        value, statistics = expect(problem, plain)
        plain = maximise(problem, plain, statistics)
    assert value - result.log_likelihood < 1e-9 * abs(value)


@pytest.mark.usefixtures("compiled")
def test_extrapolation_saves_passes_and_keeps_the_optimum(rng, monkeypatch):
    x = overlapping(rng, 2_000)
    problem, start = problem_of(x, "full"), start_at(x, "full")
    fast = run_em(problem, start, tolerance=1e-9, max_passes=20_000)
    monkeypatch.setattr("diffgmm.learn.em.extrapolate", lambda *_: None)
    slow = run_em(problem, start, tolerance=1e-9, max_passes=20_000)
    assert fast.converged
    assert slow.converged
    assert fast.n_passes < 0.7 * slow.n_passes
    assert fast.log_likelihood > slow.log_likelihood - 1e-7


def test_extrapolation_stays_in_the_domain():
    family = FAMILIES["diag"]
    ones = np.ones((1, 1))
    path = [Parameters(np.ones(1), ones, v * ones) for v in (1.0, 0.5, 0.1)]
    assert extrapolate(family, *path) is None or extrapolate(family, *path).covariances.min() > 0


@each_family
def test_a_component_without_rows_stays_where_it_is(name, rng, compiled):
    x = overlapping(rng, 200 if compiled else 40)
    start = start_at(x, name)
    far = start._replace(means=np.concatenate([start.means[:2], np.full((1, 2), 1e3)]))
    problem = problem_of(x, name)
    moved = maximise(problem, far, expect(problem, far)[1])
    assert all(np.all(np.isfinite(array)) for array in moved)
    np.testing.assert_array_equal(moved.means[2], far.means[2])
    if name not in ("tied", "identity"):
        np.testing.assert_array_equal(moved.covariances[2], far.covariances[2])


@pytest.mark.usefixtures("compiled")
def test_passes_are_bit_equal_for_any_number_of_threads(rng):
    x = overlapping(rng, 2 * ROWS_PER_CHUNK_LOW + 77)
    results = [
        run_em(problem_of(x, "full", cores=cores), start_at(x, "full"), max_passes=7)
        for cores in (1, 2, 4)
    ]
    for other in results[1:]:
        for one, two in zip(results[0].parameters, other.parameters, strict=True):
            np.testing.assert_array_equal(one, two)


def test_passes_under_the_prior_give_back_rows_that_a_small_component_has_taken(rng):
    means, label = np.zeros((3, 20)), np.repeat([0, 1, 2], [1_400, 1_400, 150])
    means[1, 0] = means[2, 1] = 3.5
    x = means[label] + rng.standard_normal((len(label), 20))
    problem, taken = problem_of(x, "full"), label.copy()
    taken[np.argsort(np.square(x[:1_400, 2:]).sum(axis=1))[-150:]] = 2

    def optimum_of(groups):
        rows = [x[groups == j] for j in range(3)]
        covariances = np.stack([np.cov(own.T, bias=True) for own in rows])
        centres = np.stack([own.mean(axis=0) for own in rows])
        return run_em(problem, Parameters(np.bincount(groups) / len(x), centres, covariances))

    right, wrong = optimum_of(label), optimum_of(taken)
    plain = run_em(problem, run_passes(problem, wrong.parameters, 20))
    drawn = run_em(problem, run_prior_passes(problem, wrong.parameters, 20))
    values = [worth(problem, each.parameters, each.log_likelihood) for each in (plain, drawn)]
    best = worth(problem, right.parameters, right.log_likelihood)
    assert values[0] < best - 0.01
    assert values[1] == pytest.approx(best, abs=1e-4)


@each_family
def test_passes_under_the_prior_weigh_it_against_rows(name, rng):
    x = overlapping(rng, 300)
    problem, start = problem_of(x, name), start_at(x, name)
    found = run_prior_passes(problem, start, 1)
    plain = run_passes(problem, start, 1)
    np.testing.assert_allclose(found.means, plain.means)
    if FAMILIES[name].is_shared:
        np.testing.assert_array_equal(found.covariances, plain.covariances)
        return
    # Every covariance lies between its own and that within components, nearer the latter the fewer
    # its rows: share / (1 - share) times them are the rows of the prior, the same for all.
    within = np.tensordot(plain.weights, plain.covariances, axes=1)
    entries = [np.reshape(each, (3, -1))[:, 0] for each in (found.covariances, plain.covariances)]
    share = (entries[0] - entries[1]) / (np.ravel(within)[0] - entries[1])
    assert 0.0 < share.min() <= share.max() < 1.0
    prior_rows = share / (1.0 - share) * 300 * plain.weights
    np.testing.assert_allclose(prior_rows, prior_rows[0], rtol=1e-6)
    expected = 2.0 ** np.arange(11) / (2.0 if name == "spherical" else 1.0)
    assert np.isclose(prior_rows[0], expected).any()
