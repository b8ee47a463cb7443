"""Which draws are kept where all of them would be too much."""

import numpy as np

# Values of predictive rows that are kept; beyond them draws are thinned, and `thinning` says so.
PREDICTIVE_VALUES = 10_000_000


def every_nth(n_draws: int, size: int, most: int) -> tuple[np.ndarray, int]:
    """Return the draws to keep, each of `size` values, and n: the first and every n-th after it.

    As many as have `most` values, to within one draw, and one in any case.
    """
    step = -(-n_draws * size // most)
    return np.arange(0, n_draws, step), step
