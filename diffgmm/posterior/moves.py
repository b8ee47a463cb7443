"""How often split-merge moves follow a Gibbs sweep."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..kernels.jumps import Tables
from ..kernels.split_merge import ROWS_EACH

if TYPE_CHECKING:
    from .gibbs import Target

# Nanoseconds that a move takes for each row of the data, without and with rows that are moved one by one;
# and that a sweep takes, once, for each row, for each row and component, and for each entry of a covariance
# of these. Only ratios count: within a factor of 1.6 of those measured on eight problems of 1 to 10 features
# and 2 to 6 components.
MOVE_ROW, MOVE_ROW_ALONE = 1_500.0, 3_500.0
SWEEP, SWEEP_ROW, SWEEP_COMPONENT, SWEEP_ENTRY = 7_000.0, 20.0, 4.0, 0.5

# Share of the time of sweeps between draws that moves may take, and how many there are in the warm-up
# of a chain if it is long enough.
SHARE, MOVES_IN_WARM_UP = 0.5, 400

# With more rows a move takes a second, and no division of so many has a chance.
MOST_ROWS = 20_000


class Moves(NamedTuple):
    """Sweeps from one split-merge move to the next, in the warm-up and between draws."""

    in_warm_up: int
    later: int

    def follows(self, n: int, noise: np.ndarray) -> bool:
        """Return whether a move follows sweep n, of which -len(noise) .. -1 are the warm-up."""
        if n >= 0:
            return (n + 1) % self.later == 0
        return noise[n] == 0.0 and (n + 1) % self.in_warm_up == 0

    def next_after(self, n: int) -> int:
        """Return the first sweep from n on that a move may follow."""
        every = self.later if n >= 0 else self.in_warm_up
        last = n + (-(n + 1)) % every
        return last if n >= 0 else min(last, -1)

    @property
    def of_warm_up(self) -> "Moves":
        """The same, with as many moves between draws as in the warm-up."""
        return self._replace(later=self.in_warm_up)


class Jumps(NamedTuple):
    """Tables of proposals, their number, and the sweeps from one set of proposals to the next."""

    tables: Tables
    tries: int
    every: int


def has_few_rows(target: "Target") -> bool:
    """Return whether the covariance of a component hangs on single rows; see `ROWS_EACH`."""
    return target.data.n_rows <= ROWS_EACH * target.n_components * target.data.n_features


def with_moves(target: "Target", tune: int) -> "Target":
    """Return a target whose sweeps are followed by moves, if it has more than one component.

    For chains that all start from draws of the prior, and where the warm-up sees chains in different
    modes: elsewhere the kernel of the moves would take longer to compile than all other work.

    Parameters
    ----------
    target : Target
        With row weights there are no moves.
    tune : int
        Sweeps of the warm-up without noise.
    """
    n_rows, d, k = target.data.n_rows, target.data.n_features, target.n_components
    if target.row_weights is not None or k == 1 or n_rows > MOST_ROWS:
        return target
    entries = d * d if target.family.name in ("full", "tied") else d
    sweep_row = SWEEP_ROW + k * (SWEEP_COMPONENT + SWEEP_ENTRY * entries)
    move_row = MOVE_ROW_ALONE if has_few_rows(target) else MOVE_ROW
    ratio = move_row * n_rows / (SWEEP + sweep_row * n_rows)
    later = math.ceil(ratio / SHARE)
    in_warm_up = max(1, min(later, tune // MOVES_IN_WARM_UP))
    return replace(target, moves=Moves(in_warm_up, later))
