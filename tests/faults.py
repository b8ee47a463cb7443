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


def without_factorials():
    """Return the draw of K with K!/(K - K_+)! forgotten."""
    right = telescoping.draw_n_components

    def draw_n_components(on_k, counts, n_filled, alpha, lowest, log_weights, rng):
        log_p = np.empty_like(on_k.log_probabilities)
        for k in range(1, len(log_p) + 1):
            factor = math.lgamma(k + 1.0) - math.lgamma(max(k - n_filled, 0) + 1.0)
            log_p[k - 1] = on_k.log_probabilities[k - 1] - factor
        other = telescoping.ComponentsPrior(log_p, on_k.dynamic, on_k.alpha_df1, on_k.alpha_df2)
        return right(other, counts, n_filled, alpha, lowest, log_weights, rng)

    return draw_n_components


def without_jacobian():
    """Return the density that the random walk of log alpha has when it forgets the Jacobian."""
    right = telescoping.log_alpha_density

    def log_alpha_density(on_k, counts, n_filled, n_components, alpha):
        return right(on_k, counts, n_filled, n_components, alpha) - math.log(alpha)

    return log_alpha_density


def uncached(function):
    """Compile as kernels are, but leave their cache alone."""
    return njit(**{**OPTIONS, "cache": False}, fastmath=set(FASTMATH))(function)


def telescope_with(fault, compiled=uncached):
    """Return the telescoping sweep with a fault, compiled anew or by another function."""
    wrong = fault()
    replaced = {wrong.__name__: compiled(wrong)}

    def rebuilt(function):
        plain = getattr(function, "py_func", function)
        names = {**plain.__globals__, **replaced}
        return compiled(FunctionType(plain.__code__, names, plain.__name__))

    replaced["draw_alpha"] = rebuilt(telescoping.draw_alpha)
    return rebuilt(telescoping.telescope)


@contextmanager
def sweeping(fault) -> Iterator[None]:
    """Plant a fault in the sweeps of every chain with K unknown."""
    honest = telescoping.telescope
    telescoping.telescope = telescope_with(fault)
    try:
        yield
    finally:
        telescoping.telescope = honest
