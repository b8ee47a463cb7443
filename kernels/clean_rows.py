"""Rows with noise: densities of noised components, and the statistics of clean rows given them.

A row is x = u + noise * normals, with u from the mixture; given its component u has the law of the
reverse kernel from `noise` to 0. Parameters need the sums of clean rows and of their products only,
and these are drawn without the rows: a few numbers for each component, however many rows it has.
"""

import math

from ._compile import kernel, kernel_part
from .conjugate import SMALLEST_PIVOT, cholesky, draw_gamma, invert_lower, write_precision


@kernel
def write_noised(factors, noise, work, noised, gains):
    """Write the whitening factors of noised components, and what `draw_clean_moments` needs.

    Shapes: factors, noised, gains (K, D, D), (K, D) or (K,); work (4, D, D) scratch.
    Equations: S = Sigma + noise^2 I has the factor `noised`; the gain G is lower triangular with
    G'G = (Sigma^-1 + I / noise^2)^-1.
    """
    variance = noise * noise
    if factors.ndim == 3:
        n_features = factors.shape[1]
        sigma, precision, root = work[0], work[1], work[2]
        for j in range(factors.shape[0]):
            invert_lower(factors[j], root)
            for a in range(n_features):
                for b in range(a + 1):
                    total = variance if a == b else 0.0
                    for c in range(b + 1):
                        total += root[a, c] * root[b, c]
                    sigma[a, b] = total
            write_precision(factors, j, precision)
            for a in range(n_features):
                precision[a, a] += 1.0 / variance
            cholesky(sigma, root)
            invert_lower(root, noised[j])
            cholesky(precision, root)
            invert_lower(root, gains[j])
    else:
        flat, flat_noised, flat_gains = factors.reshape(-1), noised.reshape(-1), gains.reshape(-1)
        for p in range(flat.shape[0]):
            f = flat[p]
            flat_noised[p] = f / math.sqrt(1.0 + variance * f * f)
            flat_gains[p] = 1.0 / math.sqrt(f * f + 1.0 / variance)


@kernel_part
def write_echelon_root(matrix, most, out):
    """Write R with R R' = matrix into `out`, a column for every pivot; return how many there are.

    Shapes: matrix (D, D), positive semidefinite, lower triangle read, of rank `most` at most;
    out (D, D), of which the first columns are written.
    """
    used = 0
    for a in range(matrix.shape[0]):
        total = matrix[a, a]
        for c in range(used):
            total -= out[a, c] * out[a, c]
        if used < most and total > SMALLEST_PIVOT * matrix[a, a]:
            root = math.sqrt(total)
            for b in range(matrix.shape[0]):
                value = 0.0
                if b >= a:
                    value = matrix[b, a]
                    for c in range(used):
                        value -= out[a, c] * out[b, c]
                out[b, used] = value / root
            used += 1
    return used


@kernel_part
def draw_clean_matrices(gains, noise, counts, first, second, work, rng):
    """Do the work of `draw_clean_moments` where covariances are matrices.

    Shapes: gains (K, D, D); second (K, D, D) or (1, D, D); the others as there.
    """
    n_components, n_features = first.shape
    scatter, root, white, line = work[0], work[1], work[2, 0], work[3, 0]
    n_groups, inverse = second.shape[0], 1.0 / (noise * noise)
    for s in range(n_groups):
        begin, end = (s, s + 1) if n_groups == n_components else (0, n_components)
        left = 0
        for j in range(begin, end):
            left += int(counts[j]) - 1 if counts[j] > 0.0 else 0
        for a in range(n_features):
            for b in range(a + 1):
                total = second[s, a, b]
                for j in range(begin, end):
                    total -= first[j, a] * (first[j, b] / max(counts[j], 1.0))
                scatter[a, b] = total
                second[s, a, b] = 0.0
        n_lines = min(n_features, left)
        n_used = write_echelon_root(scatter, n_lines, root)
        rest = left - n_lines
        # Lines of the sums first, then those of the scatter, then Bartlett's.
        for c in range(begin - end, n_lines + min(n_features, rest)):
            j = end + c if c < 0 else begin
            if c < 0 and counts[j] == 0.0:
                continue
            size, corner = math.sqrt(counts[j]), c - n_lines
            for a in range(n_features):
                if c < 0:
                    line[a] = first[j, a] / size
                else:
                    line[a] = root[a, c] if c < n_used else 0.0
            for a in range(n_features):
                if corner < a or corner < 0:
                    white[a] = rng.standard_normal()
                elif corner == a:
                    white[a] = math.sqrt(2.0 * draw_gamma(0.5 * (rest - corner), rng))
                else:
                    white[a] = 0.0
                for b in range(a + 1):
                    white[a] += inverse * gains[j, a, b] * line[b]
            for a in range(n_features):
                line[a] = 0.0
                for b in range(a, n_features):
                    line[a] += gains[j, b, a] * white[b]
                if c < 0:
                    first[j, a] = size * line[a]
            for a in range(n_features):
                for b in range(a + 1):
                    second[s, a, b] += line[a] * line[b]


@kernel
def draw_clean_moments(gains, noise, counts, first, second, work, rng):
    """Replace the moments of noised rows by those of clean rows, drawn given the noised ones.

    Shapes: gains of `write_noised`; counts (K,), whole numbers; first (K, D) and second moments
    about the components' means as in `allocation.add_allocated`; work (4, D, D) scratch.
    Equation: a clean row of a component is u - m = G'(H (x - m) + z), H = G / noise^2 and z standard
    normal. Rotate the rows of which a second moment consists so that one line holds the sum of each
    component, at most D others the scatter about their means, and the rest nothing: the z are still
    standard normals, and those of the rest have a Wishart sum of products, which is drawn by
    Bartlett's decomposition. A variance has chi-square draws in its place.
    """
    if gains.ndim == 3:
        draw_clean_matrices(gains, noise, counts, first, second, work, rng)
    else:
        n_features, n_second, line = first.shape[1], second.shape[1], work[0, 0]
        flat, inverse = gains.reshape(-1), 1.0 / (noise * noise)
        per_component = flat.shape[0] // counts.shape[0]
        for j in range(counts.shape[0]):
            n = counts[j]
            if n > 0.0:
                for a in range(n_features):
                    gain = flat[j * per_component + min(a, per_component - 1)]
                    mean = first[j, a] / math.sqrt(n)
                    line[a] = gain * (inverse * gain * mean + rng.standard_normal())
                    first[j, a] = math.sqrt(n) * line[a]
                    if n_second > 0:
                        second[j, min(a, n_second - 1)] -= mean * mean
                for e in range(n_second):
                    gain, n_lines = flat[j * per_component + e], (n - 1.0) * (n_features // n_second)
                    total = 0.0
                    if n_lines > 0.0:
                        root = math.sqrt(max(second[j, e], 0.0))
                        total += (inverse * gain * root + rng.standard_normal()) ** 2
                    if n_lines > 1.0:
                        total += 2.0 * draw_gamma(0.5 * (n_lines - 1.0), rng)
                    second[j, e] = gain * gain * total
                for a in range(n_features if n_second > 0 else 0):
                    second[j, min(a, n_second - 1)] += line[a] * line[a]
