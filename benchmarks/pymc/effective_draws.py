"""Effective draws per second of `pm.sample` with our distribution and with PyMC's own form.

    python benchmarks/pymc/effective_draws.py [galaxies faithful overlap unequal ten] [--sampler pymc] [--cpu]

The problems of `benchmarks/posterior/speed.py`; weights ~ Dirichlet(1, ..., 1), means_kj ~ N(mean_j, (2 sd_j)^2),
variances ~ InverseGamma(2, var / (2 K^2)) in one dimension, else standard deviations ~ HalfNormal(sd_j / K^(1 / D))
with LKJ(2), or known unit covariances. PyMC's form is the one its documentation leads to: pm.NormalMixture, or pm.Mixture
over a list of pm.MvNormal. Both sides have the same priors, starts (a fit, with PyMC's jitter) and seeds, are compiled
once and warmed up by a tiny run, and take turns: `--rounds` of them. Seconds are those of sampling with its warm-up.

ESS is the smallest bulk ESS of the label-free quantities of all rounds. Evaluations are the leapfrog steps of all
seconds. "Alone" is one call of what nutpie calls, at the fit, the smallest of many. "Free" is the same model with a
linear function of w, mu and the spread in the place of the mixture: priors, transforms and their derivatives, which no
likelihood can do without, so that plain / free bounds every ratio.
"""

import argparse
import ctypes
import logging
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.initial_point import make_initial_point_fn

import diffgmm.pymc as dp
from diffgmm.posterior.mixture_draws import MixtureDraws
from diffgmm.report.inference_data import rhat_and_ess

sys.path.insert(0, str(Path(__file__).parents[1] / "posterior"))
from speed import PROBLEMS

FORMS = ("plain", "ours", "free")
CHUNK = 4_000_000


def model_of(x, k, family, form):
    d, sd = x.shape[1], x.std(axis=0, ddof=1)
    with pm.Model() as model:
        w = pm.Dirichlet("w", np.ones(k))
        mu = pm.Normal("mu", x.mean(axis=0), 2.0 * sd, shape=(k, d))
        given, roots, rows, means = {"sigma": 1.0}, [np.eye(d)] * k, x, mu
        if family == "full" and d == 1:
            s2 = pm.InverseGamma("s2", alpha=2.0, beta=0.5 * sd[0] ** 2 / k**2, shape=k)
            if form == "plain":
                pm.NormalMixture("y", w, mu[:, 0], sigma=pt.sqrt(s2), observed=x[:, 0])
            given, rows, means = {"sigma": pt.sqrt(s2)}, x[:, 0], mu[:, 0]
        elif family == "full":
            size = pm.HalfNormal.dist(sd / k ** (1.0 / d), shape=d)
            own = {"n": d, "eta": 2.0, "sd_dist": size, "store_in_trace": False}
            roots = [pm.LKJCholeskyCov(f"chol{j}", **own)[0] for j in range(k)]
            given = {"chol": pt.stack(roots)}
            pm.Deterministic("cov", pt.matmul(given["chol"], given["chol"].swapaxes(-1, -2)))
        if form == "ours":
            dp.GaussianMixture("y", w, means, **given, observed=rows)
        elif form == "free":
            rng, parts = (
                np.random.default_rng(0),
                [w, mu, *given.values()][: 2 + (family == "full")],
            )
            pm.Potential("y", sum(pt.sum(a * rng.standard_normal(a.shape.eval())) for a in parts))
        elif form == "plain" and d > 1:
            pm.Mixture(
                "y", w, [pm.MvNormal.dist(mu[j], chol=roots[j]) for j in range(k)], observed=x
            )
    return model


class Nutpie:
    """nutpie under `pm.sample`, compiled once per model, its sampling timed by `clock`."""

    def __init__(self, clock):
        import nutpie

        self.compile, self.sample, self.clock, self.compiled = (
            nutpie.compile_pymc_model,
            nutpie.sample,
            clock,
            {},
        )
        nutpie.compile_pymc_model, nutpie.sample = self._compile, self._sample

    def _compile(self, model, **options):
        if model not in self.compiled:
            self.compiled[model] = self.compile(model, **options)
        return self.compiled[model]

    def _sample(self, *arguments, **options):
        start = self.clock()
        out = self.sample(*arguments, **options)
        self.seconds = self.clock() - start
        return out

    def alone(self, model, start, repeats=2000):
        """Return microseconds of one log density with gradient, the smallest of many calls."""
        one = self._compile(model, initial_points=start)
        at = make_initial_point_fn(
            model=model, overrides=start, jitter_rvs=set(), return_transformed=True
        )(0)
        x = np.concatenate(
            [np.ravel(at[model.rvs_to_values[v].name]) for v in model.free_RVs]
        ).astype(float)
        out, value, call = np.empty_like(x), np.empty(1), one.compiled_logp_func.ctypes
        pointers = [ctypes.cast(a.ctypes.data, call.argtypes[1]) for a in (x, out, value)]
        times = np.empty(repeats)
        for index in range(repeats):
            began = time.perf_counter()
            code = call(len(x), *pointers, one.user_data.ctypes.data)
            times[index] = time.perf_counter() - began
        if code:
            raise RuntimeError(f"nutpie's function returned {code}.")
        return 1e6 * times.min()


def sample(model, start, seed, options, nutpie, draws=None):
    """Return the draws of one run and its seconds of sampling."""
    began, own = [], {}
    if nutpie is None:  # compiled at its first evaluation
        own["callback"] = lambda trace, draw: began.append(options.clock()) if not began else None
    with model:
        idata = pm.sample(
            draws or options.draws,
            tune=draws or options.tune,
            chains=options.chains,
            cores=options.cores,
            initvals=start,
            random_seed=seed,
            nuts_sampler=options.sampler,
            progressbar=False,
            compute_convergence_checks=False,
            discard_tuned_samples=False,
            **own,
        )
    return idata, nutpie.seconds if nutpie else options.clock() - began[0]


def quantities(x, posterior, family):
    """Return the label-free quantities, each (chain, draw)."""
    w, mu = posterior["w"].values, posterior["mu"].values
    (n, d), (c, s, k) = x.shape, w.shape
    if family == "identity":
        cov = np.broadcast_to(np.eye(d), (c, s, k, d, d))
    else:
        cov = posterior["s2"].values[..., None, None] if d == 1 else posterior["cov"].values
    flat = [np.ascontiguousarray(a.reshape(c * s, *a.shape[2:])) for a in (w, mu, cov)]
    log_lik, at = np.empty(c * s), np.empty((c * s, 3))
    step = max(1, CHUNK // n)
    for own in (slice(begin, begin + step) for begin in range(0, c * s, step)):
        densities = MixtureDraws(*(a[own] for a in flat)).log_density(x)
        log_lik[own], at[own] = densities.sum(axis=1), densities[:, [n // 6, n // 2, 5 * n // 6]]
    out = {"log_lik": log_lik.reshape(c, s)}
    out |= {f"density[{j}]": a.reshape(c, s) for j, a in enumerate(at.T)}
    out |= {f"weight[{j}]": a for j, a in enumerate(np.moveaxis(np.sort(w), -1, 0))}
    return out | {f"mean[{j}]": a for j, a in enumerate(np.moveaxis(np.sort(mu[..., 0]), -1, 0))}


class Side:
    """What the rounds of one form gave."""

    def __init__(self, x, family):
        self.x, self.family, self.seconds, self.steps, self.divergent, self.rounds = (
            x,
            family,
            [],
            [],
            0,
            [],
        )

    def add(self, idata, seconds):
        stats = [idata[group] for group in ("warmup_sample_stats", "sample_stats")]
        steps = "n_steps" if "n_steps" in stats[1] else "tree_size"
        self.seconds.append(seconds)
        self.steps.append(sum(int(group[steps].values.sum()) for group in stats))
        self.divergent += int(stats[1]["diverging"].values.sum())
        self.rounds.append(quantities(self.x, idata["posterior"], self.family))

    def summary(self):
        """Return (smallest ESS, its name, largest R-hat), and means with their standard errors."""
        arrays = {name: np.concatenate([r[name] for r in self.rounds]) for name in self.rounds[0]}
        found = rhat_and_ess(arrays)
        least = min(found, key=lambda name: float(found[name][1]))
        means = {n: (a.mean(), a.std() / np.sqrt(float(found[n][1]))) for n, a in arrays.items()}
        return (float(found[least][1]), least, max(float(r) for r, _ in found.values())), means


def report(problem, options, nutpie):
    x, k, family = PROBLEMS[problem]()
    models = {form: model_of(x, k, family, form) for form in FORMS}
    start = dp.initvals(models["ours"], chains=1, random_seed=1)[0]
    sides = {form: Side(x, family) for form in FORMS[:2]}
    for form in sides:
        sample(models[form], start, 0, options, nutpie, draws=5)
    for number in range(options.rounds):
        for form in list(sides)[:: 1 if number % 2 else -1]:
            sides[form].add(*sample(models[form], start, options.seed + number, options, nutpie))
    rates, all_means, ok = {}, [], True
    for form, side in sides.items():
        (ess, least, rhat), means = side.summary()
        seconds, steps = sum(side.seconds), sum(side.steps)
        rates[form], ok = ess / seconds, ok and rhat < 1.01
        all_means.append(means)
        print(
            f"{problem:9s} {form:6s} ESS {ess:6.0f} ({least}), R-hat {rhat:.3f}, {seconds:7.2f} s, {rates[form]:7.0f} ESS/s, "
            f"{steps} evaluations of {1e6 * seconds / steps:6.1f} us, {side.divergent} divergences"
            + ("" if rhat < 1.01 else f"   R-hat above 1.01: {form} failed"),
            flush=True,
        )
    ours, plain = all_means[1], all_means[0]
    z, of = max(
        (abs(ours[name][0] - plain[name][0]) / np.hypot(ours[name][1], plain[name][1]), name)
        for name in ours
    )
    per_step = {form: np.array(side.seconds) / side.steps for form, side in sides.items()}
    ratio = f"{rates['ours'] / rates['plain']:.1f}" if ok else "-"
    line = f"{problem:9s} ratio  {ratio} in ESS/s, "
    line += f"{np.median(per_step['plain'] / per_step['ours']):.1f} in seconds per evaluation; "
    line += (
        f"largest |z| of {len(all_means[0])} means {z:.1f} ({of})"
        if ok
        else "means not compared: chains in several modes"
    )
    if nutpie:
        plain, ours, free = (nutpie.alone(models[form], start) for form in FORMS)
        line += f"; alone {plain:.1f} and {ours:.1f} us, ratio {plain / ours:.1f}; free {free:.1f} us, bound {plain / free:.1f}"
    print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*", default=list(PROBLEMS))
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--tune", type=int, default=1000)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--sampler", default="nutpie", choices=("pymc", "nutpie"))
    parser.add_argument(
        "--cpu", action="store_true", help="on a busy machine: CPU seconds for seconds"
    )
    options = parser.parse_args()
    options.clock = time.process_time if options.cpu else time.perf_counter
    warnings.simplefilter("ignore")
    logging.getLogger("pymc").setLevel(logging.ERROR)
    nutpie = Nutpie(options.clock) if options.sampler == "nutpie" else None
    print(
        f"PyMC {pm.__version__}, {options.sampler}, {options.chains} chains of {options.tune} + {options.draws}, {options.rounds} rounds"
    )
    for name in options.problems:
        report(name, options, nutpie)


if __name__ == "__main__":
    main()
