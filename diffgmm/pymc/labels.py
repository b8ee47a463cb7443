"""The numbering of a mixture's components as a symmetry of a model's density."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .recognise import ModelMixture, free_ancestors, mixtures_of
from .target import Target

# Random points and orders at which the symmetry is checked.
CHECKS = 4


@dataclass(frozen=True, eq=False)
class Labels:
    """Where the values of K components are in the flat, unconstrained array.

    blocks : (slice, shape, axis, is_simplex) of each variable with one entry per component. A
        simplex of K weights is kept as the first K - 1 of K numbers with sum 0.
    key : the number of the block that orders components, that of the means.
    """

    n_components: int
    blocks: tuple[tuple[slice, tuple[int, ...], int, bool], ...]
    key: int

    def permute(self, x: np.ndarray, order: np.ndarray) -> np.ndarray:
        """Return the point with components renumbered; the map keeps volumes."""
        out = x.copy()
        for where, shape, axis, is_simplex in self.blocks:
            part = x[where].reshape(shape)
            if is_simplex:
                whole = np.append(part, -part.sum())
                out[where] = whole[order][:-1]
            else:
                out[where] = np.take(part, order, axis=axis).ravel()
        return out

    def canonical(self, x: np.ndarray) -> np.ndarray:
        """Return the point whose components come by increasing mean of the first feature."""
        return self.permute(x, np.argsort(self._keys(x), kind="stable"))

    def is_canonical(self, x: np.ndarray) -> bool:
        """Whether components come by increasing mean of the first feature."""
        return bool(np.all(np.diff(self._keys(x)) >= 0.0))

    def _keys(self, x: np.ndarray) -> np.ndarray:
        where, shape, axis, _ = self.blocks[self.key]
        return np.moveaxis(x[where].reshape(shape), axis, 0).reshape(self.n_components, -1)[:, 0]


def labels_of(target: Target, rng: np.random.Generator) -> Labels | None:
    """Return the symmetry of a model with one mixture, None if its prior tells components apart."""
    found = mixtures_of(target.model)
    if len(found) != 1:
        return None
    labels = _blocks(target, found[0])
    return labels if labels is not None and _is_symmetric(target, labels, rng) else None


def _blocks(target: Target, mixture: ModelMixture) -> Labels | None:
    model, places = target.model, target.points.slices()
    k = mixture.inputs[0].type.shape[0] or int(mixture.inputs[1].type.shape[0] or 0)
    above = [free_ancestors(model, variable) for variable in mixture.inputs]
    blocks: list[tuple[slice, tuple[int, ...], int, bool]] = []
    key = None
    for rv in dict.fromkeys(rv for variables in above for rv in variables):
        where, shape = places[model.rvs_to_values[rv].name]
        transform = type(model.rvs_to_transforms[rv]).__name__
        if transform == "SimplexTransform" and shape == (k - 1,):
            blocks.append((where, shape, 0, True))
        elif k in shape:
            if rv in above[1] and rv not in above[0] and key is None:
                key = len(blocks)
            blocks.append((where, shape, shape.index(k), False))
    if k < 2 or key is None:
        return None
    return Labels(k, tuple(blocks), key)


def _is_symmetric(target: Target, labels: Labels, rng: np.random.Generator) -> bool:
    for _ in range(CHECKS):
        x = target.start + 0.5 * rng.standard_normal(target.n_dims)
        order = np.roll(rng.permutation(labels.n_components), 1)
        here, there = target(x)[0], target(labels.permute(x, order))[0]
        if not abs(here - there) <= 1e-8 * (1.0 + abs(here)):
            return False
    return True


def names_in_posterior(model: Any, idata: Any) -> dict[str, Any] | None:
    """Return the arguments of `diffgmm.relabel` for a model's mixture, None if it has not one."""
    found = mixtures_of(model)
    if len(found) != 1:
        return None
    posterior = idata["posterior"]
    weights, means, spread = (_name_in(variable, posterior) for variable in found[0].inputs)
    if means is None:
        return None
    array = posterior[means]
    cluster, k = array.dims[2], array.shape[2]
    own = [name for name in (weights, spread) if name is not None]
    clusters = {name: posterior[name].dims[2] for name in own if posterior[name].shape[2:3] == (k,)}
    # Scales without a cluster dimension are those of all components if they are one number.
    if spread not in clusters and spread is not None and posterior[spread].ndim > 2:
        spread = None
    arguments: dict[str, Any] = {"means": means, "weights": weights, "covariances": None}
    kind = {"sigma": "scales", "cov": "covariances"}.get(found[0].form)
    if kind is None or spread is None or weights is None:
        arguments["method"] = "pivot"
    else:
        arguments[kind] = spread
    dims = tuple(dict.fromkeys([cluster, *clusters.values()]))
    kept = tuple(dim for dim in array.dims[2:] if dim not in dims)
    return {**arguments, "cluster_dim": dims, "keep_dims": kept}


def _name_in(variable: Any, posterior: Any) -> str | None:
    """Return the name of a graph's variable in the posterior, seen through casts and broadcasts."""
    while variable is not None:
        if variable.name in posterior.data_vars:
            return variable.name
        owner = variable.owner
        if owner is None or not owner.inputs:
            return None
        name = type(owner.op).__name__
        scalar = type(getattr(owner.op, "scalar_op", None)).__name__
        if name not in ("BroadcastTo", "Alloc", "DimShuffle") and not scalar.startswith(
            ("Cast", "Identity")
        ):
            return None
        variable = owner.inputs[0]
    return None
