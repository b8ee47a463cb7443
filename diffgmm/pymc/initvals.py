"""`initvals`: starting points of chains, from fits of the mixture to the rows."""

import warnings
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

from .._seeding import Seed, child_sequence, seed_sequence
from ..arguments import check_count
from ..errors import ConvergenceWarning
from ..learn.fit import fit
from ..matrices import inverse_cholesky
from ..mixture import GaussianMixture
from ..posterior.relabelling import match
from .recognise import ModelMixture, only_mixture
from .target import Points

# Mean squared distance, in standard deviations of its component, at which a start counts as reached.
REACHED = 0.5

ITERATIONS = 500
SMALLEST_WEIGHT = 1e-6


def initvals(
    model: Any = None, *, chains: int = 4, random_seed: Seed = None
) -> list[dict[str, np.ndarray]]:
    """Return starting points for the chains of a model that contains a mixture of Gaussians.

    Chain 1 starts at the best optimum of the likelihood, the others at fits to rows with Dirichlet
    weights, all with one numbering of the components: by increasing mean of the first feature in
    chain 1, and in every chain when there is one feature, so that models with ordered means are
    served.

    Parameters
    ----------
    model : pymc.Model, optional
        The one on the context stack by default.
    chains : int, default 4
    random_seed : int, sequence of int, Generator or None

    Returns
    -------
    list of dict
        For `pm.sample(initvals=..., init="adapt_diag")`; other values of init may add noise to
        starts. Free variables that do not touch the mixture keep the model's own initial values.

    Raises
    ------
    InvalidParameterError
        When no mixture of Gaussians is recognised in the model, or several are.

    Warns
    -----
    ConvergenceWarning
        When the model's parameters cannot reach a fit.
    """
    model = pm.modelcontext(model)
    chains = check_count("chains", chains)
    mixture = only_mixture(model)
    sequence = seed_sequence(random_seed)
    starts = _Starts(model, mixture)
    return [starts.at(found) for found in _fits(mixture, starts.n_components, chains, sequence)]


def _fits(
    mixture: ModelMixture, k: int, chains: int, sequence: np.random.SeedSequence
) -> list[GaussianMixture]:
    found: list[GaussianMixture] = []
    for chain in range(chains):
        rng = np.random.default_rng(child_sequence(sequence, chain))
        weights = rng.standard_exponential(len(mixture.rows)) if chain else None
        kind = "full" if mixture.is_full else "diag"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a start need not be final
            one = fit(
                mixture.rows,
                k,
                covariance_type=kind,
                sample_weight=weights,
                random_seed=rng,
                progressbar=False,
            ).mixture
        order = _order(one, found[0] if found else None)
        found.append(GaussianMixture(one.weights[order], one.means[order], one.covariances[order]))
    return found


def _order(one: GaussianMixture, first: GaussianMixture | None) -> np.ndarray:
    """Return the numbering of components: by the first feature, later chains as the first chain.

    In one dimension every chain is ordered, as models with ordered means want it.
    """
    if first is None or one.n_features == 1:
        return np.argsort(one.means[:, 0], kind="stable")
    white, _ = inverse_cholesky(first.covariances)
    steps = np.einsum("jab,kjb->kja", white, one.means[:, None] - first.means)
    return match(-np.square(steps).sum(axis=2)[None])[0]


class _Starts:
    """The points of a model whose mixture is closest to a given one, by least squares."""

    def __init__(self, model: Any, mixture: ModelMixture):
        self.points = Points(model)
        self.model = model
        w, mu, cov, *free = model.replace_rvs_by_values(
            [mixture.w, mixture.mu, mixture.cov, *model.free_RVs]
        )
        w_fit, mu_fit, white = pt.dvector(), pt.dmatrix(), pt.dtensor3()
        step = pt.matmul(white, (mu - mu_fit)[:, :, None])[:, :, 0]
        middle = pt.matmul(pt.matmul(white, cov), white.transpose(0, 2, 1))
        distances = pt.sum(step**2)
        loss = (
            pt.sum((pt.log(pt.maximum(w, SMALLEST_WEIGHT)) - pt.log(w_fit)) ** 2)
            + distances
            + pt.sum((middle - pt.eye(mu.shape[1])) ** 2)
        )
        values = model.value_vars
        gradients = pytensor.grad(loss, values, disconnected_inputs="ignore")
        # A few hundred calls do not repay a compiler.
        options = {"mode": "FAST_COMPILE", "on_unused_input": "ignore"}
        inputs = [*values, w_fit, mu_fit, white]
        self._loss = pytensor.function(inputs, [loss, distances, *gradients], **options)
        self._free = pytensor.function(values, free, **options)
        self.n_components = len(
            pytensor.function(values, w, **options)(*self._split(self.points.start))
        )

    def _split(self, x: np.ndarray) -> list[np.ndarray]:
        point = self.points.point(x)
        return [np.asarray(point[v.name], dtype=v.dtype) for v in self.model.value_vars]

    def at(self, found: GaussianMixture) -> dict[str, np.ndarray]:
        """Return the model's free variables, by name, where its mixture is closest to `found`."""
        from scipy.optimize import minimize

        white, _ = inverse_cholesky(found.covariances)
        fitted = (np.maximum(found.weights, SMALLEST_WEIGHT), found.means, white)
        distances = 0.0

        def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal distances
            value, distances, *gradients = self._loss(*self._split(x), *fitted)
            by_name = {v.name: g for v, g in zip(self.model.value_vars, gradients)}
            flat = self.points.flat(by_name)
            return (float(value), flat) if np.isfinite(value) else (1e100, np.zeros_like(flat))

        options = {"maxiter": ITERATIONS}
        best = minimize(loss, self.points.start, jac=True, method="L-BFGS-B", options=options)
        loss(best.x)
        if float(distances) > REACHED * found.means.size:
            warnings.warn(
                "The model's means cannot reach those of the fit: they stay "
                f"{np.sqrt(float(distances) / found.means.size):.2g} standard deviations away on "
                "average. Look at the priors of the means.",
                ConvergenceWarning,
                stacklevel=4,
            )
        names = [rv.name for rv in self.model.free_RVs]
        return dict(zip(names, map(np.asarray, self._free(*self._split(best.x)))))
