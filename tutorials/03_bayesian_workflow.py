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
# # A Bayesian workflow: galaxies
#
# From the prior to the report, on the velocities of 82 galaxies (Roeder 1990): look at the prior, sample,
# check convergence, check the model, compare, and ask how much of the answer was prior.

# %%
import arviz as az
import matplotlib.pyplot as plt
import numpy as np

import diffgmm

# %%
galaxies = diffgmm.datasets.load_galaxies()
X = galaxies.data
print(X.shape, galaxies.feature_names)

# %% [markdown]
# ## The prior, before the data
#
# `weakly_informative` sets it from ranges of the data. What it believes is best seen in data that it
# would make: velocities over a somewhat wider range, with groups of all sizes.

# %%
K = 3
prior = diffgmm.Prior.weakly_informative(galaxies, K)
before = diffgmm.sample_prior_predictive(prior, len(X), draws=200, random_seed=1)
replicated = before["prior_predictive"]["x"].values.reshape(200, -1)
figure, axes = plt.subplots(figsize=(6.5, 3))
bins = np.linspace(np.quantile(replicated, 0.005), np.quantile(replicated, 0.995), 60)
for rows in replicated[:60]:
    axes.hist(rows, bins, density=True, histtype="step", color="C0", alpha=0.15)
axes.hist(X[:, 0], bins, density=True, histtype="step", color="0.1", label="galaxies")
axes.set(xlabel=galaxies.feature_names[0], ylabel="density", title="60 data sets of the prior")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Sample, and look at convergence first

# %%
idata = diffgmm.sample(galaxies, K, prior=prior, random_seed=1, progressbar=False)
report = diffgmm.summary(idata)
report

# %%
az.summary(idata, group="sample_stats", var_names=["lp", "log_lik"])

# %% [markdown]
# ## The fitted density and its uncertainty

# %%
diffgmm.plot_density(idata)
plt.show()

# %% [markdown]
# ## Does it describe the data?
#
# If the mixture is right, each galaxy's leave-one-out predictive probability (PIT) is uniform.

# %%
diffgmm.plot_pit(idata)
plt.show()
misfit = diffgmm.check(idata, galaxies, random_seed=1)
print(f"p = {misfit.p_value:.2f}")
print(misfit.advice[0])

# %% [markdown]
# ## Compare numbers of components
#
# Expected log predictive density by leave-one-out cross-validation. With two components these data have
# several modes, which plain chains do not leave: the noise ladder, `method="diffusion"`, moves between
# them. Where importance weights cannot stand in for leaving a galaxy out (a large Pareto k), `reloo`
# samples again without it.

# %%
import warnings

scores = {}
for k in (1, 2, 3, 4):
    draws = idata
    if k != K:
        draws = diffgmm.sample(
            galaxies, k, draws=4000, method="diffusion", random_seed=1, progressbar=False
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about large Pareto k, which are counted here
        score = diffgmm.loo(draws, progressbar=False)
        n_large = int((score.pareto_k > 0.7).sum())
        if n_large:
            score = diffgmm.reloo(draws, score, draws=1000, random_seed=1, progressbar=False)
    scores[str(k)] = score
    print(f"{k} components: {n_large} galaxies needed a refit")
comparison = az.compare(scores)
comparison

# %% [markdown]
# ## How much was prior?
#
# Power-scaling of the prior and of the likelihood: a quantity that moves with the prior was not settled
# by the data. ArviZ 1.x calls the table `psense_summary`, ArviZ 0.x has `psens`.

# %%
if hasattr(az, "psense_summary"):
    sensitivity = az.psense_summary(idata, var_names=["weights", "means"])
else:
    sensitivity = az.psens(idata, component="prior", var_names=["weights", "means"])
sensitivity

# %% [markdown]
# ## Keep it

# %%
import tempfile
from pathlib import Path

path = Path(tempfile.mkdtemp()) / "galaxies.nc"
diffgmm.save_inference_data(idata, path)
again = diffgmm.load_inference_data(path)
print(list(again["posterior"].data_vars))

# %%
order = list(comparison.index)
print("best by elpd:", order[0])
assert order[-1] == "1"
assert misfit.p_value > 0.05
