"""Rows in chunks: every row once, sums in the order of the chunks, errors that come out."""

import re
import threading
import time

import numpy as np
import pytest

from diffgmm import blocks
from diffgmm.blocks import RowBlocks, available_cores, check_cores
from diffgmm.errors import InvalidParameterError


@pytest.fixture
def small_chunks(monkeypatch):
    """Make a chunk 10 rows, so that little work is many chunks."""
    monkeypatch.setattr(blocks, "ROWS_PER_CHUNK_LOW", 10)


@pytest.mark.parametrize(
    ("n_rows", "n_features", "sizes"),
    [
        (1, 1, [1]),
        (16_384, 4, [16_384]),
        (16_385, 4, [16_384, 1]),
        (40_000, 2, [16_384, 16_384, 7_232]),
        (4_097, 5, [4_096, 1]),
        (8_192, 100, [4_096, 4_096]),
    ],
)
def test_chunks_cover_the_rows_in_order(n_rows, n_features, sizes):
    chunks = RowBlocks(n_rows, n_features).chunks
    assert [stop - start for start, stop in chunks] == sizes
    assert [start for start, _ in chunks] == [0, *np.cumsum(sizes)[:-1].tolist()]
    assert all(start % 128 == 0 for start, _ in chunks)  # whole blocks of the kernels


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_map_visits_every_row_once(cores, small_chunks):
    visits = np.zeros(1003, dtype=int)

    def work(start, stop):
        visits[start:stop] += 1

    RowBlocks(1003, 1, cores).map(work)
    np.testing.assert_array_equal(visits, np.ones(1003, dtype=int))


@pytest.mark.parametrize("cores", [1, 2, 4])
def test_sums_are_added_in_the_order_of_the_chunks(cores, small_chunks):
    """The numbers lose digits in any other order, and late chunks finish first."""
    values = np.array([1.0, 1e16, 3.0, -1e16, 1e-3, 7.0, 1e15, -1e15])

    def work(start, stop, arrays):
        index = start // 10
        time.sleep(0.002 * (len(values) - index))
        arrays[0][0] += values[index]
        arrays[1][:] += values[index] * np.ones((2, 2))
        return values[index]

    expected = 0.0
    for value in values:
        expected += value
    backwards = 0.0
    for value in values[::-1]:
        backwards += value
    assert expected != backwards  # what this test is there to see
    total, (one, four) = RowBlocks(80, 1, cores).sum(work, ((1,), (2, 2)))
    assert total == expected
    np.testing.assert_array_equal(one, [expected])
    np.testing.assert_array_equal(four, np.full((2, 2), expected))


def test_one_chunk_runs_on_the_callers_thread():
    seen = []

    def work(start, stop, arrays):
        seen.append(threading.current_thread())
        arrays[0][:] = 2.0
        return 1.0

    total, (array,) = RowBlocks(100, 2, 4).sum(work, ((3,),))
    assert seen == [threading.current_thread()]
    assert total == 1.0
    np.testing.assert_array_equal(array, [2.0, 2.0, 2.0])


def test_several_threads_work_at_the_same_time(small_chunks):
    """Each chunk waits for the other: one thread alone would never get past the barrier."""
    barrier = threading.Barrier(2, timeout=30)
    RowBlocks(20, 1, 2).map(lambda start, stop: barrier.wait())


def test_no_more_threads_than_cores_or_chunks(small_chunks):
    assert RowBlocks(35, 1, 3).n_threads == 3
    assert RowBlocks(35, 1, 100).n_threads == 4
    assert RowBlocks(10_000, 1).n_threads == available_cores()


@pytest.mark.parametrize("cores", [1, 3])
def test_an_error_in_the_work_comes_out_and_the_pool_still_works(cores, small_chunks):
    pool = RowBlocks(100, 1, cores)

    def fails(start, stop):
        if start == 50:
            raise ZeroDivisionError("chunk 5")

    with pytest.raises(ZeroDivisionError, match=r"^chunk 5$"):
        pool.map(fails)
    assert pool.sum(lambda start, stop, arrays: float(stop - start), ())[0] == 100.0


def test_a_pool_is_used_again(small_chunks):
    pool = RowBlocks(100, 1, 2)
    totals = [pool.sum(lambda a, b, arrays: float(a), ())[0] for _ in range(3)]
    assert totals == [450.0] * 3
    assert threading.active_count() < 50


def test_cores_by_default_are_all_of_them():
    assert check_cores(None) == available_cores() >= 1
    assert check_cores(3) == 3
    assert check_cores(np.int64(2)) == 2


@pytest.mark.parametrize(
    ("cores", "shown"), [(0, "0"), (-1, "-1"), (2.0, "2.0"), (True, "True"), ("2", "'2'")]
)
def test_what_is_no_number_of_cores_is_refused(cores, shown):
    message = f"cores must be a positive integer or None (all of them), got {shown}."
    with pytest.raises(InvalidParameterError, match="^" + re.escape(message) + "$"):
        RowBlocks(100, 1, cores)


@pytest.mark.parametrize(
    ("value", "limit"), [("1", 1), ("1,4", 1), ("", None), ("0", None), ("many", None), ("999999", None)]
)
def test_openmp_limit_is_honoured(value, limit, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert available_cores() == (limit or 3)
