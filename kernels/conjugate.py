"""Small matrices and the draws of conjugate families, in plain loops.

A covariance is kept as its whitening factor W, lower triangular with W'W = covariance^-1: it is
what densities need, and an inverse Wishart draw gives it without a factorisation of the draw.
"""

import math

from ._compile import kernel, kernel_part

# A pivot below this share of its diagonal entry is rounding: it is lifted, so that no draw is NaN.
SMALLEST_PIVOT = 1e-15

# Correlation of a mean with its last draw, given the rows of its component. A negative one lets
# means travel where components overlap and each sweep moves them a little: 1.4 times the effective
# draws of four overlapping components. Nearer to -1, squares of means would hardly change.
MEAN_SHARE = -0.5

# Weights stay above this, so that their logarithms are finite.
SMALLEST_WEIGHT = 1e-300


@kernel
def cholesky(matrix, out):
    """Write the lower Cholesky factor of `matrix`, of which the lower triangle is read, into `out`.

    Shapes: matrix, out (D, D); the upper triangle of `out` becomes 0. They may be one array.
    Returns how many pivots were lifted: 0 for a positive definite matrix.
    """
    d = matrix.shape[0]
    n_lifted = 0
    for a in range(d):
        for b in range(a + 1):
            total = matrix[a, b]
            for c in range(b):
                total -= out[a, c] * out[b, c]
            if a == b:
                lowest = SMALLEST_PIVOT * matrix[a, a]
                n_lifted += 0 if total > lowest else 1
                out[a, a] = math.sqrt(max(total, lowest))
            else:
                out[a, b] = total / out[b, b]
        for b in range(a + 1, d):
            out[a, b] = 0.0
    return n_lifted


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
    cholesky(scale, work[0])
    invert_lower(work[0], work[1])
    draw_whitening_from(df, work[1], rng, out)


@kernel
def draw_whitening_from(df, inverse, rng, out):
    """Write T L^-1 of `draw_whitening`, given L^-1.

    Shapes: inverse (D, D) lower triangular; out (D, D).
    """
    d = out.shape[0]
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
def overrelax(precision, linear, share, old, rng, work, out):
    """Write m + share (old - m) + sqrt(1 - share^2) e into `out`, m = P^-1 h, e ~ N(0, P^-1).

    Shapes: precision P (D, D), lower triangle read; linear h (D,), used as scratch; old, out
    (D,), which may be one array; work (D, D) scratch.
    Leaves N(m, P^-1) as it is: if `old` is a draw of it, so is `out`, and their correlation is
    `share`. Adler (1981), doi:10.1103/PhysRevD.23.2901.
    Equation: P = R R'; m + e = R'^-1 (R^-1 h + standard normals).
    """
    d = out.shape[0]
    noise = math.sqrt(1.0 - share * share)
    cholesky(precision, work)
    for a in range(d):
        total = linear[a]
        for b in range(a):
            total -= work[a, b] * linear[b]
        linear[a] = total / work[a, a]
    for a in range(d):
        linear[a] = (1.0 - share) * linear[a] + noise * rng.standard_normal()
    for a in range(d - 1, -1, -1):
        total = linear[a]
        for b in range(a + 1, d):
            total -= work[b, a] * linear[b]
        linear[a] = total / work[a, a]
    for a in range(d):
        out[a] = share * old[a] + linear[a]


@kernel
def draw_from_precision(precision, linear, rng, work, out):
    """Write a draw of N(P^-1 h, P^-1) into `out`.

    Shapes: precision P (D, D), lower triangle read; linear h (D,), used as scratch; work (D, D)
    scratch; out (D,).
    """
    for a in range(out.shape[0]):
        out[a] = 0.0
    overrelax(precision, linear, 0.0, out, rng, work, out)


@kernel
def write_precision(factors, j, out):
    """Write the precision W_j' W_j into `out`, both triangles.

    Shapes: factors (K, D, D), (K, D) or (K,); out (D, D).
    """
    n_features = out.shape[0]
    for a in range(n_features):
        for b in range(n_features):
            out[a, b] = 0.0
        if factors.ndim == 2:
            out[a, a] = factors[j, a] * factors[j, a]
        elif factors.ndim == 1:
            out[a, a] = factors[j] * factors[j]
    if factors.ndim == 3:
        for c in range(n_features):
            for a in range(c + 1):
                f = factors[j, c, a]
                for b in range(a + 1):
                    out[a, b] += f * factors[j, c, b]
        for a in range(n_features):
            for b in range(a):
                out[b, a] = out[a, b]


@kernel
def draw_covariance(df, scale, j, counts, second, work, rng, factors):
    """Draw covariance j given the rows of its component, or copy the one that components share.

    Shapes: scale, second and factors of one family; counts (K,); work (3, D, D) scratch.
    Equations: with df = 2 c0, n_j rows and S_j the second moments about the current mean,
    Sigma_j ~ invwishart(df + n_j, 2 C0 + S_j); shared, invwishart(df + N, 2 C0 + sum_j S_j);
    a variance of m features ~ invgamma((df + m n_j) / 2, C0 + S_j / 2).
    """
    n_components, n_features = counts.shape[0], work.shape[1]
    if factors.ndim == 3:
        if j < second.shape[0]:
            n = counts[j]
            if second.shape[0] < n_components:
                for other in range(1, n_components):
                    n += counts[other]
            matrix = work[2]
            for a in range(n_features):
                for b in range(a + 1):
                    matrix[a, b] = 2.0 * scale[a, b] + second[j, a, b]
            draw_whitening(df + n, matrix, rng, work, factors[j])
        else:
            for a in range(n_features):
                for b in range(n_features):
                    factors[j, a, b] = factors[0, a, b]
    else:
        for a in range(second.shape[1]):
            n = counts[j] * (n_features // second.shape[1])
            precision = draw_gamma(0.5 * (df + n), rng) / (scale[a, 0] + 0.5 * second[j, a])
            if factors.ndim == 2:
                factors[j, a] = math.sqrt(precision)
            else:
                factors[j] = math.sqrt(precision)


@kernel
def draw_scale(prior, state, work, root, rng):
    """Draw C0 given the covariances, unless it is fixed.

    Shapes: work (5, D, D), root (1, D, D) scratch; a slice of `work` would be another type of array.
    Equations: with precisions Q_k of M different covariances
    C0 ~ wishart(2 (g0 + M c0), (2 (G0 + sum_k Q_k))^-1); for variances entry by entry,
    C0_a ~ gamma(g0 + M c0) with the rate (G0 + sum_k Q_k)_aa.
    """
    own, rate = work[2], work[4]
    n_features = rate.shape[0]
    n_different = state.second.shape[0]
    if prior.hyper_df > 0.0:
        for a in range(n_features):
            for b in range(n_features):
                rate[a, b] = 2.0 * prior.hyper_rate[a, b]
        for j in range(n_different):
            write_precision(state.factors, j, own)
            for a in range(n_features):
                for b in range(n_features):
                    rate[a, b] += 2.0 * own[a, b]
        df = prior.hyper_df + n_different * prior.covariance_df
        if state.factors.ndim == 3:
            # A Wishart draw is the inverse of an inverse Wishart draw with the inverse scale.
            draw_whitening(df, rate, rng, work, root[0])
            write_precision(root, 0, state.scale)
        else:
            for a in range(state.scale.shape[0]):
                state.scale[a, 0] = 2.0 * draw_gamma(0.5 * df, rng) / rate[a, a]


@kernel_part
def draw_components(prior, state, work, root, rng):
    """Draw covariances and means, then C0 unless it is fixed, given the statistics.

    Shapes: work (5, D, D), root (1, D, D) scratch.
    Equations: with precision Q_k = Sigma_k^-1, mean_k ~ N(P^-1 h, P^-1), overrelaxed, for
    P = B0^-1 + n_k Q_k and h = B0^-1 m0 + Q_k sum_i x_i.
    """
    n_components, n_features = state.means.shape
    own, precision = work[2], work[3]
    for j in range(n_components):
        n = state.counts[j]
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
        write_precision(state.factors, j, own)
        for a in range(n_features):
            total = prior.mean_linear[a]
            for b in range(n_features):
                total += own[a, b] * (state.first[j, b] + n * state.means[j, b])
                precision[a, b] = prior.mean_precision[a, b] + n * own[a, b]
            work[0, 0, a] = total
        overrelax(precision, work[0, 0], MEAN_SHARE, state.means[j], rng, work[1], state.means[j])
    draw_scale(prior, state, work, root, rng)
