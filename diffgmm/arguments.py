"""Arguments that make a mixture, checked: the rule, what was given, the remedy."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from .errors import InvalidParameterError

# How far weights may be from summing to 1 before they are refused rather than normalised.
WEIGHT_TOLERANCE = 1e-6


def check_count(name: str, value: Any) -> int:
    """Return a positive integer or say that `name` must be one."""
    if not is_integer(value) or value < 1:
        raise InvalidParameterError(f"{name} must be a positive integer, got {value!r}.")
    return int(value)


def is_integer(value: Any) -> bool:
    """Whether `value` is an integer and no bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def check_sigma(value: Any) -> float:
    """Return a noise level, finite and not negative, or say that `sigma` must be one."""
    try:
        sigma = np.nan if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError):
        sigma = np.nan
    if not 0.0 <= sigma < np.inf:
        raise InvalidParameterError(f"sigma must be finite and not negative, got {value!r}.")
    return sigma


def finite_array(name: str, value: Any) -> np.ndarray:
    """Return `value` as a new C-ordered array of finite numbers."""
    try:
        if np.iscomplexobj(value):
            raise TypeError
        # C-order whatever came: kernels compile once per memory layout.
        array = np.array(value, dtype=float, order="C")
    except (TypeError, ValueError):
        raise InvalidParameterError(f"{name} must be an array of numbers, got {value!r}.") from None
    if not np.all(np.isfinite(array)):
        raise InvalidParameterError(f"{name} must be finite, got NaN or infinity.")
    return array


def check_shapes(weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> None:
    """Refuse shapes that are not (K,), (K, D) and (K, D, D)."""
    if weights.ndim != 1 or means.ndim != 2 or len(means) != len(weights) or not means.size:
        raise InvalidParameterError(
            "weights and means must have shapes (K,) and (K, D), "
            f"got {weights.shape} and {means.shape}."
        )
    if covariances.shape != (*means.shape, means.shape[1]):
        expected = (*means.shape, means.shape[1])
        raise InvalidParameterError(
            f"covariances must have shape {expected}, got {covariances.shape}."
        )


def check_units(shift: np.ndarray, scale: np.ndarray, n_features: int) -> None:
    """Refuse shifts and scales that are not (D,) finite numbers, or scales that are not positive."""
    right = shift.shape == scale.shape == (n_features,)
    if not (right and np.isfinite(shift).all() and np.all((scale > 0.0) & np.isfinite(scale))):
        raise InvalidParameterError(
            f"shift and scale must be {n_features} finite numbers each, scales positive, got "
            f"{shift.tolist()} and {scale.tolist()}."
        )


def check_weights(weights: np.ndarray) -> None:
    """Refuse weights (K,) that are no distribution."""
    if weights.min() < 0.0 or abs(weights.sum() - 1.0) > WEIGHT_TOLERANCE:
        raise InvalidParameterError(
            f"weights must not be negative and must sum to 1, got {weights.tolist()}."
        )


def normalised(weights: np.ndarray) -> np.ndarray:
    """Return weights with sum 1; if it is 1 to rounding, as they are, so that saving keeps bits."""
    total = weights.sum()
    rounding = len(weights) * np.finfo(float).eps
    return weights if abs(total - 1.0) <= rounding else weights / total


def check_feature_names(names: Any, n_features: int) -> tuple[str, ...]:
    """Return the D names of the features, which must be distinct."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InvalidParameterError(f"feature_names must be a sequence of names, got {names!r}.")
    names = tuple(map(str, names))
    if len(names) != n_features:
        raise InvalidParameterError(
            f"feature_names must name {n_features} features, got {len(names)}."
        )
    if len(set(names)) != n_features:
        raise InvalidParameterError(f"feature_names must be distinct, got {list(names)}.")
    return names


def positive_definite(covariances: np.ndarray) -> np.ndarray:
    """Return symmetric positive definite matrices (K, D, D), or say which one is not."""
    transposed = np.swapaxes(covariances, 1, 2)
    size = np.abs(covariances).max(axis=(1, 2), keepdims=True)
    if np.any(np.abs(covariances - transposed) > 1e-8 * size):
        raise InvalidParameterError("covariances must be symmetric.")
    covariances = 0.5 * (covariances + transposed)
    for k, covariance in enumerate(covariances):
        try:
            np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            smallest = np.linalg.eigvalsh(covariance)[0]
            raise InvalidParameterError(
                "covariances must be positive definite, but component "
                f"{k} has the eigenvalue {smallest:.3g}."
            ) from None
    return covariances
