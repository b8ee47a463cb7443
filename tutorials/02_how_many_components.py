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
# # How many components?
#
# Three answers to one question, on the bills of 342 penguins of three species: criteria along a path of
# fits, the posterior of the number of components, and a check whether any number is right.

# %%
import matplotlib.pyplot as plt
import numpy as np

import diffgmm

# %%
penguins = diffgmm.datasets.load_penguins()
X = penguins.data[:, :2]
names = list(penguins.feature_names[:2])
print(len(X), "penguins:", names)

# %% [markdown]
# ## A path of fits
#
# One search gives the best fit for every number of components. BIC and ICL punish parameters, ICL also
# overlap; the held-out log density asks rows that the fit has not seen.

# %%
fit = diffgmm.fit(X, random_seed=1, progressbar=False)
diffgmm.plot_path(fit)
plt.show()
for criterion in ("bic", "icl", "held_out"):
    print(f"{criterion:9s} prefers {fit.path.best(criterion)}")

# %% [markdown]
# ## The posterior of the number
#
# Without a number, `sample` draws it as well. Two numbers differ: components K of the mixture, and those
# that have rows. The prior of K is written in the result and can be changed, `diffgmm.Prior`.

# %%
idata = diffgmm.sample(X, draws=2000, random_seed=1, progressbar=False)
filled = idata["posterior"]["n_filled"].values.ravel()
probabilities = {int(k): float(np.mean(filled == k)) for k in np.unique(filled)}
for k, p in probabilities.items():
    print(f"P({k} components with rows) = {p:.3f}")

# %%
diffgmm.plot_n_components(idata)
plt.show()

# %% [markdown]
# Parameters of components mean something given their number. `condition_on_k` takes the draws of one,
# by default the most frequent, and aligns their labels.

# %%
given = diffgmm.condition_on_k(idata, k=3, filled=True)
print(given["posterior"]["weights"].mean(("chain", "draw")).values.round(2))
print(given["posterior"]["means"].mean(("chain", "draw")).values.round(1))

# %% [markdown]
# Who belongs together needs no number and no labels: the partition with the least expected variation of
# information, over all draws.

# %%
best = diffgmm.partition(idata, random_seed=1)
print(best)

# %% [markdown]
# ## Is any number right?
#
# Criteria and posteriors compare numbers with each other. The check asks whether a mixture of Gaussians
# describes the rows at all: two components are rejected, three are not.

# %%
p_values = {}
for k in (2, 3):
    two_or_three = diffgmm.fit(X, k, random_seed=1, progressbar=False)
    report = diffgmm.check(two_or_three, X, random_seed=1)
    p_values[k] = report.p_value
    print(f"{k} components: p = {report.p_value:.3f}")
    print("  ", report.advice[0])

# %%
assert fit.path.best("bic") == 3
assert max(probabilities, key=probabilities.get) == 3
assert p_values[2] < 0.05 < p_values[3]
