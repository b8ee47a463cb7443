"""Small matrices and the draws of conjugate families, in plain loops.

A covariance is kept as its whitening factor W, lower triangular with W'W = covariance^-1: it is
what densities need, and an inverse Wishart draw gives it without a factorisation of the draw.
"""

import math

from ._compile import kernel

# A pivot below this share of its diagonal entry is rounding: it is lifted, so that no draw is NaN.
SMALLEST_PIVOT = 1e-15

# Weights stay above this, so that their logarithms are finite.
SMALLEST_WEIGHT = 1e-300


@kernel
def cholesky(matrix, out):
    """Write the lower Cholesky factor of `matrix`, of which the lower triangle is read, into `out`.

    Shapes: matrix, out (D, D); the upper triangle of `out` becomes 0. They may be one array.
    """
    d = matrix.shape[0]
    for a in range(d):
        for b in range(a + 1):
            total = matrix[a, b]
            for c in range(b):
                total -= out[a, c] * out[b, c]
            if a == b:
                out[a, a] = math.sqrt(max(total, SMALLEST_PIVOT * matrix[a, a]))
            else:
                out[a, b] = total / out[b, b]
        for b in range(a + 1, d):
            out[a, b] = 0.0


@kernel
def invert_lower(factor, out):
    """Write the inverse of a lower triangular matrix into `out`.

    Shapes: factor, out (D, D), two arrays; the upper triangle of `out` becomes 0.
    """
    d = factor.shape[0]
    for a in range(d):
        inverse = 1.0 / factor[a, a]
        for b in range(d):
            out[a, b] = 0.0
        out[a, a] = inverse
        for c in range(a):
            f = factor[a, c] * inverse
            for b in range(c + 1):
                out[a, b] -= f * out[c, b]


@kernel
def draw_gamma(shape, rng):
    """Return a draw of the gamma distribution with rate 1.

    Shapes: scalars.
    Equation: Marsaglia and Tsang (2000), doi:10.1145/358407.358414; for shape < 1 a draw of
    shape + 1 times U^(1 / shape).
    """
    boosted = shape if shape >= 1.0 else shape + 1.0
    d = boosted - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    value = 0.0
    while value == 0.0:
        x = rng.standard_normal()
        v = 1.0 + c * x
        u = rng.random()
        if v > 0.0:
            v = v * v * v
            if math.log(1.0 - u) < 0.5 * x * x + d * (1.0 - v + math.log(v)):
                value = d * v
    if shape < 1.0:
        value *= math.pow(1.0 - rng.random(), 1.0 / shape)
    return value


@kernel
def draw_weights(concentration, counts, rng, out):
    """Write a draw of Dirichlet(concentration + counts) into `out`, floored at 1e-300.

    Shapes: concentration, counts, out (K,).
    """
    total = 0.0
    for j in range(out.shape[0]):
        out[j] = draw_gamma(concentration[j] + counts[j], rng)
        total += out[j]
    for j in range(out.shape[0]):
        out[j] = max(out[j] / total, SMALLEST_WEIGHT)


@kernel
def draw_whitening(df, scale, rng, work, out):
    """Write the whitening factor of a draw of invwishart(df, scale) into `out`.

    Shapes: scale (D, D), lower triangle read; work (2, D, D) scratch; out (D, D).
    Equation: scale = L L' and T'T ~ wishart(df, I) with T lower triangular: Bartlett's
    decomposition from the last row upwards, T_aa^2 ~ chi2(df - D + 1 + a), T_ab ~ N(0, 1) for
    b < a. The covariance L (T'T)^-1 L' has the whitening factor T L^-1.
    """
    d = out.shape[0]
    inverse = work[1]
    cholesky(scale, work[0])
    invert_lower(work[0], inverse)
    for a in range(d):
        for b in range(d):
            out[a, b] = 0.0
        for c in range(a + 1):
            if c < a:
                t = rng.standard_normal()
            else:
                t = math.sqrt(2.0 * draw_gamma(0.5 * (df - d + 1 + a), rng))
            for b in range(c + 1):
                out[a, b] += t * inverse[c, b]


@kernel
def draw_from_precision(precision, linear, rng, work, out):
    """Write a draw of N(P^-1 h, P^-1) into `out`.

    Shapes: precision P (D, D), lower triangle read; linear h (D,); work (D, D) scratch; out (D,),
    which may be `linear`.
    Equation: P = R R'; out = R'^-1 (R^-1 h + standard normals).
    """
    d = out.shape[0]
    cholesky(precision, work)
    for a in range(d):
        total = linear[a]
        for b in range(a):
            total -= work[a, b] * out[b]
        out[a] = total / work[a, a]
    for a in range(d):
        out[a] += rng.standard_normal()
    for a in range(d - 1, -1, -1):
        total = out[a]
        for b in range(a + 1, d):
            total -= work[b, a] * out[b]
        out[a] = total / work[a, a]
