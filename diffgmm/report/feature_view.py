"""A view of InferenceData in which every feature is a variable of its own, for ArviZ's PIT plots."""

from typing import Any

from ..errors import InvalidParameterError
from .draws import read_mixtures
from .inference_data import as_tree, from_tree

# Groups in which rows with several features are split; log_likelihood has one number for a row.
SPLIT = ("observed_data", "posterior_predictive", "prior_predictive", "predictions")


def feature_view(idata: Any) -> Any:
    """Return a copy with one variable for each feature in place of the rows' feature dimension.

    ArviZ's `loo_pit`, `plot_loo_pit` and `plot_ppc_pit` want observed data and log likelihood of
    the same shape, but a row with several features has one log likelihood. Here every feature has a
    copy of it: a row is left out as a whole.

    Parameters
    ----------
    idata : arviz.InferenceData or xarray.DataTree
        With weights, means, covariances, observed_data and log_likelihood.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        Variables named as the rows and the feature, such as x_waiting. For these plots alone: the
        copies of the log likelihood must not be added up, as `az.psense` does.

    Raises
    ------
    InvalidParameterError
        When there is no log_likelihood of the rows.

    Examples
    --------
    Whether waiting times are calibrated, in ArviZ 1.x::

        az.plot_loo_pit(diffgmm.feature_view(idata), var_names=["x_waiting"])
    """
    import xarray

    tree = as_tree(idata)
    posterior = read_mixtures(idata)
    name, features = posterior.name, posterior.feature_names
    group = tree.children.get("log_likelihood")
    if group is None or name not in group.data_vars:
        raise InvalidParameterError(
            f"feature_view needs the log likelihood of the rows, {name!r} in log_likelihood: call "
            "diffgmm.compute_log_likelihood first."
        )
    view = tree.copy()
    same = {f"{name}_{feature}": group[name] for feature in features}
    view["log_likelihood"] = xarray.DataTree(xarray.Dataset(same, attrs=group.attrs))
    for own in SPLIT:
        if own not in tree.children or name not in tree[own].data_vars:
            continue
        array = tree[own][name]
        dim = "feature" if "feature" in array.dims else array.dims[-1]
        parts = {
            f"{name}_{feature}": array.isel({dim: d}, drop=True)
            for d, feature in enumerate(features)
        }
        view[own] = xarray.DataTree(xarray.Dataset(parts, attrs=tree[own].attrs))
    return from_tree(view)
