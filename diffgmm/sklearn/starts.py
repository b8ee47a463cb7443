"""Where EM starts, by the names of `init_params`: our cover, and what scikit-learn offers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans, kmeans_plusplus

from ..covariance import Family
from ..data import Data
from ..learn.candidates import SMALL_PROBLEM_PASSES
from ..learn.em import Parameters, Problem
from ..learn.search import Units, find_start
from .steps import row_weights, update, widen

# Weights, means and covariances in the family's shape; None for what the user did not give.
Given = tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]

# problem, n_components, settings, random_state -> parameters in the user's units
Start = Callable[[Problem, int, "Settings", np.random.RandomState], Parameters]


class Settings(NamedTuple):
    """What the estimator says about EM: the width it adds, and how many iterations it may take."""

    reg_covar: float
    max_iter: int


def find(
    init_params: str,
    given: Given,
    problem: Problem,
    n_components: int,
    settings: Settings,
    random_state: np.random.RandomState,
) -> Parameters:
    """Return the start that `init_params` finds, with what was given in its place."""
    if all(part is not None for part in given):
        return Parameters(*given)  # type: ignore[arg-type]
    found = STARTS[init_params](problem, n_components, settings, random_state)
    if init_params == "cover" and any(part is not None for part in given):
        found = in_order_of(given, found, problem.family)
    return Parameters(*(f if g is None else g for f, g in zip(found, given, strict=True)))


def from_cover(
    problem: Problem, n_components: int, settings: Settings, random_state: np.random.RandomState
) -> Parameters:
    """Return the best parameters that this package's search meets, ordered by their means.

    Where `max_iter` allows fewer passes than the search takes to every optimum that it compares,
    there is one cover and no comparison.
    """
    data, family = Data.of(problem.rows.values), problem.family
    units = Units.of(data, family)
    rng = np.random.default_rng(random_state.randint(0, 2**32, size=4, dtype=np.uint32))
    compares = settings.max_iter >= SMALL_PROBLEM_PASSES
    (weights, means, covariances), _, interrupted = find_start(
        data, units, n_components, family, rng, row_weights(problem), compares=compares
    )
    if interrupted:  # scikit-learn's estimators keep nothing of an interrupted fit
        raise KeyboardInterrupt
    # Where several seeds find one optimum, its components keep their numbers.
    order = np.lexsort(means.T[::-1])
    return Parameters(
        weights[order],
        means[order] * units.scale + units.shift,
        family.rescale(covariances[order], units.scale),
    )


def from_kmeans(
    problem: Problem, n_components: int, settings: Settings, random_state: np.random.RandomState
) -> Parameters:
    """Return the moments of the clusters that one run of k-means finds."""
    clusters = KMeans(n_components, n_init=1, random_state=random_state)
    labels = clusters.fit(problem.rows.values, sample_weight=row_weights(problem)).labels_
    numbers = np.arange(n_components)
    return from_shares(
        problem,
        n_components,
        settings.reg_covar,
        lambda start, stop: (labels[start:stop, None] == numbers).astype(float),
    )


def from_random_shares(
    problem: Problem, n_components: int, settings: Settings, random_state: np.random.RandomState
) -> Parameters:
    """Return the moments of rows that belong to components by random shares."""

    def shares(start: int, stop: int) -> np.ndarray:
        drawn = random_state.uniform(size=(stop - start, n_components))
        return drawn / drawn.sum(axis=1, keepdims=True)

    return from_shares(problem, n_components, settings.reg_covar, shares)


def from_spread_rows(
    problem: Problem, n_components: int, settings: Settings, random_state: np.random.RandomState
) -> Parameters:
    """Return components on the rows that k-means++ chooses."""
    _, index = kmeans_plusplus(
        problem.rows.values,
        n_components,
        sample_weight=row_weights(problem),
        random_state=random_state,
    )
    return from_rows(problem, settings.reg_covar, index)


def from_random_rows(
    problem: Problem, n_components: int, settings: Settings, random_state: np.random.RandomState
) -> Parameters:
    """Return components on rows drawn without replacement."""
    n_rows, weights = len(problem.rows.values), row_weights(problem)
    chances = None if weights is None else weights / weights.sum()
    index = random_state.choice(n_rows, size=n_components, replace=False, p=chances)
    return from_rows(problem, settings.reg_covar, index)


STARTS: dict[str, Start] = {
    "cover": from_cover,
    "kmeans": from_kmeans,
    "k-means++": from_spread_rows,
    "random": from_random_shares,
    "random_from_data": from_random_rows,
}


def from_rows(problem: Problem, reg_covar: float, index: np.ndarray) -> Parameters:
    """Return equal components on single rows, as narrow as `reg_covar` allows."""
    means = problem.rows.values[index].astype(float)
    k, d = means.shape
    points = problem.family.from_full(np.zeros((k, d, d)))
    covariances = widen(points, problem.family, np.ones(k), means, reg_covar)
    return Parameters(np.full(k, 1.0 / k), means, covariances)


def from_shares(
    problem: Problem,
    n_components: int,
    reg_covar: float,
    shares: Callable[[int, int], np.ndarray],
) -> Parameters:
    """Return the parameters of rows that belong to components by shares(start, stop) (rows, K).

    A component without rows gets the mean of the data and, like a single row, no width of its own.
    """
    values, weights, family = problem.rows.values, row_weights(problem), problem.family
    n_features = values.shape[1]
    centre = values.mean(axis=0, dtype=float)
    counts, first = np.zeros(n_components), np.zeros((n_components, n_features))
    second = np.zeros(family.moment_shape(n_components, n_features))
    for start, stop in problem.blocks.chunks:
        x, share = values[start:stop] - centre, shares(start, stop)
        if weights is not None:
            share = share * weights[start:stop, None]
        counts += share.sum(axis=0)
        first += share.T @ x
        if second.ndim == 2:
            second += share.T @ x**2
        else:
            for k in range(n_components):
                second[k] += (share[:, k] * x.T) @ x
    nowhere = from_rows(problem, reg_covar, np.zeros(n_components, dtype=int))
    nowhere.means[:] = centre
    return update(family, nowhere, (counts, first, second), reg_covar)


def given_parameters(
    weights_init: Any,
    means_init: Any,
    precisions_init: Any,
    family: Family,
    shape: tuple[int, int],
) -> Given:
    """Return what the user gave, precisions as covariances in the family's shape.

    Parameters
    ----------
    weights_init, means_init, precisions_init : array-like or None
        Checked, in scikit-learn's shapes.
    family : Family
    shape : (K, D)
    """
    weights, means, precisions = (
        None if part is None else np.array(part, dtype=float)
        for part in (weights_init, means_init, precisions_init)
    )
    if precisions is None:
        return weights, means, None
    if family.name in ("diag", "spherical"):
        return weights, means, 1.0 / precisions
    return weights, means, np.linalg.inv(np.broadcast_to(precisions, (*shape, shape[1])))


def from_last_fit(
    problem: Problem,
    n_components: int,
    weights: np.ndarray,
    means: np.ndarray,
    covariances: np.ndarray,
) -> Parameters:
    """Return the parameters of the last fit, from its attributes.

    Raises
    ------
    ValueError
        When the estimator or the data have changed shape since.
    """
    family, n_features = problem.family, problem.rows.values.shape[1]
    shape = family.moment_shape(n_components, n_features)
    kept = {"tied": shape[1:], "spherical": shape[:1]}.get(family.name, shape)
    if means.shape != (n_components, n_features) or covariances.shape != kept:
        raise ValueError(
            "warm_start needs the n_components, covariance_type and number of features of the last "
            f"fit, whose means have shape {means.shape} and covariances {covariances.shape}. "
            "Set warm_start=False to start afresh."
        )
    if family.is_shared:
        covariances = np.broadcast_to(covariances, shape)
    return Parameters(*(np.array(part, dtype=float) for part in (weights, means, covariances)))


def in_order_of(given: Given, found: Parameters, family: Family) -> Parameters:
    """Return the components found, in the order in which what was given explains them best.

    The cost of giving place k to component j is w_j times the expected -log density of its rows
    under component k, where what was not given is component j's own.
    """
    weights, means, covariances = given
    n_components, n_features = found.means.shape
    full = family.as_full(found.covariances, n_features)
    cost = np.zeros((n_components, n_components))
    precisions = np.linalg.inv(full)[None]
    if weights is not None:
        cost -= np.log(np.maximum(weights, np.finfo(float).tiny))[:, None]
    if covariances is not None:
        precisions = np.linalg.inv(family.as_full(covariances, n_features))[:, None]
        cost += 0.5 * np.einsum("kab,jba->kj", precisions[:, 0], full)
        cost -= 0.5 * np.linalg.slogdet(precisions)[1]
    if means is not None:
        step = (means[:, None] - found.means)[..., None]
        cost += 0.5 * np.squeeze(np.swapaxes(step, 2, 3) @ precisions @ step, axis=(2, 3))
    _, order = linear_sum_assignment(cost * found.weights)
    return Parameters(*(part[order] for part in found))
