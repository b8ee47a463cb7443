"""`sample(sample_weight=...)`: what is kept, how it is scored, refusals and warnings."""

import copy
import warnings

import numpy as np
import pytest

import diffgmm
from diffgmm.datasets import load_faithful
from diffgmm.errors import ConvergenceWarning, InvalidParameterError
from diffgmm.report import loo
from diffgmm.report.convergence import warn_unless_moving
from diffgmm.report.draws import posterior_group, read_mixtures
from diffgmm.report.elpd import ELPD, POINTWISE, entry
from diffgmm.report.inference_data import arviz_statistics, as_tree, psis_log_weights

X = np.asarray(load_faithful().data)[::4]
QUICK = {"draws": 500, "tune": 200, "chains": 2, "random_seed": 1, "progressbar": False}


def run(weights, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return diffgmm.sample(X, 2, sample_weight=weights, **{**QUICK, **options})


@pytest.fixture(scope="module")
def fractional():
    weights = np.random.default_rng(0).uniform(0.2, 1.8, len(X))
    return run(weights), weights


def test_densities_are_multiplied_by_weights(fractional):
    """In log_likelihood, its sum log_lik, lp, and what is computed on demand."""
    idata, weights = fractional
    np.testing.assert_array_equal(idata["constant_data"]["sample_weight"].values, weights)
    pointwise = idata["log_likelihood"]["x"].values
    parts = [idata["posterior"][n].values[1, 7] for n in ("weights", "means", "covariances")]
    expected = weights * diffgmm.GaussianMixture(*parts).log_density(X)
    np.testing.assert_allclose(pointwise[1, 7], expected, rtol=1e-9)
    stats = idata["sample_stats"]
    np.testing.assert_allclose(pointwise.sum(axis=-1), stats["log_lik"].values, rtol=1e-11)
    again = diffgmm.compute_log_likelihood(copy.deepcopy(idata))["log_likelihood"]["x"].values
    np.testing.assert_allclose(again, pointwise, rtol=1e-9)
    rates = stats["acceptance_rate"].values
    assert rates.shape == (2, 500)
    assert rates.min() >= 0.0
    assert 0.3 < rates.mean() < 1.0


def test_loo_leaves_out_all_copies_of_a_row(fractional):
    idata, _ = fractional
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = diffgmm.loo(idata, progressbar=False)
        # Rejected sweeps repeat draws: by rounding alone such ties leave the tail or enter it.
        same = diffgmm.compute_log_likelihood(copy.deepcopy(idata))
        whole = arviz_statistics().loo(same, pointwise=True)
    assert entry(own, ELPD) == pytest.approx(entry(whole, ELPD), rel=1e-9)


def test_whole_weights_need_no_metropolis_and_zero_is_no_row():
    weights = np.r_[np.zeros(8), np.full(len(X) - 8, 2.0)]
    idata = run(weights)
    assert "acceptance_rate" not in idata["sample_stats"].data_vars
    pointwise = idata["log_likelihood"]["x"].values
    assert not pointwise[..., :8].any()
    assert np.all(pointwise[..., 8:] != 0.0)


def test_threads_and_batches_change_nothing(fractional, monkeypatch):
    from diffgmm.posterior import gibbs

    idata, weights = fractional
    monkeypatch.setattr(gibbs, "BATCH_SECONDS", 1e-9)
    again = run(weights, cores=1)
    for group, name in (("posterior", "means"), ("sample_stats", "acceptance_rate")):
        np.testing.assert_array_equal(again[group][name].values, idata[group][name].values)


def test_a_row_is_left_out_with_its_weight(fractional):
    """An easy row of large weight, for which PSIS is right; without its weight it is nats away."""
    idata, weights = fractional
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = diffgmm.loo(idata, progressbar=False)
    pareto_k, scores = before["pareto_k"].values, entry(before, POINTWISE).values
    row = int(np.argmin(np.where(weights > 1.5, pareto_k, np.inf)))
    posterior, group = read_mixtures(idata), posterior_group(as_tree(idata))
    refit = {"draws": 500, "tune": 200, "chains": 2, "cores": 2}
    exact = loo._without(
        posterior, group, loo._prior_of(group), row, np.random.SeedSequence(1), refit
    )
    assert exact == pytest.approx(scores[row], abs=0.2)
    assert abs(scores[row] / weights[row] - exact) > 1.0


def test_few_accepted_moves_are_said():
    warn_unless_moving(None)
    warn_unless_moving(np.full((2, 3), 0.2))
    message = (
        r"^Fractional weights of rows let only 5\.0% of moves be accepted\. Raise draws, round the "
        r"weights to integers, or use fewer components\.$"
    )
    with pytest.warns(ConvergenceWarning, match=message):
        warn_unless_moving(np.full((2, 3), 0.05))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), "sample_weight must have one number for each of 68 rows, got shape (3,)."),
        (-np.ones(68), "sample_weight must be finite, not negative and not all zero."),
    ],
)
def test_weights_are_checked(weights, message):
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.sample(X, 2, sample_weight=weights)
    assert str(caught.value) == message


def test_sizes_and_rows_left_out_count_copies(fractional):
    idata, weights = fractional
    table = diffgmm.summary(idata).table
    p = diffgmm.membership(idata).values
    np.testing.assert_allclose(table["size"], weights @ p, rtol=1e-9)
    entropy = -(p * np.log(np.where(p > 0.0, p, 1.0))).sum(axis=1)
    np.testing.assert_allclose(table["entropy"], (weights * entropy) @ p / (weights @ p), rtol=1e-9)
    pointwise = np.concatenate(idata["log_likelihood"]["x"].values)  # weighted
    np.testing.assert_allclose(
        diffgmm.loo_pit(idata)["pareto_k"], psis_log_weights(pointwise)[1], rtol=1e-6
    )
