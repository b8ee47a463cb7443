"""Gibbs sweeps for rows with weights: the target is sum_i w_i log p(x_i | theta) plus the log prior.

Every row is split into a whole number of copies, each with a component of its own. Integer weights
are their own numbers of copies, and the sweep is that of the repeated rows. Otherwise the copies are
weights rounded up or down, anew in every sweep, and the conjugate draw given the copies is a proposal.
Copies do not depend on the parameters, so that its acceptance ratio has only what rounding changed:

    prod_i (p(x_i | new) / p(x_i | old))^(w_i - copies_i)

That needs a reversible proposal: covariances, means, covariances once more, all given the old C0, and
then component by component. Rounding is systematic along an order in which neighbours are alike, so
that surpluses of neighbours cancel. C0 is drawn given the covariances, as ever.
"""

import math

import numpy as np

from ._compile import BLOCK, aligned_blocks, kernel, kernel_part
from .allocation import add_copies, copy_line, prepare
from .bundles import Components
from .conjugate import draw_components, draw_covariance, draw_gamma, draw_scale, draw_weights
from .gaussian import exp_block, load_block, log_joint_block


@kernel
def n_copies(weight, phase, offset):
    """Return `weight` rounded up or down: up with probability of its fraction, for a uniform offset.

    Shapes: scalars.
    Equation: systematic sampling (Madow 1949, doi:10.1214/aoms/1177729988); with `phase` the sum of
    the fractions of all rows before, k rows have their total weight of copies, to within 1.
    """
    whole = math.floor(weight)
    start = phase + offset
    return whole + math.floor(start + (weight - whole)) - math.floor(start)


@kernel
def draw_binomial(n, p, rng):
    """Return how many of n trials succeed, each with probability p.

    Shapes: scalars.
    Equation: of n trials the middle one in order, Beta(m, n + 1 - m) with m = (n + 1) / 2, halves
    their number (Devroye 1986, Non-Uniform Random Variate Generation, X.4.3); few are counted.
    """
    successes = 0
    while n > 16:
        m = (n + 1) // 2
        x = draw_gamma(float(m), rng)
        x = x / (x + draw_gamma(float(n + 1 - m), rng))
        if x <= p:
            successes += m
            n -= m
            p = (p - x) / (1.0 - x)
        else:
            n = m - 1
            p = p / x
    for _ in range(n):
        if rng.random() < p:
            successes += 1
    return successes


@kernel_part
def allocate_copies(rows, phases, offset, components, state, pointwise, rng):
    """Draw the components of every row's copies, add to the statistics.

    Shapes: rows Rows of (N, D) with weights (N,); phases (N,) of `n_copies`; components of K;
    pointwise (N,) weight times log density, or (0,) for none.
    Returns the log likelihood sum_i w_i log p_i, the surplus sum_i (w_i - copies_i) log p_i, and
    whether a weight was rounded.
    """
    n_components, n_features = components.means.shape
    scratch = aligned_blocks(n_features + n_components + 2)
    largest, sums = scratch[0], scratch[1]
    block, joint = scratch[2 : 2 + n_features], scratch[2 + n_features :]
    n_rows = rows.values.shape[0]
    log_likelihood, surplus, rounded = 0.0, 0.0, False
    for begin in range(0, n_rows, BLOCK):
        count = min(BLOCK, n_rows - begin)
        load_block(rows, begin, count, block)
        log_joint_block(block, components, joint, largest)
        exp_block(joint, largest, sums)
        for i in range(count):
            weight = rows.weights[begin + i]
            copies = n_copies(weight, phases[begin + i], offset)
            value = largest[i] + math.log(sums[i]) if weight > 0.0 else 0.0
            log_likelihood += weight * value
            if pointwise.shape[0] > 0:
                pointwise[begin + i] = weight * value
            if copies != weight:
                surplus += (weight - copies) * value
                rounded = True
            left, mass = int(copies), sums[i]
            for j in range(n_components):
                if left > 0:
                    n = left
                    # A row whose densities are all 0 goes to the last component.
                    if j < n_components - 1:
                        share = joint[j, i] / mass if mass > 0.0 else 0.0
                        n = draw_binomial(left, min(share, 1.0), rng)
                        mass -= joint[j, i]
                    if n > 0:
                        add_copies(
                            block, i, j, n, state.means, state.counts, state.first, state.second
                        )
                        left -= n
    return log_likelihood, surplus, rounded


@kernel
def surplus_of(rows, phases, offset, components):
    """Return sum_i (w_i - copies_i) log p(x_i).

    Shapes: rows Rows of (N, D) with weights (N,); phases (N,); components of K.
    """
    n_components, n_features = components.means.shape
    scratch = aligned_blocks(n_features + n_components + 2)
    largest, sums = scratch[0], scratch[1]
    block, joint = scratch[2 : 2 + n_features], scratch[2 + n_features :]
    n_rows = rows.values.shape[0]
    surplus = 0.0
    for begin in range(0, n_rows, BLOCK):
        count = min(BLOCK, n_rows - begin)
        load_block(rows, begin, count, block)
        log_joint_block(block, components, joint, largest)
        exp_block(joint, largest, sums)
        for i in range(count):
            weight = rows.weights[begin + i]
            copies = n_copies(weight, phases[begin + i], offset)
            if copies != weight:
                surplus += (weight - copies) * (largest[i] + math.log(sums[i]))
    return surplus


@kernel
def centre_moments(means, old_means, counts, first, second):
    """Make second moments about `old_means` those about `means`.

    Shapes: means, old_means, first (K, D); counts (K,); second as in `allocation.add_copies`.
    Equation: with d = new - old, sum (x - new)(x - new)' = second - first d' - d first' + n d d'.
    """
    for j in range(means.shape[0]):
        s = min(j, second.shape[0] - 1)
        for a in range(means.shape[1]):
            step = means[j, a] - old_means[j, a]
            if second.ndim == 3:
                for b in range(a + 1):
                    other = means[j, b] - old_means[j, b]
                    second[s, a, b] += counts[j] * step * other
                    second[s, a, b] -= first[j, a] * other + step * first[j, b]
            elif second.shape[1] > 0:
                column = min(a, second.shape[1] - 1)
                second[j, column] += step * (counts[j] * step - 2.0 * first[j, a])


@kernel
def copy_component(j, source, state):
    """Copy the mean and the factor of component j from a row of parameters; of all, for j < 0.

    Shapes: source (P,), in the order of `state.everything`.
    """
    n_components, n_features = state.means.shape
    first, last = (j, j + 1) if j >= 0 else (0, n_components)
    begin = n_components
    for p in range(begin + first * n_features, begin + last * n_features):
        state.everything[p] = source[p]
    begin += state.means.size + state.scale.size
    size = state.factors.size // n_components
    for p in range(begin + first * size, begin + last * size):
        state.everything[p] = source[p]


@kernel
def copy_weights(source, state):
    """Copy the weights from a row of parameters.

    Shapes: source (P,), in the order of `state.everything`.
    """
    for j in range(state.weights.shape[0]):
        state.weights[j] = source[j]


@kernel
def accept_by_component(rows, phases, offset, state, old, new, surplus, rng):
    """Move from `old` to `new` component by component, each by Metropolis; return the smallest rate.

    Shapes: rows Rows of (N, D) with weights (N,); phases (N,); old, new (P,) parameters, of which
    `state` has the old ones; surplus at `old`.
    Given the copies, proposals of components are independent: of a part of the parameters more
    moves are accepted than of all. Weights move with the first component. A covariance that
    components share moves with all means.
    """
    n_components = state.weights.shape[0]
    is_shared = state.second.shape[0] < n_components
    constants, unused = np.empty(n_components), np.empty(n_components)
    first, second = np.empty_like(state.first), np.empty_like(state.second)
    n_blocks, rate = (1 if is_shared else n_components), 1.0
    for block in range(n_blocks):
        j = -1 if is_shared else block
        copy_component(j, new, state)
        if block == 0:
            copy_weights(new, state)
        prepare(state.weights, state.factors, constants, unused, first, second)
        components = Components(constants, state.means, state.factors)
        moved = surplus_of(rows, phases, offset, components)
        accepted = math.exp(min(moved - surplus, 0.0))
        rate = min(rate, accepted)
        if rng.random() < accepted:
            surplus = moved
        else:
            copy_component(j, old, state)
            if block == 0:
                copy_weights(old, state)
    return rate


@kernel
def gibbs(rows, phases, prior, state, draws, begin, end, rng):
    """Run sweeps begin .. end of one chain; sweep n >= 0 first records draw n.

    Shapes: rows Rows of (N, D) with weights (N,); phases (N,) of `n_copies`; the others as in
    `sweep.gibbs`.
    """
    n_components, n_features = state.means.shape
    constants, nothing = np.empty(n_components), np.empty(0)
    work, root = np.empty((5, n_features, n_features)), np.empty((1, n_features, n_features))
    old, new = np.empty_like(state.everything), np.empty_like(state.everything)
    old_means, begin_scale = np.empty_like(state.means), n_components * (1 + n_features)
    for n in range(begin, end):
        prepare(state.weights, state.factors, constants, state.counts, state.first, state.second)
        pointwise = nothing
        if n >= 0 and draws.pointwise.shape[0] > 0 and n % draws.every == 0:
            pointwise = draws.pointwise[n // draws.every]
        offset = rng.random()
        log_likelihood, surplus, rounded = allocate_copies(
            rows,
            phases,
            offset,
            Components(constants, state.means, state.factors),
            state,
            pointwise,
            rng,
        )
        filled = 0
        for j in range(n_components):
            filled += 1 if state.counts[j] > 0.0 else 0
            for a in range(n_features):
                old_means[j, a] = state.means[j, a]
        copy_line(state.everything, old)
        draw_weights(prior.concentration, state.counts, rng, state.weights)
        draw_components(prior, state, work, root, rng)
        accepted = 1.0
        if rounded:
            centre_moments(state.means, old_means, state.counts, state.first, state.second)
            for p in range(begin_scale, begin_scale + state.scale.size):
                state.everything[p] = old[p]
            for j in range(n_components if prior.covariance_df > 0.0 else 0):
                draw_covariance(
                    prior.covariance_df,
                    state.scale,
                    j,
                    state.counts,
                    state.second,
                    work,
                    rng,
                    state.factors,
                )
            copy_line(state.everything, new)
            copy_line(old, state.everything)
            accepted = accept_by_component(rows, phases, offset, state, old, new, surplus, rng)
            draw_scale(prior, state, work, root, rng)
        if n >= 0:
            draws.log_likelihood[n] = log_likelihood
            draws.n_filled[n] = filled
            draws.acceptance[n] = accepted
            copy_line(old, draws.parameters[n])
