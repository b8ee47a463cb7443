"""The posterior is the right one: calibration by simulation, and other people's samplers."""

import numpy as np
import pytest
from scipy import special, stats

from diffgmm import Prior
from diffgmm.covariance import family_of
from diffgmm.data import Data
from diffgmm.datasets import load_faithful, load_galaxies
from diffgmm.posterior import sample as posterior
from diffgmm.posterior.gibbs import Target
from diffgmm.posterior.sample import Settings, sample_posterior
from diffgmm.posterior.starts import prior_start
from diffgmm.posterior.warm_up import _candidate
from diffgmm.report.inference_data import rhat_and_ess

pytestmark = pytest.mark.statistical

# False alarms of one test, over all its statistics.
FALSE_ALARM = 1e-3

# ---- simulation-based calibration (Talts et al. 2018, arXiv:1804.06788)

# Ranks among 63 draws fall into 8 bins of 8. Every 10th draw is used: on these small data sets the
# effective sample size of each quantity is above a fifth of the draws, so a tenth is independent.
N_RANKED, THINNING, WARM_UP, BINS = 63, 10, 300, 8

# One feature, C0 fixed; six rows, so that the prior counts.
FIXED = Prior(m0=[0.0], B0=[[4.0]], c0=2.0, C0=[[1.0]])

# Two correlated features in different units, C0 drawn.
DRAWN = Prior(
    m0=[1.0, -20.0], B0=[[4.0, 10.0], [10.0, 100.0]], c0=3.0, g0=2.0, G0=[[3.0, 0.1], [0.1, 0.02]]
)

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
DIAG = Prior(
    m0=[1.0, -20.0],
    B0=[[4.0, 10.0], [10.0, 100.0]],
    c0=2.0,
    g0=1.5,
    G0=[1.5, 0.02],
    covariance_type="diag",
)
SPHERICAL = Prior(
    m0=[0.0, 1.0], B0=[[4.0, 1.0], [1.0, 2.0]], c0=2.0, g0=1.5, G0=1.5, covariance_type="spherical"
)

ANCHORS = {1: [[-3.0], [0.0], [4.0]], 2: [[-1.0, -25.0], [1.0, -20.0], [6.0, 0.0]]}


def log_densities(x, weights, means, covariances):
    """Return log p(x_i | draw), (..., N), by solving with each covariance."""
    step = x[:, None, :] - means[..., None, :, :]
    inverse = np.linalg.inv(covariances)
    norm = np.einsum("...nka,...kab,...nkb->...nk", step, inverse, step)
    log_det = np.linalg.slogdet(covariances)[1] + x.shape[1] * np.log(2.0 * np.pi)
    return special.logsumexp(
        np.log(weights)[..., None, :] - 0.5 * (norm + log_det[..., None, :]), axis=-1
    )


def matrices(prior, covariances):
    """Return covariances of two components as matrices (..., 2, D, D)."""
    unit = np.eye(prior.n_features)
    return {
        "full": lambda: covariances,
        "tied": lambda: np.stack([covariances, covariances], axis=-3),
        "diag": lambda: covariances[..., None] * unit,
        "spherical": lambda: covariances[..., None, None] * unit,
        "identity": lambda: np.stack([unit, unit]),
    }[prior.covariance_type]()


def simulate(prior, n, rng):
    """Return parameters of two components from the prior, and n rows given them."""
    draw = {name: array[0] for name, array in prior.draw(2, 1, rng).items()}
    d = prior.n_features
    owner = rng.choice(2, n, p=draw["weights"])
    roots = np.linalg.cholesky(matrices(prior, draw.get("covariances")))[owner]
    rows = draw["means"][owner] + np.einsum("nab,nb->na", roots, rng.standard_normal((n, d)))
    return draw, rows


def label_free(parameters, log_lik, log_prior, anchors):
    """Return what ranks are taken of, (..., 7)."""
    weights, means, covariances = (parameters[n] for n in ("weights", "means", "covariances"))
    return np.concatenate(
        [
            np.stack(
                [
                    log_lik + sum(log_prior.values()),
                    log_lik,
                    weights.max(axis=-1),
                    np.square(means).sum(axis=(-1, -2)),
                ],
                axis=-1,
            ),
            log_densities(anchors, weights, means, covariances),
        ],
        axis=-1,
    )


def rank(simulated, assumed, n, rng):
    """Return the ranks of the truth among posterior draws of one data set, (7,)."""
    truth, rows = simulate(simulated, n, rng)
    anchors = np.array(ANCHORS[rows.shape[1]])
    target = Target.of(Data.of(rows), family_of(assumed.covariance_type), assumed, 2)
    n_draws = N_RANKED * THINNING
    chain = _candidate(target, prior_start(target, rng), False, WARM_UP, n_draws, rng)
    chain.run(WARM_UP + n_draws)
    draws = posterior._collect(target, [chain], n_draws)
    kept = (0, slice(THINNING - 1, None, THINNING))
    parameters = {"weights": draws.weights[kept], "means": draws.means[kept]}
    own = None if draws.covariances is None else draws.covariances[kept]
    shape = (N_RANKED, 2, rows.shape[1], rows.shape[1])
    parameters["covariances"] = np.broadcast_to(matrices(assumed, own), shape)
    log_prior = {name: array[kept] for name, array in draws.log_prior.items()}
    sampled = label_free(parameters, draws.log_lik[kept], log_prior, anchors)
    arguments = {name: truth[name] for name in log_prior}  # the truth under the assumed prior
    truth["covariances"] = matrices(assumed, truth.get("covariances"))
    log_lik = log_densities(rows, truth["weights"], truth["means"], truth["covariances"]).sum()
    true = label_free(truth, log_lik, assumed.log_prior(**arguments), anchors)
    return (sampled < true).sum(axis=0)


def smallest_p_value(ranks):
    """Return the smallest p-value, times their number, that ranks (n, 7) are uniform.

    Two tests of each quantity: chi-square over bins for the shape, the mean rank for a shift.
    """
    p_values = []
    for own in ranks.T:
        counts = np.bincount(own * BINS // (N_RANKED + 1), minlength=BINS)
        p_values.append(stats.chisquare(counts).pvalue)
        sd = np.sqrt(((N_RANKED + 1) ** 2 - 1) / 12.0 / len(own))
        p_values.append(2.0 * stats.norm.sf(abs(own.mean() - N_RANKED / 2.0) / sd))
    return min(p_values) * len(p_values)


def calibrate(simulated, assumed, n, sets, seed):
    rng = np.random.default_rng(seed)
    return smallest_p_value(np.stack([rank(simulated, assumed, n, rng) for _ in range(sets)]))


@pytest.mark.parametrize(
    ("prior", "n"),
    [(FIXED, 6), (FIXED, 40), (DRAWN, 12), (IDENTITY, 6), (TIED, 8), (DIAG, 8), (SPHERICAL, 8)],
    ids=["six rows", "forty rows", "C0 drawn", "identity", "tied", "diag", "spherical"],
)
def test_ranks_are_uniform(prior, n):
    assert calibrate(prior, prior, n, 100, seed=1) > FALSE_ALARM


@pytest.mark.slow
@pytest.mark.parametrize(
    "prior",
    [FIXED, DRAWN, IDENTITY, TIED, TIED_DRAWN, DIAG, SPHERICAL],
    ids=["fixed", "drawn", "identity", "tied", "tied, drawn", "diag", "spherical"],
)
def test_ranks_are_uniform_over_many_sets(prior):
    assert calibrate(prior, prior, 8, 1_000, seed=2) > FALSE_ALARM


@pytest.mark.parametrize(
    ("truth", "n", "fault"),
    [
        (FIXED, 6, {"C0": [[2.0]]}),
        (FIXED, 6, {"B0": [[16.0]]}),
        (FIXED, 6, {"c0": 4.0}),
        (FIXED, 6, {"concentration": 4.0}),
        (DRAWN, 12, {"G0": [[6.0, 0.2], [0.2, 0.04]]}),
        (IDENTITY, 6, {"B0": [[16.0, 4.0], [4.0, 8.0]]}),
        (TIED, 8, {"C0": [[2.0, -4.0], [-4.0, 50.0]]}),
        (DIAG, 8, {"G0": [3.0, 0.04]}),
        (SPHERICAL, 8, {"c0": 4.0}),
    ],
    ids=[
        *("scale x 2", "sd of means x 2", "c0", "concentration", "rate of C0 x 2", "identity"),
        *("tied, scale x 2", "diag, rate of C0 x 2", "spherical, c0"),
    ],
)
def test_a_planted_fault_is_caught(truth, n, fault):
    """The sampler assumes another prior than the one that made the data."""
    assert calibrate(truth, truth.replace(**fault), n, 150, seed=3) < FALSE_ALARM


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
    densities = log_densities(fixed, draws.weights, draws.means, draws.covariances)
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
