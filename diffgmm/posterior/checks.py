"""The numbers of a prior, checked one by one."""

import math
from typing import Any

import numpy as np

from ..errors import InvalidParameterError


def numbers(name: str, value: Any) -> np.ndarray:
    """Return `value` as a finite array."""
    try:
        array = np.array(value, dtype=float)
    except (TypeError, ValueError):
        raise InvalidParameterError(f"{name} must be an array of numbers, got {value!r}.") from None
    if not np.all(np.isfinite(array)):
        raise InvalidParameterError(f"{name} must be finite, got NaN or infinity.")
    return array


def positive_definite(name: str, value: Any, d: int) -> np.ndarray:
    """Return `value` as a symmetric positive definite matrix (D, D)."""
    matrix = numbers(name, value)
    if matrix.shape != (d, d):
        raise InvalidParameterError(
            f"{name} must have shape {(d, d)} as m0 has {d} entries, got {matrix.shape}."
        )
    if np.any(np.abs(matrix - matrix.T) > 1e-8 * np.abs(matrix).max()):
        raise InvalidParameterError(f"{name} must be symmetric.")
    matrix = 0.5 * (matrix + matrix.T)
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        smallest = np.linalg.eigvalsh(matrix)[0]
        raise InvalidParameterError(
            f"{name} must be positive definite, got the eigenvalue {smallest:.3g}."
        ) from None
    return matrix


def above_degrees(name: str, value: Any, d: int) -> float:
    """Return `value` as a shape for which Wishart laws of D features exist."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (d - 1) / 2 < number < math.inf:
        raise InvalidParameterError(
            f"{name} must be a number above (D - 1) / 2 = {(d - 1) / 2:g}, got {value!r}."
        )
    return number


def positive(name: str, value: Any) -> float:
    """Return `value` as a positive number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0.0 < number < math.inf:
        raise InvalidParameterError(f"{name} must be a positive number, got {value!r}.")
    return number


def positive_entries(name: str, value: Any, d: int) -> np.ndarray:
    """Return `value` as positive numbers (D,)."""
    entries = numbers(name, value)
    if entries.shape != (d,):
        raise InvalidParameterError(
            f"{name} must have shape {(d,)} as m0 has {d} entries, got {entries.shape}."
        )
    if entries.min() <= 0.0:
        raise InvalidParameterError(f"{name} must be positive, got {entries.min():.3g}.")
    return entries
