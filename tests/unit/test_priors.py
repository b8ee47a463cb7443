"""Prior: its numbers, its densities against scipy, its draws, its refusals."""

import itertools
import json

import numpy as np
import pytest
from scipy import special, stats

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


def scalar_scale(rng, kind, d=3, **changes):
    """Return a prior of "diag" or "spherical", C0 drawn."""
    numbers = {"m0": rng.standard_normal(d), "B0": spd(rng, d), "c0": 1.5, "g0": 0.75}
    G0 = rng.uniform(0.5, 2.0, d) if kind == "diag" else 1.25
    return Prior(**numbers | {"G0": G0, "covariance_type": kind} | changes)


@pytest.mark.parametrize("drawn", [True, False])
@pytest.mark.parametrize("kind", ["tied", "diag", "spherical"])
def test_log_densities_of_other_families_are_those_of_scipy(kind, drawn, rng):
    if kind == "tied":
        prior = drawn_scale(rng, covariance_type=kind)
    else:
        prior = scalar_scale(rng, kind)
    if not drawn:
        prior = prior.replace(C0=prior.G0)
    draw = prior.draw(2, 6, rng)
    shaped = {name: array.reshape(2, 3, *array.shape[1:]) for name, array in draw.items()}
    logs = prior.log_prior(**shaped)
    assert set(logs) == {"weights", "means", "covariances"} | ({"C0"} if drawn else set())
    for s in range(6):
        covariances = draw["covariances"][s]
        scale = draw["C0"][s] if drawn else prior.C0
        expected = {}
        if kind == "tied":
            expected["covariances"] = stats.invwishart(2 * prior.c0, 2 * scale).logpdf(covariances)
            if drawn:
                expected["C0"] = scipy_wishart(prior).logpdf(scale)
        else:
            law = stats.invgamma(prior.c0, scale=scale)
            expected["covariances"] = law.logpdf(covariances).sum()
            if drawn:
                hyper = stats.gamma(prior.g0, scale=1 / np.asarray(prior.G0))
                expected["C0"] = hyper.logpdf(scale).sum()
        for name, value in expected.items():
            assert logs[name].ravel()[s] == pytest.approx(value, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind", ["diag", "spherical"])
def test_one_feature_has_the_same_law_in_every_family(kind, rng):
    """D = 1: inverse Wishart is inverse gamma, Wishart is gamma."""
    full = drawn_scale(rng, 1)
    number = float(full.G0[0, 0])
    G0 = [number] if kind == "diag" else number
    other = Prior(m0=full.m0, B0=full.B0, c0=full.c0, g0=full.g0, G0=G0, covariance_type=kind)
    draw = full.draw(3, 4, rng)
    shape = {"diag": (4, 3, 1), "spherical": (4, 3)}[kind]
    again = {
        **draw,
        "covariances": draw["covariances"].reshape(shape),
        "C0": draw["C0"].reshape((4, *shape[2:])),
    }
    one, two = full.log_prior(**draw), other.log_prior(**again)
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-12)


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


@pytest.mark.parametrize("kind", ["tied", "diag", "spherical"])
def test_other_units_of_other_families(kind, rng):
    """The Jacobian counts the different variances; spherical has one scale for all features."""
    k, d = 2, 3
    shift = rng.standard_normal(d)
    scale = np.full(d, 7.0) if kind == "spherical" else np.array([0.1, 1.0, 1e3])
    unit = {"tied": np.outer(scale, scale), "diag": scale**2, "spherical": 49.0}[kind]
    count = {"tied": d + 1, "diag": 2, "spherical": 2 / d}[kind]
    prior = drawn_scale(rng, covariance_type=kind) if kind == "tied" else scalar_scale(rng, kind)
    draw = prior.draw(k, 4, rng)
    other = {
        "weights": draw["weights"],
        "means": (draw["means"] - shift) / scale,
        "covariances": draw["covariances"] / unit,
        "C0": draw["C0"] / unit,
    }
    here, there = prior.log_prior(**draw), prior.in_units(shift, scale).log_prior(**other)
    jacobian = {"means": k, "C0": count, "covariances": count * (1 if kind == "tied" else k)}
    for name, power in jacobian.items():
        step = power * np.log(scale).sum()
        np.testing.assert_allclose(there[name], here[name] + step, rtol=1e-9)


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


@pytest.mark.statistical
@pytest.mark.parametrize("kind", ["tied", "diag", "spherical"])
def test_draws_of_other_families_follow_scipy(kind, rng):
    """Pivots of C0 and of one covariance given it; twice the rate is caught."""
    d = 2
    prior = (
        drawn_scale(rng, d, covariance_type=kind) if kind == "tied" else scalar_scale(rng, kind, d)
    )
    draw = prior.draw(3, N_DRAWS, rng)
    if kind == "tied":
        v = np.array([0.6, -0.8])
        rate = np.linalg.inv(2 * prior.G0)
        hyper = np.einsum("a,sab,b->s", v, draw["C0"], v) / (v @ rate @ v)
        own = np.einsum("a,sab,b->s", v, np.linalg.inv(draw["covariances"]), v)
        own /= np.einsum("a,sab,b->s", v, np.linalg.inv(2 * draw["C0"]), v)
    else:
        last = (..., 1) if kind == "diag" else (...,)
        hyper = 2 * draw["C0"][last] * np.asarray(prior.G0)[last]
        own = 2 * draw["C0"][last] / draw["covariances"][:, 2][last]
    assert_law(hyper, stats.chi2(2 * prior.g0).cdf, 2)
    assert_law(own, stats.chi2(2 * prior.c0).cdf, 2)
    assert stats.kstest(2 * hyper, stats.chi2(2 * prior.g0).cdf).pvalue < FALSE_ALARM


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


def test_weakly_informative_numbers_of_other_families():
    """Richardson and Green: c0 = 2.5, g0 = 0.5, prior mean of C0 = c0 R^2 / 100."""
    X = np.array([[0.0, 10.0], [1.0, 30.0], [3.0, 20.0], [4.0, 50.0]])
    tied = Prior.weakly_informative(X, covariance_type="tied")
    full = Prior.weakly_informative(X)
    assert (tied.c0, tied.g0, tied.G0.tolist()) == (full.c0, full.g0, full.G0.tolist())
    diag = Prior.weakly_informative(X, covariance_type="diag")
    assert (diag.c0, diag.g0, diag.C0) == (2.5, 0.5, None)
    np.testing.assert_allclose(diag.g0 / diag.G0, 2.5 * np.array([0.16, 16.0]), rtol=1e-14)
    spherical = Prior.weakly_informative(X, covariance_type="spherical")
    assert (spherical.c0, spherical.g0, spherical.C0) == (2.5, 0.5, None)
    assert spherical.g0 / spherical.G0 == pytest.approx(2.5 * 8.08, rel=1e-14)
    np.testing.assert_array_equal(diag.B0, full.B0)


def test_weakly_informative_needs_spread():
    with pytest.raises(InvalidDataError, match="Every column must vary"):
        Prior.weakly_informative([[1.0, 2.0], [1.0, 3.0]])


# ---- filled components


def enumerated(concentrations, n):
    """Return the distribution of the number of filled components by summing over allocations."""
    k, total = len(concentrations), np.sum(concentrations)
    out = np.zeros(k + 1)
    for owners in itertools.product(range(k), repeat=n):
        counts = np.bincount(owners, minlength=k)
        log_p = special.gammaln(total) - special.gammaln(total + n)
        log_p += np.sum(special.gammaln(concentrations + counts) - special.gammaln(concentrations))
        out[np.count_nonzero(counts)] += np.exp(log_p)
    return out


@pytest.mark.parametrize(
    "concentration",
    [[1.0, 1.0, 1.0], [0.01, 0.01, 0.01, 0.01], [0.5, 2.0, 0.5], [3.0, 0.1, 1.0], [2.0]],
)
@pytest.mark.parametrize("n", [1, 2, 6])
def test_filled_components_by_enumeration(concentration, n, rng):
    prior = drawn_scale(rng, concentration=concentration)
    expected = enumerated(np.array(concentration), n)
    np.testing.assert_allclose(prior.n_filled(n), expected, rtol=1e-12, atol=1e-15)


def test_filled_components_of_many_rows(rng):
    prior = drawn_scale(rng, concentration=0.5, n_components=10)
    p = prior.n_filled(5_000)
    assert p.sum() == pytest.approx(1.0, rel=1e-12)
    # E K_+ = K (1 - P(one component stays empty)), a ratio of beta functions.
    stays = np.exp(special.betaln(0.5, 4.5 + 5_000) - special.betaln(0.5, 4.5))
    assert np.arange(11) @ p == pytest.approx(10 * (1 - stays), rel=1e-10)


def test_filled_components_of_no_rows(rng):
    with pytest.raises(InvalidParameterError, match="n must be a positive integer, got 0"):
        drawn_scale(rng, n_components=2).n_filled(0)


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


@pytest.mark.parametrize("kind", ["tied", "diag", "spherical", "identity"])
def test_json_of_other_families(kind):
    prior = Prior.weakly_informative(load_faithful(), 2, covariance_type=kind)
    assert Prior.from_json(prior.to_json()).to_json() == prior.to_json()
    fixed = prior if kind == "identity" else prior.replace(C0=prior.G0)
    assert Prior.from_json(fixed.to_json()).to_json() == fixed.to_json()
    assert fixed.g0 is None


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("diag", {"c0": 0.0}, "c0 must be a positive number, got 0.0."),
        ("diag", {"g0": "a"}, "g0 must be a positive number, got 'a'."),
        ("diag", {"G0": np.eye(3)}, "G0 must have shape (3,) as m0 has 3 entries, got (3, 3)."),
        ("diag", {"C0": [1.0, -2.0, 1.0]}, "C0 must be positive, got -2."),
        ("spherical", {"C0": [1.0, 2.0]}, "C0 must be a positive number, got [1.0, 2.0]."),
        ("spherical", {"G0": np.inf}, "G0 must be a positive number, got inf."),
        ("spherical", {"g0": None}, "g0 must be a positive number, got None."),
    ],
)
def test_refusals_of_variances(kind, changes, message, rng):
    prior = scalar_scale(rng, kind)
    with pytest.raises(InvalidParameterError) as info:
        prior.replace(**changes)
    assert str(info.value) == message


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
