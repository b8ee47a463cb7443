"""Weights of modes by diffgmm.pymc.sample and by pm.sample, 4 chains from one common start.

python benchmarks/pymc/multimodal.py [--seeds 10] [--targets far2 far10 far20 banana clusters] [--pymc]

far2, far10, far20: two normals 20 sd apart with weights 0.3 and 0.7. banana: a banana (0.6) beside a ball
(0.4). clusters: a mixture for data that two different groupings explain; its modes, up to labels, are
weighed by long importance sampling.
"""

import argparse
import time
import warnings

import numpy as np
import pymc as pm
import pytensor.tensor as pt

import diffgmm.pymc as dp

BALL = np.array([0.0, 12.0])


def far(d):
    means = np.zeros((2, d))
    means[1, 0] = 20.0
    with pm.Model() as model:
        dp.GaussianMixture("x", [0.3, 0.7], means, sigma=1.0)
    return model, (lambda x: x[..., 0] > 10.0), 0.7


def banana():
    """0.6 of x0 ~ N(0, 2^2), x1 | x0 ~ N(x0^2 / 4 - 4, 0.5^2), and 0.4 of a unit ball at (0, 12)."""
    with pm.Model() as model:
        x = pm.Flat("x", shape=2)
        bent = pm.logp(pm.Normal.dist(0.0, 2.0), x[0]) + pm.logp(
            pm.Normal.dist(x[0] ** 2 / 4.0 - 4.0, 0.5), x[1]
        )
        ball = pm.logp(pm.Normal.dist(BALL, 1.0), x).sum()
        pm.Potential("p", pt.logaddexp(np.log(0.6) + bent, np.log(0.4) + ball))

    def in_ball(x):
        log_ball = np.log(0.4) - 0.5 * ((x - BALL) ** 2).sum(axis=-1)
        log_bent = (
            np.log(0.6)
            - 0.5 * (x[..., 0] / 2.0) ** 2
            - 0.5 * ((x[..., 1] - x[..., 0] ** 2 / 4.0 + 4.0) / 0.5) ** 2
        )
        return log_ball > log_bent

    return model, in_ball, None


def clusters():
    """Corners of a rectangle: two clusters are its long sides or its short ones."""
    rng = np.random.default_rng(5)
    corners = np.array([[-3.0, -2.93], [-3.0, 2.93], [3.0, -2.93], [3.0, 2.93]])
    rows = np.repeat(corners, 5, axis=0) + 0.6 * rng.standard_normal((20, 2))
    with pm.Model() as model:
        mu = pm.Normal("x", 0.0, 3.0, shape=(2, 2))
        dp.GaussianMixture("y", [0.5, 0.5], mu, sigma=np.array([1.8, 1.8]), observed=rows)

    def upright(x):
        step = x[..., 1, :] - x[..., 0, :]
        return np.abs(step[..., 0]) > np.abs(step[..., 1])

    return model, upright, None


MAKERS = {
    "far2": lambda: far(2),
    "far10": lambda: far(10),
    "far20": lambda: far(20),
    "banana": banana,
    "clusters": clusters,
}


def reference(model, is_one, shape, rng):
    """Return the weight of a mode on a fine grid (2 values) or by importance sampling (4 values)."""
    from diffgmm.pymc.target import Target

    target = Target(model)
    if target.n_dims == 2:
        a, b = np.meshgrid(np.linspace(-9, 9, 361), np.linspace(-8, 20, 561), indexing="ij")
        points = np.column_stack([a.ravel(), b.ravel()])
        log_w = np.array([target(x)[0] for x in points])
    else:
        points = 3.2 * rng.standard_normal((60_000, target.n_dims))
        log_w = np.array([target(x)[0] for x in points]) + 0.5 * (points**2).sum(axis=1) / 3.2**2
    w = np.exp(log_w - log_w.max())
    own = is_one(points.reshape(-1, *shape))
    share = w[own].sum() / w.sum()
    error = np.sqrt(np.sum((w * (own - share)) ** 2)) / w.sum()
    return share, (0.0 if target.n_dims == 2 else error)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--targets", nargs="+", default=list(MAKERS))
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--pymc", action="store_true", help="pm.sample beside it")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import logging

    logging.getLogger("pymc").setLevel(logging.ERROR)
    for name in options.targets:
        model, is_one, truth = MAKERS[name]()
        shape = model["x"].type.shape
        error = 0.0
        if truth is None:
            truth, error = reference(model, is_one, shape, np.random.default_rng(0))
        samplers = {"diffgmm.pymc.sample": dp.sample}
        if options.pymc:
            samplers["pm.sample"] = lambda model, **kw: pm.sample(model=model, **kw)
        for label, sampler in samplers.items():
            shares, seconds = [], []
            for seed in range(options.seeds):
                start = time.process_time()
                with model:
                    idata = sampler(
                        model=model,
                        draws=options.draws,
                        tune=500,
                        chains=4,
                        cores=1,
                        random_seed=seed,
                        progressbar=False,
                        compute_convergence_checks=False,
                        initvals={"x": np.zeros(shape)},
                    )
                shares.append(is_one(idata["posterior"]["x"].values).mean())
                seconds.append(time.process_time() - start)
            worst = np.abs(np.array(shares) - truth).max()
            print(
                f"{name:9s}{label:21s}truth {truth:.3f} (se {error:.3f})  mean {np.mean(shares):.3f}  "
                f"largest error {worst:.3f}  {np.median(seconds):5.1f} s CPU a run",
                flush=True,
            )


if __name__ == "__main__":
    main()
