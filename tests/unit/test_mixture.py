"""Densities, scores and denoisers of mixtures, against SciPy, differences, quadrature and laws."""

import math

import numpy as np
import pytest
import reference
import targets
from scipy import integrate, special, stats
from targets import rows_around, units

from diffgmm import GaussianMixture
from diffgmm.data import raw_rows
from diffgmm.kernels import gaussian

RELATIVE = 1e-12  # as in tests/kernels: of the largest logarithm

SIGMAS = (0.0, 1e-3, 1.0, 80.0)

each_target = pytest.mark.parametrize("name", list(targets.TARGETS))


@pytest.fixture
def mixture(name):
    return targets.TARGETS[name]


@pytest.mark.parametrize("spread", [1.0, 1e3], ids=["bulk", "far"])
@each_target
def test_log_density_equals_scipy(mixture, spread, rng):
    x = rows_around(mixture, 257, rng, spread)
    joint = reference.mixture_log_joint(mixture, x)
    within = RELATIVE * (1.0 + np.abs(joint[np.isfinite(joint)]).max())
    # SciPy whitens by eigenvalues, we by Cholesky: they differ by the condition number's roundings.
    within *= max(np.linalg.cond(c) for c in mixture.covariances) ** 0.5
    np.testing.assert_allclose(
        mixture.log_density(x), special.logsumexp(joint, axis=1), rtol=0, atol=within
    )
    np.testing.assert_allclose(
        mixture.responsibilities(x), special.softmax(joint, axis=1), rtol=0, atol=within
    )


@each_target
def test_density_integrates_to_one_over_a_marginal(mixture):
    marginal = mixture.marginal(0)
    mean, covariance = reference.mixture_moments(marginal)
    reach = 15.0 * math.sqrt(covariance[0, 0])
    total, error = integrate.quad(
        lambda x: math.exp(marginal.log_density([[x]])[0]),
        mean[0] - reach,
        mean[0] + reach,
        points=marginal.means[:, 0],
        epsabs=1e-10,
        limit=200,
    )
    assert abs(total - 1.0) <= max(error, 1e-10)


@pytest.mark.parametrize("spread", [1.0, 1e3])
@each_target
def test_responsibilities_sum_to_one(mixture, spread, rng):
    shares = mixture.responsibilities(rows_around(mixture, 300, rng, spread))
    assert shares.shape == (300, mixture.n_components)
    assert shares.min() >= 0.0
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=0, atol=4 * 2.3e-16)
    assert not shares[:, mixture.weights == 0.0].any()


@each_target
def test_predictions_are_the_largest_responsibility(mixture, rng):
    x = rows_around(mixture, 100, rng)
    np.testing.assert_array_equal(
        mixture.predict(x), reference.mixture_log_joint(mixture, x).argmax(axis=1)
    )


def test_a_row_infinitely_far_is_minus_infinity_and_nobodys():
    mixture = GaussianMixture([0.5, 0.5], [[0.0], [1.0]], [[[1e-20]], [[1e-20]]])
    x = [[1e149], [0.0]]
    np.testing.assert_array_equal(np.isneginf(mixture.log_density(x)), [True, False])
    np.testing.assert_array_equal(mixture.responsibilities(x), [[0.0, 0.0], [1.0, 0.0]])
    np.testing.assert_array_equal(mixture.score(x), [[0.0], [0.0]])


def central_difference(function, x, step):
    """Return the gradient (N, D) of `function` by central differences with steps (D,)."""
    columns = []
    for axis, h in enumerate(step):
        shift = np.zeros(len(step))
        shift[axis] = h
        columns.append((function(x + shift) - function(x - shift)) / (2.0 * h))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("sigma", SIGMAS)
@each_target
def test_score_is_the_gradient_of_the_log_density(mixture, sigma, rng):
    """The extrapolated difference errs by less than its distance to the plain one."""
    noised = mixture.noised(sigma)
    x = rows_around(mixture, 40, rng, sigma=sigma)
    step = 0.02 * np.sqrt(np.diagonal(noised.covariances, axis1=1, axis2=2).min(axis=0))
    wide, narrow = (central_difference(noised.log_density, x, s) for s in (step, step / 2.0))
    extrapolated = (4.0 * narrow - wide) / 3.0
    rounding = 8.0 * RELATIVE * (1.0 + np.abs(noised.log_density(x)).max()) / step
    within = np.abs(extrapolated - narrow).max(axis=0) + rounding
    score = mixture.score(x, sigma)
    assert score.shape == x.shape
    assert np.all(np.abs(score - extrapolated) <= within)
    # It can fail: the tolerance is small beside the score.
    assert np.all(within < 0.01 * np.abs(score).max(axis=0))


@each_target
def test_score_equals_the_formula_far_away(mixture, rng):
    """A thousand standard deviations out one component decides, and the score is its pull."""
    x = rows_around(mixture, 20, rng, spread=1e3)
    owner = mixture.responsibilities(x).argmax(axis=1)
    pull = [
        np.linalg.solve(mixture.covariances[k], mixture.means[k] - row)
        for k, row in zip(owner, x, strict=True)
    ]
    decided = mixture.responsibilities(x).max(axis=1) == 1.0
    assert decided.sum() >= 10
    size = units(mixture)
    np.testing.assert_allclose(
        (mixture.score(x) * size)[decided], (pull * size)[decided], rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("sigma", SIGMAS[1:])
@each_target
def test_denoiser_is_the_posterior_mean(mixture, sigma, rng):
    """sum_k p(k | y) (m_k + Sigma_k S_k^-1 (y - m_k)), without a score."""
    y = rows_around(mixture, 100, rng, sigma=sigma)
    noised = mixture.covariances + sigma**2 * np.eye(mixture.n_features)
    shares = mixture.noised(sigma).responsibilities(y)
    expected = sum(
        share[:, None] * (mean + (y - mean) @ np.linalg.solve(total, own))
        for share, mean, own, total in zip(
            shares.T, mixture.means, mixture.covariances, noised, strict=True
        )
    )
    size = np.abs(y).max(axis=0) + np.abs(expected).max(axis=0) + np.abs(mixture.means).max(axis=0)
    within = 1e-14 * max(np.linalg.cond(c) for c in noised) ** 0.5 * size
    assert np.all(np.abs(mixture.denoise(y, sigma) - expected) <= within)


@each_target
def test_without_noise_there_is_nothing_to_remove(mixture, rng):
    y = rows_around(mixture, 50, rng)
    within = 1e-14 * max(np.linalg.cond(c) for c in mixture.covariances) ** 0.5
    size = np.abs(y - mixture.means[:, None, :]).max(axis=(0, 1))
    assert np.all(np.abs(mixture.denoise(y, 0.0) - y) <= within * size)


def test_denoiser_by_quadrature():
    mixture, sigma, y = targets.two_on_a_line(), 0.8, 0.3

    def weight(x):
        return math.exp(mixture.log_density([[x]])[0]) * stats.norm.pdf(y, x, sigma)

    numerator = integrate.quad(lambda x: x * weight(x), -15.0, 15.0, points=[-2.0, 0.3, 1.5])[0]
    denominator = integrate.quad(weight, -15.0, 15.0, points=[-2.0, 0.3, 1.5])[0]
    expected = numerator / denominator
    assert mixture.denoise([[y]], sigma)[0, 0] == pytest.approx(expected, rel=1e-9)


def test_one_gaussian_by_hand():
    mixture = GaussianMixture([1.0], [[2.0]], [[[4.0]]])
    assert mixture.score([[5.0]])[0, 0] == pytest.approx(-0.75, rel=1e-15)
    assert mixture.score([[5.0]], sigma=1.0)[0, 0] == pytest.approx(-0.6, rel=1e-15)
    assert mixture.denoise([[5.0]], sigma=1.0)[0, 0] == pytest.approx(4.4, rel=1e-15)


@each_target
def test_noise_adds_to_the_covariances(mixture):
    noised = mixture.noised(2.0)
    np.testing.assert_array_equal(
        noised.covariances, mixture.covariances + 4.0 * np.eye(mixture.n_features)
    )
    np.testing.assert_array_equal(noised.means, mixture.means)
    np.testing.assert_array_equal(noised.weights, mixture.weights)
    assert noised.feature_names == mixture.feature_names
    assert mixture.noised(0.0) is mixture
    assert mixture.noised(0) is mixture


@each_target
def test_noise_twice_is_the_noise_of_both(mixture):
    twice, once = mixture.noised(3.0).noised(4.0), mixture.noised(5.0)
    np.testing.assert_allclose(twice.covariances, once.covariances, rtol=1e-15)


@each_target
def test_the_order_of_components_changes_nothing(mixture, rng):
    order = rng.permutation(mixture.n_components)
    permuted = GaussianMixture(
        mixture.weights[order], mixture.means[order], mixture.covariances[order]
    )
    x = rows_around(mixture, 150, rng)
    # Sums of K terms in another order: K roundings.
    joint = reference.mixture_log_joint(mixture, x)
    within = 1e-15 * (1.0 + np.abs(joint[np.isfinite(joint)]).max())
    np.testing.assert_allclose(permuted.log_density(x), mixture.log_density(x), rtol=0, atol=within)
    np.testing.assert_allclose(
        permuted.responsibilities(x), mixture.responsibilities(x)[:, order], rtol=0, atol=within
    )
    score = mixture.score(x, 0.5)
    np.testing.assert_allclose(
        permuted.score(x, 0.5), score, rtol=0, atol=10 * within * np.abs(score).max()
    )
    np.testing.assert_array_equal(order[permuted.predict(x)], mixture.predict(x))


@pytest.mark.parametrize("scale", [2.0**-20, 8.0])
@each_target
def test_other_units_rescale_everything(mixture, scale, rng):
    """Powers of two are exact; the shift costs the roundings of the numbers it makes larger."""
    shift = 4.0 * scale * units(mixture)
    moved = GaussianMixture(
        mixture.weights, mixture.means * scale + shift, mixture.covariances * scale**2
    )
    x = rows_around(mixture, 150, rng)
    y = x * scale + shift
    d = mixture.n_features
    joint = reference.mixture_log_joint(mixture, x)
    within = RELATIVE * (1.0 + np.abs(joint[np.isfinite(joint)]).max())
    np.testing.assert_allclose(
        moved.log_density(y), mixture.log_density(x) - d * math.log(scale), rtol=0, atol=within
    )
    np.testing.assert_allclose(
        moved.responsibilities(y), mixture.responsibilities(x), rtol=0, atol=within
    )
    sigma = units(mixture).min()
    score, size = mixture.score(x, sigma), units(mixture)
    np.testing.assert_allclose(
        moved.score(y, sigma * scale) * scale * size,
        score * size,
        rtol=0,
        atol=within * np.abs(score * size).max(),
    )
    denoised = mixture.denoise(x, sigma)
    np.testing.assert_allclose(
        (moved.denoise(y, sigma * scale) - shift) / scale / size,
        denoised / size,
        rtol=0,
        atol=within * np.abs(denoised / size).max(),
    )


def test_many_rows_are_the_same_bits_as_one_call_of_the_kernel(rng, compiled):
    """Five chunks, several threads: rows are computed alike wherever they are."""
    mixture = targets.one_of_them_empty()
    x = rng.standard_normal((20_001, 5))
    expected = np.empty(len(x))
    gaussian.log_density(raw_rows(x), mixture._components, 0, len(x), expected)
    np.testing.assert_array_equal(mixture.log_density(x), expected)
