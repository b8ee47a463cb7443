"""Copies of weighted rows: their number, their components, their moments."""

import os

import numpy as np
import pytest
from scipy import stats

from diffgmm.covariance import FAMILIES
from diffgmm.kernels import allocation, weighted
from diffgmm.posterior.gibbs import new_state
from diffgmm.posterior.row_weights import RowWeights, neighbours

COMPILED = os.environ.get("NUMBA_DISABLE_JIT") != "1"

# False alarms of one statistical test, over all its statistics.
FALSE_ALARM = 1e-6

N_DRAWS = 20_000 if COMPILED else 1_000


def test_whole_weights_are_their_own_copies(rng):
    weights = rng.integers(0, 1_000_000, 500).astype(float)
    own = RowWeights.of(weights, rng.standard_normal((500, 2)))
    offset = rng.random()
    copies = [weighted.n_copies(w, p, offset) for w, p in zip(weights, own.phases)]
    np.testing.assert_array_equal(copies, weights)


def test_copies_are_weights_rounded(rng):
    """Up or down, to the weight on average, and to within 1 over any stretch of neighbours."""
    weights, rows = rng.gamma(2.0, 0.7, 200), rng.standard_normal((200, 2))
    own, order = RowWeights.of(weights, rows), neighbours(rows)
    offsets = (np.arange(1_000) + 0.5) / 1_000
    copies = np.array(
        [[weighted.n_copies(w, p, u) for u in offsets] for w, p in zip(weights, own.phases)]
    )
    assert np.all(np.abs(copies - weights[:, None]) < 1.0)
    np.testing.assert_array_equal(copies, np.floor(copies))
    np.testing.assert_allclose(copies.mean(axis=1), weights, atol=2e-3)  # 1,000 offsets
    total = np.cumsum((copies - weights[:, None])[order], axis=0)
    assert np.ptp(total, axis=0).max() < 2.0
    assert np.abs(total).max() < 1.0


def test_neighbours_are_alike(rng):
    """Steps along the order are a small part of those of a random order, where 1 is none."""
    rows = rng.standard_normal((2_000, 2))
    order = neighbours(rows)
    assert sorted(order) == list(range(2_000))
    steps = np.linalg.norm(np.diff(rows[order], axis=0), axis=1).mean()
    assert steps < 0.25 * np.linalg.norm(np.diff(rows, axis=0), axis=1).mean()


@pytest.mark.parametrize(("n", "p"), [(1, 0.3), (16, 0.7), (17, 0.02), (40, 0.5), (300, 0.11)])
def test_binomial_draws_have_their_law(n, p, rng):
    draws = np.array([weighted.draw_binomial(n, p, rng) for _ in range(N_DRAWS)])
    expected = N_DRAWS * stats.binom(n, p).pmf(np.arange(n + 1))
    observed = np.bincount(draws, minlength=n + 1)
    assert len(observed) == n + 1
    often = expected > 10.0
    rest = max(expected[~often].sum(), 1e-9)
    terms = [*np.square(observed - expected)[often] / expected[often]]
    if rest > 5.0:
        terms.append((observed[~often].sum() - rest) ** 2 / rest)
    assert stats.chi2(max(len(terms) - 1, 1)).sf(sum(terms)) > FALSE_ALARM


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_binomial_draws_at_the_ends(p, rng):
    assert {weighted.draw_binomial(50, p, rng) for _ in range(50)} == {int(50 * p)}


@pytest.mark.parametrize("family", list(FAMILIES))
def test_moments_move_with_the_means(family, rng):
    """Moments about new means, from those about old ones or from the rows themselves."""
    states = [new_state(2, 3, FAMILIES[family]) for _ in range(2)]
    rows, copies = rng.standard_normal((20, 3)), rng.integers(1, 5, 20)
    old, new = rng.standard_normal((2, 2, 3))
    block = np.zeros((3, 128))
    block[:, :20] = rows.T
    for state, means in zip(states, (old, new)):
        for i in range(20):
            parts = (means, state.counts, state.first, state.second)
            allocation.add_copies(block, i, i % 2, copies[i], *parts)
    moved, expected = states
    np.testing.assert_allclose(moved.counts, [copies[::2].sum(), copies[1::2].sum()])
    weighted.centre_moments(new, old, moved.counts, moved.first, moved.second)
    np.testing.assert_allclose(moved.second, expected.second, rtol=1e-11, atol=1e-11)
