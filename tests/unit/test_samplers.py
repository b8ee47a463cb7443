"""Samplers against closed forms: maps of the flow, moments of kernels, orders of convergence."""

import dataclasses
import itertools

import numpy as np
import pytest
import reference_diffusion as twins
import targets
from scipy import integrate

from diffgmm import GaussianMixture
from diffgmm.diffusion import Draws, ResidualReport, ScoreModel, draw
from diffgmm.diffusion.samplers import SAMPLERS
from diffgmm.diffusion.samplers import gms as gms_module
from diffgmm.diffusion.samplers import levels as grids
from diffgmm.diffusion.samplers import sde as sde_module
from diffgmm.diffusion.samplers.bias import start_bias
from diffgmm.diffusion.samplers.gms import reverse_moments, two_components
from diffgmm.diffusion.samplers.predictor_corrector import mala_step
from diffgmm.diffusion.samplers.sde import sde_step
from diffgmm.diffusion.samplers.standardised import StandardisedScore, highest_level
from diffgmm.errors import InvalidParameterError, SamplingDivergedError

NAMES = tuple(SAMPLERS)
STOCHASTIC = ("sde", "predictor-corrector")
TOP, LOWEST = 2.0, 0.2


def silent(mixture):
    d = mixture.n_features
    return ScoreModel.silent(mixture, np.zeros(d), np.ones(d))


def with_constant(variance, move, sigmas):
    """Return N(0, v I) with the residual that makes it N(move, v I) at every level, and in between.

    The difference of the two denoisers is sigma^2 / (v + sigma^2) move. Between levels the score's
    coefficients are linear in log(sigma); 400 levels leave an error of 1e-6.
    """
    move, sigmas = np.asarray(move, float), np.asarray(sigmas, float)
    mixture = GaussianMixture([1.0], [np.zeros(len(move))], [variance * np.eye(len(move))])
    constant = (sigmas / (variance + sigmas**2))[:, None, None, None] * move
    return silent(mixture).with_residual(sigmas, constant, np.ones((len(sigmas), 1), bool), None)


MANY = np.geomspace(2.2, 0.1, 400)


class Clean:
    """The score of a mixture, without the mixture; what a sampler sees of a score alone."""

    def __init__(self, mixture, jacobian=True):
        self.mixture, self.n_calls = mixture, 0
        self.shift, self.scale = np.zeros(mixture.n_features), np.ones(mixture.n_features)
        if jacobian:
            self.jacobian = self._jacobian

    def score(self, x, sigma):
        self.n_calls += 1
        return self.mixture.score(x, sigma)

    def _jacobian(self, x, sigma):
        self.n_calls += 1
        return twins.mixture_jacobian(self.mixture, x, sigma)


def run(name, model, draws, levels, seed=0):
    """Return draws of a sampler from given starting points, and the evaluations it reports."""
    score = StandardisedScore(model, draws.shape[1])
    return SAMPLERS[name].run(score, draws, np.asarray(levels), np.random.default_rng(seed))


def orders(errors):
    return np.log2(np.asarray(errors)[:-1] / np.asarray(errors)[1:])


# the flow


def flow_on_a_line(mixture, y, a, b):
    """Return the exact map of the flow from level a to b: monotone, so by equal probabilities."""
    grid = np.linspace(-30.0, 30.0, 1_200_001)
    above, below = (twins.cumulative(mixture, grid, sigma) for sigma in (a, b))
    return np.interp(np.interp(y, grid, above), below, grid)


def affine_flow(mixture, y, a, b):
    """Return the exact map of the flow of one Gaussian from level a to b."""
    values, vectors = np.linalg.eigh(mixture.covariances[0])
    gain = (vectors * np.sqrt((values + b * b) / (values + a * a))) @ vectors.T
    return mixture.means[0] + (y - mixture.means[0]) @ gain.T


@pytest.mark.parametrize("name", ["heun", "dpm++", "ode"])
def test_flow_on_a_line_converges_with_order_two(name):
    mixture = targets.TARGETS["two_on_a_line"]
    y = np.linspace(-7.0, 7.0, 200)
    exact, errors = flow_on_a_line(mixture, y, TOP, LOWEST), []
    for steps in (16, 32, 64):
        levels = np.geomspace(TOP, LOWEST, steps + 1)
        moved, _ = run(name, silent(mixture), y[:, None], levels)
        errors.append(np.abs(moved[:, 0] - exact).mean())
    assert np.all(np.abs(orders(errors) - 2.0) < 0.25), errors
    assert errors[-1] < 1e-3


@pytest.mark.parametrize("name", ["heun", "dpm++"])
def test_flow_of_a_gaussian_converges_with_order_two(name, rng):
    mixture = GaussianMixture([1.0], [[0.3, -1.0, 2.0]], [np.diag([0.3, 1.0, 4.0]) + 0.2])
    y = 3.0 * rng.standard_normal((50, 3))
    exact, errors = affine_flow(mixture, y, TOP, LOWEST), []
    for steps in (16, 32, 64):
        moved, _ = run(name, silent(mixture), y, np.geomspace(TOP, LOWEST, steps + 1))
        errors.append(np.abs(moved - exact).max())
    assert np.all(np.abs(orders(errors) - 2.0) < 0.25), errors


@pytest.mark.parametrize("name", ["heun", "dpm++"])
def test_flow_with_a_residual_converges_with_order_two(name, rng):
    """The residual moves N(0, 2) to N(move, 2): the flow is that of the moved Gaussian."""
    move = np.array([1.5, -0.5])
    model = with_constant(2.0, move, MANY)
    moved_law = GaussianMixture([1.0], [move], [2.0 * np.eye(2)])
    y = 2.0 * rng.standard_normal((50, 2))
    exact, errors = affine_flow(moved_law, y, TOP, LOWEST), []
    for steps in (32, 64, 128):
        levels = np.geomspace(TOP, LOWEST, steps + 1)
        errors.append(np.abs(run(name, model, y, levels)[0] - exact).max())
    assert np.all(np.abs(orders(errors) - 2.0) < 0.3), errors


@pytest.mark.parametrize("name", ["heun", "dpm++"])
def test_flow_with_any_residual_converges_to_one_map(name, rng):
    """Against 2048 steps of the other solver; the levels of the residual are on every grid."""
    mixture = targets.TARGETS["three_in_the_plane"]
    model = silent(mixture)
    sigmas = np.array([2.0, 0.9, 0.4])
    shape = (3, 3, 6, 2)
    model = model.with_residual(
        sigmas, 0.05 * rng.standard_normal(shape), np.ones(shape[:2], bool), None
    )

    def grid(steps):
        parts = [np.geomspace(a, b, steps // 2 + 1)[:-1] for a, b in itertools.pairwise(sigmas)]
        return np.append(np.concatenate(parts), sigmas[-1])

    y = targets.rows_around(mixture, 100, rng, sigma=2.0)
    exact, _ = run({"heun": "dpm++", "dpm++": "heun"}[name], model, y, grid(2048))
    errors = [np.abs(run(name, model, y, grid(steps))[0] - exact).mean() for steps in (16, 32, 64)]
    assert np.all(np.abs(orders(errors) - 2.0) < 0.35), errors


@pytest.mark.parametrize("name", ["heun", "dpm++"])
def test_the_step_to_zero_has_order_four_in_the_noise(name):
    """An error of sigma^4: a solver that ends on the denoised draw has one of sigma^2."""
    mixture = targets.TARGETS["two_on_a_line"]
    y, errors = np.linspace(-4.0, 4.0, 60), []
    for sigma in (0.4, 0.2, 0.1):
        moved, n = run(name, silent(mixture), y[:, None], [sigma, 0.0])
        assert n == 1
        errors.append(np.abs(moved[:, 0] - flow_on_a_line(mixture, y, sigma, 0.0)).mean())
    assert np.all(orders(errors) > 3.5), errors


def euler(score, draws, levels, rng):
    """Euler's method: what either solver becomes when its correction is forgotten."""
    for a, b in itertools.pairwise(levels):
        draws = draws - (b - a) * a * score.score(draws, a)
    return draws, len(levels) - 1


def test_a_solver_of_order_one_is_caught(monkeypatch):
    sampler = dataclasses.replace(SAMPLERS["heun"], run=euler)
    monkeypatch.setitem(SAMPLERS, "heun", sampler)
    with pytest.raises(AssertionError):
        test_flow_on_a_line_converges_with_order_two("heun")


# stochastic samplers: the law of a Gaussian, without Monte Carlo


class Numbers:
    """A generator of zeros, but for one normal number 1: at call i for row i of the draws."""

    def __init__(self):
        self.count = -1

    def standard_normal(self, shape):
        self.count += 1
        noise = np.zeros(shape)
        if self.count < noise.size:  # (N, 1) or (1, N)
            noise.flat[self.count] = 1.0
        return noise

    def random(self, shape):
        return np.full(shape, 0.5)


def law_of_a_gaussian(name, model, mean, variance, levels):
    """Return mean and variance that a sampler makes of N(mean, variance), its step being affine.

    The coefficients of the affine map of start and noises are read off the rows of one run.
    """
    n_noises = 2 * len(levels)
    y = np.zeros((n_noises + 2, 1))
    y[-1] = 1.0
    score = StandardisedScore(model, 1)
    out = SAMPLERS[name].run(score, y, levels, Numbers())[0][:, 0]
    origin, slope = out[-2], out[-1] - out[-2]
    return origin + slope * mean, slope**2 * variance + np.sum((out[:-2] - origin) ** 2)


def errors_in_law(name, model, mean, variance, steps):
    """Return errors of mean and variance at level LOWEST, from the exact law at TOP."""
    out = []
    for n in steps:
        levels = np.geomspace(TOP, LOWEST, n + 1)
        got = law_of_a_gaussian(name, model, mean, variance + TOP**2, levels)
        out.append([abs(got[0] - mean), abs(got[1] - variance - LOWEST**2)])
    return np.array(out).T


class Unadjusted:
    """A score whose law is not known: the corrector is then Langevin's, unadjusted."""

    def __init__(self, mixture):
        self.score = mixture.score


@pytest.mark.parametrize("name", STOCHASTIC)
def test_reverse_sde_converges_in_law_with_order_one(name):
    """The corrector is the unadjusted one: of `Unadjusted` no law is known. Means are exact."""
    mixture = GaussianMixture([1.0], [[0.8]], [[[0.6]]])
    means, variances = errors_in_law(name, Unadjusted(mixture), 0.8, 0.6, (64, 128, 256))
    assert means.max() < 1e-12
    assert np.all(np.abs(orders(variances) - 1.0) < 0.2), variances


def with_slope(variance, other, sigmas):
    """Return N(0, v) on a line with the residual that makes it N(0, other) at every level.

    The difference of the two denoisers is linear in y, and of degree 1 in y / sqrt(v + sigma^2).
    """
    sigmas = np.asarray(sigmas, float)
    slope = other / (other + sigmas**2) - variance / (variance + sigmas**2)
    coefficients = np.zeros((len(sigmas), 1, 2, 1))
    coefficients[:, 0, 1, 0] = slope * np.sqrt(variance + sigmas**2) / sigmas
    model = silent(GaussianMixture([1.0], [[0.0]], [[[variance]]]))
    return model.with_residual(sigmas, coefficients, np.ones((len(sigmas), 1), bool), None)


@pytest.mark.parametrize("name", ["mixture", *STOCHASTIC])
def test_with_a_residual_laws_converge_with_order_one(name):
    """N(0, 1) with the residual that makes it N(0, 1.5)."""
    model = with_slope(1.0, 1.5, MANY)
    _, variances = errors_in_law(name, model, 0.0, 1.5, (64, 128, 256))
    assert np.all(np.abs(orders(variances) - 1.0) < 0.2), variances
    assert variances[-1] < 0.01


@pytest.mark.parametrize("name", ["heun", "dpm++"])
def test_flow_with_a_slope_in_the_residual_converges_too(name, rng):
    model, law = with_slope(1.0, 1.5, MANY), GaussianMixture([1.0], [[0.0]], [[[1.5]]])
    y, errors = rng.uniform(-3.0, 3.0, (50, 1)), []
    for steps in (16, 32, 64):
        levels = np.geomspace(TOP, LOWEST, steps + 1)
        moved, _ = run(name, model, y, levels)
        errors.append(np.abs(moved - affine_flow(law, y, TOP, LOWEST)).max())
    assert np.all(orders(errors) > 1.7), errors


def printed_step(draws, score, a, b, noise):
    """The step as the paper prints it: t - 1 and t' - 1, valid above t = 1 only."""
    clock, next_clock = a * a - 1.0, b * b - 1.0
    gain = 2.0 * (clock - np.sqrt(abs(next_clock * clock)))
    return draws + gain * score + np.sqrt(a * a - b * b) * noise


def test_the_printed_formula_is_not_what_runs(monkeypatch):
    monkeypatch.setattr(sde_module, "sde_step", printed_step)
    mixture = GaussianMixture([1.0], [[0.8]], [[[0.6]]])
    means, variances = errors_in_law("sde", Unadjusted(mixture), 0.8, 0.6, (64, 128, 256))
    assert min(means[-1], variances[-1]) > 0.2
    with pytest.raises(AssertionError):
        test_reverse_sde_converges_in_law_with_order_one("sde")


def test_the_step_is_the_exact_integral_of_the_ornstein_uhlenbeck_process(rng):
    """For a score held constant in x_s = y / sqrt(1 + t): the ODE of the drift, solved by SciPy.

    dx/ds backwards = x + 2 score_x with score_x = sqrt(1 + t) score.
    """
    a, b, y, own = 1.7, 0.6, 0.9, -0.8
    start, stop = 0.5 * np.log1p(a * a), 0.5 * np.log1p(b * b)
    pull = np.sqrt(1.0 + a * a) * own
    drift = integrate.solve_ivp(
        lambda s, x: x + 2.0 * pull,
        (0.0, start - stop),
        [y / np.sqrt(1 + a * a)],
        rtol=1e-11,
        atol=1e-12,
    )
    expected = drift.y[0, -1] * np.sqrt(1.0 + b * b)
    moved = sde_step(np.array([[y]]), np.array([[own]]), a, b, np.zeros((1, 1)))
    np.testing.assert_allclose(moved[0, 0], expected, rtol=1e-8)


def test_one_draw_does_not_depend_on_the_others(rng):
    """score_sde's corrector takes its step from norms over the batch; here draws are independent."""
    model = silent(targets.TARGETS["three_in_the_plane"])
    y = 3.0 * rng.standard_normal((8, 2))
    other = y.copy()
    other[1:] += 5.0
    for name in NAMES:
        levels = np.geomspace(2.0, 0.2, 6)
        first, second = (run(name, model, own, levels)[0] for own in (y, other))
        np.testing.assert_allclose(first[0], second[0], rtol=0, atol=1e-12, err_msg=name)


# moments


@pytest.mark.parametrize("name", ["two_on_a_line", "three_in_the_plane"])
@pytest.mark.parametrize("exact", [True, False])
def test_reverse_moments_are_those_of_the_mixtures_kernel(name, exact, rng):
    mixture, (a, b) = targets.TARGETS[name], (1.3, 0.5)
    y = targets.rows_around(mixture, 30, rng, sigma=a)
    score = StandardisedScore(Clean(mixture, exact), y.shape[1])
    mean, variances, axes, third = reverse_moments(score, y, a, b)
    covariance = np.einsum("nab,nb,ncb->nac", axes, variances, axes)
    expected = twins.reverse_moments(mixture, y, a, b, axes[:, :, -1])
    np.testing.assert_allclose(mean, expected[0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(covariance, expected[1], rtol=0, atol=1e-10 if exact else 1e-6)
    np.testing.assert_allclose(third, expected[2], rtol=1e-4, atol=1e-5)  # a second difference


def test_two_components_match_three_moments():
    variance, skew = (each.ravel() for each in np.meshgrid([0.01, 1.0, 40.0], [-0.6, 0.0, 0.3]))
    third = skew * variance**1.5
    made = two_components(variance, third)
    p, (m1, m2, v) = gms_module.FIRST, (made.first, made.second, made.variance)
    mean = p * m1 + (1 - p) * m2
    second = p * (m1**2 + v) + (1 - p) * (m2**2 + v)
    cubes = p * (m1**3 + 3 * m1 * v) + (1 - p) * (m2**3 + 3 * m2 * v)
    assert np.abs(mean / np.sqrt(variance)).max() < 1e-10
    assert np.abs(second / variance - 1.0).max() < 1e-10
    assert np.abs(cubes / variance**1.5 - skew).max() < 1e-10


def test_too_skewed_for_two_components_keeps_two_moments():
    made = two_components(np.array([2.0]), np.array([1e3]))
    p, v = gms_module.FIRST, made.variance
    assert v[0] == pytest.approx(0.05 * 2.0)
    assert p * (made.first**2 + v) + (1 - p) * (made.second**2 + v) == pytest.approx(2.0)


def test_gms_draws_one_gaussian_exactly_in_one_step(rng):
    """Its reverse kernel is Gaussian: the law of the draws has the closed form in one step."""
    mixture = GaussianMixture([1.0], [[0.5, -1.0]], [[[1.0, 0.5], [0.5, 0.7]]])
    y = np.array([[2.0, 1.0]])
    mean, variances, axes, third = reverse_moments(StandardisedScore(Clean(mixture), 2), y, 1.5, 0)
    exact = twins.reverse_moments(mixture, y, 1.5, 0.0, axes[:, :, -1])
    np.testing.assert_allclose(mean, exact[0], atol=1e-12)
    np.testing.assert_allclose((axes * variances[:, None]) @ axes[0].T, exact[1], atol=1e-12)
    assert abs(third[0]) < 1e-9


# grids


def test_grids_start_and_end_where_they_should():
    for steps in (1, 2, 7):
        for grid in (grids.geometric, grids.karras):
            levels = grid(2.0, 0.1, steps)
            assert len(levels) == steps + 1
            assert levels[0] == pytest.approx(2.0)
            assert levels[-1] == 0.0
            assert steps == 1 or levels[-2] == pytest.approx(0.1)
            assert np.all(np.diff(levels) < 0.0)


@pytest.mark.parametrize("steps", [1, 5, 94])
@pytest.mark.parametrize("top", [0.9, 2.0, 80.0])
def test_the_papers_grid_follows_its_recursion(steps, top):
    levels = grids.exponential_integrator(top, 0.05, steps)
    assert len(levels) == steps + 1
    np.testing.assert_allclose(levels[[0, -1]], [top, 0.05], rtol=1e-9)
    clocks = 1.0 + levels**2
    kappas = -np.log(clocks[1:] / clocks[:-1]) / np.minimum(2.0, np.log(clocks[:-1]))
    np.testing.assert_allclose(kappas, kappas[0], rtol=1e-6)


# draws


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mixture"])
def test_the_reported_evaluations_are_those_that_were_made(name, rng):
    score = Clean(targets.TARGETS["two_on_a_line"])
    _, n = run(name, score, rng.standard_normal((5, 1)), np.append(np.geomspace(2, 0.2, 4), 0))
    assert n == score.n_calls
    assert n == {"gms": 16, "sde": 4, "predictor-corrector": 7, "heun": 7}.get(name, 4)


@pytest.mark.parametrize("name", NAMES)
def test_draws_repeat_and_do_not_depend_on_threads(name):
    model = silent(targets.TARGETS["three_in_the_plane"])
    one, two = (
        draw(model, 20_000, sampler=name, steps=3, random_seed=5, cores=cores) for cores in (1, 2)
    )
    assert isinstance(one, Draws)
    np.testing.assert_array_equal(one.values, two.values)
    assert one.n_score_evaluations == two.n_score_evaluations
    np.testing.assert_array_equal(
        one.values, model.sample(20_000, random_seed=5, sampler=name, steps=3)
    )


@pytest.mark.parametrize("name", NAMES)
def test_units_of_the_data_change_nothing(name, rng):
    """The same draws in the user's units, whatever shift and scale are."""
    mixture = targets.TARGETS["three_in_the_plane"]
    shift, scale = np.array([100.0, -3.0]), np.array([0.01, 40.0])
    there = GaussianMixture(
        mixture.weights,
        mixture.means * scale + shift,
        mixture.covariances * np.outer(scale, scale),
    )
    ours = draw(silent(mixture), 50, sampler=name, random_seed=1).values
    theirs = draw(ScoreModel.silent(there, shift, scale), 50, sampler=name, random_seed=1).values
    # The cube root in gms makes 5e-4 of rounding in a third cumulant of 0.
    atol = 5e-3 if name == "gms" else 1e-6
    np.testing.assert_allclose((theirs - shift) / scale, ours, rtol=0, atol=atol)


def test_a_score_without_mixture_starts_from_a_gaussian_or_from_a_given_law():
    mixture = targets.TARGETS["two_on_a_line"]
    plain = draw(Clean(mixture), 4000, sampler="gms", random_seed=1)
    given = draw(Clean(mixture), 4000, sampler="gms", start=mixture, random_seed=1)
    assert np.isnan(plain.start_bias)
    # One step of the SDE hardly moves draws: they are where they started.
    away = GaussianMixture([1.0], [[50.0]], [[[1.0]]])
    there = draw(Clean(mixture), 400, sampler="sde", levels=[0.2], start=away, random_seed=1)
    assert there.values.mean() > 25.0
    assert np.isnan(there.start_bias)
    mean = float(mixture.weights @ mixture.means[:, 0])
    for own in (plain, given):
        assert abs(own.values.mean() - mean) < 0.3
    with pytest.raises(
        InvalidParameterError,
        match=r"^sampler='mixture' needs a score with a mixture, which this one has not\. "
        r"Give sampler='gms' or another\.$",
    ):
        draw(Clean(mixture), 10)


def test_unknown_samplers_are_refused_by_one_line():
    message = (
        "sampler must be one of 'mixture', 'gms', 'sde', 'predictor-corrector', 'heun', 'dpm++', "
        "'ode', got {}."
    )
    model = silent(targets.TARGETS["two_on_a_line"])
    for bad in ("euler", 3, ["gms"]):
        with pytest.raises(InvalidParameterError) as caught:
            model.sample(5, sampler=bad)
        assert str(caught.value) == message.format(repr(bad))
    with pytest.raises(InvalidParameterError, match=r"^steps must be a positive integer, got 0\.$"):
        model.sample(5, sampler="heun", steps=0)


class Broken(Clean):
    def score(self, x, sigma):
        return np.where(x > 0, np.inf, 0.0)


def test_draws_that_diverge_are_named():
    with pytest.raises(SamplingDivergedError, match=r"draws of a chunk became infinite or NaN"):
        draw(Broken(targets.TARGETS["two_on_a_line"]), 50, sampler="heun", random_seed=1)


# biases of start and end


def test_stop_bias_is_the_noise_that_is_left():
    model = silent(targets.TARGETS["three_in_the_plane"])
    for name in NAMES:
        done = draw(model, 5, sampler=name, steps=4, random_seed=1)
        assert (done.stop_bias > 0.0) == (name == "sde")
        assert done.start_bias == 0.0


def reported(gains, errors, sigmas):
    """Return a model of three features whose report has these gains, one component."""
    gains = np.asarray(gains, float)[:, None]
    mixture = GaussianMixture([1.0], [np.zeros(3)], [np.eye(3)])
    report = ResidualReport(gains, gains / np.asarray(errors)[:, None], 0.0 * gains, 0.5)
    n = len(sigmas)
    return silent(mixture).with_residual(
        np.asarray(sigmas, float), np.zeros((n, 1, 1, 3)), np.zeros((n, 1), bool), report
    )


def test_start_bias_adds_up_what_was_not_used_above():
    """Limits 0.03 and 0.06 at the levels 2 and 1: log(2) of the larger, and half of the last."""
    model = reported([0.01, 0.02, 0.5], np.array([0.0, 0.0, 0.1]) + 1e-300, [2.0, 1.0, 0.5])
    assert start_bias(model, 1.0) == pytest.approx(0.06 * np.log(2.0) + 0.03 / 2.0)
    assert start_bias(model, 2.0) == pytest.approx(0.03 / 2.0)
    assert start_bias(model, 3.0) == pytest.approx(0.03 / 2.0)
    wide = reported([-0.01, 0.02, 0.5], [0.05, 0.0 + 1e-300, 0.1], [2.0, 1.0, 0.5])
    limit = 3.0 * (-0.01 + 1.6448536269514722 * 0.05)
    assert start_bias(wide, 2.0) == pytest.approx(limit / 2.0)


def test_start_bias_bounds_the_divergence_of_two_gaussians():
    """Data N(0, 1.3^2) under the mixture N(0, 1): gains in closed form, the divergence as well.

    What the residual gains at sigma is E|D - D'|^2 of two linear denoisers, in shares of the
    mixture's own error. At most three times too large because that error, 0.3 sigma^2 at the
    highest level, counts as sigma^2, and twice because the tail falls as sigma^-4.
    """
    sigmas, variance = np.geomspace(2.0, 0.2, 12), 1.69
    slope = variance / (variance + sigmas**2) - 1.0 / (1.0 + sigmas**2)
    error = (variance * sigmas**2 + 1.0) / (1.0 + sigmas**2) ** 2
    gains = slope**2 * (variance + sigmas**2) / sigmas**2 / error
    mixture = GaussianMixture([1.0], [[0.0]], [[[1.0]]])
    report = ResidualReport(gains[:, None], np.full((12, 1), np.inf), gains[:, None], 0.5)
    model = silent(mixture).with_residual(
        sigmas, np.zeros((12, 1, 1, 1)), np.zeros((12, 1), bool), report
    )
    for level in (0.2, 0.7, 2.0):
        ratio = (variance + level**2) / (1.0 + level**2)
        divergence = 0.5 * (ratio - 1.0 - np.log(ratio))
        assert divergence <= start_bias(model, level) <= 6.0 * divergence


def test_starts_are_one_level_above_the_highest_active_one():
    mixture = targets.TARGETS["two_on_a_line"]
    model, sigmas = silent(mixture), np.array([2.0, 1.0, 0.5])
    for active, expected in (([0, 1, 0], 2.0), ([0, 0, 1], 1.0), ([1, 0, 0], 2.0)):
        cells = np.array(active, bool)[:, None] & np.ones((3, 2), bool)
        own = model.with_residual(sigmas, np.zeros((3, 2, 1, 1)), cells, None)
        assert highest_level(own) == expected


# MALA


def test_mala_keeps_the_law_of_a_level(rng):
    """200,000 exact draws, 20 steps: the chance of |z| > 5 in any of the 6 statistics is 3e-6."""
    mixture, sigma = targets.TARGETS["two_on_a_line"], 1.0
    law, z = mixture.noised(sigma), None
    draws = law.sample(200_000, rng)
    score = StandardisedScore(silent(mixture), 1)
    for _ in range(20):
        draws, own = mala_step(score, law, draws, sigma, 0.2, rng)
    np.testing.assert_allclose(own, law.score(draws), atol=1e-10)
    z = twins.z_on_a_line(law, draws)
    assert np.abs(z).max() < 5.0


def test_langevin_without_acceptance_is_caught_by_that_test(monkeypatch, rng):
    class Always:
        def __init__(self, rng):
            self.standard_normal = rng.standard_normal

        def random(self, n):
            return np.zeros(n) + 1e-300

    mixture, sigma = targets.TARGETS["two_on_a_line"], 1.0
    law = mixture.noised(sigma)
    draws, score = law.sample(200_000, rng), StandardisedScore(silent(mixture), 1)
    for _ in range(20):
        draws, _ = mala_step(score, law, draws, sigma, 0.2, Always(rng))
    assert np.abs(twins.z_on_a_line(law, draws)).max() > 5.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "law"}, "start must be a GaussianMixture of 1 features, got 'law'."),
        ({"levels": "abc"}, "levels must be an array of numbers, got 'abc'."),
        ({"levels": [1.0, 0.5], "steps": 3}, "Give steps or levels, not both."),
    ],
)
def test_what_draw_refuses(options, message):
    with pytest.raises(InvalidParameterError) as caught:
        draw(silent(targets.TARGETS["two_on_a_line"]), 5, **options)
    assert str(caught.value) == message


def test_a_start_of_other_features_is_refused():
    plane = targets.TARGETS["three_in_the_plane"]
    with pytest.raises(InvalidParameterError, match=r"^start must be a GaussianMixture of 1 feat"):
        draw(silent(targets.TARGETS["two_on_a_line"]), 5, start=plane)
