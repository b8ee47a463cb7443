"""Split-merge moves inside `sample`: chains that know nothing but the prior find the mode."""

import numpy as np
import pytest

import diffgmm
from diffgmm.posterior import runs, sample

# A hundred draws are too few for R-hat's limit, and chains in two modes are what one test is about.
pytestmark = pytest.mark.filterwarnings("ignore::diffgmm.errors.ConvergenceWarning")


def three_groups():
    """Return 1000 rows in the plane: groups at -20, -16 and 20, and a prior as wide as they are apart."""
    rng = np.random.default_rng(3)
    centres = np.array([-20.0, -16.0, 20.0])[rng.integers(3, size=1000)]
    x = np.column_stack([centres, np.zeros(1000)]) + rng.standard_normal((1000, 2))
    return x, diffgmm.Prior(
        m0=x.mean(axis=0),
        B0=np.diag(4.0 * x.var(axis=0)),
        c0=2.0,
        C0=np.cov(x.T) / 6.0,
    )


def log_likelihoods(x, prior, **options):
    """Return the mean log likelihood of each chain."""
    idata = diffgmm.sample(
        x, 3, prior=prior, chains=3, draws=100, tune=1000, random_seed=4, progressbar=False, **options
    )
    return idata["sample_stats"]["log_lik"].values.mean(axis=1), idata


def test_chains_from_the_prior_find_the_mode_with_moves_only(monkeypatch):
    x, prior = three_groups()
    by_fit, _ = log_likelihoods(x, prior)
    by_prior, idata = log_likelihoods(x, prior, init="prior")
    # A chain in the other mode lies 90 nats lower; within a mode a mean of 100 dependent draws has a
    # standard deviation of about 1.5.
    assert np.abs(by_prior - by_fit.max()).max() < 10.0
    assert np.isfinite(idata["sample_stats"]["split_merge_rate"].values).any()
    for module in (runs, sample):
        monkeypatch.setattr(module, "with_moves", lambda target, tune: target)
    without, idata = log_likelihoods(x, prior, init="prior")
    assert without.min() < by_fit.max() - 10.0
    assert "split_merge_rate" not in idata["sample_stats"]


def test_chains_that_disagree_get_moves():
    x, prior = three_groups()
    by_fit, idata = log_likelihoods(x, prior)
    assert np.ptp(by_fit) < 10.0
    assert "split_merge_rate" in idata["sample_stats"]


def test_chains_that_agree_have_no_moves():
    faithful = diffgmm.datasets.load_faithful()
    idata = diffgmm.sample(faithful, 2, chains=2, draws=20, random_seed=4, progressbar=False)
    assert "split_merge_rate" not in idata["sample_stats"]
