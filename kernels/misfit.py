"""Where a component is not Gaussian: gated Hermite moments, and energies of the residuals they make.

For component j at one noise level, u = W_j (y - m_j) are a row's whitened coordinates along the
component's principal axes. The log density ratio tried beside the component is

    psi(u) = l'u + z' Q z / 2 + sum_a c_a h_3(u_a) + sum_a d_a h_4(u_a),    z = (u, h_2(u)),

with h_n = He_n / sqrt(n!) and Q symmetric: everything of degree 2, and of degree 3 and 4 what
changes along one axis or two (h_2(u_a) u_b, h_2(u_a) h_2(u_b)), at the price of one matrix of
2 D x 2 D. Its residual of the denoiser, divided by sigma, is R_j = p(j | y) sigma W_j' grad psi(u_j).
"""

import math

from ._compile import BLOCK, aligned_blocks, kernel
from .features import add_product, clip_block, fill_zeros, gates_block, whiten_block
from .gaussian import load_block
from .regression import add_outer, noised_block

# Whitened coordinates are clipped here, farther out than a residual's: heavy tails are to be seen.
FARTHEST = 4.0

ROOT_2 = math.sqrt(2.0)
ROOT_3 = math.sqrt(3.0)
ROOT_6 = math.sqrt(6.0)
ROOT_24 = math.sqrt(24.0)


@kernel
def squares_block(white, z):
    """Write z = (u, h_2(u)).

    Shapes: white (D, BLOCK), u; z (2 D, BLOCK).
    """
    n_features = white.shape[0]
    for a in range(n_features):
        u = white[a]
        for i in range(BLOCK):
            z[a, i] = u[i]
            z[n_features + a, i] = (u[i] * u[i] - 1.0) / ROOT_2


@kernel
def add_line_moments(white, gate, sums, masses):
    """Add sum_i p_i u_i, p_i h_3(u_i), p_i h_4(u_i) to `sums`, sum_i p_i^2 and p_i to `masses`.

    Shapes: white (D, BLOCK), u; gate (BLOCK,), p; sums (3, D); masses (2,).
    """
    for a in range(white.shape[0]):
        u = white[a]
        first, third, fourth = 0.0, 0.0, 0.0
        for i in range(BLOCK):
            square = u[i] * u[i]
            first += gate[i] * u[i]
            third += gate[i] * u[i] * (square - 3.0)
            fourth += gate[i] * (square * (square - 6.0) + 3.0)
        sums[0, a] += first
        sums[1, a] += third / ROOT_6
        sums[2, a] += fourth / ROOT_24
    squares, total = 0.0, 0.0
    for i in range(BLOCK):
        squares += gate[i] * gate[i]
        total += gate[i]
    masses[0] += squares
    masses[1] += total


@kernel
def misfit_scratch(n_components, n_features):
    """Return the lines of a block that both passes need; `ones` is 1, all others are 0.

    Shapes: returns clean, noised, target, each (D, BLOCK); scratch (D + 1, BLOCK); z and product,
    each (2 D, BLOCK); ones (BLOCK,); joint (K, BLOCK); white (K, D, BLOCK).
    """
    lines = aligned_blocks((n_components + 8) * n_features + 2 + n_components)
    clean, noised = lines[:n_features], lines[n_features : 2 * n_features]
    target, rest = lines[2 * n_features : 3 * n_features], lines[3 * n_features :]
    scratch, rest = rest[: n_features + 1], rest[n_features + 1 :]
    z, rest = rest[: 2 * n_features], rest[2 * n_features :]
    product, rest = rest[: 2 * n_features], rest[2 * n_features :]
    ones, joint = rest[0], rest[1 : n_components + 1]
    white = rest[n_components + 1 :].reshape(n_components, n_features, BLOCK)
    for i in range(BLOCK):
        ones[i] = 1.0
    return clean, noised, target, scratch, z, product, ones, joint, white


@kernel
def misfit_moments(rows, noise, level, bounds, statistics):
    """Add the gated Hermite moments of each fold of rows to `statistics`.

    Shapes: rows Rows of (N, D); noise (M, D, N); level Level of K; bounds (F + 1,), where folds
    start and end; statistics (masses (F, K, 2), lines (F, K, 3, D), quadratic (F, K, 2 D, 2 D)).
    Equations: over both signs of the M noises of each row, quadratic += p(j | y) z z'; the others
    as in `add_line_moments`.
    """
    n_components, n_features = level.components.means.shape
    masses, sums, quadratic = statistics
    lines = misfit_scratch(n_components, n_features)
    clean, noised, target, scratch, z, gated, _, joint, white = lines
    for fold in range(bounds.shape[0] - 1):
        for first in range(bounds[fold], bounds[fold + 1], BLOCK):
            count = min(BLOCK, bounds[fold + 1] - first)
            load_block(rows, first, count, clean)
            for half in range(2 * noise.shape[0]):
                step = (level.sigma, 1.0 if half % 2 == 0 else -1.0)
                noised_block(clean, noise[half // 2], first, count, step, noised, target)
                whiten_block(noised, level.components, scratch, white, joint)
                gates_block(joint, scratch[0], target[0], count)
                clip_block(white, FARTHEST)
                for j in range(n_components):
                    squares_block(white[j], z)
                    for a in range(2 * n_features):
                        for i in range(BLOCK):
                            gated[a, i] = joint[j, i] * z[a, i]
                    add_outer(gated, z, quadratic[fold, j])
                    add_line_moments(white[j], joint[j], sums[fold, j], masses[fold, j])


@kernel
def energy_block(white, slopes, polynomial, gate):
    """Return the sum over rows of |R|^2 = p_i^2 sum_a share_a (d psi / d u_a)^2.

    Shapes: white (D, BLOCK); slopes (2 D, BLOCK), Q z; polynomial (4, D): l, c, d and the shares
    sigma^2 / (eigenvalue + sigma^2); gate (BLOCK,), p.
    """
    n_features = white.shape[0]
    energy = 0.0
    for a in range(n_features):
        u, own, bent = white[a], slopes[a], slopes[n_features + a]
        first, share = polynomial[0, a], polynomial[3, a]
        third, fourth = polynomial[1, a] * (ROOT_3 / ROOT_2), polynomial[2, a] * (2.0 / ROOT_6)
        for i in range(BLOCK):
            square = u[i] * u[i]
            slope = first + own[i] + ROOT_2 * u[i] * bent[i]
            slope += third * (square - 1.0) + fourth * u[i] * (square - 3.0)
            slope *= gate[i]
            energy += share * slope * slope
    return energy


@kernel
def misfit_energies(rows, noise, level, polynomials, bounds, energies):
    """Add the sums of |R_j|^2 over the rows of each fold, with that fold's psi, to `energies`.

    Shapes: rows Rows of (N, D); noise (M, D, N); level Level of K; polynomials (lines (F, K, 4, D)
    as in `energy_block`, Q (F, K, 2 D, 2 D)); bounds (F + 1,); energies (F, K).
    """
    n_components, n_features = level.components.means.shape
    lines = misfit_scratch(n_components, n_features)
    clean, noised, target, scratch, z, slopes, ones, joint, white = lines
    lines_of, matrices = polynomials
    for fold in range(bounds.shape[0] - 1):
        for first in range(bounds[fold], bounds[fold + 1], BLOCK):
            count = min(BLOCK, bounds[fold + 1] - first)
            load_block(rows, first, count, clean)
            for half in range(2 * noise.shape[0]):
                step = (level.sigma, 1.0 if half % 2 == 0 else -1.0)
                noised_block(clean, noise[half // 2], first, count, step, noised, target)
                whiten_block(noised, level.components, scratch, white, joint)
                gates_block(joint, scratch[0], target[0], count)
                clip_block(white, FARTHEST)
                for j in range(n_components):
                    squares_block(white[j], z)
                    fill_zeros(slopes)
                    add_product(matrices[fold, j], z, ones, slopes)
                    own = lines_of[fold, j]
                    energies[fold, j] += energy_block(white[j], slopes, own, joint[j])
