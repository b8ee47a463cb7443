"""Simulation-based calibration of `diffgmm.sample`, and of the calibration itself.

    python benchmarks/posterior/calibration.py [--sets 300] [--suites 20] [--method gibbs] [--seed 0]

The suite of tests/ranks.py: 1-D K = 2, 2-D K = 3 full, 3-D diag, `--sets` data sets each, half of them with n <= 5 K D
rows; ranks of the joint log density, log likelihood, largest weight, size of the means, volume of the covariances and
the log density of three points. Two tests of each quantity, Bonferroni's correction over all of them: one false alarm
in a thousand suites. Then `--suites` suites with each planted fault, which must be caught in 19 of 20; a suite counts
as caught with the first problem that sees the fault. Exit status 1 when a suite is rejected, 2 when faults get through.
"""

import argparse
import sys
import time
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
import ranks

FALSE_ALARM = 1e-3
SHARE_CAUGHT = 0.95
FAULTS = {
    "inverse-Wishart scale x 2": (ranks.with_scale_doubled, nullcontext),
    "sd of the means x 2": (ranks.with_wide_means, nullcontext),
    "alignment that touches draws": (lambda prior: prior, ranks.touching_alignment),
}


def caught(sets, seed, assume, context, method):
    """Return whether a suite with a fault is rejected; the cheapest problem comes first."""
    everything = len(ranks.PROBLEMS)
    with context():
        for name, problem in ranks.PROBLEMS.items():
            one = ranks.suite(sets, seed, assume, method, {name: problem})
            if one.p_value * everything < FALSE_ALARM:
                return True
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=300)
    parser.add_argument("--suites", type=int, default=20)
    parser.add_argument("--method", choices=list(ranks.METHODS), default="gibbs")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    method = ranks.METHODS[options.method]
    began = time.process_time()
    result = ranks.suite(options.sets, options.seed, method=method)
    for name, p_value in result.p_values.items():
        print(f"{name:20s} smallest corrected p-value {p_value:.3g}")
    seconds = time.process_time() - began
    print(f"{options.method}, {options.sets} sets each: {result.p_value:.3g}, limit {FALSE_ALARM}; {seconds:.0f} s of CPU")
    let_through = False
    for name, (assume, context) in FAULTS.items():
        seeds = range(options.seed + 1, options.seed + 1 + options.suites)
        n = sum(caught(options.sets, seed, assume, context, method) for seed in seeds)
        let_through |= n < SHARE_CAUGHT * options.suites
        print(f"{name}: caught in {n} of {options.suites} suites", flush=True)
    return 1 if not result.p_value > FALSE_ALARM else 2 if let_through else 0


if __name__ == "__main__":
    sys.exit(main())
