"""`condition_on_k`: the draws with one number of components, their labels aligned."""

import warnings
from typing import Any

import numpy as np

from ..arguments import check_count
from ..errors import InvalidParameterError
from .draws import posterior_group
from .inference_data import SAMPLE_DIMS, as_tree
from .relabel import OTHER_DRAWS, relabel
from .unknown_k import UNALIGNED, is_unknown_k

# Chains that visit K less often than this share of the most frequent one are named.
SCARCE = 0.5


def condition_on_k(idata: Any, k: int | None = None, *, filled: bool = False) -> Any:
    """Return the posterior given the number of components, with aligned labels.

    Parameters
    ----------
    idata : arviz.InferenceData or xarray.DataTree
        From `diffgmm.sample` without a number of components.
    k : int, optional
        K; the most frequent one when not given.
    filled : bool, default False
        Condition on the number of components that have rows, `n_filled`, instead, and keep these:
        the posterior of clusters. Their weights are divided by their sum; log_likelihood,
        posterior_predictive and sample_stats stay those of the draw's whole mixture.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        A new object with the groups of a posterior with K fixed: weights, means and covariances
        in `posterior`, aligned over all draws and chains as by `diffgmm.relabel` with
        method="stephens". Of each chain the first visits to K, as many as the chain with the
        fewest has; `sample_stats` says which draws they were, in draw_of_run. Groups that
        were thinned are left out: compute_log_likelihood and sample_posterior_predictive make them.

    Warns
    -----
    UserWarning
        When chains never visited K, which are left out and named, or one did so rarely that most
        visits of the others are not used.

    Raises
    ------
    InvalidParameterError
        When K is known already, or no draw has this K.

    Notes
    -----
    Draws given K are draws of the posterior that a fixed K has, if the chains mix over K;
    successive visits may be far apart or side by side in the run, so that R-hat and ESS are of
    visits, not of sweeps.
    """
    tree = as_tree(idata)
    posterior = posterior_group(tree)
    if not is_unknown_k(tree):
        raise InvalidParameterError(
            "condition_on_k needs draws with an unknown number of components: those of "
            "diffgmm.sample(X, None)."
        )
    name = "n_filled" if filled else "n_components"
    numbers = posterior[name].transpose(*SAMPLE_DIMS).values
    k = int(np.bincount(numbers.ravel()).argmax()) if k is None else check_count("k", k)
    chains, draws = _visits(numbers, k, name, posterior["chain"].values)
    conditioned = _selected(tree, chains, draws)
    own = _parameters(conditioned, k, filled)
    own.attrs.update(
        n_components=k,
        conditioned_on=name,
        chains_without_visits=[
            str(label) for i, label in enumerate(posterior["chain"].values) if i not in chains
        ],
    )
    import xarray

    conditioned["posterior"] = xarray.DataTree(own)
    return relabel(conditioned, method="stephens")


def _visits(
    numbers: np.ndarray, k: int, name: str, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the chains (C,) with draws of K, and which these are, (C, S)."""
    hits = numbers == k
    visits = hits.sum(axis=1)
    chains = np.flatnonzero(visits)
    if not len(chains):
        raise InvalidParameterError(
            f"No draw has {name} = {k}: it is from {numbers.min()} to {numbers.max()}. "
            "Use another k, or more draws."
        )
    without = [str(label) for label, n in zip(labels, visits) if n == 0]
    n = int(visits[chains].min())
    if without:
        warnings.warn(
            f"Chain {', '.join(without)} never visited {name} = {k} and is left out. Look at "
            f"{name} by chain, and raise draws.",
            UserWarning,
            stacklevel=3,
        )
    if n < SCARCE * visits.max():
        fewest = labels[chains[np.argmin(visits[chains])]]
        warnings.warn(
            f"Chain {fewest} visited {name} = {k} only {n} times, so {n} draws of each chain are "
            f"kept; another has {visits.max()}. Raise draws.",
            UserWarning,
            stacklevel=3,
        )
    return chains, np.stack([np.flatnonzero(hits[chain])[:n] for chain in chains])


def _selected(tree: Any, chains: np.ndarray, draws: np.ndarray) -> Any:
    """Return a new tree with those draws of each group that has all draws, and groups without."""
    import xarray

    whole = tree["posterior"].to_dataset()
    index = {
        "chain": xarray.DataArray(chains, dims="chain"),
        "draw": xarray.DataArray(draws, dims=SAMPLE_DIMS),
    }
    coords = {"chain": whole["chain"].values[chains], "draw": np.arange(draws.shape[1])}
    made = {}
    for name, node in tree.children.items():
        data = node.to_dataset()
        if name in OTHER_DRAWS or not set(SAMPLE_DIMS) & set(data.dims):
            made[name] = data
        elif all(np.array_equal(data[dim].values, whole[dim].values) for dim in SAMPLE_DIMS):
            own = data.isel(index).drop_vars(SAMPLE_DIMS, errors="ignore").assign_coords(coords)
            made[name] = own.transpose(*SAMPLE_DIMS, ...)
    of_run = whole["draw"].values[draws]
    if "sample_stats" in made:
        made["sample_stats"] = made["sample_stats"].assign(draw_of_run=(SAMPLE_DIMS, of_run))
    new = xarray.DataTree.from_dict({f"/{name}": data for name, data in made.items()})
    new.attrs.update(tree.attrs)
    return new


def _parameters(tree: Any, k: int, filled: bool) -> Any:
    """Return the posterior with the parameters of k components; their own group goes."""
    unaligned = tree[UNALIGNED].to_dataset().isel(cluster=slice(0, k))
    del tree[UNALIGNED]
    if filled:
        weights = unaligned["weights"]
        unaligned = unaligned.assign(weights=weights / weights.sum("cluster"))
        if "log_prior" in tree.children:
            del tree["log_prior"]
    posterior = tree["posterior"].to_dataset()
    own = posterior.assign(unaligned.data_vars).drop_vars("n_filled" if filled else "n_components")
    return own
