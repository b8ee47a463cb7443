"""The noise ladder's draws are the posterior's, and evidences are right: exact by enumeration."""

import exact
import numpy as np
import pytest
from scipy import special, stats

from diffgmm import Prior, compute_log_evidence, sample
from diffgmm.covariance import family_of
from diffgmm.data import Data
from diffgmm.kernels import ladder as kernels
from diffgmm.posterior.gibbs import Target
from diffgmm.posterior.ladder import LadderChain
from diffgmm.posterior.smc import Passage, added_concentration
from diffgmm.posterior.starts import prior_start, state_at
from diffgmm.posterior.warm_up import _candidate

pytestmark = [
    pytest.mark.statistical,
    pytest.mark.filterwarnings("ignore::diffgmm.errors.ConvergenceWarning"),
]

# False alarms of one test, over all its statistics.
FALSE_ALARM = 1e-3

PRIOR = Prior(m0=[0.0], B0=[[9.0]], c0=2.0, C0=[[0.5]])
X = np.array([-2.1, -1.7, -0.4, 1.2, 2.4, 2.9])
ANCHORS = (-1.0, 1.5)

# Three rungs with noise above the posterior, near enough for exchanges.
LEVELS = np.array([2.6, 1.8, 1.3, 0.0])
N_DRAWS, N_NAIVE, N_CHAINS, N_BATCHES = 10_000, 2_500, 4, 20


def exact_means(own, rung):
    """Return E[sum of squared weights] and E[noised density at anchors] on a rung."""
    noise = max(rung - 1.0, 0.0) * own.units.scale[0]
    prior = PRIOR.replace(concentration=1.0 + added_concentration(own) * min(rung, 1.0))
    allocations, logs = exact.log_allocations(X, prior, noise)
    z = special.logsumexp(logs)
    shares, counts = np.exp(logs - z), allocations.sum(axis=1)
    a = prior.concentrations(2)[:, None] + np.stack([len(X) - counts, counts])
    total = a.sum(axis=0)
    squares = np.sum(shares * np.sum(a * (a + 1.0), axis=0) / (total * (total + 1.0)))
    more = [exact.log_allocations(np.append(X, at), prior, noise)[1] for at in ANCHORS]
    return np.array([squares, *(np.exp(special.logsumexp(one) - z) for one in more)])


def target():
    return Target.of(Data.of(X[:, None]), family_of("full"), PRIOR, 2)


def chain_of(own, rng):
    """Return a ladder chain on LEVELS, from prior draws."""
    states = np.stack([state_at(own, prior_start(own, rng)).everything for _ in LEVELS])
    passage = Passage(LEVELS, np.ones(len(LEVELS)), states, states, 0.0)
    draws = _candidate(own, prior_start(own, rng), False, 0, N_DRAWS, rng).draws
    chain = LadderChain(own, passage, len(LEVELS), draws, 500, rng)
    chain._placings = []  # the levels of this test stay
    return chain


def statistics(own, parameters, rung):
    """Return what `exact_means` is the mean of, (S, 3)."""
    weights, means, factors = parameters[:, :2], parameters[:, 2:4], parameters[:, 5:7]
    factors = factors / np.sqrt(1.0 + np.square(max(rung - 1.0, 0.0) * factors))
    columns = [np.square(weights).sum(axis=1)]
    for at in ANCHORS:
        white = factors * ((at - own.units.shift[0]) / own.units.scale[0] - means)
        densities = weights * factors * stats.norm.pdf(white) / own.units.scale[0]
        columns.append(densities.sum(axis=1))
    return np.stack(columns, axis=1)


def largest_z(values, means):
    """Return the largest |z| of values (C, S, 3) against exact means, and its limit."""
    batches = values.reshape(N_CHAINS * N_BATCHES, -1, values.shape[-1]).mean(axis=1)
    error = batches.std(axis=0, ddof=1) / np.sqrt(len(batches))
    z = (batches.mean(axis=0) - means) / error
    return np.abs(z).max(), stats.t(len(batches) - 1).isf(FALSE_ALARM / (2 * z.size))


def test_draws_of_level_0_are_those_of_the_posterior():
    own, values = target(), []
    for seed in range(N_CHAINS):
        chain = chain_of(own, np.random.default_rng(seed))
        chain.run(500 + N_DRAWS)
        values.append(statistics(own, chain.draws.parameters, 0.0))
        assert chain.swap_rates.min() > 0.1  # or exchanges would not be tested
        assert chain.ladder.trips[0] > 100
    z, limit = largest_z(np.stack(values), exact_means(own, 0.0))
    assert z < limit


def naive_ladder(own, fault, level, rng):
    """Return statistics of one level of the same chain by single calls of kernels."""
    chain = chain_of(own, rng)
    ladder, rows, prior = chain.ladder, own.rows, own.kernel_prior
    scratch = kernels.scratch_for(chain.state)
    out = np.empty((N_NAIVE, len(chain.state.everything)))
    for n in range(-200, N_NAIVE):
        for upper in range(n & 1, len(LEVELS) - 1, 2):
            ratio = kernels.log_swap_ratio(rows, prior, chain.state, ladder, upper, scratch)
            if np.log(rng.random()) < (-ratio if fault == "swap ratio inverted" else ratio):
                ladder.parameters[[upper, upper + 1]] = ladder.parameters[[upper + 1, upper]]
        for index, rung in enumerate(LEVELS):
            moved = min(rung, 1.0) if fault == "noise forgotten" else rung
            part = ladder.parameters[index : index + 1]
            kernels.move(rows, prior, chain.state, part, moved, ladder.extra[0], 1, rng)
        out[max(n, 0)] = ladder.parameters[level]
    return statistics(own, out, LEVELS[level])


@pytest.mark.parametrize(
    ("fault", "level"),
    [(None, 1), ("swap ratio inverted", -1), ("noise forgotten", 1)],
    ids=["no fault", "swap ratio inverted", "noise forgotten"],
)
def test_a_planted_fault_is_caught(fault, level):
    own = target()
    values = [naive_ladder(own, fault, level, np.random.default_rng(s)) for s in range(N_CHAINS)]
    z, limit = largest_z(np.stack(values), exact_means(own, LEVELS[level]))
    assert (z < limit) == (fault is None)


@pytest.mark.parametrize("k", [1, 2])
def test_evidence_is_exact(k):
    """Both ways within their errors; log 2! forgotten is 0.69, far outside.

    Under a concentration of 1 the Dirichlet density would be 1, and could be forgotten unseen.
    """
    x, prior = np.append(X, [0.3, -2.5]), PRIOR.replace(concentration=6.0)
    idata = sample(x[:, None], k, prior=prior, random_seed=1, progressbar=False)
    right = exact.log_evidence(x, prior, k)
    limit = stats.t(23).isf(FALSE_ALARM / 4)
    for method in ("bridge", "smc"):
        found = compute_log_evidence(idata, method=method, random_seed=2)
        assert abs(found.log_evidence - right) < limit * found.std_error
        assert found.std_error < 0.15  # log 2! is 4.6 of them
        assert found.method == method
