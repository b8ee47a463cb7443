"""Label alignment: it finds the numbering, and changes nothing else."""

import itertools
import time

import numpy as np
import pytest

from diffgmm import Prior
from diffgmm.errors import InvalidParameterError
from diffgmm.posterior import labels
from diffgmm.posterior.sample import permute

# Seconds for 4000 draws of 10 components; 0.4 on a core of its own.
BUDGET = 2.0

PRIOR = Prior(m0=[0.0, 0.0], B0=np.eye(2), c0=2.0, C0=np.eye(2))


def shuffled_draws(rng, n_draws, k, d=2, noise=0.1):
    """Return draws around one mixture, each with an order of its own, and what undoes it."""
    weights = rng.dirichlet(np.full(k, 50.0), n_draws)
    centre = 6.0 * rng.standard_normal((k, d))
    means = centre + noise * rng.standard_normal((n_draws, k, d))
    factors = np.broadcast_to(np.eye(d), (n_draws, k, d, d)) * rng.uniform(
        0.9, 1.1, (n_draws, k, 1, 1)
    )
    points = centre[rng.integers(k, size=200)] + rng.standard_normal((200, d))
    order = np.argsort(rng.random((n_draws, k)), axis=1)
    mixed = (np.stack([a[o] for a, o in zip(array, order)]) for array in (weights, means, factors))
    return *mixed, points, np.argsort(order, axis=1)


def align(weights, means, factors, points, lp, prior=PRIOR):
    return labels.alignment(prior, weights, means, factors, points=points, lp=lp)


def aligned(order, array):
    return permute(array[None], order[None])[0]


@pytest.mark.parametrize("k", [1, 2, 3, 7])
def test_it_undoes_a_shuffle_of_labels(k, rng):
    weights, means, factors, points, undo = shuffled_draws(rng, 300, k)
    order = align(weights, means, factors, points, rng.standard_normal(300))
    # One numbering for all draws: undo and found differ by one permutation of the clusters.
    same = np.take_along_axis(np.argsort(undo, axis=1), order, axis=1)
    assert np.all(same == same[0])


def test_clusters_come_by_decreasing_mean_weight(rng):
    weights, means, factors, points, _ = shuffled_draws(rng, 200, 4)
    order = align(weights, means, factors, points, rng.standard_normal(200))
    assert np.all(np.diff(aligned(order, weights).mean(axis=0)) <= 0.0)


def test_it_only_permutes(rng):
    """Overlapping components, where no numbering is right: the same draws, all arrays alike."""
    weights, means, factors, points, _ = shuffled_draws(rng, 200, 3, noise=5.0)
    order = align(weights, means, factors, points, rng.standard_normal(200))
    assert np.array_equal(np.sort(order, axis=1), np.tile(np.arange(3), (200, 1)))
    for s in range(200):
        before = {(weights[s, j], *means[s, j], *factors[s, j].ravel()) for j in range(3)}
        after = zip(*(aligned(order, a)[s] for a in (weights, means, factors)), strict=True)
        assert {(w, *m, *f.ravel()) for w, m, f in after} == before


def test_the_order_of_draws_and_labels_changes_nothing(rng):
    weights, means, factors, points, _ = shuffled_draws(rng, 200, 3, noise=1.0)
    lp = rng.standard_normal(200)
    order = align(weights, means, factors, points, lp)
    swap = np.array([2, 0, 1])
    again = align(weights[:, swap], means[:, swap], factors[:, swap], points, lp)
    np.testing.assert_array_equal(swap[again], order)


def test_it_minimises_the_divergence_it_states(rng):
    """Against all K! orders of each draw, given the mean probabilities that it arrives at."""
    weights, means, factors, points, _ = shuffled_draws(rng, 60, 3, noise=3.0)
    order = align(weights, means, factors, points, rng.standard_normal(60))
    p = labels.probabilities(weights, means, factors, points).astype(float)
    q = np.take_along_axis(p, order[:, :, None], axis=1).mean(axis=0)
    logs = np.log(np.maximum(q, 1e-6))
    for s in range(60):
        gains = [np.sum(p[s][list(one)] * logs) for one in itertools.permutations(range(3))]
        assert np.sum(p[s][order[s]] * logs) >= max(gains) - 1e-6


def test_more_draws_than_lead(rng, monkeypatch):
    monkeypatch.setattr(labels, "LEADING_DRAWS", 50)
    monkeypatch.setattr(labels, "DRAWS_PER_CHUNK", 32)
    weights, means, factors, points, undo = shuffled_draws(rng, 300, 3)
    order = align(weights, means, factors, points, rng.standard_normal(300))
    same = np.take_along_axis(np.argsort(undo, axis=1), order, axis=1)
    assert np.all(same == same[0])


def test_known_covariances(rng):
    weights, means, _, points, undo = shuffled_draws(rng, 100, 3)
    order = align(weights, means, np.ones((100, 3)), points, rng.standard_normal(100))
    same = np.take_along_axis(np.argsort(undo, axis=1), order, axis=1)
    assert np.all(same == same[0])


def test_components_without_rows(rng):
    """Weights of 1e-300 and far components get the numbers that are left."""
    weights, means, factors, points, _ = shuffled_draws(rng, 100, 4)
    weights[:, 0] = 1e-300
    means[:, 0] = 1e6
    order = align(weights, means, factors, points, rng.standard_normal(100))
    np.testing.assert_array_equal(order[:, 3], 0)


def test_it_is_quick(rng):
    weights, means, factors, points, _ = shuffled_draws(rng, 4_000, 10, noise=1.0)
    start = time.process_time()
    align(weights, means, factors, points, rng.standard_normal(4_000))
    assert time.process_time() - start < BUDGET


def test_a_prior_that_tells_components_apart_is_refused(rng):
    told_apart = PRIOR.replace(concentration=[1.0, 2.0])
    weights, means, factors, points, _ = shuffled_draws(rng, 10, 2)
    with pytest.raises(InvalidParameterError, match=r"concentration is \[1\.0, 2\.0\]"):
        align(weights, means, factors, points, np.zeros(10), told_apart)
