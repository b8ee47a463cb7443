"""Score evaluation: time against the form that NumPy and BLAS would be written in.

python benchmarks/scores.py

Per component, NumPy whitens all rows by one matrix product, takes log densities, and multiplies by
the precision matrix; the gates then weigh the components' scores. Both sides get one thread and run
in turn; the smallest time of each is compared. The last lines are the residual's share: polynomials
of degree 1, 3 and 5 beside the mixture's score.
"""

import os
import time

import numpy as np
from scipy.special import logsumexp
from threadpoolctl import threadpool_limits

from diffgmm import GaussianMixture
from diffgmm.diffusion import ScoreModel
from diffgmm.diffusion.normal_equations import n_polynomials

SIGMA = 0.5

# D, K, target
SHAPES = [(1, 5, 8), (2, 5, 8), (2, 16, 8), (5, 10, 8), (10, 10, 8), (20, 10, None), (50, 10, 4)]
N_ROWS = 20_000


def make(d, k, seed=0):
    """Return a mixture and rows near it."""
    rng = np.random.default_rng(seed)
    root = 0.3 * rng.standard_normal((k, d, d)) / np.sqrt(d) + np.eye(d)
    mixture = GaussianMixture(
        np.full(k, 1.0 / k), 2.0 * rng.standard_normal((k, d)), root @ np.swapaxes(root, 1, 2)
    )
    return mixture, mixture.sample(N_ROWS, rng)


def numpy_score(mixture, sigma):
    """Return the function that NumPy users would write; factors are made beforehand."""
    d = mixture.n_features
    noised = mixture.covariances + sigma**2 * np.eye(d)
    factors = np.linalg.inv(np.linalg.cholesky(noised))
    precisions = np.linalg.inv(noised)
    constants = np.log(mixture.weights) + np.log(np.einsum("kdd->kd", factors)).sum(axis=1)

    def score(x):
        joint = np.empty((len(x), len(constants)))
        pulls = []
        for j, (mean, factor, precision) in enumerate(zip(mixture.means, factors, precisions)):
            centred = x - mean
            white = centred @ factor.T
            joint[:, j] = constants[j] - 0.5 * (white**2).sum(axis=1)
            pulls.append(centred @ precision)
        gates = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
        return -sum(gate[:, None] * pull for gate, pull in zip(gates.T, pulls))

    return score


def in_turn(*functions, repeats=15):
    """Return the smallest seconds of each function, called in turn."""
    best = [np.inf] * len(functions)
    for _ in range(repeats):
        for index, function in enumerate(functions):
            start = time.perf_counter()
            function()
            best[index] = min(best[index], time.perf_counter() - start)
    return best


def compare(d, k, target):
    """Print one line: NumPy against our score, silent and with a residual."""
    mixture, x = make(d, k)
    model, theirs = ScoreModel.silent(mixture, np.zeros(d), np.ones(d)), numpy_score(mixture, SIGMA)
    np.testing.assert_allclose(model.score(x, SIGMA), theirs(x), rtol=1e-6, atol=1e-9)
    models = [model]
    for degree in (1, 3, 5):
        p = n_polynomials(d, degree)
        if p > 60:
            break
        coefficients = np.full((1, k, p, d), 1e-3)
        active = np.ones((1, k), bool)
        models.append(model.with_residual(np.array([SIGMA]), coefficients, active, None))
    times = in_turn(lambda: theirs(x), *(lambda m=m: m.score(x, SIGMA) for m in models))
    ratios = " ".join(f"{times[0] / own:7.1f}" for own in times[1:])
    milliseconds = f"{1e3 * times[0]:9.2f} {1e3 * times[1]:9.2f}"
    print(f"{d:>3}{k:>4} {milliseconds} {target or '':>7} {ratios}", flush=True)


if __name__ == "__main__":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # our threads are limited as well
    with threadpool_limits(1):
        print(f"{N_ROWS} rows; times faster than NumPy: silent residual, then degrees 1, 3, 5")
        print("  D   K  NumPy ms   ours ms  target  silent       1       3       5")
        for shape in SHAPES:
            compare(*shape)
