"""Marginals and conditionals of mixtures in closed form, and draws by their moments."""

import math

import numpy as np
import pytest
import reference
import targets
from scipy import integrate, stats
from targets import rows_around, units

from diffgmm import GaussianMixture

FALSE_ALARM = 1e-6  # per run of a statistical test, over all of its statistics

each_target = pytest.mark.parametrize("name", list(targets.TARGETS))


@pytest.fixture
def mixture(name):
    return targets.TARGETS[name]


def test_marginal_by_quadrature():
    mixture = targets.three_in_the_plane()
    marginal = mixture.marginal("weight")
    assert marginal.feature_names == ("weight",)
    for value in (-1.0, 0.5, 3.0):
        expected, error = integrate.quad(
            lambda x, value=value: math.exp(mixture.log_density([[x, value]])[0]),
            -25.0,
            25.0,
            points=mixture.means[:, 0],
            epsabs=1e-12,
        )
        density = math.exp(marginal.log_density([[value]])[0])
        assert abs(density - expected) <= max(error, 1e-12)


@pytest.mark.parametrize(
    "features", [("weight", "height"), [1, 0], np.array([1, 0]), (1, "height")]
)
def test_marginal_of_all_features_reorders_them(features, rng):
    mixture = targets.three_in_the_plane()
    swapped = mixture.marginal(features)
    assert swapped.feature_names == ("weight", "height")
    x = rows_around(mixture, 20, rng)
    np.testing.assert_allclose(
        swapped.log_density(x[:, ::-1].copy()), mixture.log_density(x), rtol=1e-12
    )


@pytest.mark.parametrize("known", [[0], [3, 1], [4, 0, 2]])
def test_joint_is_marginal_times_conditional(known, rng):
    mixture = targets.one_of_them_empty()
    rest = [i for i in range(5) if i not in known]
    for row in rows_around(mixture, 10, rng):
        conditional = mixture.condition({f"x{i}": row[i] for i in known})
        assert conditional.feature_names == tuple(f"x{i}" for i in rest)
        joint = mixture.log_density([row])[0]
        product = (
            mixture.marginal(known).log_density([row[known]])[0]
            + conditional.log_density([row[rest]])[0]
        )
        # Terms of size below 1e3, condition numbers below 1e2
        assert product == pytest.approx(joint, abs=1e-11)


def test_condition_of_one_gaussian_by_hand():
    mixture = GaussianMixture([1.0], [[1.0, 2.0]], [[[4.0, 1.2], [1.2, 1.0]]])
    conditional = mixture.condition({"x1": 3.0})
    np.testing.assert_allclose(conditional.means, [[2.2]], rtol=1e-15)
    np.testing.assert_allclose(conditional.covariances, [[[2.56]]], rtol=1e-15)
    assert conditional.feature_names == ("x0",)


def test_condition_far_away_keeps_weights_a_distribution():
    mixture = targets.three_in_the_plane()
    conditional = mixture.condition({"height": 1e5})
    np.testing.assert_array_equal(conditional.weights, [0.0, 0.0, 1.0])


def moment_z_scores(draws, mixture):
    """Return z scores of means, second moments and component shares, from the draws' own errors."""
    mean, covariance = reference.mixture_moments(mixture)
    centred = draws - mean
    rows, columns = np.tril_indices(len(mean))
    terms = np.hstack(
        [
            centred,
            centred[:, rows] * centred[:, columns] - covariance[rows, columns],
            mixture.responsibilities(draws)[:, mixture.weights > 0.0]
            - mixture.weights[mixture.weights > 0.0],
        ]
    )
    terms = terms[:, terms.std(axis=0) > 1e-12]  # one component: its share is always 1
    return terms.mean(axis=0) * math.sqrt(len(draws)) / terms.std(axis=0)


def limit(z):
    return stats.norm.isf(FALSE_ALARM / (2 * z.size))


@pytest.mark.statistical
@each_target
def test_draws_have_the_moments_of_the_mixture(mixture):
    """A mean shift of 0.03 sd is found with probability 0.99."""
    z = moment_z_scores(mixture.sample(50_000, 7), mixture)
    assert np.abs(z).max() < limit(z)


def shifted(mixture, draws):
    return draws + 0.05 * units(mixture)


def too_wide(mixture, draws):
    mean, _ = reference.mixture_moments(mixture)
    return mean + 1.03 * (draws - mean)


def equal_weights(mixture, draws):
    k = mixture.n_components
    other = GaussianMixture(np.full(k, 1.0 / k), mixture.means, mixture.covariances)
    return other.sample(len(draws), 7)


def transposed_cholesky(mixture, draws):
    rng = np.random.default_rng(7)
    owner = rng.choice(mixture.n_components, len(draws), p=mixture.weights)
    normal = rng.standard_normal(draws.shape)
    roots = np.linalg.cholesky(mixture.covariances)
    return np.einsum("ia,iab->ib", normal, roots[owner]) + mixture.means[owner]


@pytest.mark.statistical
@pytest.mark.parametrize("fault", [shifted, too_wide, equal_weights, transposed_cholesky])
def test_the_moment_test_sees_planted_faults(fault):
    mixture = targets.three_in_the_plane()
    z = moment_z_scores(fault(mixture, mixture.sample(50_000, 7)), mixture)
    assert np.abs(z).max() > limit(z)


@pytest.mark.statistical
def test_draws_come_in_random_order():
    """The places of the first component's draws are uniform: part of a sample is a sample."""
    mixture = targets.three_in_the_plane()
    owner = mixture.predict(mixture.sample(20_000, 3))
    place = np.flatnonzero(owner == 0) / len(owner)
    z = (place.mean() - 0.5) * math.sqrt(12.0 * len(place))
    assert abs(z) < stats.norm.isf(FALSE_ALARM / 2)


def test_seeds_of_draws():
    mixture = targets.three_in_the_plane()
    np.testing.assert_array_equal(mixture.sample(5, 1), mixture.sample(5, random_seed=1))
    assert not np.isin(mixture.sample(5, 1), mixture.sample(5, 2)).any()
    assert not np.isin(mixture.sample(5), mixture.sample(5)).any()
    rng = np.random.default_rng(4)
    assert not np.isin(mixture.sample(5, rng), mixture.sample(5, rng)).any()
    assert mixture.sample(np.int64(3), [1, 2]).shape == (3, 2)


def test_a_component_of_weight_zero_is_never_drawn():
    mixture = GaussianMixture([1.0, 0.0], [[0.0], [1e6]], [[[1.0]], [[1.0]]])
    assert mixture.sample(1000, 0).max() < 100.0
