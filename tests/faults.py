"""Small faults to plant: each is one that a sampler could have, and a suite must catch."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType

import numpy as np
from numba import njit

from diffgmm import Prior
from diffgmm.kernels import telescoping
from diffgmm.kernels._compile import FASTMATH, OPTIONS
from diffgmm.posterior import sample as posterior


def with_scale_doubled(prior: Prior) -> Prior:
    """Return the prior with twice the scale of the covariances."""
    if prior.C0 is not None:
        return prior.replace(C0=2.0 * prior.C0)
    return prior.replace(G0=0.5 * prior.G0)


def with_wide_means(prior: Prior) -> Prior:
    """Return the prior with twice the standard deviation of the means."""
    return prior.replace(B0=4.0 * prior.B0)


@contextmanager
def touching_alignment() -> Iterator[None]:
    """Alignment renumbers means and covariances, but not weights."""
    honest = posterior.permute

    def permute(array, order):
        return array if array.ndim == 3 else honest(array, order)

    posterior.permute = permute
    try:
        yield
    finally:
        posterior.permute = honest


def rebuilt(function, **replaced):
    """Return a kernel compiled anew, uncached, with other functions for those that it calls."""
    plain = getattr(function, "py_func", function)
    copy = FunctionType(plain.__code__, {**plain.__globals__, **replaced}, plain.__name__)
    return njit(**{**OPTIONS, "cache": False}, fastmath=set(FASTMATH))(copy)


def without_factorials():
    """Return the telescoping sweep with K!/(K - K_+)! forgotten in the law of K."""
    right = telescoping.draw_n_components

    def draw_n_components(on_k, counts, n_filled, alpha, lowest, log_weights, rng):
        log_p = np.empty_like(on_k.log_probabilities)
        for k in range(1, len(log_p) + 1):
            factor = math.lgamma(k + 1.0) - math.lgamma(max(k - n_filled, 0) + 1.0)
            log_p[k - 1] = on_k.log_probabilities[k - 1] - factor
        other = telescoping.ComponentsPrior(log_p, on_k.dynamic, on_k.alpha_df1, on_k.alpha_df2)
        return right(other, counts, n_filled, alpha, lowest, log_weights, rng)

    return rebuilt(telescoping.telescope, draw_n_components=njit(draw_n_components))


def without_jacobian():
    """Return the telescoping sweep whose random walk of log alpha forgets the Jacobian alpha."""
    right = telescoping.log_alpha_density

    def log_alpha_density(on_k, counts, n_filled, n_components, alpha):
        return right(on_k, counts, n_filled, n_components, alpha) - math.log(alpha)

    wrong = rebuilt(telescoping.draw_alpha, log_alpha_density=njit(log_alpha_density))
    return rebuilt(telescoping.telescope, draw_alpha=wrong)


@contextmanager
def sweeping(wrong) -> Iterator[None]:
    """Plant a telescoping sweep in every chain."""
    honest = telescoping.telescope
    telescoping.telescope = wrong()
    try:
        yield
    finally:
        telescoping.telescope = honest
