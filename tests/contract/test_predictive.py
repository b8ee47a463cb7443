"""Predictive draws, also of some columns given others, and groups that are added on demand."""

import json
import warnings

import numpy as np
import pytest

import diffgmm
from diffgmm import GaussianMixture, Prior
from diffgmm.errors import InvalidDataError, InvalidParameterError
from diffgmm.report import pointwise, predictive
from diffgmm.report.inference_data import Group, arviz_generation, as_tree, build

S = ("chain", "draw")
NAMES = ["a", "b", "c"]
CHAINS, DRAWS, K, D, N = 2, 20, 2, 3, 15


def parameters(rng, chains=CHAINS, draws=DRAWS):
    weights = rng.dirichlet([5.0, 3.0], (chains, draws))
    means = np.array([[0.0, 1.0, 2.0], [4.0, -3.0, 0.0]])
    means = means + 0.1 * rng.standard_normal((chains, draws, K, D))
    roots = np.eye(D) + 0.4 * rng.standard_normal((chains, draws, K, D, D))
    return weights, means, roots @ np.swapaxes(roots, -1, -2) + 0.2 * np.eye(D)


def idata_of(weights, means, covariances, x=None, name="x"):
    posterior = {
        "weights": ((*S, "cluster"), weights),
        "means": ((*S, "cluster", "feature"), means),
        "covariances": ((*S, "cluster", "feature", "feature_bis"), covariances),
    }
    groups = {"posterior": Group(posterior)}
    if x is not None:
        groups["observed_data"] = Group({name: (("obs_id", "feature"), x)})
    return build(groups, {"feature": NAMES, "feature_bis": NAMES}, {})


@pytest.fixture
def case(rng):
    draws = parameters(rng)
    x = 2.0 * rng.standard_normal((N, D))
    return idata_of(*draws, x), draws, x


@pytest.fixture(scope="module")
def sampled():
    x = diffgmm.datasets.load_faithful()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few draws
        return diffgmm.sample(x, 2, draws=200, tune=150, chains=2, random_seed=1, progressbar=False)


def groups_of(idata):
    return set(as_tree(idata).children)


def mixture(draws, c, s):
    return GaussianMixture(*(a[c, s] for a in draws), feature_names=NAMES)


# ---- new rows


def test_as_many_rows_as_were_observed(case):
    found = diffgmm.sample_posterior_predictive(case[0], random_seed=1)
    assert groups_of(found) == {"posterior_predictive"}
    x = found["posterior_predictive"]["x"]
    assert x.dims == (*S, "obs_id", "feature")
    assert x.shape == (CHAINS, DRAWS, N, D)
    assert x["feature"].values.tolist() == NAMES
    again = diffgmm.sample_posterior_predictive(case[0], random_seed=1)
    np.testing.assert_array_equal(again["posterior_predictive"]["x"].values, x.values)
    other = diffgmm.sample_posterior_predictive(case[0], random_seed=2)
    assert not np.any(other["posterior_predictive"]["x"].values == x.values)


def test_number_of_rows_and_name_of_the_group(case):
    found = diffgmm.sample_posterior_predictive(case[0], n=4, predictions=True, random_seed=1)
    assert groups_of(found) == {"predictions"}
    assert found["predictions"].sizes["obs_id"] == 4
    new = diffgmm.sample_posterior_predictive(case[0], X=np.zeros((6, D)), random_seed=1)
    assert new["posterior_predictive"].sizes["obs_id"] == 6


def test_new_rows_have_the_mean_of_the_mixture(rng):
    """20,000 rows of each of 3 draws: 9 means within 5 standard errors; false alarm 5e-6."""
    draws = parameters(rng, chains=1, draws=3)
    found = diffgmm.sample_posterior_predictive(idata_of(*draws), n=20_000, random_seed=1)
    x = found["posterior_predictive"]["x"].values[0]
    expected = np.einsum("sk,ska->sa", draws[0][0], draws[1][0])
    error = x.std(axis=1) / np.sqrt(20_000)
    assert np.all(np.abs(x.mean(axis=1) - expected) < 5.0 * error)
    assert np.any(np.abs(x.mean(axis=1) - expected[::-1]) > 5.0 * error)  # planted: draws mixed up


# ---- some columns given others


@pytest.mark.parametrize("given", [["b"], ["c", "a"], [1, 2]])
def test_conditional_means_are_those_of_the_mixture(case, given):
    idata, draws, x = case
    found = diffgmm.sample_posterior_predictive(idata, X=x, condition=given, random_seed=1)
    labels = [NAMES[f] if isinstance(f, int) else f for f in given]
    rest = [name for name in NAMES if name not in labels]
    group = found["posterior_predictive"]
    assert group["feature"].values.tolist() == rest
    columns = [NAMES.index(name) for name in labels]
    np.testing.assert_array_equal(found["constant_data"]["x_known"].values, x[:, columns])
    assert found["constant_data"]["known_feature"].values.tolist() == labels
    for c, s, i in [(0, 0, 0), (1, 7, 3), (1, 19, 14)]:
        law = mixture(draws, c, s).condition(dict(zip(labels, x[i, columns])))
        np.testing.assert_allclose(group["x_mean"].values[c, s, i], law.weights @ law.means)


def test_conditional_draws_have_the_right_law(rng):
    """20,000 draws each given 2 values: mean, variance, cdf within 5 errors; false alarm 2e-5."""
    draws = parameters(rng, chains=1, draws=2)
    given = {"a": [1.5, 3.0]}
    found = diffgmm.sample_posterior_predictive(
        idata_of(*draws), condition={"a": np.repeat([1.5, 3.0], 20_000)}, random_seed=1
    )
    x = found["posterior_predictive"]["x"].values[0].reshape(2, 2, 20_000, 2)

    def z_values(swap):
        out = []
        for s in range(2):
            for i, value in enumerate(given["a"]):
                law = mixture(draws, 0, s).condition({"a": value})
                own = x[s, 1 - i if swap else i]
                mean = law.weights @ law.means
                centred = own - mean
                out += list(centred.mean(axis=0) / own.std(axis=0) * np.sqrt(20_000))
                second = law.covariances + law.means[:, :, None] * law.means[:, None, :]
                square = np.einsum("k,kab->ab", law.weights, second) - np.outer(mean, mean)
                for a, b in ((0, 0), (0, 1), (1, 1)):
                    product = centred[:, a] * centred[:, b]
                    out.append((product.mean() - square[a, b]) / product.std() * np.sqrt(20_000))
        return np.abs(out)

    assert z_values(swap=False).max() < 5.0
    assert z_values(swap=True).max() > 5.0  # planted: rows mixed up


def test_one_value_many_times(case):
    idata = case[0]
    one = diffgmm.sample_posterior_predictive(idata, condition={"a": 1.0}, random_seed=1)
    assert one["posterior_predictive"]["x"].shape == (CHAINS, DRAWS, 1, 2)
    many = diffgmm.sample_posterior_predictive(
        idata, condition={"a": 1.0, "c": 0.0}, n=5, predictions=True, random_seed=1
    )
    assert groups_of(many) == {"predictions", "predictions_constant_data"}
    assert many["predictions"]["x"].shape == (CHAINS, DRAWS, 5, 1)
    assert np.ptp(many["predictions"]["x_mean"].values, axis=2).max() == 0.0


def test_unknown_columns_of_a_table_may_be_missing(case, optional):
    pandas = optional("pandas")
    table = pandas.DataFrame({"c": [np.nan, np.nan], "b": [1.0, 2.0], "other": ["x", "y"]})
    found = diffgmm.sample_posterior_predictive(case[0], X=table, condition=["b"], random_seed=1)
    assert found["posterior_predictive"]["feature"].values.tolist() == ["a", "c"]
    only = diffgmm.sample_posterior_predictive(
        case[0], X=[[1.0], [2.0]], condition="b", random_seed=1
    )
    for name in ("x", "x_mean"):
        np.testing.assert_array_equal(
            found["posterior_predictive"][name].values, only["posterior_predictive"][name].values
        )


def test_too_many_rows_are_thinned_aloud(case, monkeypatch):
    monkeypatch.setattr(predictive, "PREDICTIVE_VALUES", CHAINS * DRAWS * N * D // 2)
    with pytest.warns(UserWarning, match="New rows are drawn for one draw of 2"):
        found = diffgmm.sample_posterior_predictive(case[0], random_seed=1)
    assert found["posterior_predictive"]["draw"].values.tolist() == list(range(0, DRAWS, 2))
    assert found["posterior_predictive"].attrs["thinning"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n must be a positive integer, got 0."),
        (
            {"condition": {"d": 1.0}},
            "condition must name features among ['a', 'b', 'c'] or numbers below 3, got 'd'.",
        ),
        (
            {"condition": {"a": 1.0, "b": 1.0, "c": 1.0}},
            "condition must name some, not all, of the features ['a', 'b', 'c'], each once, got "
            "['a', 'b', 'c'].",
        ),
        (
            {"condition": ["a"]},
            "condition names columns of X, but X is not given. Give X, or a dictionary of "
            "features and their values.",
        ),
        (
            {"condition": {"a": 1.0}, "X": np.zeros((2, 3))},
            "Give the values in condition or the columns of X, not both. With X use "
            "condition=['a'].",
        ),
        (
            {"condition": {"a": [1.0, 2.0], "b": [1.0, 2.0, 3.0]}},
            "condition must give each feature a number or one number for each row, all of the "
            "same length, got {'a': [1.0, 2.0], 'b': [1.0, 2.0, 3.0]}.",
        ),
        (
            {"condition": {"a": [1.0, 2.0]}, "n": 3},
            "n must be the number of conditioned rows, 2, or left out, got 3.",
        ),
        (
            {"condition": ["a", "b"], "X": np.zeros((4, 1))},
            "X must have all 3 columns or the known ones, ['a', 'b'], got shape (4, 1).",
        ),
    ],
)
def test_refusals(case, options, message):
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.sample_posterior_predictive(case[0], **options)
    assert str(caught.value) == message


def test_infinite_values_are_refused(case):
    with pytest.raises(InvalidDataError):
        diffgmm.sample_posterior_predictive(case[0], condition={"a": np.inf})


def test_without_rows_n_is_needed(case):
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.sample_posterior_predictive(idata_of(*case[1]))
    assert str(caught.value) == "Give n: there is no group observed_data to take it from."


# ---- log likelihood and log prior


def test_log_likelihood_is_the_mixture_log_density(case):
    idata, draws, x = case
    found = diffgmm.compute_log_likelihood(idata)
    assert found is idata
    values = idata["log_likelihood"]["x"].values
    assert idata["log_likelihood"]["x"].dims == (*S, "obs_id")
    for c, s in [(0, 0), (1, 13)]:
        np.testing.assert_allclose(values[c, s], mixture(draws, c, s).log_density(x))


def test_log_likelihood_again_and_of_new_rows(case):
    idata, draws, x = case
    diffgmm.compute_log_likelihood(idata)
    diffgmm.compute_log_likelihood(idata, x[:4] + 1.0, every=3)
    group = idata["log_likelihood"]
    assert group["x"].shape == (CHAINS, 7, 4)
    assert group["draw"].values.tolist() == list(range(0, DRAWS, 3))
    assert group.attrs["thinning"] == 3
    expected = mixture(draws, 1, 6).log_density(x[:4] + 1.0)
    np.testing.assert_allclose(group["x"].values[1, 2], expected)


def test_log_likelihood_of_sampled_draws_is_the_one_they_came_with(sampled):
    import copy

    came = sampled["log_likelihood"]["x"].values.copy()
    again = diffgmm.compute_log_likelihood(copy.deepcopy(sampled))
    np.testing.assert_allclose(again["log_likelihood"]["x"].values, came, rtol=1e-9)


def test_a_large_log_likelihood_is_thinned_aloud(case, monkeypatch):
    monkeypatch.setattr(pointwise, "POINTWISE_BYTES", 8 * CHAINS * N * DRAWS // 4)
    with pytest.warns(UserWarning, match="kept at one draw of 4"):
        found = diffgmm.compute_log_likelihood(case[0])
    assert found["log_likelihood"].sizes["draw"] == 5


def test_arviz_takes_it(case):
    if arviz_generation() == 0:
        import arviz as library
    else:
        import arviz_stats as library
    rows = GaussianMixture(*(a[0, 0] for a in case[1])).sample(30, random_seed=1)
    idata = diffgmm.compute_log_likelihood(case[0], rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pareto k of few draws
        result = library.loo(idata)
    elpd = result.elpd_loo if arviz_generation() == 0 else result.elpd
    assert np.isfinite(elpd)


def test_log_prior_of_sampled_draws_is_the_one_they_came_with(sampled):
    came = {name: v.values.copy() for name, v in sampled["log_prior"].data_vars.items()}
    assert diffgmm.compute_log_prior(sampled) is sampled
    found = sampled["log_prior"]
    assert set(found.data_vars) == set(came) == {"weights", "means", "covariances", "C0"}
    for name, values in came.items():
        np.testing.assert_allclose(found[name].values, values, rtol=1e-9)


def test_log_prior_is_that_of_the_attributes(case):
    idata, draws, _ = case
    prior = Prior(m0=np.zeros(D), B0=np.eye(D), c0=2.0, C0=np.eye(D))
    idata["posterior"].attrs["prior"] = prior.to_json()
    found = diffgmm.compute_log_prior(idata)["log_prior"]
    for name, values in prior.log_prior(*draws).items():
        np.testing.assert_allclose(found[name].values, values)


@pytest.mark.parametrize("text", [None, "flat", json.dumps({"format": "other"})])
def test_log_prior_without_a_prior(case, text):
    idata = case[0]
    if text is not None:
        idata["posterior"].attrs["prior"] = text
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.compute_log_prior(idata)
    assert str(caught.value) == (
        "The attributes of the posterior hold no diffgmm.Prior: only draws of diffgmm.sample do. "
        "Compute the log prior with the library that made the draws."
    )


def test_columns_are_found_by_their_names_in_every_table():
    """X with its columns in another order: the same rows from pandas and from xarray."""
    import pandas as pd
    import xarray as xr

    idata = two_features()
    table = pd.DataFrame({"b": [10.0, 20.0], "a": [1.0, 2.0]})
    array = xr.DataArray(table.values, dims=("row", "column"), coords={"column": ["b", "a"]})
    options = {"condition": ["a"], "random_seed": 1}
    one = diffgmm.sample_posterior_predictive(idata, X=table, **options)
    other = diffgmm.sample_posterior_predictive(idata, X=array, **options)
    for found in (one, other):
        assert found["constant_data"]["x_known"].values.ravel().tolist() == [1.0, 2.0]


def two_features(covariance=((4.0, 1.0), (1.0, 1.0)), weights=(1.0,)):
    """Return draws of one component with the features a and b."""
    from diffgmm.report.inference_data import Group, build

    variables = {
        "weights": (("chain", "draw", "cluster"), np.tile(weights, (1, 3, 1))),
        "means": (("chain", "draw", "cluster", "feature"), np.zeros((1, 3, 1, 2))),
        "covariances": (
            ("chain", "draw", "cluster", "feature", "feature_bis"),
            np.tile(covariance, (1, 3, 1, 1, 1)),
        ),
    }
    names = {"feature": ["a", "b"], "feature_bis": ["a", "b"]}
    return build({"posterior": Group(variables)}, names, {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"covariance": ((2.0, 0.0), (0.5, 0.9))}, "covariances must be symmetric positive"),
        ({"covariance": ((-1.0, 0.0), (0.0, -1.0))}, "covariances must be symmetric positive"),
        ({"weights": (0.5,)}, "The weights of every draw must not be negative and must sum to 1"),
        ({"weights": (-1.0,)}, "The weights of every draw must not be negative and must sum to 1"),
    ],
)
def test_draws_of_no_mixture_are_refused(options, message):
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.sample_posterior_predictive(two_features(**options), n=3)
    assert str(caught.value).startswith(message)
