"""Jumps: the law of allocations, all of them enumerated, whatever the tables are."""

import math

import numpy as np
import pytest
import targets
from test_split_merge import ENUMERATED, largest_z

from diffgmm.kernels import jumps
from diffgmm.kernels.bundles import Rows
from diffgmm.kernels.division import Parts
from diffgmm.kernels.groups import CENTRE, COUNT, SCATTER

K = 3


def tables_for(seed):
    """Return two tables that have nothing to do with the posterior, and a pivot."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(K, 0.7), size=(2, len(ENUMERATED))) + 0.05
    pivot = rng.dirichlet(np.full(K, 0.5), size=len(ENUMERATED))
    shares = np.moveaxis(shares / shares.sum(axis=2, keepdims=True), 0, 2)
    running = np.ascontiguousarray(shares.transpose(2, 0, 1)).cumsum(axis=-1)
    return jumps.Tables(np.ascontiguousarray(np.log(shares)), running, pivot)


def move_by(jump):
    """Return a move of three proposals."""
    tables = tables_for(5)

    def move(rows, kernel_prior, state, rng):
        jump(rows, kernel_prior, state, tables, 3, rng)

    return move


def without_proposals():
    """Return a fault: proposals count as if all were as likely."""
    return {"log_proposal": lambda labels, tables, sums: 0.0}


def without_refusals():
    """Return a fault: proposals in another numbering than the pivot's are taken."""

    def matched(labels, pivot, gain, order):
        own_matched(labels, pivot, gain, order)
        return 0.0

    return {"matched": matched}


def without_the_prior_of_weights():
    """Return a fault: numbers of rows do not count."""

    def log_weights(prior, groups, concentration, first):
        return sum(jumps.log_weight(prior, groups, first + j) for j in range(K))

    return {"log_weights": log_weights}


own_matched = jumps.matched


@pytest.mark.statistical
@pytest.mark.usefixtures("compiled")
def test_law_of_allocations():
    """Jumps alone: no difference from the law beyond chance, at a false alarm of 2.5e-4."""
    shares = set()
    z, limit = largest_z(K, move_by(lambda *given: shares.add(jumps.jump(*given))))
    assert z < limit
    assert shares == {0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0}  # of the proposals, what was taken


@pytest.mark.statistical
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(
    "fault", [without_proposals, without_refusals, without_the_prior_of_weights]
)
def test_the_law_of_allocations_shows_planted_faults(fault, monkeypatch):
    """The outer loop in Python."""
    for name, wrong in fault().items():
        monkeypatch.setattr(jumps, name, wrong)
    z, limit = largest_z(K, move_by(jumps.jump.py_func))
    assert z > limit


def test_proposals_have_their_probability(rng):
    """Shares of allocations of three rows against `log_proposal`, which sums to one."""
    tables = tables_for(1)
    tables = jumps.Tables(tables.log_shares[:3].copy(), tables.running[:, :3], tables.pivot[:3].copy())
    labels = np.indices((K, K, K)).reshape(3, -1).T.astype(np.int32)
    own = [math.exp(jumps.log_proposal(one.copy(), tables, np.empty(2))) for one in labels]
    assert sum(own) == pytest.approx(1.0, rel=1e-12)
    expected = np.exp(tables.log_shares)[np.arange(3), labels].prod(axis=1).mean(axis=1)
    np.testing.assert_allclose(own, expected, rtol=1e-12)


def test_proposals_have_their_groups_and_probability(rng):
    """What `propose` returns and writes, against sums over the labels that it wrote."""
    tables, d = tables_for(1), 2
    tables = jumps.Tables(tables.log_shares[:, :, :1].copy(), tables.running[:1], tables.pivot)
    n = len(ENUMERATED)
    values, order = rng.standard_normal((n, d)), np.array([[2, 0, 1]])
    rows = Rows(values, np.full(d, 0.5), np.full(d, 2.0), np.empty(0))
    parts = Parts(np.zeros((4, n), np.int32), np.zeros((2 * K, 5 + 3 * d, d)), np.empty((4, K)))
    for _ in range(20):
        log_share = jumps.propose(targets.frozen(rows), tables, parts, order, rng)
        labels = parts.labels[1]
        assert log_share == pytest.approx(jumps.log_proposal(labels, tables, np.empty(1)), rel=1e-12)
        for cluster, component in enumerate(order[0]):
            group, own = parts.groups[K + component], 2.0 * (values[labels == cluster] - 0.5)
            assert group[COUNT, 0] == len(own)
            if len(own) > 0:
                centred = own - own.mean(axis=0)
                np.testing.assert_allclose(group[CENTRE], own.mean(axis=0), rtol=1e-12)
                scatter = np.tril(group[SCATTER : SCATTER + d])
                np.testing.assert_allclose(scatter, np.tril(centred.T @ centred), rtol=0, atol=1e-12)


def test_numbering_matches_the_pivot(rng):
    """Whatever the numbering of an allocation, its clusters are the same afterwards."""
    tables, gain = tables_for(2), np.empty((1, K, K))
    labels, found = rng.integers(0, K, len(ENUMERATED)).astype(np.int32), []
    for order in ([0, 1, 2], [2, 0, 1], [1, 0, 2]):
        given, own = np.array(order, dtype=np.int32)[labels], np.empty((1, K), np.int64)
        jumps.matched(given, tables.pivot, gain, own)
        clusters = np.argsort(own[0])[given].astype(np.int32)
        assert jumps.matched(clusters, tables.pivot, gain, own) <= jumps.ROUNDING
        found.append(clusters)
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()
