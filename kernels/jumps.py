"""Jumps of the Gibbs sampler: the component of every row is proposed anew, from tables found before.

A table (N, K) says how probable each component is for each row in one mode. A proposal takes one of M
tables and draws every row's component from it, alone; it knows nothing of the chain's allocation z. With
weights and means summed out and covariances drawn from q (`groups`, weights W), z' is taken with probability

    min(1, w(z') / w(z)),  w(z) = prod_k W_k Gamma(a + n_k) / sum_m prod_i table_m[i, z_i]

whatever the tables are, as long as they stay what they are: independent Metropolis-Hastings. Tables number
components as clusters. The components of z are numbered as clusters so that they match the pivot best;
proposals that another numbering would match better are refused. That leaves one numbering of every partition,
and is undone after the jump: the law of labels stays what it is.
"""

import math
from typing import NamedTuple

import numpy as np

from ._compile import kernel
from .conjugate import draw_weights
from .division import Parts, load_row
from .draws import match
from .group_prior import group_prior
from .groups import (
    CENTRE,
    COUNT,
    SCATTER,
    copy_group,
    draw_factor,
    draw_mean,
    forget,
    log_weight,
    refresh,
)
from .split_merge import draw_labels, narrow

# Two numberings whose gains differ by less are the same: those of empty components.
ROUNDING = 1e-9

# Logarithms of products are taken from here on, far from underflow.
SMALL = 1e-150


class Tables(NamedTuple):
    """M tables of N rows and K clusters.

    log_shares : (N, K, M) log probabilities.   running : (M, N, K) sums of probabilities of clusters up to k.
    pivot : (N, K), no two sums of entries alike.
    """

    log_shares: np.ndarray
    running: np.ndarray
    pivot: np.ndarray


@kernel
def matched(labels, pivot, gain, order):
    """Write the component of each cluster; return the gain over the present numbering.

    Shapes: labels (N,); pivot (N, K); gain (1, K, K); order (1, K).
    """
    own, best, k = 0.0, 0.0, pivot.shape[1]
    for j in range(k):
        for c in range(k):
            gain[0, j, c] = 0.0
    for i in range(labels.shape[0]):
        for c in range(k):
            gain[0, labels[i], c] += pivot[i, c]
    match(gain, order)
    for c in range(k):
        own += gain[0, c, c]
        best += gain[0, order[0, c], c]
    return best - own


@kernel
def log_proposal(labels, tables, sums):
    """Return the log probability of an allocation to clusters under the tables.

    Shapes: labels (N,); tables Tables; sums (M,).
    """
    largest, total = -np.inf, 0.0
    for m in range(sums.shape[0]):
        sums[m] = 0.0
    for i in range(labels.shape[0]):
        own = tables.log_shares[i, labels[i]]
        for m in range(sums.shape[0]):
            sums[m] += own[m]
    for m in range(sums.shape[0]):
        largest = max(largest, sums[m])
    for m in range(sums.shape[0]):
        total += math.exp(sums[m] - largest)
    return largest + math.log(total / sums.shape[0])


@kernel
def propose(rows, tables, parts, order, rng):
    """Draw an allocation to clusters into line 1 of the labels; return its log probability under its table.

    Shapes: rows Rows of (N, D); tables Tables; parts Parts with 2 K groups; order (1, K).
    Statistics of its groups are written, too.
    """
    groups, k, d = parts.groups, order.shape[1], parts.groups.shape[2]
    x, total, product = parts.lines[0, :d], 0.0, 1.0
    forget(groups, k, 2 * k)
    running = tables.running[int(tables.running.shape[0] * rng.random())]
    for i in range(parts.labels.shape[1]):
        threshold, c = rng.random(), 0
        while running[i, c] <= threshold and c < k - 1:
            c += 1
        parts.labels[1, i] = c
        product *= running[i, c] - (running[i, c - 1] if c > 0 else 0.0)
        if product < SMALL:
            total += math.log(product)
            product = 1.0
        j = k + order[0, c]
        load_row(rows, i, x)
        groups[j, COUNT, 0] += 1.0
        for a in range(d):
            groups[j, CENTRE, a] += x[a]
    for j in range(k, 2 * k):
        for a in range(d):
            groups[j, CENTRE, a] /= max(groups[j, COUNT, 0], 1.0)
    for i in range(parts.labels.shape[1]):
        j = k + order[0, parts.labels[1, i]]
        load_row(rows, i, x)
        for a in range(d):
            x[a] -= groups[j, CENTRE, a]
            for b in range(a + 1):
                groups[j, SCATTER + a, b] += x[a] * x[b]
    return total + math.log(product)


@kernel
def log_weights(prior, groups, concentration, first):
    """Return the sum of log W_k Gamma(a + n_k) over the K groups from `first` on.

    Shapes: prior GroupPrior; groups (2 K, ...); concentration (K,).
    """
    total = 0.0
    for j in range(concentration.shape[0]):
        total += log_weight(prior, groups, first + j)
        total += math.lgamma(concentration[j] + groups[first + j, COUNT, 0])
    return total


@kernel
def jump(rows, kernel_prior, state, tables, n_tries, rng):
    """Propose `n_tries` allocations of all rows; return the share of them that was taken.

    Shapes: rows Rows of (N, D); kernel_prior ConjugatePrior, the same for all components; state ChainState;
    tables Tables.
    """
    k, d = state.means.shape
    n_rows, concentration = rows.values.shape[0], kernel_prior.concentration
    labels, lines = np.empty((4, n_rows), np.int32), np.empty((4, max(k, d)))
    parts = Parts(labels, np.zeros((2 * k, 5 + 3 * d, d)), lines)
    groups, sums = parts.groups, np.empty(tables.log_shares.shape[2])
    gain, order, other = np.empty((1, k, k)), np.empty((1, k), np.int64), np.empty((1, k), np.int64)
    cluster = np.empty(k, np.int64)
    prior = group_prior(kernel_prior, state)
    draw_labels(rows, prior, state, parts, rng)
    matched(labels[0], tables.pivot, gain, order)
    for c in range(k):
        cluster[order[0, c]] = c
    for i in range(n_rows):
        labels[0, i] = cluster[labels[0, i]]
    current = log_weights(prior, groups, concentration, 0) - log_proposal(labels[0], tables, sums)
    log_tables, n_taken = math.log(sums.shape[0]), 0
    for _ in range(n_tries):
        # Its own table has at least this part of a proposal's probability.
        least = propose(rows, tables, parts, order, rng) - log_tables
        if matched(labels[1], tables.pivot, gain, other) > ROUNDING:
            continue
        for j in range(k, 2 * k):
            refresh(prior, groups, j)
            draw_factor(prior, groups, j, rng)
        threshold = current + math.log(1.0 - rng.random())
        proposed = log_weights(prior, groups, concentration, k)
        if proposed - least < threshold - ROUNDING:
            continue
        proposed -= log_proposal(labels[1], tables, sums)
        if proposed > threshold:
            current = proposed
            n_taken += 1
            for j in range(k):
                copy_group(groups, k + j, j)
    for j in range(k):
        draw_mean(prior, groups, j, rng, state.means[j])
        state.counts[j] = groups[j, COUNT, 0]
    draw_weights(concentration, state.counts, rng, state.weights)
    narrow(groups, state.factors)
    return n_taken / max(n_tries, 1)
