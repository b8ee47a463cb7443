"""The posterior is the right one: calibration by simulation, and other people's samplers."""

from dataclasses import replace

import faults
import numpy as np
import pytest
import ranks
from scipy import stats

from diffgmm import Prior, sample
from diffgmm.covariance import family_of
from diffgmm.data import Data
from diffgmm.datasets import load_faithful, load_galaxies
from diffgmm.posterior.gibbs import Target
from diffgmm.posterior.sample import Settings, sample_posterior
from diffgmm.posterior.starts import prior_start
from diffgmm.posterior.warm_up import _candidate
from diffgmm.report.inference_data import as_tree, rhat_and_ess

pytestmark = pytest.mark.statistical

# False alarms of one test, over all its statistics.
FALSE_ALARM = 1e-3

# ---- simulation-based calibration: `ranks`, and the full suite in benchmarks/posterior/calibration.py

# One feature, C0 fixed.
FIXED = ranks.PROBLEMS["1-D, K = 2"].prior

# Two correlated features in different units, C0 drawn.
DRAWN = ranks.PROBLEMS["2-D, K = 3, full"].prior

DIAG = ranks.PROBLEMS["3-D, K = 2, diag"].prior
IDENTITY = Prior(m0=[0.0, 1.0], B0=[[4.0, 1.0], [1.0, 2.0]], covariance_type="identity")

# Features in different units where the family allows it; C0 drawn, for "tied" fixed.
TIED = Prior(
    m0=[1.0, -20.0],
    B0=[[4.0, 10.0], [10.0, 100.0]],
    c0=2.0,
    C0=[[1.0, -2.0], [-2.0, 25.0]],
    covariance_type="tied",
)
TIED_DRAWN = DRAWN.replace(covariance_type="tied")
SPHERICAL = Prior(
    m0=[0.0, 1.0], B0=[[4.0, 1.0], [1.0, 2.0]], c0=2.0, g0=1.5, G0=1.5, covariance_type="spherical"
)


def smallest_p_value(truth, assumed, sizes, sets, seed):
    problem = ranks.problem(truth, 2, sizes)
    return ranks.smallest_p_value(ranks.calibrate(problem, assumed, sets, seed))


@pytest.mark.parametrize(
    ("prior", "sizes"),
    [
        (FIXED, (6,)),
        (FIXED, (40,)),
        (DRAWN, (12,)),
        (IDENTITY, (6,)),
        (TIED, (8,)),
        (DIAG, (8,)),
        (SPHERICAL, (8,)),
    ],
    ids=["six rows", "forty rows", "C0 drawn", "identity", "tied", "diag", "spherical"],
)
def test_ranks_are_uniform(prior, sizes):
    assert smallest_p_value(prior, prior, sizes, 24, 1) > FALSE_ALARM


def test_ranks_are_uniform_with_k_unknown():
    """Its own fault takes more sets: below; tests/kernels/test_telescoping.py has it for a sweep."""
    problem = ranks.PROBLEMS["K unknown"]
    assert ranks.smallest_p_value(ranks.calibrate(problem, problem.prior, 24, 1)) > FALSE_ALARM


@pytest.mark.slow
@pytest.mark.parametrize(
    "prior",
    [FIXED, DRAWN, IDENTITY, TIED, TIED_DRAWN, DIAG, SPHERICAL],
    ids=["fixed", "drawn", "identity", "tied", "tied, drawn", "diag", "spherical"],
)
def test_ranks_are_uniform_over_many_sets(prior):
    assert smallest_p_value(prior, prior, (8,), 1_000, 2) > FALSE_ALARM


@pytest.mark.filterwarnings("ignore::diffgmm.errors.ConvergenceWarning")
@pytest.mark.parametrize("method", ranks.METHODS)
def test_ranks_are_of_what_sample_returns(method):
    """The same draws for a seed: the prior goes unchanged to `sample`."""
    problem, seed = ranks.PROBLEMS["1-D, K = 2"], np.random.SeedSequence(4)
    _, rows = ranks.simulate(problem.prior, 2, 12, np.random.default_rng(4))
    settings = replace(ranks.SETTINGS, method=method, init="auto")
    own, _ = ranks.sampled(problem, rows, problem.prior, settings, seed)
    options = {"draws": settings.draws, "tune": settings.tune, "chains": settings.chains}
    options |= {"method": method, "random_seed": seed, "progressbar": False}
    drawn = as_tree(sample(rows, 2, prior=problem.prior, **options))["posterior"]
    names = ("weights", "means", "covariances")
    parameters = {name: drawn[name].values for name in names}
    expected = ranks.label_free(problem.prior, parameters, rows, problem.anchors)
    np.testing.assert_allclose(own, expected, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("method", ranks.METHODS)
def test_the_whole_suite(method):
    """What benchmarks/posterior/calibration.py runs: one false alarm in a thousand suites."""
    settings = replace(ranks.SETTINGS, method=method)
    assert ranks.suite(300, 0, settings=settings).p_value > FALSE_ALARM


@pytest.mark.slow
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("wrong", [faults.without_factorials, faults.without_jacobian])
def test_a_wrong_step_of_k_unknown_is_caught(wrong):
    """The factor K!/(K - K_+)! forgotten, or the Jacobian of alpha."""
    problem = ranks.PROBLEMS["K unknown"]
    with faults.sweeping(wrong):
        own = ranks.calibrate(problem, problem.prior, 120, 3)
    assert ranks.smallest_p_value(own) < FALSE_ALARM


@pytest.mark.parametrize(
    ("truth", "n", "assumed", "sets"),
    [
        (FIXED, 6, faults.with_scale_doubled(FIXED), 48),
        (FIXED, 6, faults.with_wide_means(FIXED), 120),
        (FIXED, 6, FIXED.replace(c0=4.0), 32),
        (FIXED, 6, FIXED.replace(concentration=4.0), 60),
        (DRAWN, 12, DRAWN.replace(G0=2.0 * DRAWN.G0), 72),
        (IDENTITY, 6, faults.with_wide_means(IDENTITY), 120),
        (TIED, 8, faults.with_scale_doubled(TIED), 72),
        (DIAG, 8, faults.with_scale_doubled(DIAG), 120),
        (SPHERICAL, 8, SPHERICAL.replace(c0=4.0), 72),
    ],
    ids=[
        *("scale x 2", "sd of means x 2", "c0", "concentration", "rate of C0 x 2", "identity"),
        *("tied, scale x 2", "diag, scale x 2", "spherical, c0"),
    ],
)
def test_a_planted_fault_is_caught(truth, n, assumed, sets):
    """The sampler assumes another prior than the one that made the data.

    As many data sets as the fault needs: fewer would let it through, or nearly so.
    """
    assert smallest_p_value(truth, assumed, (n,), sets, 3) < FALSE_ALARM


def test_alignment_that_touches_draws_is_caught():
    """Means and covariances are renumbered, weights are forgotten: p of 5e-5 to 7e-9 by seed."""
    with faults.touching_alignment():
        assert smallest_p_value(FIXED, FIXED, (6,), 120, 3) < FALSE_ALARM


# ---- independent samplers

# Posterior means of a NumPy Gibbs sampler written apart from this package, from N_DRAWS draws in
# each of four chains, confirmed by NumPyro's NUTS within its error; prior: means
# N(mean, (2 sd)^2), covariances invwishart(D + 2, cov / K^(2 / D)), for D = 1 df 4 and var / K^2.
N_DRAWS = {"galaxies": 20_000, "faithful": 5_000}
REFERENCE = {
    "galaxies": {
        "log_lik": -207.54974,
        "weight 0": 0.0452682,
        "weight 1": 0.0969886,
        "mean 0": 9.7187803,
        "mean 1": 21.3947879,
        "mean 2": 32.8833400,
        "density 0": -2.4453677,
        "density 1": -1.8865060,
        "density 2": -2.4292005,
    },
    "faithful": {
        "log_lik": -1135.85927,
        "weight 0": 0.3571159,
        "mean 0": 2.0369263,
        "mean 1": 4.2895585,
        "density 0": -7.0861596,
        "density 1": -3.5580522,
        "density 2": -3.2565240,
    },
}

# Batches per chain for standard errors: longer than any visit to the modes of galaxies that hold
# less than a percent, which effective sample sizes of ranks do not see.
N_BATCHES = 20


def benchmark_prior(x, k):
    n_features = x.shape[1]
    return Prior(
        m0=x.mean(axis=0),
        B0=np.diag(4.0 * x.var(axis=0, ddof=1)),
        c0=(n_features + 2) / 2 if n_features > 1 else 2.0,
        C0=np.atleast_2d(np.cov(x.T)) / k ** (2.0 / n_features) / 2.0,
    )


@pytest.mark.parametrize(("name", "k"), [("galaxies", 3), ("faithful", 2)])
def test_agrees_with_independent_samplers(name, k):
    """Every mean within Monte Carlo error; first every chain must be where the others are."""
    load = {"galaxies": load_galaxies, "faithful": load_faithful}[name]
    x = np.asarray(load().data)
    draws = sample_posterior(
        Data.of(x),
        family_of("full"),
        benchmark_prior(x, k),
        k,
        Settings(draws=N_DRAWS[name], cores=2, compute_log_likelihood=False),
        np.random.SeedSequence(1),
    )
    n = len(x)
    fixed = x[[n // 6, n // 2, 5 * n // 6]]
    densities = ranks.log_densities(fixed, draws.weights, draws.means, draws.covariances)
    weights, means = np.sort(draws.weights), np.sort(draws.means[..., 0])
    own = {"log_lik": draws.log_lik}
    own |= {f"weight {j}": weights[..., j] for j in range(k)}
    own |= {f"mean {j}": means[..., j] for j in range(k)}
    own |= {f"density {j}": densities[..., j] for j in range(3)}
    assert max(float(rhat) for rhat, _ in rhat_and_ess(own).values()) < 1.01
    reference = REFERENCE[name]
    limit = stats.t(4 * N_BATCHES - 1).isf(FALSE_ALARM / (2 * len(reference)))
    for quantity, mean in reference.items():
        batches = own[quantity].reshape(4 * N_BATCHES, -1).mean(axis=1)
        error = np.sqrt(2.0 * batches.var(ddof=1) / len(batches))  # the reference has as many draws
        assert abs(batches.mean() - mean) < limit * error, quantity


def test_prior_draws_anneal_out_of_the_low_mode_of_galaxies():
    """Twelve chains of R-hat's worst case; without annealing 22 % stay 8 nats low for good.

    A share of 0.7 % stays, so that two of twelve have a probability of 0.003; no annealing would
    leave fewer than two with a probability of 0.22.
    """
    x = np.asarray(load_galaxies().data)
    target = Target.of(Data.of(x), family_of("full"), benchmark_prior(x, 3), 3)
    low = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        chain = _candidate(target, prior_start(target, rng), True, 500, 500, rng)
        chain.run(1_000)
        log_lik = chain.draws.log_likelihood - len(x) * target.log_jacobian
        low += np.median(log_lik[250:]) < -212.0
    assert low < 2
