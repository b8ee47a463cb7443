"""Row weights in the posterior: whole ones are repeated rows, parts of a row make the whole."""

import numpy as np
import pytest
from scipy import stats

from diffgmm import Prior
from diffgmm.covariance import family_of
from diffgmm.data import Data
from diffgmm.posterior import row_weights
from diffgmm.posterior.sample import Settings, sample_posterior

pytestmark = pytest.mark.statistical

# False alarms of one test, over all its statistics.
FALSE_ALARM = 1e-3

SETTINGS = Settings(draws=4_000, tune=500, chains=4, cores=2, compute_log_likelihood=False)

# Batches per chain for standard errors.
N_BATCHES = 20


def rows(n=60):
    rng = np.random.default_rng(4)
    return np.r_[rng.normal(-1.5, 1.0, (n // 2, 2)), rng.normal(1.5, 0.6, (n // 2, 2))]


def draws(x, weights, seed, kind):
    """Return label-free quantities of draws, under one prior for all data sets."""
    prior = Prior.weakly_informative(rows(), covariance_type=kind)
    return sample_posterior(
        Data.of(x), family_of(kind), prior, 2, SETTINGS, np.random.SeedSequence(seed), weights
    )


def largest_z(one, other):
    """Return the largest |z| of differences of means, as a share of its limit."""
    scores = []
    for name in ("lp", "log_lik", "weight_entropy"):
        means = [getattr(run, name).reshape(4 * N_BATCHES, -1).mean(axis=1) for run in (one, other)]
        error = np.sqrt(sum(batches.var(ddof=1) for batches in means) / (4 * N_BATCHES))
        scores.append(abs(means[0].mean() - means[1].mean()) / error)
    return max(scores) / stats.t(4 * N_BATCHES - 1).isf(FALSE_ALARM / (2 * len(scores)))


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_whole_weights_are_repeated_rows(kind):
    x, weights = rows(), np.random.default_rng(1).integers(0, 20, 60).astype(float)
    repeated = draws(np.repeat(x, weights.astype(int), axis=0), None, 1, kind)
    weighted = draws(x, weights, 2, kind)
    assert weighted.acceptance_rate is None
    assert largest_z(repeated, weighted) < 1.0
    # The fault: one row of 60 counts once less.
    weights[np.argmax(weights)] -= 1.0
    assert largest_z(repeated, draws(x, weights, 2, kind)) > 1.0


def parts_of_rows():
    """Return rows twice, each with a part of its weight of 1."""
    part = np.random.default_rng(2).uniform(0.0, 1.0, 60)
    return np.tile(rows(), (2, 1)), np.r_[part, 1.0 - part]


@pytest.fixture
def shuffled(monkeypatch):
    """Round in a random order: in that of neighbours the parts of a row would cancel."""
    order = np.random.default_rng(3).permutation
    monkeypatch.setattr(row_weights, "neighbours", lambda rows: order(len(rows)))


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical", "identity"])
def test_parts_of_a_row_are_the_row(kind, shuffled):
    x, weights = parts_of_rows()
    run = draws(x, weights, 2, kind)
    assert 0.1 < run.acceptance_rate.mean() < 0.9
    assert largest_z(draws(rows(), None, 1, kind), run) < 1.0


def test_rounding_without_metropolis_is_caught():
    """The fault: copies are taken for weights."""
    x, weights = parts_of_rows()
    copies = np.floor(weights + np.random.default_rng(5).random(120))
    assert largest_z(draws(rows(), None, 1, "full"), draws(x, copies, 2, "full")) > 1.0
