"""Groups of rows with their means summed out, and very nearly their covariances, too.

Means have a normal prior and covariances an inverse Wishart prior of their own, so that the density
of a group of n rows has no closed form. Given its covariance it has: with the mean c of the rows and
their scatter S about it

    p(rows | Sigma) = (2 pi)^(-(n - 1) D / 2) n^(-D / 2) |Sigma|^(-(n - 1) / 2) exp(-tr(S Sigma^-1) / 2)
                      N(c; m0, B0 + Sigma / n)

All of it but the last factor, times the prior of Sigma, is a multiple of q(Sigma) =
invwishart(2 c0 + n - 1, 2 C0 + S). Sigma is drawn from q, and the weight

    p(Sigma) p(rows | Sigma) / q(Sigma) = M(n, S) N(c; m0, B0 + Sigma / n)

hardly varies with Sigma, as B0 is wide. Moves of rows between groups that draw Sigma anew from q are
accepted nearly as if it were summed out; they are exact however far they are from it. The same holds
for variances with inverse gamma priors. Covariances that are known or shared stay as they are: their
weight is p(rows | Sigma).

All families are seen as matrices here: a move touches few groups, and one code serves all.
"""

import math

from ._compile import kernel
from .allocation import LOG_2PI
from .conjugate import cholesky, draw_from_precision, draw_gamma, draw_whitening_from, invert_lower
from .group_prior import (
    DIAG,
    FULL,
    KNOWN,
    MEAN,
    OUTER,
    PRECISION,
    SCALE,
    WORK,
    log_constant,
    predictive_constant,
    shape_of,
)

# Entries of a group, an array (5 + 3 D, D): numbers at the start of lines 0 to 3, of lines the mean of the
# rows, of matrices their scatter about it, the whitening factor of the covariance, and the inverse
# Cholesky factor of 2 C0 + scatter (diagonal where the family is; of known covariances their own factor).
# One array on purpose: kernels with bundles of bundles of arrays take minutes to compile.
COUNT, LOG_DET, OUTSIDE, INSIDE, CENTRE, SCATTER = 0, 1, 2, 3, 4, 5


@kernel
def refresh(prior, groups, j):
    """Write `inverses` and `log_dets` of group j.

    Shapes: prior GroupPrior; groups (M, 5 + 3 D, D).
    """
    d, work = prior.matrices.shape[1], prior.matrices[WORK:]
    total = 0.0
    if prior.kind == FULL:
        for a in range(d):
            for b in range(a + 1):
                work[0, a, b] = prior.matrices[SCALE, a, b] + groups[j, SCATTER + a, b]
        cholesky(work[0], work[0])
        invert_lower(work[0], work[1])
        for a in range(d):
            total += math.log(work[0, a, a])
            for b in range(a + 1):
                groups[j, SCATTER + 2 * d + a, b] = work[1, a, b]
        total *= 2.0
    elif prior.kind == KNOWN:
        for a in range(d):
            for b in range(a + 1):
                groups[j, SCATTER + 2 * d + a, b] = groups[j, SCATTER + d + a, b]
            total -= 2.0 * math.log(groups[j, SCATTER + d + a, a])
    else:
        trace = 0.0
        for a in range(d):
            trace += groups[j, SCATTER + a, a]
        for a in range(d):
            own = prior.matrices[SCALE, a, a] + (groups[j, SCATTER + a, a] if prior.kind == DIAG else trace)
            groups[j, SCATTER + 2 * d + a, a] = 1.0 / math.sqrt(own)
            total = math.log(own) + (total if prior.kind == DIAG else 0.0)
    groups[j, LOG_DET, 0] = total
    groups[j, OUTSIDE, 0] = predictive_constant(prior, groups[j, COUNT, 0], total, False)
    groups[j, INSIDE, 0] = predictive_constant(prior, groups[j, COUNT, 0] - 1.0, total, True)


@kernel
def draw_factor(prior, groups, j, rng):
    """Draw covariance j from q given the statistics, from its prior without rows; known ones stay.

    Shapes: prior GroupPrior; groups (M, 5 + 3 D, D).
    Contract: after `refresh`.
    """
    d = prior.matrices.shape[1]
    df = shape_of(prior, groups[j, COUNT, 0])
    if prior.kind == FULL:
        inverse = groups[j, SCATTER + 2 * d : SCATTER + 3 * d]
        draw_whitening_from(df, inverse, rng, groups[j, SCATTER + d : SCATTER + 2 * d])
    elif prior.kind != KNOWN:
        root = 0.0
        for a in range(d):
            if a == 0 or prior.kind == DIAG:
                root = math.sqrt(2.0 * draw_gamma(0.5 * df, rng))
            groups[j, SCATTER + d + a, a] = root * groups[j, SCATTER + 2 * d + a, a]


@kernel
def write_precision_of(groups, j, out):
    """Write the precision of group j into `out` (D, D).

    Shapes: groups (M, 5 + 3 D, D); out (D, D).
    """
    d = out.shape[0]
    for a in range(d):
        for b in range(a + 1):
            total = 0.0
            for c in range(a, d):
                total += groups[j, SCATTER + d + c, a] * groups[j, SCATTER + d + c, b]
            out[a, b] = total
            out[b, a] = total


@kernel
def log_weight(prior, groups, j):
    """Return log p(Sigma) p(rows | Sigma) / q(Sigma); of a known covariance log p(rows | Sigma).

    Shapes: prior GroupPrior; groups (M, 5 + 3 D, D).
    """
    d, n, work = prior.matrices.shape[1], groups[j, COUNT, 0], prior.matrices[WORK:]
    if n == 0.0:
        return 0.0
    value = prior.log_constant - log_constant(prior, shape_of(prior, n), groups[j, LOG_DET, 0])
    own, precision = work[2], work[3]
    write_precision_of(groups, j, own)
    value += prior.log_root - 0.5 * d * n * LOG_2PI
    if prior.kind == KNOWN:
        value -= 0.5 * (n - 1.0) * groups[j, LOG_DET, 0]
        for a in range(d):
            value -= 0.5 * own[a, a] * groups[j, SCATTER + a, a]
            for b in range(a):
                value -= own[a, b] * groups[j, SCATTER + a, b]
    for a in range(d):
        for b in range(a + 1):
            precision[a, b] = prior.matrices[PRECISION, a, b] + n * own[a, b]
    cholesky(precision, work[0])
    # (B0 + Sigma / n)^-1 = B0^-1 - B0^-1 (B0^-1 + n Sigma^-1)^-1 B0^-1
    line = work[1, 0]
    for a in range(d):
        value += math.log(groups[j, SCATTER + d + a, a]) - math.log(work[0, a, a])
        e = 0.0
        for b in range(d):
            e += prior.matrices[PRECISION, a, b] * (groups[j, CENTRE, b] - prior.matrices[MEAN, 0, b])
        value -= 0.5 * e * (groups[j, CENTRE, a] - prior.matrices[MEAN, 0, a])
        for b in range(a):
            e -= work[0, a, b] * line[b]
        line[a] = e / work[0, a, a]
        value += 0.5 * line[a] * line[a]
    return value


@kernel
def distance(x, centre, matrices, j, line):
    """Return |R (x - centre)|^2; the lower triangular R begins in a line of matrix j.

    Shapes: x, centre (D,); matrices (M, L, D).
    """
    total = 0.0
    for a in range(x.shape[0]):
        value = 0.0
        for b in range(a + 1):
            value += matrices[j, line + a, b] * (x[b] - centre[b])
        total += value * value
    return total


@kernel
def log_predictive(prior, groups, j, x, inside):
    """Return about the log density of a row, times n + 1, given the other n rows of group j.

    Shapes: x (D,); inside: whether x is in the group now.
    It is M(n + 1, S') / M(n, S), that of a flat prior of the mean.
    """
    d, kind = x.shape[0], prior.kind
    n = groups[j, COUNT, 0] - (1.0 if inside else 0.0)
    if n <= 0.0:
        return prior.log_outer - 0.5 * distance(x, prior.matrices[MEAN, 0], prior.matrices, OUTER, 0)
    ratio = (n + 1.0) / n if inside else n / (n + 1.0)
    signed = -ratio if inside else ratio
    growth, norm = 1.0, 0.0
    if kind == FULL or kind == KNOWN:
        norm = distance(x, groups[j, CENTRE], groups, j, SCATTER + 2 * d)
    else:
        for a in range(d):
            value = groups[j, SCATTER + 2 * d + a, a] * (x[a] - groups[j, CENTRE, a])
            norm += value * value
            growth *= max(1.0 + signed * value * value, 1e-12)
    constant = groups[j, INSIDE if inside else OUTSIDE, 0]
    if kind == KNOWN:
        return constant - 0.5 * ratio * norm
    if kind != DIAG:
        growth = max(1.0 + signed * norm, 1e-12)
    df = shape_of(prior, n if inside else n + 1.0)
    return constant + (0.5 if inside else -0.5) * df * math.log(growth)


@kernel
def add_row(groups, j, x, sign):
    """Add row x (D,) to the statistics of group j, or take it away with the sign -1; see `refresh`.

    Shapes: groups (M, 5 + 3 D, D); x (D,).
    """
    n = groups[j, COUNT, 0]
    after = n + sign
    groups[j, COUNT, 0] = after
    share = sign / after if after > 0.0 else 0.0
    for a in range(x.shape[0]):
        own = x[a] - groups[j, CENTRE, a]
        for b in range(a + 1):
            change = n * share * own * (x[b] - groups[j, CENTRE, b])
            old = groups[j, SCATTER + a, b]
            groups[j, SCATTER + a, b] = old + change if after > 0.0 else 0.0
    for a in range(x.shape[0]):
        groups[j, CENTRE, a] += share * (x[a] - groups[j, CENTRE, a])


@kernel
def forget(groups, first, end):
    """Set the statistics of groups first .. end to 0; covariances stay.

    Shapes: groups (M, 5 + 3 D, D).
    """
    d = groups.shape[2]
    for j in range(first, end):
        groups[j, COUNT, 0] = 0.0
        for a in range(d):
            groups[j, CENTRE, a] = 0.0
            for b in range(d):
                groups[j, SCATTER + a, b] = 0.0


@kernel
def copy_group(groups, i, j):
    """Copy group i to group j.

    Shapes: groups (M, 5 + 3 D, D).
    """
    for a in range(groups.shape[1]):
        for b in range(groups.shape[2]):
            groups[j, a, b] = groups[i, a, b]


@kernel
def write_merged(prior, groups, a, b, j):
    """Write the rows of groups a and b together into group j, with the covariance of a.

    Shapes: prior GroupPrior; groups (M, 5 + 3 D, D).
    """
    n, m = groups[a, COUNT, 0], groups[b, COUNT, 0]
    share = m / (n + m) if m > 0.0 else 0.0
    copy_group(groups, a, j)
    groups[j, COUNT, 0] = n + m
    for f in range(groups.shape[2]):
        one = groups[b, CENTRE, f] - groups[a, CENTRE, f]
        for g in range(f + 1):
            other = groups[b, CENTRE, g] - groups[a, CENTRE, g]
            groups[j, SCATTER + f, g] += groups[b, SCATTER + f, g] + n * share * one * other
        groups[j, CENTRE, f] += share * one
    refresh(prior, groups, j)


@kernel
def draw_mean(prior, groups, j, rng, out):
    """Draw the mean of group j given its rows and covariance into `out` (D,).

    Shapes: prior GroupPrior; groups (M, 5 + 3 D, D); out (D,).
    """
    n, work = groups[j, COUNT, 0], prior.matrices[WORK:]
    own, precision, linear = work[2], work[3], work[0, 0]
    write_precision_of(groups, j, own)
    for a in range(out.shape[0]):
        total = 0.0
        for b in range(out.shape[0]):
            precision[a, b] = prior.matrices[PRECISION, a, b] + n * own[a, b]
            total += prior.matrices[PRECISION, a, b] * prior.matrices[MEAN, 0, b]
            total += n * own[a, b] * groups[j, CENTRE, b]
        linear[a] = total
    draw_from_precision(precision, linear, rng, work[1], out)
