"""Overlap, modes and transforms against quadrature, Monte Carlo and a fine grid."""

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from diffgmm.geometry.calibration import predictive_transforms
from diffgmm.geometry.modes import find_modes
from diffgmm.geometry.overlap import bhattacharyya, misclassification

# Two-sided normal quantile for a false alarm in a million.
Z = 4.9


def random_mixture(rng, k, d, spread=2.0):
    roots = rng.standard_normal((k, d, d)) * 0.4 + np.eye(d)
    weights = rng.dirichlet(np.full(k, 3.0))
    return weights, spread * rng.standard_normal((k, d)), roots @ np.swapaxes(roots, 1, 2)


def one(mixture):
    return tuple(part[None] for part in mixture)


# ---- overlap


def test_bhattacharyya_is_the_integral():
    _, means, covariances = random_mixture(np.random.default_rng(1), 3, 1, 1.0)
    found = bhattacharyya(means[None], covariances[None])[0]
    laws = [stats.norm(m[0], np.sqrt(c[0, 0])) for m, c in zip(means, covariances)]
    for i in range(3):
        for j in range(3):
            expected = integrate.quad(
                lambda x, i=i, j=j: np.sqrt(laws[i].pdf(x) * laws[j].pdf(x)), -30, 30, points=[0.0]
            )[0]
            assert found[i, j] == pytest.approx(expected, abs=1e-9)


@pytest.mark.statistical
@pytest.mark.parametrize("d", [1, 2, 4])
def test_misclassification_is_the_share_of_draws(d):
    """False alarms: 6 pairs at 1e-6 each, for every d."""
    rng = np.random.default_rng(10 + d)
    weights, means, covariances = random_mixture(rng, 3, d, 1.0)
    found = misclassification(*one((weights, means, covariances)))[0]
    n = 40_000
    log_laws = [stats.multivariate_normal(m, c).logpdf for m, c in zip(means, covariances)]
    for i in range(3):
        x = rng.multivariate_normal(means[i], covariances[i], n)
        own = np.log(weights[i]) + log_laws[i](x)
        for j in set(range(3)) - {i}:
            share = np.mean(own < np.log(weights[j]) + log_laws[j](x))
            error = np.sqrt(found[i, j] * (1.0 - found[i, j]) / n)
            assert abs(share - found[i, j]) < Z * error + 1e-3
    assert np.all(np.diagonal(found) == 0.0)


def test_equal_covariances_have_a_closed_form():
    """Omega = Phi((log w_j/w_i - d^2 / 2) / d), to rounding for one dimension."""
    weights, gap = np.array([0.7, 0.3]), 1.7
    expected = stats.norm.cdf((np.log(3.0 / 7.0) - 0.5 * gap**2) / gap)
    for d in (1, 3):
        means = np.zeros((2, d))
        means[1, 0] = gap
        found = misclassification(*one((weights, means, np.tile(np.eye(d), (2, 1, 1)))))
        assert found[0, 0, 1] == pytest.approx(expected, abs=1e-12)


def test_a_component_without_weight_is_never_chosen():
    same = np.zeros((2, 2)), np.tile(np.eye(2), (2, 1, 1))
    found = misclassification(*one((np.array([1.0, 0.0]), *same)))[0]
    assert found.tolist() == [[0.0, 0.0], [1.0, 0.0]]


def test_other_points_would_be_noticed():
    """The tolerance above is met by the default 4096 points and broken by one."""
    rng = np.random.default_rng(14)
    mixture = one(random_mixture(rng, 3, 4, 1.0))
    fine = misclassification(*mixture, n_points=2**14)
    assert np.abs(misclassification(*mixture) - fine).max() < 1e-3
    assert np.abs(misclassification(*mixture, n_points=1) - fine).max() > 1e-2


# ---- modes


def by_grid(weights, means, covariances, n=100_001):
    low, high = means.min() - 4.0, means.max() + 4.0
    x = np.linspace(low, high, n)
    density = sum(
        w * stats.norm.pdf(x, m[0], np.sqrt(c[0, 0]))
        for w, m, c in zip(weights, means, covariances)
    )
    inside = (density[1:-1] > density[:-2]) & (density[1:-1] > density[2:])
    return x[1:-1][inside]


@pytest.mark.parametrize("seed", range(8))
def test_modes_in_one_dimension_are_those_of_a_fine_grid(seed):
    mixture = random_mixture(np.random.default_rng(seed), 6, 1, 2.0)
    (found,) = find_modes(*one(mixture))
    expected = by_grid(*mixture)
    assert len(found.places) == len(expected)
    np.testing.assert_allclose(np.sort(found.places[:, 0]), expected, atol=2e-4)
    assert found.masses.sum() == pytest.approx(1.0)
    assert np.all(np.diff(found.log_density) <= 0.0)


@pytest.mark.parametrize("gap", [1.9, 1.99, 2.01, 2.1])
def test_two_equal_components_have_two_modes_beyond_two_sd(gap):
    means = np.array([[0.0], [gap]])
    (found,) = find_modes(*one((np.array([0.5, 0.5]), means, np.ones((2, 1, 1)))))
    assert len(found.places) == 1 + (gap > 2.0)


def test_there_may_be_more_modes_than_components():
    """Ray and Lindsay (2005), section 5: long and flat across long and upright has a third."""
    covariances = np.array([[[1.0, 0.0], [0.0, 0.05]], [[0.05, 0.0], [0.0, 1.0]]])
    means = np.array([[0.0, 0.0], [1.0, 1.0]])
    (found,) = find_modes(*one((np.array([0.5, 0.5]), means, covariances)))
    assert len(found.places) == 3
    corner = found.places[np.argmin(np.abs(found.places - [1.0, 0.0]).sum(1))]
    law = [stats.multivariate_normal(m, c) for m, c in zip(means, covariances)]
    best = optimize.minimize(
        lambda x: -np.log(0.5 * law[0].pdf(x) + 0.5 * law[1].pdf(x)), [1.0, 0.0], tol=1e-12
    )
    np.testing.assert_allclose(corner, best.x, atol=1e-5)
    assert found.log_density[0] == pytest.approx(-best.fun, abs=1e-9)


# ---- transforms


def test_transforms_are_distribution_functions():
    """Two draws with unequal weights are one mixture of their components."""
    rng = np.random.default_rng(3)
    draws = [random_mixture(rng, 2, 2, 1.0) for _ in range(2)]
    weights, means, covariances = (np.stack(part) for part in zip(*draws))
    share = np.array([0.3, 0.7])
    values = rng.standard_normal((4, 2))
    log_share = np.log(share)[:, None] + np.zeros((1, 4)) + 5.0  # need not be normalised
    found = predictive_transforms(weights, means, covariances, values, log_share)
    w = (share[:, None] * weights).ravel()
    m, c = means.reshape(4, 2), covariances.reshape(4, 2, 2)
    for row, x in enumerate(values):
        for d in range(2):
            expected = w @ stats.norm.cdf(x[d], m[:, d], np.sqrt(c[:, d, d]))
            assert found.marginal[row, d] == pytest.approx(expected, abs=1e-12)
        assert found.rosenblatt[row, 0] == pytest.approx(found.marginal[row, 0], abs=1e-12)

        def joint(y, x=x):
            return sum(
                a * stats.multivariate_normal.pdf([x[0], y], b, s) for a, b, s in zip(w, m, c)
            )

        below, total = (
            integrate.quad(joint, -25, top, points=[0.0, x[1]])[0] for top in (x[1], 25)
        )
        assert found.rosenblatt[row, 1] == pytest.approx(below / total, abs=1e-7)


@pytest.mark.statistical
def test_rosenblatt_numbers_of_own_draws_are_uniform_and_others_are_not():
    """False alarm: two Kolmogorov-Smirnov tests at 1e-6; the planted fault is the sign of the correlation."""
    rng = np.random.default_rng(4)
    covariance = np.array([[1.0, 0.8], [0.8, 1.0]])
    mixture = np.array([0.4, 0.6]), np.array([[-1.0, 0.0], [2.0, 1.0]]), np.stack([covariance] * 2)
    component = rng.choice(2, 2000, p=mixture[0])
    x = mixture[1][component] + rng.multivariate_normal(np.zeros(2), covariance, 2000)
    none = np.zeros((1, 2000))
    right = predictive_transforms(*one(mixture), x, none).rosenblatt
    assert min(stats.kstest(u, "uniform").pvalue for u in right.T) > 1e-6
    wrong = (*mixture[:2], np.stack([covariance * [[1.0, -1.0], [-1.0, 1.0]]] * 2))
    left = predictive_transforms(*one(wrong), x, none).rosenblatt
    assert stats.kstest(left[:, 1], "uniform").pvalue < 1e-6


@pytest.mark.parametrize("d", [1, 3])
def test_equal_components_cannot_be_told_apart(d, rng):
    """The limit of components that come together; a strict comparison of them has 0."""
    root = rng.standard_normal((d, d))
    covariances = np.stack([root @ root.T + np.eye(d)] * 2)[None]
    means, weights = np.ones((1, 2, d)), np.full((1, 2), 0.5)
    equal = misclassification(weights, means, covariances)[0]
    apart = means + [[[0.0]] * 1 + [[1e-6]]]
    near = misclassification(weights, apart, covariances)[0]
    np.testing.assert_array_equal(equal, [[0.0, 0.5], [0.5, 0.0]])
    np.testing.assert_allclose(near, equal, atol=1e-3)
