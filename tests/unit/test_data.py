"""Rows from every kind of table, what is copied of them, and their summaries."""

import decimal
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from diffgmm import data as module
from diffgmm.data import Data, raw_rows
from diffgmm.datasets import load_faithful

PLAIN = [[1.0, 20.0], [2.0, 10.0], [4.0, 40.0]]
EXPECTED = np.array(PLAIN)


@pytest.mark.parametrize(
    ("x", "dtype"),
    [
        (PLAIN, np.float64),
        (tuple(map(tuple, PLAIN)), np.float64),
        (EXPECTED, np.float64),
        (EXPECTED.astype(np.float32), np.float32),
        (EXPECTED.astype(np.float16), np.float64),
        (EXPECTED.astype(np.longdouble), np.float64),
        (EXPECTED.astype(">f8"), np.float64),
        (EXPECTED.astype(int), np.float64),
        (EXPECTED.astype(np.uint8), np.float64),
        (EXPECTED.astype(object), np.float64),
        (np.array([[decimal.Decimal(v) for v in map(str, row)] for row in PLAIN]), np.float64),
        (np.asfortranarray(EXPECTED), np.float64),
        (np.repeat(EXPECTED, 2, axis=0)[::2], np.float64),
        (np.ma.array(PLAIN, mask=False), np.float64),
        (memoryview(EXPECTED), np.float64),
    ],
    ids=[
        "list", "tuple", "f8", "f4", "f2", "longdouble", "big-endian", "int", "uint8", "object",
        "decimal", "fortran", "strided", "masked", "buffer",
    ],
)  # fmt: skip
def test_array_likes(x, dtype):
    data = Data.of(x)
    np.testing.assert_array_equal(data.values, EXPECTED)
    assert data.values.dtype == dtype
    assert data.values.flags.c_contiguous
    assert not data.values.flags.writeable
    assert data.feature_names == ("x0", "x1")
    assert data.name == "x"
    assert (data.n_rows, data.n_features) == (3, 2)


def test_booleans_are_zeros_and_ones():
    data = Data.of(np.array([[True, False], [False, False]]))
    np.testing.assert_array_equal(data.values, [[1.0, 0.0], [0.0, 0.0]])
    assert data.values.dtype == np.float64


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (5, 1)])
def test_one_row_and_one_column(shape):
    data = Data.of(np.ones(shape))
    assert data.values.shape == shape
    np.testing.assert_array_equal(data.scales, np.zeros(shape[1]))


def test_pandas(optional):
    pandas = optional("pandas")
    table = pandas.DataFrame({"height": [1.0, 2.0, 4.0], "weight": [20, 10, 40]}, index=[5, 3, 9])
    data = Data.of(table)
    np.testing.assert_array_equal(data.values, EXPECTED)
    assert data.feature_names == ("height", "weight")
    assert data.name == "x"


def test_pandas_with_columns_of_its_own_types(optional):
    pandas = optional("pandas")
    table = pandas.DataFrame(
        {
            0: pandas.array([1, 2, 4], dtype="Int64"),
            "b": pandas.array([True, False, True], dtype="boolean"),
            "c": np.array([1.5, 2.5, 3.5], dtype=np.float32),
        }
    )
    data = Data.of(table)
    np.testing.assert_array_equal(data.values, [[1, 1, 1.5], [2, 0, 2.5], [4, 1, 3.5]])
    assert data.feature_names == ("0", "b", "c")


def test_polars(optional):
    polars = optional("polars")
    table = polars.DataFrame({"height": [1.0, 2.0, 4.0], "weight": [20, 10, 40]})
    data = Data.of(table)
    np.testing.assert_array_equal(data.values, EXPECTED)
    assert data.feature_names == ("height", "weight")
    mixed = polars.DataFrame({"a": [True, False], "b": [1.5, 2.0], "c": [1, 2]})
    np.testing.assert_array_equal(Data.of(mixed).values, [[1.0, 1.5, 1.0], [0.0, 2.0, 2.0]])


def test_xarray(optional):
    xarray = optional("xarray")
    named = xarray.DataArray(
        PLAIN, dims=("row", "feature"), coords={"feature": ["height", "weight"]}, name="people"
    )
    data = Data.of(named)
    np.testing.assert_array_equal(data.values, EXPECTED)
    assert data.feature_names == ("height", "weight")
    assert data.name == "people"
    plain = Data.of(xarray.DataArray(PLAIN))
    assert (plain.feature_names, plain.name) == (("x0", "x1"), "x")


def test_what_carries_data_and_feature_names(optional):
    faithful = load_faithful()
    data = Data.of(faithful)
    assert data.feature_names == ("eruptions", "waiting")
    assert data.name == "x"
    assert np.shares_memory(data.values, faithful.data)
    iris = Data.of(optional("sklearn.datasets").load_iris(as_frame=True))
    assert iris.feature_names[0] == "sepal length (cm)"
    assert iris.values.shape == (150, 4)


def test_data_is_returned_as_it_is():
    data = Data.of(PLAIN)
    assert Data.of(data) is data
    assert Data.of(data, feature_names=("a", "b")) is data


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_c_ordered_floats_are_not_copied(dtype):
    x = EXPECTED.astype(dtype)
    assert np.shares_memory(Data.of(x).values, x)
    assert x.flags.writeable  # the caller's own array stays as it was
    x.flags.writeable = False
    assert np.shares_memory(Data.of(x).values, x)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_memory_map_is_not_copied(dtype, tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, EXPECTED.astype(dtype))
    mapped = np.load(path, mmap_mode="r")
    data = Data.of(mapped)
    assert np.shares_memory(data.values, mapped)
    np.testing.assert_array_equal(data.values, EXPECTED)


@pytest.mark.parametrize("shape", [(50, 3), (50, 1), (1, 3)])
def test_input_is_not_modified(shape, rng):
    x = rng.standard_normal(shape)
    before = x.copy()
    Data.of(x)
    np.testing.assert_array_equal(x, before)


def test_data_cannot_be_changed():
    data = Data.of(PLAIN)
    with pytest.raises(FrozenInstanceError):
        data.name = "y"
    with pytest.raises(ValueError, match="read-only"):
        data.values[0, 0] = 1.0


@pytest.mark.parametrize("chunk", [7, 100, 65_536])
@pytest.mark.parametrize("offset", [0.0, 1e8, -1e8])
def test_means_scales_and_ranges(offset, chunk, rng, monkeypatch):
    monkeypatch.setattr(module, "SUMMARY_ROWS", chunk)
    x = offset + rng.standard_normal((1000, 3)) * [1.0, 0.01, 100.0]
    data = Data.of(x)
    exact = x.astype(np.longdouble)
    # 30 roundings of the largest number in a mean, of the centred numbers in a scale; those of the
    # mean enter the scale by their square.
    size = np.abs(x).max(axis=0)
    np.testing.assert_array_less(np.abs(data.means - exact.mean(axis=0)), 30 * 1.2e-16 * size)
    np.testing.assert_allclose(data.scales, exact.std(axis=0).astype(float), rtol=1e-13)
    np.testing.assert_array_equal(data.ranges, np.ptp(x, axis=0))


def test_the_textbook_variance_would_fail_here(rng):
    x = 1e8 + rng.standard_normal((1000, 1))
    naive = np.sqrt(np.abs(np.mean(x**2) - np.mean(x) ** 2))
    assert abs(naive / Data.of(x).scales[0] - 1.0) > 0.01


def test_summaries_of_float32_are_made_in_float64(rng):
    x = (1000.0 + rng.standard_normal((5000, 2))).astype(np.float32)
    exact = x.astype(np.longdouble)
    np.testing.assert_allclose(Data.of(x).means, exact.mean(axis=0).astype(float), rtol=1e-14)
    np.testing.assert_allclose(Data.of(x).scales, exact.std(axis=0).astype(float), rtol=1e-13)


def test_rows_carry_the_affine_map_and_the_weights():
    data = Data.of(PLAIN)
    rows = data.rows(np.array([1.0, 10.0]), np.array([2.0, 4.0]), weights=[1, 0, 2])
    np.testing.assert_array_equal(rows.shift, [1.0, 10.0])
    np.testing.assert_array_equal(rows.inverse_scale, [0.5, 0.25])
    np.testing.assert_array_equal(rows.weights, [1.0, 0.0, 2.0])
    assert np.shares_memory(rows.values, data.values)
    assert not any(array.flags.writeable for array in rows)
    assert data.rows(np.zeros(2), np.ones(2)).weights.shape == (0,)


def test_raw_rows_are_used_as_they_are():
    rows = raw_rows(EXPECTED)
    assert np.shares_memory(rows.values, EXPECTED)
    np.testing.assert_array_equal(rows.shift, [0.0, 0.0])
    np.testing.assert_array_equal(rows.inverse_scale, [1.0, 1.0])
    assert rows.weights.shape == (0,)
    assert not any(array.flags.writeable for array in rows)
    assert EXPECTED.flags.writeable


def test_kernels_receive_read_only_arrays_whoever_made_the_data(rng):
    """Writable ones are another type, for which every kernel would compile once more."""
    data = replace(Data.of(rng.random((5, 2))), values=rng.random((3, 2)))
    rows = data.rows(np.zeros(2), np.ones(2), np.ones(3))
    assert not any(array.flags.writeable for array in rows)
