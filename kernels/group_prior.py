"""What densities of groups of rows need of the prior of a mixture; see `groups`."""

import math
from typing import NamedTuple

import numpy as np

from ._compile import kernel
from .allocation import LOG_2PI
from .conjugate import cholesky, invert_lower

# Kinds of covariances: their numbers of different variances and correlations.
KNOWN, SPHERICAL, DIAG, FULL = 0, 1, 2, 3

# Entries of `GroupPrior.matrices`; of m0 the first line counts.
MEAN, PRECISION, SCALE, OUTER, WORK = 0, 1, 2, 3, 4


# So many factors of a gamma function are multiplied, far from overflow: that takes a fifth of the time of lgamma.
MOST_FACTORS = 16


class GroupPrior(NamedTuple):
    """What the density of a group needs of the prior, C0 included.

    kind : one of the constants above.   df : 2 c0.
    log_root : half the log determinant of B0^-1.   log_outer : log density of a typical row of a group
    without rows at m0.   log_constant : log of the constant of a covariance's density.
    matrices : (8, D, D) m0, B0^-1, 2 C0, the whitening factor of a typical row, and four as scratch.
    """

    kind: int
    df: float
    log_root: float
    log_outer: float
    log_constant: float
    matrices: np.ndarray


@kernel
def shape_of(prior, n):
    """Return the degrees of freedom of a covariance given n rows, their mean summed out.

    Shapes: prior GroupPrior; scalars.
    """
    rows = max(n - 1.0, 0.0)
    return prior.df + rows * (prior.matrices.shape[1] if prior.kind == SPHERICAL else 1.0)


@kernel
def log_constant(prior, df, log_det):
    """Return the log of |Psi|^(df / 2) / (2^(df D / 2) Gamma_D(df / 2)), pi apart, for the kind.

    Shapes: prior GroupPrior.
    A variance has invgamma(df / 2, psi / 2), psi the entry of Psi.
    """
    d = prior.matrices.shape[1]
    if prior.kind == KNOWN:
        return 0.0
    value = 0.5 * df * log_det
    if prior.kind == SPHERICAL:
        return value - 0.5 * df * math.log(2.0) - math.lgamma(0.5 * df)
    value -= 0.5 * df * d * math.log(2.0)
    if prior.kind == DIAG:
        return value - d * math.lgamma(0.5 * df)
    for a in range(0, d - 1, 2):
        # Gamma(x) Gamma(x - 1/2) = 2^(2 - 2 x) sqrt(pi) Gamma(2 x - 1)
        value -= (2.0 - df + a) * math.log(2.0) + 0.5 * math.log(math.pi) + math.lgamma(df - a - 1.0)
    if d % 2 == 1:
        value -= math.lgamma(0.5 * (df - d + 1.0))
    return value


@kernel
def log_gamma_ratio(x, d):
    """Return log Gamma(x + d / 2) - log Gamma(x).

    Shapes: scalars.
    """
    n_steps = min(d // 2, MOST_FACTORS)
    product, top = 1.0, x + 0.5 * d
    for i in range(n_steps):
        product *= top - 1.0 - i
    value = math.log(product)
    if 2 * n_steps < d:
        value += math.lgamma(top - n_steps) - math.lgamma(x)
    return value


@kernel
def predictive_constant(prior, n, log_det, inside):
    """Return the part of `log_predictive` that rows share, given n other rows.

    Shapes: prior GroupPrior.
    """
    d = prior.matrices.shape[1]
    if n <= 0.0:
        return prior.log_outer
    total = math.log(n + 1.0) - 0.5 * d * (LOG_2PI + math.log((n + 1.0) / n))
    if prior.kind == KNOWN:
        return total - 0.5 * log_det
    before, after = shape_of(prior, n), shape_of(prior, n + 1.0)
    total += 0.5 * d * math.log(2.0) + 0.5 * (before - after) * log_det
    if prior.kind == FULL:
        # the other terms of the multivariate gamma functions cancel
        return total + log_gamma_ratio(0.5 * (after - d), d)
    own = math.lgamma(0.5 * after) - math.lgamma(0.5 * before)
    return total + own * (d if prior.kind == DIAG else 1.0)


@kernel
def group_prior(prior, state):
    """Return what the densities of groups need of a prior and the C0 of a state.

    Shapes: prior ConjugatePrior; state ChainState.
    """
    n_components, d = state.means.shape
    matrices = np.zeros((8, d, d))
    work = matrices[WORK:]
    kind, last = KNOWN, state.scale.shape[0] - 1
    if last >= 0 and state.second.shape[0] == n_components:
        kind = state.factors.ndim
    # m0 = B0 (B0^-1 m0); a typical row of the prior has the covariance B0 + 2 C0 / (2 c0)
    cholesky(prior.mean_precision, work[0])
    invert_lower(work[0], work[1])
    log_root, log_outer, log_det = 0.0, -0.5 * d * LOG_2PI, 0.0
    for a in range(d):
        log_root += math.log(work[0, a, a])
        for b in range(d):
            matrices[PRECISION, a, b] = prior.mean_precision[a, b]
            if kind == FULL:
                matrices[SCALE, a, b] = 2.0 * state.scale[a, b]
            elif kind != KNOWN and a == b:
                matrices[SCALE, a, b] = 2.0 * state.scale[min(a, last), 0]
            total = 0.0
            for c in range(max(a, b), d):
                total += work[1, c, a] * work[1, c, b]
            matrices[MEAN, 0, a] += total * prior.mean_linear[b]
            typical = matrices[SCALE, a, b] / prior.covariance_df if kind != KNOWN else 0.0
            work[2, a, b] = total + typical
    cholesky(work[2], work[0])
    invert_lower(work[0], matrices[OUTER])
    if kind != KNOWN:
        cholesky(matrices[SCALE], work[0])
    for a in range(d):
        log_outer += math.log(matrices[OUTER, a, a])
        if kind != KNOWN and (a == 0 or kind != SPHERICAL):
            log_det += 2.0 * math.log(work[0, a, a])
    df = prior.covariance_df
    without = GroupPrior(kind, df, log_root, log_outer, 0.0, matrices)
    constant = log_constant(without, df, log_det)
    return GroupPrior(kind, df, log_root, log_outer, constant, matrices)
