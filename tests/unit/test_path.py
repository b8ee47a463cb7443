"""The path over numbers of components: what it holds, what it chooses, and that it holds out."""

import numpy as np
import pytest

import diffgmm
from diffgmm.covariance import FAMILIES, components_of
from diffgmm.data import Data
from diffgmm.kernels import moments
from diffgmm.learn import path as paths
from diffgmm.learn.em import Parameters, Problem
from diffgmm.learn.path import assignment_entropy, default_numbers, fit_path, n_parameters

pytestmark = pytest.mark.usefixtures("compiled")


def three_groups(rng, n=900):
    means = np.array([[-6.0, 0.0], [6.0, 0.0], [0.0, 8.0]])
    return means[rng.integers(3, size=n)] + rng.standard_normal((n, 2))


def test_criteria_are_their_definitions(rng):
    x = three_groups(rng)
    found = diffgmm.fit(x, range(1, 5), random_seed=1)
    path = found.path
    np.testing.assert_array_equal(path.n_components, [1, 2, 3, 4])
    for index, k in enumerate(path.n_components):
        optimum = path.optimum(k)
        mixture = diffgmm.GaussianMixture(optimum.weights, optimum.means, optimum.covariances)
        log_likelihood = mixture.log_density(x).sum()
        shares = mixture.responsibilities(x)
        entropy = -np.sum(shares * np.log(np.maximum(shares, 1e-300)))
        bic = -2.0 * log_likelihood + (k - 1 + 2 * k + 3 * k) * np.log(len(x))
        assert path.log_likelihood[index] == pytest.approx(log_likelihood, rel=1e-10)
        assert path.bic[index] == pytest.approx(bic, rel=1e-10)
        assert path.icl[index] == pytest.approx(bic + 2.0 * entropy, rel=1e-8)
    assert path.best() == path.best("icl") == found.mixture.n_components == 3
    assert np.all(np.diff(path.log_likelihood) > -1e-3 * len(x))


def test_kept_rows_are_not_seen(rng, monkeypatch):
    """Kept rows from another world change their own density and no fit that judges them."""
    x = three_groups(rng)
    kept = paths._split(len(x), None, np.random.default_rng(4))[1] > 0.0
    assert kept.sum() == len(x) // paths.FOLDS
    moved = np.where(kept[:, None], x + [40.0, -25.0], x)
    units = paths.Units.of(Data.of(x), FAMILIES["full"])
    monkeypatch.setattr(paths.Units, "of", lambda *_: units)
    judged = []
    original = paths.expect
    monkeypatch.setattr(
        paths, "expect", lambda problem, start: judged.append(start) or original(problem, start)
    )
    paths_of = [
        fit_path(Data.of(each), range(2, 4), FAMILIES["full"], rng=np.random.default_rng(4), cores=1)
        for each in (x, moved)
    ]
    assert len(judged) == 4
    for here, there in zip(judged[:2], judged[2:], strict=True):
        for one, other in zip(here, there, strict=True):
            np.testing.assert_array_equal(one, other)
    assert np.all(paths_of[1].held_out < paths_of[0].held_out - 1.0)


@pytest.mark.parametrize("seed", [2, 3, 5])
def test_numbers_in_the_running_are_polished(seed, rng):
    """The path's optimum at the true number is that of a fit; stopping at once would fall short."""
    x = three_groups(rng, 3_000) + rng.standard_normal((3_000, 2))
    found = diffgmm.fit(x, range(1, 9), random_seed=seed)
    alone = diffgmm.fit(x, 3, random_seed=seed)
    best = found.path.optimum(3).log_likelihood
    assert best > alone.log_likelihood - len(x) * 10 * paths.PATH_TOLERANCE


def test_held_out_density_does_not_reward_too_many_components(rng):
    """Mean over 20 data sets: fits that have seen the kept rows would gain all the way.

    In-sample log likelihood per row is higher at 8 components in every set; held out it is lower
    on average. Standard error from the sets; a false alarm needs 3.7 of them (1e-4).
    """
    gains, in_sample = [], []
    for seed in range(20):
        own = np.random.default_rng([7, seed])
        x = three_groups(own, 240)
        path = fit_path(Data.of(x), range(3, 9), FAMILIES["full"], rng=own, cores=1)
        gains.append(path.held_out[-1] - path.held_out[0])
        in_sample.append((path.log_likelihood[-1] - path.log_likelihood[0]) / len(x))
    assert min(in_sample) > 0.0
    error = np.std(gains, ddof=1) / np.sqrt(len(gains))
    assert np.mean(gains) < -3.7 * error


def test_entropy_against_numpy(rng):
    x = three_groups(rng, 300)
    weights = rng.random(300)
    start = Parameters(np.array([0.5, 0.5, 0.0]), x[:3].copy(), np.repeat(np.eye(2)[None] * 9, 3, 0))
    problem = Problem.of(Data.of(x).rows(np.zeros(2), np.ones(2), weights), FAMILIES["full"], 1)
    mixture = diffgmm.GaussianMixture(*start)
    shares = mixture.responsibilities(x)
    expected = -weights @ np.sum(shares * np.log(np.maximum(shares, 1e-300)), axis=1)
    assert assignment_entropy(problem, start) == pytest.approx(expected, rel=1e-10)
    components = components_of(*start, FAMILIES["full"])
    halves = [moments.assignment_entropy(problem.rows, components, *r) for r in ((0, 130), (130, 300))]
    assert sum(halves) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("name", "expected"),
    # 2 weights, 9 means, and 3 x 6, 6, 3 x 3, 3 or no covariances
    [("full", 29), ("tied", 17), ("diag", 20), ("spherical", 14), ("identity", 11)],
)
def test_numbers_of_parameters(name, expected):
    assert n_parameters(FAMILIES[name], 3, 3) == expected


@pytest.mark.parametrize(("n_rows", "largest"), [(1, 1), (25, 2), (100, 10), (10_000, 15)])
def test_default_numbers(n_rows, largest):
    assert default_numbers(n_rows) == range(1, largest + 1)
