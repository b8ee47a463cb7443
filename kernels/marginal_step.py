"""Metropolis steps on the posterior with allocations summed out, between Gibbs sweeps.

A proposal is a draw of a fixed t law in the coordinates of `coordinates`, whatever the state: an
independence sampler, Tierney (1994), doi:10.1214/aos/1176325750. It is accepted as often as the
posterior resembles the t law, however much components overlap, and costs one pass over the rows
without a random number for each of them. C0 is integrated out of the target where it is drawn, and
then drawn given the covariances.
"""

import math
from typing import NamedTuple

import numpy as np

from ._compile import BLOCK, aligned_blocks, kernel
from .allocation import LOG_2PI, ChainState, choose_components, copy_line
from .bundles import Components
from .conjugate import draw_gamma, draw_scale
from .coordinates import log_prior, write_coordinates, write_parameters
from .gaussian import exp_block, load_block, log_joint_block, sum_of_logs
from .sweep import recorded_sweep, scratch_for

# What `Position.numbers` holds: three of the state, whether they are known, three of a proposal.
LOG_LIKELIHOOD, LOG_RATIO, FILLED, IS_KNOWN, PROPOSED = 0, 1, 2, 3, 4
N_NUMBERS = 7


class Reference(NamedTuple):
    """The law of proposals, and how often there is one.

    centre : (P,).   root : (P, P), lower triangular; its square is the scale of the t law.
    df : degrees of freedom.   period : every so many-th sweep is a Gibbs sweep; 1, all are.
    """

    centre: np.ndarray
    root: np.ndarray
    df: float
    period: int


class Position(NamedTuple):
    """What is known of a chain's state, and where a proposal is written; kept between calls.

    numbers : (7,), of the state the log likelihood, log target minus log proposal density, and
    how many components an allocation fills; whether they are known; the same of a proposal.
    pointwise : (2, N) log densities of rows at the state and at the proposal, or (2, 0).
    coordinates, white : (P,).   weights, means, factors : the proposal's, as in ChainState.
    """

    numbers: np.ndarray
    pointwise: np.ndarray
    coordinates: np.ndarray
    white: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    factors: np.ndarray


class SteppedState(NamedTuple):
    """A chain with steps: where it is, its proposals, and what is known of its state."""

    chain: ChainState
    reference: Reference
    position: Position


@kernel
def log_likelihood_and_filled(rows, weights, means, factors, pointwise, rng):
    """Return the log likelihood, and how many components a draw of the allocation fills.

    Shapes: rows Rows of (N, D); weights (K,); means (K, D); factors (K, D, D), (K, D) or (K,);
    pointwise (N,) log densities, or (0,) for none.
    Allocations are drawn until every component has a row: mostly, of one block.
    """
    n_components, n_features = means.shape
    scratch = aligned_blocks(n_features + n_components + 5)
    largest, sums = scratch[0], scratch[1]
    uniforms, running, choice = scratch[2], scratch[3], scratch[4]
    block, joint = scratch[5 : 5 + n_features], scratch[5 + n_features :]
    constants, filled = np.empty(n_components), np.zeros(n_components)
    for j in range(n_components):
        constants[j] = np.log(weights[j]) - 0.5 * n_features * LOG_2PI
        for a in range(n_features):
            if factors.ndim == 3:
                constants[j] += np.log(factors[j, a, a])
            elif factors.ndim == 2:
                constants[j] += np.log(factors[j, a])
            else:
                constants[j] += np.log(factors[j])
    components = Components(constants, means, factors)
    n_rows = rows.values.shape[0]
    log_likelihood, n_filled = 0.0, 0
    for begin in range(0, n_rows, BLOCK):
        count = min(BLOCK, n_rows - begin)
        load_block(rows, begin, count, block)
        log_joint_block(block, components, joint, largest)
        exp_block(joint, largest, sums)
        # Summed apart: whether LLVM may reorder a sum beside a store depends on addresses.
        log_likelihood += sum_of_logs(largest, sums, count, n_components)
        if pointwise.shape[0] > 0:
            for i in range(count):
                pointwise[begin + i] = largest[i] + np.log(sums[i])
        if n_filled < n_components:
            for i in range(count):
                uniforms[i] = rng.random()
            choose_components(joint, sums, uniforms, running, choice)
            for i in range(count):
                j = int(choice[i])
                if filled[j] == 0.0:
                    filled[j] = 1.0
                    n_filled += 1
    return log_likelihood, n_filled


@kernel
def squared_distance(coordinates, reference, white):
    """Return the squared length of the whitened coordinates, which are written into `white`.

    Shapes: coordinates, white (P,); reference Reference.
    """
    total = 0.0
    for a in range(white.shape[0]):
        value = coordinates[a] - reference.centre[a]
        for b in range(a):
            value -= reference.root[a, b] * white[b]
        white[a] = value / reference.root[a, a]
        total += white[a] * white[a]
    return total


@kernel
def draw_coordinates(reference, rng, white, out):
    """Write a draw of the t law into `out`, return the squared length of `white`.

    Shapes: reference Reference; white, out (P,).
    """
    df, total = reference.df, 0.0
    stretch = math.sqrt(0.5 * df / draw_gamma(0.5 * df, rng))
    for a in range(white.shape[0]):
        white[a] = stretch * rng.standard_normal()
        total += white[a] * white[a]
        value = reference.centre[a]
        for b in range(a + 1):
            value += reference.root[a, b] * white[b]
        out[a] = value
    return total


@kernel
def weigh(rows, prior, scale, n_different, reference, position, distance, work, rng):
    """Write what a step must know of the parameters in `position` into its last three numbers.

    Shapes: as their classes say; scale C0; distance, the squared one of the coordinates; work
    (5, D, D) scratch.
    """
    own, numbers = (position.weights, position.means, position.factors), position.numbers
    value, filled = log_likelihood_and_filled(rows, *own, position.pointwise[1], rng)
    ratio = value + log_prior(prior, scale, *own, n_different, work)
    ratio += 0.5 * (reference.df + position.white.shape[0]) * math.log1p(distance / reference.df)
    numbers[PROPOSED], numbers[PROPOSED + LOG_RATIO] = value, ratio
    numbers[PROPOSED + FILLED] = filled


@kernel
def record(state, draws, position, n):
    """Record draw n, the state that is known.

    Shapes: as their classes say.
    """
    copy_line(state.everything, draws.parameters[n])
    draws.log_likelihood[n] = position.numbers[LOG_LIKELIHOOD]
    draws.n_filled[n] = int(position.numbers[FILLED])
    if draws.pointwise.shape[0] > 0 and n % draws.every == 0:
        copy_line(position.pointwise[0], draws.pointwise[n // draws.every])


@kernel
def step(rows, prior, state, draws, n, reference, position, scratch, rng):
    """Record draw n if n >= 0, propose once and accept or not, then draw C0 unless it is fixed.

    Shapes: rows Rows of (N, D); scratch Scratch; the others as their classes say.
    What is not known of the state is found by proposing it to itself first.
    """
    numbers = position.numbers
    n_different = state.second.shape[0] if state.second.shape[1] > 0 else 0
    own = (position.weights, position.means, position.factors)
    for is_proposal in range(int(numbers[IS_KNOWN]), 2):
        if is_proposal == 0:
            copy_line(state.weights, own[0])
            copy_line(state.means.reshape(-1), own[1].reshape(-1))
            copy_line(state.factors.reshape(-1), own[2].reshape(-1))
            write_coordinates(*own, n_different, position.coordinates)
            distance = squared_distance(position.coordinates, reference, position.white)
        else:
            if n >= 0:
                record(state, draws, position, n)
            distance = draw_coordinates(reference, rng, position.white, position.coordinates)
            write_parameters(position.coordinates, n_different, *own)
        weigh(
            rows, prior, state.scale, n_different, reference, position, distance, scratch.work, rng
        )
        gain = numbers[PROPOSED + LOG_RATIO] - numbers[LOG_RATIO]
        accepted = is_proposal == 0 or math.log(1.0 - rng.random()) < gain
        if accepted:
            for number in range(3):
                numbers[number] = numbers[PROPOSED + number]
            copy_line(position.pointwise[1], position.pointwise[0])
            copy_line(own[0], state.weights)
            copy_line(own[1].reshape(-1), state.means.reshape(-1))
            copy_line(own[2].reshape(-1), state.factors.reshape(-1))
    numbers[IS_KNOWN] = 1.0
    if n_different > 0:
        draw_scale(prior, state, scratch.work, scratch.root, rng)


@kernel
def gibbs_and_steps(rows, prior, state, draws, reference, position, begin, end, rng):
    """Run sweeps begin .. end of one chain: Gibbs sweeps if the period divides n, steps otherwise.

    Shapes: rows Rows of (N, D); the others as their classes say.
    As in `sweep.gibbs` draw n >= 0 is the state on entry of sweep n, and what is drawn does not
    depend on how sweeps are split into calls.
    """
    scratch = scratch_for(state)
    for n in range(begin, end):
        if n % reference.period == 0:
            recorded_sweep(rows, prior, state, draws, n, 0.0, scratch, rng)
            position.numbers[IS_KNOWN] = 0.0
        else:
            step(rows, prior, state, draws, n, reference, position, scratch, rng)
