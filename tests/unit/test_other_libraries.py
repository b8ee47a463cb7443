"""Real runs of NumPyro, Stan and Bambi, as ArviZ converts them, by the names that these give.

benchmarks/other_libraries.py made the files. No chain was told which component is which.
"""

from pathlib import Path

import numpy as np
import pytest

import diffgmm
from diffgmm.errors import InvalidParameterError
from diffgmm.report.inference_data import as_tree, rhat_and_ess

STORED = Path(__file__).parent.parent / "stored"

NUMPYRO = {
    "weights": "w",
    "means": "mu",
    "covariances": "cov",
    "cluster_dim": ("w_dim_0", "mu_dim_0", "cov_dim_0", "root_dim_0", "sd_dim_0"),
}
# As many features as components: these dims cannot be told from those of components.
NUMPYRO_KEEPS = ("mu_dim_1", "cov_dim_1", "cov_dim_2", "root_dim_1", "root_dim_2", "sd_dim_1")
STAN = {
    "weights": "theta",
    "means": "mu",
    "scales": "sigma",
    "cluster_dim": ("theta_dim_0", "mu_dim_0", "sigma_dim_0"),
}
RUNS = {
    "numpyro": (NUMPYRO, NUMPYRO_KEEPS, ("w", "mu", "cov", "sd")),
    "stan": (STAN, (), ("theta", "mu", "sigma")),
}
runs = pytest.mark.parametrize("library", RUNS)

# The aim; the draws are thinned and all but independent.
ALIGNED_RHAT = 1.02


def load(library):
    return diffgmm.load_inference_data(STORED / f"{library}.nc")


def largest_rhat(idata, names):
    posterior = as_tree(idata)["posterior"]
    found = rhat_and_ess({name: np.asarray(posterior[name].values, dtype=float) for name in names})
    return max(float(np.max(rhat)) for rhat, _ in found.values())


@runs
def test_relabel_brings_chains_together(library):
    names, keeps, watched = RUNS[library]
    raw = load(library)
    assert largest_rhat(raw, watched) > 1.5  # chains disagree about labels
    aligned = diffgmm.relabel(raw, keep_dims=keeps, **names)
    assert largest_rhat(aligned, watched) < ALIGNED_RHAT
    # Draws are permuted and nothing else: for every variable the same numbers in each draw.
    for name in watched:
        before, after = (as_tree(tree)["posterior"][name].values for tree in (raw, aligned))
        shape = (*before.shape[:2], -1)
        np.testing.assert_array_equal(
            np.sort(before.reshape(shape), axis=2), np.sort(after.reshape(shape), axis=2)
        )


def test_a_feature_dim_that_looks_like_components_is_asked_for():
    with pytest.raises(InvalidParameterError, match="'root_dim_1' in keep_dims to leave it"):
        diffgmm.relabel(load("numpyro"), **NUMPYRO)


@runs
def test_switching_labels_are_reported(library):
    names, _, _ = RUNS[library]
    switching = diffgmm.label_switching(load(library), **names)
    assert 0.0 < float(switching["between"]) < 1.0
    assert float(switching["score"]) > 0.2


@runs
def test_the_summary_is_that_of_aligned_draws(library):
    names, keeps, _ = RUNS[library]
    idata = load(library)
    raw = diffgmm.summary(idata, draws=200, **names)
    aligned = diffgmm.summary(diffgmm.relabel(idata, keep_dims=keeps, **names), draws=200, **names)
    for text in (str(raw), str(aligned)):
        assert "weight" in text


@runs
def test_diagnostics_take_the_callers_names(library):
    names, keeps, watched = RUNS[library]
    idata = diffgmm.relabel(load(library), keep_dims=keeps, **names)
    posterior = as_tree(idata)["posterior"]
    k = posterior[watched[0]].shape[2]
    n = as_tree(idata)["observed_data"][{"numpyro": "x", "stan": "y"}[library]].shape[0]
    for report in (
        diffgmm.overlap(idata, draws=100, **names),
        diffgmm.identifiability(idata, draws=100, **names),
        diffgmm.n_modes(idata, draws=50, **names).to_dataset(),
    ):
        assert all(np.isfinite(array.values).all() for array in report.data_vars.values())
    shares = diffgmm.membership(idata, **names)
    values = shares.to_array().values if hasattr(shares, "to_array") else shares.values
    assert n in values.shape
    assert k in values.shape


@pytest.mark.parametrize(
    ("library", "variables", "features"),
    [
        ("numpyro", ("w", "mu"), ("w[0]", "mu[0, 0]", "mu[0, 1]", "mu[1, 0]", "mu[1, 1]")),
        ("stan", ("mu", "sigma"), tuple(f"{v}[{j}]" for v in ("mu", "sigma") for j in range(3))),
        ("bambi", None, None),
    ],
)
def test_the_posterior_as_a_mixture_has_its_names_and_moments(library, variables, features):
    idata = load(library)
    mixture = diffgmm.fit_posterior(
        idata, variables, n_components=range(1, 7), random_seed=1, cores=1
    )
    posterior = as_tree(idata)["posterior"]
    if features is None:
        features = tuple(posterior.data_vars)
        assert set(features) == {"Intercept", "eruptions", "sigma"}
    assert mixture.feature_names == features
    table = np.concatenate(
        [posterior[name].values.reshape(600, -1) for name in (variables or features)],
        axis=1,
    )[:, : len(features) + (library == "numpyro")]
    if library == "numpyro":
        table = np.delete(table, 1, axis=1)  # the second of two weights that sum to 1
    mean = mixture.weights @ mixture.means
    # An optimum of the likelihood has the mean of its rows, up to where the fit stops.
    np.testing.assert_allclose(mean, table.mean(axis=0), atol=0.01 * table.std(axis=0).max())
