"""The naive twins of the kernels of diffusion: plain NumPy, written for reading."""

import math

import numpy as np
import reference
import targets
from numpy.polynomial.hermite_e import hermeval

from diffgmm.kernels.bundles import Rows

HERMITE = tuple(
    lambda u, k=k: hermeval(u, np.eye(k + 1)[k]) / math.sqrt(math.factorial(k)) for k in range(6)
)


def exponents(n_features, n_outputs):
    """Return the exponents (p, D) of the polynomials, in the order of the kernels."""
    return targets.products(n_features, 5 if n_features < 6 else 2)[:n_outputs]


def hermite(u, n_outputs):
    """Return the first p orthonormal Hermite products of rows u (N, D), (N, p)."""
    columns = [
        math.prod(HERMITE[k](u[:, a]) for a, k in enumerate(own))
        for own in exponents(u.shape[1], n_outputs)
    ]
    return np.stack(columns, axis=1)


def white(y, components):
    """Return the whitened coordinates of rows y (N, D), (K, N, D)."""
    d = y.shape[1]
    return np.stack(
        [
            (y - mean) @ reference.whitening(factor, d).T
            for mean, factor in zip(components.means, components.factors, strict=True)
        ]
    )


def gates(y, components):
    """Return p(component | y), (N, K)."""
    d = y.shape[1]
    return reference.responsibilities(Rows(y, np.zeros(d), np.ones(d), np.zeros(0)), components)


def features(y, components, n_outputs):
    """Return p(j | y) phi_q(u_j) of rows y with u clipped to [-4, 4], (N, K, p)."""
    u = np.clip(white(y, components), -4.0, 4.0)
    phi = np.stack([hermite(own, n_outputs) for own in u], axis=1)
    return gates(y, components)[:, :, None] * phi


def pull(y, components, pulls):
    """Return sum_j p(j | y) pull_j u_j, (N, D)."""
    share = gates(y, components)
    terms = [
        share[:, j, None] * (u @ reference.whitening(pulls[j], y.shape[1]).T)
        for j, u in enumerate(white(y, components))
    ]
    return np.sum(terms, axis=0)


def residual(y, components, polynomials):
    """Return sum_j p(j | y) B_j phi(u_j) for polynomials (K, D, p), (N, D)."""
    return np.einsum("njp,jap->na", features(y, components, polynomials.shape[2]), polynomials)


def noised(rows, order, noise, level):
    """Yield noised rows and targets of every noise sign: y (n, D), t (n, D)."""
    x = reference.rows_seen(rows)[order]
    for xi in noise:
        for sign in (1.0, -1.0):
            y = x + sign * level.sigma * xi.T
            yield y, -sign * xi.T + pull(y, level.components, level.pulls)


def weights(rows, order):
    """Return the weights of rows, (n,)."""
    return rows.weights[order] if len(rows.weights) else np.ones(len(order))


def normal_equations(rows, order, noise, level, n_outputs):
    """Return sum w f f' (P, P), sum w t f' (D, P) and sum w |t|^2."""
    gram, right, energy = 0.0, 0.0, 0.0
    w = weights(rows, order)[:, None]
    for y, t in noised(rows, order, noise, level):
        f = features(y, level.components, n_outputs).reshape(len(y), -1)
        gram, right = gram + f.T @ (w * f), right + t.T @ (w * f)
        energy += np.sum(w * t**2)
    return gram, right, energy


def gains(rows, order, noise, level, polynomials):
    """Return weighted sums of gain, gain^2, responsibility, responsibility^2, (4, K)."""
    total, share = 0.0, 0.0
    for y, t in noised(rows, order, noise, level):
        r = residual(y, level.components, polynomials)
        won = np.sum(t**2 - (t - r) ** 2, axis=1)
        own = gates(y, level.components)
        total, share = total + own * won[:, None], share + own
    total, share = total / (2 * len(noise)), share / (2 * len(noise))
    return np.array([weights(rows, order) @ each for each in (total, total**2, share, share**2)])


def picks(probabilities, uniform):
    """Return the component that each uniform number picks, (N,)."""
    cumulative = np.cumsum(probabilities, axis=1)
    return (cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(axis=1)


def mixture_draws(weights, means, roots, uniform, noise):
    """Return draws of sum_j w_j N(m_j, T_j T_j'), (N, D)."""
    d = means.shape[1]
    chosen = picks(np.broadcast_to(weights, (len(uniform), len(weights))), uniform)
    return np.stack(
        [
            means[j] + reference.whitening(roots[j], d) @ xi
            for j, xi in zip(chosen, noise.T, strict=True)
        ]
    )


def reverse_step(draws, uniform, noise, step):
    """Return draws (N, D) after one reverse step."""
    d = draws.shape[1]
    u = white(draws, step.components)
    chosen = picks(gates(draws, step.components), uniform)
    moved = np.stack(
        [
            step.components.means[j]
            + reference.whitening(step.gains[j], d) @ u[j, i]
            + reference.whitening(step.roots[j], d) @ noise[:, i]
            for i, j in enumerate(chosen)
        ]
    )
    if step.shifts.shape[2]:
        moved = moved + residual(draws, step.components, step.shifts)
    return moved
