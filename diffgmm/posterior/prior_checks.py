"""The numbers of a `Prior`, checked together: what each function returns is what the prior keeps."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import check_count
from ..errors import InvalidParameterError
from .checks import numbers, positive

if TYPE_CHECKING:
    from .families import CovariancePrior
    from .priors import Prior


def checked_weights(prior: "Prior") -> dict[str, Any]:
    """Return concentration and n_components."""
    concentration = numbers("concentration", prior.concentration)
    if concentration.ndim > 1 or concentration.size == 0 or concentration.min() <= 0.0:
        raise InvalidParameterError(
            "concentration must be a positive number or one for each component, "
            f"got {prior.concentration!r}."
        )
    k = prior.n_components
    if k is not None:
        k = check_count("n_components", k)
    if concentration.ndim == 1:
        if k not in (None, concentration.size):
            raise InvalidParameterError(
                f"concentration must be a number or have n_components={k} "
                f"entries, got {concentration.size}."
            )
        k = concentration.size
    return {"concentration": concentration, "n_components": k}


def check_known(prior: "Prior") -> None:
    """Refuse numbers for covariances that are known."""
    given = [name for name in ("c0", "C0", "g0", "G0") if getattr(prior, name) is not None]
    if given:
        raise InvalidParameterError(
            f'covariance_type="{prior.covariance_type}" has known covariances, so '
            f"{', '.join(given)} must not be given."
        )


def checked_covariances(prior: "Prior", own: "CovariancePrior", d: int) -> dict[str, Any]:
    """Return c0 and either C0 or both g0 and G0."""
    if prior.c0 is None or (prior.C0 is None) == (prior.G0 is None):
        raise InvalidParameterError(
            f'covariance_type="{prior.covariance_type}" needs c0 and either C0 (fixed) or both '
            "g0 and G0 (C0 is then drawn)."
        )
    c0 = own.check_shape("c0", prior.c0, d)
    if prior.C0 is not None:
        if prior.g0 is not None:
            raise InvalidParameterError("g0 must not be given when C0 is: C0 is then fixed.")
        return {"c0": c0, "C0": own.check_scale("C0", prior.C0, d)}
    g0 = own.check_shape("g0", prior.g0, d)
    return {"c0": c0, "g0": g0, "G0": own.check_scale("G0", prior.G0, d)}


def checked_law_of_k(prior: "Prior") -> dict[str, Any]:
    """Return the numbers of the prior on K and alpha."""
    checked: dict[str, Any] = {
        "k_bnb": _positive_numbers("k_bnb", prior.k_bnb, 3),
        "alpha_df": _positive_numbers("alpha_df", prior.alpha_df, 2),
        "max_components": check_count("max_components", prior.max_components),
    }
    if not isinstance(prior.dynamic, (bool, np.bool_)):
        raise InvalidParameterError(f"dynamic must be True or False, got {prior.dynamic!r}.")
    checked["dynamic"] = bool(prior.dynamic)
    if prior.alpha is not None:
        checked["alpha"] = positive("alpha", prior.alpha)
    if prior.k_probabilities is not None:
        probabilities = numbers("k_probabilities", prior.k_probabilities)
        if probabilities.ndim != 1 or probabilities.min(initial=1.0) < 0.0:
            raise InvalidParameterError(
                "k_probabilities must be the probabilities of K = 1, 2, ..., "
                f"got {prior.k_probabilities!r}."
            )
        if not probabilities[: checked["max_components"]].sum() > 0.0:
            raise InvalidParameterError(
                "k_probabilities must have a positive sum up to max_components="
                f"{checked['max_components']}, got {prior.k_probabilities!r}."
            )
        checked["k_probabilities"] = probabilities
    return checked


def _positive_numbers(name: str, value: Any, n: int) -> tuple[float, ...]:
    array = numbers(name, value)
    if array.shape != (n,) or array.min() <= 0.0:
        raise InvalidParameterError(f"{name} must be {n} positive numbers, got {value!r}.")
    return tuple(array.tolist())
