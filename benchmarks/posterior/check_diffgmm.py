"""Draws of this package against the reference posteriors of `reference.json`.

python benchmarks/posterior/check_diffgmm.py [--draws 10000] [--chains 4] [--seed 1]

Old Faithful (K = 2) and the galaxies (K = 3), each with the package's default prior and with the
fixed prior of the benchmark. The z of every label-free quantity is printed by `compare.py`, with
the threshold for the whole family of comparisons.
"""

import argparse
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import problems

import diffgmm

HERE = Path(__file__).parent


def fixed_prior(problem):
    """Return the benchmark's prior as this package writes it: invwishart(2 c0, 2 C0)."""
    return diffgmm.Prior(
        m0=problem.m0, B0=np.diag(problem.b**2), c0=problem.df / 2, C0=problem.S / 2
    )


def draw(name, problem, arguments):
    """Return the draws of one problem as `compare.py` wants them."""
    prior = fixed_prior(problem) if name.endswith("fixed") else None
    idata = diffgmm.sample(
        problem.x,
        problem.K,
        prior=prior,
        draws=arguments.draws,
        chains=arguments.chains,
        random_seed=arguments.seed,
        progressbar=False,
        compute_log_likelihood=False,
    )
    posterior, stats = idata["posterior"], idata["sample_stats"]
    arrays = {name: np.asarray(posterior[name]) for name in posterior.data_vars}
    return arrays | {name: np.asarray(stats[name]) for name in ("lp", "log_lik")}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    warnings.simplefilter("ignore", diffgmm.errors.ConvergenceWarning)
    with tempfile.TemporaryDirectory() as folder:
        pairs = []
        for name, problem in problems.PROBLEMS.items():
            path = Path(folder) / f"{name}.npz"
            np.savez(path, **draw(name, problem, options))
            pairs.append(f"{name}={path}")
        sys.exit(subprocess.call([sys.executable, HERE / "compare.py", *pairs]))
