"""Evidence and posterior of small one-feature mixtures, allocations enumerated, by quadrature."""

import itertools
from math import lgamma

import numpy as np
from scipy.special import logsumexp

# Nodes of the trapezoidal rule over log variances: the integrand is smooth and falls to 0 at both
# ends, so that the rule is exact to rounding.
LOG_VARIANCES = np.linspace(-12.0, 14.0, 2001)


def log_cluster(x, prior, noise=0.0):
    """Return log p(x) of rows x (n,) in one component, its mean and variance integrated out."""
    variance = np.exp(LOG_VARIANCES)
    c0, scale, b = prior.c0, float(prior.C0[0, 0]), float(prior.B0[0, 0])
    log_prior = c0 * np.log(scale) - lgamma(c0) - c0 * LOG_VARIANCES - scale / variance
    total, n, centred = variance + noise**2, len(x), x - float(prior.m0[0])
    log_lik = -0.5 * n * np.log(2.0 * np.pi * total) - 0.5 * np.log1p(n * b / total)
    square = np.square(centred).sum() - centred.sum() ** 2 * b / (total + n * b)
    log_lik = log_lik - 0.5 * square / total
    step = LOG_VARIANCES[1] - LOG_VARIANCES[0]
    return float(logsumexp(log_prior + log_lik) + np.log(step))


def log_allocations(x, prior, noise=0.0):
    """Return every allocation of rows to two components and its log joint density with the rows."""
    concentrations = prior.concentrations(2)
    cache, allocations, logs = {}, [], []
    for allocation in itertools.product((0, 1), repeat=len(x)):
        chosen = np.array(allocation, dtype=bool)
        total = lgamma(concentrations.sum()) - lgamma(concentrations.sum() + len(x))
        for own, a in ((~chosen, concentrations[0]), (chosen, concentrations[1])):
            key = tuple(own)
            if key not in cache:
                cache[key] = log_cluster(x[own], prior, noise) if own.any() else 0.0
            total += lgamma(a + own.sum()) - lgamma(a) + cache[key]
        allocations.append(chosen)
        logs.append(total)
    return np.array(allocations), np.array(logs)


def log_evidence(x, prior, k):
    """Return log p(x) for k = 1 or 2 components."""
    if k == 1:
        return log_cluster(x, prior)
    return float(logsumexp(log_allocations(x, prior)[1]))
