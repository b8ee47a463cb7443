"""The Voronoi score: fits, cells, warm starts, units, files, and what it refuses."""

import importlib.util
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import diffgmm
from diffgmm import GaussianMixture
from diffgmm.data import Data
from diffgmm.diffusion import ScoreModel, VoronoiScore, fit_voronoi_score
from diffgmm.diffusion.voronoi import noise_scale_of
from diffgmm.diffusion.voronoi.cover import greedy_cover
from diffgmm.diffusion.voronoi.equations import RIDGES, best_polynomial
from diffgmm.diffusion.voronoi.fitting import LOWEST_REFINED
from diffgmm.diffusion.voronoi.noise_scale import estimate_noise_scale
from diffgmm.diffusion.voronoi.regression import ROWS_PER_COLUMN
from diffgmm.errors import InvalidDataError, InvalidFileError, InvalidParameterError

pytestmark = pytest.mark.usefixtures("compiled")  # fits are too slow as plain Python


def separated(k, d, seed, separation=6.0):
    """Return k spherical components of variance 1, each `separation` or more from all others."""
    rng, means = np.random.default_rng(seed), []
    while len(means) < k:
        mean = rng.uniform(-separation, separation, d) * 1.6
        if all(np.linalg.norm(mean - other) >= separation for other in means):
            means.append(mean)
    return GaussianMixture(np.full(k, 1.0 / k), means, [np.eye(d)] * k)


def fit_common(mixture, n, seed, **options):
    """Return the Voronoi score of n rows, all features in one unit, and that unit."""
    rows = mixture.sample(n, seed)
    unit = np.sqrt(rows.var(axis=0).mean())
    options = {"n_components": mixture.n_components, "random_seed": seed} | options
    return fit_voronoi_score(rows, scale=np.full(mixture.n_features, unit), **options), unit


def relative_error(model, unit, mixture, t, n=20_000):
    """Return sigma^2 E|s_hat - s|^2 / D at noise variance t, with sigma^2 = 1 + t."""
    rng = np.random.default_rng(99)
    y = mixture.sample(n, rng) + np.sqrt(t) * rng.standard_normal((n, mixture.n_features))
    error = model.score(y, np.sqrt(t) / unit) - mixture.score(y, np.sqrt(t))
    return (1.0 + t) * np.mean(error**2)


@pytest.fixture(scope="module")
def plane():
    """Return a fit of five components in the plane, its unit, and the mixture."""
    mixture = separated(5, 2, seed=11)
    return (*fit_common(mixture, 4_000, 11), mixture)


@pytest.fixture(scope="module")
def small():
    """Return a fit that takes no time: two features of different units."""
    rows = separated(2, 2, seed=3).sample(300, 3) * [1.0, 16.0]
    return fit_voronoi_score(rows, n_components=2, degree=2, random_seed=3), rows


def test_scores_are_those_of_the_mixture(plane):
    model, unit, mixture = plane
    # At most 3 parameters of a degree-1 fit per cell and feature from 800 rows would leave 0.01; the
    # edges of cells add to it. 0.05 is what the algorithm is asked for.
    assert relative_error(model, unit, mixture, 0.15) <= 0.05
    assert relative_error(model, unit, mixture, 1.0) <= 0.05
    assert relative_error(model, unit, mixture, 10.0) <= 0.05
    assert len(model.cells[-1]) <= 15


def test_the_error_sees_a_score_that_is_a_fifth_too_large(plane):
    model, unit, mixture = plane
    wrong = replace(
        model,
        cells=tuple(replace(own, coefficients=1.2 * own.coefficients) for own in model.cells),
        noise_scale=1.2 * model.noise_scale,
    )
    assert relative_error(wrong, unit, mixture, 0.15) > 0.05


@pytest.mark.parametrize("seed", [1, 2])
def test_never_more_than_three_cells_a_component(seed):
    model, unit = fit_common(mixture := separated(5, 5, seed), 4_000, seed)
    assert max(len(own) for own in model.cells) <= 15
    # With twelve cells to a component and no held-out choice of the degree this is above 1.
    assert relative_error(model, unit, mixture, 0.15) <= 0.05


def test_the_limit_of_cells_is_one_of_them():
    """Without the number of components there are more cells: 3 k is a limit that acts."""
    circle = np.linspace(0.0, 2.0 * np.pi, 3_000)
    rows = np.c_[np.cos(circle), np.sin(circle)]
    rows += 0.02 * np.random.default_rng(4).standard_normal(rows.shape)
    options = {"noise_scale": 0.03, "degree": 1, "random_seed": 4}
    few = fit_voronoi_score(rows, n_components=2, **options)
    assert max(len(own) for own in few.cells) == 6
    assert max(len(own) for own in fit_voronoi_score(rows, **options).cells) > 6


@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_the_noise_scale_need_not_be_right(plane, factor):
    _, _, mixture = plane
    rows = mixture.sample(4_000, 11)
    unit = np.sqrt(rows.var(axis=0).mean())
    model = fit_voronoi_score(
        rows, n_components=5, noise_scale=factor / unit, scale=np.full(2, unit), random_seed=1
    )
    assert relative_error(model, unit, mixture, 0.5) <= 0.06


def test_same_for_any_number_of_threads():
    rows = separated(3, 2, seed=5).sample(9_000, 5)  # three chunks
    options = {"n_components": 3, "degree": 2, "random_seed": 5}
    states = [fit_voronoi_score(rows, cores=cores, **options).to_dict() for cores in (1, 2, 3)]
    assert states[0] == states[1] == states[2]


def test_draws_are_the_same_for_any_number_of_threads(small):
    from diffgmm.diffusion.voronoi.reverse_sde import draw

    one, two = (draw(small[0], 40_000, random_seed=2, cores=cores) for cores in (1, 2))
    np.testing.assert_array_equal(one, two)
    assert len(np.unique(one, axis=0)) == 40_000  # no chunk repeats another
    assert not np.array_equal(one, small[0].sample(40_000, random_seed=3))


def test_another_seed_is_another_fit(small):
    model, rows = small
    same, other = (
        fit_voronoi_score(rows, n_components=2, degree=2, random_seed=seed) for seed in (3, 4)
    )
    assert same.to_dict() == model.to_dict()
    assert other.to_dict() != model.to_dict()


def test_units(small):
    """Rows in other units give the same model; a score has the inverse of their unit."""
    model, rows = small
    unit = np.array([4.0, 0.5])  # powers of two: no rounding
    other = fit_voronoi_score(rows * unit, n_components=2, degree=2, random_seed=3)
    for sigma in (0.0, 0.3, 5.0, 100.0):
        own = model.score(rows, sigma)
        np.testing.assert_array_equal(other.score(rows * unit, sigma) * unit, own)
        expected = rows + sigma**2 * model.scale**2 * own
        np.testing.assert_allclose(model.denoise(rows, sigma), expected, rtol=0, atol=1e-8)
    np.testing.assert_array_equal(other.sample(50, 1), model.sample(50, 1) * unit)


def test_between_levels_f_is_linear_in_the_logarithm_of_sigma(small):
    model, rows = small
    z = (rows - model.shift) / model.scale

    def f(sigma):
        return z + (model.noise_scale**2 + sigma**2) * model.score(rows, sigma) * model.scale

    high, low = model.sigmas[10], model.sigmas[11]
    middle = 0.25 * f(high) + 0.75 * f(low)
    np.testing.assert_allclose(f(high**0.25 * low**0.75), middle, rtol=0, atol=1e-12)
    np.testing.assert_allclose(f(low), model.cells[11].evaluate(z), rtol=0, atol=1e-12)
    lowest = model.score(rows, float(model.sigmas[-1]))
    np.testing.assert_array_equal(model.score(rows, 0.0), lowest)


def test_above_the_levels_the_score_is_normal(small):
    model, rows = small
    top = model.sigmas[0]
    noised = rows + top * model.scale * np.random.default_rng(1).standard_normal(rows.shape)
    normal = -(noised - rows.mean(axis=0)) / (rows.var(axis=0) * (1.0 + 4.0 * top**2))
    np.testing.assert_allclose(model.score(noised, 2.0 * top), normal, rtol=1e-12)
    # The fit at the highest level says nearly the same, in units of the noise.
    below = model.score(noised, float(top))
    away = (below + (noised - rows.mean(axis=0)) / (rows.var(axis=0) * (1.0 + top**2))) * top
    assert np.abs(away * model.scale).max() < 0.1


def test_tree_of_warm_starts(plane):
    model, _, _ = plane
    tree = model.warm_starts
    np.testing.assert_array_equal([sigma for sigma, _, _ in tree], model.sigmas)
    assert len(tree[0][1]) == 1
    np.testing.assert_allclose(tree[0][1][0], model.shift)
    assert tree[0][2].tolist() == [-1]
    refreshed, n_refreshed = tree[0][0] ** 2, 0
    for (above, before, _), (_, centres, parents) in itertools.pairwise(tree):
        distances = np.linalg.norm(centres[:, None] - before, axis=2)
        np.testing.assert_array_equal(parents, distances.argmin(axis=1))
        if not np.array_equal(centres, before):
            n_refreshed += 1
            assert above**2 <= 0.5 * refreshed  # t has halved, not more often
            assert above**2 >= LOWEST_REFINED * model.noise_scale**2
            refreshed = above**2
    assert n_refreshed > 5
    # Every component has a centre within its own deviation.
    near = np.linalg.norm(plane[2].means[:, None] - tree[-1][1], axis=2).min(axis=1)
    assert near.max() < 1.0


def test_a_cell_has_three_rows_for_each_coefficient(plane, small):
    for model, highest in ((plane[0], 3), (small[0], 2)):
        for own in model.cells:
            p = np.array([1, 3, 6, 10])[own.degrees]
            assert ((own.counts >= ROWS_PER_COLUMN * p) | (own.degrees == 0)).all()
            assert own.degrees.max() <= highest
            for coefficients, size in zip(own.coefficients, p, strict=True):
                assert not coefficients[:, size:].any()
            assert own.counts.sum() == pytest.approx(4_000 if highest == 3 else 300)


@pytest.mark.parametrize("n", [2, 3, 7])
def test_a_handful_of_rows(n):
    rows = np.random.default_rng(n).standard_normal((n, 2))
    model = fit_voronoi_score(rows, random_seed=1)
    assert np.isfinite(model.score(rows, 0.1)).all()
    assert np.isfinite(model.sample(10, 1)).all()


def test_greedy_cover_takes_the_fullest_ball_first():
    points = np.array([[0.0], [0.4], [0.5], [5.0], [5.1], [5.2], [5.3], [9.0]])
    assert greedy_cover(points, 1.0, most=9, least=1).tolist() == [3, 0, 7]
    assert greedy_cover(points, 1.0, most=2, least=1).tolist() == [3, 0]
    assert greedy_cover(points, 1.0, most=9, least=2).tolist() == [3, 0]
    assert greedy_cover(points, 1.0, most=9, least=9).tolist() == [3]
    assert greedy_cover(points, 20.0, most=9, least=1).tolist() == [0]


def test_greedy_cover_covers(rng):
    points = 1e3 + rng.standard_normal((500, 3))
    chosen = greedy_cover(points, 0.7, most=500, least=1)
    distances = np.linalg.norm(points[:, None] - points[chosen], axis=2)
    assert (distances.min(axis=1) <= 0.7 * (1.0 + 1e-6)).all()
    assert len(chosen) < 400


def folds(phi, target, n_folds=5):
    """Return Gram matrices and right-hand sides of every fifth row."""
    own = [slice(fold, None, n_folds) for fold in range(n_folds)]
    return np.array([phi[i].T @ phi[i] for i in own]), np.array([target[i].T @ phi[i] for i in own])


def test_best_polynomial_is_the_one_that_predicts_left_out_folds(rng):
    u = rng.standard_normal(200)
    phi = np.stack([np.ones(200), u, (u**2 - 1) / 2**0.5, (u**3 - 3 * u) / 6**0.5], axis=1)
    target = (phi @ [0.3, 1.0, 0.5, 0.02])[:, None] + 0.7 * rng.standard_normal((200, 1))
    losses = {}
    for degree, ridge in itertools.product(range(4), RIDGES):
        total = 0.0
        for fold in range(5):
            left = np.arange(200) % 5 == fold
            own = phi[:, : degree + 1]
            gram = own[~left].T @ own[~left] + ridge * (~left).sum() * np.eye(degree + 1)
            fitted = np.linalg.solve(gram, own[~left].T @ target[~left])
            total += np.square(target[left] - own[left] @ fitted).sum()
        losses[degree, ridge] = total
    best, ridge = min(losses, key=losses.get)
    degree, coefficients = best_polynomial(*folds(phi, target), [1, 2, 3, 4])
    assert degree == best
    own = phi[:, : best + 1]
    expected = np.linalg.solve(own.T @ own + ridge * 200 * np.eye(best + 1), own.T @ target).ravel()
    np.testing.assert_allclose(coefficients[0, : best + 1], expected, rtol=1e-10)
    assert not coefficients[0, best + 1 :].any()


def test_best_polynomial_of_nothing_is_nothing(rng):
    degree, coefficients = best_polynomial(np.zeros((5, 3, 3)), np.zeros((5, 2, 3)), [1, 3])
    assert degree == 0
    assert not coefficients.any()


def test_noise_scale_of_separated_components():
    mixture = separated(4, 3, seed=8)
    data = Data.of(mixture.sample(2_000, 8))
    ones = np.ones(3)
    # Of 3 eigenvalues of 2000 rows the smallest is within 10 % of 1; deviations within 5 %.
    found = estimate_noise_scale(data, ones, 4, np.random.default_rng(1))
    assert found == pytest.approx(1.0, abs=0.06)
    assert noise_scale_of(mixture, data, ones) == pytest.approx(1.0)
    assert noise_scale_of(mixture, data, 2.0 * ones) == pytest.approx(0.5)


def test_fit_with_voronoi_gates(tmp_path):
    rows = separated(2, 2, seed=3).sample(400, 3)
    options = {"model": "diffusion", "random_seed": 1, "progressbar": False}
    fit = diffgmm.fit(rows, 2, gating="voronoi", **options)
    assert isinstance(fit.score_model, VoronoiScore)
    assert isinstance(diffgmm.fit(rows, 2, **options).score_model, ScoreModel)
    assert max(len(own) for own in fit.score_model.cells) <= 6
    assert repr(fit).endswith("residual=voronoi)")
    np.testing.assert_array_equal(fit.log_density(rows), fit.mixture.log_density(rows))
    np.testing.assert_array_equal(fit.sample(20, 5), fit.score_model.sample(20, 5))
    fit.save(tmp_path / "fit.json")
    again = diffgmm.MixtureFit.load(tmp_path / "fit.json")
    np.testing.assert_array_equal(again.sample(20, 5), fit.sample(20, 5))


@pytest.mark.parametrize("covariance_type", ["spherical", "identity", "tied", "diag"])
def test_units_of_the_cells_are_those_of_the_family(covariance_type):
    rows = separated(2, 2, seed=3).sample(400, 3) * [1.0, 1.3]
    fit = diffgmm.fit(
        rows,
        2,
        model="diffusion",
        gating="voronoi",
        covariance_type=covariance_type,
        random_seed=1,
        progressbar=False,
    )
    common = fit.score_model.scale[0] == fit.score_model.scale[1]
    assert common == (covariance_type in ("spherical", "identity"))
    if covariance_type == "identity":
        assert fit.score_model.noise_scale * fit.score_model.scale[0] == pytest.approx(1.0)


def test_survives_json(small):
    model, rows = small
    again = VoronoiScore.from_dict(json.loads(json.dumps(model.to_dict())))
    for sigma in (0.0, 0.2, 3.0):
        np.testing.assert_array_equal(again.score(rows, sigma), model.score(rows, sigma))
    assert again.to_dict() == model.to_dict()


def test_files_that_are_no_good(small):
    state = small[0].to_dict()
    with pytest.raises(InvalidFileError) as info:
        VoronoiScore.from_dict({**state, "format": "diffgmm.ScoreModel"})
    assert str(info.value) == "Expected a dictionary of format 'diffgmm.VoronoiScore'."
    broken = {key: value for key, value in state["cells"][0].items() if key != "centres"}
    with pytest.raises(InvalidFileError) as info:
        VoronoiScore.from_dict({**state, "cells": [broken]})
    assert str(info.value) == "The dictionary of format 'diffgmm.Cells' lacks ['centres']."


def test_is_immutable(small):
    model, _ = small
    with pytest.raises(AttributeError):
        model.noise_scale = 1.0
    for array in (model.scale, model.cells[0].centres, model.cells[0].coefficients):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0


ROWS = np.random.default_rng(3).normal(size=(30, 2))

BAD = {
    "degree": ({"degree": 6}, "degree must be an integer from 0 to 5, got 6."),
    "degree not whole": ({"degree": 1.5}, "degree must be an integer from 0 to 5, got 1.5."),
    "n_components 0": (
        {"n_components": 0},
        "n_components must be a positive integer, got 0.",
    ),
    "n_components above N": (
        {"n_components": 31},
        "n_components must not exceed the number of rows, got 31 components for 30 rows.",
    ),
    "scale": (
        {"scale": [1.0, 0.0]},
        "scale must have one positive number for each of 2 features, got [1.0, 0.0].",
    ),
    "cores": (
        {"cores": 0},
        "cores must be a positive integer or None (all of them), got 0.",
    ),
    "seed": (
        {"random_seed": -1},
        "random_seed must be a non-negative integer, a sequence of them, a numpy Generator or "
        "None, got -1.",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_refusals(case):
    arguments, message = BAD[case]
    with pytest.raises(InvalidParameterError) as info:
        fit_voronoi_score(ROWS, **arguments)
    assert str(info.value) == message


@pytest.mark.parametrize("value", [0.0, -1.0, 2.5, [1.0, 1.0]])
def test_noise_scales_that_cannot_be(value):
    with pytest.raises(InvalidParameterError) as info:
        fit_voronoi_score(ROWS, noise_scale=value)
    assert str(info.value) == (
        "noise_scale must be a positive number, at most twice the largest standard deviation "
        f"1 of the data in units of `scale`, got {value!r}."
    )


def test_rows_that_do_not_vary():
    with pytest.raises(InvalidDataError) as info:
        fit_voronoi_score(np.ones((5, 1)), scale=[1.0])
    assert str(info.value) == (
        "Every column must vary, but column 'x0' is 1 in all 5 rows. Remove it."
    )


def test_refusals_of_the_score(small):
    with pytest.raises(InvalidParameterError) as info:
        small[0].score(ROWS, -1.0)
    assert str(info.value) == "sigma must be finite and not negative, got -1.0."
    with pytest.raises(InvalidDataError):
        small[0].score(ROWS[:, :1], 1.0)
    with pytest.raises(InvalidParameterError) as info:
        small[0].sample(0)
    assert str(info.value) == "n must be a positive integer, got 0."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"model": "diffusion", "gating": "hard"},
            "gating must be 'soft' or 'voronoi', got 'hard'.",
        ),
        (
            {"gating": "voronoi"},
            "gating='voronoi' is a way to learn scores, and model='mixture' learns none. "
            "Use model='diffusion'.",
        ),
    ],
)
def test_refusals_of_fit(options, message):
    with pytest.raises(InvalidParameterError) as info:
        diffgmm.fit(ROWS, 1, **options)
    assert str(info.value) == message


def benchmark(name):
    """Return a module of benchmarks/."""
    path = Path(__file__).parents[2] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_degrees_that_the_scores_of_two_components_need():
    """All 54 figures of the published table, to 10 % or to their last digit."""
    degrees = benchmark("degrees")
    for rho, (one, cells) in degrees.PUBLISHED.items():
        for m, text in zip(degrees.SINGLE, one.split(), strict=True):
            assert degrees.agrees(degrees.single(rho, m), text)
        for m, text in zip(degrees.CELLS, cells.split(), strict=True):
            assert degrees.agrees(degrees.in_cells(rho, m), text)
    assert not degrees.agrees(degrees.in_cells(1.0, 2), "0.11")
