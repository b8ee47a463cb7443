# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Large data
#
# A million rows on a laptop: kernels work on blocks of rows, keep nothing of size rows x components,
# and read the caller's array where it lies, be it in memory or on disk.

# %%
import tempfile
import time
from pathlib import Path

import numpy as np

import diffgmm

# %% [markdown]
# ## A file that need not fit into memory
#
# A memory map of float32: nothing copies it whole; blocks become float64 on their way into the kernel.

# %%
truth = diffgmm.GaussianMixture(
    weights=[0.4, 0.3, 0.2, 0.1],
    means=[[0.0, 0, 0], [3.0, 0, 1], [0.0, 4, -1], [4.0, 4, 4]],
    covariances=[
        np.diag([1.0, 0.5, 0.8]),
        np.eye(3),
        np.diag([0.3, 0.7, 1.0]),
        0.6 * np.eye(3),
    ],
)
folder = Path(tempfile.mkdtemp())
rows = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.float32, (1_000_000, 3))
for start in range(0, len(rows), 250_000):
    rows[start : start + 250_000] = truth.sample(250_000, random_seed=start)
rows.flush()
X = np.load(folder / "rows.npy", mmap_mode="r")
print(X.shape, X.dtype, f"{X.nbytes / 1e6:.0f} MB")

# %% [markdown]
# ## Fit
#
# The search works on a part of the rows; only the last passes of EM see all of them.

# %%
start = time.perf_counter()
fit = diffgmm.fit(X, 4, random_seed=1, progressbar=False)
print(f"{time.perf_counter() - start:.1f} s, compilation included")
print(fit.mixture.weights.round(4))
print(fit.mixture.means.round(3))

# %% [markdown]
# ## How sure? Two ways
#
# *Refits* to Dirichlet-weighted rows are independent draws of what the estimate could have been, and
# need no prior. *Posterior draws* under a prior are almost the same with so many rows. The pointwise
# log likelihood of a million rows is left out here; `compute_log_likelihood=False`.

# %%
start = time.perf_counter()
idata = diffgmm.sample(
    X[:100_000],
    4,
    draws=400,
    tune=100,
    chains=2,
    compute_log_likelihood=False,
    random_seed=1,
    progressbar=False,
)
print(f"{time.perf_counter() - start:.1f} s for 1,000 sweeps of 100,000 rows")
posterior = idata["posterior"]
print(posterior["weights"].mean(("chain", "draw")).values.round(4))
print(posterior["weights"].std(("chain", "draw")).values.round(5))

# %% [markdown]
# ## The same seed, any number of threads
#
# Sums are added in the order of the blocks, so the numbers do not depend on how many threads made
# them.

# %%
one = diffgmm.fit(X[:100_000], 4, random_seed=2, cores=1, progressbar=False)
two = diffgmm.fit(X[:100_000], 4, random_seed=2, cores=2, progressbar=False)
print("bit for bit the same:", np.array_equal(one.mixture.means, two.mixture.means))

# %%
error = np.abs(fit.mixture.weights - truth.weights).max()
assert error < 0.003
assert np.array_equal(one.mixture.means, two.mixture.means)
