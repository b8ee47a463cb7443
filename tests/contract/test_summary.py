"""What a person reads first: numbers against their definitions, planted faults, text and HTML."""

import re

import numpy as np
import pytest
import xarray

import diffgmm
from diffgmm.errors import InvalidParameterError
from diffgmm.report.inference_data import as_tree


@pytest.fixture(scope="module")
def faithful():
    x = diffgmm.datasets.load_faithful()
    return diffgmm.sample(x, 2, draws=300, tune=300, random_seed=1, progressbar=False)


@pytest.fixture(scope="module")
def found(faithful):
    return diffgmm.summary(faithful)


def test_the_numbers_are_those_of_the_draws(faithful, found):
    posterior, table = faithful["posterior"], found.table
    flat = {name: np.concatenate(posterior[name].values) for name in posterior.data_vars}
    np.testing.assert_allclose(table["weight"], flat["weights"].mean(axis=0))
    low = np.quantile(flat["weights"], 0.03, axis=0)
    np.testing.assert_allclose(table["weight_low"], low)
    np.testing.assert_allclose(table["mean_waiting"], flat["means"][:, :, 1].mean(axis=0))
    sd = np.sqrt(flat["covariances"][:, :, 0, 0])
    np.testing.assert_allclose(table["sd_eruptions"], sd.mean(axis=0))
    assert table["nearest"].tolist() == [1, 0]
    assert list(table.index) == [0, 1]


def test_size_and_entropy_are_those_of_membership(faithful, found):
    """1,000 of 1,200 draws: what all of them say, within a hundredth of a row."""
    p = diffgmm.membership(faithful).values
    np.testing.assert_allclose(found.table["size"], p.sum(axis=0), atol=0.05)
    h = -(p * np.log(np.where(p > 0.0, p, 1.0))).sum(axis=1)
    np.testing.assert_allclose(found.table["entropy"], h @ p / p.sum(axis=0), rtol=0.1)


def test_overlap_is_the_sum_of_both_probabilities(faithful, found):
    omega = diffgmm.overlap(faithful)["misclassification"].mean(("chain", "draw")).values
    np.testing.assert_allclose(found.table["overlap"], omega[0, 1] + omega[1, 0])


def test_convergence_is_arvizs(faithful, found):
    import arviz

    stats = arviz.convert_to_dataset({"lp": faithful["sample_stats"]["lp"].values})
    assert found.convergence.loc["lp", "r_hat"] == pytest.approx(float(arviz.rhat(stats)["lp"]))
    assert found.convergence.loc["lp", "ess_bulk"] == pytest.approx(float(arviz.ess(stats)["lp"]))
    assert "n_filled" not in found.convergence.index  # never changed


def test_the_text_and_the_page_say_the_same(found):
    text, page = repr(found), found._repr_html_()
    assert text.startswith("Gaussian mixture: 2 components, full covariance, 2 features, 272 rows.")
    assert "4 chains of 300 draws by blocked Gibbs." in text
    assert max(map(len, text.splitlines())) <= 110
    for word in (
        "0.64",
        "entropy (nat)",
        "eruptions",
        "elpd_loo",
        "K+ (components with rows): 2 (100 %)",
    ):
        assert word in text
        assert word in page
    assert found.advice[0] == "No problem was seen in what is shown here."
    assert re.findall(r"<table>.*?</table>", page) != []


def test_names_are_escaped():
    rng = np.random.default_rng(0)
    x = xarray.DataArray(
        rng.standard_normal((60, 1)), dims=("row", "column"), coords={"column": ["<b>&"]}
    )
    fit = diffgmm.fit(x, 1, random_seed=1)
    page = diffgmm.summary(fit)._repr_html_()
    assert "&lt;b&gt;&amp;" in page
    assert "<b>" not in page


def test_chains_that_disagree_are_named_first(faithful):
    posterior = faithful["posterior"]
    worse = {name: posterior[name].copy(deep=True) for name in ("weights", "means", "covariances")}
    worse["means"].values[2] += 3.0
    tree = xarray.DataTree.from_dict({"/posterior": xarray.Dataset(worse)})
    found = diffgmm.summary(tree, diffgmm.datasets.load_faithful())
    assert found.convergence["r_hat"].max() > 1.5
    assert re.match(
        r"R-hat of log\w+ is \d\.\d+, above 1.01: chains have not mixed", found.advice[0]
    )


def test_a_single_short_chain(faithful):
    """Of one chain R-hat says nothing, and few draws make the limit of Pareto k low."""
    few = as_tree(faithful).isel(chain=[0], draw=slice(60))
    found = diffgmm.summary(few)
    assert found.convergence["r_hat"].isna().all()
    assert re.search(r"^lp +- +\d+$", repr(found), re.MULTILINE)
    assert "nan" not in repr(found)
    assert found.elpd.good_k == pytest.approx(1.0 - 1.0 / np.log10(60))
    (said,) = (sentence for sentence in found.advice if "Pareto k" in sentence)
    assert "the limit is low because draws are few. Raise draws, then look" in said


def test_a_superfluous_component_is_noticed():
    x = np.random.default_rng(3).standard_normal((200, 2))
    with pytest.warns(diffgmm.errors.ConvergenceWarning):
        idata = diffgmm.sample(x, 3, draws=150, tune=150, random_seed=1, progressbar=False)
    advice = " ".join(diffgmm.summary(idata).advice)
    assert re.search(r"has no row in \d+ % of the draws|have one mode between them", advice)


def test_misfit_is_shown_by_scale(faithful):
    x = np.random.default_rng(5).standard_t(3, (300, 2))
    idata = diffgmm.sample(x, 1, draws=200, tune=50, random_seed=1, progressbar=False)
    assert "compute_misfit" in diffgmm.summary(idata).advice[-1]
    diffgmm.compute_misfit(idata, n_bootstrap=19, random_seed=1, progressbar=False)
    found = diffgmm.summary(idata)
    group = idata["misfit"]
    np.testing.assert_allclose(found.misfit["z_worst"], group["z"].values.max(axis=1))
    np.testing.assert_allclose(found.misfit["gain_all"], group["gain_all"].values)
    assert "Misfit by scale" in repr(found)
    assert "weight_entropy" not in found.convergence.index  # 0, but for rounding
    assert any("not Gaussian at scale" in sentence for sentence in found.advice)


def test_a_fit_has_estimates_without_intervals():
    fit = diffgmm.fit(diffgmm.datasets.load_faithful(), 2, random_seed=1)
    found = diffgmm.summary(fit)
    assert "One estimate, without uncertainty." in found.headline
    assert "[" not in repr(found)
    assert "size" not in found.table
    assert found.advice[-1].endswith("not been checked: diffgmm.check(fit, X).")
    assert "\n\n\n" not in repr(found)
    with_rows = diffgmm.summary(fit, diffgmm.datasets.load_faithful())
    assert with_rows.table["size"].sum() == pytest.approx(272)


def test_what_holds_no_mixture_is_refused():
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.summary("faithful.nc")
    assert str(caught.value) == "InferenceData, a DataTree or a MixtureFit is needed, got str."
