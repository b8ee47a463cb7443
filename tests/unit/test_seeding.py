"""Seeds: what is accepted, what repeats, what differs."""

import re

import numpy as np
import pytest

from diffgmm._seeding import generator, seed_sequence, stream
from diffgmm.errors import InvalidParameterError

REPEATABLE = [0, 7, np.int64(7), 2**200, [1, 2, 3], (4, 5), np.random.SeedSequence(9)]


def spawn_generators(seed, n):
    """Return the streams of n chains."""
    sequence = seed_sequence(seed)
    return [stream(sequence, index) for index in range(n)]


def draws(generators):
    return [g.standard_normal(3) for g in generators]


@pytest.mark.parametrize("seed", REPEATABLE, ids=str)
def test_a_seed_repeats_its_draws(seed):
    for make in (lambda: [generator(seed)], lambda: spawn_generators(seed, 2)):
        np.testing.assert_array_equal(draws(make()), draws(make()))


def test_an_integer_is_the_seed_that_numpy_makes_of_it():
    np.testing.assert_array_equal(draws([generator(5)]), draws([np.random.default_rng(5)]))
    children = np.random.default_rng(5).spawn(3)
    np.testing.assert_array_equal(draws(spawn_generators(5, 3)), draws(children))


@pytest.mark.parametrize("seed", REPEATABLE, ids=str)
def test_more_chains_leave_the_first_ones_alone(seed):
    two, four = draws(spawn_generators(seed, 2)), draws(spawn_generators(seed, 4))
    np.testing.assert_array_equal(two, four[:2])


def test_chains_differ_and_none_is_the_parent():
    first = [g.standard_normal() for g in [generator(5), *spawn_generators(5, 100)]]
    assert len(set(first)) == 101


def test_a_thousand_unseeded_calls_differ():
    """64 bits of a stream each: two of a thousand agree with probability 3e-14."""
    assert len({int(generator(None).integers(2**63)) for _ in range(1000)}) == 1000
    assert len({int(spawn_generators(None, 1)[0].integers(2**63)) for _ in range(1000)}) == 1000


def test_a_generator_is_used_and_moves_on():
    given = np.random.default_rng(1)
    assert generator(given) is given
    first, second = draws(spawn_generators(given, 2)), draws(spawn_generators(given, 2))
    assert not np.isin(first, second).any()
    np.testing.assert_array_equal(first, draws(spawn_generators(np.random.default_rng(1), 2)))


def test_a_spawned_child_has_children_of_its_own():
    child, other = np.random.SeedSequence(3).spawn(2)
    mine, theirs = draws(spawn_generators(child, 3)), draws(spawn_generators(other, 3))
    assert not np.isin(mine, theirs).any()
    # The same again: naming children by index does not count calls on the sequence.
    np.testing.assert_array_equal(mine, draws(spawn_generators(child, 3)))
    assert child.n_children_spawned == 0


def test_a_seed_sequence_is_returned_as_it_is():
    sequence = np.random.SeedSequence(11)
    assert seed_sequence(sequence) is sequence
    assert seed_sequence(11).entropy == 11


@pytest.mark.parametrize(
    ("seed", "shown"),
    [
        (-1, "-1"),
        (1.5, "1.5"),
        (2.0, "2.0"),
        (True, "True"),
        ("5", "'5'"),
        ("abc", "'abc'"),
        ([1, -2], "[1, -2]"),
        ([0.5], "[0.5]"),
        ({"seed": 1}, "{'seed': 1}"),
    ],
)
def test_what_is_no_seed_is_refused(seed, shown):
    message = (
        "random_seed must be a non-negative integer, a sequence of them, a numpy Generator or "
        f"None, got {shown}."
    )
    for make in (seed_sequence, generator, lambda s: spawn_generators(s, 2)):
        with pytest.raises(InvalidParameterError, match="^" + re.escape(message) + "$"):
            make(seed)


def test_the_legacy_generator_is_refused():
    with pytest.raises(InvalidParameterError, match=r"got RandomState\(MT19937\)"):
        generator(np.random.RandomState(0))
