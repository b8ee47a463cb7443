"""`kfold` and `elpd_oob`: scores of unseen rows, in objects that the installed `az.compare` takes."""

import warnings

import numpy as np
import pytest

import diffgmm
from diffgmm._seeding import child_sequence
from diffgmm.datasets import load_galaxies
from diffgmm.errors import ConvergenceWarning, InvalidParameterError
from diffgmm.report import crossval
from diffgmm.report.elpd import ELPD, POINTWISE, P, entry, log_mean_exp
from diffgmm.report.inference_data import arviz_generation

X = np.asarray(load_galaxies().data)
QUICK = {"draws": 150, "tune": 150, "chains": 2, "random_seed": 1, "progressbar": False}


@pytest.fixture(autouse=True)
def few_draws():
    """Short chains warn about their effective sample size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@pytest.fixture(scope="module")
def bootstrapped():
    return diffgmm.sample(
        X, 2, method="bootstrap", bootstrap="multinomial", draws=25, chains=2, random_seed=1
    )


def compare(scores):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import arviz as az
    return az.compare(scores)


def test_compare_takes_one_to_four_components():
    """One component is the worst by tens of nats; folds are the same for all."""
    scores = {f"K={k}": diffgmm.kfold(X, k, k=3, **QUICK) for k in range(1, 5)}
    table = compare(scores)
    assert set(table.index) == set(scores)
    assert table["rank"]["K=1"] == 3
    name = "elpd_loo" if arviz_generation() == 0 else "elpd"
    if arviz_generation() == 0:  # 1.x rounds its table
        for key, own in scores.items():
            assert table[name][key] == pytest.approx(own["elpd_loo"])
    elpd = {key: entry(own, ELPD) for key, own in scores.items()}
    assert elpd["K=3"] - elpd["K=1"] > 15.0
    assert scores["K=2"].method == "3-fold cross-validation"


def test_k_fold_agrees_with_leave_one_out():
    """Five folds leave out 16 of 82 rows: within the 3 nats that so few parameters can cost."""
    idata = diffgmm.sample(X, 3, **QUICK)
    loo = entry(diffgmm.loo(idata, progressbar=False), ELPD)
    scores = diffgmm.kfold(X, 3, k=5, **QUICK)
    assert abs(entry(scores, ELPD) - loo) < 3.0
    assert scores["se"] == pytest.approx(
        np.sqrt(82) * entry(scores, POINTWISE).values.std(), rel=0.01
    )
    # The effective number of parameters: 8 at most.
    assert 2.0 < entry(scores, P) < 10.0


def test_rows_are_scored_by_draws_that_have_not_seen_them():
    """A row far from all others: seen, its density is that of a component of its own."""
    x = np.r_[X, [[200.0]]]
    seen = diffgmm.sample(x, 2, compute_log_likelihood=True, **QUICK)["log_likelihood"]["x"]
    seen = log_mean_exp(seen.values[..., -1].ravel()[:, None])[0]
    unseen = entry(diffgmm.kfold(x, 2, k=3, **QUICK), POINTWISE).values[-1]
    assert unseen < seen - 5.0


def test_a_weight_counts_the_copies_of_a_row_together():
    """One component by maximum likelihood, fold by fold: row weights are repeated rows."""
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(12, 1)), rng.integers(1, 4, 12).astype(float)
    options = {"method": "bootstrap", "draws": 1, "chains": 1, "bootstrap": "dirichlet"}
    scores = diffgmm.kfold(
        x, 1, k=12, sample_weight=weights, random_seed=3, progressbar=False, **options
    )
    order = crossval.stream(np.random.SeedSequence(3), crossval.FOLDS).permutation(12)
    fold = int(np.flatnonzero(order == 4)[0])
    idata = diffgmm.sample(
        np.delete(x, 4, axis=0),
        1,
        sample_weight=np.delete(weights, 4),
        random_seed=child_sequence(np.random.SeedSequence(3), fold),
        **options,
    )
    parts = [idata["posterior"][name].values[0, 0] for name in ("weights", "means", "covariances")]
    expected = weights[4] * diffgmm.GaussianMixture(*parts).log_density(x[4:5])[0]
    assert entry(scores, POINTWISE).values[4] == pytest.approx(expected, rel=1e-9)


def test_out_of_bag_scores(bootstrapped):
    """By hand: the mean density over the refits whose bag a row is not in."""
    scores = diffgmm.elpd_oob(bootstrapped)
    posterior, counts = bootstrapped["posterior"], bootstrapped["bootstrap"]["counts"].values
    density = np.array(
        [
            np.exp(
                diffgmm.GaussianMixture(
                    *(posterior[name].values[c, s] for name in ("weights", "means", "covariances"))
                ).log_density(X)
            )
            for c in range(2)
            for s in range(25)
        ]
    )
    left_out = counts.reshape(50, 82) == 0
    expected = np.log((density * left_out).sum(axis=0) / left_out.sum(axis=0))
    np.testing.assert_allclose(entry(scores, POINTWISE).values, expected, rtol=1e-9)
    assert entry(scores, P) > 0.0
    assert set(compare({"one": scores, "two": scores}).index) == {"one", "two"}


def test_blocks_of_rows_change_nothing(bootstrapped, monkeypatch):
    whole = entry(diffgmm.elpd_oob(bootstrapped), POINTWISE).values
    monkeypatch.setattr(crossval, "VALUES_PER_BLOCK", 50 * 7)
    parts = entry(diffgmm.elpd_oob(bootstrapped), POINTWISE).values
    np.testing.assert_allclose(parts, whole, rtol=1e-12)


def test_ctrl_c_leaves_no_half_scores(monkeypatch):
    calls = []

    def interrupted(*arguments, **options):
        calls.append(1)
        idata = diffgmm.sample(*arguments, **options)
        if len(calls) == 2:
            idata["posterior"].attrs["interrupted"] = 1
        return idata

    monkeypatch.setattr(crossval, "sample", interrupted)
    with pytest.raises(KeyboardInterrupt):
        diffgmm.kfold(X, 1, k=4, **QUICK)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("k", "message"),
    [
        (1, "k must be a number of folds from 2 to the number of rows 82, got 1."),
        (83, "k must be a number of folds from 2 to the number of rows 82, got 83."),
        (2.5, "k must be a positive integer, got 2.5."),
    ],
)
def test_folds_are_checked(k, message):
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.kfold(X, 2, k=k)
    assert str(caught.value) == message


def test_out_of_bag_needs_bags():
    options = {"method": "bootstrap", "chains": 1, "random_seed": 1}
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.elpd_oob(diffgmm.sample(X, 1, draws=3, **options))
    assert str(caught.value) == (
        "Only rows drawn with replacement are left out of some draws. Sample with "
        "method='bootstrap', bootstrap='multinomial', or use diffgmm.kfold."
    )
    with pytest.raises(InvalidParameterError, match=r"^Every row must be left out by a draw, but"):
        diffgmm.elpd_oob(diffgmm.sample(X, 1, draws=3, bootstrap="multinomial", **options))
