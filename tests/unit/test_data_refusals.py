"""Every bad input with the message that it gets."""

import numpy as np
import pytest

from diffgmm import data as module
from diffgmm.data import Data, check_constant_columns, count_distinct_rows
from diffgmm.errors import DiffgmmError, InvalidDataError

PLAIN = [[1.0, 20.0], [2.0, 10.0], [4.0, 40.0]]
EXPECTED = np.array(PLAIN)


def message_of(function, *arguments, **keywords):
    with pytest.raises(InvalidDataError) as caught:
        function(*arguments, **keywords)
    assert caught.value.__cause__ is None
    return str(caught.value)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            [1.0, 2.0],
            "X must have two dimensions, got shape (2,). "
            "Use X.reshape(-1, 1) for one feature or X.reshape(1, -1) for one row.",
        ),
        (
            [],
            "X must have two dimensions, got shape (0,). "
            "Use X.reshape(-1, 1) for one feature or X.reshape(1, -1) for one row.",
        ),
        (3.0, "X must have two dimensions, got shape (). Give rows x features."),
        (None, "X must have two dimensions, got shape (). Give rows x features."),
        (
            np.zeros((2, 3, 4)),
            "X must have two dimensions, got shape (2, 3, 4). Give rows x features.",
        ),
        (
            np.zeros((0, 3)),
            "X must have at least one row and one column, got shape (0, 3).",
        ),
        (
            np.zeros((3, 0)),
            "X must have at least one row and one column, got shape (3, 0).",
        ),
        ([["a", "b"]], "X must be numeric, got an array of type <U1."),
        ([["1", "2"]], "X must be numeric, got an array of type <U1."),
        ([[1.0, "b"]], "X must be numeric, got an array of type <U32."),
        (np.array([[1.0, "b"]], dtype=object), "X must be numeric, got an array of type object."),
        (np.array([[1.0, "2"]], dtype=object), "X must be numeric, got an array of type object."),
        (np.array([[b"1"]]), "X must be numeric, got an array of type |S1."),
        ("text", "X must be numeric, got an array of type <U4."),
        ({"a": [1.0]}, "X must be numeric, got an array of type object."),
        (
            np.array([["2020-01-01"]], dtype="datetime64[D]"),
            "X must be numeric, got an array of type datetime64[D].",
        ),
        (
            np.array([[1]], dtype="timedelta64[s]"),
            "X must be numeric, got an array of type timedelta64[s].",
        ),
        (
            np.zeros((2, 2), dtype=[("a", float), ("b", int)]),
            "X must be numeric, got an array of type [('a', '<f8'), ('b', '<i8')].",
        ),
        (
            [[1.0, 2j]],
            "X must be real, got complex numbers. Use X.real and X.imag as columns.",
        ),
        (
            [[1.0, 2.0], [3.0]],
            "X must be a table of numbers, got rows of different lengths.",
        ),
        (
            [[1.0, 2.0], [3.0, np.inf]],
            "X must be finite and below 1e150 in size, got inf in row 1 (the first is 0), column 'x1'.",
        ),
        (
            [[1.0, 2.0], [-np.inf, np.nan]],
            "X must be finite and below 1e150 in size, got -inf in row 1 (the first is 0), column 'x0'.",
        ),
        (
            [[1.0, -2e150]],
            "X must be finite and below 1e150 in size, got -2e+150 in row 0 (the first is 0), column 'x1'.",
        ),
        (
            [[1.0, 2.0], [3.0, np.nan]],
            "X must not have missing values, got NaN in row 1 (the first is 0), column 'x1'. "
            "Drop such rows (pandas: X.dropna()) or fill them in; missing values are not supported yet.",
        ),
        (
            [[1.0, None]],
            "X must not have missing values, got NaN in row 0 (the first is 0), column 'x1'. "
            "Drop such rows (pandas: X.dropna()) or fill them in; missing values are not supported yet.",
        ),
        (
            np.ma.array([[1, 2], [3, 4]], mask=[[False, True], [False, False]]),
            "X must not have missing values, got NaN in row 0 (the first is 0), column 'x1'. "
            "Drop such rows (pandas: X.dropna()) or fill them in; missing values are not supported yet.",
        ),
    ],
)  # fmt: skip
def test_bad_arrays_are_refused(x, message):
    assert message_of(Data.of, x) == message


def test_the_error_is_a_value_error_and_one_of_ours():
    assert issubclass(InvalidDataError, ValueError)
    assert issubclass(InvalidDataError, DiffgmmError)


def test_a_missing_value_beyond_the_first_chunk_is_named_with_its_own_row(monkeypatch):
    monkeypatch.setattr(module, "SUMMARY_ROWS", 10)
    x = np.ones((35, 2))
    x[27, 1] = np.nan
    assert "got NaN in row 27 (the first is 0), column 'x1'." in message_of(Data.of, x)


def test_float32_infinity_is_refused():
    x = np.array([[1.0, np.inf]], dtype=np.float32)
    assert message_of(Data.of, x) == (
        "X must be finite and below 1e150 in size, got inf in row 0 (the first is 0), column 'x1'."
    )


def test_bad_pandas_tables_are_refused(optional):
    pandas = optional("pandas")
    numbers, text = [1.0, 2.0], ["a", "b"]
    cases = {
        "Every column must be numeric, but 'kind' is not. Select the numeric columns first.": (
            pandas.DataFrame({"size": numbers, "kind": text})
        ),
        "Every column must be numeric, but 'kind', 'when' are not. "
        "Select the numeric columns first.": pandas.DataFrame(
            {"kind": pandas.Categorical(text), "when": pandas.to_datetime(["2020", "2021"])}
        ),
        "X must not have missing values, got NaN in row 1 (the first is 0), column 'count'. "
        "Drop such rows (pandas: X.dropna()) or fill them in; missing values are not supported yet.": pandas.DataFrame(
            {"size": numbers, "count": pandas.array([1, None], dtype="Int64")}
        ),
        "Column names must be distinct, but 'a' is used 2 times. Rename or remove columns.": (
            pandas.DataFrame([numbers, numbers], columns=["a", "a"])
        ),
        "X must have two dimensions, got shape (2,). "
        "Use X.reshape(-1, 1) for one feature or X.reshape(1, -1) for one row.": (
            pandas.Series(numbers)
        ),
        "X must have at least one row and one column, got shape (0, 0).": pandas.DataFrame(),
    }
    for message, table in cases.items():
        assert message_of(Data.of, table) == message


def test_bad_polars_tables_are_refused(optional):
    polars = optional("polars")
    table = polars.DataFrame({"size": [1.0, 2.0], "kind": ["1", "2"]})
    assert message_of(Data.of, table) == (
        "Every column must be numeric, but 'kind' is not. Select the numeric columns first."
    )
    table = polars.DataFrame({"size": [1.0, 2.0], "count": [1, None]})
    assert message_of(Data.of, table) == (
        "X must not have missing values, got NaN in row 1 (the first is 0), column 'count'. "
        "Drop such rows (pandas: X.dropna()) or fill them in; missing values are not supported yet."
    )


def test_bad_xarray_objects_are_refused(optional):
    xarray = optional("xarray")
    array = xarray.DataArray([1.0, 2.0], dims="row", name="y")
    assert message_of(Data.of, array).startswith("X must have two dimensions, got shape (2,).")
    assert message_of(Data.of, array.to_dataset()) == (
        "X must be one table of numbers, got Dataset. Select one variable of it."
    )
    assert message_of(Data.of, xarray.DataTree(array.to_dataset())) == (
        "X must be one table of numbers, got DataTree. Select one variable of it."
    )


def test_sparse_matrices_are_refused():
    from scipy import sparse

    for x in (sparse.csr_matrix(EXPECTED), sparse.coo_array(EXPECTED)):
        assert message_of(Data.of, x) == (
            "X must be dense, got a sparse matrix. Use X.toarray() if it fits."
        )


def test_names_and_columns_must_agree():
    class Table:
        data = EXPECTED
        feature_names = ("a", "b", "c")

    assert message_of(Data.of, Table()) == (
        "X must have one name per column, got 3 names for 2 columns."
    )
    Table.feature_names = ("a", "a")
    assert message_of(Data.of, Table()) == (
        "Column names must be distinct, but 'a' is used 2 times. Rename or remove columns."
    )


def test_expected_names(optional):
    pandas = optional("pandas")
    table = pandas.DataFrame(PLAIN, columns=["a", "b"])
    assert Data.of(table, feature_names=("a", "b")).feature_names == ("a", "b")
    Data.of(PLAIN, feature_names=("a", "b"))  # rows without names are taken in order
    Data.of(table, feature_names=("x0", "x1"))  # a mixture without names takes any
    assert message_of(Data.of, table, feature_names=("b", "a")) == (
        "X has the columns 'a', 'b', but the mixture was made for 'b', 'a'. "
        "Select and order the columns first."
    )
    assert message_of(Data.of, Data.of(table), feature_names=("a", "c")) == (
        "X has the columns 'a', 'b', but the mixture was made for 'a', 'c'. "
        "Select and order the columns first."
    )


def test_expected_number_of_columns():
    assert message_of(Data.of, PLAIN, feature_names=("a", "b", "c")) == (
        "X has 2 columns, but the mixture has 3 features: 'a', 'b', 'c'. "
        "Give these columns in this order."
    )
    assert message_of(Data.of, PLAIN, feature_names=("a",)) == (
        "X has 2 columns, but the mixture has 1 features: 'a'. Give these columns in this order."
    )


@pytest.mark.parametrize("value", [0.0, 0.1, 1e8 + 0.1, -3.0])
def test_a_constant_column_is_refused(value):
    x = np.column_stack([np.arange(7.0), np.full(7, value)])
    shown = {0.0: "0", 0.1: "0.1", 1e8 + 0.1: "1e+08", -3.0: "-3"}[value]
    assert message_of(check_constant_columns, Data.of(x)) == (
        f"Every column must vary, but column 'x1' is {shown} in all 7 rows. Remove it."
    )


def test_a_column_that_varies_in_its_last_bit_is_not_constant():
    check_constant_columns(Data.of([[1e8], [np.nextafter(1e8, np.inf)]]))


def test_one_row_is_constant():
    assert message_of(check_constant_columns, Data.of([[2.5]])) == (
        "Every column must vary, but column 'x0' is 2.5 in all 1 rows. Remove it."
    )


@pytest.mark.parametrize("at_least", [1, 2, 3, 10])
def test_distinct_rows_are_counted_as_far_as_asked(at_least, rng):
    x = np.repeat([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], 400, axis=0)
    for rows in (x, rng.permutation(x)):
        count = count_distinct_rows(Data.of(rows), at_least)
        assert count == 3 or 3 > count >= at_least
