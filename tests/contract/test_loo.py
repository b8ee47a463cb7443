"""`loo` in blocks is ArviZ's own; `reloo` refits without a row."""

import copy
import warnings

import numpy as np
import pytest
from scipy.special import logsumexp

import diffgmm
from diffgmm.datasets import load_galaxies
from diffgmm.errors import ConvergenceWarning, InvalidDataError, InvalidParameterError
from diffgmm.report import loo as module
from diffgmm.report.elpd import ELPD, POINTWISE, P, entry, log_mean_exp
from diffgmm.report.inference_data import arviz_statistics, as_tree

X = np.asarray(load_galaxies().data)


@pytest.fixture(scope="module")
def idata():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return diffgmm.sample(X, 3, draws=500, random_seed=1, progressbar=False)


@pytest.fixture(scope="module")
def outlier():
    """One row is far from the others: PSIS cannot leave it out."""
    x = np.r_[np.random.default_rng(0).normal(size=(40, 1)), [[6.0]]]
    return diffgmm.sample(x, 1, draws=500, random_seed=1, progressbar=False), x


def by_arviz(idata):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return arviz_statistics().loo(idata, pointwise=True)


def test_blocks_give_what_arviz_gives(idata, monkeypatch):
    monkeypatch.setattr(module, "VALUES_PER_BLOCK", 2_000 * 9)  # 82 rows in 10 blocks
    own, whole = module._quiet_loo(idata), by_arviz(idata)
    for name in (ELPD, POINTWISE, P, ("se", "se"), ("pareto_k", "pareto_k")):
        np.testing.assert_allclose(entry(own, name), entry(whole, name), rtol=1e-10, atol=1e-10)
    for name in ("n_samples", "n_data_points", "scale", "good_k", "warning"):
        assert own[name] == whole[name]
    np.testing.assert_array_equal(own["pareto_k"]["obs_id"], np.arange(82))
    assert type(own) is type(whole)
    assert str(own) == str(whole)


def test_one_block_at_a_time(idata, monkeypatch):
    sizes = []
    psis = module.psis_block

    def watch(log_density, *rest):
        sizes.append(log_density.size)
        return psis(log_density, *rest)

    monkeypatch.setattr(module, "psis_block", watch)
    monkeypatch.setattr(module, "VALUES_PER_BLOCK", 2_000 * 9)
    module._quiet_loo(idata)
    assert max(sizes) == 2_000 * 9
    assert sum(sizes) == 2_000 * 82


def test_given_rows_and_missing_rows(idata):
    bare = copy.deepcopy(idata)
    for group in ("observed_data", "log_likelihood"):
        del bare[group]
    with pytest.raises(InvalidDataError, match=r"^There is no group observed_data with the rows"):
        diffgmm.loo(bare)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pareto k
        own = diffgmm.loo(bare, X, progressbar=False)
    assert entry(own, ELPD) == pytest.approx(entry(by_arviz(idata), ELPD), rel=1e-10)


def test_refits_are_refused():
    refits = diffgmm.sample(X, 1, method="bootstrap", draws=3, chains=1, random_seed=1)
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.loo(refits)
    assert str(caught.value) == (
        "PSIS-LOO needs draws of a posterior, but these are refits to bootstrap data sets. "
        "Use diffgmm.kfold, or diffgmm.elpd_oob after bootstrap='multinomial'."
    )


def exact(idata, x, row):
    """Return log p(x_row | other rows) from a posterior of its own."""
    prior = diffgmm.Prior.from_json(idata["posterior"].attrs["prior"])
    other = diffgmm.sample(
        np.delete(x, row, axis=0), 1, prior=prior, draws=2_000, random_seed=9, progressbar=False
    )
    density = diffgmm.compute_log_likelihood(other, x[row : row + 1])["log_likelihood"]["x"]
    return float(log_mean_exp(density.values.reshape(-1, 1))[0])


def by_quadrature(idata, x, row):
    """Return log p(x_row | other rows), one component and one feature, from a grid.

    Few draws are wide enough to reach a far row. The prior as in `diffgmm.Prior`: mu ~ N(m0, B0), the variance
    v ~ IG(c0, C0) and C0 ~ Gamma(g0, G0), so that p(v) is v^(-c0 - 1) (G0 + 1 / v)^(-c0 - g0).
    """
    prior = diffgmm.Prior.from_json(idata["posterior"].attrs["prior"])
    m0, b0, c0, g0, g_0 = (np.asarray(getattr(prior, name)).item() for name in ("m0", "B0", "c0", "g0", "G0"))
    v = np.exp(np.linspace(np.log(1e-3), np.log(1e5), 20_001))

    def log_evidence(rows):
        # rows ~ N(0, v I + B0 11') once m0 is taken off, and log v has the density v p(v)
        rows, n = rows.ravel() - m0, len(rows)
        squares = (rows**2).sum() / v - b0 * rows.sum() ** 2 / (v * (v + n * b0))
        log_p = -0.5 * (squares + (n - 1) * np.log(v) + np.log(v + n * b0) + n * np.log(2.0 * np.pi))
        log_p += -c0 * np.log(v) - (c0 + g0) * np.log(g_0 + 1.0 / v)
        return logsumexp(log_p)

    return log_evidence(x) - log_evidence(np.delete(x, row, axis=0))


def test_a_bad_row_is_refitted(outlier):
    """Only that row changes, to what an independent refit says, and PSIS was far from it."""
    idata, x = outlier
    with pytest.warns(UserWarning, match=r"^The Pareto k of 1 of 41 rows is above 0\.70, so that"):
        before = diffgmm.loo(idata, progressbar=False)
    copied = copy.deepcopy(before)
    after = diffgmm.reloo(idata, before, draws=40_000, random_seed=2, progressbar=False)
    own, old = entry(after, POINTWISE).values, entry(before, POINTWISE).values
    np.testing.assert_array_equal(own[:40], old[:40])
    np.testing.assert_array_equal(old, entry(copied, POINTWISE).values)  # the argument stays
    expected = by_quadrature(idata, x, 40)
    assert own[40] == pytest.approx(expected, abs=0.5)  # over 12 seeds its standard deviation is 0.1
    assert abs(old[40] - expected) > 1.0
    assert float(after["pareto_k"][40]) == 0.0
    assert not after["warning"]
    assert entry(after, ELPD) == pytest.approx(own.sum())
    assert entry(after, P) == pytest.approx(entry(before, P) - (own[40] - old[40]))
    again = diffgmm.reloo(idata, draws=40_000, random_seed=2, progressbar=False)
    assert entry(again, ELPD) == entry(after, ELPD)


def test_nothing_to_refit(idata):
    before = module._quiet_loo(idata)
    after = diffgmm.reloo(idata, before, k_threshold=2.0, progressbar=False)
    np.testing.assert_array_equal(entry(after, POINTWISE), entry(before, POINTWISE))


def test_ctrl_c_keeps_the_rows_that_are_done(outlier, monkeypatch):
    idata, _ = outlier
    calls = []

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return diffgmm.sample(*arguments, **options)

    monkeypatch.setattr(module, "sample", interrupted)
    before = module._quiet_loo(idata)
    with pytest.warns(UserWarning, match=r"^Interrupted: 2 of 41 rows are refitted, the others"):
        after = diffgmm.reloo(
            idata, before, k_threshold=-np.inf, draws=200, random_seed=1, progressbar=False
        )
    changed = np.flatnonzero(entry(after, POINTWISE).values != entry(before, POINTWISE).values)
    assert changed.tolist() == [0, 1]


def test_refusals_of_reloo(idata, outlier):
    short = module._quiet_loo(outlier[0])
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.reloo(idata, short)
    assert str(caught.value) == "loo must be that of idata's 82 rows, but has 41."
    with pytest.raises(InvalidParameterError, match=r"^loo must be an ELPDData with pointwise"):
        diffgmm.reloo(idata, "good")
    bare = copy.deepcopy(idata)
    del bare["posterior"].attrs["prior"]
    with pytest.raises(InvalidParameterError, match=r"^The attributes of the posterior hold no"):
        diffgmm.reloo(bare)


@pytest.mark.slow
def test_psis_is_close_to_exact_refits_on_galaxies():
    """All 82 rows left out in turn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        idata = diffgmm.sample(X, 3, draws=4_000, random_seed=1, progressbar=False)
    before = module._quiet_loo(idata)
    after = diffgmm.reloo(
        idata, before, k_threshold=-np.inf, draws=40_000, random_seed=2, progressbar=False
    )
    assert abs(entry(after, ELPD) - entry(before, ELPD)) < 0.5


def test_refits_with_an_unknown_number_of_components():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        draws = diffgmm.sample(
            X[:20], draws=100, tune=20, chains=2, random_seed=1, progressbar=False
        )
    k = np.sort(module._quiet_loo(draws)["pareto_k"].values)
    one = {"k_threshold": k[-2], "draws": 50, "tune": 20, "random_seed": 1, "progressbar": False}
    exact = diffgmm.reloo(draws, **one)
    assert (exact["pareto_k"].values == 0.0).sum() == 1
    with pytest.raises(InvalidParameterError) as info:
        diffgmm.reloo(diffgmm.condition_on_k(draws), **one)
    assert str(info.value) == (
        "reloo would refit with K fixed, under another prior of the weights than that of draws from "
        "condition_on_k. Use the draws before it, or sample with n_components."
    )


def test_few_draws_are_refused(idata):
    few = as_tree(idata).isel(chain=[0], draw=slice(24))
    with pytest.raises(InvalidParameterError) as info:
        diffgmm.loo(few, progressbar=False)
    assert str(info.value) == (
        "PSIS-LOO needs 25 draws or more, got 24. Sample more of them, or use diffgmm.kfold."
    )
