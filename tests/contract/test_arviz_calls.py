"""Every call of the page on ArviZ, on real results; the page says what this test finds."""

import warnings
from pathlib import Path

import arviz_calls
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import diffgmm
from diffgmm.errors import InvalidParameterError
from diffgmm.report.inference_data import arviz_generation

mpl.use("agg")

PAGE = Path(__file__).parents[2] / "tutorials" / "arviz.md"
GENERATION = arviz_generation()


@pytest.fixture(scope="module")
def az():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import arviz
    return arviz


def test_the_page_says_what_the_calls_do(az, tmp_path, optional):
    optional("zarr")
    found = arviz_calls.results(az, tmp_path, GENERATION)
    text = PAGE.read_text("utf-8")
    written = arviz_calls.read_page(text)
    assert written[str(GENERATION)] == found, "run python tutorials/make_arviz_table.py"
    assert arviz_calls.page(written) == text
    assert set(written) == {"0", "1"}
    assert all(set(own) == set(found) for own in written.values())


def test_what_is_said_to_be_absent_is(az):
    for name in arviz_calls.ABSENT[GENERATION]:
        if name.startswith("az."):
            assert not hasattr(az, name.removeprefix("az.")), name


@pytest.mark.parametrize("family", ["tied", "diag", "spherical", "identity"])
def test_every_family_works_with_arviz(family, az):
    x = np.asarray(diffgmm.datasets.load_faithful().data)
    x = (x - x.mean(axis=0)) / x.std(axis=0) * 3.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        idata = diffgmm.sample(
            x, 2, draws=100, tune=100, covariance_type=family, random_seed=1, progressbar=False
        )
        assert np.isfinite(az.summary(idata)["mean"].astype(float)).all()
        assert np.isfinite(float(az.loo(idata).se))
        sensitivity = az.psens if GENERATION == 0 else az.psense
        assert sensitivity(idata) is not None
        az.plot_forest(idata, var_names=["weights", "means"])
    text = repr(diffgmm.summary(idata))
    assert f"2 components, {family} covariance" in text
    plt.close("all")


@pytest.mark.parametrize(
    ("k", "settings"),
    [
        (2, {"method": "diffusion"}),
        (2, {"method": "bootstrap"}),
        (None, {"draws": 500}),
        (2, {"sample_weight": np.tile([1.0, 2.0], 136)}),
    ],
    ids=["diffusion", "bootstrap", "unknown K", "row weights"],
)
def test_every_method_works_with_arviz(k, settings, az):
    x = diffgmm.datasets.load_faithful()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        common = {"draws": 60, "tune": 60, "random_seed": 1, "progressbar": False}
        idata = diffgmm.sample(x, k, **(common | settings))
        if k is None:
            assert az.summary(idata, var_names=["n_components"])["mean"].notna().all()
            idata = diffgmm.condition_on_k(idata)
        assert az.summary(idata, var_names=["weights", "means"])["mean"].notna().all()
        if "log_likelihood" in idata:
            assert np.isfinite(float(az.loo(idata).se))
        if "log_prior" in idata:
            assert (az.psens if GENERATION == 0 else az.psense)(idata) is not None
        if GENERATION == 0:
            az.plot_ppc(idata, num_pp_samples=10, random_seed=1)
        else:
            az.plot_ppc_dist(idata, num_samples=10)
    plt.close("all")


def test_refits_work_with_arviz(az):
    x = diffgmm.datasets.load_faithful()
    fit = diffgmm.fit(x, 2, random_seed=1)
    idata = fit.to_arviz(x, draws=40, random_seed=1, progressbar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(az.summary(idata, var_names=["means"])) == 4
        az.plot_forest(idata, var_names=["weights"])
        if GENERATION == 0:
            az.plot_ppc(idata, num_pp_samples=10, random_seed=1)
        else:
            az.plot_ppc_dist(idata, num_samples=10)
    found = diffgmm.summary(idata)
    assert found.convergence.empty
    assert found.advice[0].startswith("Draws are independent refits")
    plt.close("all")


def test_a_feature_view_holds_the_same_rows():
    x = diffgmm.datasets.load_faithful()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        idata = diffgmm.sample(x, 2, draws=30, tune=50, random_seed=1, progressbar=False)
    view = diffgmm.feature_view(idata)
    np.testing.assert_array_equal(
        view["observed_data"]["x_waiting"].values, np.asarray(x.data)[:, 1]
    )
    whole = idata["posterior_predictive"]["x"].values
    np.testing.assert_array_equal(view["posterior_predictive"]["x_eruptions"].values, whole[..., 0])
    np.testing.assert_array_equal(
        view["log_likelihood"]["x_waiting"].values, idata["log_likelihood"]["x"].values
    )
    assert set(idata["log_likelihood"].data_vars) == {"x"}  # what was given stays
    with pytest.raises(InvalidParameterError, match="compute_log_likelihood first"):
        diffgmm.feature_view(diffgmm.fit(x, 2, random_seed=1).to_arviz())
