"""`compute_log_likelihood` and `compute_log_prior`: groups that are added when they are needed."""

import warnings
from typing import Any

import numpy as np

from ..arguments import check_count
from ..errors import InvalidFileError, InvalidParameterError
from ..posterior.priors import Prior
from .draws import posterior_group, read_mixtures, variable
from .inference_data import DIMENSIONS, SAMPLE_DIMS, Group, add_group, as_tree
from .unknown_k import is_unknown_k, joined, with_k

# Largest pointwise log likelihood that is kept whole without being asked for.
POINTWISE_BYTES = 2**30


def compute_log_likelihood(idata: Any, X: Any = None, *, every: int | None = None) -> Any:
    """Add the log density of every row at every draw, allocations summed out, for `az.loo`.

    Parameters
    ----------
    idata : arviz.InferenceData or xarray.DataTree
        With weights, means and covariances. The group log_likelihood is added to it, in place of
        one that is there, as PyMC does.
    X : array-like, shape (N, D), optional
        Rows; those of `observed_data` when not given.
    every : int, optional
        Keep every n-th draw of each chain; 1, or as many as stay below 1 GiB, when not given.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        The same object. In nats, per unit of the data. Observed rows with a weight in
        `constant_data` have their log density times the weight.

    Warns
    -----
    UserWarning
        When draws were left out to stay below 1 GiB.

    Raises
    ------
    InvalidParameterError, InvalidDataError
        When a variable or the rows are missing, or columns do not fit.
    """
    posterior = read_mixtures(idata)
    values = posterior.rows(X)
    n_chains, n_draws = len(posterior.chain), len(posterior.draw)
    if every is None:
        step = -(-n_draws // max(1, POINTWISE_BYTES // (8 * len(values) * n_chains)))
        if step > 1:
            warnings.warn(
                f"The log likelihood is kept at one draw of {step} to stay below 1 GiB. "
                "Give every=1 for all draws.",
                UserWarning,
                stacklevel=2,
            )
    else:
        step = check_count("every", every)
    kept = np.arange(0, n_draws, step)
    index = (np.arange(n_chains)[:, None] * n_draws + kept).ravel()
    log_density = posterior.mixtures.select(index).log_density(values)
    log_density = log_density.reshape(n_chains, len(kept), len(values))
    if X is None and posterior.sample_weight is not None:
        log_density *= posterior.sample_weight
    name = posterior.name
    if X is not None and hasattr(X, "name") and isinstance(X.name, str):
        name = X.name
    name = "x" if name in DIMENSIONS else name
    group = Group({name: ((*SAMPLE_DIMS, "obs_id"), log_density)}, {"thinning": step})
    coords = {"chain": posterior.chain, "draw": posterior.draw[kept]}
    add_group(idata, "log_likelihood", group, coords)
    return idata


def compute_log_prior(idata: Any) -> Any:
    """Add the normalised log prior density of each parameter at every draw, for `az.psense`.

    Parameters
    ----------
    idata : arviz.InferenceData or xarray.DataTree
        From `diffgmm.sample`: its attributes hold the prior. The group log_prior is added to it,
        in place of one that is there.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        The same object. In nats.

    Raises
    ------
    InvalidParameterError
        When the attributes hold no prior.
    """
    tree = as_tree(idata)
    posterior = posterior_group(tree)
    try:
        prior = Prior.from_json(posterior.attrs["prior"])
    except (KeyError, InvalidFileError):
        raise InvalidParameterError(
            "The attributes of the posterior hold no diffgmm.Prior: only draws of diffgmm.sample "
            "do. Compute the log prior with the library that made the draws."
        ) from None
    if is_unknown_k(tree):
        posterior = joined(tree)
    elif "conditioned_on" in posterior.attrs:
        posterior = with_k(posterior)
    arrays = {
        name: variable(posterior, name, name).transpose(*SAMPLE_DIMS, ...).values
        for name in ("weights", "means", "covariances", "C0", "n_components", "alpha")
        if name in ("weights", "means") or name in posterior.data_vars
    }
    logs = prior.log_prior(**arrays)
    group = Group({name: (SAMPLE_DIMS, np.asarray(array)) for name, array in logs.items()})
    coords = {dim: posterior[dim].values for dim in SAMPLE_DIMS}
    add_group(idata, "log_prior", group, coords)
    return idata
