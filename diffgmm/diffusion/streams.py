"""Random streams named by what they are for, so that threads and order of work change nothing."""

import numpy as np


def stream(sequence: np.random.SeedSequence, *key: int) -> np.random.Generator:
    """Return the generator of `key` below `sequence`: the same for the same key, whoever asks."""
    return np.random.default_rng(
        np.random.SeedSequence(sequence.entropy, spawn_key=(*sequence.spawn_key, *key))
    )
