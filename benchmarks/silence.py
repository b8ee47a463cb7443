"""Does the diffusion model stay silent where a mixture is right?

python benchmarks/silence.py [--seeds 0 1 2]

On the mixtures of benchmarks/zoo.py with at most 20 features: log density per row of 20,000 fresh
rows under the diffusion model less that under its mixture. 0 exactly when the residual is silent.
Target: within 0.002 nat.
"""

import argparse

import numpy as np
import zoo

import diffgmm

TARGET = 0.002


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    options = parser.parse_args()
    worst, count, silent = 0.0, 0, 0
    print("problem                     seed   K   difference, nat per row")
    for seed in options.seeds:
        for name, (target, n_rows) in zoo.mixtures(seed).items():
            k, d = target.means.shape
            if d > 20:
                continue
            rng = np.random.default_rng([11, seed])
            x, fresh = target.sample(n_rows, rng), target.sample(20_000, rng)
            fit = diffgmm.fit(x, k, model="diffusion", random_seed=seed, progressbar=False)
            difference = float(np.mean(fit.log_density(fresh) - fit.mixture.log_density(fresh)))
            worst, count = max(worst, abs(difference)), count + 1
            silent += fit.score_model.is_silent
            print(f"{name:26s} {seed:4d} {k:4d} {difference:12.5f}", flush=True)
    print(f"silent on {silent} of {count}; largest difference {worst:.5f} (target {TARGET})")


if __name__ == "__main__":
    main()
