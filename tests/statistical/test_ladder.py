"""The noise ladder's draws are the posterior's, and evidences are right: exact by enumeration."""

import exact
import numpy as np
import pytest
from scipy import stats

from diffgmm import Prior, compute_log_evidence, sample
from diffgmm.covariance import family_of
from diffgmm.data import Data
from diffgmm.kernels import ladder as kernels
from diffgmm.posterior.gibbs import Target
from diffgmm.posterior.ladder import LadderChain
from diffgmm.posterior.smc import Passage
from diffgmm.posterior.starts import prior_start, state_at
from diffgmm.posterior.warm_up import _candidate

pytestmark = pytest.mark.statistical

# False alarms of one test, over all its statistics.
FALSE_ALARM = 1e-3

PRIOR = Prior(m0=[0.0], B0=[[9.0]], c0=2.0, C0=[[0.5]])
X = np.array([-2.1, -1.7, -0.4, 1.2, 2.4, 2.9])
ANCHORS = (-1.0, 1.5)

# Two rungs with noise, two with added concentration only, and the posterior.
LEVELS = np.array([3.0, 1.6, 1.0, 0.5, 0.0])
N_DRAWS, N_CHAINS, N_BATCHES = 10_000, 4, 20


def exact_means():
    """Return P(one component filled), E[sum of squared weights] and E[density at anchors]."""
    allocations, logs = exact.log_allocations(X, PRIOR)
    shares = np.exp(logs - logs.max())
    shares /= shares.sum()
    counts = allocations.sum(axis=1)
    filled = np.sum(shares[(counts == 0) | (counts == len(X))])
    a = 1.0 + np.stack([len(X) - counts, counts])
    total = a.sum(axis=0)
    squares = np.sum(shares * np.sum(a * (a + 1.0), axis=0) / (total * (total + 1.0)))
    z = exact.log_evidence(X, PRIOR, 2)
    densities = [np.exp(exact.log_evidence(np.append(X, at), PRIOR, 2) - z) for at in ANCHORS]
    return np.array([filled, squares, *densities])


def target():
    return Target.of(Data.of(X[:, None]), family_of("full"), PRIOR, 2)


def chain_of(own, rng):
    """Return a ladder chain on LEVELS, from prior draws."""
    states = np.stack([state_at(own, prior_start(own, rng)).everything for _ in LEVELS])
    passage = Passage(LEVELS, np.ones(len(LEVELS)), states, states, 0.0)
    draws = _candidate(own, prior_start(own, rng), False, 0, N_DRAWS, rng).draws
    chain = LadderChain(own, passage, len(LEVELS), draws, 500, rng)
    chain._placings = []  # noqa: SLF001  the levels of this test stay
    return chain


def statistics(own, parameters, n_filled):
    """Return what `exact_means` is the mean of, (S, 4)."""
    weights, means, factors = parameters[:, :2], parameters[:, 2:4], parameters[:, 5:7]
    columns = [n_filled == 1, np.square(weights).sum(axis=1)]
    for at in ANCHORS:
        white = factors * ((at - own.units.shift[0]) / own.units.scale[0] - means)
        densities = weights * factors * stats.norm.pdf(white) / own.units.scale[0]
        columns.append(densities.sum(axis=1))
    return np.stack(columns, axis=1)


def largest_z(values):
    """Return the largest |z| of means (C, S, 4) against the exact ones, and its limit."""
    batches = values.reshape(N_CHAINS * N_BATCHES, -1, values.shape[-1]).mean(axis=1)
    error = batches.std(axis=0, ddof=1) / np.sqrt(len(batches))
    z = (batches.mean(axis=0) - exact_means()) / error
    return np.abs(z).max(), stats.t(len(batches) - 1).isf(FALSE_ALARM / (2 * z.size))


def test_draws_of_level_0_are_those_of_the_posterior():
    own, values = target(), []
    for seed in range(N_CHAINS):
        chain = chain_of(own, np.random.default_rng(seed))
        chain.run(500 + N_DRAWS)
        values.append(statistics(own, chain.draws.parameters, chain.draws.n_filled))
        assert chain.swap_rates.min() > 0.1  # or exchanges would not be tested
        assert chain.ladder.trips[0] > 100
    z, limit = largest_z(np.stack(values))
    assert z < limit


def naive_ladder(own, fault, rng, n_sweeps):
    """Return statistics of the same chain by single calls of kernels, with a planted fault."""
    chain = chain_of(own, rng)
    ladder, rows, prior = chain.ladder, own.rows, own.kernel_prior
    scratch = kernels.scratch_for(chain.state)
    out = np.empty((n_sweeps, len(chain.state.everything)))
    for n in range(n_sweeps):
        for upper in range(n & 1, len(LEVELS) - 1, 2):
            ratio = kernels.log_swap_ratio(rows, prior, chain.state, ladder, upper, scratch)
            if np.log(rng.random()) < (-ratio if fault == "swap ratio inverted" else ratio):
                ladder.parameters[[upper, upper + 1]] = ladder.parameters[[upper + 1, upper]]
        for level, rung in enumerate(LEVELS):
            moved = min(rung, 1.0) if fault == "noise forgotten" else rung
            part = ladder.parameters[level : level + 1]
            kernels.move(rows, prior, chain.state, part, moved, ladder.extra[0], 1, rng)
        out[n] = ladder.parameters[-1]
    return statistics(own, out[500:], np.zeros(n_sweeps - 500))[:, 1:]


@pytest.mark.parametrize("fault", ["swap ratio inverted", "noise forgotten"])
def test_a_planted_fault_is_caught(fault):
    own = target()
    values = [naive_ladder(own, fault, np.random.default_rng(s), 5_500) for s in range(N_CHAINS)]
    filled = np.random.default_rng(0).random((N_CHAINS, 5_000, 1)) < exact_means()[0]
    z, limit = largest_z(np.concatenate([filled, np.stack(values)], axis=2))
    assert z > limit


@pytest.mark.parametrize("k", [1, 2])
def test_evidence_is_exact(k):
    """Both ways within their errors; log 2! forgotten is 0.69, far outside."""
    x = np.append(X, [0.3, -2.5])
    idata = sample(x[:, None], k, prior=PRIOR, random_seed=1, progressbar=False)
    right = exact.log_evidence(x, PRIOR, k)
    limit = stats.t(23).isf(FALSE_ALARM / 4)
    for method in ("bridge", "smc"):
        found = compute_log_evidence(idata, method=method, random_seed=2)
        assert abs(found.log_evidence - right) < limit * found.std_error
        assert found.std_error < 0.15  # log 2! is 4.6 of them
        assert found.method == method
