"""EM as scikit-learn defines it, on this package's kernels: weights in, parameters out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.utils.validation import _check_sample_weight

from ..covariance import Family
from ..data import raw_rows, read_only
from ..learn.em import SMALLEST_COUNT, Parameters, Problem

# scikit-learn divides by counts + 10 eps, which widens a variance by this share of the squared mean
# over the count: what keeps a component on a single row defined when reg_covar is 0.
COUNT_ROUNDING = 10.0 * np.finfo(float).eps

# scikit-learn's words, which its users may match.
ILL_DEFINED = (
    "Fitting the mixture model failed because some components have ill-defined empirical "
    "covariance (for instance caused by singleton or collapsed samples). Try to decrease the "
    "number of components, increase reg_covar, or scale the input data."
)


@contextmanager
def explained() -> Iterator[None]:
    """Say in scikit-learn's words that a covariance is not positive definite."""
    try:
        yield
    except np.linalg.LinAlgError:
        raise ValueError(ILL_DEFINED) from None


def check_weights(sample_weight: Any, rows: np.ndarray) -> np.ndarray:
    """Return one weight for each of `rows`, not negative and not all zero."""
    weights = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
    if not weights.any():
        raise ValueError("sample_weight must not be zero for every row.")
    return weights


def problem_of(values: np.ndarray, sample_weight: Any, family: Family) -> Problem:
    """Return the rows that count, in the user's units, with weights of mean 1."""
    if sample_weight is None:
        return Problem.of(raw_rows(values), family)
    weights = check_weights(sample_weight, values)
    counted = weights > 0.0
    if not counted.all():
        values, weights = values[counted], weights[counted]
    weights = weights / weights.mean()
    return Problem.of(raw_rows(values)._replace(weights=read_only(weights)), family)


def row_weights(problem: Problem) -> np.ndarray | None:
    """Return the weights of the rows (N,), or None when each counts once."""
    return problem.rows.weights if problem.rows.weights.size else None


def update(
    family: Family,
    parameters: Parameters,
    statistics: tuple[np.ndarray, ...],
    reg_covar: float,
) -> Parameters:
    """Return the next parameters of EM, with `reg_covar` on the diagonals.

    A component that no row belongs to keeps its mean and covariance.

    Raises
    ------
    numpy.linalg.LinAlgError
        When that is so for all of them.
    """
    counts = statistics[0]
    alive = counts > SMALLEST_COUNT
    if not alive.any():
        raise np.linalg.LinAlgError("no row is near any component")
    own, first, second = (part[alive] for part in statistics)
    means, covariances = parameters.means.copy(), parameters.covariances.copy()
    means[alive] += first / own[:, None]
    estimate = family.estimate(own, first, second, floor=0.0)
    estimate = widen(estimate, family, own, means[alive], reg_covar)
    if family.is_shared:
        covariances[:] = estimate[0]
    else:
        covariances[alive] = estimate
    return Parameters(counts / counts.sum(), means, covariances)


def widen(
    covariances: np.ndarray,
    family: Family,
    counts: np.ndarray,
    means: np.ndarray,
    reg_covar: float,
) -> np.ndarray:
    """Return covariances of `counts` rows about `means`, widened as scikit-learn does."""
    if covariances.ndim == 3:
        return covariances + reg_covar * np.eye(means.shape[1])
    rounding = COUNT_ROUNDING * means**2 / counts[:, None]
    return covariances + reg_covar + (rounding if family.name == "diag" else rounding.mean(axis=1))
