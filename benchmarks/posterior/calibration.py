"""Simulation-based calibration of `diffgmm.sample`, and of the calibration itself.

    python benchmarks/posterior/calibration.py [--sets 300] [--suites 20] [--method gibbs] [--way sweeps] [--seed 0]
        [--problems NAME ...] [--only FAULT ...]

The suite of tests/ranks.py: 1-D K = 2, 2-D K = 3 full, 3-D diag, K unknown, `--sets` data sets each, half of them with
few rows (n <= 5 K D); `--method diffusion` has those with K given. Ranks of the joint log density, log
likelihood, largest weight, size of the means, volume of the covariances and the log density of three points; with K
unknown of the entropy of the weights, K, filled components and alpha, too, at random among equal draws. Two tests of
each quantity, Bonferroni's correction over all of them: one false alarm in a thousand suites.

Chains of gibbs start at draws of the prior and have what `sample` gives them of itself; `--way auto`: they start as
those of `sample` do by default; moves, steps, jumps: every chain that can has split-merge moves, steps without
allocations, or moves and jumps. Printed is the share of sets in which a chain had them, how often runs were extended,
and how many were not long enough at the end.

Then `--suites` suites with each planted fault, which must be caught in 19 of 20; a suite counts as caught with the
first problem that sees the fault, and the problem that sees it best comes first. Exit status 1 when a suite is
rejected, 2 when faults get through. `--only` leaves out the suite without a fault and takes the faults whose names
begin so; without names there are none.
"""

import argparse
import sys
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
import faults
import forced
import ranks

FALSE_ALARM = 1e-3
SHARE_CAUGHT = 0.95


def unchanged(prior):
    """Return the prior."""
    return prior


# Settings of each way, and what forces it. Jumps want a long warm-up.
WAYS = {
    "sweeps": ({}, nullcontext),
    "auto": ({"init": "auto"}, nullcontext),
    "moves": ({"moves": True}, nullcontext),
    "steps": ({}, forced.steps),
    "jumps": ({"moves": True, "tune": 1_000}, forced.jumps),
}
FORCED = ("moves", "steps", "jumps")

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


def caught(sets, seed, fault, settings, problems):
    """Return whether a suite with a fault is rejected."""
    assume, context, first = fault
    with context():
        for name in sorted(problems, key=lambda own: own != first):
            if ranks.suite(sets, seed, assume, settings, [name]).p_value < FALSE_ALARM:
                return True
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=300)
    parser.add_argument("--suites", type=int, default=20)
    parser.add_argument("--method", choices=list(ranks.METHODS), default="gibbs")
    parser.add_argument("--way", choices=list(WAYS), default="sweeps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--problems", nargs="*", metavar="NAME", default=[""])
    parser.add_argument("--only", nargs="*", metavar="FAULT")
    options = parser.parse_args()
    changes, context = WAYS[options.way]
    settings = replace(ranks.SETTINGS, method=options.method, **changes)
    problems = [
        name
        for name, own in ranks.METHODS[options.method].items()
        if name.startswith(tuple(options.problems))
        and (own.k is not None or options.way not in FORCED)
    ]
    with context():
        if options.only is None and not is_calibrated(options, settings, problems):
            return 1
        return 0 if faults_are_caught(options, settings, problems) else 2


def faults_are_caught(options, settings, problems):
    """Print how often each fault is caught, and return whether that is often enough."""
    let_through = False
    for name, fault in FAULTS.items():
        if fault[2] not in problems or options.suites == 0:
            continue
        if options.only is not None and not name.startswith(tuple(options.only)):
            continue
        began = time.process_time()
        seeds = range(options.seed + 1, options.seed + 1 + options.suites)
        n = sum(caught(options.sets, seed, fault, settings, problems) for seed in seeds)
        let_through |= n < SHARE_CAUGHT * options.suites
        seconds = time.process_time() - began
        print(
            f"{name}: caught in {n} of {options.suites} suites of {options.sets} sets; "
            f"{seconds:.0f} s of CPU",
            flush=True,
        )
    return not let_through


def is_calibrated(options, settings, problems):
    """Print the p-values of the suite without a fault, and return whether it is accepted."""
    began = time.process_time()
    result = ranks.suite(options.sets, options.seed, settings=settings, problems=problems)
    for name, p_value in result.p_values.items():
        print(
            f"{name:20s} smallest corrected p-value {p_value:.3g}; {described(result.sets[name])}"
        )
    seconds = time.process_time() - began
    print(
        f"{options.method}, {options.way}, {options.sets} sets each: {result.p_value:.3g}, "
        f"limit {FALSE_ALARM}; {seconds:.0f} s of CPU",
        flush=True,
    )
    return result.p_value > FALSE_ALARM


def described(sets):
    """Return what runs had beside sweeps, how often they were extended, and how many too rarely."""
    extras = Counter(name for one in sets for name in sorted(one.extras))
    shares = ", ".join(f"{name} in {n / len(sets):.0%}" for name, n in extras.items())
    extended = sorted(Counter(one.extensions for one in sets).items())
    short = sum(not one.is_enough for one in sets)
    return f"{shares or 'sweeps alone'}; extensions {dict(extended)}, {short} not enough"


if __name__ == "__main__":
    sys.exit(main())
