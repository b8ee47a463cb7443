"""A posterior as a prior: data given in two halves beside data given at once, on two modes.

python benchmarks/pymc/halves.py [--seeds 5] [--draws 2000]

y ~ N(theta^2, 1) with theta ~ N(0.2, 1) cannot tell theta from -theta, the prior can a little. Exact
moments by a grid. A single normal instead of a mixture stands beside it.
"""

import argparse
import logging
import warnings

import numpy as np
import pymc as pm

import diffgmm.pymc as dp


def exact(rows):
    grid = np.linspace(-4.0, 4.0, 40_001)
    log_p = -0.5 * (grid - 0.2) ** 2 - 0.5 * ((rows[:, None] - grid**2) ** 2).sum(axis=0)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    mean = grid @ p
    return mean, np.sqrt((grid - mean) ** 2 @ p), p[grid > 0].sum()


def draws_of(model, seed, draws):
    idata = dp.sample(
        model,
        draws=draws,
        tune=300,
        chains=4,
        cores=1,
        random_seed=seed,
        progressbar=False,
        compute_convergence_checks=False,
    )
    return idata, idata["posterior"]["theta"].values.ravel()


def in_two_steps(rows, seed, draws, n_components):
    half = len(rows) // 2
    with pm.Model() as first:
        theta = pm.Normal("theta", 0.2, 1.0)
        pm.Normal("y", theta**2, 1.0, observed=rows[:half])
    idata, _ = draws_of(first, seed, draws)
    with pm.Model() as second:
        prior = dp.prior_from_idata(
            idata, ["theta"], model=first, n_components=n_components, random_seed=seed
        )
        pm.Normal("y", prior["theta"] ** 2, 1.0, observed=rows[half:])
    return draws_of(second, seed + 1000, draws)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--draws", type=int, default=2000)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("pymc").setLevel(logging.ERROR)
    for seed in range(options.seeds):
        rows = 1.2**2 + np.random.default_rng(seed).standard_normal(16)
        mean, sd, share = exact(rows)
        for label, k in (("mixture", None), ("one normal", 1)):
            theta = in_two_steps(rows, seed, options.draws, k)
            print(
                f"seed {seed} {label:11s}difference of means {(theta.mean() - mean) / sd:+.3f} sd  "
                f"ratio of sds {theta.std() / sd:.3f}  weight of theta > 0 {np.mean(theta > 0):.3f} "
                f"(exact {share:.3f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
