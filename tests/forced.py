"""Steps and jumps in every chain that can have them, whether they would pay or not.

`sample` has no switch for them, and few of the data sets of a suite would have them of themselves.
"""

from functools import partial
from unittest.mock import patch

import numpy as np

from diffgmm.posterior import jumps, marginal_steps

steps = partial(
    patch.multiple,
    marginal_steps,
    GOOD_SHARE=np.inf,
    share_of_steps=lambda log_ratios: np.inf,
)

# Jumps are exact whatever their tables are: these come from a seventh of the sweeps.
jumps = partial(
    patch.multiple,
    jumps,
    are_apart=lambda chains: True,
    STAGES={"Finding modes": (2, 1)},
    STRETCHES=20,
)
