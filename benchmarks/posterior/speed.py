"""Effective draws per second, and seconds from the call to 400 effective draws, beside other samplers.

    python benchmarks/posterior/speed.py [galaxies faithful overlap unequal ten] [--draws 1000 10000] [--seeds 1]

Five problems with one model: weights ~ Dirichlet(1, ..., 1), means_kj ~ N(mean_j, (2 sd_j)^2), covariances_k ~
invwishart(D + 2, cov / K^(2 / D)), in one dimension invgamma(2, var / (2 K^2)), or known unit covariances. ESS is
the smallest rank-normalised bulk ESS over the log likelihood, sorted weights, sorted first coordinates of the means
and the log density of three rows, as it was for the others. `PEERS` holds what they reached with 4 chains x 1000
draws after 1000 of warm-up on a two-core machine of the same kind, compilation apart; `--peers FILE` replaces it by
a later measurement in the same form.

One run counts all seconds of a call of `sample_posterior` (starts, warm-up, sweeps, alignment) after a first call
that loads the kernels; the column "call" is `diffgmm.sample` in a fresh process, import apart, cached kernels loaded,
InferenceData with all its groups built, with as many draws as 400 effective ones need.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

import diffgmm
from diffgmm.covariance import family_of
from diffgmm.data import Data
from diffgmm.datasets import load_faithful, load_galaxies
from diffgmm.posterior.mixture_draws import MixtureDraws
from diffgmm.posterior.sample import Settings, sample_posterior
from diffgmm.report.inference_data import rhat_and_ess

# (tool, smallest ESS, seconds of sampling with warm-up, seconds of compilation). A tool whose R-hat was above 1.01
# has the ESS None. NumPy Gibbs: a plain sampler of 40 lines, at most as exact as this one.
PEERS = {
    "galaxies": [("NumPyro", 1864, 0.362, 11.6), ("nutpie", None, 0.34, 20.0), ("NumPy Gibbs", 20480, 13.7, 0.0)],
    "faithful": [("nutpie", 2079, 0.678, 50.0), ("NumPyro", 1696, 2.11, 24.7), ("NumPy Gibbs", 18030, 6.37, 0.0)],
    "overlap": [("nutpie", 1460, 7.74, 52.0), ("NumPyro", 1231, 21.8, 19.3), ("NumPy Gibbs", 890, 15.2, 0.0)],
    "unequal": [("nutpie", 1908, 2.19, 18.3), ("NumPyro", 1937, 260.0, 7.8), ("NumPy Gibbs", 2610, 1.33, 0.0)],
    "ten": [("nutpie", 1351, 10.1, 20.6), ("NumPyro", 1542, 56.5, 12.5), ("NumPy Gibbs", 3999, 8.86, 0.0)],
}
WANTED = 400

# A chain is in a wrong mode when its median log likelihood is so many nats below the best one's.
LOW = 5.0


def _mixture(rng, n, weights, means, covariances):
    cumulative = np.cumsum(np.asarray(weights) / np.sum(weights))[:-1]
    component = np.searchsorted(cumulative, rng.random_sample(n))
    normals = rng.standard_normal((n, len(means[0])))
    return np.asarray(means)[component] + np.einsum("nab,nb->na", np.linalg.cholesky(covariances)[component], normals)


def _overlap():
    covariances = [[[1.0, 0.6], [0.6, 1.0]], [[0.8, -0.4], [-0.4, 1.2]], [[1.5, 0.0], [0.0, 0.4]], [[0.5, 0.2], [0.2, 0.5]]]
    means = [[0.0, 0.0], [3.0, 0.5], [0.5, 3.2], [3.5, 4.0]]
    return _mixture(np.random.RandomState(3), 2000, [0.35, 0.30, 0.20, 0.15], means, covariances), 4, "full"


def _ten():
    rng = np.random.RandomState(4)
    means = 1.1 * rng.standard_normal((5, 10))
    unit = np.tile(np.eye(10), (5, 1, 1))
    return _mixture(rng, 5000, [0.30, 0.25, 0.20, 0.15, 0.10], means, unit), 5, "identity"


def _unequal():
    means = [[-20.0, 0.0], [-16.0, 0.0], [20.0, 0.0]]
    return _mixture(np.random.RandomState(5), 1000, np.ones(3), means, np.tile(np.eye(2), (3, 1, 1))), 3, "identity"


# NumPy's frozen legacy generator: the rows that the others had.
PROBLEMS = {
    "galaxies": lambda: (np.asarray(load_galaxies().data, float), 3, "full"),
    "faithful": lambda: (np.asarray(load_faithful().data, float), 2, "full"),
    "overlap": _overlap,
    "unequal": _unequal,
    "ten": _ten,
}


def benchmark_prior(x, k, covariance_type):
    """Return the prior of the head of this file."""
    d = x.shape[1]
    known = {"m0": x.mean(axis=0), "B0": np.diag(4.0 * x.var(axis=0, ddof=1)), "covariance_type": covariance_type}
    if covariance_type == "identity":
        return diffgmm.Prior(**known)
    scale = np.atleast_2d(np.cov(x.T)) / k ** (2.0 / d)
    return diffgmm.Prior(**known, c0=(4.0 if d == 1 else d + 2.0) / 2.0, C0=scale / 2.0)


def quantities(x, draws):
    """Return the label-free quantities of PosteriorDraws, each (chain, draw)."""
    n, (c, s, k) = len(x), draws.weights.shape
    out = {"log_lik": draws.log_lik}
    out |= {f"weight[{j}]": own for j, own in enumerate(np.moveaxis(np.sort(draws.weights), -1, 0))}
    out |= {f"mean[{j}]": own for j, own in enumerate(np.moveaxis(np.sort(draws.means[..., 0]), -1, 0))}
    own = draws.target.covariance_prior.as_full(draws.covariances, k, x.shape[1])
    matrices = np.ascontiguousarray(np.broadcast_to(own, (c, s, k, x.shape[1], x.shape[1])))
    flat = (a.reshape(c * s, *a.shape[2:]) for a in (draws.weights, draws.means, matrices))
    at = MixtureDraws(*flat).log_density(x[[n // 6, n // 2, 5 * n // 6]])
    return out | {f"density[{j}]": own.reshape(c, s) for j, own in enumerate(at.T)}


def run(problem, draws, tune, seed, cores):
    """Return seconds, CPU seconds, and the draws of one run."""
    x, k, family = PROBLEMS[problem]()
    settings = Settings(draws=draws, tune=tune, cores=cores, compute_log_likelihood=False)
    prior = benchmark_prior(x, k, family)
    arguments = Data.of(x), family_of(family), prior, k
    began, cpu = time.perf_counter(), time.process_time()
    out = sample_posterior(*arguments, settings, np.random.SeedSequence(seed))
    return time.perf_counter() - began, time.process_time() - cpu, quantities(x, out), out


def from_call(problem, draws, tune, seed):
    """Return seconds and CPU seconds of `diffgmm.sample` in a fresh process, import apart."""
    command = [sys.executable, __file__, "--one-call", problem, str(draws), str(tune), str(seed)]
    # Installed packages have their bytecode, so that one under work may have it, too.
    keep = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    seconds, cpu = subprocess.run(command, check=True, capture_output=True, text=True, env=keep).stdout.split()
    return float(seconds), float(cpu)


def one_call(problem, draws, tune, seed):
    import arviz  # noqa: F401  what the result is made of: the clocks of others, too, started after their imports

    x, k, family = PROBLEMS[problem]()
    prior = benchmark_prior(x, k, family)
    began, cpu = time.perf_counter(), time.process_time()
    diffgmm.sample(x, k, draws=draws, tune=tune, prior=prior, covariance_type=family, random_seed=seed, progressbar=False)
    print(time.perf_counter() - began, time.process_time() - cpu)


def peer_rows(peers):
    """Return (tool, ESS per second, seconds from the call to 400 effective draws or None)."""
    for tool, ess, sampling, compiling in peers:
        if ess is None:
            yield tool, None, None
        else:  # to its favour: as if the warm-up, too, shrank with the draws
            yield tool, ess / sampling, compiling + sampling * min(1.0, WANTED / ess)


def report(problem, options, peers):
    run(problem, 20, 20, 0, options.cores)  # loads the kernels
    best = None
    for draws in options.draws:
        for seed in options.seeds:
            seconds, cpu, own, out = run(problem, draws, options.tune, seed, options.cores)
            results = rhat_and_ess(own)
            least = min(results, key=lambda name: float(results[name][1]))
            ess, rhat = float(results[least][1]), max(float(r) for r, _ in results.values())
            print(
                f"{problem:9s} seed {seed} 4 x {draws:6d} draws: {seconds:6.3f} s ({out.seconds:.3f} sweeps, CPU {cpu:.3f}), "
                f"ESS {ess:6.0f} ({least}), {ess / (4 * draws):.3f} per sweep, R-hat {rhat:.3f}, {ess / seconds:8.0f} ESS/s, {ess / cpu:8.0f} per second of CPU"
            )
            medians = np.median(out.log_lik, axis=1)
            if (stuck := int((medians < medians.max() - LOW).sum())) > 0:
                print(f"{problem:9s} seed {seed}: {stuck} chains in a lower mode")
            rate = ess / (cpu if options.cpu else seconds)
            best = max(best or 0.0, rate) if rhat < 1.01 else best
            share = ess / (4 * draws)
    call = None
    if options.call:
        needed = max(100, int(1.3 * WANTED / share / 4))
        call, cpu = min(from_call(problem, needed, options.tune, seed) for seed in options.seeds)
        print(f"{problem:9s} fresh process, 4 x {needed} draws: {call:.3f} s ({cpu:.3f} s of CPU) from the call to {WANTED} effective draws")
    for tool, rate, start in peer_rows(peers):
        if rate is None:
            print(f"{problem:9s} {tool:12s} peer failed: R-hat above 1.01")
            continue
        ratio = f"{best / rate:6.1f} x" if best else "  -"
        call = cpu if call and options.cpu else call
        line = f"{problem:9s} {tool:12s} {rate:8.0f} ESS/s, {start:6.1f} s from the call: this package {ratio}"
        print(line + (f", {start / call:6.1f} x sooner" if call else ""))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one-call"]:
        warnings.simplefilter("ignore")
        one_call(sys.argv[2], *map(int, sys.argv[3:]))
        sys.exit()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*", default=list(PROBLEMS))
    parser.add_argument("--draws", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--tune", type=int, default=1_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--call", action="store_true", help="time fresh processes as well")
    parser.add_argument("--cpu", action="store_true", help="on a busy machine: one core's CPU seconds for seconds")
    parser.add_argument("--peers", type=Path, help="JSON in the form of PEERS")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    measured = json.loads(given.peers.read_text()) if given.peers else PEERS
    for name in given.problems:
        report(name, given, measured[name])
