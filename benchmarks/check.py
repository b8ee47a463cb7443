"""The misfit check: how often it alarms where the mixture is right, and where it is wrong.

python benchmarks/check.py [--level 38] [--power 100] [--rows 300 2000 20000] [--bootstrap 19]

`--level N` checks N data sets for each size, dimension (1, 2, 8) and number of components (1, 3, 8),
from random mixtures of that many components. With exchangeable data sets the rate at 5 % is the same
for any number of null data sets of which 20 is a factor plus one: 19 are enough to measure it, and
p <= 0.05 means that the rows' statistic is the largest of 20.

`--power N` checks N data sets of each alternative with 39 null data sets, beside BIC (does it choose
more components?) and a posterior predictive check (standard deviation, skewness, kurtosis, smallest
and largest value of every feature and of the distance to the mean; the largest deviation from the
replicates' mean in their standard deviations, ranked among the replicates).
"""

import argparse
import time
import warnings

import numpy as np

import diffgmm

LEVEL = 0.05
DIMENSIONS = (1, 2, 8)
COMPONENTS = (1, 3, 8)


def random_mixture(d, k, rng):
    """Return a mixture with overlapping and separate components of different shapes."""
    weights = 0.1 / k + 0.9 * rng.dirichlet(np.full(k, 5.0))
    scale = 2.5 * np.sqrt(k) if d == 1 else 3.2 / np.sqrt(d)
    covariances = []
    for _ in range(k):
        axes = np.linalg.qr(rng.standard_normal((d, d)))[0]
        values = np.exp(rng.uniform(0.0, np.log(5.0), d))
        covariances.append(axes * (values / np.exp(np.log(values).mean())) @ axes.T)
    means = scale * rng.standard_normal((k, d))
    return diffgmm.GaussianMixture(weights, means, np.array(covariances))


def p_value(x, k, seed, n_bootstrap):
    fit = diffgmm.fit(x, k, random_seed=seed, progressbar=False, cores=1)
    return diffgmm.check(
        fit, x, n_bootstrap=n_bootstrap, random_seed=seed, progressbar=False, cores=1
    ).p_value


def measure_level(sizes, n_sets, n_bootstrap):
    alarms = total = 0
    print(f"alarms at 5 % in {n_sets} data sets each, {n_bootstrap} null data sets")
    for n in sizes:
        for d in DIMENSIONS:
            for k in COMPONENTS:
                start, own = time.perf_counter(), 0
                for seed in range(n_sets):
                    rng = np.random.default_rng([n, d, k, seed])
                    x = random_mixture(d, k, rng).sample(n, rng)
                    own += p_value(x, k, seed, n_bootstrap) <= LEVEL
                alarms, total = alarms + own, total + n_sets
                seconds = (time.perf_counter() - start) / n_sets
                print(
                    f"n={n:6d} D={d} K={k} {own:4d} / {n_sets}   {seconds:7.2f} s each", flush=True
                )
    rate = alarms / total
    error = np.sqrt(LEVEL * (1.0 - LEVEL) / total)
    print(f"all: {alarms} / {total} = {rate:.4f} (0.05 ± {error:.4f})")


def groups(n, rng, centres):
    return np.array(centres, float)[rng.integers(len(centres), size=n)]


def merged(n, rng):
    return groups(n, rng, [[0, 0], [2.5, 0], [6, 3]]) + rng.standard_normal((n, 2))


def merged_8d(n, rng):
    centres = np.zeros((3, 8))
    centres[1, 0], centres[2, 1] = 3.5, 6.0
    return groups(n, rng, centres) + rng.standard_normal((n, 8))


def all_merged(n, rng):
    return groups(n, rng, [[0, 0], [2, 0], [0, 2]]) + rng.standard_normal((n, 2))


def skewed(n, rng):
    return groups(n, rng, [[0, 0], [6, 0]]) + (rng.gamma(8.0, size=(n, 2)) - 8.0) / np.sqrt(8.0)


def heavy(n, rng):
    scale = np.sqrt(2.0 * rng.chisquare(4, size=(n, 1)) / 4.0)
    return groups(n, rng, [[0, 0], [6, 0]]) + rng.standard_normal((n, 2)) / scale


def ring(n, rng):
    angle = rng.uniform(0.0, 2.0 * np.pi, n)
    return 4.0 * np.c_[np.cos(angle), np.sin(angle)] + 0.5 * rng.standard_normal((n, 2))


def right(n, rng):
    return groups(n, rng, [[0, 0], [3, 0]]) + rng.standard_normal((n, 2))


ALTERNATIVES = {
    "two for two": (right, 2),
    "two for three overlapping": (merged, 2),
    "two for three, 8-D": (merged_8d, 2),
    "one for three overlapping": (all_merged, 1),
    "two skewed (gamma 8)": (skewed, 2),
    "two t(4)": (heavy, 2),
    "ring, 4 components": (ring, 4),
}


def summaries(rows):
    """Return statistics of data sets (..., N, D), shape (..., 5 (D + 1))."""
    centred = rows - rows.mean(axis=-2, keepdims=True)
    distance = np.linalg.norm(centred, axis=-1, keepdims=True)
    columns = np.concatenate([rows, distance], axis=-1)
    centred = columns - columns.mean(axis=-2, keepdims=True)
    sd = centred.std(axis=-2)
    moments = [(centred**power).mean(axis=-2) / sd**power for power in (3, 4)]
    return np.concatenate([sd, *moments, columns.min(axis=-2), columns.max(axis=-2)], axis=-1)


def predictive_p(x, k, seed):
    """Return the posterior predictive p of the largest standardised deviation of any statistic."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        idata = diffgmm.sample(
            x, k, draws=200, tune=200, chains=2, random_seed=seed, progressbar=False, cores=1
        )
    rows = idata["posterior_predictive"]["x"].values
    replicated = summaries(rows.reshape(-1, *rows.shape[2:]))
    mean, sd = replicated.mean(axis=0), replicated.std(axis=0)
    largest = np.abs((replicated - mean) / sd).max(axis=1)
    own = np.abs((summaries(x) - mean) / sd).max()
    return (1 + (largest >= own).sum()) / (1 + len(largest))


def measure_power(sizes, n_sets):
    print(f"share of {n_sets} data sets in which each finds something")
    print(f"{'':28s}{'n':>6s} {'check':>6s} {'BIC':>6s} {'predictive':>10s}", flush=True)
    for name, (draw, k) in ALTERNATIVES.items():
        for n in sizes:
            found = np.zeros(3)
            for seed in range(n_sets):
                rng = np.random.default_rng([n, seed])
                x = draw(n, rng)
                bic = diffgmm.fit(x, range(1, k + 5), random_seed=seed, progressbar=False, cores=1)
                found += (
                    p_value(x, k, seed, 39) <= LEVEL,
                    bic.mixture.n_components > k,
                    predictive_p(x, k, seed) <= LEVEL,
                )
            check, bic, predictive = found / n_sets
            print(f"{name:28s}{n:6d} {check:6.2f} {bic:6.2f} {predictive:10.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--level", type=int, default=38)
    parser.add_argument("--power", type=int, default=0)
    parser.add_argument("--rows", type=int, nargs="+", default=[300, 2000, 20000])
    parser.add_argument("--bootstrap", type=int, default=19)
    arguments = parser.parse_args()
    if arguments.level:
        measure_level(arguments.rows, arguments.level, arguments.bootstrap)
    if arguments.power:
        measure_power(arguments.rows, arguments.power)


if __name__ == "__main__":
    main()
