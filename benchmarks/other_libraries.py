"""Small real runs of other libraries, kept for the tests of what diffgmm makes of their output.

python benchmarks/other_libraries.py numpyro|stan|bambi FOLDER

Writes FOLDER/NAME.nc as ArviZ's converter gives it, names of variables and dims included. No chain is
told which component is which, so labels differ between chains. Needs numpyro, pystan (ArviZ 0.23,
which has its converter, and a C++ compiler) or bambi, each in an environment of its own.
"""

import argparse
from pathlib import Path

import arviz as az
import numpy as np

from diffgmm.datasets import load_faithful, load_galaxies

CHAINS, TUNE, DRAWS, THINNING = 4, 500, 150, 10

GALAXIES = """
data { int N; int K; vector[N] y; }
parameters { simplex[K] theta; vector[K] mu; vector<lower=0>[K] sigma; }
model {
  theta ~ dirichlet(rep_vector(2, K));
  mu ~ normal(20, 10);
  sigma ~ gamma(4, 2);
  for (n in 1:N) {
    vector[K] joint = log(theta);
    for (k in 1:K) joint[k] += normal_lpdf(y[n] | mu[k], sigma[k]);
    target += log_sum_exp(joint);
  }
}
"""


def run_numpyro():
    """Return two components with full covariances for Old Faithful, in standardised units."""
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    rows = np.asarray(load_faithful().data)
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)

    def model(x):
        w = numpyro.sample("w", dist.Dirichlet(2.0 * jnp.ones(2)))
        mu = numpyro.sample("mu", dist.Normal(0.0, 2.0).expand([2, 2]).to_event(2))
        root = numpyro.sample("root", dist.LKJCholesky(2, 2.0).expand([2]).to_event(1))
        sd = numpyro.sample("sd", dist.HalfNormal(1.0).expand([2, 2]).to_event(2))
        chol = sd[..., None] * root
        numpyro.deterministic("cov", chol @ jnp.swapaxes(chol, -1, -2))
        parts = dist.MultivariateNormal(mu, scale_tril=chol)
        numpyro.sample("x", dist.MixtureSameFamily(dist.Categorical(w), parts), obs=x)

    mcmc = numpyro.infer.MCMC(
        numpyro.infer.NUTS(model),
        num_warmup=TUNE,
        num_samples=DRAWS * THINNING,
        thinning=THINNING,
        num_chains=CHAINS,
        chain_method="sequential",
        progress_bar=False,
    )
    mcmc.run(jax.random.PRNGKey(1), rows)
    return az.from_numpyro(mcmc, log_likelihood=False)


def run_stan():
    """Return three components with their own standard deviations for the velocities of galaxies."""
    import stan

    y, k = np.asarray(load_galaxies().data)[:, 0], 3
    model = stan.build(GALAXIES, data={"N": len(y), "K": k, "y": y}, random_seed=1)
    rng = np.random.default_rng(1)
    starts = [
        {"mu": rng.permutation(np.quantile(y, [0.05, 0.5, 0.97])), "theta": [1 / 3] * 3}
        for _ in range(CHAINS)
    ]
    fit = model.sample(
        num_chains=CHAINS,
        num_warmup=TUNE,
        num_samples=DRAWS * THINNING,
        num_thin=THINNING,
        init=[{**start, "sigma": [2.0] * k} for start in starts],
    )
    return az.from_pystan(fit, posterior_model=model, observed_data="y")


def run_bambi():
    """Return a regression for Old Faithful: waiting time by duration of the eruption."""
    import bambi as bmb
    import pandas as pd

    rows = load_faithful()
    data = pd.DataFrame(np.asarray(rows.data), columns=["eruptions", "waiting"])
    model = bmb.Model("waiting ~ eruptions", data)
    idata = model.fit(
        draws=DRAWS * THINNING, tune=TUNE, chains=CHAINS, cores=1, random_seed=1, progressbar=False
    )
    return idata.isel(draw=slice(None, None, THINNING))


RUNS = {"numpyro": run_numpyro, "stan": run_stan, "bambi": run_bambi}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=RUNS)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    idata = RUNS[options.library]()
    print(az.summary(idata))
    idata.to_netcdf(options.folder / f"{options.library}.nc")


if __name__ == "__main__":
    main()
