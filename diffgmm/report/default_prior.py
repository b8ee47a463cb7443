"""The prior of `sample`: the one given, if it fits, or the weakly informative one."""

from typing import Any

from ..covariance import CovarianceType
from ..data import Data
from ..errors import InvalidParameterError
from ..posterior.priors import Prior
from .unknown_k import check_for_unknown_k


def prior_or_default(
    prior: Any, data: Data, n_components: int | None, covariance_type: CovarianceType
) -> Prior:
    """Return the prior, checked against the model it is for, or one that the rows scale."""
    if prior is None:
        return Prior.weakly_informative(data, n_components, covariance_type=covariance_type)
    if not isinstance(prior, Prior):
        raise InvalidParameterError(
            f"prior must be a diffgmm.Prior or None, got {type(prior).__name__}."
        )
    if prior.covariance_type != covariance_type:
        raise InvalidParameterError(
            f"The prior is for covariance_type={prior.covariance_type!r}, but "
            f"covariance_type={covariance_type!r} was asked for."
        )
    if prior.n_features != data.n_features:
        raise InvalidParameterError(
            f"The prior is for {prior.n_features} features, but X has {data.n_features} columns."
        )
    if n_components is None:
        check_for_unknown_k(prior)
    elif prior.n_components not in (None, n_components):
        raise InvalidParameterError(
            f"The prior is for n_components={prior.n_components}, but n_components="
            f"{n_components} was asked for."
        )
    return prior
