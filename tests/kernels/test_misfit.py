"""The kernels of the misfit check against plain NumPy, row by row."""

from itertools import pairwise

import numpy as np
import pytest
import targets

from diffgmm.data import raw_rows
from diffgmm.diffusion.spectrum import Spectrum
from diffgmm.kernels import misfit

SIGMA = 0.6
BOUNDS = np.array([0, 40, 170, 200])


def hermite(u):
    """Return h_2, h_3 and h_4."""
    h2, h3 = (u**2 - 1.0) / np.sqrt(2.0), (u**3 - 3.0 * u) / np.sqrt(6.0)
    return h2, h3, (u**4 - 6.0 * u**2 + 3.0) / np.sqrt(24.0)


def naive_noised(x, mixture, covariances, spectrum, noise):
    """Yield gates (N, K) and clipped whitened coordinates (N, K, D), per sign and noise."""
    noised = covariances + SIGMA**2 * np.eye(x.shape[1])
    axes = spectrum.vectors
    if axes.ndim == 1:
        axes = np.repeat(np.eye(x.shape[1])[None], len(noised), axis=0)
    for xi in noise:
        for sign in (1.0, -1.0):
            centred = (x + sign * SIGMA * xi.T)[:, None] - mixture.means
            solved = np.einsum("kab,nkb->nka", np.linalg.inv(noised), centred)
            logs = np.log(mixture.weights) - 0.5 * (
                np.einsum("nka,nka->nk", centred, solved) + np.linalg.slogdet(noised)[1]
            )
            gates = np.exp(logs - logs.max(axis=1, keepdims=True))
            gates /= gates.sum(axis=1, keepdims=True)
            u = np.einsum("kab,nka->nkb", axes, centred) / np.sqrt(spectrum.values + SIGMA**2)
            yield gates, np.clip(u, -4.0, 4.0)


CASES = [("three_in_the_plane", False), ("three_in_the_plane", True), ("two_on_a_line", False)]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{'diag' if case[1] else 'full'}")
def case(request, rng):
    name, diagonal = request.param
    mixture = targets.TARGETS[name]
    covariances = mixture.covariances
    if diagonal:
        covariances = covariances * np.eye(mixture.n_features)
    spectrum = Spectrum.of(mixture.weights, mixture.means, covariances)
    x = targets.rows_around(mixture, 200, rng)
    noise = rng.standard_normal((2, mixture.n_features, 200))
    return x, spectrum, noise, list(naive_noised(x, mixture, covariances, spectrum, noise))


def folds():
    return enumerate(slice(a, b) for a, b in pairwise(BOUNDS))


def test_moments_are_the_naive_ones(case):
    x, spectrum, noise, noised = case
    f, (k, d) = len(BOUNDS) - 1, spectrum.means.shape
    sums = (np.zeros((f, k, 2)), np.zeros((f, k, 3, d)), np.zeros((f, k, 2 * d, 2 * d)))
    misfit.misfit_moments(raw_rows(x), noise, spectrum.level(SIGMA), BOUNDS, sums)
    expected = tuple(np.zeros_like(part) for part in sums)
    for gates, u in noised:
        h2, h3, h4 = hermite(u)
        z = np.concatenate([u, h2], axis=2)
        for fold, own in folds():
            expected[0][fold, :, 0] += (gates[own] ** 2).sum(axis=0)
            expected[0][fold, :, 1] += gates[own].sum(axis=0)
            for line, h in enumerate((u, h3, h4)):
                expected[1][fold, :, line] += np.einsum("nk,nka->ka", gates[own], h[own])
            expected[2][fold] += np.einsum("nk,nka,nkb->kab", gates[own], z[own], z[own])
    for part, reference in zip(sums, expected):
        np.testing.assert_allclose(part, reference, atol=1e-10 * np.abs(reference).max())


def test_energies_are_the_naive_ones(case, rng):
    """The gradient of psi by differences, not by the kernel's formula."""
    x, spectrum, noise, noised = case
    f, (k, d) = len(BOUNDS) - 1, spectrum.means.shape
    shares = SIGMA**2 / (spectrum.values + SIGMA**2)
    lines, matrix = rng.normal(size=(f, k, 4, d)), rng.normal(size=(f, k, 2 * d, 2 * d))
    lines[:, :, 3], matrix = shares, matrix + np.swapaxes(matrix, 2, 3)
    energies = np.zeros((f, k))
    level = spectrum.level(SIGMA)
    misfit.misfit_energies(raw_rows(x), noise, level, (lines, matrix), BOUNDS, energies)

    def psi(u, fold):
        h2, h3, h4 = hermite(u)
        z = np.concatenate([u, h2], axis=2)
        value = 0.5 * np.einsum("nka,kab,nkb->nk", z, matrix[fold], z)
        for line, h in enumerate((u, h3, h4)):
            value = value + np.einsum("ka,nka->nk", lines[fold, :, line], h)
        return value

    expected = np.zeros_like(energies)
    for gates, u in noised:
        for fold, own in folds():
            for a in range(d):
                step = 1e-5 * np.eye(d)[a]
                slope = (psi(u[own] + step, fold) - psi(u[own] - step, fold)) / 2e-5
                expected[fold] += (shares[:, a] * (gates[own] * slope) ** 2).sum(axis=0)
    np.testing.assert_allclose(energies, expected, rtol=1e-6)
