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
# # Mixture regression and missing columns
#
# A mixture of the joint distribution holds every conditional distribution: give some columns, and the
# others follow in closed form, with as many bends and modes as the data have. The same does for rows
# in which a column is missing.

# %%
import matplotlib.pyplot as plt
import numpy as np

import diffgmm

# %% [markdown]
# ## How long until the next eruption?
#
# Old Faithful: the waiting time given the length of the last eruption. First a fit, then the posterior,
# so that the uncertainty of the mixture is in the answer.

# %%
faithful = diffgmm.datasets.load_faithful()
idata = diffgmm.sample(faithful, 2, random_seed=1, progressbar=False)
lengths = np.linspace(1.6, 5.2, 60)
new = diffgmm.sample_posterior_predictive(
    idata, condition={"eruptions": lengths}, predictions=True, random_seed=1
)
waiting = new["predictions"]["x"].sel(feature="waiting")
expected = new["predictions"]["x_mean"].sel(feature="waiting")
print(dict(waiting.sizes))

# %%
figure, axes = plt.subplots(figsize=(6, 3.8))
low, high = waiting.quantile([0.05, 0.95], ("chain", "draw")).values
axes.fill_between(lengths, low, high, color="C0", alpha=0.2, label="90 % of waiting times")
low, high = expected.quantile([0.05, 0.95], ("chain", "draw")).values
axes.fill_between(lengths, low, high, color="C0", alpha=0.5, label="90 % interval of the mean")
axes.scatter(*faithful.data.T, s=6, color="0.3")
axes.set(xlabel="length of the eruption (minutes)", ylabel="waiting time (minutes)")
axes.legend(frameon=False, loc="lower right")
plt.show()

# %% [markdown]
# Is the interval honest? On rows that the posterior has not seen:

# %%
rng = np.random.default_rng(1)
order = rng.permutation(len(faithful.data))
train, test = faithful.data[order[:200]], faithful.data[order[200:]]
half = diffgmm.sample(train, 2, random_seed=2, progressbar=False)
held_out = diffgmm.sample_posterior_predictive(
    half, X=test[:, :1], condition=[0], predictions=True, random_seed=2
)
draws = held_out["predictions"]["x"].values.reshape(-1, len(test))
low, high = np.quantile(draws, [0.05, 0.95], axis=0)
coverage = np.mean((low <= test[:, 1]) & (test[:, 1] <= high))
print(f"{coverage:.0%} of {len(test)} waiting times are in their 90 % intervals")

# %% [markdown]
# ## Missing columns
#
# Penguins: bill length, bill depth, flipper length and body mass. Suppose the scales were broken for
# one penguin in four. The mixture of the complete rows gives each its mass, and its species' worth of
# uncertainty.

# %%
penguins = diffgmm.datasets.load_penguins()
X, names = penguins.data, list(penguins.feature_names)
print(names)
missing = rng.random(len(X)) < 0.25
mixture = diffgmm.fit(X[~missing], 3, random_seed=1, progressbar=False).mixture
print(mixture)


# %%
def expected_mass(row):
    """Return mean and standard deviation of the last column given the others."""
    given = mixture.condition(dict(enumerate(row[:3])))
    mean = given.weights @ given.means[:, 0]
    second = given.weights @ (given.covariances[:, 0, 0] + given.means[:, 0] ** 2)
    return mean, np.sqrt(second - mean**2)


means, deviations = np.array([expected_mass(row) for row in X[missing]]).T
truth = X[missing, 3]
error = np.sqrt(np.mean((means - truth) ** 2))
plain = np.sqrt(np.mean((X[~missing, 3].mean() - truth) ** 2))
inside = np.mean(np.abs(truth - means) < 1.645 * deviations)
print(f"error by the mixture {error:.0f} g, by the mean of all {plain:.0f} g")
print(f"{inside:.0%} of {missing.sum()} masses are within 1.645 of their standard deviations")

# %%
assert 0.82 <= coverage <= 0.98
assert error < 0.55 * plain
