"""Log likelihood of rows as a function of a mixture's parameters, and its gradient, in one pass.

The gradient is closed form in the sufficient statistics of an EM pass: with r_ij the
responsibilities, n_j = sum_i r_ij, f_j = sum_i r_ij (x_i - m_j), S_j = sum_i r_ij (x_i - m_j)(x_i -
m_j)' and whitening factors W_j (W_j' W_j the precision)

    d / d log w_j = n_j,   d / d m_j = W_j' W_j f_j,   G_j = W_j S_j W_j' - n_j I,
    d / d L_j = tril(W_j' G_j)  for the Cholesky factor L_j = W_j^-1,
    d / d Sigma_j = W_j' G_j W_j / 2,   d / d T_j = (n_j Sigma_j - S_j) / 2  for the precision T_j,
    d / d s_ja = (S_jaa / s_ja^2 - n_j) / s_ja  for standard deviations.
"""

import math

import numpy as np

from ._compile import kernel
from .bundles import Components, Rows
from .conjugate import cholesky, invert_lower
from .gaussian import log_density
from .moments import expectation
from .score import mixture_score

LOG_2PI = math.log(2.0 * math.pi)

# What the matrices of a full covariance are.
CHOLESKY, COVARIANCE, PRECISION = 0, 1, 2


@kernel
def checked(values, log_weights, means, spread):
    """Return the four arrays, contiguous; ValueError where their sizes do not fit together.

    Shapes: as in `log_likelihoods`. Other kernels trust their arguments, but sizes of a PyMC model
    may change after it was built.
    """
    k, n_features = means.shape
    fit = values.shape[1] == n_features and log_weights.shape[0] == k and spread.shape[0] == k
    for a in range(1, spread.ndim):
        fit = fit and spread.shape[a] == n_features
    if not fit:
        raise ValueError("Rows (N, D), weights (K,), means (K, D) and spread must fit together.")
    return (
        np.ascontiguousarray(values),
        np.ascontiguousarray(log_weights),
        np.ascontiguousarray(means),
        np.ascontiguousarray(spread),
    )


@kernel
def write_factor(matrix, form, work, out):
    """Write the whitening factor of one full covariance; return whether it is positive definite.

    Shapes: matrix (D, D), lower triangle read; form an integer; work, out (D, D).
    Equation: for a precision T, J T J = C C' with J the reversal of features gives W = J C' J,
    which is lower triangular as the kernels want it.
    """
    d = matrix.shape[0]
    n_lifted = 0
    if form == CHOLESKY:
        for a in range(d):
            n_lifted += 0 if matrix[a, a] > 0.0 else 1
            for b in range(a + 1):
                work[a, b] = matrix[a, b]
    elif form == COVARIANCE:
        n_lifted = cholesky(matrix, work)
    else:
        for a in range(d):
            for b in range(a + 1):
                out[a, b] = matrix[d - 1 - b, d - 1 - a]
        n_lifted = cholesky(out, work)
    if n_lifted > 0:
        return False
    if form == PRECISION:
        for a in range(d):
            for b in range(d):
                out[a, b] = work[d - 1 - b, d - 1 - a] if b <= a else 0.0
    else:
        invert_lower(work, out)
    return True


@kernel
def write_components(log_weights, spread, form, work, constants, factors):
    """Write what densities need of the parameters; return whether all covariances are valid.

    Shapes: log_weights, constants (K,); spread, factors (K, D, D), or standard deviations (K, D) or
    (K,); work (3, D, D), its first matrix is scratch.
    """
    n_features = work.shape[1]
    for j in range(log_weights.shape[0]):
        constant = log_weights[j] - 0.5 * n_features * LOG_2PI
        if spread.ndim == 3:
            if not write_factor(spread[j], form, work[0], factors[j]):
                return False
            for a in range(n_features):
                constant += math.log(factors[j, a, a])
        elif spread.ndim == 2:
            for a in range(n_features):
                if not spread[j, a] > 0.0:
                    return False
                factors[j, a] = 1.0 / spread[j, a]
                constant += math.log(factors[j, a])
        else:
            if not spread[j] > 0.0:
                return False
            factors[j] = 1.0 / spread[j]
            constant += n_features * math.log(factors[j])
        constants[j] = constant
    return True


@kernel
def write_matrix_gradient(statistics, j, factor, form, work, gradient):
    """Add the derivatives by the mean and the matrix of component j.

    Shapes: statistics (counts (K,), first (K, D), second (K, D, D), lower triangles); factor
    (D, D); work (3, D, D) scratch; gradient (d_log_weights (K,), d_means (K, D), d_spread (K, D, D)).
    """
    counts, first, second = statistics
    _, d_means, d_spread = gradient
    d = factor.shape[0]
    for a in range(d):
        white = 0.0
        for b in range(a + 1):
            white += factor[a, b] * first[j, b]
            second[j, b, a] = second[j, a, b]
        for b in range(a + 1):
            d_means[j, b] += factor[a, b] * white
    if form == PRECISION:
        inverse = work[0]
        invert_lower(factor, inverse)
        for a in range(d):
            for b in range(d):
                covariance = 0.0
                for c in range(d):
                    covariance += inverse[a, c] * inverse[b, c]
                d_spread[j, a, b] += 0.5 * (counts[j] * covariance - second[j, a, b])
    else:
        half, middle = work[1], work[2]
        for a in range(d):
            for b in range(d):
                total = 0.0
                for c in range(a + 1):
                    total += factor[a, c] * second[j, c, b]
                half[a, b] = total
        for a in range(d):
            for b in range(d):
                total = -counts[j] if a == b else 0.0
                for c in range(b + 1):
                    total += half[a, c] * factor[b, c]
                middle[a, b] = total
        for a in range(d):
            for b in range(d):
                total = 0.0
                for c in range(a, d):
                    total += factor[c, a] * middle[c, b]
                half[a, b] = total
        for a in range(d):
            for b in range(d):
                if form == CHOLESKY:
                    d_spread[j, a, b] += half[a, b] if b <= a else 0.0
                else:
                    total = 0.0
                    for c in range(b, d):
                        total += half[a, c] * factor[c, b]
                    d_spread[j, a, b] += 0.5 * total


@kernel
def write_gradient(statistics, factors, form, work, gradient):
    """Add the derivatives by log weights, means and spread from an EM pass's statistics.

    Shapes: statistics (counts (K,), first (K, D), second (K, D, D), (K, D) or (K, 0)); factors
    (K, D, D), (K, D) or (K,); work (3, D, D) scratch; gradient (d_log_weights (K,), d_means (K, D),
    d_spread of the shape of factors). Without second moments nothing is added to d_spread.
    """
    counts, first, second = statistics
    d_log_weights, d_means, d_spread = gradient
    n_features = first.shape[1]
    for j in range(counts.shape[0]):
        d_log_weights[j] += counts[j]
        if factors.ndim == 3:
            write_matrix_gradient(statistics, j, factors[j], form, work, gradient)
        else:
            for a in range(n_features):
                if factors.ndim == 2:
                    f = factors[j, a]
                else:
                    f = factors[j]
                d_means[j, a] += f * f * first[j, a]
                if second.shape[1] > 0:
                    own = f * (f * f * second[j, a] - counts[j])
                    if factors.ndim == 2:
                        d_spread[j, a] += own
                    else:
                        d_spread[j] += own


@kernel
def log_likelihoods(values, log_weights, means, spread, form, out):
    """Write log p(x_i) of every row; -inf if a covariance is not positive definite.

    Shapes: values (N, D); log_weights (K,); means (K, D); spread (K, D, D), (K, D) or (K,);
    form an integer; out (N,).
    """
    n_rows, n_features = values.shape
    constants, factors = np.empty(log_weights.shape[0]), np.empty(spread.shape)
    work, nothing = np.empty((3, n_features, n_features)), np.empty(0)
    if write_components(log_weights, spread, form, work, constants, factors):
        rows = Rows(values, np.zeros(n_features), np.ones(n_features), nothing)
        log_density(rows, Components(constants, means, factors), 0, n_rows, out)
    else:
        for i in range(n_rows):
            out[i] = -np.inf


@kernel
def likelihood(values, row_weights, log_weights, means, spread, form, moments, gradient):
    """Return sum_i g_i log p(x_i) and add its gradient; -inf and nothing if that is not defined.

    Shapes: values (N, D); row_weights g >= 0 (N,), or (0,) for ones; log_weights (K,); means (K, D);
    spread (K, D, D), (K, D) or (K,); form an integer; moments, 0 to leave out the derivatives by
    standard deviations, which second moments cost; gradient (d_log_weights (K,), d_means (K, D),
    d_spread of the shape of spread).
    """
    n_rows, n_features = values.shape
    k = log_weights.shape[0]
    constants, factors = np.empty(k), np.empty(spread.shape)
    work = np.empty((3, n_features, n_features))
    if not write_components(log_weights, spread, form, work, constants, factors):
        return -np.inf
    rows = Rows(values, np.zeros(n_features), np.ones(n_features), row_weights)
    components = Components(constants, means, factors)
    if spread.ndim == 3:
        second = np.zeros((k, n_features, n_features))
    else:
        second = np.zeros((k, n_features if moments else 0))
    statistics = (np.zeros(k), np.zeros((k, n_features)), second)
    total = expectation(rows, components, 0, n_rows, statistics)
    write_gradient(statistics, factors, form, work, gradient)
    return total


@kernel
def signed_likelihood(values, row_weights, log_weights, means, spread, form, moments, gradient):
    """Return sum_i g_i log p(x_i) and add its gradient, as `likelihood`, for g of any sign.

    Shapes: as for `likelihood`; the gradient is zeros on entry.
    The statistics of an EM pass skip negligible counts, which negative weights would seem to be.
    """
    negative = False
    for i in range(row_weights.shape[0]):
        negative = negative or row_weights[i] < 0.0
    if not negative:
        return likelihood(values, row_weights, log_weights, means, spread, form, moments, gradient)
    d_log_weights, d_means, d_spread = gradient
    part = np.empty(row_weights.shape[0])
    for i in range(part.shape[0]):
        part[i] = max(-row_weights[i], 0.0)
    total = -likelihood(values, part, log_weights, means, spread, form, moments, gradient)
    for array in (d_log_weights.reshape(-1), d_means.reshape(-1), d_spread.reshape(-1)):
        for i in range(array.shape[0]):
            array[i] = -array[i]
    for i in range(part.shape[0]):
        part[i] = row_weights[i] if not row_weights[i] < 0.0 else 0.0
    return total + likelihood(values, part, log_weights, means, spread, form, moments, gradient)


@kernel
def scores(values, log_weights, means, spread, form, out):
    """Write the gradient of log p(x_i) by x_i of every row; zeros if that is not defined.

    Shapes: values, out (N, D); log_weights (K,); means (K, D); spread (K, D, D), (K, D) or (K,);
    form an integer.
    Equation: sum_j r_ij W_j' W_j (m_j - x_i).
    """
    n_rows, n_features = values.shape
    k = log_weights.shape[0]
    constants, factors = np.empty(k), np.empty(spread.shape)
    work = np.empty((3, n_features, n_features))
    if write_components(log_weights, spread, form, work, constants, factors):
        full = np.zeros((k, n_features, n_features))
        for j in range(k):
            for a in range(n_features):
                if spread.ndim == 3:
                    for b in range(a + 1):
                        full[j, a, b] = factors[j, a, b]
                elif spread.ndim == 2:
                    full[j, a, a] = factors[j, a]
                else:
                    full[j, a, a] = factors[j]
        rows = Rows(values, np.zeros(n_features), np.ones(n_features), np.empty(0))
        mixture_score(rows, Components(constants, means, full), 0, n_rows, out)
    else:
        for i in range(n_rows):
            for a in range(n_features):
                out[i, a] = 0.0
