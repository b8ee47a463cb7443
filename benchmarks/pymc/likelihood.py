"""Log likelihood with gradient: diffgmm.pymc.GaussianMixture beside PyMC's own forms, same run.

python benchmarks/pymc/likelihood.py [--repeats 1000]

Times are the smallest, ratios the medians of pairs that ran one after the other. PyMC 6: pm.NormalMixture for numbers, a list of pm.MvNormal for full covariances, and a hand-vectorised
graph for the identity. PyMC 5: pm.Mixture of a batch of pm.MvNormal.
"""

import argparse
import time

import numpy as np
import pymc as pm
import pytensor.tensor as pt

import diffgmm.pymc as dp

PROBLEMS = ((500, 3, 1, "identity"), (2_000, 4, 3, "identity"), (10_000, 5, 8, "full"))
TARGETS = {(500, 3, 1): 1.0, (2_000, 4, 3): 4.0, (10_000, 5, 8): 5.0}


def rows_of(n, k, d):
    rng = np.random.default_rng(0)
    means = 4.0 * rng.standard_normal((k, d))
    return means[rng.integers(0, k, n)] + rng.standard_normal((n, d))


def model_of(rows, k, kind, form):
    d = rows.shape[1]
    with pm.Model() as model:
        w = pm.Dirichlet("w", np.ones(k))
        mu = pm.Normal("mu", 0.0, 10.0, shape=(k, d))
        if kind == "full":
            sd = pm.Exponential.dist(1.0, shape=d)
            roots = [pm.LKJCholeskyCov(f"L{j}", n=d, eta=2.0, sd_dist=sd)[0] for j in range(k)]
            given = {"chol": pt.stack(roots)}
        else:
            roots, given = [np.eye(d)] * k, {"sigma": 1.0}
        if form == "ours":
            dp.GaussianMixture("y", w, mu, **given, observed=rows)
        elif form == "NormalMixture":
            pm.NormalMixture("y", w, mu[:, 0], sigma=1.0, observed=rows[:, 0])
        elif form == "list of MvNormal":
            parts = [pm.MvNormal.dist(mu[j], chol=roots[j]) for j in range(k)]
            pm.Mixture("y", w, parts, observed=rows)
        elif form == "batch of MvNormal":
            chol = pt.stack(roots) if kind == "full" else np.eye(d)
            pm.Mixture("y", w, pm.MvNormal.dist(mu, chol=chol), observed=rows)
        else:
            square = pt.sum((rows[:, None, :] - mu[None]) ** 2, axis=-1)
            joint = pt.log(w) - 0.5 * square - 0.5 * d * np.log(2.0 * np.pi)
            pm.Potential("y", pt.sum(pt.logsumexp(joint, axis=1)))
    return model


def forms_of(d, kind):
    generation = int(pm.__version__.split(".")[0])
    if d == 1:
        return ("NormalMixture", "vectorised by hand")
    if generation < 6:
        return ("batch of MvNormal",)
    if kind == "full":
        return ("list of MvNormal",)
    return ("vectorised by hand", "batch of MvNormal")


def prepared(model):
    """Return the compiled function at a fixed point, and what it gives there."""
    start = time.process_time()
    function = model.logp_dlogp_function(ravel_inputs=True)
    function.set_extra_values({})
    point = np.concatenate([np.ravel(value) for value in model.initial_point().values()])
    point = point + 0.3 * np.random.default_rng(1).standard_normal(len(point))
    value = function(point)
    return (lambda: function(point)), value, time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--only", type=int, help="number of the problem, from 0")
    options = parser.parse_args()
    print(f"PyMC {pm.__version__}")
    problems = PROBLEMS if options.only is None else PROBLEMS[options.only : options.only + 1]
    for n, k, d, kind in problems:
        rows = rows_of(n, k, d)
        run = {
            form: prepared(model_of(rows, k, kind, form)) for form in ("ours", *forms_of(d, kind))
        }
        times = {form: np.empty(options.repeats) for form in run}
        for index in range(options.repeats):  # interleaved: a busy machine slows all alike
            for form, (call, _, _) in run.items():
                start = time.perf_counter()
                call()
                times[form][index] = time.perf_counter() - start
        ours = run["ours"][1]
        for form, (_, (value, gradient), seconds) in run.items():
            same = np.isclose(value, ours[0], rtol=1e-9) and np.allclose(
                gradient, ours[1], rtol=1e-6, atol=1e-6
            )
            print(
                f"N={n:<6d}K={k} D={d} {kind:9s}{form:20s}{times[form].min() * 1e6:10.0f} us"
                f"{np.median(times[form] / times['ours']):8.1f}x  compiled in {seconds:5.1f} s CPU  same={same}"
            )


if __name__ == "__main__":
    main()
