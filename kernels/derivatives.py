"""Derivatives of the score: its divergence, fused with the score, and its Jacobian.

With s_j the score of component j, P_j = sum_q B_jq phi_q(u_j) its polynomial and r_j = p(j | y),

    score      s + R,  s = sum_j r_j s_j,  R = sum_j r_j P_j
    Jacobian   sum_j r_j (s_j - s) (s_j + P_j)' + sum_j r_j (-S_j^-1 + dP_j / dy),  transposed,
               because the gates have the gradients r_j (s_j - s).

The derivative of a polynomial by a whitened coordinate is again one, whose coefficients the caller
supplies; where a coordinate is clipped, it is 0.
"""

import numpy as np

from ._compile import BLOCK, aligned_blocks, kernel
from .features import (
    CLIP,
    add_family_product,
    add_product,
    clip_block,
    fill_zeros,
    gates_block,
    hermite_block,
    hermite_table,
    whiten_block,
)
from .gaussian import load_block


@kernel
def mark_unclipped(white, marks):
    """Write 1 where a whitened coordinate is within the clip, else 0.

    Shapes: white, marks (D, BLOCK).
    """
    for a in range(white.shape[0]):
        for i in range(BLOCK):
            marks[a, i] = 1.0 if abs(white[a, i]) < CLIP else 0.0


@kernel
def add_inner(one, other, metric, gate, out):
    """Add gate_i sum_a c_a one_ai other_ai to `out`.

    Shapes: one, other (D, BLOCK); metric c (D,); gate, out (BLOCK,).
    """
    for a in range(one.shape[0]):
        for i in range(BLOCK):
            out[i] += gate[i] * (metric[a] * one[a, i] * other[a, i])


@kernel
def add_gated_outer(one, other, gate, out):
    """Add gate_i one_ai other_bi to line a D + b of `out`.

    Shapes: one, other (D, BLOCK); gate (BLOCK,); out (D D, BLOCK).
    """
    n_features = one.shape[0]
    for a in range(n_features):
        for b in range(n_features):
            own = out[a * n_features + b]
            for i in range(BLOCK):
                own[i] += gate[i] * (one[a, i] * other[b, i])


@kernel
def add_pull_column(pulls, j, c, out):
    """Add column c of pull_j to every column of `out`.

    Shapes: pulls (K, D, D), (K, D) or (K,); out (at least D, BLOCK).
    """
    if pulls.ndim == 3:
        for a in range(pulls.shape[1]):
            for i in range(BLOCK):
                out[a, i] += pulls[j, a, c]
    else:
        for i in range(BLOCK):
            if pulls.ndim == 2:
                out[c, i] += pulls[j, c]
            else:
                out[c, i] += pulls[j]


@kernel
def add_factor_row(factors, j, c, columns, gate, out):
    """Add gate_i columns_ai W_j[c, b] to line a D + b of `out`.

    Shapes: factors (K, D, D), (K, D) or (K,); columns (at least D, BLOCK); gate (BLOCK,);
    out (D D, BLOCK).
    """
    n_features = int(np.sqrt(out.shape[0]) + 0.5)
    for a in range(n_features):
        if factors.ndim == 3:
            for b in range(n_features):
                own, f = out[a * n_features + b], factors[j, c, b]
                for i in range(BLOCK):
                    own[i] += gate[i] * (f * columns[a, i])
        else:
            own = out[a * n_features + c]
            if factors.ndim == 2:
                f = factors[j, c]
            else:
                f = factors[j]
            for i in range(BLOCK):
                own[i] += gate[i] * (f * columns[a, i])


@kernel
def derivative_scratch(n_components, n_features, n_outputs, n_results):
    """Return the lines of a block that derivatives are made of; `ones` is 1, all others are 0.

    Shapes: returns block, mixture, total, own, summed, marks, each (D, BLOCK); centred
    (D + 1, BLOCK); features (p, BLOCK); ones (BLOCK,); result (n_results, BLOCK); joint (K, BLOCK);
    white (K, D, BLOCK).
    """
    n_lines = (n_components + 7) * n_features + n_components + n_outputs + n_results + 2
    lines = aligned_blocks(n_lines)
    block, mixture = lines[:n_features], lines[n_features : 2 * n_features]
    total, own = lines[2 * n_features : 3 * n_features], lines[3 * n_features : 4 * n_features]
    summed, marks = lines[4 * n_features : 5 * n_features], lines[5 * n_features : 6 * n_features]
    centred, rest = lines[6 * n_features :][: n_features + 1], lines[7 * n_features + 1 :]
    features, rest = rest[:n_outputs], rest[n_outputs:]
    ones, result, rest = rest[0], rest[1 : 1 + n_results], rest[1 + n_results :]
    joint, white = rest[:n_components], rest[n_components:]
    for i in range(BLOCK):
        ones[i] = 1.0
    white = white.reshape(n_components, n_features, BLOCK)
    return block, mixture, total, own, summed, marks, centred, features, ones, result, joint, white


@kernel
def score_and_divergence(rows, components, pulls, polynomials, traces, start, stop, out):
    """Write the score of rows start .. stop and its divergence.

    Shapes: rows Rows of (N, D); components of K; pulls like components.factors; polynomials
    (K, D, p), p = 0 for a silent residual; traces (metric c (D,), precisions (K,), slopes
    (K, D, p)): the traces of C S_j^-1, and the coefficients of sum_a c_a W_j[b, a] dP_ja / du_b;
    out (score (N, D), divergence (N,)).
    Equation: with C = diag(c), tr(C Jacobian) is
    sum_j r_j (s_j' C (s_j + P_j) - tr(C S_j^-1) + tr(C dP_j / dy)) - s' C (s + R).
    """
    n_components, n_features, n_outputs = polynomials.shape
    metric, precisions, slopes = traces
    score, divergence = out
    lines = derivative_scratch(n_components, n_features, n_outputs, 1)
    block, mixture, total, own, summed, marks, centred, features, ones, results, joint, white = (
        lines
    )
    table = hermite_table(n_features, n_outputs)
    result = results[0]
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        load_block(rows, first, count, block)
        whiten_block(block, components, centred, white, joint)
        gates_block(joint, centred[0], centred[1], count)
        fill_zeros(mixture)
        fill_zeros(total)
        for i in range(BLOCK):
            result[i] = 0.0
        for j in range(n_components):
            gate = joint[j]
            fill_zeros(own)
            add_family_product(pulls, j, white[j], ones, own)
            for i in range(BLOCK):
                result[i] -= gate[i] * precisions[j]
            for a in range(n_features):
                for i in range(BLOCK):
                    mixture[a, i] += gate[i] * own[a, i]
                    summed[a, i] = own[a, i]
            if n_outputs > 0:
                mark_unclipped(white[j], marks)
                clip_block(white[j : j + 1], CLIP)
                hermite_block(white[j], ones, table, features)
                add_product(polynomials[j], features, ones, summed)
                fill_zeros(centred)
                add_product(slopes[j], features, gate, centred[:n_features])
                for a in range(n_features):
                    for i in range(BLOCK):
                        result[i] += centred[a, i] * marks[a, i]
            add_inner(own, summed, metric, gate, result)
            for a in range(n_features):
                for i in range(BLOCK):
                    total[a, i] += gate[i] * summed[a, i]
        for a in range(n_features):
            for i in range(count):
                score[first + i, a] = total[a, i]
                result[i] -= metric[a] * mixture[a, i] * total[a, i]
        for i in range(count):
            divergence[first + i] = result[i]


@kernel
def jacobian(rows, components, pulls, polynomials, slopes, start, stop, out):
    """Write the Jacobian of the score at rows start .. stop: out[n, a, b] = d score_a / d y_b.

    Shapes: rows Rows of (N, D); components of K; pulls (K, D, D), (K, D) or (K,), and
    components.factors W_j alike; polynomials (K, D, p), p = 0 for a silent residual; slopes
    (K, D, D, p), with [j, c] the coefficients of dP_j / du_c; out (N, D, D).
    """
    n_components, n_features, n_outputs = polynomials.shape
    lines = derivative_scratch(n_components, n_features, n_outputs, n_features * n_features)
    block, mixture, total, own, summed, marks, centred, features, ones, result, joint, white = lines
    table = hermite_table(n_features, n_outputs)
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        load_block(rows, first, count, block)
        whiten_block(block, components, centred, white, joint)
        gates_block(joint, centred[0], centred[1], count)
        fill_zeros(mixture)
        fill_zeros(total)
        fill_zeros(result)
        for j in range(n_components):
            gate = joint[j]
            fill_zeros(own)
            add_family_product(pulls, j, white[j], ones, own)
            for a in range(n_features):
                for i in range(BLOCK):
                    mixture[a, i] += gate[i] * own[a, i]
                    summed[a, i] = own[a, i]
            if n_outputs > 0:
                mark_unclipped(white[j], marks)
                clip_block(white[j : j + 1], CLIP)
                hermite_block(white[j], ones, table, features)
                add_product(polynomials[j], features, ones, summed)
            add_gated_outer(summed, own, gate, result)
            for a in range(n_features):
                for i in range(BLOCK):
                    total[a, i] += gate[i] * summed[a, i]
            for c in range(n_features):
                # The derivative by u_c of s_j + P_j, times that of u_c by every feature.
                fill_zeros(centred)
                if n_outputs > 0:
                    add_product(slopes[j, c], features, marks[c], centred[:n_features])
                add_pull_column(pulls, j, c, centred)
                add_factor_row(components.factors, j, c, centred, gate, result)
        for a in range(n_features):
            for b in range(n_features):
                own_line = result[a * n_features + b]
                for i in range(count):
                    out[first + i, a, b] = own_line[i] - total[a, i] * mixture[b, i]
