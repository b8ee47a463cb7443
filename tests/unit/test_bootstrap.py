"""`sample(method="bootstrap")`: its groups, its labels, what it says about itself, refusals."""

import json

import numpy as np
import pytest

import diffgmm
from diffgmm._seeding import child_sequence
from diffgmm.data import Data
from diffgmm.datasets import load_faithful
from diffgmm.errors import InvalidParameterError
from diffgmm.learn.refit import refit
from diffgmm.report.inference_data import as_tree

QUICK = {"method": "bootstrap", "draws": 5, "chains": 3, "random_seed": 1, "progressbar": False}

METHODS = {
    "dirichlet": "weighted likelihood bootstrap",
    "multinomial": "nonparametric bootstrap",
    "diffusion": "parametric bootstrap",
}


@pytest.mark.parametrize("bootstrap", METHODS)
def test_groups_and_what_the_draws_are(bootstrap):
    idata = diffgmm.sample(load_faithful(), 2, bootstrap=bootstrap, **QUICK)
    tree = as_tree(idata)
    groups = {"posterior", "sample_stats", "posterior_predictive", "observed_data"}
    assert set(tree.children) == groups | ({"bootstrap"} if bootstrap == "multinomial" else set())
    assert tree["posterior"]["means"].dims == ("chain", "draw", "cluster", "feature")
    assert tree["posterior"]["means"].shape == (3, 5, 2, 2)
    assert tree["posterior_predictive"]["x"].shape == (3, 5, 272, 2)
    attrs = tree["posterior"].attrs
    assert attrs["inference_method"] == METHODS[bootstrap]
    assert attrs["sample_type"] == "independent"
    assert attrs["note"].endswith(
        "each started from the fit; not draws of a posterior under a prior, and R-hat of them is 1 "
        "by construction"
    )
    weights = tree["posterior"]["weights"].values
    assert weights[..., 0].min() > weights[..., 1].max()  # aligned, by decreasing weight
    assert len(np.unique(weights[..., 0])) == 15
    log_lik = tree["sample_stats"]["log_lik"].values[2, 4]
    parts = [tree["posterior"][name].values[2, 4] for name in ("weights", "means", "covariances")]
    expected = diffgmm.GaussianMixture(*parts).log_density(load_faithful().data).sum()
    assert log_lik == pytest.approx(expected, rel=1e-9)


def test_the_counts_are_those_of_the_refits():
    """Refitted to its own counts, a draw comes back; to those of another draw it does not."""
    x = np.asarray(load_faithful().data)
    idata = diffgmm.sample(x, 2, bootstrap="multinomial", **QUICK)
    counts, means = idata["bootstrap"]["counts"].values, idata["posterior"]["means"].values
    assert counts.sum(axis=2).tolist() == [[272] * 5] * 3
    start = diffgmm.fit(x, 2, random_seed=child_sequence(np.random.SeedSequence(1), 0))
    own = refit(start, Data.of(x), counts[2, 3].astype(float)).mixture.means
    np.testing.assert_allclose(own, means[2, 3], rtol=1e-12)
    assert not np.allclose(own, means[2, 2], rtol=1e-3)


def test_a_seed_repeats_the_draws_on_any_cores():
    x = load_faithful()
    one = diffgmm.sample(x, 2, cores=1, **QUICK)
    two = diffgmm.sample(x, 2, cores=2, **QUICK)
    for group, name in (("posterior", "means"), ("posterior_predictive", "x")):
        np.testing.assert_array_equal(one[group][name].values, two[group][name].values)
    # The seed of the refits, a child of the caller's.
    assert json.loads(one["posterior"].attrs["random_seed"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"bootstrap": "jackknife"},
            "bootstrap must be one of 'dirichlet', 'multinomial', 'diffusion', got 'jackknife'.",
        ),
        (
            {"n_components": None},
            "n_components must be given with method='bootstrap': a number that the fit chose would "
            "hide its own uncertainty.",
        ),
        (
            {"prior": "flat"},
            "prior has no part in method='bootstrap', whose draws are maximum likelihood refits. "
            "Leave it out, or use method='gibbs'.",
        ),
        ({"method": "nuts"}, "method must be 'gibbs', 'diffusion', 'bootstrap' or None, got 'nuts'."),
        ({"draws": 0}, "draws must be a positive integer, got 0."),
        ({"chains": True}, "chains must be a positive integer, got True."),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.sample(load_faithful(), **{"n_components": 2, **QUICK, **arguments})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"init": "prior"}, "init='prior'"),
        ({"target_ess": 100}, "target_ess"),
        ({"continue_from": "anything"}, "continue_from"),
    ],
)
def test_what_is_for_chains_is_refused(given, name):
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.sample(load_faithful(), 2, **QUICK, **given)
    assert str(caught.value) == (
        f"method='bootstrap' does not go with {name}. Use method='gibbs', or leave it out."
    )


def test_a_kind_is_for_the_bootstrap_alone():
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.sample(load_faithful(), 2, bootstrap="multinomial")
    assert str(caught.value) == (
        "bootstrap='multinomial' has no part in method='gibbs'. Use method='bootstrap', or leave it "
        "out."
    )
    with pytest.raises(InvalidParameterError, match=r"^bootstrap must be one of 'dirichlet', "):
        diffgmm.sample(load_faithful(), 2, bootstrap="rows")
