"""Log densities of score models: against closed forms, normalised, and two estimators together."""

import warnings

import numpy as np
import pytest
import reference
import targets

from diffgmm import GaussianMixture, fit
from diffgmm.diffusion import ScoreModel, density, likelihood
from diffgmm.diffusion.density import log_density
from diffgmm.diffusion.likelihood import log_density_by_denoising
from diffgmm.errors import ConvergenceWarning, InvalidParameterError

# Nats: a tenth of what the solver promises, five times what it allows two solutions of a step.
ACCURACY = 1e-4

MANY = np.geomspace(2.2, 0.05, 100)  # between them the residual is interpolated: 1e-4 of it


def silent(mixture):
    """Return a silent model in units of its own."""
    mean, covariance = reference.mixture_moments(mixture)
    return ScoreModel.silent(mixture, mean + 0.3, 1.2 * np.sqrt(np.diag(covariance)))


def awake(mixture, sigmas=(1.5, 0.7, 0.2)):
    """Return a model whose residual is on, and 0: the solver runs, the law is the mixture's."""
    model, n = silent(mixture), len(sigmas)
    k, d = model.means.shape
    active = np.ones((n, k), bool)
    return model.with_residual(np.array(sigmas), np.zeros((n, k, 1, d)), active, None)


def rough(mixture, rng, size=0.08, sigmas=(1.5, 0.7, 0.3)):
    """Return a model with a random residual of degree 2."""
    model = silent(mixture)
    k, d = model.means.shape
    shape = (len(sigmas), k, 1 + d + d * (d + 1) // 2, d)
    coefficients = size * rng.standard_normal(shape)
    return model.with_residual(np.array(sigmas), coefficients, np.ones(shape[:2], bool), None)


def widened(variances, move=None):
    """Return N(0, I) with the residual that makes it N(move, diag(variances)), of degree 1."""
    variances, t = np.asarray(variances, float), MANY[:, None] ** 2
    d = len(variances)
    move = np.zeros(d) if move is None else np.asarray(move, float)
    slope = variances / (variances + t) - 1.0 / (1.0 + t)
    coefficients = np.zeros((len(MANY), 1, 1 + d, d))
    coefficients[:, 0, 0] = (1.0 - variances / (variances + t)) * move / MANY[:, None]
    coefficients[:, 0, np.arange(1, d + 1), np.arange(d)] = slope * np.sqrt(1.0 + t) / np.sqrt(t)
    mixture = GaussianMixture([1.0], [np.zeros(d)], [np.eye(d)])
    model = ScoreModel.silent(mixture, np.zeros(d), np.ones(d))
    return model.with_residual(MANY, coefficients, np.ones((len(MANY), 1), bool), None)


def law_of_the_flow(variances, move):
    """Return the law that the flow makes of its start N(0, 1 + T): an affine map of it."""
    variances, top = np.asarray(variances, float), MANY[0] ** 2
    gain = np.sqrt(variances / (variances + top))
    return GaussianMixture([1.0], [move - gain * move], [np.diag(gain**2 * (1.0 + top))])


def right_side(variances, move, x):
    """Return the likelihood identity of the moved Gaussian with the start N(0, 1 + T), (N,).

    Its own log density, but E log p_T(x + sqrt(T) xi) is that of the start.
    """
    variances, top = np.asarray(variances, float), MANY[0] ** 2

    def expected(mean, variance):
        return -0.5 * np.log(2 * np.pi * variance) - 0.5 * ((x - mean) ** 2 + top) / variance

    own = GaussianMixture([1.0], [move], [np.diag(variances)]).log_density(x)
    return own + (expected(0.0, 1.0 + top) - expected(move, variances + top)).sum(axis=1)


@pytest.mark.parametrize("name", targets.TARGETS)
def test_silent_models_have_the_mixtures_density(name, rng):
    mixture = targets.TARGETS[name]
    x = targets.rows_around(mixture, 50, rng, spread=2.0)
    expected = mixture.log_density(x)
    np.testing.assert_allclose(log_density(silent(mixture), x), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(silent(mixture).log_density(x), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", targets.TARGETS)
def test_the_flow_gives_the_exact_density_of_mixtures(name, rng):
    mixture = targets.TARGETS[name]
    x = targets.rows_around(mixture, 200, rng, spread=1.5)
    got = log_density(awake(mixture), x)
    np.testing.assert_allclose(got, mixture.log_density(x), rtol=0, atol=ACCURACY)


def test_narrow_components_far_apart_need_no_more_than_smaller_steps():
    """Also at the border between them, where the slope of the score is 100 times that inside."""
    mixture = GaussianMixture([0.4, 0.6], [[-1.0], [1.0]], [[[0.01]], [[0.02]]])
    x = np.linspace(-1.6, 1.6, 33)[:, None]
    np.testing.assert_allclose(
        log_density(awake(mixture), x), mixture.log_density(x), rtol=0, atol=ACCURACY
    )


@pytest.mark.parametrize("d", [1, 3])
def test_the_flow_follows_the_residual(d, rng):
    variances, move = np.array([1.5, 0.7, 1.0])[:d], np.array([1.2, -0.6, 0.3])[:d]
    law = law_of_the_flow(variances, move)
    x = rng.uniform(-1.5, 1.5, (60, d))
    got = log_density(widened(variances, move), x)
    np.testing.assert_allclose(got, law.log_density(x), rtol=0, atol=1e-3)


def test_density_on_a_line_has_the_integral_one(rng):
    model = rough(targets.TARGETS["two_on_a_line"], rng)
    x = np.linspace(-7.0, 7.0, 701)
    total = np.trapezoid(np.exp(log_density(model, x[:, None])), x)
    assert total == pytest.approx(1.0, abs=1e-3)


def test_density_in_the_plane_has_the_integral_one(rng):
    mixture = GaussianMixture(
        [0.5, 0.5], [[-1.0, 0.0], [1.0, 0.5]], [0.5 * np.eye(2), [[0.6, 0.2], [0.2, 0.4]]]
    )
    model = rough(mixture, rng)
    line = np.linspace(-4.5, 4.5, 46)
    x = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    total = np.exp(log_density(model, x)).sum() * (line[1] - line[0]) ** 2
    assert total == pytest.approx(1.0, abs=1e-3)


def test_density_is_that_of_the_flows_draws(rng):
    """On a line the flow is monotone: the slope of its inverse times the start's density.

    A different route to the same number: 4000 steps of Heun's method from above, and differences.
    """
    from diffgmm.diffusion.samplers.heun import heun
    from diffgmm.diffusion.samplers.standardised import StandardisedScore, mixture_at

    model = rough(targets.TARGETS["two_on_a_line"], rng)
    score = StandardisedScore(model, 1)
    parts = [np.linspace(1.5, 0.7, 300), np.linspace(0.7, 0.3, 300), np.linspace(0.3, 0.0, 300)]
    levels = np.concatenate([parts[0], parts[1][1:], parts[2][1:]])
    y = np.linspace(-3.0, 3.0, 61)
    step = 1e-4
    low, x, high = (
        heun(score, (y + shift)[:, None], levels, rng)[0][:, 0] for shift in (-step, 0.0, step)
    )
    expected = mixture_at(score.model, 1.5).log_density(y[:, None])
    expected -= np.log((high - low) / (2.0 * step)) + np.log(model.scale[0])
    got = log_density(model, x[:, None] * model.scale + model.shift)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-3)


def test_rows_and_threads_do_not_change_each_other(rng):
    mixture = targets.TARGETS["three_in_the_plane"]
    model = rough(mixture, rng)
    x = targets.rows_around(mixture, 300, rng)
    together = log_density(model, x, cores=2)
    np.testing.assert_allclose(log_density(model, x[7:8]), together[7:8], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(log_density(model, x, cores=1), together)


def test_rows_that_do_not_converge_are_counted(monkeypatch, rng):
    monkeypatch.setattr(density, "MOST_HALVINGS", 0)
    monkeypatch.setattr(density, "STEPS", 2)
    mixture = targets.TARGETS["two_on_a_line"]
    with pytest.warns(ConvergenceWarning, match=r"^The log density of 3 rows has an estimated"):
        log_density(awake(mixture, (1.5, 0.1)), targets.rows_around(mixture, 3, rng))


def test_scores_without_soft_gates_are_refused():
    class Hard:
        shift, scale, feature_names, is_silent = np.zeros(1), np.ones(1), ("x0",), False

    with pytest.raises(InvalidParameterError, match=r"^log_density needs a score model with a"):
        log_density(Hard(), [[0.0]])


def test_a_divergence_of_the_wrong_size_is_caught(monkeypatch, rng):
    from diffgmm.diffusion.samplers.standardised import StandardisedScore

    exact = StandardisedScore.score_and_divergence

    def wrong(self, z, sigma):
        own, divergence = exact(self, z, sigma)
        return own, 0.99 * divergence

    monkeypatch.setattr(StandardisedScore, "score_and_divergence", wrong)
    mixture = targets.TARGETS["two_on_a_line"]
    x = targets.rows_around(mixture, 50, rng)
    assert np.abs(log_density(awake(mixture), x) - mixture.log_density(x)).max() > 50 * ACCURACY


# the likelihood identity


@pytest.mark.parametrize("name", targets.TARGETS)
def test_the_identity_gives_the_exact_density_of_mixtures(name, rng):
    """Without help from the mixture: 8 standard errors, of 8 replicates, and 1e-3 in the median.

    Of Student's t with 7 degrees of freedom 8 is exceeded with probability 1e-4; rows share noise.
    In five dimensions the noise leaves more.
    """
    mixture = targets.TARGETS[name]
    x = targets.rows_around(mixture, 40, rng)
    got, error = log_density_by_denoising(
        awake(mixture), x, n_noise=4096, control_variate=False, random_seed=1
    )
    away = np.abs(got - mixture.log_density(x))
    assert np.all(away < 8.0 * error + 1e-6)
    assert np.median(away) < (1e-3 if mixture.n_features < 5 else 4e-3)


VARIANCES, MOVE = np.array([1.5, 0.7]), np.array([1.2, -0.6])


@pytest.mark.timeout(60)
def test_far_rows_have_a_density_too():
    """At 1e9 deviations rounding is above any tolerance, and halving steps would not end.

    The residual is bounded there, and all but the standard normal's square is small.
    """
    far = np.array([[1e3, -1e3], [1e9, 1e9]])
    with pytest.warns(ConvergenceWarning):
        got = log_density(widened(VARIANCES, MOVE), far)
    np.testing.assert_allclose(got, -0.5 * np.square(far).sum(axis=1), rtol=0.01)


@pytest.mark.parametrize("control", [True, False])
def test_the_identity_follows_the_residual(control, rng):
    """Within 1e-3 nat, and the reported standard error is below that as well."""
    x = rng.uniform(-1.5, 1.5, (20, 2))
    got, error = log_density_by_denoising(
        widened(VARIANCES, MOVE), x, control_variate=control, random_seed=1
    )
    np.testing.assert_allclose(got, right_side(VARIANCES, MOVE, x), rtol=0, atol=1e-3)
    assert error.max() < 1e-3


def test_the_identity_bounds_the_flow_from_below_where_the_start_is_wrong(rng):
    """In the mean over the flow's law, as a bound must; by less than half a nat here."""
    law = law_of_the_flow(VARIANCES, MOVE)
    x = law.sample(400, rng)
    got, _ = log_density_by_denoising(widened(VARIANCES, MOVE), x, n_noise=64, random_seed=1)
    assert -0.5 < got.mean() - law.log_density(x).mean() < 0.0


def test_an_integral_without_its_half_is_caught(monkeypatch, rng):
    exact = likelihood._integrand
    monkeypatch.setattr(likelihood, "_integrand", lambda *given: 2.0 * exact(*given))
    with pytest.raises(AssertionError):
        test_the_identity_follows_the_residual(True, rng)


def test_the_identity_repeats_for_a_seed(rng):
    model, x = widened(VARIANCES), rng.uniform(-1.5, 1.5, (5, 2))
    first, second, other = (
        log_density_by_denoising(model, x, n_noise=64, random_seed=seed)[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert np.any(first != other)


# fits


def test_a_fit_returns_the_density_of_what_it_learned():
    rng = np.random.default_rng(3)
    angle = rng.uniform(0.0, 2.0 * np.pi, 3000)
    X = np.c_[np.cos(angle), np.sin(angle)] + 0.125 * rng.standard_normal((3000, 2))
    found = fit(X, 4, model="diffusion", random_seed=1, progressbar=False)
    assert not found.score_model.is_silent
    x = X[:200]
    got = found.log_density(x)
    np.testing.assert_array_equal(got, found.score_model.log_density(x))
    assert np.abs(got - found.mixture.log_density(x)).max() > 0.1
    assert got.mean() > found.mixture.log_density(x).mean()
    np.testing.assert_array_equal(
        found.sample(5, random_seed=2, sampler="ode", steps=4),
        found.score_model.sample(5, 2, sampler="dpm++", steps=4),
    )
    plain = fit(X, 4, random_seed=1, progressbar=False)
    np.testing.assert_array_equal(plain.log_density(x), plain.mixture.log_density(x))


def test_no_warning_on_ordinary_rows(rng):
    mixture = targets.TARGETS["three_in_the_plane"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log_density(rough(mixture, rng), targets.rows_around(mixture, 100, rng))
