"""`sample_posterior_predictive`: new rows, or some columns of rows given the others."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._seeding import Seed, child_sequence, seed_sequence, stream
from ..arguments import check_count
from ..data import Data
from ..errors import InvalidParameterError
from ..posterior.mixture_draws import MixtureDraws
from .draws import PosteriorMixtures, read_mixtures
from .inference_data import DIMENSIONS, SAMPLE_DIMS, Group, build
from .thinning import PREDICTIVE_VALUES, every_nth


@dataclass(frozen=True, eq=False)
class Known:
    """Columns that are given: their numbers, and the rows' values (N, len(columns))."""

    columns: list[int]
    values: np.ndarray


def sample_posterior_predictive(
    idata: Any,
    *,
    n: int | None = None,
    X: Any = None,
    condition: Any = None,
    predictions: bool = False,
    random_seed: Seed = None,
) -> Any:
    """Draw new rows, or the unknown columns of rows whose other columns are known.

    Parameters
    ----------
    idata : arviz.InferenceData or xarray.DataTree
        With weights, means and covariances.
    n : int, optional
        Rows per draw; as many as X, or else `observed_data`, has when not given.
    X : array-like, shape (N, D) or (N, number of known columns), optional
        Rows whose columns named by `condition` are known. Of a table with all D columns the
        others are not looked at, and may be missing.
    condition : dict or sequence, optional
        Known columns: {feature: value or N values}, or names (or numbers) of columns of X. The
        mixture then acts as a regression of the other columns on these.
    predictions : bool, default False
        Name the groups `predictions` and `predictions_constant_data`, for rows that the posterior
        has not seen, in place of `posterior_predictive` and `constant_data`.
    random_seed : int, sequence of int, Generator or None
        An integer repeats the draws.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        New rows: x (chain, draw, obs_id, feature). Given columns: x (chain, draw, obs_id, feature)
        for the other features, x_mean of the same shape, the expected value given the parameters
        of the draw, and the known columns in the second group as x_known (obs_id, known_feature).

    Warns
    -----
    UserWarning
        When only some draws were used to keep the result below 10 million values.

    Raises
    ------
    InvalidParameterError, InvalidDataError
        When columns are not among the features, none is left, or n and rows do not agree.

    Examples
    --------
    Waiting times given eruptions of 2 and 4.5 minutes::

        new = diffgmm.sample_posterior_predictive(idata, condition={"eruptions": [2.0, 4.5]})
    """
    posterior = read_mixtures(idata)
    known = None if condition is None else _known(posterior, X, condition, n)
    n_rows = _n_rows(posterior, n, X) if known is None else len(known.values)
    n_columns = posterior.mixtures.n_features - (0 if known is None else len(known.columns))
    copies = 1 if known is None else 2
    size = len(posterior.chain) * n_rows * n_columns * copies
    kept, step = every_nth(len(posterior.draw), size, PREDICTIVE_VALUES)
    if step > 1:
        warnings.warn(
            f"New rows are drawn for one draw of {step}, to keep them below 10 million values. "
            "For all draws use a smaller n.",
            UserWarning,
            stacklevel=2,
        )
    index = (np.arange(len(posterior.chain))[:, None] * len(posterior.draw) + kept).ravel()
    mixtures, sequence = posterior.mixtures.select(index), seed_sequence(random_seed)
    mixtures.component(0)  # says in one line when covariances are none
    coords: dict[str, Any] = {"chain": posterior.chain, "draw": posterior.draw[kept]}
    shape = (len(posterior.chain), len(kept), n_rows, n_columns)
    names = posterior.feature_names
    groups = (
        ("predictions" if predictions else "posterior_predictive"),
        ("predictions_constant_data" if predictions else "constant_data"),
    )
    name = "x" if posterior.name in DIMENSIONS else posterior.name
    dims = (*SAMPLE_DIMS, "obs_id", "feature")
    if known is None:
        rows = _replicated(mixtures, n_rows, sequence).reshape(shape)
        made = {groups[0]: Group({name: (dims, rows)}, {"thinning": step})}
        return build(made, {**coords, "feature": list(names)}, {})
    rows, means = (array.reshape(shape) for array in conditional(mixtures, known, sequence))
    coords["feature"] = [names[i] for i in range(len(names)) if i not in known.columns]
    coords["known_feature"] = [names[i] for i in known.columns]
    made = {
        groups[0]: Group({name: (dims, rows), f"{name}_mean": (dims, means)}, {"thinning": step}),
        groups[1]: Group({f"{name}_known": (("obs_id", "known_feature"), known.values)}),
    }
    return build(made, coords, {})


def _n_rows(posterior: PosteriorMixtures, n: Any, X: Any) -> int:
    if n is not None:
        return check_count("n", n)
    if X is None and posterior.observed is None:
        raise InvalidParameterError("Give n: there is no group observed_data to take it from.")
    return len(posterior.rows(X))


def _known(posterior: PosteriorMixtures, X: Any, condition: Any, n: Any) -> Known:
    """Return the columns that are given, checked."""
    names = posterior.feature_names
    if isinstance(condition, Mapping):
        columns = [_column(feature, names) for feature in condition]
        if X is not None:
            raise InvalidParameterError(
                "Give the values in condition or the columns of X, not both. "
                f"With X use condition={list(condition)!r}."
            )
        values = _stacked(condition)
    else:
        many = isinstance(condition, (list, tuple, np.ndarray))
        features = list(condition) if many else [condition]
        columns = [_column(feature, names) for feature in features]
        if X is None:
            raise InvalidParameterError(
                "condition names columns of X, but X is not given. Give X, or a dictionary of "
                "features and their values."
            )
        values = _columns_of(X, columns, names)
    if len(set(columns)) != len(columns) or not 0 < len(columns) < len(names):
        raise InvalidParameterError(
            f"condition must name some, not all, of the features {list(names)}, each once, got "
            f"{list(condition)!r}."
        )
    if n is not None and check_count("n", n) != len(values):
        if len(values) > 1 or not isinstance(condition, Mapping):
            raise InvalidParameterError(
                f"n must be the number of conditioned rows, {len(values)}, or left out, got {n}."
            )
        values = np.repeat(values, n, axis=0)
    return Known(columns, np.ascontiguousarray(Data.of(values).values, dtype=float))


def _column(feature: Any, names: tuple[str, ...]) -> int:
    if isinstance(feature, str) and feature in names:
        return names.index(feature)
    if isinstance(feature, (int, np.integer)) and not isinstance(feature, bool):
        if 0 <= feature < len(names):
            return int(feature)
    raise InvalidParameterError(
        f"condition must name features among {list(names)} or numbers below {len(names)}, got "
        f"{feature!r}."
    )


def _stacked(condition: Mapping[Any, Any]) -> np.ndarray:
    """Return the values as columns (N, number of columns); single numbers are repeated."""
    try:
        arrays = [np.asarray(value, dtype=float) for value in condition.values()]
        if any(array.ndim > 1 for array in arrays):
            raise ValueError
        return np.stack(np.broadcast_arrays(*map(np.atleast_1d, arrays)), axis=1)
    except (TypeError, ValueError):
        raise InvalidParameterError(
            "condition must give each feature a number or one number for each row, all of the "
            f"same length, got {dict(condition)!r}."
        ) from None


def _columns_of(X: Any, columns: list[int], names: tuple[str, ...]) -> Any:
    """Return the known columns of a table that has all columns or only the known ones."""
    wanted = [names[column] for column in columns]
    if hasattr(X, "columns"):
        missing = [name for name in wanted if name not in list(X.columns)]
        if missing:
            raise InvalidParameterError(f"X must have the columns {wanted}, but lacks {missing}.")
        return Data.of(X[wanted]).values
    labels = None
    if hasattr(X, "feature_names"):
        labels, X = [str(name) for name in X.feature_names], X.data
    elif hasattr(X, "coords") and getattr(X, "ndim", 0) == 2 and X.dims[1] in X.coords:
        labels = [str(label) for label in X.coords[X.dims[1]].values]
    if labels is not None:
        missing = [name for name in wanted if name not in labels]
        if missing:
            raise InvalidParameterError(f"X must have the columns {wanted}, but lacks {missing}.")
        return np.asarray(X)[:, [labels.index(name) for name in wanted]]
    try:
        values = np.asarray(X)
    except ValueError:
        raise InvalidParameterError("X must be a table, got rows of different lengths.") from None
    if values.ndim == 2 and values.shape[1] == len(names):
        values = values[:, columns]
    if values.ndim != 2 or values.shape[1] != len(columns):
        raise InvalidParameterError(
            f"X must have all {len(names)} columns or the known ones, {wanted}, got shape "
            f"{values.shape}."
        )
    return values


def _replicated(mixtures: MixtureDraws, n: int, sequence: np.random.SeedSequence) -> np.ndarray:
    from ..diffusion.reverse import replicate

    return replicate(
        mixtures.weights, mixtures.means, mixtures.covariances, n, random_seed=sequence
    )


def conditional(
    mixtures: MixtureDraws, known: Known, sequence: np.random.SeedSequence
) -> tuple[np.ndarray, np.ndarray]:
    """Return draws of the other columns and their expected values, both (S, N, D - known).

    Given the known columns x, component k has weight p(k | x), mean m + G (x - m') and covariance
    S - G S', with G = S' S''^-1 from the blocks of its covariance.
    """
    rest = [i for i in range(mixtures.n_features) if i not in known.columns]
    s_kk = mixtures.covariances[:, :, known.columns][:, :, :, known.columns]
    s_rk = mixtures.covariances[:, :, rest][:, :, :, known.columns]
    s_rr = mixtures.covariances[:, :, rest][:, :, :, rest]
    gains = np.swapaxes(np.linalg.solve(s_kk, np.swapaxes(s_rk, -1, -2)), -1, -2)
    left = s_rr - gains @ np.swapaxes(s_rk, -1, -2)
    roots = np.linalg.cholesky(0.5 * (left + np.swapaxes(left, -1, -2)))
    inner = mixtures.means[:, :, rest] - np.einsum(
        "skab,skb->ska", gains, mixtures.means[:, :, known.columns]
    )
    shape = (mixtures.n_draws, len(known.values), len(rest))
    rows, means = np.empty(shape), np.empty(shape)
    weights = mixtures.marginal(known.columns).responsibilities(known.values)
    for s, own in enumerate(weights):
        rng = stream(child_sequence(sequence, s))
        each = np.einsum("kab,nb->nka", gains[s], known.values) + inner[s]
        means[s] = np.einsum("nk,nka->na", own, each)
        cumulative = np.cumsum(own, axis=1)
        uniform = rng.random(len(own)) * cumulative[:, -1]
        component = (uniform[:, None] >= cumulative[:, :-1]).sum(axis=1)
        normals = rng.standard_normal(shape[1:])
        rows[s] = each[np.arange(len(own)), component]
        rows[s] += np.einsum("nab,nb->na", roots[s][component], normals)
    return rows, means
