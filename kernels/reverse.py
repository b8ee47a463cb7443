"""Reverse diffusion: one step from noise level a down to b < a, for all draws.

The exact reverse kernel of a mixture, x | y = sum_j p(j | y; a) N(m_j + G_j (y - m_j), V_j) with
G_j = S_b S_a^-1 and V_j = (a^2 - b^2) G_j, plus a shift by the learned residual. Uniform numbers
and normal noise come from the caller.
"""

from typing import NamedTuple

import numpy as np

from ._compile import BLOCK, aligned_blocks, kernel
from .bundles import Components
from .features import (
    CLIP,
    add_family_product,
    add_residual,
    clip_block,
    fill_zeros,
    gates_block,
    hermite_table,
    whiten_block,
)


class Step(NamedTuple):
    """A reverse step from noise level a to b.

    components : of K, with the covariances S_a and whitening factors W_j.
    gains : (K, D, D), (K, D) or (K,); G_j W_j^-1, so that gain_j u_j = G_j (y - m_j).
    roots : like `gains`; T_j with T_j T_j' = (a^2 - b^2) G_j.
    shifts : (K, D, p), the polynomials of the residual at level a times (a^2 - b^2) / a;
        p = 0 when it is silent.
    """

    components: Components
    gains: np.ndarray
    roots: np.ndarray
    shifts: np.ndarray


@kernel
def load_line(values, first, count, line):
    """Copy values first .. first + count into `line`; the rest becomes zero.

    Shapes: values (N,); line (BLOCK,).
    """
    own = values[first : first + count]
    for i in range(count):
        line[i] = own[i]
    for i in range(count, BLOCK):
        line[i] = 0.0


@kernel
def store_line(line, first, count, values):
    """Copy the first `count` values of `line` into values first .. first + count.

    Shapes: line (BLOCK,); values (N,).
    """
    own = values[first : first + count]
    for i in range(count):
        own[i] = line[i]


@kernel
def pick_block(gates, uniform, sums, picks):
    """Write 1 for the component that `uniform` picks with probabilities `gates`, else 0.

    Shapes: gates, picks (K, BLOCK), may be the same; uniform, in [0, 1), and sums (BLOCK,), both
    overwritten.
    A component of probability 0 is never picked; a row without any probability, or with NaN, gets
    NaN everywhere, which reaches its draw.
    """
    for i in range(BLOCK):
        sums[i] = 0.0
    for j in range(gates.shape[0]):
        for i in range(BLOCK):
            sums[i] += gates[j, i]
    for i in range(BLOCK):
        # The same sums in the same order again below: the last of them is above the limit.
        uniform[i] = uniform[i] * sums[i] if sums[i] > 0.0 else np.nan
        sums[i] = 0.0
    for j in range(gates.shape[0]):
        for i in range(BLOCK):
            below, limit = sums[i], uniform[i]
            above = below + gates[j, i]
            picked = 1.0 if (below <= limit) & (limit < above) else 0.0
            picks[j, i] = picked if limit >= 0.0 else np.nan
            sums[i] = above


@kernel
def add_picked_means(means, picks, out):
    """Add sum_j pick_ij m_j to column i of `out`.

    Shapes: means (K, D); picks (K, BLOCK); out (D, BLOCK).
    """
    for j in range(picks.shape[0]):
        for a in range(out.shape[0]):
            mean = means[j, a]
            for i in range(BLOCK):
                out[a, i] += picks[j, i] * mean


@kernel
def mixture_draws(weights, means, roots, uniform, noise, out):
    """Write independent draws of sum_j w_j N(m_j, T_j T_j') into the columns of `out`.

    Shapes: weights (K,); means (K, D); roots T (K, D, D), (K, D) or (K,); uniform (N,), in [0, 1);
    noise (D, N), standard normal; out (D, N).
    """
    n_components, n_features = means.shape
    lines = aligned_blocks(3 * n_features + 1 + n_components)
    result, own_noise = lines[:n_features], lines[n_features : 2 * n_features]
    scratch, picks = lines[2 * n_features :][: n_features + 1], lines[3 * n_features + 1 :]
    for first in range(0, out.shape[1], BLOCK):
        count = min(BLOCK, out.shape[1] - first)
        load_line(uniform, first, count, scratch[0])
        for j in range(n_components):
            for i in range(BLOCK):
                picks[j, i] = weights[j]
        pick_block(picks, scratch[0], scratch[1], picks)
        for a in range(n_features):
            load_line(noise[a], first, count, own_noise[a])
        fill_zeros(result)
        add_picked_means(means, picks, result)
        for j in range(n_components):
            add_family_product(roots, j, own_noise, picks[j], result)
        for a in range(n_features):
            store_line(result[a], first, count, out[a])


@kernel
def reverse_step(draws, uniform, noise, step):
    """Replace draws at noise level a by draws at level b.

    Shapes: draws (D, N), one a column; uniform (N,), in [0, 1); noise (D, N), standard normal;
    step Step of K.
    """
    n_components, n_features, n_outputs = step.shifts.shape
    lines = aligned_blocks((n_components + 3) * n_features + 2 * n_components + n_outputs + 2)
    block, own_noise = lines[:n_features], lines[n_features : 2 * n_features]
    centred, rest = lines[2 * n_features :][: n_features + 1], lines[3 * n_features + 1 :]
    features, rest = rest[: n_outputs + 1], rest[n_outputs + 1 :]
    joint, picks = rest[:n_components], rest[n_components : 2 * n_components]
    white = rest[2 * n_components :].reshape(n_components, n_features, BLOCK)
    table = hermite_table(n_features, n_outputs)
    for first in range(0, draws.shape[1], BLOCK):
        count = min(BLOCK, draws.shape[1] - first)
        for a in range(n_features):
            load_line(draws[a], first, count, block[a])
            load_line(noise[a], first, count, own_noise[a])
        whiten_block(block, step.components, centred, white, joint)
        gates_block(joint, centred[0], centred[1], count)
        load_line(uniform, first, count, centred[0])
        pick_block(joint, centred[0], centred[1], picks)
        fill_zeros(block)
        add_picked_means(step.components.means, picks, block)
        for j in range(n_components):
            add_family_product(step.gains, j, white[j], picks[j], block)
            add_family_product(step.roots, j, own_noise, picks[j], block)
        if n_outputs > 0:
            clip_block(white, CLIP)
            add_residual(white, joint, step.shifts, table, features, block)
        for a in range(n_features):
            store_line(block[a], first, count, draws[a])
