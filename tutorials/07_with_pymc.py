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

import numpy as np
import pymc as pm
import pytensor

import diffgmm
import diffgmm.pymc

# Compiling takes longer than sampling when there are so few rows. Leave this out for larger data.
pytensor.config.mode = "FAST_COMPILE"
logging.getLogger("pymc").setLevel(logging.ERROR)

# %% [markdown]
# ## A mixture as a distribution
#
# Old Faithful again, standardised, the first half of its 272 eruptions. `diffgmm.pymc.GaussianMixture`
# takes weights, means and one of `cov`, `chol`, `sigma` and `tau`; its log density and gradient come
# from one pass over the rows.

# %%
faithful = diffgmm.datasets.load_faithful().values
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
# model, on the space where scales and weights are unconstrained, with their correlations: the second
# half of the data is then analysed with what the first half said.

# %%
print(diffgmm.fit_posterior(idata, ["mu"], n_components=1).means.round(2))
with pm.Model(coords=coords) as updated:
    prior = diffgmm.pymc.prior_from_idata(
        idata, ["w", "mu", "sigma"], model=model, n_components=1, random_seed=1, check=False
    )
    diffgmm.pymc.GaussianMixture(
        "y", prior["w"], prior["mu"], sigma=prior["sigma"], observed=second
    )
in_two_steps = diffgmm.pymc.sample(
    updated, draws=300, tune=100, chains=2, cores=1, random_seed=1, progressbar=False
)
at_once = diffgmm.pymc.sample(
    mixture_of(rows), draws=300, tune=100, chains=2, cores=1, random_seed=2, progressbar=False
)

# %% [markdown]
# Data given in two halves and data given at once must agree: means in units of their posterior
# standard deviations.

# %%
one, other = (
    result["posterior"]["mu"].values.reshape(-1, 2, 2) for result in (in_two_steps, at_once)
)
one, other = (draws[:, np.argsort(draws.mean(axis=0)[:, 0])] for draws in (one, other))
difference = (one.mean(axis=0) - other.mean(axis=0)) / other.std(axis=0)
ratio = one.std(axis=0) / other.std(axis=0)
print("differences of means:", difference.round(2).tolist())
print("ratios of standard deviations:", ratio.round(2).tolist())
assert np.abs(difference).max() < 0.5
