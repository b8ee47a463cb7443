"""A million rows: seconds and memory of `diffgmm.sample` with 1,000 + 1,000 draws on two chains.

    python benchmarks/posterior/large.py [--rows 1000000] [--draws 1000] [--tune 1000] [--log-likelihood]

Five features, five components, full covariances. On a busy machine give 100 draws and 100 of tune (fewer have no
annealing): the CPU seconds then tell what 1,000 + 1,000 take on two quiet cores. Memory is the peak of the process beyond what it had
with the data in memory, before the call.
"""

import argparse
import resource
import time
import warnings

import numpy as np

import diffgmm


def rows(n, d, k, seed=1):
    """Return rows of k Gaussians, made in pieces."""
    rng = np.random.default_rng(seed)
    means = 2.5 * rng.standard_normal((k, d))
    roots = np.eye(d) + 0.3 * np.tril(rng.standard_normal((k, d, d)))
    out = np.empty((n, d))
    for start in range(0, n, 100_000):
        part = out[start : start + 100_000]
        owner = rng.choice(k, len(part))
        part[:] = means[owner] + np.einsum("nab,nb->na", roots[owner], rng.standard_normal(part.shape))
    return out


def peak():
    """Return the peak of memory in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--draws", type=int, default=1_000)
    parser.add_argument("--tune", type=int, default=1_000)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--log-likelihood", action="store_true", help="keep the log likelihood of rows, up to 1 GiB")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    fixed = {"progressbar": False, "chains": 2, "cores": given.cores, "random_seed": 1}
    fixed["compute_log_likelihood"] = given.log_likelihood
    diffgmm.sample(rows(2_000, 5, 5), 5, draws=10, tune=10, **fixed)  # loads kernels and ArviZ
    x = rows(given.rows, 5, 5)
    before, began, cpu = peak(), time.perf_counter(), time.process_time()
    idata = diffgmm.sample(x, 5, draws=given.draws, tune=given.tune, **fixed)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    sweeping = idata["posterior"].attrs["sampling_time"]
    more = (peak() - before) / 1e6
    print(f"{given.rows} rows, {given.tune} + {given.draws} draws on 2 chains: {seconds:.1f} s, {cpu:.1f} s of CPU, {sweeping:.1f} s of them sweeps")
    print(f"memory beyond the data ({x.nbytes / 1e6:.0f} MB): {more:.0f} MB")
    whole = cpu * sweeping / seconds * 2_000 / (given.tune + given.draws)
    print(f"1,000 + 1,000 draws on two quiet cores: {whole / 2 + cpu * (1.0 - sweeping / seconds):.0f} s, from CPU seconds")


if __name__ == "__main__":
    main()
