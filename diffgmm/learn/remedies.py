"""What would help a mixture that misfits: each remedy is tried, and judged on rows held out."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..covariance import FAMILIES, Family, components_of
from ..data import raw_rows
from ..kernels import gaussian
from .em import Parameters, Problem, run_and_judge, run_em
from .moves import split_all

N_FOLDS = 5

# EM passes before the starts of one remedy are compared, and passes in all.
PASSES_BEFORE_COMPARING = 10
MAX_PASSES = 100
TOLERANCE = 1e-5

# A wide and a narrow half with the same centre: variances times and by this.
SPREAD = 2.0


class HeldOutDifference(NamedTuple):
    """By how much a remedy changes the log density of rows held out, in nat per row.

    mean, error : over all rows, each under fits to the other folds; error is the standard error.
    """

    mean: float
    error: float


def split_component(
    values: np.ndarray, family: Family, parameters: Parameters, k: int
) -> HeldOutDifference:
    """Return what one component more, made by splitting component k, is worth on held-out rows.

    Parameters
    ----------
    values : ndarray, shape (N, D)
        Rows in random order.
    family, parameters
        Covariance family, and the mixture fitted to the rows.
    k : int
        The component that two take the place of: side by side along each of its two widest axes,
        or a wide one around a narrow one, whichever suits the other folds best.
    """
    starts = [
        Parameters(own.weights, own.means, family.from_full(own.covariances))
        for own in _splits(family, parameters, k)
    ]
    return _compare(values, (family, [parameters]), (family, starts))


def free_covariances(
    values: np.ndarray, family: Family, parameters: Parameters
) -> HeldOutDifference:
    """Return what full covariances are worth on held-out rows, with as many components."""
    full = family.as_full(parameters.covariances, parameters.means.shape[1])
    start = Parameters(parameters.weights, parameters.means, full)
    return _compare(values, (family, [parameters]), (FAMILIES["full"], [start]))


def _splits(family: Family, parameters: Parameters, k: int) -> list[Parameters]:
    """Return mixtures (with full covariances) in which two components replace component k."""
    d = parameters.means.shape[1]
    full = family.as_full(parameters.covariances, d)
    values, vectors = np.linalg.eigh(full[k])
    one = Parameters(np.ones(1), parameters.means[k : k + 1], full[k : k + 1])
    factor = vectors.T[None] / np.sqrt(values)[None, :, None]
    halves = [split_all(one, vectors[None, :, axis], factor) for axis in range(d)[::-1][:2]]
    around = np.concatenate([one.covariances / SPREAD, one.covariances * SPREAD])
    halves.append(Parameters(np.full(2, 0.5), np.repeat(one.means, 2, axis=0), around))
    others = np.arange(len(full)) != k
    return [
        Parameters(
            np.concatenate([parameters.weights[others], parameters.weights[k] * half.weights]),
            np.concatenate([parameters.means[others], half.means]),
            np.concatenate([full[others], half.covariances]),
        )
        for half in halves
    ]


def _compare(
    values: np.ndarray,
    old: tuple[Family, Sequence[Parameters]],
    new: tuple[Family, Sequence[Parameters]],
) -> HeldOutDifference:
    """Return by how much the best of the new starts beats the old ones on rows held out."""
    bounds = np.linspace(0, len(values), N_FOLDS + 1).astype(int)
    differences = np.empty(len(values))
    for start, stop in pairwise(bounds):
        training = np.concatenate([values[:start], values[stop:]])
        density_of = _densities(training, values[start:stop])
        differences[start:stop] = density_of(*new) - density_of(*old)
    return HeldOutDifference(
        float(differences.mean()), float(differences.std() / np.sqrt(len(values)))
    )


def _densities(
    training: np.ndarray, held_out: np.ndarray
) -> Callable[[Family, Sequence[Parameters]], np.ndarray]:
    """Return a function: family and starts in, log densities of the held-out rows out."""

    def density_of(family: Family, starts: Sequence[Parameters]) -> np.ndarray:
        problem = Problem.of(raw_rows(training), family, 1)
        begun = [run_and_judge(problem, start, PASSES_BEFORE_COMPARING) for start in starts]
        best, _ = max(begun, key=lambda each: each[1])
        result = run_em(problem, best, tolerance=TOLERANCE, max_passes=MAX_PASSES)
        out = np.empty(len(held_out))
        components = components_of(*result.parameters, family)
        gaussian.log_density(raw_rows(held_out), components, 0, len(held_out), out)
        return out

    return density_of
