"""How much components overlap: Bhattacharyya coefficients and probabilities of misclassification."""

import numpy as np

# Points of the sequence that stands for all but one direction: errors below 1e-3.
N_POINTS = 4096

# The log ratio of densities, in nats, when one of the weights is 0.
CERTAIN = 1e9

# Where a quadratic equation has no quadratic term: its far root becomes infinite.
TINY = 1e-300

# Components whose log ratio has no larger coefficients are one and the same.
SAME = 1e-12

# Uniform numbers nearer to 0 or 1 than this have no finite normal.
EDGE = 1e-15


def bhattacharyya(means: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Return the Bhattacharyya coefficient of every pair of components, 1 for equal ones.

    Parameters
    ----------
    means : ndarray, shape (S, K, D)
        Of S mixtures.
    covariances : ndarray, shape (S, K, D, D)

    Returns
    -------
    ndarray, shape (S, K, K)
        int sqrt(N_i N_j) = exp(-d/8) |M|^-1/2 (|S_i| |S_j|)^1/4, with M = (S_i + S_j) / 2 and
        d = (m_i - m_j)' M^-1 (m_i - m_j). No weights enter.

    References
    ----------
    Bhattacharyya (1943), Bulletin of the Calcutta Mathematical Society 35, 99-109.
    """
    n_mixtures, k, _ = means.shape
    out = np.ones((n_mixtures, k, k))
    log_det = np.linalg.slogdet(covariances)[1]
    for i in range(k):
        for j in range(i):
            middle = 0.5 * (covariances[:, i] + covariances[:, j])
            gap = means[:, i] - means[:, j]
            away = np.linalg.solve(middle, gap[..., None])[..., 0]
            exponent = -0.125 * np.einsum("sa,sa->s", gap, away)
            exponent -= 0.5 * np.linalg.slogdet(middle)[1]
            exponent += 0.25 * (log_det[:, i] + log_det[:, j])
            out[:, i, j] = out[:, j, i] = np.exp(exponent)
    return np.minimum(out, 1.0)


def misclassification(
    weights: np.ndarray,
    means: np.ndarray,
    covariances: np.ndarray,
    *,
    n_points: int = N_POINTS,
) -> np.ndarray:
    """Return P(w_i N_i(x) < w_j N_j(x)) for x from component i: MixSim's omega_(j|i).

    Parameters
    ----------
    weights : ndarray, shape (S, K)
        Of S mixtures.
    means : ndarray, shape (S, K, D)
    covariances : ndarray, shape (S, K, D, D)
    n_points : int, default 4096
        A power of 2. Errors are below 1e-3 with 4096 points, below 1e-2 with 256, and independent
        between mixtures, so that averages over draws have much smaller ones.

    Returns
    -------
    ndarray, shape (S, K, K)
        [s, i, j]; 0 on the diagonal, 0.5 for equal components of equal weight. The pairwise overlap
        of MixSim is omega + omega'.

    Notes
    -----
    The log ratio of the two densities is a quadratic form in independent normals. Along the
    direction with the largest variance the probability is exact, given the others; the others are
    averaged over a Sobol sequence, shifted at random for each mixture (always alike). Exact for
    D = 1, and for equal covariances.

    References
    ----------
    Maitra, Melnykov (2010), doi:10.1198/jcgs.2009.08054, theorem 1; Melnykov, Chen, Maitra (2012),
    MixSim, doi:10.18637/jss.v051.i12.
    """
    n_mixtures, k, d = means.shape
    roots = np.linalg.cholesky(covariances)
    log_det = np.log(np.diagonal(roots, axis1=-2, axis2=-1)).sum(axis=-1)
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)
    normals = _normal_points(n_mixtures, d - 1, n_points)
    out = np.zeros((n_mixtures, k, k))
    for j in range(k):
        whiten = np.linalg.inv(roots[:, j])
        for i in range(k):
            if i == j:
                continue
            turned, stretch, _ = np.linalg.svd(whiten @ roots[:, i])
            gap = np.einsum("sba,sbc,sc->sa", turned, whiten, means[:, i] - means[:, j])
            with np.errstate(invalid="ignore"):  # both weights 0: never told apart
                level = log_weights[:, i] - log_weights[:, j]
            level = np.nan_to_num(level, nan=0.0, posinf=CERTAIN, neginf=-CERTAIN)
            level = level + log_det[:, j] - log_det[:, i]
            out[:, i, j] = _below_zero(stretch, gap, level, normals)
    return out


def _normal_points(n_mixtures: int, n_dims: int, n_points: int) -> np.ndarray:
    """Return quasi-random standard normals (S, n, n_dims); one point for no dimension."""
    if n_dims == 0:
        return np.zeros((n_mixtures, 1, 0))
    from scipy.special import ndtri
    from scipy.stats import qmc

    points = qmc.Sobol(n_dims, scramble=False).random_base2(int(np.log2(n_points)))
    shifts = np.random.default_rng(0).random((n_mixtures, 1, n_dims))
    return ndtri(np.clip((points + shifts) % 1.0, EDGE, 1.0 - EDGE))


def _below_zero(
    stretch: np.ndarray, gap: np.ndarray, level: np.ndarray, normals: np.ndarray
) -> np.ndarray:
    """Return P(level + sum_l ((c_l z_l + e_l)^2 - z_l^2) / 2 < 0) for normal z, (S,)."""
    quadratic, linear = 0.5 * (stretch**2 - 1.0), stretch * gap
    order = np.argsort(-(2.0 * quadratic**2 + linear**2), axis=1, kind="stable")
    quadratic, linear = (np.take_along_axis(part, order, axis=1) for part in (quadratic, linear))
    level = level + 0.5 * np.square(gap).sum(axis=1)
    rest = np.einsum("sd,snd->sn", quadratic[:, 1:], np.square(normals))
    rest += level[:, None] + np.einsum("sd,snd->sn", linear[:, 1:], normals)
    below = _quadratic_below_zero(quadratic[:, :1], linear[:, :1], rest).mean(axis=1)
    coefficients = np.column_stack([quadratic, linear, level])
    return np.where(np.abs(coefficients).max(axis=1) < SAME, 0.5, below)


def _quadratic_below_zero(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return P(a z^2 + b z + c < 0) for a normal z."""
    from scipy.special import ndtr

    a = np.where(a == 0.0, TINY, a)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        inside = b * b - 4.0 * a * c
        # The root that does not cancel, and the other by Vieta's formula.
        q = -0.5 * (b + np.copysign(np.sqrt(np.maximum(inside, 0.0)), b))
        first, second = q / a, np.where(q == 0.0, 0.0, c / np.where(q == 0.0, 1.0, q))
    low, high = np.minimum(first, second), np.maximum(first, second)
    between = np.where(low > 0.0, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))
    between = np.where(inside > 0.0, between, 0.0)
    return np.where(a > 0.0, between, 1.0 - between)
