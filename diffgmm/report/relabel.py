"""`relabel`: draws of any library in, the same draws with one numbering of the components out."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from ..data import Data
from ..errors import InvalidParameterError
from ..posterior.mixture_draws import MixtureDraws
from ..posterior.relabelling import METHODS, Alignment, align, standardised
from .draws import (
    Names,
    cluster_dim_of,
    covariances_of,
    means_of,
    observed_rows,
    posterior_group,
    variable,
    weights_of,
)
from .inference_data import SAMPLE_DIMS, as_tree, from_tree
from .unknown_k import UNALIGNED_PRIOR, refuse_unknown_k

# Reference rows, and at least so many for each component.
REFERENCE_ROWS = 200
ROWS_PER_COMPONENT = 20

# A draw is ambiguous when the odds of its order against the next best are below this.
CLEAR_ODDS = 19.0

# Their draws are others than the posterior's.
OTHER_DRAWS = ("prior", "prior_predictive", UNALIGNED_PRIOR)

# Names of the log posterior density in sample_stats.
LOG_POSTERIOR = ("lp", "logp")


def relabel(  # noqa: PLR0913  one name for each variable of another library
    idata: Any,
    *,
    weights: str | None = "weights",
    means: str = "means",
    covariances: str | None = "covariances",
    scales: str | None = None,
    allocations: str | None = None,
    method: Literal["ecr", "stephens", "pivot"] = "ecr",
    cluster_dim: str | Sequence[str] = "cluster",
    keep_dims: Sequence[str] = (),
    X: Any = None,
) -> Any:
    """Give the components of every draw of every chain one common numbering.

    A mixture's likelihood does not change when its components are renumbered, so samplers may
    switch labels. Each draw is only permuted: all variables with the cluster dimension together,
    in all groups that hold draws of the posterior.

    Parameters
    ----------
    idata : arviz.InferenceData or xarray.DataTree
        Of any library.
    weights, means, covariances : str
        Names of variables in `posterior`. Covariances may be full, diagonal (variances), spherical
        or tied. None for weights or covariances that are not there (method="pivot").
    scales : str, optional
        Name of standard deviations, in place of covariances.
    allocations : str, optional
        Name of the component numbers of the rows, (chain, draw, rows), from 0. They are renumbered
        with the rest, and method="ecr" compares them instead of the most probable components.
    method : {"ecr", "stephens", "pivot"}, default "ecr"
        What aligned draws agree on: the component of each row, p(component | row), or the
        parameters.
    cluster_dim : str or sequence of str, default "cluster"
        The cluster dimension; several names when variables have their own ("w_dim_0", "mu_dim_0"),
        or a variable has two (transition matrices): both are then permuted.
    keep_dims : sequence of str, optional
        Dims with as many entries as there are components that are no cluster dimensions.
    X : array-like, shape (N, D), optional
        The rows; those of `observed_data`, or draws from the mixtures, when not given. At most
        200 of them, or 20 per component, are used.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        A new object. `sample_stats` has alignment_log_odds (chain, draw): of the order chosen
        against the nearest exchange of two clusters, in nats. The attributes of `posterior` say the method and
        alignment_ambiguous, the share of draws with odds below 19 : 1. Clusters come by
        decreasing mean weight or, without weights, by increasing mean of the first feature.

    Raises
    ------
    InvalidParameterError
        When a variable is missing, shapes do not fit, or a second dimension may be a cluster's.

    Notes
    -----
    Alignment hides no disagreement: chains in different modes keep a high R-hat.

    References
    ----------
    Papastamoulis (2016), label.switching, Journal of Statistical Software 69,
    doi:10.18637/jss.v069.c01; Stephens (2000), doi:10.1111/1467-9868.00265.
    """
    if method not in METHODS:
        raise InvalidParameterError(
            f"method must be one of {', '.join(map(repr, METHODS))}, got {method!r}."
        )
    dims = (cluster_dim,) if isinstance(cluster_dim, str) else tuple(cluster_dim)
    names = Names(weights, means, covariances, scales, dims)
    tree = as_tree(idata)
    refuse_unknown_k(tree, "relabel")
    posterior = posterior_group(tree)
    alignment = alignment_of(tree, posterior, names, method, allocations, X)
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], -1)
    order = alignment.order.reshape(shape)
    keep = {*keep_dims, *posterior[means].dims}
    for spread in {covariances, scales} & set(posterior.data_vars):
        keep |= set(posterior[spread].dims)
    _check_dims(tree, dims, keep, order.shape[2])
    permuted = _permuted(tree, posterior, dims, order, allocations)
    _report(permuted, posterior, alignment, method)
    return from_tree(permuted)


def alignment_of(
    tree: Any, posterior: Any, names: Names, method: str, allocations: str | None, X: Any
) -> Alignment:
    """Return the order of components of every draw, by decreasing mean weight."""
    means = means_of(posterior, names)
    weights = weights_of(posterior, names, means.shape)
    covariances = covariances_of(posterior, names, means.shape)
    mixtures = None
    if weights is not None and covariances is not None:
        mixtures = MixtureDraws(weights, means, covariances)
    # Beside rows, parameters only break ties.
    parameters = standardised(weights, means, covariances if method == "pivot" else None)
    points = _points(tree, mixtures, X)
    describe = None
    if allocations is not None and method == "ecr":
        numbers = _allocations(posterior, allocations, means.shape[1])
        describe = partial(_one_hot, numbers, means.shape[1])
    elif method != "pivot":
        if mixtures is None:
            raise InvalidParameterError(
                f"method={method!r} needs weights and covariances (or scales). "
                "Name them, or use method='pivot'."
            )
        describe = partial(_descriptions, mixtures, points, method)
    alignment = align(method, parameters, describe, _best(tree, posterior, mixtures, points))
    key = means[:, :, 0] if weights is None else -weights
    key = np.take_along_axis(key, alignment.order, axis=1).mean(axis=0)
    return Alignment(alignment.order[:, np.argsort(key, kind="stable")], alignment.log_odds)


def _points(tree: Any, mixtures: MixtureDraws | None, X: Any) -> np.ndarray:
    """Return the reference rows (R, D), the same however components are numbered."""
    if mixtures is None:
        return np.empty((0, 0))
    n = max(REFERENCE_ROWS, ROWS_PER_COMPONENT * mixtures.n_components)
    rng = np.random.default_rng(0)  # which rows are looked at, not what is drawn
    values: np.ndarray | None
    if X is not None:
        values = Data.of(X).values
        if values.shape[1] != mixtures.n_features:
            raise InvalidParameterError(
                f"X has {values.shape[1]} columns, but the means have {mixtures.n_features} "
                "features."
            )
    else:
        values = observed_rows(tree, mixtures.n_features)[0]
    if values is not None:
        chosen = np.sort(rng.permutation(len(values))[:n])
        return np.ascontiguousarray(values[chosen], dtype=float)
    mixtures.component(0)  # refuses covariances that are none
    out = np.empty((n, mixtures.n_features))
    for i, s in enumerate(rng.integers(mixtures.n_draws, size=n)):
        by_mean = np.lexsort(mixtures.means[s].T[::-1])
        cumulative = np.cumsum(mixtures.weights[s, by_mean])
        own = by_mean[np.searchsorted(cumulative[:-1], rng.random() * cumulative[-1])]
        root = np.linalg.cholesky(mixtures.covariances[s, own])
        out[i] = mixtures.means[s, own] + root @ rng.standard_normal(mixtures.n_features)
    return out


def _descriptions(
    mixtures: MixtureDraws, points: np.ndarray, method: str, chosen: np.ndarray
) -> np.ndarray:
    """Return p(component | row) of some draws, or 1 where it is largest for ecr, (n, K, R)."""
    table = mixtures.probabilities(points, chosen)
    return _one_hot(table.argmax(axis=1), table.shape[1]) if method == "ecr" else table


def _one_hot(
    allocations: np.ndarray, n_components: int, chosen: slice | np.ndarray = slice(None)
) -> np.ndarray:
    """Return (n, K, R) of 0 and 1 from component numbers (S, R) of some draws, float32."""
    numbers = np.arange(n_components)[:, None]
    return (allocations[chosen, None, :] == numbers).astype(np.float32)


def _allocations(posterior: Any, name: str, n_components: int) -> np.ndarray:
    """Return the component numbers (S, R) of some rows."""
    array = variable(posterior, name, "allocations").transpose(*SAMPLE_DIMS, ...)
    values = np.asarray(array.values).reshape(array.shape[0] * array.shape[1], -1)
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= n_components:
        raise InvalidParameterError(
            f"The variable {name!r} for allocations must hold integers from 0 to "
            f"{n_components - 1}, got {values.dtype} from {values.min()} to {values.max()}."
        )
    n = max(REFERENCE_ROWS, ROWS_PER_COMPONENT * n_components)
    chosen = np.sort(np.random.default_rng(0).permutation(values.shape[1])[:n])
    return values[:, chosen]


def _best(tree: Any, posterior: Any, mixtures: MixtureDraws | None, points: np.ndarray) -> int:
    """Return the number of the draw with the highest density."""
    group = tree.children.get("sample_stats")
    for name in LOG_POSTERIOR if group is not None else ():
        if name in group.data_vars and group[name].dims == SAMPLE_DIMS:
            values = group[name].values
            if values.shape == (posterior.sizes["chain"], posterior.sizes["draw"]):
                return int(np.nanargmax(values))
    if mixtures is None:
        return 0
    return int(np.argmax(mixtures.log_density(points).sum(axis=1)))


def _groups_of_draws(tree: Any) -> list[str]:
    return [
        name for name in tree.children if name not in OTHER_DRAWS and not name.startswith("warmup_")
    ]


def _check_dims(tree: Any, dims: Sequence[str], keep: set[str], n_components: int) -> None:
    """Refuse a variable with a second dimension that may be a cluster dimension, too."""
    for group in _groups_of_draws(tree):
        for name, array in tree[group].data_vars.items():
            own = cluster_dim_of(array, dims)
            if own is None or not set(SAMPLE_DIMS) <= set(array.dims):
                continue
            for dim, size in zip(array.dims, array.shape):
                if dim not in dims and dim in (*SAMPLE_DIMS, *keep):
                    continue
                if dim in dims and size != n_components:
                    raise InvalidParameterError(
                        f"{name!r} in {group} has {size} entries along {dim!r}, but there are "
                        f"{n_components} components. Leave {dim!r} out of cluster_dim."
                    )
                if dim not in dims and size == n_components:
                    raise InvalidParameterError(
                        f"{name!r} in {group} has two dims of {size} entries, {own!r} and "
                        f"{dim!r}: name both in cluster_dim to permute both together, or "
                        f"{dim!r} in keep_dims to leave it."
                    )


def _permuted(
    tree: Any, posterior: Any, dims: Sequence[str], order: np.ndarray, allocations: str | None
) -> Any:
    """Return a new tree in which every variable with a cluster dimension is permuted."""
    new = tree.copy()
    places = [
        {value: i for i, value in enumerate(posterior[d].values.tolist())} for d in SAMPLE_DIMS
    ]
    for group in _groups_of_draws(tree):
        data = tree[group].to_dataset()
        changed = {}
        for name, array in data.data_vars.items():
            is_label = group == "posterior" and name == allocations
            has_draws = set(SAMPLE_DIMS) <= set(array.dims)
            if not has_draws or not (is_label or cluster_dim_of(array, dims)):
                continue
            chain, draw = (
                [place.get(value) for value in array[dim].values.tolist()]
                for dim, place in zip(SAMPLE_DIMS, places)
            )
            if None in chain or None in draw:
                raise InvalidParameterError(
                    f"{name!r} in {group} has chains or draws that the posterior has not. "
                    f"Remove the group {group}, or relabel before thinning the posterior."
                )
            own = order[np.array(chain)[:, None], np.array(draw)]
            changed[name] = _permute(array, dims, own, is_label)
        if changed:
            new[group].dataset = data.assign(changed)
    return new


def _permute(array: Any, dims: Sequence[str], order: np.ndarray, is_label: bool) -> Any:
    """Return a variable with its cluster dimensions in `order` (C, S, K), or its labels renamed."""
    front = [array.dims.index(dim) for dim in SAMPLE_DIMS]
    values = np.moveaxis(array.values, front, [0, 1])
    names = [dim for dim in array.dims if dim not in SAMPLE_DIMS]
    if is_label:
        rank = np.argsort(order, axis=2)
        flat = values.reshape(*values.shape[:2], -1)
        moved = np.take_along_axis(rank, flat, axis=2).astype(values.dtype).reshape(values.shape)
    else:
        moved = values
        for axis, dim in enumerate(names, start=2):
            if dim in dims:
                index = np.expand_dims(order, tuple({*range(2, values.ndim)} - {axis}))
                moved = np.take_along_axis(moved, index, axis=axis)
    return array.copy(data=np.moveaxis(moved, [0, 1], front))


def _report(tree: Any, posterior: Any, alignment: Alignment, method: str) -> None:
    """Write into the new tree how labels were aligned, and how sure that is."""
    import xarray

    ambiguous = float(np.mean(alignment.log_odds < np.log(CLEAR_ODDS)))
    attrs = {
        "labels": "aligned over all draws and chains",
        "alignment_method": method,
        "alignment_ambiguous": ambiguous,
    }
    tree["posterior"].attrs.update(attrs)
    coords = {dim: posterior[dim] for dim in SAMPLE_DIMS}
    shape = tuple(posterior.sizes[dim] for dim in SAMPLE_DIMS)
    odds = xarray.DataArray(alignment.log_odds.reshape(shape), coords, SAMPLE_DIMS)
    if "sample_stats" in tree.children:
        data = tree["sample_stats"].to_dataset()
    else:
        data = xarray.Dataset(attrs=dict(posterior.attrs))
    tree["sample_stats"] = xarray.DataTree(data.assign(alignment_log_odds=odds))
