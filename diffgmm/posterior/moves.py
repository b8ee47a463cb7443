"""How often split-merge moves follow a Gibbs sweep."""

import math
from dataclasses import replace

from .gibbs import Moves, Target

# Nanoseconds that a move takes for each row of the data, and a sweep takes for each row, for each row
# and component, and for each entry of a covariance of these: ratios count. Measured from 1 to 10
# features with 3 to 6 components.
MOVE_ROW = 4_500.0
SWEEP_ROW, SWEEP_COMPONENT, SWEEP_ENTRY = 20.0, 4.0, 0.5

# Share of the time of all sweeps that moves may take: where chains start from fits, and where they start
# from draws of the prior alone and have the modes still to find.
SHARE, SHARE_FROM_PRIOR = 0.04, 0.5

# Moves of a chain's warm-up that starts from the prior alone, if it is long enough.
MOVES_IN_WARM_UP = 60

# With more rows a move takes a second, and no division of so many has a chance.
MOST_ROWS = 20_000


def with_moves(target: Target, tune: int, *, from_prior: bool) -> Target:
    """Return a target whose sweeps are followed by moves, if it has more than one component.

    Parameters
    ----------
    target : Target
        With row weights there are no moves.
    tune : int
        Sweeps of the warm-up without noise.
    from_prior : bool
        Whether all chains start from draws of the prior.
    """
    n_rows, d, k = target.data.n_rows, target.data.n_features, target.n_components
    if target.row_weights is not None or k == 1 or n_rows > MOST_ROWS:
        return target
    entries = d * d if target.family.name in ("full", "tied") else d
    sweep_row = SWEEP_ROW + k * (SWEEP_COMPONENT + SWEEP_ENTRY * entries)
    ratio = MOVE_ROW / sweep_row
    later = math.ceil(ratio / (SHARE_FROM_PRIOR if from_prior else SHARE))
    in_warm_up = later
    if from_prior:
        in_warm_up = max(1, min(later, tune // MOVES_IN_WARM_UP))
    return replace(target, moves=Moves(in_warm_up, later))
