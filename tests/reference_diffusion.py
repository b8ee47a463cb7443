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
    """Return p(j | y) phi_q(u_j) of rows y with u clipped to [-3, 3], (N, K, p)."""
    u = np.clip(white(y, components), -3.0, 3.0)
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


def noised_parts(mixture, y, sigma):
    """Return responsibilities (N, K), S_k^-1 (m_k - y) (K, N, D) and S_k^-1 (K, D, D) at a level."""
    precisions = np.linalg.inv(mixture.covariances + sigma**2 * np.eye(mixture.n_features))
    share = mixture.noised(sigma).responsibilities(y)
    pulls = np.einsum("kab,knb->kna", precisions, mixture.means[:, None] - y)
    return share, pulls, precisions


def mixture_jacobian(mixture, y, sigma):
    """Return the Hessian of the log density of a noised mixture, (N, D, D)."""
    share, pulls, precisions = noised_parts(mixture, y, sigma)
    mean = np.einsum("nk,kna->na", share, pulls)
    inner = np.einsum("nk,kna,knb->nab", share, pulls, pulls)
    return inner - np.einsum("nk,kab->nab", share, precisions) - mean[:, :, None] * mean[:, None]


def reverse_moments(mixture, y, a, b, axes):
    """Return mean (N, D), covariance (N, D, D) and third cumulant along axes (N, D) of x_b given y.

    Of the exact kernel sum_k p(k | y) N(m_k + G_k (y - m_k), (a^2 - b^2) G_k), G_k = S_b S_a^-1.
    """
    d = mixture.n_features
    share, _, precisions = noised_parts(mixture, y, a)
    gains = (mixture.covariances + b**2 * np.eye(d)) @ precisions
    steps = np.einsum("kab,knb->kna", gains, y - mixture.means[:, None])
    centres, spreads = mixture.means[:, None] + steps, (a**2 - b**2) * gains
    mean = np.einsum("nk,kna->na", share, centres)
    away = centres - mean
    covariance = np.einsum("nk,kna,knb->nab", share, away, away)
    covariance += np.einsum("nk,kab->nab", share, spreads)
    along = np.einsum("kna,na->kn", away, axes)
    width = np.einsum("na,kab,nb->kn", axes, spreads, axes)
    return mean, covariance, np.einsum("nk,kn->n", share, along**3 + 3.0 * along * width)


def cumulative(mixture, x, sigma=0.0):
    """Return the distribution function of a noised mixture on a line at x (N,)."""
    from scipy.stats import norm

    spreads = np.sqrt(mixture.covariances[:, 0, 0] + sigma**2)
    parts = zip(mixture.weights, mixture.means[:, 0], spreads, strict=True)
    return sum(w * norm.cdf((x - m) / s) for w, m, s in parts)


def z_on_a_line(mixture, draws):
    """Return z of the distribution function at six points, draws being independent."""
    points = np.quantile(mixture.sample(4000, 1)[:, 0], [0.02, 0.15, 0.35, 0.6, 0.85, 0.98])
    expected = cumulative(mixture, points)
    seen = (draws[:, :1] <= points).mean(axis=0)
    return (seen - expected) / np.sqrt(expected * (1.0 - expected) / len(draws))
