"""Score errors of the Voronoi score, and its draws, where the truth is known.

python benchmarks/voronoi.py [--seeds 5]

Five spherical components of variance 1, six apart, 4,000 rows, in 2 and in 5 dimensions. Per degree:
sigma^2 E|s_hat - s|^2 / D with sigma^2 = 1 + t, mean over data sets, at t = 10, 1, 0.15 and 0.01; the
largest number of cells of any level over all data sets; sliced Wasserstein distances to 20,000 fresh
rows of the draws, of other fresh rows (the floor) and of the rows themselves; seconds of fit and draws.
"""

import argparse
import time

import numpy as np
import zoo

from diffgmm import GaussianMixture
from diffgmm.diffusion import fit_voronoi_score

TIMES = (10.0, 1.0, 0.15, 0.01)
N_COMPONENTS, SEPARATION, N_ROWS, N_DRAWS = 5, 6.0, 4_000, 20_000


def problem(d, seed):
    """Return a mixture and its rows."""
    rng = np.random.default_rng(seed)
    means = zoo._means(N_COMPONENTS, d, SEPARATION, rng)
    weights = np.full(N_COMPONENTS, 1.0 / N_COMPONENTS)
    mixture = GaussianMixture(weights, means, [np.eye(d)] * N_COMPONENTS)
    return mixture, mixture.sample(N_ROWS, rng), rng


def measure(d, degree, seed):
    """Return errors, number of cells, distances and seconds of one data set."""
    mixture, rows, rng = problem(d, seed)
    unit = np.sqrt(rows.var(axis=0).mean())
    start = time.perf_counter()
    options = {"n_components": N_COMPONENTS, "degree": degree, "random_seed": seed, "cores": 1}
    model = fit_voronoi_score(rows, scale=np.full(d, unit), **options)
    fitted = time.perf_counter()
    draws = model.sample(N_DRAWS, random_seed=seed)
    seconds = [fitted - start, time.perf_counter() - fitted]
    errors = []
    for t in TIMES:
        y = mixture.sample(N_DRAWS, rng) + np.sqrt(t) * rng.standard_normal((N_DRAWS, d))
        error = model.score(y, np.sqrt(t) / unit) - mixture.score(y, np.sqrt(t))
        errors.append((1.0 + t) * np.mean(error**2))
    fresh = mixture.sample(N_DRAWS, rng)
    others = (draws, mixture.sample(N_DRAWS, rng), np.repeat(rows, N_DRAWS // N_ROWS, axis=0))
    distances = [zoo.sliced_wasserstein(own, fresh) for own in others]
    return errors, max(len(own) for own in model.cells), distances, seconds


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    n_seeds = parser.parse_args().seeds
    names = [f"t={t:g}" for t in TIMES] + ["cells", "draws", "floor", "rows", "fit", "draw"]
    print(" D degree " + " ".join(f"{name:>7s}" for name in names))
    measure(2, 1, 0)  # compilation
    for d in (2, 5):
        for degree in (1, 2, 3):
            found = [measure(d, degree, 100 + seed) for seed in range(n_seeds)]
            errors, cells, distances, seconds = zip(*found, strict=True)
            numbers = [*np.mean(errors, 0), max(cells), *np.mean(distances, 0), *np.min(seconds, 0)]
            print(
                f"{d:2d} {degree:6d} " + " ".join(f"{number:7.3g}" for number in numbers),
                flush=True,
            )
