"""Score models: exact when silent, the sum of both parts otherwise, and what may go wrong."""

import json

import numpy as np
import pytest
import reference_diffusion
import targets
from scipy import stats

from diffgmm import GaussianMixture
from diffgmm.data import Data
from diffgmm.diffusion import (
    ResidualReport,
    ScoreModel,
    fit_score_model,
    refit_score_model,
    reverse,
)
from diffgmm.diffusion.normal_equations import SILENT, NormalEquations, n_polynomials
from diffgmm.diffusion.schedule import MAX_LEVELS, noise_levels, visited_levels
from diffgmm.diffusion.significance import active_cells, weigh
from diffgmm.errors import InvalidFileError, InvalidParameterError, SamplingDivergedError

MIXTURES = pytest.mark.parametrize("name", targets.TARGETS)


def silent(mixture, rng):
    """Return a silent model in units of its own."""
    d = mixture.n_features
    return ScoreModel.silent(
        mixture, 5.0 * rng.standard_normal(d), targets.units(mixture) * rng.uniform(0.5, 2.0, d)
    )


def speaking(mixture, rng, sigmas=(1.5, 0.8, 0.3), size=0.1):
    """Return a model with a random residual of degree 2 in every cell."""
    model = silent(mixture, rng)
    k, d = model.means.shape
    shape = (len(sigmas), k, n_polynomials(d, 2), d)
    return model.with_residual(
        np.array(sigmas), size * rng.standard_normal(shape), np.ones(shape[:2], bool), None
    )


def noised(mixture, model, sigma):
    """Return the mixture of rows noised by sigma * scale, in the user's units."""
    noise = np.diag((sigma * model.scale) ** 2)
    return GaussianMixture(mixture.weights, mixture.means, mixture.covariances + noise)


def ring(n, rng, noise=0.125):
    angle = rng.uniform(0.0, 2.0 * np.pi, n)
    return np.c_[np.cos(angle), np.sin(angle)] + noise * rng.standard_normal((n, 2))


def four_on_the_ring(variance=0.3):
    means = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]
    return GaussianMixture(np.full(4, 0.25), means, [variance * np.eye(2)] * 4)


def fit_ring(n=600, **options):
    X = ring(n, np.random.default_rng(3))
    return fit_score_model(
        Data.of(X), four_on_the_ring(0.15), X.mean(axis=0), X.std(axis=0), random_seed=1, **options
    )


@MIXTURES
@pytest.mark.parametrize("sigma", [0.0, 0.1, 1.0, 30.0])
def test_silent_score_is_the_mixtures(name, sigma, rng):
    mixture = targets.TARGETS[name]
    model = silent(mixture, rng)
    x = targets.rows_around(mixture, 60, rng, spread=1.5)
    expected = noised(mixture, model, sigma).score(x)
    unit = 1.0 / targets.units(mixture)
    np.testing.assert_allclose(model.score(x, sigma) / unit, expected / unit, rtol=0, atol=1e-11)
    assert not model.residual(x, sigma).any()


@MIXTURES
def test_silent_score_is_the_gradient_of_the_log_density(name, rng):
    mixture = targets.TARGETS[name]
    model = silent(mixture, rng)
    x = targets.rows_around(mixture, 20, rng)
    density, score = noised(mixture, model, 0.4), model.score(x, 0.4)
    for a, unit in enumerate(targets.units(mixture)):
        step = np.zeros(mixture.n_features)
        step[a] = 1e-5 * unit
        slope = (density.log_density(x + step) - density.log_density(x - step)) / 2e-5
        np.testing.assert_allclose(score[:, a] * unit, slope, rtol=0, atol=1e-8)


@MIXTURES
def test_denoiser_follows_tweedie(name, rng):
    model = speaking(targets.TARGETS[name], rng)
    y = targets.rows_around(targets.TARGETS[name], 30, rng)
    noise = 0.8 * model.scale
    np.testing.assert_allclose(
        (model.denoise(y, 0.8) - y) / noise, noise * model.score(y, 0.8), rtol=0, atol=1e-11
    )


@MIXTURES
@pytest.mark.parametrize("level", [0, 1, 2])
def test_score_adds_the_residual_that_the_coefficients_describe(name, level, rng):
    mixture = targets.TARGETS[name]
    model = speaking(mixture, rng)
    sigma = float(model.sigmas[level])
    x = targets.rows_around(mixture, 40, rng, spread=1.5)
    quiet = ScoreModel.silent(mixture, model.shift, model.scale)
    np.testing.assert_allclose(
        (model.score(x, sigma) - quiet.score(x, sigma)) * model.scale,
        model.residual(x, sigma) * model.scale,
        rtol=0,
        atol=1e-10,
    )
    components = model.spectrum.components(sigma)
    expected = reference_diffusion.residual(
        (x - model.shift) / model.scale, components, np.swapaxes(model.coefficients[level], 1, 2)
    )
    np.testing.assert_allclose(
        model.residual(x, sigma) * model.scale * sigma, expected, rtol=0, atol=1e-10
    )


def test_diagonal_covariances_take_the_short_way_to_the_same_score(rng):
    """The eigenbasis of a diagonal covariance is the identity; turned by 1e-13 it is a matrix."""
    covariances = np.array([np.diag([1.0, 4.0]), np.diag([0.5, 0.2])])
    turned = covariances + 1e-13 * np.array([[0.0, 1.0], [1.0, 0.0]])
    x = 2.0 * rng.standard_normal((50, 2))
    scores = []
    for each in (covariances, turned):
        mixture = GaussianMixture([0.5, 0.5], [[0.0, 0.0], [2.0, 1.0]], each)
        scores.append(ScoreModel.silent(mixture, np.zeros(2), np.ones(2)).score(x, 0.3))
    np.testing.assert_allclose(*scores, rtol=0, atol=1e-10)


def test_between_levels_the_residual_of_the_score_is_linear_in_log_sigma(rng):
    model = speaking(targets.TARGETS["three_in_the_plane"], rng, sigmas=(2.0, 0.5))
    high, low = model.coefficients[0] / 2.0, model.coefficients[1] / 0.5
    np.testing.assert_allclose(model.coefficients_at(1.0), 0.5 * (high + low), rtol=1e-12)
    np.testing.assert_array_equal(model.coefficients_at(0.5), model.coefficients[1])
    np.testing.assert_array_equal(model.coefficients_at(2.0), model.coefficients[0])
    np.testing.assert_allclose(model.coefficients_at(0.1), 0.1 * low, rtol=1e-12)
    assert model.coefficients_at(2.1).shape[1] == 0  # above the highest level: silence


def test_the_score_is_continuous_down_to_no_noise(rng):
    model = speaking(targets.TARGETS["three_in_the_plane"], rng)
    x = rng.standard_normal((20, 2))
    np.testing.assert_allclose(model.score(x, 1e-9), model.score(x), rtol=0, atol=1e-9)


@pytest.mark.parametrize("sigma", [-0.1, np.nan, np.inf])
def test_noise_levels_are_checked(sigma, rng):
    with pytest.raises(InvalidParameterError, match="sigma must be finite"):
        silent(targets.TARGETS["two_on_a_line"], rng).score([[0.0]], sigma)


@MIXTURES
@pytest.mark.parametrize("make", [silent, speaking])
def test_json_keeps_every_bit(name, make, rng):
    model = make(targets.TARGETS[name], rng)
    again = ScoreModel.from_dict(json.loads(json.dumps(model.to_dict())))
    for part in ("weights", "means", "covariances", "shift", "scale", "sigmas", "coefficients"):
        np.testing.assert_array_equal(getattr(again, part), getattr(model, part))
        assert getattr(again, part).shape == getattr(model, part).shape
    assert again.feature_names == model.feature_names
    np.testing.assert_array_equal(again.sample(7, random_seed=1), model.sample(7, random_seed=1))


def test_json_keeps_the_report():
    model = fit_ring(n=60)
    again = ScoreModel.from_dict(json.loads(json.dumps(model.to_dict())))
    for part in ("gains", "z", "p_values"):
        np.testing.assert_array_equal(getattr(again.report, part), getattr(model.report, part))
    assert again.report.p_value == model.report.p_value
    np.testing.assert_array_equal(again.active, model.active)


def test_a_file_of_something_else_is_refused():
    with pytest.raises(InvalidFileError):
        ScoreModel.from_dict(targets.TARGETS["two_on_a_line"].to_dict())


def test_arrays_are_copies_and_read_only(rng):
    mixture = targets.TARGETS["three_in_the_plane"]
    shift = np.zeros(2)
    model = ScoreModel.silent(mixture, shift, np.ones(2))
    shift[0] = 9.0
    assert model.shift[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        model.means[0, 0] = 1.0


def test_shapes_that_disagree_are_refused(rng):
    model = silent(targets.TARGETS["three_in_the_plane"], rng)
    with pytest.raises(InvalidParameterError, match="active and coefficients"):
        model.with_residual(np.ones(1), np.zeros((1, 2, 1, 2)), np.ones((1, 3), bool), None)


@pytest.mark.parametrize(
    ("active", "expected"),
    [
        ([0, 0, 0, 0], [1.0]),  # silent: one exact step
        ([1, 0, 0, 0], [8.0, 4.0]),
        ([0, 1, 1, 0], [4.0, 2.0, 1.5]),
        ([0, 0, 0, 1], [1.5]),
        ([1, 0, 0, 1], [8.0, 4.0, 1.5]),
    ],
)
def test_a_draw_visits_active_levels_and_the_ones_below(active, expected):
    levels = visited_levels(np.array([8.0, 4.0, 2.0, 1.5]), np.array(active, bool))
    np.testing.assert_array_equal(levels, expected)


@pytest.mark.parametrize("smallest", [1e-8, 1e-3, 0.03, 0.5, 1.0, 40.0])
def test_levels_are_geometric_and_at_most_ten(smallest):
    sigmas = noise_levels(np.array([[1.0, smallest]]))
    ratios = sigmas[1:] / sigmas[:-1]
    assert 2 <= len(sigmas) <= MAX_LEVELS == 10
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-9)
    assert 0.499 < ratios[0] <= 0.5**0.5  # two steps from 2 to 1 at the most


@pytest.mark.usefixtures("compiled")  # too slow as plain Python
@pytest.mark.parametrize("make", [silent, speaking])
def test_draws_repeat_for_a_seed_and_any_number_of_threads(make, rng):
    model = make(targets.TARGETS["three_in_the_plane"], rng)
    n = 300 if make is speaking else 40_000
    draws, n_evaluations = reverse.draw(model, n, random_seed=4, cores=1)
    assert draws.shape == (n, 2)
    assert n_evaluations == model.n_score_evaluations
    for cores in (2, 4):
        again, _ = reverse.draw(model, n, random_seed=4, cores=cores)
        np.testing.assert_array_equal(again, draws)
    np.testing.assert_array_equal(model.sample(n, random_seed=4), draws)
    assert not np.array_equal(model.sample(n, random_seed=5), draws)
    assert not np.array_equal(model.sample(5), model.sample(5))


def test_a_generator_moves_on(rng):
    model = silent(targets.TARGETS["two_on_a_line"], rng)
    seed = np.random.default_rng(1)
    assert not np.array_equal(model.sample(5, seed), model.sample(5, seed))


@pytest.mark.parametrize("n", [0, -1, 2.5, True])
def test_the_number_of_draws_is_checked(n, rng):
    with pytest.raises(InvalidParameterError, match="n must be"):
        silent(targets.TARGETS["two_on_a_line"], rng).sample(n)


@pytest.mark.parametrize("levels", [[], [1.0, 1.0], [0.5, 1.0], [1.0, 0.0], [np.nan], [[1.0]]])
def test_the_levels_of_a_draw_are_checked(levels, rng):
    with pytest.raises(InvalidParameterError, match="levels must"):
        reverse.draw(silent(targets.TARGETS["two_on_a_line"], rng), 3, levels=levels)


def test_divergence_names_the_level(rng):
    model = speaking(targets.TARGETS["three_in_the_plane"], rng)
    coefficients = model.coefficients.copy()
    coefficients[1] = 1e308
    broken = model.with_residual(model.sigmas, coefficients, model.active, None)
    with pytest.raises(SamplingDivergedError, match=r"noise level 1, sigma = 0\.8 "):
        broken.sample(10, random_seed=0)


def several(s, rng, scale=1.0):
    """Return weights, means and covariances of s mixtures of two components in the plane."""
    roots = rng.standard_normal((s, 2, 2, 2))
    covariances = roots @ np.swapaxes(roots, 2, 3) + 0.2 * np.eye(2)
    scale = np.broadcast_to(scale, 2)
    return (
        rng.dirichlet([5.0, 5.0], s),
        scale * rng.standard_normal((s, 2, 2)),
        covariances * scale[:, None] * scale,
    )


@pytest.mark.parametrize("n", [1, 7, 300])
def test_replicated_rows_do_not_depend_on_threads(n, rng):
    mixtures = several(90, rng)
    first = reverse.replicate(*mixtures, n, random_seed=2, cores=1)
    assert first.shape == (90, n, 2)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, reverse.replicate(*mixtures, n, random_seed=2, cores=4))


def test_replicated_rows_have_the_units_of_their_mixtures(rng):
    """Powers of 2 as units change no digit of a draw."""
    weights, means, covariances = several(3, rng)
    scale = np.array([2.0**30, 2.0**-20])
    first = reverse.replicate(weights, means, covariances, 20, random_seed=2)
    second = reverse.replicate(
        weights, means * scale, covariances * scale[:, None] * scale, 20, random_seed=2
    )
    np.testing.assert_allclose(second / scale, first, rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("compiled")  # too slow as plain Python
def test_a_ring_makes_the_residual_speak_within_ten_evaluations():
    model = fit_ring(n=1500)
    assert not model.is_silent
    assert model.report.p_value < 1e-6
    assert 1 <= model.n_score_evaluations <= 10
    assert not model.coefficients[~model.active].any()


@pytest.mark.usefixtures("compiled")  # too slow as plain Python
def test_fits_repeat_and_do_not_depend_on_threads():
    first = fit_ring(n=5000, cores=1)
    for cores in (2, 4):
        again = fit_ring(n=5000, cores=cores)
        np.testing.assert_array_equal(again.coefficients, first.coefficients)
        np.testing.assert_array_equal(again.report.z, first.report.z)


@pytest.mark.usefixtures("compiled")  # too slow as plain Python
def test_units_change_nothing():
    """Scaled by powers of 2, standardised rows are the same to the last bit or two."""
    X, scale, shift = ring(600, np.random.default_rng(3)), np.array([4.0, 0.25]), np.array([8.0, 0])
    mixture = four_on_the_ring(0.15)
    other = GaussianMixture(
        mixture.weights,
        mixture.means * scale + shift,
        mixture.covariances * scale[:, None] * scale,
    )
    Y = X * scale + shift
    first = fit_score_model(Data.of(X), mixture, X.mean(0), X.std(0), random_seed=1)
    second = fit_score_model(Data.of(Y), other, Y.mean(0), Y.std(0), random_seed=1)
    np.testing.assert_array_equal(second.active, first.active)
    np.testing.assert_allclose(second.report.z, first.report.z, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(
        second.score(Y[:20], 0.5) * scale, first.score(X[:20], 0.5), rtol=1e-6, atol=1e-8
    )


def test_each_level_is_reported():
    seen = []
    fit_ring(n=60, on_level=lambda index, n_levels: seen.append((index, n_levels)))
    assert seen == [(index, len(seen)) for index in range(len(seen))]
    assert len(seen) >= 2


def test_integer_row_weights_are_repeated_rows():
    """Not the same noise, but the same regression: the scores agree as two seeds do."""
    rng = np.random.default_rng(5)
    X, weights = ring(900, rng), rng.integers(0, 4, 900)
    grid = ring(400, rng, noise=0.3)
    scale, shift = X.std(axis=0), X.mean(axis=0)

    def residual(rows, seed, row_weights=None):
        model = fit_score_model(
            Data.of(rows), four_on_the_ring(0.15), shift, scale,
            random_seed=seed, row_weights=row_weights,
        )  # fmt: skip
        return model.residual(grid, 0.5)

    repeated = np.repeat(X, weights, axis=0)
    one, other = residual(repeated, 1), residual(repeated, 2)
    noise = np.sqrt(np.mean((one - other) ** 2))
    weighted = residual(X, 3, weights.astype(float))
    assert np.sqrt(np.mean((weighted - one) ** 2)) < 1.5 * noise
    # The fault that it catches: weights that are not used.
    assert np.sqrt(np.mean((residual(X, 3) - one) ** 2)) > 1.5 * noise


def test_a_refit_to_the_same_rows_is_nearly_the_same_model():
    model, X = fit_ring(), ring(600, np.random.default_rng(3))
    again = refit_score_model(model, Data.of(X), four_on_the_ring(0.15), random_seed=2)
    np.testing.assert_array_equal(again.active, model.active)
    ours, theirs = again.residual(X, 0.5), model.residual(X, 0.5)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.95
    # Weights move it seven times as far as another noise does, in mean square; four draws of them.
    rng, moved = np.random.default_rng(0), []
    for _ in range(4):
        weights = rng.dirichlet(np.ones(600)) * 600.0
        other = refit_score_model(
            model, Data.of(X), four_on_the_ring(0.15), row_weights=weights, random_seed=2
        )
        moved.append(np.mean((other.residual(X, 0.5) - ours) ** 2))
    assert np.mean(moved) > 2.0 * np.mean((ours - theirs) ** 2)


@pytest.mark.parametrize("n", [1, 4, 19])
def test_too_few_rows_for_any_polynomial_stay_silent(n):
    model = fit_ring(n=n) if n > 1 else _one_row()
    assert model.is_silent
    assert model.report is None
    assert model.n_score_evaluations == 1


def _one_row():
    return fit_score_model(Data.of([[0.0, 1.0]]), four_on_the_ring(), np.zeros(2), np.ones(2))


def test_an_empty_component_is_no_obstacle():
    X = ring(60, np.random.default_rng(0))
    mixture = GaussianMixture([1.0, 0.0], [[0.0, 0.0], [9.0, 9.0]], [np.eye(2)] * 2)
    model = fit_score_model(Data.of(X), mixture, np.zeros(2), np.ones(2), random_seed=0)
    assert np.isfinite(model.report.p_values).all()
    assert np.isfinite(model.sample(50, random_seed=0)).all()


def test_weighing_is_students_test(rng):
    """With responsibilities 1 the z is Student's t, and the p-value that of `ttest_1samp`."""
    gain = rng.standard_normal(40) + 0.4
    moments = np.array([[[gain.sum()], [np.sum(gain**2)], [40.0], [40.0]]])
    report = weigh(moments, np.array([2.0]), 40)
    expected = stats.ttest_1samp(gain, 0.0, alternative="greater")
    np.testing.assert_allclose(report.z, expected.statistic, rtol=1e-12)
    np.testing.assert_allclose(report.p_values, expected.pvalue, rtol=1e-12)
    np.testing.assert_allclose(report.gains, gain.mean() / 2.0, rtol=1e-12)
    np.testing.assert_allclose(report.p_value, expected.pvalue, rtol=1e-12)


def report_of(p_values):
    p = np.array([p_values])
    return ResidualReport(np.zeros_like(p), np.zeros_like(p), p, min(1.0, p.min() * p.size))


def test_cells_follow_benjamini_and_hochberg():
    # Limits 0.025, 0.05, 0.075, 0.1; the third passes and takes along the second, above its own.
    active = active_cells(report_of([0.9, 0.07, 0.06, 0.001]))
    np.testing.assert_array_equal(active, [[False, True, True, True]])


def test_no_cell_speaks_without_the_overall_test():
    # By itself the first would pass at 10 %: 0.02 <= 0.025. Together 4 * 0.02 > 0.05.
    assert not active_cells(report_of([0.02, 0.9, 0.9, 0.9])).any()


def equations(rng, n, coefficients, noise):
    """Return normal equations of two components of degree 1 in the plane, one row at a time."""
    f = rng.standard_normal((5, n, 6))
    t = f @ coefficients.reshape(6, 2) + noise * rng.standard_normal((5, n, 2))
    return NormalEquations.of(np.swapaxes(f, 1, 2) @ f, np.swapaxes(t, 1, 2) @ f, 2)


def test_least_squares_finds_what_generated_the_targets(rng):
    truth = rng.standard_normal((2, 3, 2))
    # The least ridge of the grid shrinks by 1e-3.
    exact = equations(rng, 200, truth, 0.0)
    np.testing.assert_allclose(exact.solve(exact.best()), truth, rtol=0.01, atol=0.01)


def test_a_matrix_that_is_no_gram_matrix_is_refused(rng):
    whole = equations(rng, 50, np.zeros((2, 3, 2)), 1.0)
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        NormalEquations(-whole.gram, whole.right, 2).best()


def test_noise_alone_is_predicted_best_by_nothing_most_of_the_time(rng):
    choices = [equations(rng, 50, np.zeros((2, 3, 2)), 1.0).best() for _ in range(20)]
    assert sum(choice == SILENT for choice in choices) >= 10


def test_restricted_equations_are_those_of_the_components_kept(rng):
    truth = np.zeros((2, 3, 2))
    truth[1] = 1.0
    whole = equations(rng, 400, truth, 0.1)
    kept = whole.restricted(np.array([False, True]))
    assert kept.gram.shape == (5, 3, 3)
    np.testing.assert_allclose(kept.solve(kept.best())[0], truth[1], rtol=0, atol=0.05)
    np.testing.assert_array_equal(kept.gram, whole.gram[:, 3:, 3:])


def test_nested_choices_know_nothing_of_their_fold(rng):
    """Another outcome in one fold changes every fit but its own."""
    whole = equations(rng, 40, rng.standard_normal((2, 3, 2)), 1.0)
    right = whole.right.copy()
    right[2] += 5.0
    changed = NormalEquations(whole.gram, right, 2).nested()
    for fold, (one, other) in enumerate(zip(whole.nested(), changed, strict=True)):
        assert np.array_equal(one, other) == (fold == 2)


def test_nested_choices_are_those_of_the_other_folds_alone(rng):
    whole = equations(rng, 60, 0.3 * rng.standard_normal((2, 3, 2)), 1.0)
    for fold, own in enumerate(whole.nested()):
        others = [index for index in range(5) if index != fold]
        rest = NormalEquations(whole.gram[others], whole.right[others], 2)
        np.testing.assert_allclose(own, rest.solve(rest.best()), rtol=1e-9, atol=1e-12)
