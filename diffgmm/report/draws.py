"""Mixtures read from the posterior of any library, by the names of its variables."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict, Unpack

import numpy as np

from ..data import Data
from ..errors import InvalidDataError, InvalidParameterError
from ..posterior.mixture_draws import MixtureDraws
from .inference_data import SAMPLE_DIMS, SAMPLE_WEIGHT, as_tree
from .unknown_k import is_unknown_k, joined

# How far weights may be from summing to 1: draws are often kept in single precision.
WEIGHT_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Names:
    """What the variables are called; None for what is not there.

    scales are standard deviations, in place of covariances. A variable's cluster dimension is the
    first of `cluster_dims` that it has.
    """

    weights: str | None = "weights"
    means: str = "means"
    covariances: str | None = "covariances"
    scales: str | None = None
    cluster_dims: tuple[str, ...] = ("cluster",)


class VariableNames(TypedDict, total=False):
    """The keyword arguments that name a mixture's variables; the same as those of `relabel`."""

    weights: str
    means: str
    covariances: str
    scales: str
    cluster_dim: str | Sequence[str]


def names_of(**given: Unpack[VariableNames]) -> Names:
    """Return the names of variables, as the caller gave them."""
    unknown = sorted(set(given) - set(VariableNames.__annotations__))
    if unknown:
        raise TypeError(f"unexpected keyword argument {unknown[0]!r}")
    dim = given.get("cluster_dim", "cluster")
    return Names(
        weights=given.get("weights", "weights"),
        means=given.get("means", "means"),
        covariances=given.get("covariances", "covariances"),
        scales=given.get("scales"),
        cluster_dims=(dim,) if isinstance(dim, str) else tuple(dim),
    )


@dataclass(frozen=True, eq=False)
class PosteriorMixtures:
    """Draws of a mixture with the coordinates they came with.

    mixtures : all draws, chain after chain.   chain, draw : coordinates.
    cluster, feature_names : labels of components and features.
    observed : the rows, (N, D), or None.   name : what the rows are called.
    sample_weight : weights (N,) of the observed rows, or None when all count once.
    """

    mixtures: MixtureDraws
    chain: np.ndarray
    draw: np.ndarray
    cluster: np.ndarray
    feature_names: tuple[str, ...]
    observed: np.ndarray | None
    name: str
    sample_weight: np.ndarray | None = None

    def thinned(self, most: int) -> "PosteriorMixtures":
        """Return at most `most` draws of all chains, evenly spread, as many of each chain."""
        n_chains, n_draws = len(self.chain), len(self.draw)
        each = max(1, min(n_draws, most // n_chains))
        kept = np.unique(np.linspace(0, n_draws - 1, each).astype(int))
        index = (np.arange(n_chains)[:, None] * n_draws + kept).ravel()
        return replace(self, mixtures=self.mixtures.select(index), draw=self.draw[kept])

    def rows(self, X: Any) -> np.ndarray:
        """Return X, or the observed rows when X is None, as checked values (N, D)."""
        if X is not None:
            return Data.of(X, feature_names=self.feature_names).values
        if self.observed is None:
            raise InvalidDataError("There is no group observed_data with the rows. Give X.")
        return self.observed


def posterior_group(tree: Any) -> Any:
    """Return the posterior as a Dataset, or say what is missing."""
    if not hasattr(tree, "children") or "posterior" not in tree.children:
        raise InvalidParameterError(
            "idata must be InferenceData or a DataTree with a group posterior, "
            f"got {type(tree).__name__}."
        )
    posterior = tree["posterior"].to_dataset()
    missing = [dim for dim in SAMPLE_DIMS if dim not in posterior.dims]
    if missing:
        raise InvalidParameterError(
            f"The posterior must have the dims chain and draw, but has {list(posterior.dims)}."
        )
    if not all(posterior.sizes[dim] for dim in SAMPLE_DIMS):
        raise InvalidParameterError("The posterior has no draws.")
    return posterior


def variable(posterior: Any, name: str, role: str) -> Any:
    """Return a variable of the posterior, or say which there are."""
    if name in posterior.data_vars:
        return posterior[name]
    raise InvalidParameterError(
        f"The posterior has no variable {name!r} for {role}; it has "
        f"{sorted(map(str, posterior.data_vars))}."
    )


def cluster_dim_of(array: Any, dims: Sequence[str]) -> str | None:
    """Return the cluster dimension of a variable, None if it has none."""
    return next((dim for dim in dims if dim in array.dims), None)


def flat(array: Any, dims: Sequence[str], role: str, *, needed: bool = True) -> np.ndarray:
    """Return a variable as (S, K, ...), or (S, ...) when it has no cluster dimension."""
    cluster = cluster_dim_of(array, dims)
    if cluster is None and needed:
        raise InvalidParameterError(
            f"The variable {array.name!r} for {role} must have the dim "
            f"{' or '.join(map(repr, dims))}, but has {list(array.dims)}. Rename it, or "
            "give cluster_dim where there is such an argument."
        )
    front = (*SAMPLE_DIMS, *([] if cluster is None else [cluster]))
    try:
        values = np.asarray(array.transpose(*front, ...).values, dtype=float)
    except (TypeError, ValueError):
        raise InvalidParameterError(f"The variable {array.name!r} must be numbers.") from None
    if not np.all(np.isfinite(values)):
        raise InvalidParameterError(f"The variable {array.name!r} must be finite in every draw.")
    return values.reshape(-1, *values.shape[2:])


def means_of(posterior: Any, names: Names) -> np.ndarray:
    """Return means (S, K, D)."""
    array = variable(posterior, names.means, "means")
    means = flat(array, names.cluster_dims, "means")
    if means.ndim == 2:  # one feature without a dimension of its own
        means = means[:, :, None]
    if means.ndim != 3:
        raise InvalidParameterError(
            f"The variable {names.means!r} must have at most one dim beside chain, draw and "
            f"{names.cluster_dims[0]}, but has {list(array.dims)}."
        )
    return means


def covariances_of(posterior: Any, names: Names, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return covariances (S, K, D, D) of whatever shape they are kept in, None if there are none.

    Full: two dims beside the cluster's. Diagonal: one. Spherical: none. Tied: no cluster dim.
    """
    s, k, d = shape
    name = names.covariances if names.scales is None else names.scales
    if name is None or (names.scales is None and name not in posterior.data_vars):
        if posterior.attrs.get("covariance_type") == "identity":
            return np.broadcast_to(np.eye(d), (s, k, d, d))
        if name is not None and name != Names.covariances:
            variable(posterior, name, "covariances")
        return None
    role = "covariances" if names.scales is None else "scales"
    array = variable(posterior, name, role)
    values = flat(array, names.cluster_dims, role, needed=False)
    if names.scales is not None:
        values = values**2
    if cluster_dim_of(array, names.cluster_dims) is None:
        values = np.broadcast_to(values[:, None], (s, k, *values.shape[1:]))
    if values.shape == (s, k, d, d) and names.scales is None:
        return values
    if values.shape == (s, k, d):
        return values[..., None] * np.eye(d)
    if values.shape == (s, k):
        return values[..., None, None] * np.eye(d)
    raise InvalidParameterError(
        f"The variable {name!r} for {role} has the dims {list(array.dims)}, which do not fit "
        f"{k} components with {d} features."
    )


def weights_of(posterior: Any, names: Names, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return weights (S, K), None if there are none."""
    if names.weights is None:
        return None
    array = variable(posterior, names.weights, "weights")
    weights = flat(array, names.cluster_dims, "weights", needed=False)
    if weights.shape != shape[:2]:
        raise InvalidParameterError(
            f"The variable {names.weights!r} for weights must have one entry per component, "
            f"but has the dims {list(array.dims)} for {shape[1]} components."
        )
    return weights


def read_mixtures(idata: Any, names: Names = Names()) -> PosteriorMixtures:
    """Return the draws of an object that has weights, means and covariances by these names."""
    tree = as_tree(idata)
    posterior = joined(tree) if is_unknown_k(tree) else posterior_group(tree)
    means = means_of(posterior, names)
    weights = weights_of(posterior, names, means.shape)
    covariances = covariances_of(posterior, names, means.shape)
    if covariances is None:
        variable(posterior, names.covariances or Names.covariances or "", "covariances")
    assert weights is not None
    assert covariances is not None
    if weights.min() < 0.0 or np.abs(weights.sum(axis=1) - 1.0).max() > WEIGHT_TOLERANCE:
        raise InvalidParameterError(
            "The weights of every draw must not be negative and must sum to 1, got sums from "
            f"{weights.sum(axis=1).min():.4g} to {weights.sum(axis=1).max():.4g}."
        )
    array = posterior[names.means]
    taken = (*SAMPLE_DIMS, *names.cluster_dims)
    feature = next((d for d in array.dims if d not in taken), None)
    labels = posterior[feature].values if feature is not None else np.array(["x0"])
    observed, name = observed_rows(tree, means.shape[2])
    return PosteriorMixtures(
        MixtureDraws(weights, means, covariances),
        posterior["chain"].values,
        posterior["draw"].values,
        posterior[cluster_dim_of(array, names.cluster_dims)].values,
        tuple(label if isinstance(label, str) else f"x{label}" for label in labels.tolist()),
        observed,
        name,
        weights_of_rows(tree),
    )


def weights_of_rows(tree: Any) -> np.ndarray | None:
    """Return the weights (N,) of the observed rows in constant_data, None if there are none."""
    group = tree.children.get("constant_data")
    if group is None or SAMPLE_WEIGHT not in group.data_vars:
        return None
    return np.asarray(group[SAMPLE_WEIGHT].values, dtype=float)


def observed_rows(tree: Any, n_features: int) -> tuple[np.ndarray | None, str]:
    """Return the first observed variable that fits (N, D), and its name; (None, "x") if none."""
    group = tree.children.get("observed_data")
    for name, array in ({} if group is None else group.data_vars).items():
        values = np.asarray(array.values)
        if values.ndim == 1 and n_features == 1:
            values = values[:, None]
        if values.ndim == 2 and values.shape[1] == n_features and values.dtype.kind in "fiu":
            if values.dtype.kind != "f":
                values = values.astype(float)
            if np.all(np.isfinite(values)):
                return np.ascontiguousarray(values), str(name)
    return None, "x"
