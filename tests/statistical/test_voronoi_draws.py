"""Draws by the corrected reverse SDE have the right law; those by the printed formula have none."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from diffgmm import GaussianMixture
from diffgmm.diffusion import fit_voronoi_score
from diffgmm.diffusion.voronoi import reverse_sde
from diffgmm.errors import SamplingDivergedError

pytestmark = [pytest.mark.statistical, pytest.mark.usefixtures("compiled")]

FALSE_ALARM = 1e-6  # per test

N_DRAWS = 20_000

# Weak order 1: 400,000 draws are 0.0058 and 0.0109 from their law for kappa = 0.05 and 0.1.
KAPPA, BIAS = 0.05, 0.006

LINE = GaussianMixture([0.3, 0.5, 0.2], [[-1.2], [0.1], [1.55]], [[[0.05]], [[0.02]], [[0.1]]])


def floor(n):
    """Return the Kolmogorov-Smirnov distance of n exact draws that FALSE_ALARM allows (Massart)."""
    return np.sqrt(np.log(2.0 / FALSE_ALARM) / (2.0 * n))


def distance(draws, law=LINE, sigma=0.0):
    """Return the Kolmogorov-Smirnov distance of draws (n, 1) from a law noised by sigma."""
    deviations = np.sqrt(law.covariances[:, 0, 0] + sigma**2)

    def cdf(x):
        return stats.norm.cdf(x[:, None], law.means[:, 0], deviations) @ law.weights

    return stats.ks_1samp(draws[:, 0], cdf).statistic


@dataclass(frozen=True)
class Exact:
    """The scores of LINE themselves, as `draw` asks for them."""

    spread = np.array([1.0])
    shift = np.array([0.0])
    scale = np.array([1.0])
    sigmas = np.array([20.0, 0.02])
    levels = reverse_sde.sde_levels(20.0, 0.02, KAPPA)[:-1]

    def standardised_score(self, z, sigma):
        """Return the score without a check of z: rows that have left the numbers become NaN."""
        variances = LINE.covariances[:, 0, 0] + sigma**2
        away = LINE.means[:, 0] - z
        log_joint = np.log(LINE.weights / np.sqrt(variances)) - 0.5 * away**2 / variances
        joint = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
        return np.sum(joint * away / variances, axis=1, keepdims=True) / joint.sum(1, keepdims=True)


def printed_step(y, score, a, b, noise):
    """Return what Algorithm 1 prints: t - 1 in place of t + 1."""
    clock, next_clock = a * a - 1.0, b * b - 1.0
    root = np.sqrt(max(next_clock * clock, 0.0))  # of a negative number between t > 1 > t'
    return y + 2.0 * (clock - root) * score + np.sqrt(a * a - b * b) * noise


def half_step(y, score, a, b, noise, step=reverse_sde.sde_step):
    """Return the step of the probability flow, with the noise of the SDE."""
    return 0.5 * (y + step(y, score, a, b, noise) + np.sqrt(a * a - b * b) * noise)


def test_corrected_steps_with_exact_scores_reach_the_floor():
    draws = reverse_sde.draw(Exact(), N_DRAWS, random_seed=1)
    assert distance(draws, sigma=0.02) < floor(N_DRAWS) + BIAS


def test_the_distance_sees_half_a_step(monkeypatch):
    monkeypatch.setattr(reverse_sde, "sde_step", half_step)
    draws = reverse_sde.draw(Exact(), N_DRAWS, random_seed=1)
    assert distance(draws, sigma=0.02) > 2.0 * (floor(N_DRAWS) + BIAS)


def test_printed_steps_diverge(monkeypatch):
    """So what runs is not the printed formula."""
    monkeypatch.setattr(reverse_sde, "sde_step", printed_step)
    with np.errstate(all="ignore"), pytest.raises(SamplingDivergedError) as info:
        reverse_sde.draw(Exact(), 100, random_seed=1)
    assert str(info.value) == (
        "100 draws of a chunk became infinite or NaN. Fit the score again with another "
        "random_seed, or draw from a mixture."
    )


@pytest.mark.parametrize("a", [0.5, 3.0])
def test_a_step_has_the_mean_of_the_reverse_kernel_to_second_order(a):
    """For rows N(0, 1), E[x_b | x_a = y] = y (1 + b^2) / (1 + a^2), and the score is -y / (1 + a^2).

    So is the printed step as long as t = a^2 is above 1. Below, its gain tends to -4 (1 - t), however
    short the step is.
    """
    errors = {reverse_sde.sde_step: [], printed_step: []}
    for (step, own), length in itertools.product(errors.items(), (0.04, 0.02)):
        b, y = np.sqrt(a * a - length), np.ones((1, 1))
        moved = step(y, -y / (1.0 + a * a), a, b, 0.0 * y)
        own.append(abs(moved[0, 0] - (1.0 + b * b) / (1.0 + a * a)))
    orders = [np.log2(high / low) for high, low in errors.values()]
    assert orders[0] == pytest.approx(2.0, abs=0.1)
    if a > 1.0:
        assert orders[1] == pytest.approx(2.0, abs=0.1)
    else:
        assert errors[printed_step][1] == pytest.approx(
            4.0 * (1.0 - a * a) / (1.0 + a * a), rel=0.05
        )


class Flat(Exact):
    """A score of 0 from T = 1 down to T = 0.99: draws stay where they start."""

    spread, sigmas, levels = np.array([1.5]), np.array([1.0, 0.99**0.5]), np.array([1.0])

    def standardised_score(self, z, sigma):
        return 0.0 * z


def test_draws_start_with_the_variance_of_the_noised_data():
    """T + v, as the theorem says, and not T, as the algorithm prints."""
    draws = reverse_sde.draw(Flat(), N_DRAWS, random_seed=1)
    start = 1.0 + 1.5**2
    alike = stats.ks_1samp(draws[:, 0], stats.norm(scale=(start + 0.01) ** 0.5).cdf).statistic
    printed = stats.ks_1samp(draws[:, 0], stats.norm(scale=1.01**0.5).cdf).statistic
    assert alike < floor(N_DRAWS) < printed


def test_levels_follow_the_recursion():
    levels = reverse_sde.sde_levels(20.0, 0.02, 0.1)
    assert levels[0] == 20.0
    assert levels[-1] == 0.02
    clock = 1.0 + levels**2
    expected = clock[:-1] * np.maximum(np.exp(-0.2), clock[:-1] ** -0.1)
    np.testing.assert_allclose(clock[1:-1], expected[:-1], rtol=1e-12)
    assert 1.0 < clock[-1]
    assert clock[-1] >= expected[-1]


def test_draws_of_a_fit_are_as_near_as_the_rows():
    """Rows are `floor(n)` from their law at most, and so is what is learned from them."""
    rows = LINE.sample(4_000, 7)
    model = fit_voronoi_score(rows, n_components=3, random_seed=7)
    draws = model.sample(N_DRAWS, random_seed=8)
    assert distance(draws) < floor(4_000) + floor(N_DRAWS)
    assert distance(draws + 0.2) > floor(4_000) + floor(N_DRAWS)
