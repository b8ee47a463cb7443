"""What `sample` returns works with the installed ArviZ: 0.x gets InferenceData, 1.x a DataTree."""

import json
import warnings

import numpy as np
import pytest

import diffgmm
from diffgmm import Prior
from diffgmm.datasets import load_faithful
from diffgmm.report.inference_data import arviz_generation

GENERATION = arviz_generation()

CHAINS, DRAWS, N, K, D = 4, 300, 272, 2, 2

SCHEMA = {
    "posterior": {
        "weights": ("chain", "draw", "cluster"),
        "means": ("chain", "draw", "cluster", "feature"),
        "covariances": ("chain", "draw", "cluster", "feature", "feature_bis"),
        "C0": ("chain", "draw", "feature", "feature_bis"),
    },
    "sample_stats": {
        "lp": ("chain", "draw"),
        "log_lik": ("chain", "draw"),
        "n_filled": ("chain", "draw"),
        "weight_entropy": ("chain", "draw"),
        "log_density_anchor": ("chain", "draw", "anchor"),
    },
    "log_prior": dict.fromkeys(("weights", "means", "covariances", "C0"), ("chain", "draw")),
    "log_likelihood": {"x": ("chain", "draw", "obs_id")},
    "posterior_predictive": {"x": ("chain", "draw", "obs_id", "feature")},
    "observed_data": {"x": ("obs_id", "feature")},
}


@pytest.fixture(scope="module")
def idata():
    """Draws of Old Faithful; no warning may come."""
    return diffgmm.sample(load_faithful(), K, draws=DRAWS, tune=300, random_seed=1, cores=2)


@pytest.fixture(scope="module")
def az():
    import matplotlib as mpl

    mpl.use("Agg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import arviz
    return arviz


def group_names(idata):
    return set(idata.children) if GENERATION == 1 else set(idata.groups())


# ---- the schema


def test_the_type_is_the_one_of_the_installed_arviz(idata):
    name = type(idata).__module__.split(".")[0], type(idata).__name__
    assert name == (("xarray", "DataTree") if GENERATION == 1 else ("arviz", "InferenceData"))


def test_groups_variables_and_dimensions(idata):
    assert group_names(idata) == set(SCHEMA)
    for group, variables in SCHEMA.items():
        assert {name: tuple(v.dims) for name, v in idata[group].data_vars.items()} == variables
        for dim in idata[group].dims:
            assert dim in idata[group].coords, (group, dim)


def test_coordinates(idata):
    posterior = idata["posterior"]
    names = list(load_faithful().feature_names)
    assert posterior["feature"].values.tolist() == names
    assert posterior["feature_bis"].values.tolist() == names
    assert posterior["cluster"].values.tolist() == [0, 1]
    assert posterior.sizes["chain"] == CHAINS
    assert posterior.sizes["draw"] == DRAWS
    assert idata["log_likelihood"].sizes["obs_id"] == N
    assert idata["sample_stats"].sizes["anchor"] == 5


def test_values_hang_together(idata):
    """Clusters by weight; lp is what it says; anchors are rows, replicates look like the data."""
    posterior, stats = idata["posterior"], idata["sample_stats"]
    weights = posterior["weights"].values
    assert weights[..., 0].mean() > weights[..., 1].mean()
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, rtol=1e-12)
    log_prior = sum(idata["log_prior"][name].values for name in idata["log_prior"].data_vars)
    np.testing.assert_allclose(stats["lp"].values, stats["log_lik"].values + log_prior, rtol=1e-12)
    pointwise = idata["log_likelihood"]["x"].values
    np.testing.assert_allclose(pointwise.sum(axis=-1), stats["log_lik"].values, rtol=1e-11)
    anchors = stats["anchor"].values
    np.testing.assert_allclose(
        pointwise[..., anchors], stats["log_density_anchor"].values, rtol=1e-9
    )
    w = weights[0, 0]
    assert stats["weight_entropy"].values[0, 0] == pytest.approx(-(w * np.log(w)).sum())
    x = np.asarray(load_faithful().data)
    np.testing.assert_array_equal(idata["observed_data"]["x"].values, x)
    replicated = idata["posterior_predictive"]["x"].values
    np.testing.assert_allclose(replicated.mean(axis=(0, 1, 2)), x.mean(axis=0), rtol=0.05)


def test_log_likelihood_is_the_mixtures(idata):
    draw = {name: idata["posterior"][name].values[2, 7] for name in ("weights", "means")}
    covariances = idata["posterior"]["covariances"].values[2, 7]
    mixture = diffgmm.GaussianMixture(draw["weights"], draw["means"], covariances)
    expected = mixture.log_density(np.asarray(load_faithful().data))
    np.testing.assert_allclose(idata["log_likelihood"]["x"].values[2, 7], expected, rtol=1e-9)


def test_attributes(idata):
    posterior = idata["posterior"].attrs
    for group in SCHEMA:
        attrs = idata[group].attrs
        assert attrs["inference_library"] == "diffgmm"
        assert attrs["inference_library_version"] == diffgmm.__version__
        assert "created_at" in attrs
    assert posterior["inference_method"] == "blocked Gibbs"
    assert posterior["tuning_steps"] == 300
    assert 0.0 < posterior["sampling_time"] < 600.0
    assert Prior.from_json(posterior["prior"]).data_scaled
    assert "the data" in posterior["prior_note"]
    assert json.loads(posterior["random_seed"]) == 1
    starts = json.loads(posterior["starts"])
    assert len(starts) == CHAINS
    assert starts[0].startswith("fit")
    assert starts[1] == "prior draw"
    assert idata.attrs["inference_library"] == "diffgmm"
    if GENERATION == 1:
        assert posterior["sample_dims"] == ["chain", "draw"]
        assert "sample_dims" not in idata["observed_data"].attrs


# ---- ArviZ at work


def test_summary_and_diagnostics(idata, az):
    table = az.summary(idata, var_names=["weights", "means"])
    assert len(table) == K + K * D
    for result in (az.rhat(idata), az.ess(idata)):
        assert np.isfinite(result["means"].values).all()
    assert float(az.rhat(idata)["weights"].max()) < 1.05


def test_loo(idata, az):
    loo = az.loo(idata)
    elpd = float(loo.elpd_loo if GENERATION == 0 else loo.elpd)
    assert elpd == pytest.approx(-1141.0, abs=5.0)  # log_lik -1136 less about 5 parameters' worth
    assert np.asarray(az.loo(idata, pointwise=True).pareto_k).shape == (N,)


def test_comparison(idata, az):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", diffgmm.errors.ConvergenceWarning)
        one = diffgmm.sample(load_faithful(), 1, draws=DRAWS, tune=100, random_seed=1)
    table = az.compare({"one": one, "two": idata})
    assert table.index[0] == "two"


def test_prior_sensitivity(idata, az):
    result = az.psens(idata) if GENERATION == 0 else az.psense(idata)
    assert np.isfinite(result["weights"].values).all()


def test_predictive_plot(idata, az):
    if GENERATION == 0:
        axes = az.plot_ppc(idata, num_pp_samples=20, random_seed=1)
        assert np.size(axes) >= 1
    else:
        assert az.plot_ppc_dist(idata, num_samples=20).viz is not None


def test_trace_and_rank_plots(idata, az):
    names = ["lp", "log_lik"]
    if GENERATION == 0:
        az.plot_trace(idata.sample_stats, var_names=names)
        az.plot_rank(idata, var_names=["weights"])
    else:
        az.plot_trace(idata, var_names=names, group="sample_stats")
        az.plot_rank(idata, var_names=["weights"])


# ---- files


def assert_same(one, other):
    assert group_names(one) == group_names(other)
    assert dict(one.attrs) == dict(other.attrs)
    for group in group_names(one):
        assert set(one[group].data_vars) == set(other[group].data_vars)
        for name in (*one[group].data_vars, *one[group].coords):
            np.testing.assert_array_equal(one[group][name].values, other[group][name].values)
        for key, value in one[group].attrs.items():
            assert np.array_equal(value, other[group].attrs[key]), (group, key)


@pytest.mark.parametrize("name", ["faithful.nc", "faithful.zarr"])
def test_files_give_everything_back(name, idata, az, tmp_path, optional):
    if name.endswith("zarr"):
        optional("zarr")
    path = tmp_path / name
    for _ in range(2):  # the second replaces the first
        diffgmm.save_inference_data(idata, path)
    back = diffgmm.load_inference_data(path)
    assert type(back) is type(idata)
    assert_same(idata, back)
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]
    assert len(az.summary(back, var_names=["weights"])) == K


def test_arvizs_own_netcdf(idata, az, tmp_path):
    path = str(tmp_path / "own.nc")
    if GENERATION == 0:
        idata.to_netcdf(path)
    else:
        idata.to_netcdf(path, engine="h5netcdf")
    assert group_names(az.from_netcdf(path)) == set(SCHEMA)


def test_files_that_are_not_ours(tmp_path, idata):
    text = tmp_path / "text.nc"
    text.write_text("no netCDF")
    with pytest.raises(diffgmm.errors.InvalidFileError, match="as netCDF"):
        diffgmm.load_inference_data(text)
    with pytest.raises(diffgmm.errors.InvalidFileError, match="No such file"):
        diffgmm.load_inference_data(tmp_path / "missing.nc")
    for name in ("missing/a.nc", "missing/a.zarr"):
        with pytest.raises(diffgmm.errors.InvalidFileError, match="the folder does not exist"):
            diffgmm.save_inference_data(idata, tmp_path / name)
    occupied = tmp_path / "photos.zarr"
    occupied.mkdir()
    (occupied / "a.jpg").write_text("keep me")
    with pytest.raises(diffgmm.errors.InvalidFileError, match="something else than a Zarr folder"):
        diffgmm.save_inference_data(idata, occupied)
    assert (occupied / "a.jpg").exists()
    with pytest.raises(diffgmm.errors.InvalidParameterError) as caught:
        diffgmm.save_inference_data("text", tmp_path / "a.nc")
    assert str(caught.value) == ("save_inference_data needs InferenceData or a DataTree, got str.")
    assert not (tmp_path / "a.nc").exists()


# ---- variants


def test_identity_and_names(az):
    import xarray

    rng = np.random.default_rng(0)
    values = rng.standard_normal((60, 2)) + 4.0 * rng.integers(0, 2, (60, 1))
    x = xarray.DataArray(
        values, dims=("row", "column"), coords={"column": ["left", "right"]}, name="spikes"
    )
    idata = diffgmm.sample(x, 2, draws=400, covariance_type="identity", random_seed=2)
    assert set(idata["posterior"].data_vars) == {"weights", "means"}
    assert idata["posterior"]["feature"].values.tolist() == ["left", "right"]
    for group in ("log_likelihood", "posterior_predictive", "observed_data"):
        assert set(idata[group].data_vars) == {"spikes"}
    assert np.isfinite(float(az.loo(idata).se))


def test_a_fixed_scale_is_not_a_parameter():
    x = load_faithful()
    prior = Prior.weakly_informative(x).replace(C0=np.diag([0.1, 20.0]))
    idata = diffgmm.sample(x, 2, draws=500, tune=200, prior=prior, random_seed=2)
    assert "C0" not in idata["posterior"].data_vars
    assert set(idata["log_prior"].data_vars) == {"weights", "means", "covariances"}


def test_without_pointwise_log_likelihood():
    idata = diffgmm.sample(
        load_faithful(), 2, draws=500, tune=200, random_seed=2, compute_log_likelihood=False
    )
    assert "log_likelihood" not in group_names(idata)


def test_a_fit_is_one_draw():
    fit = diffgmm.fit(load_faithful(), 2, random_seed=1)
    idata = fit.to_arviz()
    weights = idata["posterior"]["weights"]
    assert weights.shape == (1, 1, 2)
    np.testing.assert_array_equal(weights.values[0, 0], fit.mixture.weights)
    assert idata["posterior"].attrs["inference_method"] == "maximum likelihood"


def test_sampling_brings_no_plots_along(run_python):
    code = """
import sys, diffgmm
x = diffgmm.datasets.load_faithful()
diffgmm.sample(x, 2, draws=150, tune=100, random_seed=1)
names = ("matplotlib", "arviz_plots") if {generation} else ()
print([name for name in names if name in sys.modules])
"""
    assert run_python(code.replace("{generation}", str(GENERATION))).endswith("[]")
