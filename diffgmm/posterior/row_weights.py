"""Row weights in the posterior: sum_i w_i log p(x_i | theta), and how weights become whole copies."""

from typing import NamedTuple

import numpy as np

# Rows of a cell that are sorted rather than split further.
CELL_ROWS = 16


class RowWeights(NamedTuple):
    """Weights (N,) of rows, and what `kernels.weighted.n_copies` needs to round them.

    phases : (N,) sums of the fractions of all rows before, without their whole parts, in an order in
    which neighbours are alike.
    """

    values: np.ndarray
    phases: np.ndarray

    @classmethod
    def of(cls, weights: np.ndarray, rows: np.ndarray) -> "RowWeights":
        """Return the weights (N,) of rows (N, D)."""
        fractions = weights - np.floor(weights)
        phases = np.zeros(len(weights))
        if fractions.any():
            order = neighbours(rows)
            before = np.cumsum(fractions[order]) - fractions[order]
            phases[order] = before - np.floor(before)
        return cls(weights, phases)


def neighbours(rows: np.ndarray) -> np.ndarray:
    """Return an order of rows (N, D) in which neighbours are alike: the leaves of a k-d tree.

    Cells are halved along their longest side down to `CELL_ROWS` rows, which are then sorted.
    """
    finished, waiting = [], [np.arange(len(rows))]
    while waiting:
        own = waiting.pop()
        values = rows[own]
        along = values[:, int(np.argmax(np.ptp(values, axis=0)))]
        if len(own) <= CELL_ROWS:
            finished.append(own[np.argsort(along, kind="stable")])
            continue
        half = len(own) // 2
        split = np.argpartition(along, half)
        waiting += [own[split[half:]], own[split[:half]]]
    return np.concatenate(finished)
