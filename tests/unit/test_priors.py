"""Prior: its numbers, its densities against scipy, its draws, its refusals."""

import json

import numpy as np
import pytest
from scipy import stats

from diffgmm import Prior
from diffgmm.datasets import load_faithful
from diffgmm.errors import InvalidDataError, InvalidFileError, InvalidParameterError

# False alarms of one statistical test, over all its statistics.
FALSE_ALARM = 1e-6

N_DRAWS = 20_000


def spd(rng, d):
    root = rng.standard_normal((d, d))
    return root @ root.T / d + 0.5 * np.eye(d)


def drawn_scale(rng, d=3, **changes):
    numbers = {"m0": rng.standard_normal(d), "B0": spd(rng, d), "c0": d + 0.5}
    return Prior(**numbers | {"g0": d + 0.25, "G0": spd(rng, d)} | changes)


def fixed_scale(rng, d=3, **changes):
    return drawn_scale(rng, d).replace(C0=spd(rng, d), **changes)


def scipy_wishart(prior):
    return stats.wishart(2 * prior.g0, np.linalg.inv(2 * prior.G0))


# ---- densities


@pytest.mark.parametrize("d", [1, 2, 4])
@pytest.mark.parametrize("make", [drawn_scale, fixed_scale])
def test_log_densities_are_those_of_scipy(make, d, rng):
    prior = make(rng, d, concentration=[0.5, 1.0, 3.0])
    draw = prior.draw(3, 6, rng)
    shaped = {name: array.reshape(2, 3, *array.shape[1:]) for name, array in draw.items()}
    logs = prior.log_prior(**shaped)
    assert set(logs) == set(draw)
    for s in range(6):
        weights, means, covariances = (
            draw[name][s] for name in ("weights", "means", "covariances")
        )
        scale = draw["C0"][s] if "C0" in draw else prior.C0
        expected = {
            "weights": stats.dirichlet([0.5, 1.0, 3.0]).logpdf(weights),
            "means": stats.multivariate_normal(prior.m0, prior.B0).logpdf(means).sum(),
            "covariances": sum(
                stats.invwishart(2 * prior.c0, 2 * scale).logpdf(one) for one in covariances
            ),
        }
        if "C0" in draw:
            expected["C0"] = scipy_wishart(prior).logpdf(scale)
        for name, value in expected.items():
            assert logs[name].shape == (2, 3)
            assert logs[name].ravel()[s] == pytest.approx(value, rel=1e-9, abs=1e-9)


def test_identity_has_weights_and_means_only(rng):
    prior = Prior(m0=[0.0, 1.0], B0=np.eye(2), covariance_type="identity")
    draw = prior.draw(3, 5, rng)
    assert set(draw) == {"weights", "means"}
    assert set(prior.log_prior(**draw)) == {"weights", "means"}


@pytest.mark.parametrize("make", [drawn_scale, fixed_scale])
def test_other_units_are_a_change_of_variables(make, rng):
    """Log densities differ by the Jacobian, a constant: for K = 2, D = 3."""
    prior, k, d = make(rng), 2, 3
    shift, scale = rng.standard_normal(d), np.array([0.1, 1.0, 1e3])
    draw = prior.draw(k, 4, rng)
    square = np.outer(scale, scale)
    other = {
        "weights": draw["weights"],
        "means": (draw["means"] - shift) / scale,
        "covariances": draw["covariances"] / square,
    }
    jacobian = {"weights": 0.0, "means": k, "covariances": k * (d + 1), "C0": d + 1}
    if "C0" in draw:
        other["C0"] = draw["C0"] / square
    here, there = prior.log_prior(**draw), prior.in_units(shift, scale).log_prior(**other)
    for name, value in here.items():
        step = jacobian[name] * np.log(scale).sum()
        np.testing.assert_allclose(there[name], value + step, rtol=1e-9)


# ---- draws


def assert_law(values, cdf, n_tests):
    assert stats.kstest(values, cdf).pvalue > FALSE_ALARM / n_tests


@pytest.mark.statistical
def test_draws_follow_scipy(rng):
    d = 2
    prior = drawn_scale(rng, d, concentration=[0.5, 1.0])
    draw = prior.draw(2, N_DRAWS, rng)
    assert_law(draw["weights"][:, 0], stats.beta(0.5, 1.0).cdf, 5)
    v = np.array([0.6, -0.8])
    normal = stats.norm(prior.m0 @ v, np.sqrt(v @ prior.B0 @ v))
    assert_law(draw["means"][:, 1] @ v, normal.cdf, 5)
    rate = np.linalg.inv(2 * prior.G0)
    ratio = np.einsum("a,sab,b->s", v, draw["C0"], v) / (v @ rate @ v)
    assert_law(ratio, stats.chi2(2 * prior.g0).cdf, 5)
    precision = np.linalg.inv(draw["covariances"][:, 1])
    left = np.linalg.inv(2 * draw["C0"])
    ratio = np.einsum("a,sab,b->s", v, precision, v) / np.einsum("a,sab,b->s", v, left, v)
    assert_law(ratio, stats.chi2(2 * prior.c0).cdf, 5)
    fixed = prior.replace(C0=np.eye(d)).draw(2, N_DRAWS, rng)
    precision = np.linalg.inv(fixed["covariances"][:, 0])
    ratio = 2.0 * np.einsum("a,sab,b->s", v, precision, v)
    assert_law(ratio, stats.chi2(2 * prior.c0).cdf, 5)


def test_an_integer_repeats_the_draws(rng):
    prior = drawn_scale(rng)
    one, same, other = prior.draw(2, 3, 5), prior.draw(2, 3, 5), prior.draw(2, 3, 6)
    for name in one:
        np.testing.assert_array_equal(one[name], same[name])
        assert not np.array_equal(one[name], other[name])


# ---- the default


def test_weakly_informative_numbers():
    """As published: c0 = 2.5 + (D - 1) / 2, g0 = 0.5 + (D - 1) / 2, G0 = 100 g0 / c0 / R^2."""
    X = np.array([[0.0, 10.0], [1.0, 30.0], [3.0, 20.0], [4.0, 50.0]])
    prior = Prior.weakly_informative(X, 2)
    np.testing.assert_array_equal(prior.m0, [2.0, 25.0])
    np.testing.assert_array_equal(prior.B0, np.diag([16.0, 1600.0]))
    assert (prior.c0, prior.g0, prior.C0) == (3.0, 1.0, None)
    np.testing.assert_allclose(prior.G0, np.diag([100 / 3 / 16, 100 / 3 / 1600]), rtol=1e-14)
    assert prior.concentration == 1.0
    assert prior.n_components == 2
    assert prior.data_scaled


def test_weakly_informative_identity():
    prior = Prior.weakly_informative(load_faithful(), covariance_type="identity")
    assert (prior.c0, prior.C0, prior.g0, prior.G0) == (None,) * 4
    assert prior.n_components is None


def test_weakly_informative_needs_spread():
    with pytest.raises(InvalidDataError, match="Every column must vary"):
        Prior.weakly_informative([[1.0, 2.0], [1.0, 3.0]])


# ---- a value


def test_it_is_immutable_and_keeps_no_array_of_the_caller(rng):
    m0 = np.zeros(3)
    prior = drawn_scale(rng, m0=m0)
    m0[0] = 9.0
    assert prior.m0[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        prior.B0[0, 0] = 1.0
    with pytest.raises(AttributeError):
        prior.c0 = 7.0


def test_replace_switches_between_a_fixed_and_a_drawn_scale(rng):
    prior = drawn_scale(rng)
    fixed = prior.replace(C0=np.eye(3))
    assert (fixed.g0, fixed.G0) == (None, None)
    assert fixed.c0 == prior.c0
    drawn = fixed.replace(g0=2.5, G0=np.eye(3))
    assert drawn.C0 is None
    assert prior.replace(concentration=0.5).concentration == 0.5
    with pytest.raises(InvalidParameterError, match="A Prior has no sigma, tau"):
        prior.replace(tau=1.0, sigma=2.0)


@pytest.mark.parametrize(
    ("concentration", "expected"), [(2.0, True), ([2.0, 2.0], True), ([1.0, 2.0], False)]
)
def test_exchangeable(concentration, expected, rng):
    assert drawn_scale(rng, concentration=concentration).is_exchangeable is expected


@pytest.mark.parametrize("make", [drawn_scale, fixed_scale])
def test_json_keeps_every_bit(make, rng):
    prior = make(rng, concentration=[0.1, 0.7], n_components=2)
    text = prior.to_json()
    assert json.loads(text)["format"] == "diffgmm.Prior"
    other = Prior.from_json(text)
    assert other.to_json() == text
    np.testing.assert_array_equal(other.B0, prior.B0)


@pytest.mark.parametrize("text", ["no json", "[]", '{"format": "something"}', None])
def test_foreign_text_is_refused(text):
    with pytest.raises(InvalidFileError):
        Prior.from_json(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"m0": [[0.0]]}, r"m0 must have shape \(D,\), got \(1, 1\)"),
        ({"m0": [np.nan, 0.0, 0.0]}, "m0 must be finite, got NaN or infinity"),
        ({"m0": "wide"}, "m0 must be an array of numbers, got 'wide'"),
        ({"B0": np.eye(2)}, r"B0 must have shape \(3, 3\) as m0 has 3 entries, got \(2, 2\)"),
        ({"B0": -np.eye(3)}, "B0 must be positive definite, got the eigenvalue -1"),
        ({"G0": np.triu(np.ones((3, 3)))}, "G0 must be symmetric"),
        ({"c0": 1.0}, r"c0 must be a number above \(D - 1\) / 2 = 1, got 1\.0"),
        ({"g0": None}, r"g0 must be a number above \(D - 1\) / 2 = 1, got None"),
        ({"c0": None}, 'covariance_type="full" needs c0 and either C0'),
        ({"G0": None}, "needs c0 and either C0"),
        ({"C0": np.eye(3)}, "needs c0 and either C0"),
        ({"concentration": 0.0}, r"concentration must be a positive number .*got 0\.0"),
        ({"concentration": [1.0, -1.0]}, "concentration must be a positive number"),
        ({"concentration": [1.0, 1.0], "n_components": 3}, "n_components=3 entries, got 2"),
        ({"n_components": 0}, "n_components must be a positive integer, got 0"),
        ({"covariance_type": "round"}, "covariance_type must be one of"),
        ({"covariance_type": "identity"}, "so c0, g0, G0 must not be given"),
    ],
)
def test_refusals(changes, message, rng):
    with pytest.raises(InvalidParameterError, match=message):
        drawn_scale(rng, **changes)


def test_a_fixed_scale_has_no_shape_of_its_own(rng):
    with pytest.raises(InvalidParameterError, match="g0 must not be given when C0 is"):
        fixed_scale(rng).replace(g0=2.0)
