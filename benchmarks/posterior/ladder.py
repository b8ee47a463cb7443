"""The noise ladder and the evidence against their targets, one line each.

python benchmarks/posterior/ladder.py [--only galaxies means small penguins evidence] [--seeds 10 --first-seed 0]

Chains start from draws of the prior, without any fit, those of "gibbs" also where they start by default;
the prior
is the "fixed" one of `problems.py`. R-hat is that of log_lik. `small` is eight features, six
components and 300 rows; `means` are -20, -16 and 20 with full covariances and 1000 rows. Two cores.
`--seeds 3 --draws 300` takes some minutes, the default an hour.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "tests")]

import exact  # noqa: E402
import zoo  # noqa: E402

import diffgmm  # noqa: E402
from diffgmm.report.inference_data import rhat_and_ess  # noqa: E402

# Gibbs from prior draws and from the default starts, the ladder.
HOW = [("gibbs", {"init": "prior"}), ("gibbs", {"init": "auto"}), ("diffusion", {})]


def fixed_prior(x, k):
    """Return the benchmark's prior: invwishart(D + 2, cov / K^(2 / D)), 4 degrees if D = 1."""
    d = x.shape[1]
    return diffgmm.Prior(
        m0=x.mean(axis=0),
        B0=np.diag(4.0 * x.var(axis=0, ddof=1)),
        c0=(d + 2) / 2 if d > 1 else 2.0,
        C0=np.atleast_2d(np.cov(x.T)) / k ** (2.0 / d) / 2.0,
    )


def problems():
    """Return rows, number of components, and the target of every problem."""
    rng, mixtures = np.random.default_rng(3), zoo.mixtures(4)
    means = mixtures["far_pair_k3"][0].sample(1000, rng)
    small = mixtures["full_d8_k6"][0].sample(300, rng)
    galaxies = np.asarray(diffgmm.datasets.load_galaxies().data)
    penguins = np.asarray(diffgmm.datasets.load_penguins().data)
    return {
        "galaxies": (galaxies, 3, "R-hat < 1.01 in every seed"),
        "means": (means, 3, "every chain in the mode with the higher lp"),
        "small": (small, 6, "R-hat < 1.05 within 60 s on two cores"),
        "penguins": (penguins, 3, "R-hat < 1.01"),
    }


def run(name, x, k, seed, arguments, **how):
    """Print one line for one run."""
    began, watch = time.process_time(), time.perf_counter()
    idata = diffgmm.sample(
        x,
        k,
        prior=fixed_prior(x, k),
        draws=arguments.draws,
        tune=arguments.draws,
        cores=2,
        random_seed=seed,
        progressbar=False,
        compute_log_likelihood=False,
        **how,
    )
    seconds, watch = time.process_time() - began, time.perf_counter() - watch
    stats = idata["sample_stats"]
    rhat, ess = rhat_and_ess({"log_lik": stats["log_lik"].values})["log_lik"]
    line = f"{name:9s} {how['method']:9s} {how.get('init', ''):5s} seed {seed} R-hat {float(rhat):.3f} ESS {float(ess):6.0f}"
    line += f" lp by chain {stats['lp'].values.mean(axis=1).round(1)}"
    line += f" {seconds:.1f} s of CPU, {watch:.1f} s"
    if "split_merge_rate" in stats:
        line += f" moves {np.nanmean(stats['split_merge_rate'].values):.3f}"
    if "jump_rate" in stats:
        line += f" jumps {np.nanmean(stats['jump_rate'].values):.3f}"
    if "swap_rate" in stats:
        rates = np.nanmean(stats["swap_rate"].values, axis=0)[:-1]
        line += f" levels {len(rates) + 1} swaps {rates.min():.2f} to {rates.max():.2f}"
        line += f" round trips {stats['round_trips'].values}"
    print(line, flush=True)


def evidence(n_replicates):
    """Print the calibration of standard errors on data whose evidence is enumerated."""
    prior = diffgmm.Prior(m0=[0.0], B0=[[9.0]], c0=2.0, C0=[[0.5]])
    for k in (1, 2):
        for method in ("bridge", "smc"):
            z, size = [], 1000 if method == "bridge" else 2
            for seed in range(n_replicates):
                rng = np.random.default_rng(seed)
                x = rng.choice([-2.0, 2.0], 8) + 0.7 * rng.standard_normal(8)
                idata = diffgmm.sample(
                    x[:, None], k, prior=prior, draws=size, random_seed=seed, progressbar=False
                )
                found = diffgmm.compute_log_evidence(idata, method=method, random_seed=seed)
                z.append((found.log_evidence - exact.log_evidence(x, prior, k)) / found.std_error)
            print(
                f"evidence  K={k} {method:6s} sd of z {np.std(z, ddof=1):.2f} mean {np.mean(z):+.2f} "
                f"over {n_replicates} replicates   target: 0.8 to 1.25",
                flush=True,
            )


def main():
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--methods", nargs="*", choices=["gibbs", "diffusion"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--replicates", type=int, default=100)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for name, (x, k, target) in problems().items():
        if arguments.only is None or name in arguments.only:
            print(f"{name}: target {target}")
            seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
            for seed in seeds:
                for method, init in HOW:
                    if arguments.methods is None or method in arguments.methods:
                        run(name, x, k, seed, arguments, method=method, **init)
    if arguments.only is None or "evidence" in arguments.only:
        evidence(arguments.replicates)


if __name__ == "__main__":
    main()
