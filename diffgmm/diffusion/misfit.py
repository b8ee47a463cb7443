"""Held-out gains: how much better scores get where a component may be other than Gaussian."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..data import raw_rows
from ..kernels import misfit
from .spectrum import Spectrum

# Folds of rows. Rows must come in random order: folds are contiguous.
N_FOLDS = 6

# Noise levels of the check, geometric, down to this share of the smallest component's size (the
# geometric mean of its standard deviations: not the smallest of them, which a collapsed component
# has). Above one standard deviation of the data, noise hides what little there is to see.
N_LEVELS = 6
HIGHEST = 1.0
LOWEST_SHARE = 0.25
LOWEST = HIGHEST * 0.5**8

# Least share of a regression that is kept, whatever its evidence.
LEAST_SHARE = 0.05

# Least size that a residual is given on the fold that judges it. With 0 most null gains would be
# exactly 0 and a few not, and the largest z of null data sets would come from those few.
LEAST_SIZE = 0.1

# Noised rows that a component must be worth in the other folds; below it no residual is fitted.
SMALLEST_MASS = 1.0


@dataclass(frozen=True, eq=False)
class HeldOutGains:
    """Gains of held-out rows, in nat per row.

    sigmas : (L,) noise levels, decreasing.
    gains : (L, K + 1) by component; the last column is their sum.
    """

    sigmas: np.ndarray
    gains: np.ndarray

    @property
    def total(self) -> float:
        """Gain of all levels and components together."""
        return float(self.gains[:, -1].sum())

    @property
    def cells(self) -> np.ndarray:
        """All gains in one vector, (L (K + 1) + 1,)."""
        return np.append(self.gains.ravel(), self.total)


def check_levels(eigenvalues: np.ndarray) -> np.ndarray:
    """Return the decreasing noise levels of the check, (L,), in standardised units.

    Parameters
    ----------
    eigenvalues : ndarray, shape (K, D)
        Of the components' covariances.
    """
    sizes = np.exp(0.5 * np.log(eigenvalues).mean(axis=1))
    lowest = np.clip(LOWEST_SHARE * sizes.min(), LOWEST, 0.5 * HIGHEST)
    return np.geomspace(HIGHEST, lowest, N_LEVELS)


def held_out_gains(values: np.ndarray, noise: np.ndarray, spectrum: Spectrum) -> HeldOutGains:
    """Return what polynomial log density ratios beside each component gain on held-out rows.

    Parameters
    ----------
    values : ndarray, shape (N, D)
        Rows in random order, in standardised units.
    noise : ndarray, shape (M, D, N)
        Standard normal; used with both signs, at every level.
    spectrum : Spectrum
        Of a mixture fitted to these rows.

    Notes
    -----
    A gain is |t|^2 - |t - R|^2 = 2 t.R - |R|^2 where t = (x - D(y)) / sigma is what the mixture's
    denoiser D leaves of a row x and R was fitted to the other folds. Given x, the mean of t.R over
    the noise is that of -sigma (div R + score.R) (Stein), and for R = p(j | y) sigma W' grad psi
    this is p(j | y) times sum_q n_q b_q h_q(u), with b_q the coefficients of psi and n_q =
    E |sigma W' grad h_q|^2: moments instead of targets, free of the targets' noise. For the same
    reason the best coefficients are the moments themselves, and no Gram matrix is needed.

    By the likelihood identity (Chewi and others 2025, arXiv:2504.05161, lemma 1) the integral of a residual's
    gain over log(sigma) is the gain in log density: each level counts with its share of it.
    """
    sigmas = check_levels(spectrum.values)
    step = float(np.log(sigmas[0] / sigmas[1]))
    rows, bounds = raw_rows(values), np.linspace(0, len(values), N_FOLDS + 1).astype(np.int64)
    k, d = spectrum.means.shape
    gains = np.zeros((len(sigmas), k))
    for own, sigma in zip(gains, sigmas):
        level = spectrum.level(float(sigma))
        sums = Moments.zeros(N_FOLDS, k, d)
        misfit.misfit_moments(rows, noise, level, bounds, tuple(sums))
        shares = sigma**2 / (spectrum.values + sigma**2)
        polynomials, products = sums.polynomials(shares)
        energies = np.zeros((N_FOLDS, k))
        misfit.misfit_energies(rows, noise, level, polynomials, bounds, energies)
        own[:] = _gains(products, energies)
    gains *= step / (2 * len(noise) * len(values))
    return HeldOutGains(sigmas, np.column_stack([gains, gains.sum(axis=1)]))


def _gains(products: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """Return the gains of residuals in the size that other folds like best, summed over folds, (K,).

    products, energies : (F, K), sums of t.R and |R|^2. Heavy tails make the moments too large.
    """
    first, second = (part.sum(axis=0) - part for part in (products, energies))
    size = np.clip(first / np.where(second > 0.0, second, 1.0), LEAST_SIZE, 1.0)
    return (size * (2.0 * products - size * energies)).sum(axis=0)


class Moments(NamedTuple):
    """What `kernels.misfit.misfit_moments` adds up, per fold.

    masses : (F, K, 2).   lines : (F, K, 3, D).   quadratic : (F, K, 2 D, 2 D).
    """

    masses: np.ndarray
    lines: np.ndarray
    quadratic: np.ndarray

    @classmethod
    def zeros(cls, n_folds: int, k: int, d: int) -> "Moments":
        """Return sums to add to."""
        shapes = ((n_folds, k, 2), (n_folds, k, 3, d), (n_folds, k, 2 * d, 2 * d))
        return cls(*(np.zeros(shape) for shape in shapes))

    def polynomials(self, shares: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        """Return what the other folds say to each, and what t.R then sums to.

        Parameters
        ----------
        shares : ndarray, shape (K, D)
            sigma^2 / (eigenvalue + sigma^2).

        Returns
        -------
        polynomials : (F, K, 4, D) and (F, K, 2 D, 2 D), as the kernel wants them
        products : ndarray, shape (F, K)

        Notes
        -----
        Each degree is shrunk to the share of its squared moments that folds have in common: noise
        has none.
        """
        f, k, d = len(self.masses), *shares.shape
        quadratic = self.quadratic.copy()
        axes = np.arange(d)
        quadratic[:, :, axes, axes] -= self.masses[:, :, 1:]  # u^2 - 1, that is sqrt(2) h_2
        parts = (self.lines.reshape(f, k, -1), quadratic.reshape(f, k, -1))
        moments = np.concatenate(parts, axis=2)
        others = moments.sum(axis=0) - moments
        mass = self.masses[:, :, 0].sum(axis=0) - self.masses[:, :, 0]
        inverse_mass = np.where(mass > SMALLEST_MASS, 1.0 / np.maximum(mass, SMALLEST_MASS), 0.0)
        norms, degrees = _norms(shares), _degrees(d)
        weights = norms[:, :, None] * degrees
        # How much of each degree there is in all the others together, and in each apart: (F, K, 3).
        whole, own = _products(others, others, weights), _products(moments, moments, weights)
        share = _common_share(whole, own.sum(axis=0) - own, f - 1)
        products = inverse_mass * (share * _products(others, moments, weights)).sum(axis=2)
        used = norms > 0.0
        coefficients = others * inverse_mass[:, :, None] * (share @ (degrees > 0.0).T) * used
        lines = np.empty((f, k, 4, d))
        lines[:, :, :3] = coefficients[:, :, : 3 * d].reshape(f, k, 3, d)
        lines[:, :, 3] = shares
        matrix = coefficients[:, :, 3 * d :].reshape(f, k, 2 * d, 2 * d)
        return (lines, np.ascontiguousarray(matrix)), products


def _products(left: np.ndarray, right: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return products (F, K, n) summed with the weights (K, n, 3) of each degree, (F, K, 3)."""
    return np.swapaxes(np.swapaxes(left * right, 0, 1) @ weights, 0, 1)


def _common_share(whole: np.ndarray, parts: np.ndarray, n_folds: int) -> np.ndarray:
    """Return which share of squared sums over folds is due to products of different folds.

    Scaled to 1 where there is no noise, and 0 in the mean where there is nothing else.
    """
    share = (whole - parts) / np.where(whole > 0.0, whole, 1.0) * (n_folds / (n_folds - 1))
    return np.clip(share, LEAST_SHARE, 1.0)


def _norms(shares: np.ndarray) -> np.ndarray:
    """Return E |sigma W' grad h|^2 of every polynomial, (K, 3 D + 4 D^2), 0 for unused ones.

    For h_m(u_a) h_n(u_b) it is m shares_a + n shares_b.
    """
    k, d = shares.shape
    lines = shares[:, None, :] * np.array([1.0, 3.0, 4.0])[:, None]
    pairs = shares[:, :, None] + shares[:, None, :]
    off = 1.0 - np.eye(d)
    cubic = (2.0 * shares[:, :, None] + shares[:, None, :]) * off
    top = np.concatenate([pairs, np.swapaxes(cubic, 1, 2)], axis=2)
    bottom = np.concatenate([cubic, 2.0 * pairs * off], axis=2)
    matrix = np.concatenate([top, bottom], axis=1)
    return np.concatenate([lines.reshape(k, -1), matrix.reshape(k, -1)], axis=1)


@lru_cache
def _degrees(d: int) -> np.ndarray:
    """Return how often each entry of lines and matrix counts in degrees 1 and 2, 3, 4: (n, 3).

    Entries beside the diagonal stand twice, and u_a^2 / 2 on it is h_2(u_a) / sqrt(2).
    """
    degree = np.add.outer(*[np.repeat([0, 1], d)] * 2).ravel()
    degree = np.concatenate([np.repeat([0, 1, 2], d), degree])
    counts = np.repeat([1.0, 0.5], [3 * d, 4 * d * d])
    return counts[:, None] * (degree[:, None] == np.arange(3))
