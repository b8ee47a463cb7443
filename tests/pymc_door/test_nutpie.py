"""NUTS without PyMC, on the same posterior as the package's Gibbs sampler: an independent check."""

import numpy as np
import pytest

import diffgmm
from diffgmm.kernels import likelihood

pytestmark = [pytest.mark.slow, pytest.mark.statistical]

K, D, N = 2, 2, 120


@pytest.fixture(autouse=True)
def quick_to_compile():
    """Need no PyTensor here."""


def target_of(rows, concentration, prior_sd):
    """Return log density and gradient at (log ratios of weights, means), by the likelihood kernel."""

    def value_and_gradient(x, **_):
        log_w = np.append(x[: K - 1], 0.0)
        log_w -= np.logaddexp.reduce(log_w)
        means = np.ascontiguousarray(x[K - 1 :].reshape(K, D))
        gradient = np.zeros(K), np.zeros((K, D)), np.zeros(K)
        value = likelihood.signed_likelihood(
            rows, np.empty(0), log_w, means, np.ones(K), likelihood.CHOLESKY, 0, gradient
        )
        # Dirichlet prior and Jacobian: the sum of concentration * log w.
        value += concentration * log_w.sum() - 0.5 * np.sum(means**2) / prior_sd**2
        by_log_w = gradient[0] + concentration
        by_ratio = by_log_w - np.exp(log_w) * by_log_w.sum()
        return value, np.append(by_ratio[: K - 1], gradient[1] - means / prior_sd**2)

    return value_and_gradient


def test_nuts_and_gibbs_agree(rng):
    """Means of 5 numbers, each sampler with at least 1500 effective draws: 5 standard errors.

    False alarms in 3e-6. Leaving out the Jacobian of the weights (a planted fault) moves the mean
    weight by 1 / 120 / sd, which is 0.2 sds and 6 standard errors.
    """
    nutpie = pytest.importorskip("nutpie")
    from nutpie.compiled_pyfunc import from_pyfunc

    centres = np.array([[-3.0, 0.0], [3.0, 1.0]])
    rows = np.repeat(centres, [36, 84], axis=0) + rng.standard_normal((N, D))
    target = target_of(rows, 1.0, 5.0)
    start = np.append(0.0, centres.ravel())

    def make_expand(*_):
        def expand(x, **_):
            w = 1.0 / (1.0 + np.exp(-x[0]))
            return {"w": np.array([w]), "mu": x[K - 1 :].copy()}

        return expand

    compiled = from_pyfunc(
        len(start),
        lambda: target,
        make_expand,
        [np.dtype("float64")] * 2,
        [(1,), (K * D,)],
        ["w", "mu"],
        make_initial_point_fn=lambda seed: start,
    )
    draws = nutpie.sample(
        compiled, draws=2_000, tune=500, chains=2, cores=1, seed=1, progress_bar=False
    )["posterior"]
    nuts = np.concatenate([draws["w"].values, draws["mu"].values], axis=2).reshape(-1, 1 + K * D)
    prior = diffgmm.Prior.weakly_informative(rows, K, covariance_type="identity").replace(
        concentration=np.ones(K), m0=np.zeros(D), B0=25.0 * np.eye(D)
    )
    exact = diffgmm.sample(
        rows,
        K,
        prior=prior,
        covariance_type="identity",
        draws=2_000,
        tune=200,
        chains=2,
        random_seed=1,
        progressbar=False,
        compute_log_likelihood=False,
    )["posterior"]
    means = exact["means"].values.reshape(-1, K, D)
    order = np.argsort(means[:, :, 0], axis=1)
    weights = np.take_along_axis(exact["weights"].values.reshape(-1, K), order, axis=1)
    means = np.take_along_axis(means, order[:, :, None], axis=1)
    gibbs = np.column_stack([weights[:, 0], means.reshape(-1, K * D)])
    error = (nuts.mean(axis=0) - gibbs.mean(axis=0)) / gibbs.std(axis=0)
    assert np.abs(error).max() < 5.0 * np.sqrt(2.0 / 1_500)
