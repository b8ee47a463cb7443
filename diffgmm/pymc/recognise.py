"""The mixtures of Gaussians in a PyMC model, however they are written."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pymc.distributions.mixture import MixtureRV

from ..errors import InvalidParameterError
from .distribution import GaussianMixtureRV

UNKNOWN = (
    "The model has no observed mixture of Gaussians that is recognised: write it as "
    "diffgmm.pymc.GaussianMixture, pm.NormalMixture, or pm.Mixture of pm.Normal or pm.MvNormal."
)


@dataclass(frozen=True, eq=False)
class ModelMixture:
    """One observed mixture: its name, its rows (N, D), and its parameters as graphs.

    w (K,); mu (K, D); cov (K, D, D).   inputs : the variables that carry them in the model.
    """

    name: str
    rows: np.ndarray
    w: Any
    mu: Any
    cov: Any
    inputs: tuple[Any, Any, Any]
    form: str

    @property
    def is_full(self) -> bool:
        """Whether the spread is a matrix."""
        return self.form != "sigma"


def mixtures_of(model: Any) -> list[ModelMixture]:
    """Return the observed mixtures of Gaussians of a model."""
    found = []
    for rv in model.observed_RVs:
        op = rv.owner.op
        if isinstance(op, GaussianMixtureRV):
            parts: tuple[Any, ...] | None = _ours(op, rv)
        elif isinstance(op, MixtureRV):
            parts = _of_pymc(rv)
        else:
            continue
        if parts is not None:
            found.append(ModelMixture(rv.name, _rows(model, rv), *parts))
    return found


def only_mixture(model: Any) -> ModelMixture:
    """Return the one mixture of a model, or say what is there."""
    found = mixtures_of(model)
    if not found:
        raise InvalidParameterError(UNKNOWN)
    if len(found) > 1:
        raise InvalidParameterError(
            f"The model has {len(found)} mixtures, {[mixture.name for mixture in found]}; "
            "starts are made for models with one."
        )
    return found[0]


def _rows(model: Any, rv: Any) -> np.ndarray:
    value = model.rvs_to_values[rv]
    data = value.data if hasattr(value, "data") else value.eval()
    data = np.asarray(data, dtype=float)
    return data.reshape(-1, 1) if rv.owner.op.ndim_supp == 0 else data.reshape(-1, data.shape[-1])


def _ours(op: Any, rv: Any) -> tuple[Any, ...]:
    _, _, w, mu, spread = rv.owner.inputs
    means = mu[:, None] if op.is_scalar else mu
    return w, means, _covariances(spread, op.form, means), (w, mu, spread), op.form


def _covariances(spread: Any, form: str, means: Any) -> Any:
    eye = pt.eye(means.shape[1])
    if form == "sigma":
        variances = spread**2
        if spread.type.ndim == 1:
            return variances[:, None, None] * eye
        return variances[:, :, None] * eye
    if form == "chol":
        return pt.matmul(spread, spread.transpose(0, 2, 1))
    return spread if form == "cov" else pt.linalg.inv(spread)


def _of_pymc(rv: Any) -> tuple[Any, ...] | None:
    """Return the parts of pm.Mixture, None when components are no Gaussians."""
    _, w, *components = rv.owner.inputs
    names = {getattr(c.owner.op, "name", None) for c in components}
    if not names <= {"normal", "multivariate_normal"} or len(names) != 1 or w.type.ndim != 1:
        return None
    parameters = [component.owner.inputs[-2:] for component in components]
    if names == {"normal"}:
        return _normals(w, parameters)
    return _multivariate(w, parameters)


def _normals(w: Any, parameters: list[Any]) -> tuple[Any, ...] | None:
    if len(parameters) == 1:
        mu, sigma = parameters[0]
        k = w.shape[0]
        if mu.type.ndim > 1 or sigma.type.ndim > 1:
            mu, sigma = _last_line(mu), _last_line(sigma)
        mu, sigma = pt.broadcast_to(mu, (k,)), pt.broadcast_to(sigma, (k,))
    else:
        mu, sigma = (pt.stack([_scalar(p[i]) for p in parameters]) for i in (0, 1))
    return w, mu[:, None], (sigma**2)[:, None, None] * pt.eye(1), (w, mu, sigma), "sigma"


def _last_line(tensor: Any) -> Any:
    """Return what is repeated along every axis but the last."""
    return tensor if tensor.type.ndim < 2 else tensor[(0,) * (tensor.type.ndim - 1)]


def _scalar(tensor: Any) -> Any:
    return tensor if tensor.type.ndim == 0 else tensor.ravel()[0]


def _multivariate(w: Any, parameters: list[Any]) -> tuple[Any, ...] | None:
    if len(parameters) == 1:
        mu, cov = parameters[0]
        while mu.type.ndim > 2:
            mu = mu[0]
        while cov.type.ndim > 3:
            cov = cov[0]
        shape = (mu.shape[0], mu.shape[1], mu.shape[1])
        cov = pt.broadcast_to(cov, shape)
    else:
        flat = [[_core(p[0], 1), _core(p[1], 2)] for p in parameters]
        mu, cov = pt.stack([p[0] for p in flat]), pt.stack([p[1] for p in flat])
    return w, mu, cov, (w, mu, cov), "cov"


def _core(tensor: Any, ndim: int) -> Any:
    while tensor.type.ndim > ndim:
        tensor = tensor[0]
    return tensor


def depends_on(variable: Any) -> set[Any]:
    """Return the variables whose values a variable depends on; shapes alone do not count."""
    found, waiting = set(), [variable]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            if one.owner is not None and type(one.owner.op).__name__ not in ("Shape", "Shape_i"):
                waiting.extend(one.owner.inputs)
    return found


def free_ancestors(model: Any, variable: Any) -> list[Any]:
    """Return the free variables of a model that a variable depends on."""
    above = depends_on(variable)
    return [rv for rv in model.free_RVs if rv in above]
