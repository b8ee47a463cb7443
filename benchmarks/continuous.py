"""Continuous mixtures: how near draws come to fresh rows, beside peers and beside what data allow.

python benchmarks/continuous.py [--seeds 0 1 ...] [--targets ring ...] [--rows 20000] [--forest]

Each target of `zoo.continuous` and `manifolds` gives 5,000 rows per seed. Every method draws
`--rows` rows, and the sliced Wasserstein distance to as many fresh rows is averaged over seeds:

    diffgmm    diffgmm.fit(X, None, model="diffusion").sample(n)
    kde        a Gaussian kernel density estimate, bandwidth by leave-one-out likelihood
    bic        scikit-learn's GaussianMixture with the smallest BIC, up to 40 components
    forest     ForestDiffusion (flow, its defaults), with --forest where it is installed: minutes each
    train      the training rows themselves, drawn with replacement: memorising
    shifted    a perfect sampler whose mean is off by as much as the training rows' is
    floor      a perfect sampler

and beside them: the ratio of diffgmm to the best peer and to `shifted`; the mean distance to the
nearest training row over that of fresh rows (1 is right, 0 memorises); score evaluations of a draw;
gates; seconds of fit and draws. One thread for peers, every core for diffgmm.
"""

import argparse
import time
import warnings

import numpy as np
import zoo
from manifolds import manifolds
from threadpoolctl import threadpool_limits

import diffgmm

N_TRAIN = 5_000
N_DIRECTIONS = 200
PEERS = ("kde", "bic", "forest")

# Rows that the nearest neighbours and the likelihood of a bandwidth are averaged over.
SOME_ROWS = 1_000

# Numbers of components that BIC chooses from; it stops after so many in a row that are worse.
NUMBERS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 23, 26, 30, 35, 40)
PATIENCE = 4


def targets(seed):
    """Return {name: sample} of every target."""
    return {name: target.sample for name, (target, _) in zoo.continuous(seed).items()} | manifolds()


def squared_distances(x, y):
    """Return |x_i - y_j|^2, (N, M)."""
    return np.maximum((x**2).sum(1)[:, None] + (y**2).sum(1) - 2.0 * x @ y.T, 0.0)


def kde(x, n, rng):
    """Return n draws of the kernel estimate whose bandwidth predicts left-out rows best."""
    index = rng.choice(len(x), min(SOME_ROWS, len(x)), replace=False)
    squares = squared_distances(x[index], x)
    squares[np.arange(len(index)), index] = np.inf

    def likelihood(h):
        exponents = -squares / (2.0 * h * h)
        largest = exponents.max(axis=1)
        sums = np.exp(exponents - largest[:, None]).sum(axis=1)
        return np.mean(np.log(sums) + largest) - x.shape[1] * np.log(h)

    bandwidths = np.geomspace(0.02, 1.0, 24) * x.std(axis=0).mean()
    best = max(bandwidths, key=likelihood)
    return x[rng.integers(len(x), size=n)] + best * rng.standard_normal((n, x.shape[1]))


def bic(x, n, seed):
    """Return n draws of scikit-learn's mixture with the smallest BIC."""
    from sklearn.mixture import GaussianMixture

    best, least, worse = None, np.inf, 0
    for k in NUMBERS:
        found = GaussianMixture(k, random_state=seed).fit(x)
        value = found.bic(x)
        best, worse = (found, 0) if value < least else (best, worse + 1)
        least = min(value, least)
        if worse == PATIENCE:
            break
    best.random_state = seed + 1
    return best.sample(n)[0]


def forest(x, n, seed):
    """Return n draws of ForestDiffusion with its default settings."""
    from ForestDiffusion import ForestDiffusionModel

    model = ForestDiffusionModel(x, diffusion_type="flow", n_jobs=1, seed=seed)
    return np.asarray(model.generate(batch_size=n), float)


def nearest(x, train, rng):
    """Return the mean distance of some rows of x to the nearest row of `train`."""
    some = x[rng.choice(len(x), SOME_ROWS, replace=False)]
    return np.sqrt(squared_distances(some, train).min(axis=1)).mean()


def projected(x, directions):
    """Return the rows of x along each direction, sorted."""
    return np.sort(x @ directions, axis=0)


def timed(function, *arguments):
    """Return what the function returns, and seconds."""
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start


def ours(x, n, seed):
    """Return draws and the fit."""
    fit = diffgmm.fit(x, None, model="diffusion", random_seed=seed, progressbar=False)
    return fit.sample(n, random_seed=seed), fit


def measure(sample, seed, n, with_forest):
    """Return a dictionary of figures for one data set."""
    rng = np.random.default_rng([3, seed])
    x = sample(N_TRAIN, np.random.default_rng(seed))
    fresh, other = (sample(n, np.random.default_rng([1, seed, i])) for i in range(2))
    mean = sample(300_000, np.random.default_rng(99)).mean(axis=0)
    (own, fit), seconds = timed(ours, x, n, seed)
    draws = {"diffgmm": own}
    draws["kde"], kde_seconds = timed(kde, x, n, rng)
    draws["bic"], bic_seconds = timed(bic, x, n, seed)
    figures = {"seconds": seconds, "kde_seconds": kde_seconds, "bic_seconds": bic_seconds}
    if with_forest:
        draws["forest"], figures["forest_seconds"] = timed(forest, x, n, seed)
    draws["train"] = x[rng.integers(len(x), size=n)]
    draws["shifted"], draws["floor"] = other + x.mean(axis=0) - mean, other
    # As in `zoo.sliced_wasserstein`, with the fresh rows sorted once.
    directions = np.random.default_rng(0).standard_normal((x.shape[1], N_DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    truth = projected(fresh, directions)
    figures |= {
        label: np.sqrt(np.mean((projected(drawn, directions) - truth) ** 2))
        for label, drawn in draws.items()
    }
    figures["nearest"] = nearest(own, x, rng) / nearest(fresh, x, rng)
    figures["evaluations"] = fit.score_model.n_score_evaluations
    figures["gates"] = fit.mixture.n_components
    figures["active"] = fit.score_model.active.sum()
    return figures


def report(name, rows):
    """Print the means over data sets."""
    mean = {label: np.mean([row[label] for row in rows]) for label in rows[0]}
    peer = min(mean[label] for label in PEERS if label in mean)
    print(
        f"{name:13s} {len(rows):3d} "
        + " ".join(
            f"{mean[label]:7.4f}" if label in mean else "      -"
            for label in ("diffgmm", *PEERS, "train", "shifted", "floor")
        )
        + f" {mean['diffgmm'] / peer:6.3f} {mean['diffgmm'] / mean['shifted']:7.3f}"
        f" {mean['train'] / mean['shifted']:7.3f} {mean['nearest']:7.3f}"
        f" {max(row['evaluations'] for row in rows):5d} {mean['gates']:5.0f} {mean['active']:5.1f}"
        f" {min(row['seconds'] for row in rows):6.2f} {mean['seconds']:6.2f} {mean['kde_seconds']:6.2f}"
        f" {mean['bic_seconds']:6.2f} {mean.get('forest_seconds', np.nan):6.1f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=list(range(10)))
    parser.add_argument("--targets", nargs="*", default=list(targets(0)))
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--forest", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        ours(np.random.default_rng(0).random((2_000, 2)), 100, 0)  # compile
        print(
            "target        sets diffgmm    kde     bic  forest   train shifted   floor /peer /shifted"
            " train/s nearest evals gates active  least   mean    kde    bic forest"
        )
        for name in options.targets:
            report(
                name,
                [
                    measure(targets(seed)[name], seed, options.rows, options.forest)
                    for seed in options.seeds
                ],
            )


if __name__ == "__main__":
    main()
