"""The misfit check: its parts against closed forms, its texts, its groups, its refusals."""

import json

import numpy as np
import pytest

import diffgmm
from diffgmm.covariance import FAMILIES
from diffgmm.diffusion.misfit import Moments, check_levels, held_out_gains
from diffgmm.diffusion.spectrum import Spectrum
from diffgmm.errors import InvalidDataError, InvalidParameterError
from diffgmm.learn import check
from diffgmm.learn.check import standardised
from diffgmm.learn.em import Parameters
from diffgmm.learn.remedies import free_covariances, split_component

SETTINGS = {"n_bootstrap": 19, "random_seed": 1, "progressbar": False}


def two_groups(n=1200, seed=3):
    """Return rows of three groups in the plane, two of them close."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0.0, 0.0], [3.5, 0.0], [9.0, 3.0]])
    return centres[rng.integers(3, size=n)] + rng.normal(size=(n, 2))


@pytest.fixture(scope="module")
def rows():
    return two_groups()


@pytest.fixture(scope="module")
def found(rows):
    return diffgmm.fit(rows, 2, random_seed=1)


@pytest.fixture(scope="module")
def report(found, rows):
    return diffgmm.check(found, rows, **SETTINGS)


@pytest.fixture(scope="module")
def silent():
    rows = np.random.default_rng(5).normal(size=(300, 2))
    return diffgmm.check(diffgmm.fit(rows, 1, random_seed=1), rows, **SETTINGS)


# ---- the statistic


def test_moments_give_back_a_known_polynomial(rng):
    """A component with the moment 0.3 of h_4 alone: its coefficient, and its energy."""
    f, k, d = 6, 2, 3
    shares = rng.uniform(0.2, 0.9, (k, d))
    moments = Moments.zeros(f, k, d)
    moments.masses[:] = 100.0
    moments.quadratic[:, :, range(d), range(d)] = 100.0  # u_a^2, 1 in the mean
    moments.lines[:, 1, 2, 0] = 0.3 * 100.0
    (lines, matrix), products = moments.polynomials(shares)
    np.testing.assert_allclose(lines[:, 1, 2, 0], 0.3)
    np.testing.assert_allclose(products[:, 1], 100.0 * 0.3**2 * 4.0 * shares[1, 0])
    assert np.all(products[:, 0] == 0.0)
    lines[:, 1, 2, 0] = 0.0
    assert np.count_nonzero(lines[:, :, :3]) == np.count_nonzero(matrix) == 0
    np.testing.assert_array_equal(lines[0, :, 3], shares)


def relative_entropy(variance):
    """Return that of two normals of variances 0.4 and 1.6 to their best normal, all noised."""
    x = np.linspace(-30.0, 30.0, 100_001)

    def normal(v):
        return np.exp(-0.5 * x**2 / v) / np.sqrt(2.0 * np.pi * v)

    p = 0.5 * (normal(0.4 + variance) + normal(1.6 + variance))
    return float(np.sum(p * np.log(p / normal(1.0 + variance))) * (x[1] - x[0]))


def test_gains_are_density_gains():
    """What is gained between two noise levels is the relative entropy lost between them.

    A polynomial of degree 4 sees most of it, and nothing can see more. Over 40 seeds the share is
    0.65 with a standard deviation of 0.06: the limits are five of them away (false alarm 1e-6).
    """
    rng = np.random.default_rng(8)
    scale = np.where(rng.random(20_000) < 0.5, np.sqrt(0.4), np.sqrt(1.6))
    values = (scale * rng.normal(size=20_000))[:, None]
    one = Spectrum.of(np.ones(1), np.array([values.mean(0)]), np.array([[[values.var()]]]))
    gains = held_out_gains(values, rng.normal(size=(1, 1, 20_000)), one)
    half = np.sqrt(gains.sigmas[0] / gains.sigmas[1])
    low, high = gains.sigmas[-1] / half, gains.sigmas[0] * half
    most = relative_entropy(low**2) - relative_entropy(high**2)
    assert 0.35 * most < gains.total < 1.0 * most


def test_levels_fall_to_a_quarter_of_the_smallest_component():
    levels = check_levels(np.array([[1.0, 1.0], [0.04, 0.04]]))
    assert levels[0] == 1.0
    assert levels[-1] == pytest.approx(0.25 * 0.2)
    assert np.all(np.diff(levels) < 0.0)
    assert check_levels(np.array([[1e-20, 1e-20]]))[-1] == pytest.approx(1.0 / 256.0)


def test_standardised_leaves_each_data_set_out(rng):
    cells = rng.normal(size=(20, 3)) * [1.0, 1e-6, 1e6] + [0.0, 5.0, 1e8]
    for i in (0, 7):
        others = np.delete(cells, i, axis=0)
        expected = (cells[i] - others.mean(axis=0)) / others.std(axis=0)
        np.testing.assert_allclose(standardised(cells)[i], expected, rtol=1e-6)
    assert np.all(standardised(np.ones((20, 2))) == 0.0)


# ---- what would help


def test_a_split_that_helps_and_one_that_does_not(rows):
    values = np.random.default_rng(1).permutation((rows - rows.mean(0)) / rows.std(0))
    full = FAMILIES["full"]

    def parameters(k):
        fit = diffgmm.fit(values, k, random_seed=1).mixture
        return Parameters(fit.weights, fit.means, fit.covariances)

    gain = split_component(values, full, parameters(2), 0)
    assert gain.mean > 3.0 * gain.error
    gain = split_component(values, full, parameters(3), 0)
    assert gain.mean < 2.0 * gain.error


def test_free_covariances_help_where_features_are_correlated(rng):
    values = rng.normal(size=(400, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]])
    one = Parameters(np.ones(1), np.zeros((1, 2)), np.ones((1, 2)))
    gain = free_covariances(values, FAMILIES["diag"], one)
    # -log(1 - 0.8^2) / 2 = 0.51 nat per row.
    assert gain.mean == pytest.approx(0.51, abs=4.0 * gain.error)


# ---- the report


def test_a_misfit_is_named_with_its_remedy(report):
    assert report.p_value == 0.05
    text = " ".join(report.advice)
    assert "Component 0 is not Gaussian at scale" in text
    assert "flatter than a Gaussian, as two groups in one are (mainly along 'x0')" in text
    assert "Splitting component 0 in two raises held-out log density by" in text


def test_silence_names_what_would_have_been_missed(silent):
    assert silent.p_value > 0.05
    assert len(silent.advice) == 1
    assert silent.advice[0].startswith(
        "No misfit was found. That is no proof of a good fit: in 300"
    )
    assert f"{silent.smallest_detectable_gain:.2g} nat per row" in silent.advice[0]


def test_the_table_has_every_cell(report):
    table = report.table
    assert table.index.names == ["noise_level", "component"]
    assert list(table.columns) == ["gain", "z", "p_adjusted", "detectable_gain"]
    assert len(table) == 6 * 3 + 1
    level = table.index[-2][0]
    assert table.loc[(level, 1), "gain"] == report.gain[-1, 1]
    assert table.loc[("all", "all"), "z"] == report.total[1]
    assert table["p_adjusted"].min() == report.p_value


def test_the_text_fits_a_terminal(report, silent):
    for text in (repr(report), str(silent)):
        assert max(map(len, text.splitlines())) <= 80
    assert repr(report).startswith(
        "Misfit check of a Gaussian mixture: 2 components, full covariance,\n"
        "1,200 rows. p = 0.05: the mixture does not fit."
    )
    assert "p compares with 19 data sets drawn from the fitted mixture" in repr(report).replace(
        "\n  ", " "
    )


def test_the_same_for_any_number_of_cores(report, found, rows):
    again = diffgmm.check(found, rows, cores=3, **SETTINGS)
    assert json.dumps(again.to_dict()) == json.dumps(report.to_dict())


def test_rows_are_not_changed_and_order_is_free(report, found, rows):
    given = rows[np.argsort(rows[:, 0])]
    before = given.copy()
    again = diffgmm.check(found, given, **SETTINGS)
    np.testing.assert_array_equal(given, before)
    assert again.p_value == report.p_value


def test_other_units_change_nothing(report, rows):
    scaled = rows * [1e-3, 50.0] + [7.0, -1e4]
    again = diffgmm.check(diffgmm.fit(scaled, 2, random_seed=1), scaled, **SETTINGS)
    np.testing.assert_allclose(again.gain, report.gain, atol=1e-5)
    assert again.p_value == report.p_value


@pytest.mark.parametrize("family", ["tied", "diag", "spherical", "identity"])
def test_every_family(family, rows):
    found = diffgmm.fit(rows, 3, covariance_type=family, random_seed=1)
    report = diffgmm.check(found, rows, **SETTINGS)
    assert report.covariance_type == family
    assert np.all(np.isfinite(report.gain))
    assert np.all(np.isfinite(report.z))


def test_it_stops_early_where_p_is_clearly_large(rng):
    rows = rng.normal(size=(200, 1))
    report = diffgmm.check(
        diffgmm.fit(rows, 1, random_seed=1), rows, random_seed=1, progressbar=False
    )
    assert report.n_bootstrap == 39
    assert report.n_bootstrap_max == 199
    assert report.p_value > 0.15


def test_a_clear_misfit_is_compared_with_all_null_data_sets(found, rows):
    """The smallest p that 99 of them allow; an end after 39 would have made it 1 / 40."""
    report = diffgmm.check(found, rows, **SETTINGS | {"n_bootstrap": 99})
    assert report.n_bootstrap == 99
    assert report.p_value == pytest.approx(1.0 / 100.0)


def test_null_data_sets_are_refitted_like_the_rows(found, rows, monkeypatch):
    """What is done to the rows is done to every null data set: EM to their own optimum.

    Left out, it moves the level of the check by too little for a quick test of the level.
    """
    fitted = []

    def refit(values, family, start):
        fitted.append(values)
        return original(values, family, start)

    original = check._refit
    monkeypatch.setattr(check, "_refit", refit)
    diffgmm.check(found, rows, **SETTINGS, cores=1)
    assert len(fitted) == 20
    assert len({values.tobytes() for values in fitted}) == 20


@pytest.mark.parametrize("done", [10, 30])
def test_ctrl_c_keeps_what_can_reach_five_percent(found, rows, monkeypatch, done):
    calls = []

    def refit(*arguments):
        calls.append(1)
        if len(calls) == done + 2:
            raise KeyboardInterrupt
        return original(*arguments)

    original = check._refit
    monkeypatch.setattr(check, "_refit", refit)
    options = SETTINGS | {"n_bootstrap": 99, "cores": 1}
    if done < 19:
        with pytest.raises(KeyboardInterrupt):
            diffgmm.check(found, rows, **options)
    else:
        with pytest.warns(UserWarning, match=r"^Interrupted: p compares with the 30 null data"):
            report = diffgmm.check(found, rows, **options)
        assert report.n_bootstrap == 30


def test_rows_of_another_fit_are_noticed(rows):
    found = diffgmm.fit(rows + [0.5, 0.0], 2, random_seed=1)
    assert "The mixture given was not the best for these rows" in " ".join(
        diffgmm.check(found, rows, **SETTINGS).advice
    )


def test_the_heat_map_has_every_cell_and_its_labels(report, optional):
    optional("matplotlib").use("Agg")
    ax = report.plot()
    texts = [text.get_text() for text in ax.texts]
    assert len(texts) == report.z.size
    assert texts[0].rstrip("*") == f"{report.z[0, 0]:.1f}"
    assert sum(text.endswith("*") for text in texts) == (report.p_adjusted <= 0.05).sum()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1", "all"]
    assert ax.get_xlabel() == "component"
    assert ax.get_ylabel() == "noise level (sd of the columns)"
    other = ax.figure.add_subplot()
    assert report.plot(ax=other) is other


# ---- InferenceData


@pytest.fixture(scope="module")
def idata(rows):
    settings = {"draws": 500, "tune": 500, "chains": 2, "random_seed": 1}
    return diffgmm.sample(rows, 2, **settings)


def test_draws_are_checked_as_a_family(idata, report):
    own = diffgmm.check(idata, **SETTINGS)
    assert own.of_draws
    assert "p tests the family, not the draws" in repr(own).replace("\n  ", " ")
    np.testing.assert_allclose(own.gain, report.gain, atol=2e-3)


def test_the_group_is_kept_and_saved(idata, rows, tmp_path):
    assert diffgmm.compute_misfit(idata, rows, **SETTINGS) is idata
    diffgmm.compute_misfit(idata, **SETTINGS)  # replaces it
    diffgmm.save_inference_data(idata, tmp_path / "posterior.nc")
    for own in (idata, diffgmm.load_inference_data(tmp_path / "posterior.nc")):
        group = own["misfit"]
        assert group["gain"].dims == ("noise_level", "cluster")
        assert group["gain_all"].dims == ("noise_level",)
        assert group["noise_level"].values[0] == 1.0
        assert group.attrs["p_value"] == 0.05
        assert "Component" in json.loads(group.attrs["advice"])[0]
        assert group.attrs["p_value_of"] == "the family of mixtures, not the draws"


# ---- refusals


def test_refusals(found, rows, idata):
    def refused(error, *arguments, function=diffgmm.check, **settings):
        with pytest.raises(error) as caught:
            function(*arguments, **{**SETTINGS, **settings})
        return str(caught.value)

    assert refused(InvalidParameterError, found, rows, n_bootstrap=18) == (
        "n_bootstrap must be an integer of at least 19, so that p can reach 0.05, got 18."
    )
    assert refused(InvalidParameterError, found, rows, n_bootstrap=True) == (
        "n_bootstrap must be an integer of at least 19, so that p can reach 0.05, got True."
    )
    assert refused(InvalidParameterError, found) == (
        "check needs the rows that the fit was made from: give X."
    )
    assert refused(InvalidParameterError, rows, rows) == (
        "check needs a MixtureFit, or InferenceData or a DataTree with a posterior, got ndarray."
    )
    assert refused(InvalidDataError, found, rows[:29]) == (
        "check needs at least 30 rows, got 29. Use more rows."
    )
    assert refused(InvalidDataError, found, rows[:, :1]) == (
        "X has 1 columns, but the mixture has 2 features: 'x0', 'x1'. "
        "Give these columns in this order."
    )
    assert refused(InvalidParameterError, found, rows, function=diffgmm.compute_misfit) == (
        "compute_misfit needs InferenceData or a DataTree, got MixtureFit. Use check."
    )
    assert refused(InvalidParameterError, found, rows, cores=0).startswith("cores must be")
