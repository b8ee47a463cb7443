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
# # Quickstart
#
# Two data sets, one page. With Old Faithful: fit a mixture, learn its scores, draw from it by
# reverse diffusion, and sample the posterior of its parameters. With the Palmer penguins: find out
# how many components there are, and whether Gaussian components are good enough; these come from a
# CSV file, as your own data may, and end in a report.
#
# The page runs in less than a minute, most of which is the first compilation of the kernels.

# %%
import tempfile
from pathlib import Path

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import diffgmm

# %% [markdown]
# ## Old Faithful
#
# 272 eruptions of a geyser: how long each lasted and the waiting time to the next, both in minutes.

# %%
faithful = diffgmm.datasets.load_faithful()
fit = diffgmm.fit(faithful, 2, model="diffusion", random_seed=1, progressbar=False)
fit

# %% [markdown]
# `fit.mixture` is an immutable value with densities, scores, responsibilities, marginals and
# conditionals in closed form, in the units of the data. Components are sorted by weight.

# %%
print(fit.mixture.weights.round(3))
print(fit.mixture.means.round(2))
print("waiting time after 3 minutes, by component:")
print(fit.mixture.condition({"eruptions": 3.0}).means.round(1).ravel())

# %% [markdown]
# `model="diffusion"` also looked for a *residual*: a part of the score (the gradient of the log
# density of noised data) that the mixture misses. Here held-out rows gave no evidence of one at any
# noise level, so it is silent, and a draw costs a single score evaluation.

# %%
print(fit.score_model)
print("p-value of the overall test:", round(fit.score_model.report.p_value, 2))
print("score evaluations per draw:", fit.score_model.n_score_evaluations)
rows = fit.sample(1000, random_seed=2)

# %% [markdown]
# ### The posterior
#
# `sample` runs four chains of blocked Gibbs from different starting points and aligns the labels of
# all draws. The result is `InferenceData` with ArviZ 0.x and an xarray `DataTree` with ArviZ 1.x.

# %%
idata = diffgmm.sample(faithful, 2, random_seed=1, progressbar=False)
az.summary(idata, var_names=["weights", "means"])

# %% [markdown]
# Whether chains agree is best judged by quantities that do not depend on labels: the log posterior
# density `lp`, the log likelihood, and the log density at a few rows (`log_density_anchor`).

# %%
az.summary(idata, group="sample_stats", var_names=["lp", "log_lik", "log_density_anchor"])

# %% [markdown]
# `plot_components` shows the ellipses of some posterior draws over the data, all in minutes.

# %%
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.5), sharex=True, sharey=True, layout="constrained"
)
diffgmm.plot_components(idata, axes=left)
right.scatter(*rows[:272].T, s=6, color="0.4")
right.set(xlabel="eruptions (minutes)", title="Draws by reverse diffusion")
left.set(xlabel="eruptions (minutes)", ylabel="waiting (minutes)")
plt.show()

# %% [markdown]
# ## Penguins, from a CSV file
#
# Bill length and depth of 342 penguins. To begin where you begin with your own data, we write them
# into a CSV file, with a column of text and, in its last line, an empty cell.

# %%
penguins = diffgmm.datasets.load_penguins()
species = np.array(penguins.target_names)[penguins.target]
folder = Path(tempfile.mkdtemp())  # or where your own file is
file = folder / "penguins.csv"
table = pd.DataFrame(penguins.data[:, :2], columns=["bill length (mm)", "bill depth (mm)"])
table.assign(species=species).to_csv(file, index=False)
with file.open("a") as lines:
    lines.write("38.1,,Adelie\n")

# %% [markdown]
# Every value must be a number, so that we select the columns with numbers and drop rows with an
# empty cell. The columns' names come back in tables and pictures: put the units there.

# %%
bills = pd.read_csv(file)[["bill length (mm)", "bill depth (mm)"]].dropna()
bills.describe().round(1)

# %% [markdown]
# We pretend not to know the species, nor how many there are. Without a number of components, `fit`
# tries a range of them and returns the one with the best Bayesian information criterion (BIC,
# smaller is better).

# %%
found = diffgmm.fit(bills, random_seed=1, progressbar=False)
for k, bic in zip(found.path.n_components[:5], found.path.bic):
    print(f"{k} components: BIC {bic:.1f}")
print("chosen:", found.mixture.n_components)

# %% [markdown]
# BIC compares mixtures with each other. Whether any of them is good enough is another question, and
# the residual answers it: with one component held-out rows reject the Gaussian's scores, with three
# they have nothing to add.

# %%
p_values = {}
for k in (1, 3):
    score_model = diffgmm.fit(
        bills, k, model="diffusion", random_seed=1, progressbar=False
    ).score_model
    p_values[k] = score_model.report.p_value
    print(
        f"{k} components: p = {p_values[k]:.2g}, "
        f"residual {'silent' if score_model.is_silent else 'active'}"
    )

# %%
idata = diffgmm.sample(bills, 3, random_seed=1, progressbar=False)
diffgmm.summary(idata)

# %% [markdown]
# Beside what `az.summary` shows, `diffgmm.summary` says how many rows each component has and how
# much it overlaps with its neighbour, whether chains agree, and what to do next.
#
# `log_likelihood` has one value per penguin and draw, with the allocations summed out, so that
# leave-one-out cross-validation means what it should.

# %%
loo = az.loo(idata)
loo

# %% [markdown]
# Each penguin goes to its most probable component. How many went where their species did?

# %%
component = found.mixture.predict(bills)
table = np.zeros((3, 3), dtype=int)
np.add.at(table, (penguins.target, component), 1)
for name, counts in zip(penguins.target_names, table):
    print(f"{name:10s}", counts)
agree = table.max(axis=1).sum()
print(f"{agree} of {len(bills)} penguins are with their species")

# %%
((axes,),) = diffgmm.plot_components(idata, figsize=(5, 4))
for name, marker in zip(penguins.target_names, "o^s"):
    own = bills[species == name].to_numpy()
    axes.scatter(*own.T, s=9, marker=marker, color="0.2", zorder=3, label=name)
axes.set_title("")
axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
axes.figure.savefig(folder / "penguins.png")
plt.show()

# %% [markdown]
# ### Save it, and a report
#
# The draws go to a file that ArviZ, xarray and `diffgmm.load_inference_data` read. The report is one
# HTML file for a browser: the summary and every picture of the draws, explained.
#
# ```python
# diffgmm.save_inference_data(idata, folder / "penguins.nc")
# diffgmm.compute_misfit(idata)  # optional, up to a minute: at which scale is the mixture wrong?
# diffgmm.save_report(idata, folder / "report.html", title="Penguins")
# ```
#
# In a terminal one command fits, samples, checks and writes the same report, for a file without
# empty cells:
#
# ```shell
# diffgmm report penguins.csv -o report.html --columns "bill length (mm),bill depth (mm)"
# ```
#
# The page checks itself: three components, found without the species, hold 330 of the 342 penguins
# with their own kind, and nothing more is hidden in the scores.

# %%
assert found.mixture.n_components == 3
assert abs(agree - 330) <= 2
assert p_values[1] < 0.05 < p_values[3]
