"""Draws of diffusion models: distance to fresh rows, score evaluations, speed, and silence.

python benchmarks/sampler.py [--seeds 0 1 2] [--rows 20000] [--silence 0] [--speed]

Each problem of `zoo.continuous` is fitted with few components. Distances are sliced Wasserstein ones
to `--rows` fresh rows, in the data's units: of other fresh rows (the floor), of the plain mixture, of
the score model, and of plain ancestral sampling of the same scores with 10 and with 40 evaluations.
`--silence N` counts how often the residual speaks on N data sets that a mixture fits. `--speed`
times a million draws and replicated rows.
"""

import argparse
import time

import numpy as np
import zoo
from threadpoolctl import threadpool_limits

import diffgmm
from diffgmm import GaussianMixture
from diffgmm.diffusion import ScoreModel, reverse

PROBLEMS = [("ring", 4), ("moons", 4), ("ring", 8), ("checkerboard", 16), ("spiral", 8)]
PROBLEMS += [("swiss_roll", 10), ("balls_d5", 3)]


def ancestral(model, n, n_evaluations, rng):
    """Return draws by plain ancestral sampling: Gaussian steps around the denoised draw."""
    levels = np.geomspace(20.0, 0.02, n_evaluations)
    y = model.shift + levels[0] * model.scale * rng.standard_normal((n, len(model.shift)))
    for a, b in zip(levels, [*levels[1:], 0.0], strict=True):
        clean, share = model.denoise(y, a), (b / a) ** 2
        noise = b * np.sqrt(1.0 - share) * model.scale * rng.standard_normal(y.shape)
        y = clean + share * (y - clean) + noise
    return y


def distances(name, k, seed, n):
    """Return a row of the table."""
    target, n_rows = zoo.continuous(seed)[name]
    x = target.sample(n_rows, np.random.default_rng(seed))
    fresh, others = (target.sample(n, np.random.default_rng([1, seed, i])) for i in range(2))
    start = time.perf_counter()
    fit = diffgmm.fit(x, k, model="diffusion", random_seed=seed, cores=1, progressbar=False)
    seconds, model = time.perf_counter() - start, fit.score_model
    rng = np.random.default_rng(seed)
    draws = {
        "floor": others,
        "mixture": fit.mixture.sample(n, random_seed=seed),
        "diffusion": fit.sample(n, random_seed=seed),
        "ancestral 10": ancestral(model, n, 10, rng),
        "ancestral 40": ancestral(model, n, 40, rng),
    }
    away = {label: zoo.sliced_wasserstein(own, fresh) for label, own in draws.items()}
    cells = f"{model.active.sum()}/{model.active.size}"
    print(
        f"{name:13s} {k:2d} {seed:4d} "
        + " ".join(f"{value:12.3f}" for value in away.values())
        + f" {away['diffusion'] / away['mixture']:6.2f} {model.n_score_evaluations:5d} {cells:>8s}"
        f" {seconds:7.2f}",
        flush=True,
    )


def spoken(seed):
    """Return whether the residual speaks on rows of a random mixture, fitted."""
    rng = np.random.default_rng([2, seed])
    k, d = rng.integers(1, 6, 2)
    roots = rng.standard_normal((k, d, d))
    truth = GaussianMixture(
        rng.dirichlet(np.full(k, 5.0)),
        rng.uniform(1.5, 5.0) * rng.standard_normal((k, d)),
        0.7 * roots @ np.swapaxes(roots, 1, 2) / d + 0.15 * np.eye(d),
    )
    x = truth.sample(int(np.exp(rng.uniform(np.log(500), np.log(5000)))), rng)
    fit = diffgmm.fit(x, int(k), model="diffusion", random_seed=seed, cores=1, progressbar=False)
    return not fit.score_model.is_silent


def speed(n=1_000_000):
    """Print the time of a million draws and replicated rows in the plane, one thread and two."""
    rng = np.random.default_rng(0)
    covariances = [[[1.0, 0.5], [0.5, 2.0]], [[0.5, -0.2], [-0.2, 0.4]]]
    mixture = GaussianMixture([0.3, 0.7], [[-2.0, 0.0], [2.0, 1.0]], covariances)
    model = ScoreModel.silent(mixture, np.zeros(2), np.ones(2))
    weights = rng.dirichlet([5.0, 5.0], 4000)
    means = mixture.means + 0.1 * rng.standard_normal((4000, 2, 2))
    many = (weights, means, np.tile(mixture.covariances, (4000, 1, 1, 1)))
    levels = np.geomspace(3.0, 0.02, 10)
    tasks = {
        "draws, 1 step": lambda cores: reverse.draw(model, n, random_seed=1, cores=cores),
        "draws, 10 steps": lambda cores: reverse.draw(
            model, n, levels=levels, random_seed=1, cores=cores
        ),
        "4000 x 250 replicated": lambda cores: reverse.replicate(
            *many, n // 4000, random_seed=1, cores=cores
        ),
    }
    for cores in (1, 2):
        for label, task in tasks.items():
            task(cores)
            start = time.perf_counter()
            task(cores)
            print(f"{label:22s} {cores} threads {time.perf_counter() - start:6.2f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--silence", type=int, default=0)
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    with threadpool_limits(1):
        if options.seeds:
            diffgmm.fit(np.random.default_rng(0).random((500, 2)), 2, model="diffusion", cores=1)
            print(
                "problem        K seed        floor      mixture    diffusion ancestral 10"
                " ancestral 40  ratio evals    cells seconds"
            )
        for seed in options.seeds:
            for name, k in PROBLEMS:
                distances(name, k, seed, options.rows)
        if options.silence:
            count = sum(spoken(seed) for seed in range(options.silence))
            print(f"spoke on {count} of {options.silence} data sets that a mixture fits")
        if options.speed:
            speed()


if __name__ == "__main__":
    main()
