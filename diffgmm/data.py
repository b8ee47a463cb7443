"""Rows from any array-like or table: checked once, kept as they are, standardised on the fly."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .errors import InvalidDataError
from .kernels.bundles import Rows

# Rows looked at together when columns are summarised: 0.5 MB at 8 columns, inside a cache.
SUMMARY_ROWS = 8_192

# Rows checked together: what is refused is copied.
CHECKED_ROWS = 65_536

# Squares of larger values overflow.
LARGEST_VALUE = 1e150


def read_only(array: np.ndarray) -> np.ndarray:
    """Return a read-only view: kernels compile once for it, whatever the caller's array was."""
    view = array.view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, eq=False)
class Data:
    """Rows of finite numbers with named columns.

    values : (N, D) float64 or float32, C-order, read-only; the caller's memory where possible.
    feature_names : D names.   name : what the rows are called (`x`, or the array's own name).
    """

    values: np.ndarray
    feature_names: tuple[str, ...]
    name: str

    @classmethod
    def of(cls, X: Any, *, feature_names: tuple[str, ...] | None = None) -> "Data":
        """Return `X` as Data.

        Parameters
        ----------
        X : array-like, pandas or polars DataFrame, xarray DataArray, or Data
            Shape (N, D). C-ordered float64 and float32 arrays (memory maps too) are not copied.
        feature_names : tuple of str, optional
            Names to expect; a table whose names differ is refused.

        Raises
        ------
        InvalidDataError
            When X is not two-dimensional, empty, not numeric, or not finite.
        """
        if isinstance(X, Data):
            data = X
        else:
            values, names, name = _table(X)
            values = _numbers(values)
            _check_names(names, values.shape[1])
            _check_finite(values, names)
            data = cls(read_only(values), names, name)
        if feature_names is not None:
            data._expect(feature_names)
        return data

    @property
    def n_rows(self) -> int:
        """Number of rows N."""
        return self.values.shape[0]

    @property
    def n_features(self) -> int:
        """Number of columns D."""
        return self.values.shape[1]

    @property
    def means(self) -> np.ndarray:
        """Column means (D,)."""
        return self._summary[0]

    @property
    def scales(self) -> np.ndarray:
        """Column standard deviations (D,), with ddof=0."""
        return self._summary[1]

    @property
    def ranges(self) -> np.ndarray:
        """Largest minus smallest value of each column, (D,)."""
        return self._summary[2]

    @cached_property
    def _summary(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One pass over the rows, when somebody asks: densities and scores of rows do not."""
        return _summary(self.values)

    def rows(
        self, shift: np.ndarray, scale: np.ndarray, weights: np.ndarray | None = None
    ) -> Rows:
        """Return what kernels receive: (values - shift) / scale with row weights (N,) or none."""
        weights = np.zeros(0) if weights is None else np.ascontiguousarray(weights, float)
        arrays = (self.values, np.array(shift, float), 1.0 / np.asarray(scale, float), weights)
        return Rows(*(read_only(array) for array in arrays))

    def _expect(self, names: tuple[str, ...]) -> None:
        if self.n_features != len(names):
            raise InvalidDataError(
                f"X has {self.n_features} columns, but the mixture has {len(names)} features: "
                f"{_list(names)}. Give these columns in this order."
            )
        default = _default_names(len(names))
        if self.feature_names not in (default, names) and names != default:
            raise InvalidDataError(
                f"X has the columns {_list(self.feature_names)}, but the mixture was made for "
                f"{_list(names)}. Select and order the columns first."
            )


def raw_rows(values: np.ndarray) -> Rows:
    """Return what kernels receive for values (N, D) that are used as they are."""
    d = values.shape[1]
    arrays = (np.zeros(d), np.ones(d), np.zeros(0))
    return Rows(read_only(values), *(read_only(array) for array in arrays))


def check_constant_columns(data: Data) -> None:
    """Refuse a column without spread, which would give every component a variance of 0."""
    for name, spread, mean in zip(data.feature_names, data.ranges, data.means, strict=True):
        if spread == 0.0:
            raise InvalidDataError(
                f"Every column must vary, but column {name!r} is {mean:g} in all "
                f"{data.n_rows} rows. Remove it."
            )


def count_distinct_rows(data: Data, at_least: int) -> int:
    """Return the number of distinct rows, or some number >= `at_least` when there are that many."""
    size = 16 * at_least
    while True:
        distinct = len(np.unique(data.values[:size], axis=0))
        if distinct >= at_least or size >= data.n_rows:
            return distinct
        size *= 16


def _default_names(n: int) -> tuple[str, ...]:
    return tuple(f"x{index}" for index in range(n))


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(repr(name) for name in names)


def _table(X: Any) -> tuple[Any, tuple[str, ...], str]:
    """Return the values, column names and name of `X`, without importing its library."""
    if hasattr(X, "feature_names") and hasattr(X, "data"):  # our datasets, scikit-learn's Bunch
        return np.asarray(X.data), tuple(map(str, X.feature_names)), "x"
    if hasattr(X, "columns") and hasattr(X, "to_numpy"):  # pandas, polars
        names = tuple(map(str, X.columns))
        _check_names(names, len(names))
        _refuse_text_columns(X)
        values = X.to_numpy()
        if values.dtype == object:  # pandas columns with NA
            values = X.to_numpy(dtype=float, na_value=np.nan)
        return values, names, "x"
    if hasattr(X, "data_vars") or hasattr(X, "children"):
        raise InvalidDataError(
            f"X must be one table of numbers, got {type(X).__name__}. Select one variable of it."
        )
    if hasattr(X, "dims") and hasattr(X, "coords"):  # xarray
        values = np.asarray(X)
        if values.ndim == 2 and X.dims[1] in X.coords:
            names = tuple(str(label) for label in X.coords[X.dims[1]].values)
        else:
            names = _default_names(values.shape[-1] if values.ndim else 0)
        return values, names, str(X.name) if X.name is not None else "x"
    if hasattr(X, "tocsr") or hasattr(X, "todense"):
        raise InvalidDataError("X must be dense, got a sparse matrix. Use X.toarray() if it fits.")
    try:
        masked = isinstance(X, np.ma.MaskedArray)
        values = X.astype(float).filled(np.nan) if masked else np.asarray(X)
    except ValueError:
        raise InvalidDataError(
            "X must be a table of numbers, got rows of different lengths."
        ) from None
    return values, _default_names(values.shape[1] if values.ndim == 2 else 0), "x"


def _refuse_text_columns(table: Any) -> None:
    text = []
    for name in table.columns:
        kind = str(table[name].dtype).lower()
        if not kind.startswith(("int", "uint", "float", "double", "bool", "decimal")):
            text.append(str(name))
    if text:
        raise InvalidDataError(
            f"Every column must be numeric, but {_list(tuple(text))} "
            f"{'is' if len(text) == 1 else 'are'} not. Select the numeric columns first."
        )


def _check_names(names: tuple[str, ...], n_features: int) -> None:
    if len(names) != n_features:
        raise InvalidDataError(
            f"X must have one name per column, got {len(names)} names for {n_features} columns."
        )
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidDataError(
            f"Column names must be distinct, but {twice!r} is used {names.count(twice)} times. "
            "Rename or remove columns."
        )


def _numbers(values: Any) -> np.ndarray:
    """Return `values` as C-ordered float64 or float32 of two dimensions."""
    values = np.asarray(values)
    if values.dtype.kind == "c":
        raise InvalidDataError(
            "X must be real, got complex numbers. Use X.real and X.imag as columns."
        )
    if values.dtype.kind not in "fiub":
        try:
            text = (str, bytes)
            # What is neither numbers nor objects that may be numbers: text, dates, records.
            if values.dtype.kind != "O" or any(isinstance(v, text) for v in values.ravel()[:1000]):
                raise ValueError
            values = values.astype(float)
        except (TypeError, ValueError):
            raise InvalidDataError(
                f"X must be numeric, got an array of type {values.dtype}."
            ) from None
    if values.ndim != 2:
        hint = (
            "Use X.reshape(-1, 1) for one feature or X.reshape(1, -1) for one row."
            if values.ndim == 1
            else "Give rows x features."
        )
        raise InvalidDataError(f"X must have two dimensions, got shape {values.shape}. {hint}")
    if values.shape[0] == 0 or values.shape[1] == 0:
        raise InvalidDataError(
            f"X must have at least one row and one column, got shape {values.shape}."
        )
    kind = np.float32 if values.dtype == np.float32 else np.float64
    return np.ascontiguousarray(values, dtype=kind)


def _check_finite(values: np.ndarray, names: tuple[str, ...]) -> None:
    for start in range(0, len(values), CHECKED_ROWS):
        chunk = values[start : start + CHECKED_ROWS]
        if not (float(chunk.min()) > -LARGEST_VALUE and float(chunk.max()) < LARGEST_VALUE):
            _refuse_values(np.asarray(chunk, dtype=float), start, names)


def _summary(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return column means, standard deviations and ranges."""
    n_rows, n_features = values.shape
    mean, squares = np.zeros(n_features), np.zeros(n_features)
    low, high = np.full(n_features, np.inf), np.full(n_features, -np.inf)
    # Everything is measured from the first row: columns may be far from 0 beside their spread.
    pivot = np.array(values[0], dtype=float)
    for start in range(0, n_rows, SUMMARY_ROWS):
        chunk = np.asarray(values[start : start + SUMMARY_ROWS], dtype=float)
        columns = np.array(chunk.T, order="C")  # NumPy reduces short rows ten times slower
        chunk_low, chunk_high = columns.min(axis=1), columns.max(axis=1)
        low, high = np.minimum(low, chunk_low), np.maximum(high, chunk_high)
        # Chan's update.
        size = len(chunk)
        columns -= pivot[:, None]
        chunk_mean = columns.mean(axis=1)
        columns -= chunk_mean[:, None]
        squares += np.einsum("ij,ij->i", columns, columns)
        step = chunk_mean - mean
        squares += step**2 * (start * size / (start + size))
        mean += step * (size / (start + size))
    return pivot + mean, np.sqrt(squares / n_rows), high - low


def _refuse_values(chunk: np.ndarray, start: int, names: tuple[str, ...]) -> None:
    bad = ~(np.abs(chunk) < LARGEST_VALUE)
    row, column = np.argwhere(bad)[0]
    value = chunk[row, column]
    where = f"row {start + row} (the first is 0), column {names[column]!r}"
    if np.isnan(value):
        raise InvalidDataError(
            f"X must not have missing values, got NaN in {where}. "
            "Drop such rows (pandas: X.dropna()) or fill them in; missing values are not supported yet."
        )
    raise InvalidDataError(f"X must be finite and below 1e150 in size, got {value:g} in {where}.")
