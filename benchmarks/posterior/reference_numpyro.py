"""Reference posterior of the problems in problems.py by NumPyro's NUTS (float64); writes reference.json,
each problem when it is done.

    python reference_numpyro.py [--problems ...] [--chains 8] [--draws 20000] [--out reference.json] [--save DIR]

Labels are summed out and covariances are sampled by their Cholesky factors. Before sampling, the
model's density is checked against the one of problems.py (itself checked against scipy.stats). Three runs a problem:
  main       chains started near the best mode that an EM fit with many starts finds: the reference numbers;
  dispersed  many short chains started at random parameters: do they find the same distribution, or another mode?
  gibbs      reference_gibbs.py, a data-augmentation sampler that shares no sampling code, from random parameters,
             for the galaxies with parallel tempering, so that it also weighs modes that are far apart.
The JSON holds all three, the z of the second and third against the first, and the share of each run's draws in the
regions of `regions`, a label-free description of the modes. ESS and R-hat are compare.py's, checked against ArviZ.
Needs numpyro and arviz (1.x).
"""
import argparse
import json
import os
import platform
import time

import arviz
import compare
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import reference_gibbs
import scipy
from numpyro.infer import MCMC, NUTS
from numpyro.infer.util import log_density, unconstrain_fn
from problems import LOG2PI, PROBLEMS, check_densities, random_parameters
from scipy.special import logsumexp

# Tempering for the galaxies, whose posterior has modes that no plain sampler leaves; dense where exchanges are rare.
LADDER = (1.0, 0.9, 0.8, 0.72, 0.68, 0.64, 0.6, 0.56, 0.53, 0.5, 0.46, 0.42, 0.36, 0.28, 0.2, 0.12, 0.06)

numpyro.enable_x64()
numpyro.set_platform("cpu")


def model(p):
    w = numpyro.sample("w", dist.Dirichlet(jnp.ones(p.K)))
    if p.S is None:
        A = numpyro.sample("A", dist.WishartCholesky(p.C0_df, scale_tril=jnp.linalg.cholesky(p.C0_scale)))
        scale_tril = jnp.sqrt(2.0) * A  # C0 = A A^T, so this is the factor of 2 C0
    else:
        scale_tril = jnp.linalg.cholesky(p.S)
    with numpyro.plate("k", p.K):
        mu = numpyro.sample("mu", dist.Normal(p.m0, p.b).to_event(1))
        L = numpyro.sample("L", dist.InverseWishartCholesky(p.df, scale_tril=scale_tril))
    P = jax.scipy.linalg.solve_triangular(L, jnp.broadcast_to(jnp.eye(p.D), L.shape), lower=True)
    white = jnp.einsum("kij,nj->nki", P, p.x) - jnp.einsum("kij,kj->ki", P, mu)
    log_n = jnp.log(jnp.diagonal(P, axis1=1, axis2=2)).sum(1) - 0.5 * (white**2 + LOG2PI).sum(-1)
    numpyro.factor("log_lik", jax.scipy.special.logsumexp(jnp.log(w) + log_n, axis=1).sum())


def to_sites(w, mu, cov, C0):
    """Parameters -> NumPyro's sample sites."""
    sites = {"w": w, "mu": mu, "L": np.linalg.cholesky(cov)}
    return sites if C0 is None else sites | {"A": np.linalg.cholesky(C0)}


def log_jacobian(L):
    """log |d(L L^T) / dL| summed over all factors in L."""
    D = L.shape[-1]
    return np.sum(np.log(2.0) + np.arange(D, 0, -1) * np.log(np.diagonal(L, axis1=-2, axis2=-1)))


def check_model(p, seed=1):
    """Largest difference between the model's log density (Jacobians removed) and problems.py's, at 20 random points."""
    rng, worst = np.random.default_rng(seed), 0.0
    for _ in range(20):
        w, mu, cov, C0 = random_parameters(p, rng)
        sites = to_sites(w, mu, cov, C0)
        own = p.log_prior(w, mu, cov, C0) + p.log_density(p.x, w, mu, cov).sum()
        theirs = float(log_density(model, (p,), {}, sites)[0])
        theirs -= sum(log_jacobian(sites[s]) for s in ("L", "A") if s in sites)
        worst = max(worst, abs(own - theirs) / max(1.0, abs(own)))
    return float(worst)


def em_fit(p, rng, starts=50, iterations=500):
    """The mixture with the highest log-likelihood of EM from many starts, covariances kept off zero."""
    best, floor = (-np.inf, None), np.diag(p.x.var(axis=0)) * 0.01
    for _ in range(starts):
        w, mu = np.full(p.K, 1 / p.K), p.x[rng.choice(p.n, p.K, replace=False)]
        cov = np.tile(np.diag(p.x.var(axis=0)) / p.K, (p.K, 1, 1))
        for _ in range(iterations):
            lj = np.stack([p.log_density(p.x, np.ones(1), mu[[k]], cov[[k]]) for k in range(p.K)], 1) + np.log(w)
            r = np.exp(lj - logsumexp(lj, axis=1, keepdims=True)) + 1e-12
            n = r.sum(0)
            w, mu = n / n.sum(), r.T @ p.x / n[:, None]
            e = p.x[:, None] - mu
            cov = (np.einsum("nk,nki,nkj->kij", r, e, e) + floor) / (n[:, None, None] + 1)
        ll = p.log_density(p.x, w, mu, cov).sum()
        if ll > best[0]:
            best = ll, (w, mu, cov)
    return best


def near(p, fit, rng):
    """A start near an EM fit (weights, means, covariances)."""
    w, mu, cov = fit
    w = w * np.exp(0.1 * rng.standard_normal(p.K))
    mu = mu + 0.1 * np.sqrt(np.diagonal(cov, axis1=1, axis2=2)) * rng.standard_normal(mu.shape)
    C0 = None if p.S is not None else cov.mean(0) * (p.c0 - (p.D + 1) / 2) * np.exp(0.2 * rng.standard_normal())
    return w / w.sum(), mu, cov * np.exp(0.2 * rng.standard_normal((p.K, 1, 1))), C0


def run(p, starts, warmup, draws, seed, target_accept):
    """NUTS, one chain per start -> draws (weights, means, covariances, C0 or None) and facts about the run."""
    sites = [unconstrain_fn(model, (p,), {}, {k: jnp.asarray(v) for k, v in to_sites(*s).items()}) for s in starts]
    mcmc = MCMC(NUTS(model, target_accept_prob=target_accept), num_warmup=warmup, num_samples=draws,
                num_chains=len(starts), chain_method="vectorized", progress_bar=False)
    t0 = time.perf_counter()
    mcmc.run(jax.random.PRNGKey(seed), p, init_params=jax.tree.map(lambda *a: jnp.stack(a), *sites),
             extra_fields=("diverging", "num_steps"))
    s = {k: np.asarray(v) for k, v in mcmc.get_samples(group_by_chain=True).items()}
    extra = mcmc.get_extra_fields(group_by_chain=True)
    facts = {"sampler": "numpyro NUTS", "chains": len(starts), "warmup": warmup, "draws": draws, "seed": seed,
             "target_accept": target_accept, "divergences": int(extra["diverging"].sum()),
             "mean_steps": float(extra["num_steps"].mean()), "seconds": round(time.perf_counter() - t0, 1)}
    square = lambda L: L @ np.swapaxes(L, -1, -2)
    return (s["w"], s["mu"], square(s["L"]), square(s["A"]) if "A" in s else None), facts


def regions(p, mu):
    """Label-free indicators (chain, draw) of where the draw's component means are."""
    m = np.sort(mu[..., 0], -1)
    if p.D > 1:  # Old Faithful: one component in the short, one in the long eruptions
        return {"means 0 at < 3 and > 3 min": (m[..., 0] < 3) & (m[..., 1] > 3)}
    low, high = m[..., 0] < 14, m[..., 2] > 28
    return {"low + centre + high": low & high & (m[..., 1] > 14) & (m[..., 1] < 28), "low + two in the centre": low & ~high
            & (m[..., 1] > 14), "two in the centre + high": ~low & high & (m[..., 1] < 28), "three in the centre": ~low & ~high,
            "other": (low & (m[..., 1] <= 14)) | (high & (m[..., 1] >= 28))}


def report(p, draws, facts, reference=None):
    q = compare.quantities(p, *draws)
    out = facts | {"quantities": {k: compare.summary(v) for k, v in q.items()}}
    out["max_rhat"] = max(s["rhat"] for s in out["quantities"].values())
    out["min_ess_bulk"] = min(s["ess_bulk"] for s in out["quantities"].values())
    out["regions"] = {k: {"mass": s["mean"], "mcse": s["mcse_mean"], "rhat": s["rhat"], "switches": switches, "chain_min": lo,
                          "chain_max": hi} for k, v in regions(p, draws[1]).items() if v.any()
                      for s, switches, lo, hi in [(indicator(v), int((v[:, 1:] != v[:, :-1]).sum()),
                                                   float(v.mean(1).min()), float(v.mean(1).max()))]}
    if reference is not None:
        z = compare.z_scores(q, reference)
        out["max_abs_z_vs_reference"] = float(np.abs(list(z.values())).max())
        out["z_threshold"] = compare.threshold(3 * len(z))
        out["z_vs_reference"] = {k: [float(v) for v in three] for k, three in z.items()}
    return out, q


def indicator(v):
    """Mean, MCSE and R-hat of a 0/1 array."""
    v = v.astype(float)
    if v.min() == v.max():
        return {"mean": float(v.mean()), "mcse_mean": 0.0, "rhat": 1.0}
    mean, mcse = compare.mean_mcse(v)
    return {"mean": mean, "mcse_mean": mcse, "rhat": compare._rhat(compare._split(v))}


def show(name, kind, r):
    print(f"{name} {kind}: {r['chains']} x {r['draws']}, max R-hat {r['max_rhat']:.4f}, min bulk ESS {r['min_ess_bulk']:.0f}, "
          f"divergences {r.get('divergences', '-')}, {r['seconds']} s"
          + (f", max |z| {r['max_abs_z_vs_reference']:.2f} (threshold {r['z_threshold']:.2f})" if "z_threshold" in r else ""))
    for k, v in r["regions"].items():
        print(f"    {k}: {v['mass']:.5f} +- {v['mcse']:.5f} (chains {v['chain_min']:.4f} to {v['chain_max']:.4f}, "
              f"{v['switches']} entries and exits)", flush=True)


def arviz_check(q, summaries):
    """Largest relative difference of our bulk ESS, R-hat and MCSEs from ArviZ's."""
    pairs = [(s[key], float(f(v))) for name, v in q.items() for s in [summaries[name]] for key, f in (
        ("ess_bulk", lambda v: arviz.ess(v, method="bulk")), ("rhat", arviz.rhat),
        ("mcse_mean", lambda v: arviz.mcse(v, method="mean")), ("mcse_sd", lambda v: arviz.mcse(v, method="sd")))]
    return max(abs(a / b - 1) for a, b in pairs)


def save(folder, name, draws):
    keys = ("weights", "means", "covariances", "C0")
    np.savez(os.path.join(folder, name + ".npz"), **{k: a for k, a in zip(keys, draws) if a is not None})


def write(path, name, result):
    """Put one problem's result into the JSON file, leaving the other problems as they are."""
    out = {"problems": {}}
    if os.path.exists(path):
        with open(path) as f:
            out = json.load(f)
    out["problems"][name] = result
    with open(path, "w") as f:
        json.dump(out, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=list(PROBLEMS))
    ap.add_argument("--chains", type=int, default=8)
    ap.add_argument("--warmup", type=int, default=2000)
    ap.add_argument("--draws", type=int, default=20000)
    ap.add_argument("--dispersed", type=int, nargs=2, default=(24, 2000), metavar=("CHAINS", "DRAWS"))
    ap.add_argument("--gibbs", type=int, nargs=2, default=(16, 20000), metavar=("CHAINS", "DRAWS"))
    ap.add_argument("--target-accept", type=float, default=0.95)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--out", default=os.path.join(compare.HERE, "reference.json"))
    ap.add_argument("--save", metavar="DIR", help="also save the draws, as .npz that compare.py reads")
    args = ap.parse_args()

    versions = {"python": platform.python_version()} | {m.__name__: m.__version__ for m in (numpyro, jax, arviz, np, scipy)}
    for name in args.problems:
        p = PROBLEMS[name]
        checks = {"problems.py vs scipy.stats, max abs difference": check_densities(p),
                  "numpyro model vs problems.py, max relative difference": check_model(p)}
        assert max(checks.values()) < 1e-9, checks
        rng = np.random.default_rng(args.seed)
        log_lik, fit = em_fit(p, rng)
        draws, facts = run(p, [near(p, fit, rng) for _ in range(args.chains)], args.warmup, args.draws, args.seed,
                           args.target_accept)
        facts["start"] = {"what": "EM fit, jittered", "log_lik": float(log_lik), "means": fit[1].tolist()}
        main, q = report(p, draws, facts)
        checks["ESS, R-hat, MCSE vs ArviZ, max relative difference"] = arviz_check(q, main["quantities"])
        result = {"prior": p.describe(), "checks": checks, "versions": versions, "precision": "float64"} | main
        show(name, "main", main)
        if args.save:
            save(args.save, name, draws)

        chains, n = args.dispersed
        draws, facts = run(p, [random_parameters(p, rng) for _ in range(chains)], args.warmup // 2, n, args.seed + 1,
                           args.target_accept)
        dispersed, _ = report(p, draws, facts | {"start": "random parameters"}, main["quantities"])
        show(name, "dispersed", dispersed)

        chains, n = args.gibbs
        draws, facts = reference_gibbs.run(p, [random_parameters(p, rng) for _ in range(chains)], 2000, n, args.seed + 2,
                                           LADDER if p.D == 1 else (1.0,))
        gibbs, _ = report(p, draws, facts | {"start": "random parameters"}, main["quantities"])
        show(name, "gibbs", gibbs)
        if args.save:
            save(args.save, name + "-gibbs", draws)
        write(args.out, name, result | {"dispersed": dispersed, "gibbs": gibbs})
