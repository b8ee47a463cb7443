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
# # When a Gaussian mixture is not enough
#
# Data on a curve have no components. A mixture can still describe them, with many small pieces
# (*gates*), and `fit(X, model="diffusion")` chooses how many by what held-out rows say. The check
# says beforehand that a few Gaussians are wrong, and where.

# %%
import matplotlib.pyplot as plt
import numpy as np

import diffgmm

# %% [markdown]
# ## Two moons
#
# Noise around two half circles.


# %%
def moons(n, seed):
    """Return points (n, 2) near two half circles, and which (n,)."""
    rng = np.random.default_rng(seed)
    angle, which = np.pi * rng.uniform(size=n), rng.integers(0, 2, n)
    sign = 1.0 - 2.0 * which
    points = np.column_stack([sign * np.cos(angle) + which, sign * np.sin(angle) + 0.5 * which])
    return points + 0.1 * rng.standard_normal((n, 2)), which


X, _ = moons(1500, seed=1)
fresh, _ = moons(20_000, seed=2)
two = diffgmm.fit(X, 2, random_seed=1, progressbar=False)
report = diffgmm.check(two, X, random_seed=1)
report

# %% [markdown]
# Two Gaussians are rejected, and the table says at which noise levels and in which component. A plot
# of it is a map of where to look:

# %%
report.plot()
plt.show()

# %% [markdown]
# ## Let held-out rows choose
#
# Without a number of components the diffusion model compares numbers of gates by held-out denoising
# loss, which is a log density: how surprised it is by rows that it has not seen.

# %%
many = diffgmm.fit(X, model="diffusion", random_seed=1, progressbar=False)
print("gates:", many.mixture.n_components, " BIC alone:", many.path.best("bic"))
for name, fit in (("two Gaussians", two), ("gates", many)):
    print(f"{name:14s} log density of fresh rows {fit.log_density(fresh).mean():.3f} nat per row")

# %%
figure, panels = plt.subplots(1, 3, figsize=(9.5, 3), sharex=True, sharey=True)
rows = {
    "data": X,
    "two Gaussians": two.sample(1500, random_seed=3),
    f"{many.mixture.n_components} gates": many.sample(1500, random_seed=3),
}
for axes, (title, points) in zip(panels, rows.items()):
    axes.scatter(*points.T, s=3, color="0.2")
    axes.set(title=title, xlabel="x0")
panels[0].set_ylabel("x1")
plt.show()

# %% [markdown]
# ## Has it learned the rows by heart?
#
# Distance of each draw to the nearest row of the data, over the same distance for fresh rows: about 1
# for new rows, near 0 for copies.

# %%
from scipy.spatial import cKDTree

tree = cKDTree(X)
ratio = np.median(tree.query(many.sample(5000, random_seed=4))[0]) / np.median(
    tree.query(fresh[:5000])[0]
)
print(f"{ratio:.2f}")

# %% [markdown]
# ## Known noise: the nonparametric estimate
#
# When the noise is known, as here with standard deviation 0.1, the best mixing distribution over all
# distributions is discrete, and a certificate says how far any other could be better.

# %%
best = diffgmm.npmle(X[:400], noise_scale=0.1, random_seed=1, progressbar=False)
print(best)
denoised = best.posterior_mean(X[:400])
figure, axes = plt.subplots(figsize=(5, 3))
axes.scatter(*X[:400].T, s=6, color="0.7", label="rows")
axes.scatter(*denoised.T, s=6, color="C3", label="their expected values without noise")
axes.set(xlabel="x0", ylabel="x1")
axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.18), ncols=2)
plt.show()

# %%
gain = many.log_density(fresh).mean() - two.log_density(fresh).mean()
assert report.p_value < 0.05
assert gain > 0.3
assert 0.85 < ratio < 1.15
