"""What the start of a draw costs: a bound that every set of draws carries."""

from typing import Any

import numpy as np

# One-sided 95 % point of the normal distribution.
UPPER = 1.6448536269514722

# Above the highest level the integrand below falls at least as sigma^-2, as it does for two laws of
# different means (of the same means and covariances: as sigma^-6). Its tail is then at most this
# share of its last value.
TAIL = 1.0 / 2.0


def start_bias(model: Any, level: float) -> float:
    """Return an upper bound on the Kullback-Leibler divergence of the start, in nats.

    Of the data noised by `level` from the noised mixture that draws start from. It is the integral
    over log(sigma), from the start on, of E|D - D_mixture|^2 / sigma^2, D the true denoiser. The
    residual's held-out gain at a level estimates E|D - D_mixture|^2, as far as its polynomials can
    see it. Between levels the larger gain of the two is taken, and of each its upper 95 % limit.
    By Pinsker's inequality the total variation, also after any steps, is at most sqrt(bias / 2).

    Parameters
    ----------
    model : ScoreModel, or a score without a mixture
    level : float
        Noise level of the start, in standardised units.

    Returns
    -------
    float
        0 for a mixture that was given and not fitted to rows; NaN for a score without a mixture,
        of which nothing is known.

    References
    ----------
    Chewi, Kalavasis, Mehrotra, Montasser (2025), arXiv:2504.05161, Lemma 1.
    """
    if not hasattr(model, "spectrum"):
        return float("nan")
    if model.report is None:
        return 0.0
    log_sigmas, gains = np.log(model.sigmas[::-1]), gain_limits(model)[::-1]
    start = np.log(level)
    above = log_sigmas > start
    nodes = np.append(start, log_sigmas[above])
    values = np.append(np.interp(start, log_sigmas, gains), gains[above])
    pieces = np.maximum(values[:-1], values[1:]) * np.diff(nodes)
    return float(pieces.sum() + TAIL * values[-1])


def gain_limits(model: Any) -> np.ndarray:
    """Return upper limits of E|D - D_mixture|^2 / sigma^2 at every level, shape (L,).

    Gains are shares of the denoising error, and that is at most D sigma^2.
    """
    gains, z = model.report.gains, model.report.z
    errors = np.divide(gains, z, out=np.zeros_like(gains), where=z != 0.0)
    upper = gains.sum(axis=1) + UPPER * np.sqrt((errors**2).sum(axis=1))
    return np.maximum(upper, 0.0) * model.means.shape[1]
