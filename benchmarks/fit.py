"""Fits of mixtures with a known truth: distance to the best optimum, time and memory, beside scikit-learn.

python benchmarks/fit.py [--seeds 0 1 2] [--repeats 1] [--families] [--alone] [--peers] [--out FILE] [--save]

Each problem of `zoo.mixtures`, and with `--families` of `families.mixtures`, is fitted with one thread on
both sides, in turn. The gap is the mean log likelihood per row minus that of EM started at the truth (run
here to 1e-9), in nats. A fit has found the optimum when its gap is above -1e-4 and its density of 100,000
fresh rows no more than 0.005 nats below that of EM started at the truth: a better likelihood with a worse
density is an overfit. Fits that fail the first condition are counted as `low`, the second as `fresh`. TV is
the total variation to the truth. `--alone` leaves scikit-learn out; `--peers` adds it at tol=1e-5, n_init=1 and 10, and its
BayesianGaussianMixture. Memory is how far it rose above what was in use before the fit (Linux only).
`--save` writes tutorials/benchmarks/fit.md and fit.png.
"""

import argparse
import ctypes
import json
import time
import warnings
from functools import partial
from pathlib import Path

import families
import fit_report
import numpy as np
import zoo
from threadpoolctl import threadpool_limits

import diffgmm
from diffgmm.covariance import FAMILIES
from diffgmm.data import Data
from diffgmm.learn.em import Parameters, Problem, run_em
from diffgmm.learn.search import Units

# A fit this close to EM from the truth, in nats per row, has found the optimum; and one whose
# density of fresh rows is this far below has found a singular one.
SAME_OPTIMUM = 1e-4
FRESH_ROWS = 100_000
FRESH_LOSS = 5e-3


def from_truth(x, truth, family):
    """Return the mixture that EM reaches from the truth, and its mean log likelihood per row."""
    data = Data.of(x)
    units = Units.of(data, family)
    problem = Problem.of(data.rows(units.shift, units.scale), family, 1)
    start = Parameters(
        truth.weights,
        (truth.means - units.shift) / units.scale,
        family.from_full(truth.covariances / np.outer(units.scale, units.scale)),
    )
    result = run_em(problem, start, tolerance=1e-9, max_passes=10_000)
    optimum = units.to_user(result, family, problem.n_effective)
    mixture = diffgmm.GaussianMixture(
        optimum.weights, optimum.means, family.as_full(optimum.covariances, data.n_features)
    )
    return mixture, optimum.log_likelihood / len(x)


def ours(k, seed, covariance_type="full"):
    """Return how this package fits."""
    options = {"covariance_type": covariance_type, "random_seed": seed, "cores": 1}
    return lambda x: diffgmm.fit(x, k, **options).mixture


def scikit_learn(k, seed, **options):
    """Return how scikit-learn fits."""
    bayesian = options.pop("bayesian", False)

    def run(x):
        from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

        kind = BayesianGaussianMixture if bayesian else GaussianMixture
        model = kind(n_components=k, random_state=seed, **options).fit(x)
        family, d = FAMILIES[model.covariance_type], x.shape[1]
        covariances = model.covariances_
        if family.is_shared:
            covariances = np.repeat(covariances[None], k, axis=0)
        return diffgmm.GaussianMixture(
            model.weights_, model.means_, family.as_full(covariances, d)
        )

    return run


STRICT = {"tol": 1e-5, "max_iter": 500}
FITTERS = {
    "diffgmm": ours,
    "sklearn": scikit_learn,
}
PEERS = {
    "sklearn tol=1e-5": partial(scikit_learn, **STRICT),
    "sklearn n_init=10": partial(scikit_learn, n_init=10, **STRICT),
    "sklearn Bayesian": partial(scikit_learn, bayesian=True, max_iter=500),
}


def measured(fit, x):
    """Return what `fit` finds, its seconds and the rise of memory in MB.

    In this process: a forked one pays for every page that it touches, and OpenMP may hang in it.
    """
    before = _reset_peak_memory()
    start = time.perf_counter()
    found = fit(x)
    return found, time.perf_counter() - start, _memory("VmHWM") - before


def _reset_peak_memory():
    """Give free memory back, let Linux count the peak anew, and return what is in use in MB."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(name):
    """Return a figure of this process's memory in MB, as Linux counts it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 2**10


def problems_of(seed, with_families, names):
    """Yield set, name, mixture, number of rows and covariance type of every problem."""
    zoos = {name: (*problem, "full") for name, problem in zoo.mixtures(seed).items()}
    for source, problems in (("zoo.py", zoos), ("families.py", families.mixtures(seed))):
        for name, problem in problems.items():
            if (with_families or source == "zoo.py") and (not names or name in names):
                yield source, name, *problem


def run(seeds, repeats, fitters, names=None, with_families=False):
    """Return one record for every fit; scikit-learn has no known unit covariance."""
    records = []
    for seed in seeds:
        for source, name, truth, n_rows, kind in problems_of(seed, with_families, names):
            family = FAMILIES[kind]
            x = truth.sample(n_rows, np.random.default_rng([seed, 1]))
            fresh = truth.sample(FRESH_ROWS, np.random.default_rng([seed, 2]))
            reference, best = from_truth(x, truth, family)
            best_fresh = reference.log_density(fresh).mean()
            for repeat in range(repeats):
                for fitter, make in fitters.items():
                    if kind == "identity" and make is not ours:
                        continue
                    fit = make(len(truth.weights), repeat, covariance_type=kind)
                    found, seconds, memory = measured(fit, x)
                    records.append({
                        "set": source, "problem": name, "seed": seed, "repeat": repeat, "fitter": fitter,
                        "gap": float(found.log_density(x).mean() - best),
                        "fresh_gap": float(found.log_density(fresh).mean() - best_fresh),
                        "seconds": seconds, "memory": memory,
                        "total_variation": float(zoo.total_variation(truth, _Peer(found), n=5_000)),
                    })  # fmt: skip
            _print_rows([r for r in records if (r["problem"], r["seed"]) == (name, seed)])
    return records


class _Peer:
    """A fitted mixture with the interface of the zoo's targets."""

    def __init__(self, mixture):
        self.mixture = mixture

    def sample(self, n, rng):
        return self.mixture.sample(n, rng)

    def logp(self, x):
        return self.mixture.log_density(x)


def found_optimum(record):
    """Whether a fit is as good as EM from the truth, on the rows and on fresh ones."""
    return record["gap"] > -SAME_OPTIMUM and record["fresh_gap"] > -FRESH_LOSS


def _print_rows(records):
    fitters = list(dict.fromkeys(r["fitter"] for r in records))
    name, seed = records[0]["problem"], records[0]["seed"]
    parts = [f"{name:<26}{seed:>3}"]
    for fitter in fitters:
        own = [r for r in records if r["fitter"] == fitter]
        parts.append(
            f"{fitter} {np.median([r['gap'] for r in own]):+.5f} "
            f"worst {min(r['gap'] for r in own):+.5f} "
            f"TV {np.mean([r['total_variation'] for r in own]):.3f} "
            f"{np.mean([r['seconds'] for r in own]):.3f} s "
            f"{max(r['memory'] for r in own):.0f} MB"
        )
    print(" | ".join(parts), flush=True)


def summary(records):
    """Return one row for every set of problems and fitter.

    Seconds are compared on the fits that both make: scikit-learn has no known unit covariance.
    """
    rows = []
    for source, fitter in dict.fromkeys((r["set"], r["fitter"]) for r in records):
        own = [r for r in records if (r["set"], r["fitter"]) == (source, fitter)]
        fits = {_fit_of(r) for r in own}
        first = [r for r in records if r["fitter"] == records[0]["fitter"] and _fit_of(r) in fits]
        seconds = sum(r["seconds"] for r in own)
        rows.append({
            "set": source, "fitter": fitter, "fits": len(own), "found": sum(map(found_optimum, own)),
            "worst_gap": min(r["gap"] for r in own),
            "total_variation": float(np.mean([r["total_variation"] for r in own])),
            "seconds": seconds, "relative": seconds / sum(r["seconds"] for r in first),
            "memory": max(r["memory"] for r in own),
        })  # fmt: skip
    return rows


def _fit_of(record):
    return record["problem"], record["seed"], record["repeat"]


def summarise(records):
    """Print, for every fitter, how often it found the optimum, how long it took and its memory."""
    print(f"\n{'problems':<13}{'fitter':<20}{'optimum found':>15}{'worst gap':>11}{'mean TV':>9}{'seconds':>10}"
          f"{'relative':>10}{'peak MB':>9}")  # fmt: skip
    for row in summary(records):
        found = f"{row['found']} of {row['fits']}"
        print(f"{row['set']:<13}{row['fitter']:<20}{found:>15}{row['worst_gap']:>11.4f}"
              f"{row['total_variation']:>9.3f}{row['seconds']:>10.2f}"
              f"{row['relative']:>10.2f}{row['memory']:>9.0f}")  # fmt: skip


def summarise_problems(records):
    """Print, for every problem and fitter, how many fits found the optimum and why the others did not."""
    print(f"\n{'problem':<26}{'fitter':<20}{'optimum found':>15}{'low':>5}{'fresh':>7}{'worst gap':>11}"
          f"{'worst fresh':>13}{'seconds':>10}")  # fmt: skip
    for (problem, fitter), own in fit_report.grouped(records).items():
        low = [r["gap"] <= -SAME_OPTIMUM for r in own]
        fresh = [r["fresh_gap"] <= -FRESH_LOSS for r in own]
        found = f"{sum(map(found_optimum, own))} of {len(own)}"
        print(f"{problem:<26}{fitter:<20}{found:>15}{sum(low):>5}{sum(fresh):>7}"
              f"{min(r['gap'] for r in own):>11.5f}{min(r['fresh_gap'] for r in own):>13.5f}"
              f"{np.mean([r['seconds'] for r in own]):>10.3f}")  # fmt: skip


def command_of(arguments):
    """Return the command that repeats this run."""
    parts = ["python benchmarks/fit.py --seeds", *arguments.seeds, "--repeats", arguments.repeats]
    parts += ["--families"] * arguments.families + ["--alone"] * arguments.alone
    parts += ["--peers"] * arguments.peers + ["--save"]
    if arguments.problems:
        parts += ["--problems", *arguments.problems]
    return " ".join(map(str, parts))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--families", action="store_true", help="problems of families.py as well")
    parser.add_argument("--alone", action="store_true", help="without scikit-learn")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--problems", nargs="*")
    parser.add_argument("--save", action="store_true", help="write the table and the figure")
    parser.add_argument("--out", type=Path, help="write every record here as JSON")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    chosen = {"diffgmm": ours} if arguments.alone else FITTERS | (PEERS if arguments.peers else {})
    with threadpool_limits(1):
        warm = np.random.default_rng(0).standard_normal((200, 2))
        wide = np.random.default_rng(0).standard_normal((200, 20))
        for rows in (warm, wide):
            ours(2, 0)(rows), scikit_learn(2, 0)(rows)
            scikit_learn(2, 0, bayesian=True)(rows)
        found = run(
            arguments.seeds, arguments.repeats, chosen, arguments.problems, arguments.families
        )
    summarise_problems(found)
    summarise(found)
    for fitter in chosen:
        own = [r for r in found if r["fitter"] == fitter]
        n_found = sum(map(found_optimum, own))
        print(f"{fitter}: found {n_found} of {len(own)} ({n_found / len(own):.1%})")
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1))
    if arguments.save:
        fit_report.save(found, summary(found), found_optimum, command_of(arguments))
