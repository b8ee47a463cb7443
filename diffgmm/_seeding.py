"""Seeds in, generators out: one stream per chain, and adding chains changes none of them."""

from collections.abc import Sequence

import numpy as np

from .errors import InvalidParameterError

Seed = int | Sequence[int] | np.random.SeedSequence | np.random.Generator | None


def seed_sequence(seed: Seed) -> np.random.SeedSequence:
    """Return the SeedSequence of `seed`: an int, some ints, a Generator, or None for fresh entropy.

    Raises
    ------
    InvalidParameterError
        When NumPy cannot make a seed of it (negative numbers, text, a legacy RandomState).
    """
    if isinstance(seed, np.random.SeedSequence):
        return seed
    if isinstance(seed, np.random.Generator):
        return np.random.SeedSequence(seed.integers(0, 2**32, size=4, dtype=np.uint32).tolist())
    try:
        if isinstance(seed, bool):
            raise TypeError
        return np.random.SeedSequence(seed)
    except (TypeError, ValueError):
        raise InvalidParameterError(
            "random_seed must be a non-negative integer, a sequence of them, a numpy Generator or "
            f"None, got {seed!r}."
        ) from None


def generator(seed: Seed) -> np.random.Generator:
    """Return one generator for `seed`."""
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(seed_sequence(seed))


def spawn_generators(seed: Seed, n: int) -> list[np.random.Generator]:
    """Return n independent generators; generator i is the same whatever `n` is."""
    sequence = seed_sequence(seed)
    # Children are named by their index and not by `spawn`, which counts calls on a shared sequence.
    return [
        np.random.default_rng(
            np.random.SeedSequence(sequence.entropy, spawn_key=(*sequence.spawn_key, index))
        )
        for index in range(n)
    ]
