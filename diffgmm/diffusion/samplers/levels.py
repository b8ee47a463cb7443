"""Grids of noise levels from the start of a draw down to its end, in standardised units."""

import numpy as np

# Exponent of the grid of Karras et al. (2022), arXiv:2206.00364, table 1.
RHO = 7.0


def geometric(top: float, lowest: float, steps: int) -> np.ndarray:
    """Return `steps` levels with one ratio, and 0: shape (steps + 1,)."""
    return np.append(np.geomspace(top, lowest, steps), 0.0)


def karras(top: float, lowest: float, steps: int) -> np.ndarray:
    """Return `steps` levels, evenly spaced in sigma^(1/7), and 0: shape (steps + 1,).

    References
    ----------
    Karras, Aittala, Aila, Laine (2022), arXiv:2206.00364, equation 5.
    """
    ends = top ** (1.0 / RHO), lowest ** (1.0 / RHO)
    return np.append(np.linspace(*ends, steps) ** RHO, 0.0)


def exponential_integrator(top: float, lowest: float, steps: int) -> np.ndarray:
    """Return the levels of Gatmiry, Kelner and Lee with the kappa that takes `steps` steps.

    From t = top^2 down, 1 + t falls by max(exp(-2 kappa), (1 + t)^-kappa) a step, to lowest^2:
    shape (steps + 1,). With u = log(1 + t), a step is u -> u - kappa min(2, u).

    References
    ----------
    Gatmiry, Kelner, Lee (2025), arXiv:2404.18869, Algorithm 1.
    """
    start, end = np.log1p(top * top), np.log1p(lowest * lowest)

    def path(kappa: float) -> np.ndarray:
        u = [start]
        for _ in range(steps):
            u.append(u[-1] - kappa * min(2.0, u[-1]))
        return np.array(u)

    low, high = 0.0, 1.0  # kappa = 1 reaches 0 from u <= 2 in one step
    while path(high)[-1] > end:
        high *= 2.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if path(middle)[-1] > end else (low, middle)
    u = path(low)
    u[-1] = end
    return np.sqrt(np.expm1(u))
