"""The telescoping sampler: blocked Gibbs sweeps in which the number of components K is drawn, too.

Frühwirth-Schnatter, Malsiner-Walli, Grün (2021), Bayesian Analysis 16(4), 1279-1307,
doi:10.1214/21-BA1294, algorithm 1. Given the partition of the rows, K is drawn from a discrete law;
components without rows then come from the prior. Arrays have room for the largest K, and a sweep
sees their first K entries.
"""

import math
from typing import NamedTuple

import numpy as np

from ._compile import kernel, kernel_part
from .allocation import ChainState, allocate, prepare
from .bundles import Components
from .clean_rows import write_noised
from .conjugate import draw_components, draw_covariance, draw_from_precision, draw_weights

# Standard deviation of the random walk of log alpha. Given K and the partition, log alpha has a
# standard deviation of 0.6 to 1: the walk accepts 45 to 60 % of its steps.
ALPHA_STEP = 1.5

# Numbers of components that a sweep between draws chooses from. With all 100 of them, that choice
# takes half the time of a sweep over 82 rows.
WINDOW = 12


class ComponentsPrior(NamedTuple):
    """The prior of K and of the weights given K.

    log_probabilities : (M,) log p(K) of K = 1, ..., M.
    dynamic : whether weights ~ Dirichlet(alpha / K), else Dirichlet(alpha).
    alpha_df1, alpha_df2 : alpha ~ F(alpha_df1, alpha_df2); 0 when alpha is fixed.
    """

    log_probabilities: np.ndarray
    dynamic: bool
    alpha_df1: float
    alpha_df2: float


class TelescopingState(NamedTuple):
    """Where a chain is; every sweep writes into it.

    room : the state of M components, of which the first K are in use.
    n_components : (1,) K.   alpha : (1,).
    """

    room: ChainState
    n_components: np.ndarray
    alpha: np.ndarray


class TelescopingDraws(NamedTuple):
    """Where S recorded draws go; R is how many components there is room for.

    components : (S, R, P) weight, mean and whitening factor of each component, NaN beyond K.
    scale : (S, Q) C0.   alpha : (S,).
    n_components, n_filled : (S,) K, and how many have a row; those come first.
    log_likelihood : (S,).
    pointwise : (S', N) log density of each row at draws 0, every, 2 every, ..., or (0, N).
    sweeps : from one draw to the next, and for each noise level of the warm-up.
    """

    components: np.ndarray
    scale: np.ndarray
    alpha: np.ndarray
    n_components: np.ndarray
    n_filled: np.ndarray
    log_likelihood: np.ndarray
    pointwise: np.ndarray
    every: int
    sweeps: int


@kernel
def log_partition(counts, n_filled, concentration, n_components):
    """Return log p(allocation | K) under Dirichlet weights that are integrated out.

    Shapes: counts (K,), of which the first n_filled are positive; scalars.
    Equation: Gamma(K e) / Gamma(K e + N) prod_k Gamma(N_k + e) / Gamma(e).
    """
    own, n_rows, total = math.lgamma(concentration), 0.0, 0.0
    for j in range(n_filled):
        n_rows += counts[j]
        total += math.lgamma(counts[j] + concentration) - own
    sum_of_all = n_components * concentration
    return total + math.lgamma(sum_of_all) - math.lgamma(sum_of_all + n_rows)


@kernel
def concentration_of(on_k, alpha, n_components):
    """Return the concentration of each component.

    Shapes: scalars.
    """
    return alpha / n_components if on_k.dynamic else alpha


@kernel
def draw_n_components(on_k, counts, n_filled, alpha, lowest, log_weights, rng):
    """Return a draw of K given the partition of the rows, alpha and that K is in a window.

    Shapes: counts (K,), of which the first n_filled are positive; log_weights (W,) scratch, for
    K = lowest, ..., lowest + W - 1.
    Equation: p(K) K! / (K - K_+)! p(allocation | K), K >= K_+: as many allocations have the same
    partition.
    """
    begin = max(n_filled, lowest)
    end = min(on_k.log_probabilities.shape[0] + 1, lowest + log_weights.shape[0])
    largest = -np.inf
    for k in range(begin, end):
        value = on_k.log_probabilities[k - 1]
        if value > -np.inf:
            value += math.lgamma(k + 1.0) - math.lgamma(k - n_filled + 1.0)
            value += log_partition(counts, n_filled, concentration_of(on_k, alpha, k), k)
        log_weights[k - lowest] = value
        largest = max(largest, value)
    total = 0.0
    for k in range(begin, end):
        total += math.exp(log_weights[k - lowest] - largest)
    threshold, running, drawn = rng.random() * total, 0.0, begin
    for k in range(begin, end):
        own = math.exp(log_weights[k - lowest] - largest)
        if own > 0.0 and running <= threshold:
            drawn = k
        running += own
    return drawn


@kernel
def log_alpha_density(on_k, counts, n_filled, n_components, alpha):
    """Return the log density of log alpha given K and the allocation, up to a constant.

    Shapes: counts (K,), of which the first n_filled are positive; scalars.
    """
    df1, df2 = on_k.alpha_df1, on_k.alpha_df2
    # The exponent of an F density is df1 / 2 - 1; log alpha has the Jacobian alpha.
    value = 0.5 * df1 * math.log(alpha)
    value -= 0.5 * (df1 + df2) * math.log(1.0 + df1 * alpha / df2)
    e = concentration_of(on_k, alpha, n_components)
    return value + log_partition(counts, n_filled, e, n_components)


@kernel
def draw_alpha(on_k, counts, n_filled, n_components, alpha, rng):
    """Return alpha after a step of a random walk of its logarithm.

    Shapes: counts (K,), of which the first n_filled are positive; scalars.
    """
    proposed = alpha * math.exp(ALPHA_STEP * rng.standard_normal())
    gain = log_alpha_density(on_k, counts, n_filled, n_components, proposed)
    gain -= log_alpha_density(on_k, counts, n_filled, n_components, alpha)
    return proposed if math.log(1.0 - rng.random()) < gain else alpha


@kernel
def swap(flat, size, i, j):
    """Exchange entries i and j of an array whose entries have `size` numbers each.

    Shapes: flat (K size,).
    """
    for p in range(size):
        kept = flat[i * size + p]
        flat[i * size + p] = flat[j * size + p]
        flat[j * size + p] = kept


@kernel
def put_filled_first(room, n_components):
    """Renumber components so that those with rows come first, and return how many they are.

    Shapes: room ChainState of M components, the first n_components in use.
    """
    n_features = room.means.shape[1]
    n_factor = room.factors.size // room.factors.shape[0]
    n_second = room.second.size // room.second.shape[0]
    means, first, second = room.means.reshape(-1), room.first.reshape(-1), room.second.reshape(-1)
    factors = room.factors.reshape(-1)
    filled = 0
    for j in range(n_components):
        if room.counts[j] > 0.0:
            if j > filled:
                swap(room.weights, 1, filled, j)
                swap(room.counts, 1, filled, j)
                swap(means, n_features, filled, j)
                swap(first, n_features, filled, j)
                swap(factors, n_factor, filled, j)
                if room.second.shape[0] > 1:  # else one for all
                    swap(second, n_second, filled, j)
            filled += 1
    return filled


@kernel
def draw_empty(prior, room, n_filled, n_components, work, rng):
    """Draw components n_filled .. n_components - 1, which have no rows, from the prior.

    Shapes: room ChainState of M components; work (5, D, D) scratch.
    """
    n_features = room.means.shape[1]
    n_second = room.second.size // room.second.shape[0]
    second, precision = room.second.reshape(-1), work[3]
    for j in range(n_filled, n_components):
        room.counts[j] = 0.0
        if room.second.shape[0] > 1:
            for p in range(n_second):
                second[j * n_second + p] = 0.0
        draw_covariance(
            prior.covariance_df, room.scale, j, room.counts, room.second, work, rng, room.factors
        )
        for a in range(n_features):
            work[0, 0, a] = prior.mean_linear[a]
            for b in range(n_features):
                precision[a, b] = prior.mean_precision[a, b]
        draw_from_precision(precision, work[0, 0], rng, work[1], room.means[j])


@kernel
def record(state, draws, n, n_filled, log_likelihood):
    """Write the state into draw n.

    Shapes: as their classes say.
    """
    room, n_features = state.room, state.room.means.shape[1]
    n_factor = room.factors.size // room.factors.shape[0]
    factors, scale = room.factors.reshape(-1), room.scale.reshape(-1)
    draws.log_likelihood[n], draws.alpha[n] = log_likelihood, state.alpha[0]
    draws.n_components[n], draws.n_filled[n] = state.n_components[0], n_filled
    for p in range(scale.shape[0]):
        draws.scale[n, p] = scale[p]
    for j in range(draws.components.shape[1]):
        line = draws.components[n, j]
        if j < state.n_components[0]:
            line[0] = room.weights[j]
            for a in range(n_features):
                line[1 + a] = room.means[j, a]
            for p in range(n_factor):
                line[1 + n_features + p] = factors[j * n_factor + p]
        else:
            for p in range(line.shape[0]):
                line[p] = np.nan


@kernel_part
def first_components(room, k):
    """Return the first k components of a state, as views.

    Shapes: room ChainState of M components.
    """
    return ChainState(
        room.everything,
        room.weights[:k],
        room.means[:k],
        room.scale,
        room.factors[:k],
        room.counts[:k],
        room.first[:k],
        room.second[: min(k, room.second.shape[0])],
    )


@kernel
def telescope(rows, prior, on_k, state, draws, noise, begin, end, rng):
    """Run steps begin .. end of one chain; step n >= 0 first records draw n.

    Shapes: rows Rows of (N, D); noise (T,) noise levels of steps -T .. -1, the warm-up; the others
    as their classes say; of `prior` the concentration is not looked at.
    Returns the step that comes next: `end`, or one whose draw has too many components for `draws`.

    A step has `draws.sweeps` sweeps. A draw is the state on entry, renumbered so that the
    components with rows in the allocation drawn from it come first. A sweep goes on with their
    parameters, C0, K, alpha, the components without rows, and the weights.
    """
    room, n_features = state.room, state.room.means.shape[1]
    most = room.weights.shape[0]
    constants, concentration = np.empty(most), np.empty(most)
    log_weights = np.empty(max(most, WINDOW))
    nothing = np.empty(0)
    work, root = np.empty((5, n_features, n_features)), np.empty((1, n_features, n_features))
    noised, gains = np.empty_like(room.factors), np.empty_like(room.factors)
    for sweep in range(begin * draws.sweeps, end * draws.sweeps):
        n = sweep // draws.sweeps
        recorded = n >= 0 and sweep % draws.sweeps == 0
        k = state.n_components[0]
        if recorded and k > draws.components.shape[1]:
            return n
        level = noise[noise.shape[0] + n] if n < 0 else 0.0
        own = first_components(room, k)
        factors = own.factors
        if level > 0.0:
            factors = noised[:k]
            write_noised(own.factors, level, work, factors, gains[:k])
        prepare(own.weights, factors, constants[:k], own.counts, own.first, own.second)
        pointwise = nothing
        if recorded and draws.pointwise.shape[0] > 0 and n % draws.every == 0:
            pointwise = draws.pointwise[n // draws.every]
        components = Components(constants[:k], own.means, factors)
        log_likelihood = allocate(rows, components, own, gains[:k], level, pointwise, work, rng)
        filled = put_filled_first(room, k)
        if recorded:
            record(state, draws, n, filled, log_likelihood)
        draw_components(prior, first_components(room, filled), work, root, rng)
        alpha, width = state.alpha[0], WINDOW
        if sweep % draws.sweeps == 0:
            width = most
        # A window of which K is an entry like any other: given it, all K in it keep their odds.
        lowest = 1 if width == most else k - int(width * rng.random())
        k = draw_n_components(on_k, room.counts, filled, alpha, lowest, log_weights[:width], rng)
        if on_k.alpha_df1 > 0.0:
            alpha = draw_alpha(on_k, room.counts, filled, k, alpha, rng)
        state.n_components[0], state.alpha[0] = k, alpha
        draw_empty(prior, room, filled, k, work, rng)
        for j in range(k):
            concentration[j] = concentration_of(on_k, alpha, k)
        draw_weights(concentration[:k], room.counts[:k], rng, room.weights[:k])
    return end
