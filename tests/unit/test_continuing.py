"""`sample(continue_from=..., target_ess=...)`: more draws, the same chains, one numbering."""

import copy
import warnings

import numpy as np
import pytest
import xarray

import diffgmm
from diffgmm.covariance import family_of
from diffgmm.data import Data
from diffgmm.datasets import load_faithful
from diffgmm.errors import ConvergenceWarning, InvalidDataError, InvalidParameterError
from diffgmm.kernels.marginal_step import SteppedState
from diffgmm.posterior.runs import Settings
from diffgmm.posterior.sample import more_draws, sample_posterior
from diffgmm.report.continuing import Earlier, smallest_ess
from diffgmm.report.inference_data import as_tree

X = np.asarray(load_faithful().data)
QUICK = {"tune": 100, "chains": 3, "random_seed": 1, "progressbar": False}


def run(draws, kind="full", x=X, k=2, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return diffgmm.sample(x, k, draws=draws, covariance_type=kind, **{**QUICK, **options})


@pytest.fixture(scope="module")
def earlier():
    return run(60)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical", "identity"])
def test_the_state_is_the_last_draw(kind):
    """Without a sweep before it, the first draw of each chain is the last one of the earlier run."""
    idata = run(20, kind)
    own = Earlier.of(idata, Data.of(X), 2, family_of(kind))
    posterior = sample_posterior(
        Data.of(X),
        family_of(kind),
        own.prior,
        2,
        Settings(draws=1, tune=0, chains=3),
        np.random.SeedSequence(3),
        starts=own.starts,
    )
    stats = idata["sample_stats"]
    for name in ("lp", "log_lik", "weight_entropy"):
        np.testing.assert_allclose(
            getattr(posterior, name)[:, 0], stats[name].values[:, -1], rtol=1e-9
        )
    last = idata["posterior"]["means"].values[:, -1]
    np.testing.assert_allclose(np.sort(posterior.means[:, 0], 1), np.sort(last, 1), rtol=1e-9)


def test_earlier_draws_come_first_and_new_ones_are_new(earlier):
    longer = run(40, continue_from=earlier)
    means, old = longer["posterior"]["means"].values, earlier["posterior"]["means"].values
    assert means.shape == (3, 100, 2, 2)
    np.testing.assert_array_equal(means[:, :60], old)
    assert longer["posterior"]["draw"].values.tolist() == list(range(100))
    lp = longer["sample_stats"]["lp"].values
    assert len(np.unique(lp)) == lp.size  # neither the last draw again nor the same stream
    tree = as_tree(longer)
    for group in ("log_likelihood", "log_prior", "posterior_predictive", "sample_stats"):
        assert tree[group].sizes["draw"] == 100, group
    pointwise = longer["log_likelihood"]["x"].values.sum(axis=-1)
    np.testing.assert_allclose(pointwise, longer["sample_stats"]["log_lik"].values, rtol=1e-11)
    attrs = longer["posterior"].attrs
    assert attrs["tuning_steps"] == 100
    assert attrs["sampling_time"] > earlier["posterior"].attrs["sampling_time"]


def test_seeds_repeat_and_go_on(earlier):
    one, same = (run(30, continue_from=earlier) for _ in range(2))
    twice = run(30, continue_from=one)
    lp = twice["sample_stats"]["lp"].values
    np.testing.assert_array_equal(one["sample_stats"]["lp"], same["sample_stats"]["lp"])
    np.testing.assert_array_equal(one["sample_stats"]["lp"], lp[:, :90])
    assert len(np.unique(lp)) == lp.size


def test_labels_agree_with_those_of_the_earlier_draws(earlier):
    turned = copy.deepcopy(earlier)
    for name in ("weights", "means", "covariances"):
        values = turned["posterior"][name].values
        values[...] = values[:, :, ::-1].copy()
    weights = run(40, continue_from=turned)["posterior"]["weights"].values
    assert weights[..., 0].min() > weights[..., 1].max()


def test_prior_and_weights_are_those_of_the_earlier_draws():
    weights = np.random.default_rng(0).uniform(0.5, 1.5, len(X))
    prior = diffgmm.Prior.weakly_informative(X).replace(c0=4.0)
    first = run(30, prior=prior, sample_weight=weights)
    longer = run(30, continue_from=first)
    assert longer["posterior"].attrs["prior"] == prior.to_json()
    assert longer["sample_stats"]["acceptance_rate"].shape == (3, 60)
    np.testing.assert_array_equal(longer["constant_data"]["sample_weight"].values, weights)
    with pytest.raises(InvalidParameterError, match=r"^continue_from has a prior and a sample_wei"):
        run(30, continue_from=first, sample_weight=np.ones(len(X)))
    with pytest.raises(InvalidParameterError, match=r"^continue_from has a prior and a sample_wei"):
        run(30, continue_from=first, prior=prior.replace(c0=5.0))


def test_what_cannot_be_continued(earlier):
    with pytest.raises(InvalidParameterError) as caught:
        run(30, k=3, continue_from=earlier)
    assert str(caught.value) == (
        "continue_from has n_components=2 and covariance_type='full', but 3 and 'full' were asked "
        "for. Ask for the same."
    )
    with pytest.raises(InvalidDataError, match=r"^X must be the rows that continue_from was"):
        run(30, x=X[1:], continue_from=earlier)
    refits = diffgmm.sample(X, 2, method="bootstrap", draws=2, chains=1, random_seed=1)
    with pytest.raises(InvalidParameterError, match=r"^continue_from must be draws of diffgmm\."):
        run(30, continue_from=refits)


def test_sampling_stops_when_draws_are_enough():
    """250 draws of each chain are looked at first, then 500."""
    few, some = (run(5_000, target_ess=target) for target in (50, 1_500))
    assert few["posterior"].sizes["draw"] == 250
    assert smallest_ess(few) >= 50
    assert some["posterior"].sizes["draw"] in (500, 1_000)
    assert smallest_ess(some) >= 1_500
    np.testing.assert_array_equal(
        some["sample_stats"]["lp"].values[:, :250], few["sample_stats"]["lp"].values
    )


def test_draws_are_the_most_there_are():
    assert run(300, target_ess=1e6)["posterior"].sizes["draw"] == 300


@pytest.mark.parametrize("value", [0, -1.0, "many", True, float("nan")])
def test_the_target_is_checked(value):
    with pytest.raises(InvalidParameterError) as caught:
        run(10, target_ess=value)
    assert str(caught.value) == f"target_ess must be a positive number or None, got {value!r}."


def test_rounding_has_no_effective_sample_size(rng):
    """The entropy of one component's weight is 0, but for rounding, and may be so for long."""
    dims = ("chain", "draw")
    lp = rng.standard_normal((2, 200))
    rounding = np.repeat([0.0, 1e-16, 0.0, 1e-16], 50) * np.ones((2, 1))
    whole = {"lp": (dims, lp), "weight_entropy": (dims, rounding)}
    tree = xarray.DataTree.from_dict({"/sample_stats": xarray.Dataset(whole)})
    alone = xarray.DataTree.from_dict({"/sample_stats": xarray.Dataset({"lp": (dims, lp)})})
    assert smallest_ess(tree) == smallest_ess(alone) > 100.0


def test_another_start_is_refused(earlier):
    with pytest.raises(InvalidParameterError) as caught:
        run(10, continue_from=earlier, init="prior")
    assert str(caught.value) == (
        "continue_from does not go with init='prior': its chains go on from their last states. "
        "Leave one of them out."
    )


def test_log_likelihoods_of_a_part_of_the_draws_are_not_kept(earlier):
    longer = as_tree(run(10, continue_from=earlier, compute_log_likelihood=False))
    assert longer["posterior"].sizes["draw"] == 70
    assert "log_likelihood" not in longer.children


def test_ctrl_c_in_a_later_batch_keeps_the_batches_before(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("diffgmm.report.sample.more_draws", interrupted)
    with pytest.warns(UserWarning, match=r"^Sampling was interrupted: 250 draws per chain are ret"):
        idata = run(5_000, target_ess=1e6)
    assert idata["posterior"].sizes["draw"] == 250
    assert idata["posterior"].attrs["interrupted"] == 1
    monkeypatch.setattr("diffgmm.report.sample.sample_posterior", interrupted)
    with pytest.raises(KeyboardInterrupt):  # what came before is still the caller's
        run(10, continue_from=idata)


def test_a_stopping_rule_has_the_draws_of_one_run():
    """Batches are one chain in pieces: for a seed, the draws of a run without a stopping rule."""
    whole, pieces = run(500, tune=300), run(500, tune=300, target_ess=1e6)
    for name in ("lp", "n_filled"):
        stats = (idata["sample_stats"][name].values for idata in (whole, pieces))
        np.testing.assert_array_equal(*stats)


def overlapping():
    """Two components 2.5 deviations apart: sweeps alone mix slowly."""
    rng = np.random.default_rng(5)
    return np.append(rng.normal(0.0, 1.0, 150), rng.normal(2.5, 1.0, 150))[:, None]


def test_chains_that_go_on_keep_or_find_their_steps():
    x = overlapping()
    data, family = Data.of(x), family_of("spherical")
    settings = Settings(draws=200, tune=400, chains=2, compute_log_likelihood=False)
    sequence = np.random.SeedSequence(1)
    prior = diffgmm.Prior.weakly_informative(x, covariance_type="spherical")
    first = sample_posterior(data, family, prior, 2, settings, sequence)
    assert all(isinstance(chain.state, SteppedState) for chain in first.run.chains)
    more = more_draws(first, settings)
    assert all(isinstance(chain.state, SteppedState) for chain in more.run.chains)
    idata = run(200, "spherical", x, tune=400)
    earlier = Earlier.of(idata, data, 2, family)
    own = earlier.settings(Settings(draws=600, tune=400, compute_log_likelihood=False))
    again = sample_posterior(data, family, earlier.prior, 2, own, sequence, None, earlier.starts)
    assert all(isinstance(chain.state, SteppedState) for chain in again.run.chains)


def test_chains_that_go_on_keep_their_moves():
    idata = run(100, init="prior")
    rates = run(100, continue_from=idata)["sample_stats"]["split_merge_rate"].values
    assert np.isfinite(rates[:, :100]).any()
    assert np.isfinite(rates[:, 100:]).any()


def test_moves_of_one_run_only_are_nan_in_the_other():
    with_moves, without = run(40, init="prior"), run(40)
    stats = "sample_stats"
    for first, second, rates in ((without, with_moves, slice(40)), (with_moves, without, slice(40, 80))):
        own = Earlier.of(first, Data.of(X), 2, family_of("full"))
        joined = own.followed_by(second)[stats]["split_merge_rate"].values
        assert joined.shape == (3, 80)
        assert np.isnan(joined[:, rates]).all()
