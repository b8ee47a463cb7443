"""Rows in chunks: the one map and the one reduction that every pass over data uses."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .errors import InvalidParameterError

# Rows of a chunk: a multiple of the kernels' block with at least 0.25 ms of work, so that handing
# it out costs nothing. Fixed by the number of features and never by the number of threads: the
# order of sums, and with it every bit of the result, must not depend on who computes.
ROWS_PER_CHUNK_LOW = 16_384
ROWS_PER_CHUNK_HIGH = 4_096
LOW_DIMENSION = 4


def available_cores() -> int:
    """Return how many cores this process may use: its affinity, and OMP_NUM_THREADS if smaller.

    joblib sets the latter in its workers, so that parallel fits share the machine.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    # OpenMP allows a list, one number for each level of nesting.
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(cores, int(limit)) if limit.isdecimal() and int(limit) > 0 else cores


def check_cores(cores: int | None) -> int:
    """Return the number of threads that `cores` asks for; None means every available core."""
    if cores is None:
        return available_cores()
    if isinstance(cores, bool) or not isinstance(cores, (int, np.integer)) or cores < 1:
        raise InvalidParameterError(
            f"cores must be a positive integer or None (all of them), got {cores!r}."
        )
    return int(cores)


class RowBlocks:
    """Chunks of rows and the threads that work on them.

    Kernels release the GIL, so threads are enough. One chunk runs on the caller's thread.
    """

    def __init__(self, n_rows: int, n_features: int, cores: int | None = None) -> None:
        size = ROWS_PER_CHUNK_LOW if n_features <= LOW_DIMENSION else ROWS_PER_CHUNK_HIGH
        starts = range(0, n_rows, size)
        self.chunks = [(start, min(start + size, n_rows)) for start in starts]
        self.n_threads = min(check_cores(cores), len(self.chunks))
        self._pool: ThreadPoolExecutor | None = None

    def map(self, work: Callable[[int, int], Any]) -> None:
        """Call work(start, stop) once for every chunk, in any order."""
        self._run(lambda index: work(*self.chunks[index]))

    def sum(
        self,
        work: Callable[[int, int, tuple[np.ndarray, ...]], float],
        shapes: tuple[tuple[int, ...], ...],
    ) -> tuple[float, tuple[np.ndarray, ...]]:
        """Return the sums over chunks of what `work` returns and adds into zeroed arrays.

        Parameters
        ----------
        work : callable
            work(start, stop, arrays) adds the chunk's share to `arrays` and returns a float.
        shapes : tuple of shapes
            Of the arrays.

        Returns
        -------
        total : float
        arrays : tuple of ndarray
            Bit-equal for any number of threads: every chunk has its own arrays, and they are
            added in the order of the chunks as soon as it is their turn.
        """
        total = 0.0
        sums = tuple(np.zeros(shape) for shape in shapes)
        if len(self.chunks) == 1:
            return work(*self.chunks[0], sums), sums
        waiting: dict[int, tuple[float, tuple[np.ndarray, ...]]] = {}
        turn = 0
        lock = threading.Lock()

        def one(index: int) -> None:
            nonlocal total, turn
            own = tuple(np.zeros(shape) for shape in shapes)
            value = work(*self.chunks[index], own)
            with lock:
                waiting[index] = (value, own)
                while turn in waiting:
                    value, arrays = waiting.pop(turn)
                    total += value
                    for into, array in zip(sums, arrays, strict=True):
                        into += array
                    turn += 1

        self._run(one)
        return total, sums

    def _run(self, one: Callable[[int], None]) -> None:
        if self.n_threads <= 1:
            for index in range(len(self.chunks)):
                one(index)
            return
        indices = iter(range(len(self.chunks)))
        lock, stop = threading.Lock(), threading.Event()

        def worker() -> None:
            while not stop.is_set():
                with lock:
                    index = next(indices, None)
                if index is None:
                    return
                one(index)

        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.n_threads, thread_name_prefix="diffgmm")
        futures = [self._pool.submit(worker) for _ in range(self.n_threads)]
        try:
            for future in futures:
                future.result()
        except BaseException:  # an error in a worker, or Ctrl-C here: nobody starts another chunk
            stop.set()
            raise
