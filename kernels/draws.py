"""Many draws of a mixture: whitening factors, densities at a few rows, new rows, one numbering for all.

One call runs through all draws: at a few rows a draw costs a microsecond, and Python would cost
more. Draws come as arrays with the draw first; a family is seen through the shape of its factors,
as in `gaussian`: (S, K, D, D), (S, K, D) or (S, K).
"""

import math

import numpy as np

from ._compile import BLOCK, aligned_blocks, kernel
from .bundles import Components
from .conjugate import cholesky, invert_lower
from .gaussian import exp_block, load_block, log_joint_block, normalise_block


@kernel
def whiten(covariances, asymmetry, factors, log_determinants):
    """Write whitening factors, return how many covariances are not symmetric positive definite.

    Shapes: covariances, factors (M, D, D); log_determinants (M,) of the covariances. Entries may
    differ from their mirror images by `asymmetry` times the largest entry of the matrix.
    """
    n_features = covariances.shape[1]
    root = np.empty((n_features, n_features))
    n_bad = 0
    for m in range(covariances.shape[0]):
        matrix = covariances[m]
        largest, worst = 0.0, 0.0
        for a in range(n_features):
            for b in range(a + 1):
                largest = max(largest, abs(matrix[a, b]))
                worst = max(worst, abs(matrix[a, b] - matrix[b, a]))
        n_lifted = cholesky(matrix, root)
        invert_lower(root, factors[m])
        log_determinants[m] = 0.0
        for a in range(n_features):
            log_determinants[m] += 2.0 * np.log(root[a, a])
        n_bad += 0 if n_lifted == 0 and worst <= asymmetry * largest else 1
    return n_bad


@kernel
def log_densities(rows, constants, means, factors, start, stop, out):
    """Write the log density of rows start .. stop under every draw into out[:, start:stop].

    Shapes: rows Rows of (N, D); constants (S, K) log weight + log |W| - D/2 log(2 pi);
    means (S, K, D); out (S, N).
    """
    n_components, n_features = means.shape[1:]
    scratch = aligned_blocks(n_features + n_components + 2)
    largest, sums = scratch[0], scratch[1]
    block, joint = scratch[2 : 2 + n_features], scratch[2 + n_features :]
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        load_block(rows, first, count, block)
        for s in range(means.shape[0]):
            log_joint_block(block, Components(constants[s], means[s], factors[s]), joint, largest)
            exp_block(joint, largest, sums)
            for i in range(count):
                out[s, first + i] = largest[i] + math.log(sums[i])


@kernel
def gains(rows, constants, means, factors, reference, out, table):
    """Write sum_i p(component j | row i) reference_li of every draw, or p itself.

    Shapes: rows Rows of (R, D); constants (S, K), means (S, K, D), factors as above; reference
    (K, R) or, without sums, (K, 0); out (S, K, K) or (0, K, K); table (S, K, R) or (0, K, R).
    """
    n_components, n_features = means.shape[1:]
    scratch = aligned_blocks(n_features + 2 * n_components + 2)
    largest, sums = scratch[0], scratch[1]
    block, rest = scratch[2 : 2 + n_features], scratch[2 + n_features :]
    joint, lines, n_rows = rest[:n_components], rest[n_components:], rows.values.shape[0]
    for first in range(0, n_rows, BLOCK):
        count = min(BLOCK, n_rows - first)
        load_block(rows, first, count, block)
        for j in range(n_components if out.shape[0] > 0 else 0):
            for i in range(BLOCK):
                lines[j, i] = reference[j, first + i] if i < count else 0.0
        for s in range(means.shape[0]):
            log_joint_block(block, Components(constants[s], means[s], factors[s]), joint, largest)
            exp_block(joint, largest, sums)
            normalise_block(joint, sums, count)
            for j in range(n_components):
                for k in range(n_components if out.shape[0] > 0 else 0):
                    total = 0.0 if first == 0 else out[s, j, k]
                    for i in range(BLOCK):
                        total += joint[j, i] * lines[k, i]
                    out[s, j, k] = total
                for i in range(count if table.shape[0] > 0 else 0):
                    table[s, j, first + i] = joint[j, i]


@kernel
def replicate(weights, means, covariances, n, start, stop, rng, out):
    """Write rows start .. stop of n rows of each mixture, one mixture after the other, into `out`.

    Shapes: weights (S, K), summing to 1; means (S, K, D); covariances (S, K, D, D); out (S n, D).
    """
    n_components, n_features = means.shape[1:]
    roots, normals = np.empty((n_components, n_features, n_features)), np.empty(n_features)
    s = -1
    for i in range(start, stop):
        if i // n != s:
            s = i // n
            for j in range(n_components):
                cholesky(covariances[s, j], roots[j])
        limit, running, own = rng.random(), 0.0, 0
        for j in range(n_components):
            if weights[s, j] > 0.0 and running <= limit:
                own = j
                running += weights[s, j]
        for a in range(n_features):
            normals[a] = rng.standard_normal()
            value = means[s, own, a]
            for b in range(a + 1):
                value += roots[own, a, b] * normals[b]
            out[i, a] = value


@kernel
def match(gain, order):
    """Write the component of each cluster, so that each draw's sum of gains is largest.

    Shapes: gain (S, K, K) of component j in cluster l; order (S, K).
    Shortest augmenting paths with dual prices: Jonker, Volgenant (1987), Computing 38, 325-340.
    Lines and columns are numbered from 1; column 0 holds the cluster that looks for a component.
    """
    k = gain.shape[1]
    line_price, price, slack = np.empty(k + 1), np.empty(k + 1), np.empty(k + 1)
    cluster, before = np.empty(k + 1, np.int64), np.empty(k + 1, np.int64)
    reached = np.empty(k + 1, np.bool_)
    for s in range(gain.shape[0]):
        for j in range(k + 1):
            line_price[j], price[j], cluster[j] = 0.0, 0.0, 0
        for new in range(1, k + 1):
            cluster[0] = new
            for j in range(k + 1):
                slack[j], reached[j], before[j] = np.inf, False, 0
            here = 0
            while True:
                reached[here] = True
                line, step, nearest = cluster[here], np.inf, 0
                for j in range(1, k + 1):
                    if not reached[j]:
                        distance = -gain[s, j - 1, line - 1] - line_price[line] - price[j]
                        if distance < slack[j]:
                            slack[j], before[j] = distance, here
                        # The first one whatever it is: no NaN can keep the search from ending.
                        if nearest == 0 or slack[j] < step:
                            step, nearest = slack[j], j
                for j in range(k + 1):
                    if reached[j]:
                        line_price[cluster[j]] += step
                        price[j] -= step
                    else:
                        slack[j] -= step
                here = nearest
                if cluster[here] == 0:
                    break
            while here != 0:
                cluster[here] = cluster[before[here]]
                here = before[here]
        for j in range(1, k + 1):
            order[s, cluster[j] - 1] = j - 1
