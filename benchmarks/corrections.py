"""Printed formulas of two papers against their corrections, with exact scores of a mixture on a line.

python benchmarks/corrections.py

The tables of tutorials/design/0003-scores.md: the reverse step of Gatmiry, Kelner and Lee (t - 1 as
printed, t + 1 as derived), their start (variance T or T + 1), their Hermite polynomials (as the
recursion defines them, or orthonormal), and the reverse step of Chen, Kontonis and Shah (rho = e^(h/2)
as printed, e^h as derived). Distances are Kolmogorov-Smirnov ones of 20,000 draws; draws that have left
the numbers count as infinite.
"""

import itertools
import math

import numpy as np
from numpy.polynomial import hermite_e
from scipy import stats

from diffgmm import GaussianMixture
from diffgmm.diffusion.voronoi.reverse_sde import sde_levels, sde_step

DRAWS = 20_000
TOP, LOWEST = 20.0, 0.02

LINE = GaussianMixture([0.3, 0.5, 0.2], [[-1.2], [0.1], [1.55]], [[[0.05]], [[0.02]], [[0.1]]])


def printed_step(y, score, a, b, noise):
    """Return what Algorithm 1 prints: t - 1 in place of t + 1."""
    clock, next_clock = a * a - 1.0, b * b - 1.0
    root = np.sqrt(max(next_clock * clock, 0.0))  # of a negative number between t > 1 > t'
    return y + 2.0 * (clock - root) * score + np.sqrt(a * a - b * b) * noise


def distance(draws, law=LINE):
    """Return the Kolmogorov-Smirnov distance of draws from the law noised by LOWEST."""
    deviations = np.sqrt(law.covariances[:, 0, 0] + LOWEST**2)

    def cdf(x):
        return stats.norm.cdf(x[:, None], law.means[:, 0], deviations) @ law.weights

    draws = np.where(np.isfinite(draws), draws, np.inf)
    return stats.ks_1samp(draws[:, 0], cdf).statistic


def variance_exploding(step, kappa, seed=0, extra=1.0, top=TOP):
    """Return draws by steps of this kind, started from N(0, T + extra), and how many steps."""
    rng, levels = np.random.default_rng(seed), sde_levels(top, LOWEST, kappa)
    y = np.sqrt(top * top + extra) * rng.standard_normal((DRAWS, 1))
    with np.errstate(all="ignore"):
        for a, b in itertools.pairwise(levels):
            bounded = np.clip(y, -1e100, 1e100)  # a mixture's score of larger numbers is undefined
            y = step(y, LINE.score(bounded, sigma=a), a, b, rng.standard_normal(y.shape))
    return y, len(levels) - 1


def variance_preserving(growth, h, seed=0):
    """Return draws of the reverse Ornstein-Uhlenbeck process with rho = growth(h) in every step.

    x' = rho x + 2 (rho - 1) score + sqrt(rho^2 - 1) noise, from time log(1 + T) / 2 down.
    """
    rng = np.random.default_rng(seed)
    start, end = 0.5 * np.log1p(TOP**2), 0.5 * np.log1p(LOWEST**2)
    times = [start]
    while times[-1] > end:  # uniform steps, then shrinking with the time that is left
        times.append(max(times[-1] - min(h, h * times[-1]), end))
    x = rng.standard_normal((DRAWS, 1))
    for s, next_s in itertools.pairwise(times):
        root = np.exp(s)  # y = e^s x has the noise level sqrt(e^(2 s) - 1)
        score = root * LINE.score(root * x, sigma=np.sqrt(np.expm1(2.0 * s)))
        rho = growth(s - next_s)
        noise = np.sqrt(rho**2 - 1.0) * rng.standard_normal(x.shape)
        x = rho * x + 2.0 * (rho - 1.0) * score + noise
    return np.exp(end) * x, len(times) - 1


def truncation(degree, rho=2.0):
    """Return |f - f_<d| under N(0, 1) for f = rho tanh(rho x), and what the tail of squares says.

    The tail with orthonormal polynomials, and with those of the recursion He_{k+1} = x He_k - k He_{k-1}.
    """
    x = np.linspace(-12.0, 12.0, 100_001)
    weights = stats.norm.pdf(x) * (x[1] - x[0])
    f = rho * np.tanh(rho * x)
    polynomials = hermite_e.hermevander(x, degree - 1)
    norms = np.array([math.sqrt(math.factorial(k)) for k in range(degree)])
    raw = (weights * f) @ polynomials
    rest = f - (polynomials / norms) @ (raw / norms)
    total = weights @ f**2
    tails = [total - np.sum((raw / norms) ** 2), total - np.sum(raw**2)]
    return np.sqrt(weights @ rest**2), tails


def report():
    """Print the tables."""
    print("floor of the distance (95 % of exact samples are below):", f"{1.358 / DRAWS**0.5:.4f}")
    print("\nkappa  steps   t + 1    t - 1 (printed)")
    for kappa in (0.2, 0.1, 0.05):
        derived, steps = variance_exploding(sde_step, kappa)
        printed, _ = variance_exploding(printed_step, kappa)
        print(f"{kappa:5.2f} {steps:6d} {distance(derived):8.4f} {distance(printed):8.4f}")
    print("\n    h  steps   rho = e^h   e^(h/2) (printed)")
    for h in (0.2, 0.1, 0.05):
        derived, steps = variance_preserving(np.exp, h)
        printed, _ = variance_preserving(lambda step: np.exp(0.5 * step), h)
        print(f"{h:5.2f} {steps:6d} {distance(derived):11.4f} {distance(printed):11.4f}")
    print("\nsigma_T  start T + 1   start T: Kullback-Leibler divergence from N(0, T + v), v = 1")
    for top in (1.0, 2.0, 5.0, 20.0):
        t = top * top
        print(f"{top:7.1f} {0.0:11.4f} {0.5 * (1.0 / t - np.log1p(1.0 / t)):11.2e}")
    print("\ndegree  squared error  tail, orthonormal   tail, recursion")
    for degree in (2, 4, 6, 8):
        error, tails = truncation(degree)
        print(f"{degree:6d} {error**2:14.4f} {tails[0]:18.4f} {tails[1]:17.4f}")


if __name__ == "__main__":
    report()
