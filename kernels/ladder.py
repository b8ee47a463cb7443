"""The noise ladder: Gibbs sweeps of populations of states, each on its rung.

At noise level s rows are taken as x = u + s xi with clean rows u of the mixture: its covariances
become Sigma + s^2 I, and a sweep first draws the clean rows by the reverse kernel. High levels lie
near the prior. A second number keeps components from running empty on the way down: the Dirichlet
prior of the weights has a larger concentration wherever there is noise, and falls to its own below.
One number names both, the rung t: noise max(t - 1, 0), added concentration extra min(t, 1). Rung 0 is
the posterior.

States of neighbouring rungs are exchanged by their densities, allocations and clean rows summed out
(`exchange`), or particles of one rung weighted by them (`log_densities`, `move`).
"""

import math
from typing import NamedTuple

import numpy as np

from ._compile import BLOCK, aligned_blocks, kernel
from .allocation import ConjugatePrior, copy_line
from .gaussian import exp_block, load_block, log_joint_block, sum_of_logs
from .sweep import noised_components, recorded_sweep, scratch_for, sweep


class Ladder(NamedTuple):
    """The states of one chain at L noise levels, and what became of their exchanges.

    parameters : (L, P), `ChainState.everything` of each level.
    levels : (L,), falling rungs; the last is 0.
    extra : (1,), concentration that is added above rung 1.
    acceptance, attempts : (L - 1,), of exchanges of levels l and l + 1: sum of acceptance
    probabilities, and how many there were.
    was_hottest : (L,), 1 when the state has been at the highest level since it was last at 0.
    trips : (1,), how many states came to level 0 from the highest.
    """

    parameters: np.ndarray
    levels: np.ndarray
    extra: np.ndarray
    acceptance: np.ndarray
    attempts: np.ndarray
    was_hottest: np.ndarray
    trips: np.ndarray


@kernel
def log_likelihood(rows, state, noise, scratch):
    """Return the log likelihood of a state at a noise level, allocations summed out.

    Shapes: rows Rows of (N, D); state ChainState, whose statistics become 0; scratch Scratch.
    """
    components = noised_components(state, noise, scratch)
    n_components, n_features = state.means.shape
    lines = aligned_blocks(n_features + n_components + 2)
    largest, sums = lines[0], lines[1]
    block, joint = lines[2 : 2 + n_features], lines[2 + n_features :]
    n_rows = rows.values.shape[0]
    total = 0.0
    for begin in range(0, n_rows, BLOCK):
        count = min(BLOCK, n_rows - begin)
        load_block(rows, begin, count, block)
        log_joint_block(block, components, joint, largest)
        exp_block(joint, largest, sums)
        total += sum_of_logs(largest, sums, count, n_components)
    return total


@kernel
def noise_of(rung):
    """Return the noise level of a rung.

    Shapes: scalars.
    """
    return max(rung - 1.0, 0.0)


@kernel
def prior_at(prior, rung, extra, concentration):
    """Return the prior on a rung, whose concentration is written into `concentration`.

    Shapes: prior ConjugatePrior; concentration (K,).
    """
    for j in range(concentration.shape[0]):
        concentration[j] = prior.concentration[j] + extra * min(rung, 1.0)
    return ConjugatePrior(
        concentration,
        prior.mean_precision,
        prior.mean_linear,
        prior.covariance_df,
        prior.hyper_df,
        prior.hyper_rate,
    )


@kernel
def log_dirichlet(concentration, weights):
    """Return the log density of Dirichlet(concentration) at `weights`.

    Shapes: concentration, weights (K,).
    """
    total, sums = 0.0, 0.0
    for j in range(weights.shape[0]):
        sums += concentration[j]
        total += (concentration[j] - 1.0) * math.log(weights[j]) - math.lgamma(concentration[j])
    return total + math.lgamma(sums)


@kernel
def log_density(rows, prior, state, rung, extra, scratch):
    """Return the log of a rung's unnormalised density over the prior's, at a state.

    Shapes: rows Rows of (N, D); prior ConjugatePrior; state ChainState, whose statistics become 0;
    scratch Scratch.
    It is the noised log likelihood and the ratio of the two Dirichlet densities, both normalised: on
    rung 0 the log likelihood.
    """
    total = log_likelihood(rows, state, noise_of(rung), scratch)
    if rung > 0.0 and extra > 0.0:
        own = prior_at(prior, rung, extra, scratch.constants)
        total += log_dirichlet(own.concentration, state.weights)
        total -= log_dirichlet(prior.concentration, state.weights)
    return total


@kernel
def log_densities(rows, prior, state, parameters, rung, extra, out):
    """Write `log_density` of each state on a rung into `out`.

    Shapes: rows Rows of (N, D); prior ConjugatePrior; state ChainState, overwritten; parameters
    (M, P); out (M,).
    """
    scratch = scratch_for(state)
    for m in range(parameters.shape[0]):
        copy_line(parameters[m], state.everything)
        out[m] = log_density(rows, prior, state, rung, extra, scratch)


@kernel
def move(rows, prior, state, parameters, rung, extra, n_sweeps, rng):
    """Run `n_sweeps` sweeps of each state on a rung.

    Shapes: rows Rows of (N, D); prior ConjugatePrior; state ChainState, overwritten; parameters
    (M, P).
    """
    scratch, nothing = scratch_for(state), np.empty(0)
    own = prior_at(prior, rung, extra, np.empty_like(state.weights))
    for m in range(parameters.shape[0]):
        copy_line(parameters[m], state.everything)
        for _ in range(n_sweeps):
            sweep(rows, own, state, noise_of(rung), nothing, scratch, rng)
        copy_line(state.everything, parameters[m])


@kernel
def log_swap_ratio(rows, prior, state, ladder, upper, scratch):
    """Return the log probability ratio of exchanging the states of levels l and l + 1.

    Shapes: rows Rows of (N, D); prior ConjugatePrior; state ChainState, overwritten; ladder Ladder;
    scratch Scratch.
    Equation: with l(theta, t) the log density on rung t, l(theta_l, t_l+1) + l(theta_l+1, t_l) -
    l(theta_l, t_l) - l(theta_l+1, t_l+1); what the rungs share cancels.
    """
    total, extra = 0.0, ladder.extra[0]
    for m in range(upper, upper + 2):
        copy_line(ladder.parameters[m], state.everything)
        own, other = ladder.levels[m], ladder.levels[2 * upper + 1 - m]
        total += log_density(rows, prior, state, other, extra, scratch)
        total -= log_density(rows, prior, state, own, extra, scratch)
    return total


@kernel
def swap(rows, prior, state, ladder, upper, scratch, rng):
    """Exchange the states of levels l and l + 1 with their Metropolis probability.

    Shapes: as in `log_swap_ratio`.
    """
    probability = math.exp(min(log_swap_ratio(rows, prior, state, ladder, upper, scratch), 0.0))
    ladder.acceptance[upper] += probability
    ladder.attempts[upper] += 1.0
    if rng.random() < probability:
        copy_line(ladder.parameters[upper], state.everything)
        copy_line(ladder.parameters[upper + 1], ladder.parameters[upper])
        copy_line(state.everything, ladder.parameters[upper + 1])
        flag = ladder.was_hottest[upper]
        ladder.was_hottest[upper] = ladder.was_hottest[upper + 1]
        ladder.was_hottest[upper + 1] = flag


@kernel
def exchange(rows, prior, state, ladder, draws, begin, end, rng):
    """Run sweeps begin .. end of every level of one chain; sweep n >= 0 records draw n of level 0.

    Shapes: rows Rows of (N, D); state ChainState, overwritten; the others as their classes say.
    Before sweep n every second pair of neighbours may exchange its states, pairs (0, 1), (2, 3),
    ... and (1, 2), (3, 4), ... by turns.
    """
    scratch, concentration = scratch_for(state), np.empty_like(state.weights)
    n_levels = ladder.levels.shape[0]
    for n in range(begin, end):
        for upper in range(n & 1, n_levels - 1, 2):
            swap(rows, prior, state, ladder, upper, scratch, rng)
        ladder.was_hottest[0] = 1.0
        if n_levels > 1 and ladder.was_hottest[n_levels - 1] > 0.0:
            ladder.trips[0] += 1.0
            ladder.was_hottest[n_levels - 1] = 0.0
        for level in range(n_levels):
            copy_line(ladder.parameters[level], state.everything)
            recorded = n if level == n_levels - 1 else -1
            own = prior_at(prior, ladder.levels[level], ladder.extra[0], concentration)
            noise = noise_of(ladder.levels[level])
            recorded_sweep(rows, own, state, draws, recorded, noise, scratch, rng)
            copy_line(state.everything, ladder.parameters[level])
