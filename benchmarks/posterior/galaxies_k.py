"""The number of clusters of galaxies: the telescoping sampler against its authors' published run.

    python benchmarks/posterior/galaxies_k.py [--draws 4000] [--seed 1]

Prior of Richardson and Green (1997), as in the vignette "Bayesian Univariate Gaussian Mixtures with
the Telescoping Sampler" of the R package telescope 0.2-0: K uniform on 1 .. 30, weights | K ~
Dirichlet(1), mu ~ N(midrange, R^2), sigma^2 ~ invgamma(2, C0), C0 ~ gamma(0.2, 10 / R^2).

Published there: P(K | y) as numbers with two decimals, P(K_+ | y) as bars, read off here to 0.002,
of which that of K_+ = 5 is printed, too: 2582 of 10,000 draws. One chain of 10,000 sweeps has
about 30 effective draws of K_+ (0.003 a sweep): of 40 such chains of this sampler the total
variation to their mean has the median 0.07 and the 10 % and 90 % quantiles 0.04 and 0.12. So the
published shares cannot be met better than to about 0.05. Richardson and Green's (1997, table 1)
P(K | y), by reversible jumps, is a second reference; its numbers are as the vignette "Gaussian
Mixtures" of the R package sBIC quotes them.

Measured: total variation of K_+ 0.052 with 4 x 16,000 draws (K 0.047; Richardson and Green 0.022),
0.048 and 0.054 with 4 x 4,000 (7 s of CPU).

The data are those of R's MASS::galaxies with its 26.96 (78th of 82), in 1000 km/s.
"""

import argparse
import time
import warnings

import numpy as np

import diffgmm
from diffgmm.report.inference_data import rhat_and_ess

# K or K_+ = 1, 2, 3, ...
PUBLISHED_FILLED = [0, 0, 0.057, 0.183, 0.258, 0.222, 0.154, 0.078, 0.030, 0.012, 0.005, 0.001]
PUBLISHED_K = [0, 0, 0.05, 0.15, 0.21, 0.20, 0.16, 0.11, 0.06, 0.03, 0.02, 0.01]
RICHARDSON_GREEN_K = [0, 0, 0.061, 0.128, 0.182, 0.199, 0.160, 0.109, 0.071, 0.040, 0.023, 0.013]

MOST = 30


def galaxies():
    x = np.asarray(diffgmm.datasets.load_galaxies().data, dtype=float).copy()
    x[np.isclose(x, 26.69)] = 26.96
    return x


def prior_of(x):
    spread = float(np.ptp(x))
    return diffgmm.Prior(
        m0=[0.5 * (x.min() + x.max())],
        B0=[[spread**2]],
        c0=2.0,
        g0=0.2,
        G0=[[10.0 / spread**2]],
        dynamic=False,
        concentration=1.0,
        k_probabilities=np.ones(MOST),
        max_components=MOST,
    )


def shares(numbers):
    return np.bincount(numbers.ravel(), minlength=MOST + 1)[1:] / numbers.size


def total_variation(p, published):
    other = np.zeros(len(p))
    other[: len(published)] = published
    return 0.5 * np.abs(p - other / other.sum()).sum()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    x = galaxies()
    settings = {"prior": prior_of(x), "compute_log_likelihood": False, "progressbar": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # too few draws to judge: this run only compiles
        diffgmm.sample(x, draws=10, tune=20, chains=2, random_seed=0, **settings)
    began, cpu = time.perf_counter(), time.process_time()
    idata = diffgmm.sample(x, draws=options.draws, random_seed=options.seed, **settings)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    posterior = idata["posterior"]
    filled, k = posterior["n_filled"].values, posterior["n_components"].values
    p_filled, p_k = shares(filled), shares(k)
    print("  K   K_+ ours  published      K ours  published  Richardson-Green")
    rows = zip(p_filled, PUBLISHED_FILLED, p_k, PUBLISHED_K, RICHARDSON_GREEN_K)
    for number, row in enumerate(rows, start=1):
        print(f"{number:3d}{row[0]:11.3f}{row[1]:11.3f}{row[2]:12.3f}{row[3]:11.2f}{row[4]:18.3f}")
    print(
        f"total variation: K_+ {total_variation(p_filled, PUBLISHED_FILLED):.3f} (target 0.05), "
        f"K {total_variation(p_k, PUBLISHED_K):.3f}, "
        f"K of Richardson and Green {total_variation(p_k, RICHARDSON_GREEN_K):.3f}"
    )
    ((rhat, ess),) = rhat_and_ess({"n_filled": filled.astype(float)}).values()
    sweeps = posterior.attrs["sweeps_per_draw"]
    print(
        f"{filled.shape[0]} chains of {filled.shape[1]:,} draws, {sweeps} sweeps each: "
        f"{seconds:.1f} s, {cpu:.1f} s of CPU; K_+: R-hat {float(rhat):.3f}, ESS {float(ess):,.0f}"
    )


if __name__ == "__main__":
    main()
