"""Label-free quantities of mixture draws, their Monte Carlo errors, and the comparison with reference.json.

    python compare.py faithful-design=draws.npz [galaxies-fixed=other.npz ...] [--reference reference.json]

An .npz has weights (chain, draw, K), means (chain, draw, K, D), covariances (chain, draw, K, D, D), for a "design"
problem also C0 (chain, draw, D, D), and optionally the tool's own log_lik and lp (chain, draw), which are then
compared value by value. Three numbers are compared for each quantity: its mean, and the shares of draws below the
reference's 5 % and 95 % quantiles, which see a wrong spread or shape and, unlike the sd, hardly depend on modes of
mass 1e-4 that one run visits and another does not. z = difference / sqrt(MCSE^2 + reference MCSE^2). The threshold
for |z| is Bonferroni's for all z of the call, at the family level 1e-3 (--level). Exit status 1 if any |z| is above
it, 2 if the draws' own R-hat or ESS say that their MCSEs cannot be trusted. Needs NumPy and SciPy only.

Give it at least 4 chains x 5000 draws, for the galaxies started near the main mode: 1 to 2 % of their posterior is a
region that NUTS enters only once in 200 (design) or 700 (fixed) draws, so shorter runs understate their own MCSE
(pieces of 4 x 1000 draws of the reference itself exceeded the threshold in 3 of 80 cases, of 4 x 5000 in none of 16).
"""
import argparse
import json
import os
import sys

import numpy as np
from problems import PROBLEMS
from scipy import stats

HERE = os.path.dirname(os.path.abspath(__file__))


# ------------------------------------------------------------------ label-free quantities

def quantities(p, w, mu, cov, C0=None):
    """Dict name -> (chain, draw) of the label-free quantities; without C0 those that need it are left out."""
    shape = w.shape[:2]
    flat = [None if a is None else np.asarray(a, float).reshape(-1, *a.shape[2:]) for a in (w, mu, cov, C0)]
    w, mu, cov, C0 = flat
    log_lik = np.empty(len(w))
    for s in range(0, len(w), 2000):
        c = slice(s, s + 2000)
        log_lik[c] = p.log_density(p.x, w[c], mu[c], cov[c]).sum(-1)
    q = {"log_lik": log_lik}
    if p.S is not None or C0 is not None:
        q["lp"] = log_lik + p.log_prior(w, mu, cov, C0)
    for k, col in enumerate(np.sort(w, axis=1).T):
        q[f"weight_sorted[{k}]"] = col
    for k, col in enumerate(np.sort(mu[..., 0], axis=1).T):
        q[f"mean0_sorted[{k}]"] = col
    for i, col in zip(p.rows, p.log_density(p.x[p.rows], w, mu, cov).T):
        q[f"log_density[row {i}]"] = col
    if p.S is None and C0 is not None:
        q["logdet_C0"] = np.linalg.slogdet(C0)[1]
    dev = mu - np.einsum("sk,skd->sd", w, mu)[:, None]
    total = np.einsum("sk,skij->sij", w, cov) + np.einsum("sk,ski,skj->sij", w, dev, dev)
    q["logdet_total_cov"] = np.linalg.slogdet(total)[1]
    return {name: v.reshape(shape) for name, v in q.items()}


# ------------------------------------------------------------------ diagnostics (Vehtari et al. 2021)

def _split(a):
    half = a.shape[1] // 2
    return np.concatenate([a[:, :half], a[:, -half:]])


def _rank_normal(a):
    return stats.norm.ppf((stats.rankdata(a).reshape(a.shape) - 0.375) / (a.size + 0.25))


def ess(a):
    """Effective sample size of the mean of a (chain, draw) by Geyer's initial monotone sequence, split chains."""
    a = _split(a)
    m, n = a.shape
    c = a - a.mean(1, keepdims=True)
    f = np.fft.rfft(c, 2 * n, axis=1)
    acov = np.fft.irfft(f * np.conj(f), axis=1)[:, :n].mean(0) / n
    within = acov[0] * n / (n - 1)
    var = acov[0] + a.mean(1).var(ddof=1)
    if var == 0:
        return float(a.size)
    rho = 1 - (within - acov * n / (n - 1)) / var
    rho[0] = 1.0
    pairs = rho[: n - n % 2].reshape(-1, 2).sum(1)
    stop = np.argmax(pairs < 0) if (pairs < 0).any() else len(pairs)
    tau = -1 + 2 * np.minimum.accumulate(pairs[:stop]).sum()
    return float(a.size / max(tau, 1 / np.log10(a.size)))


def _rhat(a):
    n = a.shape[1]
    return float(np.sqrt(((n - 1) / n * a.var(1, ddof=1).mean() + a.mean(1).var(ddof=1)) / a.var(1, ddof=1).mean()))


def mean_mcse(a):
    a = a.astype(float)
    return float(a.mean()), float(a.std() / np.sqrt(ess(a)))


def summary(a):
    """Mean, sd and quantiles of a (chain, draw) with MCSEs (for quantiles, of the share of draws below them), bulk ESS,
    and the larger of the rank-normalised split R-hat and the folded one."""
    mean, mcse = mean_mcse(a)
    sd, sq, split = a.std(ddof=1), (a - mean) ** 2, _split(a)
    q05, q95 = np.quantile(a, [0.05, 0.95])
    return {"mean": mean, "sd": float(sd), "q05": float(q05), "q95": float(q95), "mcse_mean": mcse,
            "mcse_sd": mean_mcse(sq)[1] / (2 * float(sd)), "mcse_share_below_q05": mean_mcse(a < q05)[1],
            "mcse_share_below_q95": mean_mcse(a < q95)[1], "ess_bulk": ess(_rank_normal(a)), "ess_mean": ess(a),
            "rhat": max(_rhat(_rank_normal(split)), _rhat(_rank_normal(np.abs(split - np.median(split)))))}


# ------------------------------------------------------------------ comparison

def z_scores(q, ref):
    """Dict name -> z of (mean, share below the reference's q05, share below its q95), from draws and a dict of summaries."""
    z = {}
    for name, a in q.items():
        r = ref[name]
        (m, e), (lo, e_lo), (hi, e_hi) = mean_mcse(a), mean_mcse(a < r["q05"]), mean_mcse(a < r["q95"])
        z[name] = ((m - r["mean"]) / np.hypot(e, r["mcse_mean"]), (lo - 0.05) / np.hypot(e_lo, r["mcse_share_below_q05"]),
                   (hi - 0.95) / np.hypot(e_hi, r["mcse_share_below_q95"]))
    return z


def threshold(n_tests, level=1e-3):
    return float(stats.norm.isf(level / 2 / n_tests))


def compare(files, reference, level=1e-3):
    """Print tables for pairs (problem, path of an .npz); return (largest |z|, threshold, names of unreliable quantities)."""
    all_z, unreliable = [], []
    for name, path in files:
        p, ref, d = PROBLEMS[name], reference["problems"][name]["quantities"], np.load(path)
        q = quantities(p, d["weights"], d["means"], d["covariances"], d["C0"] if "C0" in d else None)
        print(f"\n{name}: {os.path.basename(path)}, {d['weights'].shape[0]} chains x {d['weights'].shape[1]} draws")
        for k in sorted(ref.keys() - q.keys()):
            print(f"  not compared, because the file has no C0: {k}")
        for k in ("log_lik", "lp"):
            if k in d and k in q:
                print(f"  {k} of the file and of these draws differ by at most {np.abs(d[k] - q[k]).max():.2e}")
        print(f"  {'quantity':22s} {'mean':>11s} {'reference':>11s} {'MCSE':>9s} {'sd':>9s} {'reference':>9s}"
              f"  |z| {'mean':>5s} {'<q05':>5s} {'<q95':>5s}  {'ESS':>6s} {'R-hat':>6s}")
        for k, z in z_scores(q, ref).items():
            s, r = summary(q[k]), ref[k]
            print(f"  {k:22s} {s['mean']:11.5f} {r['mean']:11.5f} {np.hypot(s['mcse_mean'], r['mcse_mean']):9.5f} "
                  f"{s['sd']:9.5f} {r['sd']:9.5f}      {abs(z[0]):5.2f} {abs(z[1]):5.2f} {abs(z[2]):5.2f}  "
                  f"{s['ess_bulk']:6.0f} {s['rhat']:6.3f}")
            all_z.extend(z)
            if not (s["rhat"] < 1.01 and s["ess_bulk"] > 400):
                unreliable.append(f"{name} {k}")
    largest, limit = float(np.abs(all_z).max()), threshold(len(all_z), level)
    print(f"\n{len(all_z)} comparisons: largest |z| {largest:.2f}, threshold {limit:.2f} (Bonferroni, family level {level:g}): "
          + ("ok" if largest <= limit else "DIFFERENT"))
    if unreliable:
        print("R-hat >= 1.01 or ESS <= 400, so MCSE and |z| are unreliable: " + ", ".join(unreliable))
    return largest, limit, unreliable


if __name__ == "__main__":
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("files", nargs="+", metavar="PROBLEM=FILE.npz", help="problems: " + ", ".join(PROBLEMS))
    ap.add_argument("--reference", default=os.path.join(HERE, "reference.json"))
    ap.add_argument("--level", type=float, default=1e-3)
    args = ap.parse_args()
    with open(args.reference) as f:
        reference = json.load(f)
    largest, limit, unreliable = compare([a.split("=", 1) for a in args.files], reference, args.level)
    sys.exit(1 if not largest <= limit else 2 if unreliable else 0)
