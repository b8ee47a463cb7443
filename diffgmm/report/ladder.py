"""What the noise ladder says about itself, as variables of `sample_stats`."""

import numpy as np

from ..posterior.ladder import LadderReport


def ladder_statistics(ladder: LadderReport) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Return noise levels, swap rates, round trips and the evidence of each chain's particles."""
    n_chains = len(ladder.noise_levels)
    rates = np.concatenate([ladder.swap_rates, np.full((n_chains, 1), np.nan)], axis=1)
    return {
        "noise_level": (("chain", "level"), ladder.noise_levels),
        "swap_rate": (("chain", "level"), rates),
        "round_trips": (("chain",), ladder.round_trips),
        "log_marginal_likelihood": (("chain",), ladder.log_evidence),
    }
