"""How often the true number of components is chosen, and how long that takes, beside scikit-learn.

python benchmarks/path.py [--seeds 0 1] [--beyond 5] [--problems NAME ...]

This package fits one path over 1 .. K + beyond; scikit-learn fits every number with n_init=5 and
keeps the smallest BIC. One thread on both sides. "one fit" is this package's time at the largest
number alone.
"""

import argparse
import time
import warnings

import numpy as np
import zoo
from threadpoolctl import threadpool_limits

import diffgmm

PROBLEMS = (
    "easy_d2_k3", "identity_d10_k5", "far_pair_k3", "full_d2_k5", "full_d8_k6", "full_d20_k8",
    "concentric_d4", "pancakes_d6_k3", "tiny_weight_d3", "scales_d3_k8",
)  # fmt: skip


def timed(function):
    """Return what `function` returns, and the seconds it took."""
    start = time.perf_counter()
    value = function()
    return value, time.perf_counter() - start


def scikit_learn_choice(x, largest):
    """Return the number of components with the smallest BIC of scikit-learn's fits."""
    from sklearn.mixture import GaussianMixture

    scores = [
        GaussianMixture(k, n_init=5, random_state=0).fit(x).bic(x) for k in range(1, largest + 1)
    ]
    return int(np.argmin(scores)) + 1


def main(arguments):
    """Print one row per problem and the sums."""
    hits, seconds = np.zeros(3, int), np.zeros(3)
    for seed in arguments.seeds:
        for name, (truth, n_rows) in zoo.mixtures(seed).items():
            if name not in arguments.problems:
                continue
            x = truth.sample(n_rows, np.random.default_rng([seed, 1]))
            k = len(truth.weights)
            largest = k + arguments.beyond
            _, one = timed(lambda: diffgmm.fit(x, largest, random_seed=0, cores=1))
            fit, ours = timed(lambda: diffgmm.fit(x, range(1, largest + 1), random_seed=0, cores=1))
            chosen = (fit.path.best("bic"), fit.path.best("icl"))
            theirs, peer = timed(lambda: scikit_learn_choice(x, largest))
            hits += np.array([*chosen, theirs]) == k
            seconds += [one, ours, peer]
            print(f"{name:<18}{seed:>2}  K = {k}: BIC {chosen[0]}, ICL {chosen[1]}, "
                  f"scikit-learn {theirs}; one fit {one:.2f} s, path {ours:.2f} s, "
                  f"scikit-learn {peer:.2f} s", flush=True)  # fmt: skip
    print(f"\ntrue number chosen: BIC {hits[0]}, ICL {hits[1]}, scikit-learn's BIC {hits[2]}")
    print(f"path / one fit at the largest number {seconds[1] / seconds[0]:.2f} (target 3), "
          f"path / scikit-learn {seconds[1] / seconds[2]:.3f} (target 0.1)")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--beyond", type=int, default=5)
    parser.add_argument("--problems", nargs="+", default=PROBLEMS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        diffgmm.fit(np.random.default_rng(0).standard_normal((100, 2)), range(1, 3))
        main(options)
