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
    sizes = {"RUNS": 2, "ANNEALED": 20, "SETTLED": 20, "STRETCHES": 2, "MAKINGS": 2}
    for name, size in sizes.items():
        monkeypatch.setattr(jumps, name, size)
    monkeypatch.setattr(jumps, "are_apart", lambda chains: True)


def test_chains_in_modes_of_their_own_are_apart(rng):
    """Means a standard deviation apart: `disagree` asks for two. A single chain is not."""
    series = rng.standard_normal((3, jumps.CHECKED))
    together = [SimpleNamespace(draws=SimpleNamespace(log_likelihood=own)) for own in series]
    assert not jumps.are_apart(together)
    series[1] += 1.0
    assert not jumps.disagree(together)
    assert jumps.are_apart(together)
    assert not jumps.are_apart(together[:1])


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
@pytest.mark.parametrize(("n_rows", "n_compared"), [(60, 3 + 2), (61, 3)])
def test_with_few_rows_rivals_are_asked_too(monkeypatch, n_rows, n_compared):
    """Whether chains disagree: of three the second starts from the prior and has no rival."""
    seen = []
    monkeypatch.setattr(warm_up, "disagree", lambda chains: seen.append(len(chains)) or False)
    values = np.random.default_rng(1).standard_normal((n_rows, 2))
    diffgmm.sample(values, 3, draws=5, tune=100, chains=3, random_seed=1, progressbar=False)
    assert seen == [n_compared]


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
    for module, name in ((jumps, "are_apart"), (warm_up, "disagree")):
        monkeypatch.setattr(module, name, lambda chains: False)
    assert "jump_rate" not in run()["sample_stats"]
    more = diffgmm.sample(values, 3, draws=20, continue_from=idata, progressbar=False)
    joined = more["sample_stats"]["jump_rate"].values
    np.testing.assert_array_equal(joined[:, :20], rate)
    assert np.isnan(joined[:, 20:]).all()


@pytest.mark.usefixtures("compiled")
def test_chains_that_agree_have_no_jumps(monkeypatch):
    """Neither runs nor tables are made."""
    for module, name in ((jumps, "are_apart"), (warm_up, "disagree")):
        monkeypatch.setattr(module, name, lambda chains: False)
    monkeypatch.setattr(jumps, "_find_tables", None)
    values = np.random.default_rng(1).standard_normal((40, 2))
    assert draws_of(values, 3, 1).log_lik.shape == (2, 60)


@pytest.mark.usefixtures("compiled", "short")
def test_chains_that_disagreed_have_jumps(monkeypatch):
    """Whatever they do at the end of the warm-up."""
    monkeypatch.setattr(jumps, "are_apart", lambda chains: False)
    for apart in (False, True):
        monkeypatch.setattr(warm_up, "disagree", lambda chains, apart=apart: apart)
        values = np.random.default_rng(1).standard_normal((40, 2))
        assert (draws_of(values, 3, 1).jump_rate is not None) == apart


@pytest.mark.usefixtures("compiled", "short")
def test_tables_are_probabilities(monkeypatch):
    """Of every row over the clusters, and as many tables as stretches."""
    seen = []
    find = jumps._find_tables
    monkeypatch.setattr(jumps, "_find_tables", lambda *given: seen.append(find(*given)) or seen[-1])
    values = np.random.default_rng(1).standard_normal((40, 2))
    draws_of(values, 3, 1)
    tables, _, _ = seen[0]
    assert len(tables) == 2
    for one in tables:
        assert one.log_shares.shape == (40, 3, (1 + 2) + 2 * (1 + 2) * 2)
        np.testing.assert_allclose(np.exp(one.log_shares).sum(axis=1), 1.0, rtol=1e-6)
        assert one.log_shares.min() >= np.log(jumps.ANYWHERE / 4)
