"""`sample_prior_predictive`: groups, laws of the rows, seeds, thinning, refusals."""

import numpy as np
import pytest
from scipy import stats

import diffgmm
from diffgmm import Prior
from diffgmm.covariance import FAMILIES
from diffgmm.datasets import load_faithful
from diffgmm.errors import InvalidParameterError

# False alarms of one statistical test, over all its statistics.
FALSE_ALARM = 1e-6

DIMS = {
    "full": ("cluster", "feature", "feature_bis"),
    "tied": ("feature", "feature_bis"),
    "diag": ("cluster", "feature"),
    "spherical": ("cluster",),
}


@pytest.mark.parametrize("kind", list(FAMILIES))
def test_groups(kind):
    prior = Prior.weakly_informative(load_faithful(), 3, covariance_type=kind)
    idata = diffgmm.sample_prior_predictive(prior, 20, draws=50, random_seed=1)
    group = idata["prior"]
    names = {"weights", "means"} | ({"covariances", "C0"} if kind in DIMS else set())
    assert set(group.data_vars) == names
    assert group["means"].shape == (1, 50, 3, 2)
    if kind in DIMS:
        assert group["covariances"].dims == ("chain", "draw", *DIMS[kind])
    rows = idata["prior_predictive"]["x"]
    assert rows.dims == ("chain", "draw", "obs_id", "feature")
    assert rows.shape == (1, 50, 20, 2)
    assert np.isfinite(rows.values).all()
    assert Prior.from_json(group.attrs["prior"]).to_json() == prior.to_json()


@pytest.mark.statistical
@pytest.mark.parametrize("kind", list(FAMILIES))
def test_rows_follow_their_mixtures(kind):
    """One row of each draw through its own mixture's conditional CDF; a wrong root is caught."""
    numbers = {
        "full": {"c0": 3.0, "C0": [[1.0, 0.8], [0.8, 2.0]]},
        "tied": {"c0": 3.0, "g0": 2.0, "G0": [[1.0, 0.3], [0.3, 2.0]]},
        "diag": {"c0": 2.0, "C0": [1.0, 9.0]},
        "spherical": {"c0": 2.0, "g0": 2.0, "G0": 1.0},
        "identity": {},
    }[kind]
    prior = Prior(
        m0=[0.0, 3.0], B0=np.diag([9.0, 1.0]), n_components=3, covariance_type=kind, **numbers
    )
    idata = diffgmm.sample_prior_predictive(prior, 4, draws=5_000, random_seed=2)
    group, x = idata["prior"], idata["prior_predictive"]["x"].values[0]
    weights, means = group["weights"].values[0], group["means"].values[0]
    own = group["covariances"].values[0] if kind in DIMS else np.ones((5_000, 3))
    if kind == "tied":
        own = np.repeat(own[:, None], 3, axis=1)
    elif kind != "full":
        own = (own if kind == "diag" else own[..., None])[..., None] * np.eye(2)
    v = np.array([0.6, 0.8])

    def uniforms(covariances):
        sd = np.sqrt(np.einsum("a,skab,b->sk", v, covariances, v))
        return (weights * stats.norm.cdf(x[:, :1] @ v, means @ v, sd)).sum(axis=1)

    assert stats.kstest(uniforms(own), "uniform").pvalue > FALSE_ALARM
    assert stats.kstest(uniforms(2.0 * own), "uniform").pvalue < FALSE_ALARM


def test_seeds():
    prior = Prior.weakly_informative(load_faithful(), 2)
    runs = [
        diffgmm.sample_prior_predictive(prior, n, draws=10, random_seed=seed)
        for n, seed in ((5, 1), (5, 1), (9, 1), (5, 2))
    ]
    means = [run["prior"]["means"].values for run in runs]
    rows = [run["prior_predictive"]["x"].values for run in runs]
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(means[0], means[2])
    assert not np.array_equal(means[0], means[3])


def test_rows_are_thinned(monkeypatch):
    monkeypatch.setattr("diffgmm.report.prior_predictive.PREDICTIVE_VALUES", 30 * 2 * 10)
    prior = Prior.weakly_informative(load_faithful(), 2)
    idata = diffgmm.sample_prior_predictive(prior, 30, draws=25, random_seed=1)
    group = idata["prior_predictive"]
    assert group["draw"].values.tolist() == list(range(0, 25, 3))
    assert group.attrs["thinning"] == 3


@pytest.mark.parametrize(
    ("prior", "options", "message"),
    [
        ("vague", {}, "prior must be a diffgmm.Prior, got str."),
        (
            Prior.weakly_informative(load_faithful()).replace(concentration=2.0),
            {},
            "concentration=2 is for a known number of components; with K unknown the weights "
            "have alpha / K each. Set alpha, or dynamic=False.",
        ),
        (
            Prior.weakly_informative(load_faithful(), 2),
            {"draws": 0},
            "draws must be a positive integer, got 0.",
        ),
        (
            Prior.weakly_informative(load_faithful(), 2),
            {"n": 1.5},
            "n must be a positive integer, got 1.5.",
        ),
    ],
)
def test_refusals(prior, options, message):
    with pytest.raises(InvalidParameterError) as info:
        diffgmm.sample_prior_predictive(prior, **{"n": 5, **options})
    assert str(info.value) == message
