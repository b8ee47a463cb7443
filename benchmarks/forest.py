"""How long ForestDiffusion takes on one continuous target, beside ours.

python benchmarks/forest.py [--target ring] [--limit 600]

5,000 rows and 20,000 draws: processor seconds of one thread. ForestDiffusion has its defaults (flow)
and is stopped after `--limit` of them; then the ratio is a lower bound. Target: 50. It must be
installed, which diffgmm does not ask for.
"""

import argparse
import multiprocessing
import resource
import time
import warnings

import numpy as np
from continuous import N_TRAIN, forest, ours, targets
from threadpoolctl import threadpool_limits

N_DRAWS = 20_000


def seconds_of(function, *arguments):
    """Return the processor seconds of one call."""
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def stopped(x, limit):
    """Draw by ForestDiffusion until the system ends the process."""
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    forest(x, N_DRAWS, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="ring")
    parser.add_argument("--limit", type=int, default=600)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    x = targets(0)[options.target](N_TRAIN, np.random.default_rng(0))
    other = multiprocessing.get_context("spawn").Process(target=stopped, args=(x, options.limit))
    with threadpool_limits(1):
        ours(x[:2_000], 100, 0)  # compile
        own = min(seconds_of(ours, x, N_DRAWS, 0) for _ in range(3))
    print(f"{options.target}: diffgmm {own:.2f} s", flush=True)
    other.start()
    other.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    theirs, sign = used.ru_utime + used.ru_stime, "" if other.exitcode == 0 else "more than "
    print(f"ForestDiffusion: {sign}{theirs:.0f} s, {sign}{theirs / own:.0f} times as long")


if __name__ == "__main__":
    main()
