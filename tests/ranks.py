"""Simulation-based calibration: ranks of true parameters among posterior draws are uniform.

Talts, Betancourt, Simpson, Vehtari, Gelman (2018), arXiv:1804.06788. Parameters are drawn from one
frozen prior, rows from the mixture they make, and posterior draws given the rows under that same
prior. Each label-free quantity of the truth then has a uniform rank among independent draws. Draws
are thinned until they are as good as independent; a run that mixes slowly is made longer, never
dropped: to drop it would be to choose data sets.

Half of the data sets have few rows, n <= 5 K D, where the prior counts.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from diffgmm import Prior
from diffgmm.covariance import family_of
from diffgmm.data import Data
from diffgmm.kernels.allocation import ChainDraws
from diffgmm.kernels.marginal_step import SteppedState
from diffgmm.posterior import sample as posterior
from diffgmm.posterior.densities import weight_entropy
from diffgmm.posterior.families import covariance_prior
from diffgmm.posterior.gibbs import Target
from diffgmm.posterior.sample import Settings
from diffgmm.posterior.starts import prior_start
from diffgmm.posterior.telescoping import sample_telescoping

# Ranks among 31 draws fall into 8 bins of 4.
N_RANKED, BINS = 31, 8

# Thinned draws of an autoregressive chain with twice as many effective as ranked draws have a
# correlation of 0.02.
ENOUGH = 2 * N_RANKED
LARGEST_RHAT = 1.05

# Warm-up and draws of each of the chains at first; four times as many each time they do not do.
# Chains start at prior draws, as if handed over: without moves unless they disagree. With
# init="auto" they are those of `sample` by default, and start at fits.
DRAWS = 128
SETTINGS = Settings(draws=DRAWS, tune=200, chains=2, compute_log_likelihood=False, init="prior")
MOST_EXTENSIONS = 5


@dataclass(frozen=True)
class Problem:
    """A prior, K, and the numbers of rows of data sets in turn; `anchors` (A, D) for densities.

    `k` is None when the number of components is drawn, too.
    """

    prior: Prior
    k: int | None
    sizes: tuple[int, ...]
    anchors: np.ndarray


def spread_anchors(prior: Prior) -> np.ndarray:
    """Return three points along the prior of the means."""
    root = np.linalg.cholesky(prior.B0)
    return prior.m0 + np.array([[-1.5], [0.2], [1.0]]) * root.sum(axis=1)


def problem(prior: Prior, k: int | None, sizes: tuple[int, ...]) -> Problem:
    """Return the problem with its anchors."""
    return Problem(prior, k, sizes, spread_anchors(prior))


def few_and_many(k: int, d: int, many: int) -> tuple[int, ...]:
    """Return numbers of rows of which every second one is at most 5 K D."""
    return (2, many, k * d, many, 3 * k * d, many, 5 * k * d, many)


PROBLEMS = {
    "1-D, K = 2": problem(
        Prior(m0=[0.0], B0=[[4.0]], c0=2.0, C0=[[1.0]]), 2, few_and_many(2, 1, 40)
    ),
    "2-D, K = 3, full": problem(
        Prior(
            m0=[1.0, -20.0],
            B0=[[4.0, 10.0], [10.0, 100.0]],
            c0=3.0,
            g0=2.0,
            G0=[[3.0, 0.1], [0.1, 0.02]],
        ),
        3,
        few_and_many(3, 2, 60),
    ),
    "3-D, K = 2, diag": problem(
        Prior(
            m0=[1.0, -20.0, 0.0],
            B0=np.diag([4.0, 100.0, 0.01]),
            c0=2.0,
            g0=1.5,
            G0=[1.5, 0.02, 300.0],
            covariance_type="diag",
        ),
        2,
        few_and_many(2, 3, 60),
    ),
    "K unknown": problem(
        # The prior has two components on average.
        Prior(m0=[0.0], B0=[[4.0]], c0=2.0, C0=[[1.0]], max_components=20),
        None,
        few_and_many(2, 1, 30),
    ),
}

# What each method samples in a suite: the noise ladder has no moves between numbers of components.
METHODS = {
    "gibbs": PROBLEMS,
    "diffusion": {name: own for name, own in PROBLEMS.items() if own.k is not None},
}


def log_densities(x, weights, means, covariances):
    """Return log p(x_i | draw), (..., N), by solving with each covariance."""
    step = x[:, None, :] - means[..., None, :, :]
    inverse = np.linalg.inv(covariances)
    norm = np.einsum("...nka,...kab,...nkb->...nk", step, inverse, step)
    log_det = np.linalg.slogdet(covariances)[1] + x.shape[1] * np.log(2.0 * np.pi)
    with np.errstate(divide="ignore"):  # components that a draw does not have
        log_weights = np.log(weights)
    return special.logsumexp(
        log_weights[..., None, :] - 0.5 * (norm + log_det[..., None, :]), axis=-1
    )


def matrices(prior, covariances, k):
    """Return covariances of k components as matrices (..., k, D, D)."""
    unit = np.eye(prior.n_features)
    return {
        "full": lambda: covariances,
        "tied": lambda: np.stack([covariances] * k, axis=-3),
        "diag": lambda: covariances[..., None] * unit,
        "spherical": lambda: covariances[..., None, None] * unit,
        "identity": lambda: np.stack([unit] * k),
    }[prior.covariance_type]()


def simulate(prior, k, n, rng):
    """Return parameters from the prior and n rows given them.

    With k None their number is drawn; `n_filled` is then how many components have a row.
    """
    draw = {name: array[0] for name, array in prior.draw(k, 1, rng).items()}
    n_components = len(draw["weights"])
    owner = rng.choice(n_components, n, p=draw["weights"])
    roots = np.linalg.cholesky(matrices(prior, draw.get("covariances"), n_components))[owner]
    normals = rng.standard_normal((n, prior.n_features))
    if k is None:
        draw["n_filled"] = len(np.unique(owner))
    return draw, draw["means"][owner] + np.einsum("nab,nb->na", roots, normals)


def label_free(prior, parameters, rows, anchors):
    """Return what ranks are taken of, (..., Q), all of it from the parameters as users get them.

    Log prior plus log likelihood, log likelihood, largest weight, squared size of the means,
    log volume of the covariances unless they are known, log density at the anchors. With K unknown
    entropy of the weights, K, filled components and alpha, too; sums are over each draw's own K.
    """
    known = {name: parameters[name] for name in parameters if name != "n_filled"}
    log_prior = sum(prior.log_prior(**known).values())
    weights = parameters["weights"]
    unused = np.isnan(weights)
    weights = np.where(unused, 0.0, weights)
    means = np.where(unused[..., None], prior.m0, parameters["means"])
    covariances = matrices(prior, parameters.get("covariances"), weights.shape[-1])
    covariances = np.broadcast_to(covariances, (*means.shape, means.shape[-1]))
    covariances = np.where(unused[..., None, None], np.eye(prior.n_features), covariances)
    log_lik = log_densities(rows, weights, means, covariances).sum(axis=-1)
    step = means - prior.m0
    squares = np.einsum("...ka,ab,...kb->...", step, np.linalg.inv(prior.B0), step)
    columns = [log_lik + log_prior, log_lik, weights.max(axis=-1), squares]
    if covariance_prior(prior.covariance_type).is_free:
        columns.append(np.linalg.slogdet(covariances)[1].sum(axis=-1))
    if "n_components" in parameters:
        columns.append(weight_entropy(np.where(unused, 1.0, weights)))
        columns += [parameters[name] for name in ("n_components", "n_filled", "alpha")]
    densities = log_densities(anchors, weights, means, covariances)
    return np.concatenate([np.stack(columns, axis=-1), densities], axis=-1)


def sampled(problem, rows, assumed, settings, seed):
    """Return quantities of `DRAWS` posterior draws per chain (C, S, Q), by the code of `sample`.

    And what the chains had beside sweeps. Longer runs are thinned before anything is computed from
    them.
    """
    data, family = Data.of(rows), family_of(assumed.covariance_type)
    step = settings.draws // DRAWS
    if problem.k is None:
        draws = sample_telescoping(data, family, assumed, settings, seed)
        parameters = {
            name: getattr(draws, name)[:, step - 1 :: step]
            for name in (*draws.log_prior, "n_filled")
        }
        return label_free(assumed, parameters, rows, problem.anchors), set()
    target, starts = Target.of(data, family, assumed, problem.k), None
    if settings.init == "prior":
        rng = np.random.default_rng(seed)
        starts = [prior_start(target, rng) for _ in range(settings.chains)]
    busy = posterior.with_early_moves(target, settings, starts)
    chains = posterior.run_posterior(busy, settings, seed, starts).chains
    extras = set().union(*map(extras_of, chains))
    for chain in chains:
        draws = chain.draws
        *thinned, acceptance, jumps = (
            array[step - 1 :: step] for array in (*draws[:3], draws.acceptance, draws.jumps)
        )
        chain.draws = ChainDraws(*thinned, draws.pointwise, 1, acceptance, jumps)
    draws = posterior._collect(target, chains, DRAWS)
    parameters = {name: getattr(draws, name) for name in draws.log_prior}
    return label_free(assumed, parameters, rows, problem.anchors), extras


def extras_of(chain):
    """Return what a chain has beside sweeps."""
    has = {
        "moves": chain.target.moves is not None,
        "steps": isinstance(chain.state, SteppedState),
        "jumps": chain.target.jumps is not None,
    }
    return {name for name, is_there in has.items() if is_there}


def effective_sizes(draws):
    """Return R-hat and effective sample sizes of ranks of quantities (C, S, Q), each (Q,).

    Split chains, rank-normalised, Geyer's initial positive pairs: Vehtari et al. (2021). ArviZ does
    the same and takes longer than the draws.
    """
    c, s, q = draws.shape
    ranks = stats.rankdata(draws.reshape(c * s, q), axis=0).reshape(c, s, q)
    z = special.ndtri((ranks - 0.375) / (c * s + 0.25))[:, : 2 * (s // 2)]
    z = z.reshape(2 * c, -1, q)
    n = z.shape[1]
    centred = z - z.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(centred, 2 * n, axis=1)) ** 2
    covariance = np.fft.irfft(power, axis=1)[:, :n].mean(axis=0) / n
    within = covariance[0] * n / (n - 1) + 1e-300
    total = within * (n - 1) / n + z.mean(axis=1).var(axis=0, ddof=1)
    correlation = 1.0 - (within - covariance) / total
    pairs = correlation[: 2 * (n // 2)].reshape(-1, 2, q).sum(axis=1)
    pairs = np.minimum.accumulate(np.where(np.cumprod(pairs > 0.0, axis=0), pairs, 0.0), axis=0)
    time = np.maximum(2.0 * pairs.sum(axis=0) - 1.0, 1.0 / np.log10(c * s))
    return np.sqrt(total / within), c * s / time


class Ranked(NamedTuple):
    """Ranks (Q,) of one data set, how often its run was extended and what it had beside sweeps.

    is_enough : whether the run satisfied at the end.
    """

    ranks: np.ndarray
    extensions: int
    is_enough: bool
    extras: set[str]


def ranks_of(problem, assumed, n, seed, settings=SETTINGS) -> Ranked:
    """Return the ranks of the truth among posterior draws of one data set.

    Among draws that are equal to it, as numbers of components are, its place is random.
    """
    own, chains = seed.spawn(2)
    rng = np.random.default_rng(own)
    truth, rows = simulate(problem.prior, problem.k, n, rng)
    for extension in range(MOST_EXTENSIONS + 1):
        more = 4**extension
        longer = replace(settings, draws=settings.draws * more, tune=settings.tune * more)
        draws, extras = sampled(problem, rows, assumed, longer, chains)
        rhat, ess = effective_sizes(draws)
        is_enough = bool(rhat.max() < LARGEST_RHAT and ess.min() > ENOUGH)
        if is_enough:
            break
    flat = draws.reshape(-1, draws.shape[2])
    chosen = ((np.arange(N_RANKED) + rng.random()) * len(flat) / N_RANKED).astype(int)
    true = label_free(assumed, truth, rows, problem.anchors)
    below, equal = (flat[chosen] < true).sum(axis=0), (flat[chosen] == true).sum(axis=0)
    return Ranked(below + rng.integers(0, equal + 1), extension, is_enough, extras)


def smallest_p_value(ranks):
    """Return the smallest p-value, times their number, that ranks (n, Q) are uniform.

    Two tests of each quantity: chi-square over bins for the shape, the mean rank for a shift.
    """
    p_values = []
    for own in ranks.T:
        counts = np.bincount(own * BINS // (N_RANKED + 1), minlength=BINS)
        p_values.append(stats.chisquare(counts).pvalue)
        sd = np.sqrt(((N_RANKED + 1) ** 2 - 1) / 12.0 / len(own))
        p_values.append(2.0 * stats.norm.sf(abs(own.mean() - N_RANKED / 2.0) / sd))
    return min(p_values) * len(p_values)


def ranked_sets(problem, assumed, sets, seed, settings=SETTINGS) -> list[Ranked]:
    """Return the ranks of `sets` data sets; `assumed` is the prior of the sampler."""
    seeds = np.random.SeedSequence(seed).spawn(sets)
    sizes = [problem.sizes[i % len(problem.sizes)] for i in range(sets)]
    return [
        ranks_of(problem, assumed, n, own, settings) for n, own in zip(sizes, seeds, strict=True)
    ]


def calibrate(problem, assumed, sets, seed, settings=SETTINGS):
    """Return the ranks (sets, Q) alone."""
    return np.stack([one.ranks for one in ranked_sets(problem, assumed, sets, seed, settings)])


class Suite(NamedTuple):
    """How a suite went: the smallest p-value times the number of all, that of each problem, its sets."""

    p_value: float
    p_values: dict[str, float]
    sets: dict[str, list[Ranked]]


def suite(sets, seed, assume=lambda prior: prior, settings=SETTINGS, problems=None) -> Suite:
    """Calibrate some problems, or all that the method samples, on `sets` data sets each.

    `assume` plants a fault in the prior.
    A problem's p-value is already multiplied by the number of its tests, here again by the number
    of all problems: one false alarm in 1 / level suites. Its data sets are the same whatever else is
    calibrated.
    """
    p_values, ranked, every = {}, {}, METHODS[settings.method]
    for number, (name, own) in enumerate(every.items()):
        if problems is not None and name not in problems:
            continue
        ranked[name] = ranked_sets(own, assume(own.prior), sets, (seed, number), settings)
        ranks = np.stack([one.ranks for one in ranked[name]])
        p_values[name] = smallest_p_value(ranks) * len(every)
    return Suite(min(p_values.values()), p_values, ranked)
