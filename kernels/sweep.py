"""Blocked Gibbs sweeps: every row gets a component, then the parameters are drawn given the rows.

One call runs many sweeps of one chain with that chain's own generator.
"""

from typing import NamedTuple

import numpy as np

from ._compile import kernel, kernel_part
from .allocation import allocate, copy_line, prepare
from .bundles import Components
from .clean_rows import write_noised
from .conjugate import draw_components, draw_weights


class Scratch(NamedTuple):
    """What a sweep writes into and nobody reads afterwards.

    constants : (K,).   noised, gains : like the factors; see `write_noised`.
    work, root : (5, D, D) and (1, D, D).
    """

    constants: np.ndarray
    noised: np.ndarray
    gains: np.ndarray
    work: np.ndarray
    root: np.ndarray


@kernel
def scratch_for(state):
    """Return what a sweep writes into and nobody reads afterwards.

    Shapes: state ChainState.
    """
    n_components, n_features = state.means.shape
    return Scratch(
        np.empty(n_components),
        np.empty_like(state.factors),
        np.empty_like(state.factors),
        np.empty((5, n_features, n_features)),
        np.empty((1, n_features, n_features)),
    )


@kernel
def noised_components(state, noise, scratch):
    """Return the mixture of a state at a noise level, and set the statistics to 0.

    Shapes: state ChainState; scratch Scratch.
    """
    factors = state.factors
    if noise > 0.0:
        write_noised(state.factors, noise, scratch.work, scratch.noised, scratch.gains)
        factors = scratch.noised
    prepare(state.weights, factors, scratch.constants, state.counts, state.first, state.second)
    return Components(scratch.constants, state.means, factors)


@kernel_part
def sweep(rows, prior, state, noise, pointwise, scratch, rng):
    """Run one sweep at a noise level; return the log likelihood that the state had before.

    Shapes: rows Rows of (N, D); pointwise (N,) log densities of the state before, or (0,); the
    others as their classes say.
    Clean rows are drawn by the reverse kernel from `noise` to 0; then weights, covariances, means
    and C0 given them.
    """
    components = noised_components(state, noise, scratch)
    log_likelihood = allocate(
        rows, components, state, scratch.gains, noise, pointwise, scratch.work, rng
    )
    draw_weights(prior.concentration, state.counts, rng, state.weights)
    draw_components(prior, state, scratch.work, scratch.root, rng)
    return log_likelihood


@kernel_part  # LLVM optimises all of `sweep` again in every kernel around it
def recorded_sweep(rows, prior, state, draws, n, noise, scratch, rng):
    """Run sweep n of a chain at a noise level; n >= 0 first records draw n.

    Shapes: as in `sweep`.
    A draw is the state on entry, with its log likelihood and the allocation drawn from it: the
    pass over the rows that the sweep needs anyhow.
    """
    pointwise = np.empty(0)
    if n >= 0:
        copy_line(state.everything, draws.parameters[n])
        if draws.pointwise.shape[0] > 0 and n % draws.every == 0:
            pointwise = draws.pointwise[n // draws.every]
    log_likelihood = sweep(rows, prior, state, noise, pointwise, scratch, rng)
    if n >= 0:
        draws.log_likelihood[n] = log_likelihood
        filled = 0
        for j in range(state.counts.shape[0]):
            filled += 1 if state.counts[j] > 0.0 else 0
        draws.n_filled[n] = filled


@kernel
def gibbs(rows, prior, state, draws, noise, begin, end, rng):
    """Run sweeps begin .. end of one chain.

    Shapes: rows Rows of (N, D); noise (T,) noise levels of sweeps -T .. -1, the warm-up; the
    others as their classes say.
    What is drawn does not depend on how sweeps are split into calls.
    """
    scratch = scratch_for(state)
    for n in range(begin, end):
        level = noise[noise.shape[0] + n] if n < 0 else 0.0
        recorded_sweep(rows, prior, state, draws, n, level, scratch, rng)
