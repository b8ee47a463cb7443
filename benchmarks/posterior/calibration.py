"""Simulation-based calibration of `diffgmm.sample`, and of the calibration itself.

    python benchmarks/posterior/calibration.py [--sets 300] [--suites 20] [--method gibbs] [--seed 0] [--only FAULT ...]

The suite of tests/ranks.py: 1-D K = 2, 2-D K = 3 full, 3-D diag, K unknown, `--sets` data sets each, half of them with
few rows (n <= 5 K D); `--method diffusion` has the first of them. Ranks of the joint log density, log likelihood,
largest weight, size of the means, volume of the covariances and the log density of three points; with K unknown of the
entropy of the weights, K, filled components and alpha, too, at random among equal draws. Two tests of each quantity,
Bonferroni's correction over all of them: one false alarm in a thousand suites. Then `--suites` suites with each planted
fault, which must be caught in 19 of 20; a suite counts as caught with the first problem that sees the fault, and the
problem that sees it best comes first. Exit status 1 when a suite is rejected, 2 when faults get through. `--only`
leaves out the suite without a fault and takes the faults whose names begin so.
"""

import argparse
import sys
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
import faults
import ranks

FALSE_ALARM = 1e-3
SHARE_CAUGHT = 0.95


def unchanged(prior):
    """Return the prior."""
    return prior


# What plants each fault, and the problem that is looked at first.
FIRST = "1-D, K = 2"
FAULTS = {
    "inverse-Wishart scale x 2": (faults.with_scale_doubled, nullcontext, FIRST),
    "sd of the means x 2": (faults.with_wide_means, nullcontext, FIRST),
    "alignment that touches draws": (unchanged, faults.touching_alignment, FIRST),
    "forgotten K!/(K - K_+)!": (
        *(unchanged, partial(faults.sweeping, faults.without_factorials), "K unknown"),
    ),
    "forgotten Jacobian of alpha": (
        *(unchanged, partial(faults.sweeping, faults.without_jacobian), "K unknown"),
    ),
}


def caught(sets, seed, fault, method):
    """Return whether a suite with a fault is rejected."""
    assume, context, first = fault
    problems = ranks.METHODS[method]
    with context():
        for name in sorted(problems, key=lambda own: own != first):
            one = ranks.suite(sets, seed, assume, method, {name: problems[name]})
            if one.p_value * len(problems) < FALSE_ALARM:
                return True
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=300)
    parser.add_argument("--suites", type=int, default=20)
    parser.add_argument("--method", choices=list(ranks.METHODS), default="gibbs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", metavar="FAULT")
    options = parser.parse_args()
    if options.only is None and not is_calibrated(options):
        return 1
    let_through = False
    for name, fault in FAULTS.items():
        if fault[2] not in ranks.METHODS[options.method]:
            continue
        if options.only is not None and not name.startswith(tuple(options.only)):
            continue
        seeds = range(options.seed + 1, options.seed + 1 + options.suites)
        n = sum(caught(options.sets, seed, fault, options.method) for seed in seeds)
        let_through |= n < SHARE_CAUGHT * options.suites
        print(f"{name}: caught in {n} of {options.suites} suites", flush=True)
    return 2 if let_through else 0


def is_calibrated(options):
    """Print the p-values of the suite without a fault, and return whether it is accepted."""
    began = time.process_time()
    result = ranks.suite(options.sets, options.seed, method=options.method)
    for name, p_value in result.p_values.items():
        print(f"{name:20s} smallest corrected p-value {p_value:.3g}")
    seconds = time.process_time() - began
    print(
        f"{options.method}, {options.sets} sets each: {result.p_value:.3g}, limit {FALSE_ALARM}; "
        f"{seconds:.0f} s of CPU",
        flush=True,
    )
    return result.p_value > FALSE_ALARM


if __name__ == "__main__":
    sys.exit(main())
