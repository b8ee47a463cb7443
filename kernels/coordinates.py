"""Coordinates of a mixture's parameters that have no bounds, and their prior.

In this order, P of them:

    log(w_j / w_K), j < K;   means;   of every different whitening factor W row by row
    log W_aa and W_ab / W_aa, b < a: log residual precisions and regressions of a feature on those
    before it; of variances log W alone.

C0 is integrated out of the prior where it is drawn.
"""

import math

import numpy as np

from ._compile import kernel
from .conjugate import SMALLEST_WEIGHT, cholesky, write_precision


@kernel
def write_coordinates(weights, means, factors, n_different, out):
    """Write the coordinates of parameters.

    Shapes: weights (K,); means (K, D); factors (K, D, D), (K, D) or (K,), of which the first
    n_different are free; out (P,).
    """
    n_components, n_features = means.shape
    p = 0
    for j in range(n_components - 1):
        out[p] = math.log(weights[j] / weights[n_components - 1])
        p += 1
    for j in range(n_components):
        for a in range(n_features):
            out[p] = means[j, a]
            p += 1
    for j in range(n_different):
        if factors.ndim == 3:
            for a in range(n_features):
                out[p] = np.log(factors[j, a, a])
                for b in range(a):
                    out[p + 1 + b] = factors[j, a, b] / factors[j, a, a]
                p += a + 1
        elif factors.ndim == 2:
            for a in range(n_features):
                out[p] = np.log(factors[j, a])
                p += 1
        else:
            out[p] = np.log(factors[j])
            p += 1


@kernel
def write_parameters(coordinates, n_different, weights, means, factors):
    """Write the parameters that have these coordinates; known factors stay as they are.

    Shapes: as in `write_coordinates`.
    """
    n_components, n_features = means.shape
    largest, total, p = 0.0, 0.0, 0
    for j in range(n_components - 1):
        largest = max(largest, coordinates[j])
    for j in range(n_components):
        own = coordinates[j] if j < n_components - 1 else 0.0
        weights[j] = max(math.exp(own - largest), SMALLEST_WEIGHT)
        total += weights[j]
    for j in range(n_components):
        weights[j] /= total
    p = n_components - 1
    for j in range(n_components):
        for a in range(n_features):
            means[j, a] = coordinates[p]
            p += 1
    for j in range(n_different):
        if factors.ndim == 3:
            for a in range(n_features):
                diagonal = np.exp(coordinates[p])  # infinite where too large, as plain Python, too
                for b in range(a):
                    factors[j, a, b] = coordinates[p + 1 + b] * diagonal
                factors[j, a, a] = diagonal
                for b in range(a + 1, n_features):
                    factors[j, a, b] = 0.0
                p += a + 1
        elif factors.ndim == 2:
            for a in range(n_features):
                factors[j, a] = np.exp(coordinates[p])
                p += 1
        else:
            factors[j] = np.exp(coordinates[p])
            p += 1
    if factors.ndim == 3:
        for j in range(n_different, n_components):
            if n_different > 0:
                for a in range(n_features):
                    for b in range(a + 1):
                        factors[j, a, b] = factors[0, a, b]
                    for b in range(a + 1, n_features):
                        factors[j, a, b] = 0.0


@kernel
def log_prior_of_spread(prior, scale, factors, n_different, work):
    """Return the log prior density of the covariances' coordinates, but for a constant.

    Shapes: scale C0; factors as in `write_coordinates`; work (5, D, D) scratch.
    Equations: with Q_k = W_k' W_k and nu = 2 c0, sum_ka (nu - D + 1 + 2 a) log W_kaa, a from 0,
    minus sum_k tr(C0 Q_k), or minus (g0 + M c0) log |G0 + sum_k Q_k| with C0 integrated out; for
    variances nu log W and C0 W^2, entry by entry.
    """
    n_features = work.shape[1]
    total, summed, own = 0.0, work[3], work[4]
    df = prior.covariance_df
    shape = 0.5 * (prior.hyper_df + n_different * df)
    drawn = prior.hyper_df > 0.0
    if factors.ndim == 3:
        for a in range(n_features):
            for b in range(n_features):
                summed[a, b] = prior.hyper_rate[a, b] if drawn else 0.0
        for j in range(n_different):
            write_precision(factors, j, own)
            for a in range(n_features):
                total += (df - n_features + 1.0 + 2.0 * a) * np.log(factors[j, a, a])
                for b in range(n_features):
                    summed[a, b] += own[a, b]
        if drawn:
            cholesky(summed, own)
            for a in range(n_features):
                total -= 2.0 * shape * np.log(own[a, a])
        else:
            for a in range(n_features):
                for b in range(n_features):
                    total -= scale[a, b] * summed[a, b]
    else:
        for a in range(scale.shape[0]):
            rate = prior.hyper_rate[a, a] if drawn else 0.0
            for j in range(n_different):
                if factors.ndim == 2:
                    f = factors[j, a]
                else:
                    f = factors[j]
                total += df * np.log(f)
                rate += f * f
            total -= shape * np.log(rate) if drawn else scale[a, 0] * rate
    return total


@kernel
def log_prior(prior, scale, weights, means, factors, n_different, work):
    """Return the log prior density of the coordinates, but for a constant.

    Shapes: as in `log_prior_of_spread` and `write_coordinates`.
    Equation: Dirichlet(e) has sum_j e_j log w_j, the Jacobian of log ratios included.
    """
    total = 0.0
    for j in range(weights.shape[0]):
        total += prior.concentration[j] * math.log(weights[j])
        for a in range(means.shape[1]):
            pull = prior.mean_linear[a]
            for b in range(means.shape[1]):
                pull -= 0.5 * prior.mean_precision[a, b] * means[j, b]
            total += pull * means[j, a]
    if n_different > 0:
        total += log_prior_of_spread(prior, scale, factors, n_different, work)
    return total
