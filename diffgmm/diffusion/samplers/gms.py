"""Gaussian mixture solver: a reverse kernel of two Gaussians that matches three moments.

For a score without a mixture: only the score and its Jacobian are needed.
"""

import itertools

import numpy as np

from .standardised import StandardisedScore

# Weight of the first of the two components.
FIRST = 1.0 / 3.0

# Largest share of the variance along the first axis that the two means may carry.
LARGEST_SHARE = 0.95

# Step of the second difference of the score, in standard deviations of the noise: its own error is
# 1e-5 of the third cumulant, that of rounding 1e-10 of sigma^3.
DIFFERENCE = 3e-3


def gms(
    score: StandardisedScore, draws: np.ndarray, levels: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Move draws down the levels by a two-component kernel with the right moments.

    A step from a to b < a has, with h = a^2 - b^2, s the score at (y, a) and J its Jacobian, the
    exact mean y + h s and covariance h I + h^2 J of x_b given y, and along the first axis v of
    that covariance the exact third cumulant h^3 v' d^2 s [v, v]. Four evaluations a step.

    Parameters
    ----------
    score, draws, levels, rng
        As in `mixture_kernel`.

    Returns
    -------
    draws : ndarray, shape (N, D)
    n_score_evaluations : int
        A Jacobian counts as one evaluation where the model has it, as 2 D where it has not.

    References
    ----------
    Guo et al. (2023), "Gaussian Mixture Solvers for Diffusion Models", arXiv:2311.00941, who fit
    each coordinate by 70 iterations; here in closed form, and along one axis that the covariance
    chooses. The moments follow from those of an exponential family, whose cumulants given y are
    derivatives of log p(y).
    """
    before = score.n_evaluations
    for a, b in itertools.pairwise(levels):
        mean, variances, axes, third = reverse_moments(score, draws, a, b)
        made = two_components(variances[:, -1], third)
        along = np.where(rng.random(len(draws)) < FIRST, made.first, made.second)
        variances[:, -1] = made.variance
        # The symmetric root: axes have no sign, and close ones no direction, of their own.
        noise = np.einsum("nba,nb->na", axes, rng.standard_normal(draws.shape))
        noise *= np.sqrt(variances)
        noise[:, -1] += along
        draws = mean + np.einsum("nab,nb->na", axes, noise)
    return draws, score.n_evaluations - before


def reverse_moments(
    score: StandardisedScore, y: np.ndarray, a: float, b: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the moments of x_b given x_a = y for every row.

    Returns
    -------
    mean : ndarray, shape (N, D)
    variances : ndarray, shape (N, D)
        Along the axes, ascending; not negative, whatever a learned score says.
    axes : ndarray, shape (N, D, D)
        In columns.
    third : ndarray, shape (N,)
        Third cumulant along the last axis.
    """
    h = (a - b) * (a + b)
    own, jacobian = score.score(y, a), score.jacobian(y, a)
    jacobian = 0.5 * (jacobian + np.swapaxes(jacobian, 1, 2))
    slopes, axes = np.linalg.eigh(jacobian)
    variances = np.maximum(h + h * h * slopes, 0.0)
    axis = axes[:, :, -1]
    step = DIFFERENCE * a
    bend = score.score(y + step * axis, a) + score.score(y - step * axis, a) - 2.0 * own
    third = h**3 * np.einsum("na,na->n", axis, bend) / step**2
    return y + h * own, variances, axes, third


class TwoComponents:
    """Weights FIRST and 1 - FIRST, means `first` and `second` (N,), and one variance (N,)."""

    def __init__(self, first: np.ndarray, second: np.ndarray, variance: np.ndarray) -> None:
        self.first, self.second, self.variance = first, second, variance


def two_components(variance: np.ndarray, third: np.ndarray) -> TwoComponents:
    """Return the two Gaussians of mean 0 with this variance and third cumulant, each (N,).

    With weights pi and 1 - pi, means sqrt((1 - pi) / pi) c and -sqrt(pi / (1 - pi)) c and the
    variance V - c^2 of both, the third cumulant is c^3 (1 - 2 pi) / sqrt(pi (1 - pi)). Where that
    asks for c^2 near or above V, c is cut and the third cumulant falls short.
    """
    odds = np.sqrt((1.0 - FIRST) / FIRST)
    c = np.cbrt(third * np.sqrt(FIRST * (1.0 - FIRST)) / (1.0 - 2.0 * FIRST))
    most = np.sqrt(LARGEST_SHARE * variance)
    c = np.clip(c, -most, most)
    return TwoComponents(odds * c, -c / odds, variance - c * c)
