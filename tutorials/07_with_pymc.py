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
# # With PyMC
#
# One import makes mixtures in PyMC models fast, well started and free of label switching, and turns
# the posterior of one analysis into the prior of the next. The page needs `pip install
# 'diffgmm[pymc]'` and runs with PyMC 5.28 and 6.

# %%
import logging
import warnings

import numpy as np
import pymc as pm

import diffgmm
import diffgmm.pymc

logging.getLogger("pymc").setLevel(logging.ERROR)
# PyTensor from wheels says that it has no BLAS of its own; nothing here needs one.
warnings.filterwarnings("ignore", message="PyTensor could not link to a BLAS")

# %% [markdown]
# ## A mixture as a distribution
#
# Old Faithful again, standardised, the first half of its 272 eruptions. `diffgmm.pymc.GaussianMixture`
# takes weights, means and one of `cov`, `chol`, `sigma` and `tau`; its log density and gradient come
# from one pass over the rows.

# %%
faithful = np.asarray(diffgmm.datasets.load_faithful())
rows = (faithful - faithful.mean(axis=0)) / faithful.std(axis=0)
first, second = rows[::2], rows[1::2]
coords = {"cluster": ["short", "long"], "feature": ["eruptions", "waiting"]}


def mixture_of(rows):
    """Return a model with its own spread for every feature of each cluster."""
    with pm.Model(coords=coords) as model:
        w = pm.Dirichlet("w", np.ones(2), dims="cluster")
        mu = pm.Normal("mu", 0.0, 2.0, dims=("cluster", "feature"))
        sigma = pm.HalfNormal("sigma", 1.0, dims=("cluster", "feature"))
        diffgmm.pymc.GaussianMixture("y", w, mu, sigma=sigma, observed=rows)
    return model


# %% [markdown]
# ## Starts
#
# `initvals` fits the mixture to the rows and finds the model's parameters that give it, one start per
# chain; it knows `pm.NormalMixture` and `pm.Mixture` of `pm.MvNormal` as well. They are for
# `pm.sample(initvals=starts, init="adapt_diag")`.

# %%
model = mixture_of(first)
starts = diffgmm.pymc.initvals(model, chains=2, random_seed=1)
for start in starts:
    print(start["w"].round(2), start["mu"].round(2).tolist())

# %% [markdown]
# ## Sampling all modes
#
# `diffgmm.pymc.sample` looks for modes from 64 starts, learns a mixture of Gaussians and t
# distributions from short chains, and freezes it. Chains alternate NUTS with proposals from that
# mixture, accepted by Metropolis and Hastings: the posterior stays what it is. Here the only modes
# are the two numberings of the clusters, which are recognised, and labels come back aligned.

# %%
idata = diffgmm.pymc.sample(
    model, draws=300, tune=100, chains=2, cores=1, random_seed=1, progressbar=False
)
posterior = idata["posterior"]
accepted = float(idata["sample_stats"]["proposal_accepted"].mean())
print("modes up to labels:", posterior.attrs["n_modes"])
print(f"proposals accepted: {accepted:.0%}")
means = posterior["mu"].values.mean(axis=1)
print("means by chain:", means.round(2).tolist())

# %% [markdown]
# ## The posterior as a prior
#
# `fit_posterior` returns the draws as a mixture with names. `prior_from_idata` adds them to another
# model, on the space where scales and weights are unconstrained and with their correlations: the
# second half of the data can then be analysed with what the first half said.

# %%
print(diffgmm.fit_posterior(idata, ["mu"], n_components=1).means.round(2))
with pm.Model(coords=coords) as updated:
    prior = diffgmm.pymc.prior_from_idata(
        idata, ["w", "mu", "sigma"], model=model, n_components=1, random_seed=1, check=False
    )
    diffgmm.pymc.GaussianMixture("y", prior["w"], prior["mu"], sigma=prior["sigma"], observed=second)
updated

# %% [markdown]
# `diffgmm.pymc.sample(updated)` goes on from here. That the prior is what the posterior was, its own
# draws show.

# %%
carried = pm.draw(prior["mu"], 2000, random_seed=1, mode="FAST_COMPILE")
kept = posterior["mu"].values.reshape(-1, 2, 2)
print("means:", carried.mean(axis=0).round(2).tolist(), kept.mean(axis=0).round(2).tolist())
print("ratios of standard deviations:", (carried.std(axis=0) / kept.std(axis=0)).round(2).tolist())
assert np.abs(carried.mean(axis=0) - kept.mean(axis=0)).max() < 0.05
assert np.abs(means[0] - means[1]).max() < 0.1
