"""Effective draws per second of pm.sample with our distribution and with PyMC's own form.

python benchmarks/pymc/effective_draws.py [--rows 1000] [--full]

Both models start at the same initvals and use the same NUTS; sampling time leaves compilation out.
"""

import argparse
import logging
import time
import warnings

import numpy as np
import pymc as pm

import diffgmm.pymc as dp
from diffgmm.report.inference_data import rhat_and_ess


def model_of(rows, k, full, ours):
    d = rows.shape[1]
    with pm.Model() as model:
        w = pm.Dirichlet("w", np.full(k, 2.0))
        mu = pm.Normal("mu", 0.0, 10.0, shape=(k, d))
        if full:
            sd = pm.Exponential.dist(1.0, shape=d)
            roots = [pm.LKJCholeskyCov(f"L{j}", n=d, eta=2.0, sd_dist=sd)[0] for j in range(k)]
        else:
            roots = [np.eye(d)] * k
        if ours:
            import pytensor.tensor as pt

            given = {"chol": pt.stack(roots)} if full else {"sigma": 1.0}
            dp.GaussianMixture("y", w, mu, **given, observed=rows)
        else:
            parts = [pm.MvNormal.dist(mu[j], chol=roots[j]) for j in range(k)]
            pm.Mixture("y", w, parts, observed=rows)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--sampler", default="pymc", choices=("pymc", "nutpie"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("pymc").setLevel(logging.ERROR)
    rng = np.random.default_rng(0)
    k, d = 3, 3
    centres = 8.0 * rng.standard_normal((k, d))
    rows = centres[rng.integers(0, k, options.rows)] + rng.standard_normal((options.rows, d))
    means = {}
    for ours in (True, False):
        model = model_of(rows, k, options.full, ours)
        starts = dp.initvals(model, chains=2, random_seed=1)
        options_of_nuts = {"init": "adapt_diag"}
        if options.sampler == "nutpie":  # takes one start for all chains
            starts, options_of_nuts = starts[0], {}
        with model:
            begin = time.process_time()
            idata = pm.sample(
                options.draws,
                tune=options.draws,
                chains=2,
                cores=1,
                initvals=starts,
                **options_of_nuts,
                random_seed=1,
                progressbar=False,
                nuts_sampler=options.sampler,
                compute_convergence_checks=False,
            )
            whole = time.process_time() - begin
        seconds = idata["posterior"].attrs["sampling_time"]
        mu = idata["posterior"]["mu"].values
        ess = np.median(rhat_and_ess({"mu": mu})["mu"][1])
        divergent = int(idata["sample_stats"]["diverging"].values.sum())
        means[ours] = mu.mean(axis=(0, 1)), mu.std(axis=(0, 1)) / np.sqrt(ess)
        print(
            f"PyMC {pm.__version__} {'ours' if ours else 'pm.Mixture':11s}{ess:7.0f} effective draws, "
            f"sampling {seconds:6.1f} s, {ess / seconds:7.1f} a second, with compilation "
            f"{whole:5.1f} s CPU, {divergent} divergences",
            flush=True,
        )
    z = (means[True][0] - means[False][0]) / np.hypot(means[True][1], means[False][1])
    print(f"largest |z| of means between the two: {np.abs(z).max():.1f}")


if __name__ == "__main__":
    main()
