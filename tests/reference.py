"""The naive twins of the kernels and of the mixture: plain NumPy and SciPy, written for reading."""

import numpy as np
from scipy import special, stats

LOG_2PI = np.log(2.0 * np.pi)


def whitening(factor, n_features):
    """Return one component's whitening factor as a matrix (D, D), whatever its family."""
    factor = np.asarray(factor)
    if factor.ndim == 2:
        return factor
    return np.diag(np.broadcast_to(factor, n_features))


def rows_seen(rows):
    """Return the rows (N, D) as kernels see them."""
    return (rows.values.astype(float) - rows.shift) * rows.inverse_scale


def log_joint(rows, components):
    """Return log(weight_k) + log N(row; component k), (N, K)."""
    x = rows_seen(rows)
    columns = []
    for constant, mean, factor in zip(*components, strict=True):
        white = (x - mean) @ whitening(factor, x.shape[1]).T
        columns.append(constant - 0.5 * np.sum(white**2, axis=1))
    return np.stack(columns, axis=1)


def log_density(rows, components):
    """Return the log density of every row, (N,)."""
    return special.logsumexp(log_joint(rows, components), axis=1)


def responsibilities(rows, components):
    """Return p(component | row), (N, K); zeros where every component has density 0."""
    joint = log_joint(rows, components)
    largest = joint.max(axis=1, keepdims=True)
    density = np.exp(joint - np.where(np.isfinite(largest), largest, 0.0))
    total = density.sum(axis=1, keepdims=True)
    return density / np.where(total > 0.0, total, 1.0)


def row_weights(rows):
    """Return the row weights, (N,): ones when there are none."""
    return rows.weights if len(rows.weights) else np.ones(len(rows.values))


def moments(share, centred):
    """Return counts (K,), first (K, D) and second moments (K, D, D) of rows with shares (N, K).

    centred (K, N, D) are the rows minus each component's mean. Absolute values in, sums of the
    absolute terms out.
    """
    counts = share.sum(axis=0)
    first = np.einsum("ik,kia->ka", share, centred)
    second = np.einsum("ik,kia,kib->kab", share, centred, centred)
    return counts, first, second


def expectation(rows, components):
    """Return the log likelihood and the moments of one EM pass."""
    weights = row_weights(rows)
    density = log_density(rows, components)
    counted = weights > 0.0  # a row that does not count may have density 0
    total = np.sum(weights[counted] * density[counted])
    share = weights[:, None] * responsibilities(rows, components)
    return total, moments(share, rows_seen(rows) - components.means[:, None, :])


def expectation_sizes(rows, components):
    """Return the sums of the absolute terms of the moments of one EM pass."""
    share = row_weights(rows)[:, None] * responsibilities(rows, components)
    return moments(share, np.abs(rows_seen(rows) - components.means[:, None, :]))


def score_terms(rows, components):
    """Return -p(k | row) S_k^-1 (row - m_k) of every component of full covariance, (K, N, D)."""
    x, share = rows_seen(rows), responsibilities(rows, components)
    precisions = np.swapaxes(components.factors, 1, 2) @ components.factors
    return np.stack(
        [
            -share[:, k, None] * ((x - mean) @ precision)
            for k, (mean, precision) in enumerate(zip(components.means, precisions, strict=True))
        ]
    )


def mixture_log_joint(mixture, x, sigma=0.0):
    """Return log(weight_k) + log N(x; m_k, S_k + sigma^2 I) by SciPy, (N, K)."""
    noise = sigma**2 * np.eye(mixture.n_features)
    columns = []
    for weight, mean, covariance in zip(
        mixture.weights, mixture.means, mixture.covariances, strict=True
    ):
        density = stats.multivariate_normal(mean, covariance + noise).logpdf(x)
        with np.errstate(divide="ignore"):
            columns.append(np.log(weight) + np.reshape(density, len(x)))
    return np.stack(columns, axis=1)


def mixture_moments(mixture):
    """Return the mean (D,) and the covariance (D, D) of a mixture in closed form."""
    w, m, s = mixture.weights, mixture.means, mixture.covariances
    mean = w @ m
    raw = sum(w[k] * (s[k] + np.outer(m[k], m[k])) for k in range(len(w)))
    return mean, raw - np.outer(mean, mean)


def merged(weights, means, covariances):
    """Return weight, mean and full covariance of several components taken as one."""
    total = weights.sum()
    mean = sum(w * m for w, m in zip(weights, means, strict=True)) / total
    spread = sum(
        w * (s + np.outer(m - mean, m - mean))
        for w, m, s in zip(weights, means, covariances, strict=True)
    )
    return total, mean, spread / total
