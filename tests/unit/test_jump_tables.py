"""Jumps: when chains get them, and that draws with them depend on the seed alone."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import diffgmm
from diffgmm._seeding import seed_sequence
from diffgmm.covariance import FAMILIES
from diffgmm.data import Data
from diffgmm.posterior import jumps, warm_up
from diffgmm.posterior.gibbs import Target
from diffgmm.posterior.moves import with_moves
from diffgmm.posterior.sample import Settings, sample_posterior


@pytest.fixture
def short(monkeypatch):
    """Make the search for modes short, and let all chains need it."""
    sizes = {"STAGES": {"all": (2, 2)}, "ANNEALED": 20, "SETTLED": 20, "STRETCHES": 2}
    for name, size in sizes.items():
        monkeypatch.setattr(jumps, name, size)
    monkeypatch.setattr(jumps, "are_apart", lambda chains: True)


def test_chains_in_modes_of_their_own_are_apart(rng):
    """Means a standard deviation apart, after the first third of the draws. A single chain is not."""
    series = rng.standard_normal((3, 300))
    chains = [SimpleNamespace(draws=SimpleNamespace(log_likelihood=own)) for own in series]
    series[1, :100] += 10.0
    assert not jumps.are_apart(chains)
    series[1, 100:] += 1.0
    assert jumps.are_apart(chains)
    assert not jumps.are_apart(chains[:1])


def target_for(values, k):
    """Return the posterior of K full components under the default prior, with moves."""
    prior = diffgmm.Prior.weakly_informative(values)
    return with_moves(Target.of(Data.of(values), FAMILIES["full"], prior, k), 400)


def draws_of(values, k, cores, tune=1000):
    """Return the draws of two chains from the prior."""
    own = Settings(draws=60, tune=tune, chains=2, cores=cores, init="prior")
    target = target_for(values, k)
    return sample_posterior(target.data, target.family, target.prior, k, own, seed_sequence(3))


def test_few_rows_may_jump():
    """Where components have few rows, and all of it takes neither minutes nor gigabytes."""
    values = np.random.default_rng(0).standard_normal((400, 4))
    assert jumps.may_jump(target_for(values[:60], 3))
    assert not jumps.may_jump(target_for(values, 3))  # many
    assert not jumps.may_jump(replace(target_for(values[:60], 3), moves=None))
    wide = np.random.default_rng(0).standard_normal((100, 40))
    assert not jumps.may_jump(target_for(wide, 3))
    assert not jumps.may_jump(target_for(np.arange(1_000.0)[:, None], 100))  # tables too large


@pytest.mark.usefixtures("compiled", "short")
def test_draws_do_not_depend_on_cores():
    """With jumps as without."""
    values = np.random.default_rng(1).standard_normal((40, 2))
    one, two = draws_of(values, 3, 1), draws_of(values, 3, 2)
    assert one.log_lik.shape == (2, 60)
    np.testing.assert_array_equal(one.log_lik, two.log_lik)
    np.testing.assert_array_equal(one.means, two.means)


@pytest.mark.usefixtures("compiled")
@pytest.mark.filterwarnings("ignore::diffgmm.errors.ConvergenceWarning")
@pytest.mark.parametrize(
    ("n_rows", "margin", "n_asked"),
    [(60, np.inf, [3 + 2, 3 + 2]), (60, -np.inf, [3, 3]), (61, np.inf, [3])],
)
def test_with_few_rows_rivals_are_asked_too(monkeypatch, n_rows, margin, n_asked):
    """First whether chains need moves, then jumps; those that did not take over.

    Of three chains the second starts from the prior and has no rival.
    """
    seen = []
    monkeypatch.setattr(warm_up, "disagree", lambda chains: seen.append(len(chains)) or True)
    monkeypatch.setattr(jumps, "are_apart", lambda chains: seen.append(len(chains)) or False)
    monkeypatch.setattr(warm_up, "MARGIN", margin)
    values = np.random.default_rng(1).standard_normal((n_rows, 2))
    diffgmm.sample(values, 3, draws=5, tune=400, chains=3, random_seed=1, progressbar=False)
    assert seen == n_asked


@pytest.mark.usefixtures("compiled", "short")
@pytest.mark.filterwarnings("ignore::diffgmm.errors.ConvergenceWarning")
def test_sample_stats_have_the_rate_of_jumps(monkeypatch):
    """Only where there are jumps; draws without are NaN where others have it."""
    values = np.random.default_rng(1).standard_normal((40, 2))

    def run(**options):
        quick = {"draws": 20, "chains": 2, "init": "prior", "random_seed": 3, "progressbar": False}
        return diffgmm.sample(values, 3, **quick | options)

    idata = run()
    rate = idata["sample_stats"]["jump_rate"].values
    assert rate.shape == (2, 20)
    assert (rate >= 0.0).all()
    assert (rate <= 1.0).all()
    assert rate.max() > 0.0
    monkeypatch.setattr(jumps, "are_apart", lambda chains: False)
    assert "jump_rate" not in run()["sample_stats"]
    more = diffgmm.sample(values, 3, draws=20, continue_from=idata, progressbar=False)
    joined = more["sample_stats"]["jump_rate"].values
    np.testing.assert_array_equal(joined[:, :20], rate)
    assert np.isnan(joined[:, 20:]).all()


@pytest.mark.usefixtures("compiled")
def test_chains_that_agree_have_no_jumps(monkeypatch):
    """Neither runs nor tables are made."""
    monkeypatch.setattr(jumps, "are_apart", lambda chains: False)
    monkeypatch.setattr(jumps, "find_jumps", None)
    values = np.random.default_rng(1).standard_normal((40, 2))
    assert draws_of(values, 3, 1).log_lik.shape == (2, 60)


@pytest.mark.usefixtures("compiled", "short")
@pytest.mark.parametrize(("apart", "n_walkers"), [(False, 1 + 2), (True, 1 + 2 + 3)])
def test_more_modes_are_looked_for_where_walkers_are_apart(monkeypatch, apart, n_walkers):
    """They are asked for the first time after the first stage."""
    seen = []
    monkeypatch.setattr(jumps, "STAGES", {"first": (2, 1), "then": (3, 1)})
    monkeypatch.setattr(
        jumps, "are_apart", lambda chains: seen.append(len(chains)) or len(seen) == 1 or apart
    )
    values = np.random.default_rng(1).standard_normal((40, 2))
    draws_of(values, 3, 1)
    assert seen[:2] == [2, 2 * (1 + 2)]
    assert seen[-1] == 2 * n_walkers


@pytest.mark.usefixtures("compiled", "short")
def test_tables_are_probabilities(monkeypatch):
    """Of every row over the clusters, and as many tables as stretches."""
    seen = []
    find = jumps.find_jumps
    monkeypatch.setattr(jumps, "find_jumps", lambda *given: seen.append(find(*given)) or seen[-1])
    values = np.random.default_rng(1).standard_normal((40, 2))
    draws_of(values, 3, 1)
    targets, states, _ = seen[0]
    assert len(targets) == len(states) == 2
    for one in targets:
        tables = one.jumps.tables
        # three of the watched chain, one of each run, two of each walker after each of two makings
        assert tables.log_shares.shape == (40, 3, 3 + 2 + 2 * (1 + 2) * 2)
        np.testing.assert_allclose(np.exp(tables.log_shares).sum(axis=1), 1.0, rtol=1e-6)
        assert tables.log_shares.min() >= np.log(jumps.ANYWHERE / 4)


@pytest.mark.parametrize(("rates", "n_tries"), [((0.5, 0.9), 2), ((0.01, 0.9), 60), ((0.0, 1.0), 60)])
def test_as_many_proposals_as_one_needs_to_be_taken(rates, n_tries):
    """By the walker of which the fewest are."""
    group = jumps._Group.__new__(jumps._Group)
    group.walkers = [
        SimpleNamespace(draws=SimpleNamespace(jumps=np.array([np.nan, rate]))) for rate in rates
    ]
    assert group.tries() == n_tries
