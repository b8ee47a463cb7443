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
from typing import NamedTuple

import numpy as np

from ._compile import kernel
from .allocation import LOG_2PI
from .conjugate import cholesky, draw_from_precision, draw_gamma, draw_whitening, invert_lower, write_precision

# Kinds of covariances: their numbers of different variances and correlations.
KNOWN, SPHERICAL, DIAG, FULL = 0, 1, 2, 3


class Groups(NamedTuple):
    """Statistics and covariances of M groups of rows.

    counts : (M,).   centres : (M, D) means of the rows.   scatter : (M, D, D) lower triangles about them.
    factors : (M, D, D) whitening factors of the covariances.
    inverses : (M, D, D) inverse Cholesky factors of 2 C0 + scatter, diagonal where the family is, known
    covariances' whitening factors.   log_dets : (M,) of 2 C0 + scatter, or of known covariances.
    """

    counts: np.ndarray
    centres: np.ndarray
    scatter: np.ndarray
    factors: np.ndarray
    inverses: np.ndarray
    log_dets: np.ndarray
    terms: np.ndarray


class GroupPrior(NamedTuple):
    """What the density of a group needs of the prior, C0 included.

    kind : one of the constants above.   df : 2 c0.   scale : 2 C0 (D, D).
    mean, mean_precision : (D,) m0, (D, D) B0^-1.   log_det_root : of B0^-1, halved.
    outer : (1, D, D) whitening factor of a typical row of a group without rows.
    log_constant : log of the constant of the covariance's density.   work : (4, D, D).
    """

    kind: int
    df: float
    scale: np.ndarray
    mean: np.ndarray
    mean_precision: np.ndarray
    log_det_root: float
    outer: np.ndarray
    log_outer: float
    log_constant: float
    work: np.ndarray


@kernel
def new_groups(n, n_features):
    """Return room for n groups."""
    d = n_features
    return Groups(
        np.zeros(n), np.zeros((n, d)), np.zeros((n, d, d)), np.zeros((n, d, d)), np.zeros((n, d, d)), np.zeros(n), np.zeros((n, 2))
    )


@kernel
def shape_of(prior, n):
    """Return the degrees of freedom of each variance, and how many variances there are, given n rows.

    """
    rows = max(n - 1.0, 0.0)
    return prior.df + rows * (prior.mean.shape[0] if prior.kind == SPHERICAL else 1.0)


@kernel
def log_constant(prior, df, log_det):
    """Return the log of |Psi|^(df / 2) / (2^(df D / 2) Gamma_D(df / 2)), pi apart, for the kind.

    A variance has invgamma(df / 2, psi / 2), psi the entry of Psi.
    """
    d = prior.mean.shape[0]
    if prior.kind == KNOWN:
        return 0.0
    value = 0.5 * df * log_det
    if prior.kind == SPHERICAL:
        return value - 0.5 * df * math.log(2.0) - math.lgamma(0.5 * df)
    value -= 0.5 * df * d * math.log(2.0)
    for a in range(d):
        value -= math.lgamma(0.5 * (df - a if prior.kind == FULL else df))
    return value


@kernel
def predictive_constant(prior, n, log_det, inside):
    """Return the part of `log_predictive` that rows share, given n other rows."""
    d = prior.mean.shape[0]
    if n <= 0.0:
        return prior.log_outer
    total = math.log(n + 1.0) - 0.5 * d * (LOG_2PI + math.log((n + 1.0) / n))
    if prior.kind == KNOWN:
        return total - 0.5 * log_det
    before, after = shape_of(prior, n), shape_of(prior, n + 1.0)
    total += 0.5 * d * math.log(2.0) + 0.5 * (before - after) * log_det
    if prior.kind == FULL:
        # the other terms of the multivariate gamma functions cancel
        return total + math.lgamma(0.5 * after) - math.lgamma(0.5 * (after - d))
    own = math.lgamma(0.5 * after) - math.lgamma(0.5 * before)
    return total + own * (d if prior.kind == DIAG else 1.0)


@kernel
def refresh(prior, groups, j):
    """Write `inverses` and `log_dets` of group j."""
    d, work = prior.mean.shape[0], prior.work
    total = 0.0
    if prior.kind == FULL:
        for a in range(d):
            for b in range(a + 1):
                work[0, a, b] = prior.scale[a, b] + groups.scatter[j, a, b]
        cholesky(work[0], work[0])
        invert_lower(work[0], groups.inverses[j])
        for a in range(d):
            total += math.log(work[0, a, a])
        total *= 2.0
    elif prior.kind == KNOWN:
        for a in range(d):
            for b in range(a + 1):
                groups.inverses[j, a, b] = groups.factors[j, a, b]
            total -= 2.0 * math.log(groups.factors[j, a, a])
    else:
        trace = 0.0
        for a in range(d):
            trace += groups.scatter[j, a, a]
        for a in range(d):
            own = prior.scale[a, a] + (groups.scatter[j, a, a] if prior.kind == DIAG else trace)
            groups.inverses[j, a, a] = 1.0 / math.sqrt(own)
            total = math.log(own) + (total if prior.kind == DIAG else 0.0)
    groups.log_dets[j] = total
    groups.terms[j, 0] = predictive_constant(prior, groups.counts[j], total, False)
    groups.terms[j, 1] = predictive_constant(prior, groups.counts[j] - 1.0, total, True)


@kernel
def draw_factor(prior, groups, j, rng):
    """Draw covariance j from q given the statistics, from its prior without rows; known ones stay."""
    d, work = prior.mean.shape[0], prior.work
    df = shape_of(prior, groups.counts[j])
    if prior.kind == FULL:
        for a in range(d):
            for b in range(a + 1):
                work[2, a, b] = prior.scale[a, b] + groups.scatter[j, a, b]
        draw_whitening(df, work[2], rng, work, groups.factors[j])
    elif prior.kind != KNOWN:
        root = 0.0
        for a in range(d):
            if a == 0 or prior.kind == DIAG:
                root = math.sqrt(2.0 * draw_gamma(0.5 * df, rng))
            groups.factors[j, a, a] = root * groups.inverses[j, a, a]


@kernel
def log_weight(prior, groups, j):
    """Return log p(Sigma) p(rows | Sigma) / q(Sigma); of a known covariance log p(rows | Sigma)."""
    d, n, work = prior.mean.shape[0], groups.counts[j], prior.work
    if n == 0.0:
        return 0.0
    value = prior.log_constant - log_constant(prior, shape_of(prior, n), groups.log_dets[j])
    own, precision = work[2], work[3]
    write_precision(groups.factors, j, own)
    value += prior.log_det_root - 0.5 * d * n * LOG_2PI
    if prior.kind == KNOWN:
        value -= 0.5 * (n - 1.0) * groups.log_dets[j]
        for a in range(d):
            value -= 0.5 * own[a, a] * groups.scatter[j, a, a]
            for b in range(a):
                value -= own[a, b] * groups.scatter[j, a, b]
    for a in range(d):
        for b in range(a + 1):
            precision[a, b] = prior.mean_precision[a, b] + n * own[a, b]
    cholesky(precision, work[0])
    # (B0 + Sigma / n)^-1 = B0^-1 - B0^-1 (B0^-1 + n Sigma^-1)^-1 B0^-1
    line = work[1, 0]
    for a in range(d):
        value += math.log(groups.factors[j, a, a]) - math.log(work[0, a, a])
        e = 0.0
        for b in range(d):
            e += prior.mean_precision[a, b] * (groups.centres[j, b] - prior.mean[b])
        value -= 0.5 * e * (groups.centres[j, a] - prior.mean[a])
        for b in range(a):
            e -= work[0, a, b] * line[b]
        line[a] = e / work[0, a, a]
        value += 0.5 * line[a] * line[a]
    return value


@kernel
def distance(x, centre, roots, j):
    """Return |R_j (x - centre)|^2 for lower triangular R_j."""
    total = 0.0
    for a in range(x.shape[0]):
        value = 0.0
        for b in range(a + 1):
            value += roots[j, a, b] * (x[b] - centre[b])
        total += value * value
    return total


@kernel
def log_predictive(prior, groups, j, x, inside):
    """Return about the log density of a row, times n + 1, given the other n rows of group j.

    Shapes: x (D,); inside: whether x is in the group now.
    It is M(n + 1, S') / M(n, S), that of a flat prior of the mean.
    """
    d, kind = x.shape[0], prior.kind
    n = groups.counts[j] - (1.0 if inside else 0.0)
    if n <= 0.0:
        return prior.log_outer - 0.5 * distance(x, prior.mean, prior.outer, 0)
    ratio = (n + 1.0) / n if inside else n / (n + 1.0)
    signed = -ratio if inside else ratio
    growth, norm = 1.0, 0.0
    if kind == FULL or kind == KNOWN:
        norm = distance(x, groups.centres[j], groups.inverses, j)
    else:
        for a in range(d):
            value = groups.inverses[j, a, a] * (x[a] - groups.centres[j, a])
            norm += value * value
            growth *= max(1.0 + signed * value * value, 1e-12)
    constant = groups.terms[j, 1 if inside else 0]
    if kind == KNOWN:
        return constant - 0.5 * ratio * norm
    if kind != DIAG:
        growth = max(1.0 + signed * norm, 1e-12)
    df = shape_of(prior, n if inside else n + 1.0)
    return constant + (0.5 if inside else -0.5) * df * math.log(growth)


@kernel
def add_row(groups, j, x, sign):
    """Add row x (D,) to the statistics of group j, or take it away with the sign -1; see `refresh`."""
    n = groups.counts[j]
    after = n + sign
    groups.counts[j] = after
    share = sign / after if after > 0.0 else 0.0
    centre, scatter = groups.centres[j], groups.scatter[j]
    for a in range(x.shape[0]):
        own = x[a] - centre[a]
        for b in range(a + 1):
            change = n * share * own * (x[b] - centre[b])
            scatter[a, b] = scatter[a, b] + change if after > 0.0 else 0.0
    for a in range(x.shape[0]):
        centre[a] += share * (x[a] - centre[a])


@kernel
def forget(groups):
    """Set all statistics to 0; covariances stay."""
    for j in range(groups.counts.shape[0]):
        groups.counts[j] = 0.0
        for a in range(groups.centres.shape[1]):
            groups.centres[j, a] = 0.0
            for b in range(a + 1):
                groups.scatter[j, a, b] = 0.0


@kernel
def write_merged(prior, groups, a, b, out, j):
    """Write the rows of groups a and b together into group j of `out`, with the covariance of a."""
    n, m = groups.counts[a], groups.counts[b]
    share = m / (n + m) if m > 0.0 else 0.0
    copy_group(groups, a, out, j)
    out.counts[j] = n + m
    for f in range(prior.mean.shape[0]):
        one = groups.centres[b, f] - groups.centres[a, f]
        for g in range(f + 1):
            other = groups.centres[b, g] - groups.centres[a, g]
            out.scatter[j, f, g] += groups.scatter[b, f, g] + n * share * one * other
        out.centres[j, f] += share * one
    refresh(prior, out, j)


@kernel
def copy_group(source, i, target, j):
    """Copy group i of `source` to group j of `target`."""
    target.counts[j], target.log_dets[j] = source.counts[i], source.log_dets[i]
    target.terms[j, 0], target.terms[j, 1] = source.terms[i, 0], source.terms[i, 1]
    for a in range(source.centres.shape[1]):
        target.centres[j, a] = source.centres[i, a]
        for b in range(a + 1):
            target.scatter[j, a, b] = source.scatter[i, a, b]
            target.factors[j, a, b] = source.factors[i, a, b]
            target.inverses[j, a, b] = source.inverses[i, a, b]


@kernel
def widen(factors, matrices):
    """Write factors of a family as lower triangular matrices.

    Shapes: factors (K, D, D), (K, D) or (K,); matrices (K, D, D), whose other entries stay.
    """
    for j in range(matrices.shape[0]):
        for a in range(matrices.shape[1]):
            if factors.ndim == 3:
                for b in range(a + 1):
                    matrices[j, a, b] = factors[j, a, b]
            elif factors.ndim == 2:
                matrices[j, a, a] = factors[j, a]
            else:
                matrices[j, a, a] = factors[j]


@kernel
def narrow(matrices, factors):
    """Write lower triangular matrices as factors of a family: the inverse of `widen`."""
    for j in range(matrices.shape[0]):
        for a in range(matrices.shape[1]):
            if factors.ndim == 3:
                for b in range(a + 1):
                    factors[j, a, b] = matrices[j, a, b]
            elif factors.ndim == 2:
                factors[j, a] = matrices[j, a, a]
            else:
                factors[j] = matrices[j, a, a]


@kernel
def draw_mean(prior, groups, j, rng, out):
    """Draw the mean of group j given its rows and covariance into `out` (D,)."""
    n, work = groups.counts[j], prior.work
    own, precision, linear = work[2], work[3], work[0, 0]
    write_precision(groups.factors, j, own)
    for a in range(out.shape[0]):
        total = 0.0
        for b in range(out.shape[0]):
            precision[a, b] = prior.mean_precision[a, b] + n * own[a, b]
            total += prior.mean_precision[a, b] * prior.mean[b] + n * own[a, b] * groups.centres[j, b]
        linear[a] = total
    draw_from_precision(precision, linear, rng, work[1], out)


@kernel
def group_prior(prior, state):
    """Return what the densities of groups need of a prior and the C0 of a state.

    Shapes: prior ConjugatePrior; state ChainState.
    """
    n_components, d = state.means.shape
    work, scale, mean, outer = np.zeros((4, d, d)), np.zeros((d, d)), np.zeros(d), np.zeros((1, d, d))
    kind = KNOWN
    if state.scale.shape[0] > 0 and state.second.shape[0] == n_components:
        kind = state.factors.ndim
        for a in range(d):
            for b in range(d):
                if kind == FULL:
                    scale[a, b] = 2.0 * state.scale[a, b]
                elif a == b:
                    scale[a, b] = 2.0 * state.scale[min(a, state.scale.shape[0] - 1), 0]
    # m0 = B0 (B0^-1 m0), and a row of the prior: covariance B0 + 2 C0 / (2 c0)
    cholesky(prior.mean_precision, work[0])
    invert_lower(work[0], work[1])
    log_root, log_det = 0.0, 0.0
    for a in range(d):
        log_root += math.log(work[0, a, a])
        for b in range(d):
            total = 0.0
            for c in range(max(a, b), d):
                total += work[1, c, a] * work[1, c, b]
            mean[a] += total * prior.mean_linear[b]
            work[2, a, b] = total + (scale[a, b] / prior.covariance_df if kind != KNOWN else 0.0)
    cholesky(work[2], work[0])
    invert_lower(work[0], outer[0])
    log_outer = -0.5 * d * LOG_2PI
    for a in range(d):
        log_outer += math.log(outer[0, a, a])
    if kind != KNOWN:
        cholesky(scale, work[0])
        for a in range(d):
            log_det += 2.0 * math.log(work[0, a, a])
        if kind == SPHERICAL:
            log_det /= d
    nothing = GroupPrior(kind, prior.covariance_df, scale, mean, prior.mean_precision, log_root, outer, log_outer, 0.0, work)
    constant = log_constant(nothing, prior.covariance_df, log_det)
    return GroupPrior(kind, prior.covariance_df, scale, mean, prior.mean_precision, log_root, outer, log_outer, constant, work)
