"""Refits to reweighted rows: equal weights change nothing, and draws spread as theory says."""

import numpy as np
import pytest

import diffgmm
from diffgmm.data import Data
from diffgmm.errors import InvalidDataError, InvalidParameterError
from diffgmm.learn.refit import bootstrap_refits, refit


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return np.r_[rng.normal(-3.0, 1.0, (400, 1)), rng.normal(3.0, 0.5, (600, 1))]


@pytest.fixture(scope="module")
def fitted(rows):
    return diffgmm.fit(rows, 2, random_seed=0)


@pytest.fixture(scope="module")
def ring():
    rng = np.random.default_rng(1)
    angle = rng.uniform(0.0, 2.0 * np.pi, 600)
    x = np.c_[np.cos(angle), np.sin(angle)] + 0.125 * rng.standard_normal((600, 2))
    return x, diffgmm.fit(x, 4, model="diffusion", random_seed=0, progressbar=False)


def test_weights_of_one_leave_the_fit(fitted, rows):
    again = refit(fitted, Data.of(rows), np.ones(len(rows)))
    np.testing.assert_allclose(again.mixture.means, fitted.mixture.means, atol=1e-3)
    np.testing.assert_allclose(again.log_likelihood, fitted.log_likelihood, atol=0.01)


@pytest.mark.parametrize("bootstrap", ["dirichlet", "multinomial", "diffusion"])
def test_draws_spread_like_the_standard_errors_of_means(fitted, rows, bootstrap):
    """Well separated components: the bootstrap's deviation of a mean is s / sqrt(n).

    With 400 draws that deviation is known within 3.5 %; five of them are 18 %, passed by chance
    less than once in a million. The fault that it catches: weights used twice (40 % more).
    """
    draws = bootstrap_refits(fitted, Data.of(rows), 400, bootstrap=bootstrap, random_seed=0)
    deviations = np.std([own.mixture.means[:, 0] for own in draws], axis=0)
    expected = np.sqrt(fitted.mixture.covariances[:, 0, 0] / (fitted.mixture.weights * len(rows)))
    np.testing.assert_allclose(deviations, expected, rtol=0.18)


def test_more_draws_or_threads_leave_the_first_ones(fitted, rows):
    data = Data.of(rows)
    few = bootstrap_refits(fitted, data, 2, random_seed=3, cores=1)
    many = bootstrap_refits(fitted, data, 4, random_seed=3, cores=3)
    for one, other in zip(few, many):
        np.testing.assert_array_equal(one.mixture.means, other.mixture.means)


def test_more_chains_leave_the_first_ones(fitted, rows):
    data = Data.of(rows)
    one = bootstrap_refits(fitted, data, 2, random_seed=3)
    three = bootstrap_refits(fitted, data, 2, chains=3, random_seed=3)
    for draw in range(2):
        np.testing.assert_array_equal(one[draw].mixture.means, three[3 * draw].mixture.means)
    assert len({float(own.mixture.means[0, 0]) for own in three}) == 6


def test_a_diffusion_fit_brings_its_own_replicated_rows(ring):
    x, fit = ring
    assert not fit.score_model.is_silent
    idata = fit.to_arviz(x, draws=6, random_seed=0)
    posterior = idata["posterior"]
    assert dict(posterior.sizes) == {
        "chain": 1, "draw": 6, "cluster": 4, "feature": 2, "feature_bis": 2,
    }  # fmt: skip
    assert posterior.attrs["sample_type"] == "independent"
    assert posterior.attrs["inference_method"] == "weighted likelihood bootstrap"
    assert np.ptp(posterior["means"].values, axis=1).min() > 0.0
    rows = idata["posterior_predictive"]["x"]
    assert rows.shape == (1, 6, 600, 2)
    radius = np.hypot(*np.moveaxis(rows.values, -1, 0))
    mixture = np.hypot(*fit.mixture.sample(600, 0).T)
    # The refits' samplers draw the ring, thinner than the mixture's four bulges.
    assert radius.std() < 0.8 * mixture.std()
    assert list(idata["diffusion"]["sigma"].values) == fit.score_model.sigmas.tolist()
    children = getattr(idata, "children", None) or idata.groups()
    assert "log_likelihood" not in children


def test_without_rows_there_is_one_draw(ring):
    idata = ring[1].to_arviz()
    assert idata["posterior"]["weights"].shape == (1, 1, 4)
    assert idata["diffusion"]["active"].values.any()


def test_other_rows_are_refused(fitted, rows):
    message = (
        r"^X must be the rows that were fitted: they were 1000 \(the sum of their weights\), X has "
        r"999\. Give the same X and sample_weight as to fit\.$"
    )
    with pytest.raises(InvalidDataError, match=message):
        fitted.to_arviz(rows[1:], draws=3)


def test_ctrl_c_keeps_the_refits_that_are_done(fitted, rows):
    def interrupt(done):
        if done == 3:
            raise KeyboardInterrupt

    data = Data.of(rows)
    with pytest.warns(UserWarning, match=r"^Interrupted: 3 of 50 refits are done and returned\.$"):
        done = bootstrap_refits(fitted, data, 50, random_seed=3, cores=1, on_draw=interrupt)
    whole = bootstrap_refits(fitted, data, 3, random_seed=3, cores=1)
    for one, other in zip(done, whole, strict=True):
        np.testing.assert_array_equal(one.mixture.means, other.mixture.means)


def test_ctrl_c_leaves_the_same_draws_of_each_chain(fitted, rows):
    def interrupt(done):
        if done == 8:
            raise KeyboardInterrupt

    data, options = Data.of(rows), {"chains": 3, "cores": 1, "random_seed": 3}
    with pytest.warns(UserWarning, match=r"^Interrupted: 6 of 30 refits are done and returned\.$"):
        done = bootstrap_refits(fitted, data, 10, on_draw=interrupt, **options)
    whole = bootstrap_refits(fitted, data, 2, **options)
    for one, other in zip(done, whole, strict=True):
        np.testing.assert_array_equal(one.mixture.means, other.mixture.means)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), "sample_weight must have one number for each of 1000 rows, got shape (3,)."),
        ("heavy", "sample_weight must be numbers, one for each row."),
        (-np.ones(1000), "sample_weight must be finite, not negative and not all zero."),
    ],
)
def test_weights_are_checked(fitted, rows, weights, message):
    with pytest.raises(InvalidParameterError) as caught:
        fitted.to_arviz(rows, draws=2, sample_weight=weights)
    assert str(caught.value) == message


def test_draws_must_be_a_count(fitted, rows):
    with pytest.raises(InvalidParameterError, match=r"^draws must be"):
        fitted.to_arviz(rows, draws=0)


@pytest.mark.slow
def test_two_hundred_refits_take_seconds(ring):
    """Two hundred draws are what an interval needs; 30 s is what a busy machine of two cores keeps."""
    import time

    x, fit = ring
    fit.to_arviz(x, draws=2)
    start = time.perf_counter()
    fit.to_arviz(x, draws=200)
    assert time.perf_counter() - start < 30.0


def test_a_row_of_weight_four_is_four_rows():
    """The deviation of the mean is that of 1,000 rows, not of 250 with wilder weights.

    With 300 draws it is known within 4 %; 20 % are passed by chance less than once in a million.
    The fault that it catches: weights that multiply exponential shares double it.
    """
    x = np.random.default_rng(5).normal(size=(250, 1))
    weights = np.full(250, 4.0)
    fit = diffgmm.fit(x, 1, sample_weight=weights, random_seed=0)
    idata = fit.to_arviz(x, draws=300, sample_weight=weights, random_seed=1, progressbar=False)
    deviation = float(idata["posterior"]["means"].std())
    assert deviation == pytest.approx(x.std() / np.sqrt(1000.0), rel=0.2)
