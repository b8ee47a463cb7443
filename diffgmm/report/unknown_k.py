"""Draws with an unknown number of components K, as InferenceData or DataTree.

The labels of components mean nothing across draws with other K. So the group `posterior` has what
does not depend on labels, and the parameters of every draw are in `unaligned_posterior`: filled
components first, NaN beyond the draw's own K. `condition_on_k` aligns those of one K.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import InvalidParameterError
from ..posterior import law_of_k
from ..posterior.families import covariance_prior
from ..posterior.priors import Prior
from ..posterior.sample import PosteriorDraws
from ..posterior.telescoping import TelescopingPosterior
from .inference_data import SAMPLE_DIMS

# Groups with the parameters of components, beside `posterior` and `prior`.
UNALIGNED = "unaligned_posterior"
UNALIGNED_PRIOR = "unaligned_prior"

# Variables of the posterior, and those that only an unknown K has.
PARAMETERS = ("weights", "means", "covariances", "C0")
OF_UNKNOWN_K = ("n_components", "n_filled", "alpha")

AnyPosterior = PosteriorDraws | TelescopingPosterior
Variables = dict[str, tuple[tuple[str, ...], np.ndarray]]


def parameter_dims(covariance_type: str) -> dict[str, tuple[str, ...]]:
    """Return the dimensions of every parameter after chain and draw."""
    own = covariance_prior(covariance_type)
    return {
        "weights": ("cluster",),
        "means": ("cluster", "feature"),
        "covariances": own.dims,
        "C0": own.scale_dims,
        "n_components": (),
        "n_filled": (),
        "alpha": (),
    }


def split_by_labels(arrays: Mapping[str, Any], covariance_type: str) -> tuple[Variables, Variables]:
    """Return the variables (chain, draw, ...) that do not depend on labels, and the others."""
    free: Variables = {}
    labelled: Variables = {}
    for name, dims in parameter_dims(covariance_type).items():
        if arrays.get(name) is not None:
            own = labelled if "cluster" in dims else free
            own[name] = (SAMPLE_DIMS + dims, arrays[name])
    return free, labelled


def parameters_of(posterior: AnyPosterior) -> tuple[Variables, Variables]:
    """Return the variables of the group posterior, and of `unaligned_posterior` if there is one."""
    unknown = isinstance(posterior, TelescopingPosterior)
    names = [*PARAMETERS, *(OF_UNKNOWN_K if unknown else ())]
    arrays = {name: getattr(posterior, name) for name in names}
    free, labelled = split_by_labels(arrays, posterior.target.family.name)
    return (free, labelled) if unknown else ({**labelled, **free}, {})


def method_attrs(posterior: AnyPosterior) -> dict[str, Any]:
    """Return the attributes that say how K and labels were treated."""
    if isinstance(posterior, TelescopingPosterior):
        return {
            "inference_method": "telescoping sampler",
            "sweeps_per_draw": posterior.target.sweeps,
            "labels": "as sampled, components with rows first",
            **prior_attrs(posterior.target.prior),
        }
    return {
        "inference_method": "blocked Gibbs" if posterior.ladder is None else "noise ladder",
        "n_components": posterior.target.n_components,
        "labels": "aligned over all draws and chains" if posterior.aligned else "as sampled",
    }


def prior_attrs(prior: Prior) -> dict[str, Any]:
    """Return what `Prior.to_json` does not say: the share of the law of K that is cut off."""
    return {"k_tail_mass": law_of_k.tail_mass(prior)}


def check_for_unknown_k(prior: Prior) -> None:
    """Refuse a prior that says something about K or weights that would not be used."""
    if prior.n_components is not None:
        raise InvalidParameterError(
            f"The prior is for n_components={prior.n_components}, but n_components is not given. "
            f"Use n_components={prior.n_components}, or prior.replace(n_components=None)."
        )
    if prior.dynamic and float(prior.concentration) != 1.0:
        raise InvalidParameterError(
            f"concentration={float(prior.concentration):g} is for a known number of components; "
            "with K unknown the weights have alpha / K each. Set alpha, or dynamic=False."
        )


def whole_mixtures(posterior: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return weights, means and covariances (C, S, R, ...) of draws without NaN.

    Beyond a draw's own K components have the weight 0 and the parameters of the first component.
    """
    weights, means, covariances = posterior.weights, posterior.means, posterior.covariances
    unused = np.isnan(weights)
    if not unused.any():
        return weights, means, covariances
    means = np.where(unused[..., None], means[:, :, :1], means)
    if covariances is not None and np.isnan(covariances).any():
        places = unused.reshape(*unused.shape, *[1] * (covariances.ndim - 3))
        covariances = np.where(places, covariances[:, :, :1], covariances)
    return np.where(unused, 0.0, weights), means, covariances


def is_unknown_k(tree: Any) -> bool:
    """Whether a DataTree has draws with an unknown number of components."""
    return hasattr(tree, "children") and UNALIGNED in tree.children


def refuse_unknown_k(tree: Any, what: str) -> None:
    """Say how to come to aligned parameters."""
    if is_unknown_k(tree):
        raise InvalidParameterError(
            f"{what} needs one number of components and aligned labels, but K varies from draw to "
            "draw. Use diffgmm.condition_on_k(idata) first."
        )


def joined(tree: Any) -> Any:
    """Return the posterior with the parameters of components beside it, ready to be read.

    Beyond a draw's own K components have the weight 0 and the parameters of the first component.
    """
    posterior, unaligned = tree["posterior"].to_dataset(), tree[UNALIGNED].to_dataset()
    unused = unaligned["weights"].isnull()
    filled = {}
    for name, array in unaligned.data_vars.items():
        first = 0.0 if name == "weights" else array.isel(cluster=0, drop=True)
        filled[name] = array.where(~unused, first).transpose(*array.dims)
    return posterior.assign(filled)


def with_k(posterior: Any) -> Any:
    """Return a posterior that `condition_on_k` made with its K beside the parameters."""
    if posterior.attrs["conditioned_on"] != "n_components":
        raise InvalidParameterError(
            "The log prior is not that of filled components alone. Use condition_on_k with "
            "filled=False, or the draws before it."
        )
    shape = tuple(posterior.sizes[dim] for dim in SAMPLE_DIMS)
    k = np.full(shape, posterior.attrs["n_components"])
    return posterior.assign(n_components=(SAMPLE_DIMS, k))
