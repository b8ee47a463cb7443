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


def child_sequence(sequence: np.random.SeedSequence, *key: int) -> np.random.SeedSequence:
    """Return a descendant of `sequence`, named by `key` and not by the number of calls.

    The same for the same key, whoever asks and in whatever order: more chains, threads or chunks
    change nothing.
    """
    return np.random.SeedSequence(sequence.entropy, spawn_key=(*sequence.spawn_key, *key))


def stream(sequence: np.random.SeedSequence, *key: int) -> np.random.Generator:
    """Return the generator of `child_sequence(sequence, *key)`."""
    return np.random.default_rng(child_sequence(sequence, *key))
