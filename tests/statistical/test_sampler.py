"""Reverse diffusion has the right law: closed forms, planted faults, and the ring."""

import numpy as np
import pytest
import reference_diffusion
import targets
from scipy import stats

import diffgmm
from diffgmm import GaussianMixture
from diffgmm.data import Data
from diffgmm.diffusion import ScoreModel, fit_score_model, reverse
from diffgmm.diffusion.samplers import gms
from diffgmm.diffusion.spectrum import Spectrum
from diffgmm.kernels import reverse as kernels

pytestmark = [pytest.mark.statistical, pytest.mark.usefixtures("compiled")]

FALSE_ALARM = 1e-6  # per test, over all its statistics

N_DRAWS = 60_000

STEPS = {1: [1.0], 3: np.geomspace(2.0, 0.3, 3), 10: np.geomspace(3.0, 0.02, 10)}

# Wave vectors, in 1 / standard deviation: the coarse shape, and features of a third of its size.
N_WAVES, WAVE = 12, 1.5


def limit(n_statistics):
    """Return the |z| that FALSE_ALARM allows."""
    return stats.norm.isf(FALSE_ALARM / (2 * n_statistics))


def characteristic(mixture, waves):
    """Return E exp(i k'x) of a mixture in closed form, for waves k (M, D)."""
    phase = np.exp(1j * waves @ mixture.means.T)
    damping = np.exp(-0.5 * np.einsum("ma,kab,mb->mk", waves, mixture.covariances, waves))
    return (phase * damping) @ mixture.weights


def z_scores(draws, mixture):
    """Return z of means, second moments, cos(k'x) and sin(k'x) against their closed forms.

    Rows are standardised by the mixture's own moments. The standard error is the run's own.
    """
    mean, covariance = _moments(mixture)
    unit = np.sqrt(np.diag(covariance))
    x = (draws - mean) / unit
    inner = GaussianMixture(
        mixture.weights,
        (mixture.means - mean) / unit,
        mixture.covariances / (unit[:, None] * unit),
    )
    d = len(unit)
    waves = WAVE * np.random.default_rng(8).standard_normal((N_WAVES, d))
    pairs = [(a, b) for a in range(d) for b in range(a + 1)]
    seen = np.concatenate(
        [x, np.stack([x[:, a] * x[:, b] for a, b in pairs], 1), np.cos(x @ waves.T)]
        + [np.sin(x @ waves.T)],
        axis=1,
    )
    correlation = covariance / (unit[:, None] * unit)
    phi = characteristic(inner, waves)
    expected = np.concatenate(
        [np.zeros(d), [correlation[a, b] for a, b in pairs], phi.real, phi.imag]
    )
    return (seen.mean(axis=0) - expected) / (seen.std(axis=0) / np.sqrt(len(x)))


def _moments(mixture):
    return reference_diffusion.reference.mixture_moments(mixture)


def silent(mixture):
    mean, covariance = _moments(mixture)
    return ScoreModel.silent(mixture, mean + 0.3, 1.3 * np.sqrt(np.diag(covariance)))


@pytest.mark.parametrize("name", targets.TARGETS)
@pytest.mark.parametrize("steps", STEPS)
def test_silent_draws_have_the_mixtures_law(name, steps):
    mixture = targets.TARGETS[name]
    draws, n_evaluations = reverse.draw(
        silent(mixture), N_DRAWS, levels=STEPS[steps], random_seed=11
    )
    assert n_evaluations == steps
    z = z_scores(draws, mixture)
    assert np.abs(z).max() < limit(z.size)


@pytest.mark.parametrize("name", targets.TARGETS)
def test_a_silent_model_draws_exactly_in_one_evaluation(name):
    model = silent(targets.TARGETS[name])
    assert model.n_score_evaluations == 1
    z = z_scores(model.sample(N_DRAWS, random_seed=12), targets.TARGETS[name])
    assert np.abs(z).max() < limit(z.size)


def test_draws_of_separate_chunks_are_independent():
    """Every chunk has a stream of its own: none repeats another."""
    draws = silent(targets.TARGETS["two_on_a_line"]).sample(3 * 16_384, random_seed=1)[:, 0]
    assert len(np.unique(draws)) == len(draws)


# the test of the test: faults in one step, each of them found

EXACT = Spectrum.step


def with_step(change):
    """Return a Spectrum.step whose exact result, for the step from a to b, goes through `change`."""
    return lambda self, a, b, coefficients: change(self, a, b, EXACT(self, a, b, coefficients))


def gain_of_the_wrong_level(spectrum, a, b, step):
    """S_a S_a^-1 in place of S_b S_a^-1."""
    return step._replace(gains=spectrum.roots(a))


def gain_without_noise_level(spectrum, a, b, step):
    """Sigma S_a^-1 (the denoiser's) in place of S_b S_a^-1: right only for b = 0."""
    return step._replace(gains=EXACT(spectrum, a, 0.0, np.zeros((len(step.roots), 0, 1))).gains)


def noise_not_squared(spectrum, a, b, step):
    """sqrt(a - b) in place of sqrt(a^2 - b^2)."""
    return step._replace(roots=step.roots / np.sqrt(a + b))


def covariance_as_root(spectrum, a, b, step):
    """The kernel's covariance in place of its square root."""
    return step._replace(roots=step.roots @ np.swapaxes(step.roots, 1, 2))


def noise_of_the_denoiser_left_out(spectrum, a, b, step):
    """The mean of the kernel without its covariance."""
    return step._replace(roots=0.0 * step.roots)


def gates_of_another_level(spectrum, a, b, step):
    """p(j | y; b) in place of p(j | y; a), everything else right."""
    above, below = spectrum.components(a), spectrum.components(b)
    ratio = np.linalg.solve(
        np.swapaxes(below.factors, 1, 2), np.swapaxes(above.factors, 1, 2)
    )  # W_a W_b^-1, transposed
    gains = step.gains @ np.swapaxes(ratio, 1, 2)
    return step._replace(components=below, gains=gains)


FAULTS = [
    gain_of_the_wrong_level,
    gain_without_noise_level,
    noise_not_squared,
    covariance_as_root,
    noise_of_the_denoiser_left_out,
    gates_of_another_level,
]


def caught(mixture, levels, n=N_DRAWS):
    draws, _ = reverse.draw(silent(mixture), n, levels=levels, random_seed=11)
    z = z_scores(draws, mixture)
    return np.abs(z).max() > limit(z.size)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_planted_faults_are_caught(fault, monkeypatch):
    mixture = targets.TARGETS["three_in_the_plane"]
    assert not caught(mixture, STEPS[3])
    monkeypatch.setattr(Spectrum, "step", with_step(fault))
    assert caught(mixture, STEPS[3])


def prior_picks(draws, uniform, noise, step):
    """A reverse step that draws the component by the weights, whatever the draw."""
    weights = np.array(targets.TARGETS["three_in_the_plane"].weights)
    chosen = np.searchsorted(np.cumsum(weights), uniform, side="right").clip(0, 2)
    white = reference_diffusion.white(draws.T, step.components)
    for j in range(3):
        own = chosen == j
        mean = step.components.means[j][:, None]
        draws[:, own] = mean + step.gains[j] @ white[j, own].T + step.roots[j] @ noise[:, own]


def sharpest_picks(draws, uniform, noise, step):
    """A reverse step that always takes the most probable component."""
    exact_step(draws, np.full_like(uniform, 0.5), noise, step)


exact_step = kernels.reverse_step


@pytest.mark.parametrize("fault", [prior_picks, sharpest_picks], ids=lambda fault: fault.__name__)
def test_planted_faults_in_the_choice_of_components_are_caught(fault, monkeypatch):
    monkeypatch.setattr(kernels, "reverse_step", fault)
    assert caught(targets.TARGETS["three_in_the_plane"], STEPS[3])


def test_a_start_without_noise_is_caught(monkeypatch):
    exact = Spectrum.roots
    monkeypatch.setattr(Spectrum, "roots", lambda self, sigma: exact(self, 0.0))
    assert caught(targets.TARGETS["three_in_the_plane"], STEPS[1])


# the residual's shift, where the whole law is known

MOVE = np.array([0.7, -0.4])


def shifted_model(levels, scale=1.0):
    """Return a mixture N(0, C) with the residual that makes it N(MOVE, C), at every level.

    Both denoisers are affine with the same slope, so their difference is constant:
    D(y) - D_mix(y) = sigma^2 (C + sigma^2)^-1 MOVE. C is a multiple of the identity.
    """
    variance = 1.7
    mixture = GaussianMixture([1.0], [[0.0, 0.0]], [variance * np.eye(2)])
    levels = np.asarray(levels, float)
    constant = (levels / (variance + levels**2))[:, None, None, None] * MOVE
    model = ScoreModel.silent(mixture, np.zeros(2), np.ones(2))
    model = model.with_residual(levels, scale * constant, np.ones((len(levels), 1), bool), None)
    # The start has mean 0, and its distance to MOVE shrinks in step with the gains.
    reached = MOVE * (1.0 - variance / (variance + levels[0] ** 2))
    return model, GaussianMixture([1.0], [reached], [variance * np.eye(2)])


@pytest.mark.parametrize("steps", [1, 3, 10])
def test_the_shift_moves_draws_as_far_as_it_should(steps):
    model, expected = shifted_model(STEPS[steps])
    z = z_scores(model.sample(N_DRAWS, random_seed=13), expected)
    assert np.abs(z).max() < limit(z.size)


@pytest.mark.parametrize("scale", [0.9, -1.0, 2.0])
def test_a_shift_of_the_wrong_size_is_caught(scale):
    model, _ = shifted_model(STEPS[3], scale)
    z = z_scores(model.sample(N_DRAWS, random_seed=13), shifted_model(STEPS[3])[1])
    assert np.abs(z).max() > limit(z.size)


def test_a_shift_without_the_noise_level_is_caught(monkeypatch):
    """(a^2 - b^2) / a^2, as if the coefficients were those of the denoiser itself."""

    def without(spectrum, a, b, step):
        return step._replace(shifts=step.shifts / a)

    model, expected = shifted_model(STEPS[10])
    monkeypatch.setattr(Spectrum, "step", with_step(without))
    z = z_scores(model.sample(N_DRAWS, random_seed=13), expected)
    assert np.abs(z).max() > limit(z.size)


def test_the_regression_finds_that_residual():
    """Rows of N(MOVE, 1) under the mixture N(0, 1): the fitted coefficients are the known ones.

    A coefficient's standard error is about 1 / sqrt(n) = 0.007; the ridge of at most 1 % and the
    other 5 columns bias less.
    """
    X = MOVE + np.random.default_rng(2).standard_normal((20_000, 2))
    mixture = GaussianMixture([1.0], [[0.0, 0.0]], [np.eye(2)])
    model = fit_score_model(Data.of(X), mixture, np.zeros(2), np.ones(2), random_seed=3)
    assert model.active.all()
    expected = (model.sigmas / (1.0 + model.sigmas**2))[:, None] * MOVE
    within = limit(model.sigmas.size * 2) * 0.007 + 0.01
    np.testing.assert_allclose(model.coefficients[:, 0, 0], expected, rtol=0, atol=within)


# replicated rows


def test_replicated_rows_have_the_law_of_their_mixtures():
    """Pooled over mixtures: each row's statistics minus the expectations of its own mixture."""
    rng = np.random.default_rng(4)
    s, n, waves = 500, 80, np.array([[1.0, 0.0], [0.3, -1.2], [0.05, 2.0]])
    roots = rng.standard_normal((s, 2, 2, 2))
    covariances = roots @ np.swapaxes(roots, 2, 3) + 0.1 * np.eye(2)
    weights, means = rng.dirichlet([2.0, 2.0], s), 2.0 * rng.standard_normal((s, 2, 2))
    rows = reverse.replicate(weights, means, covariances, n, random_seed=5)
    phases = rows @ waves.T
    exact = np.stack(
        [characteristic(GaussianMixture(*own), waves) for own in zip(weights, means, covariances)]
    )
    center = np.einsum("sk,ska->sa", weights, means)
    spread = np.einsum("sk,skab->sab", weights, covariances) + np.einsum(
        "sk,ska,skb->sab", weights, means - center[:, None], means - center[:, None]
    )
    step = rows - center[:, None]
    errors = np.concatenate(
        [
            np.cos(phases) - exact.real[:, None],
            np.sin(phases) - exact.imag[:, None],
            step,
            step**2 - np.diagonal(spread, axis1=1, axis2=2)[:, None],
            (step[..., :1] * step[..., 1:] - spread[:, None, :1, 1]),
        ],
        axis=2,
    ).reshape(s * n, -1)
    z = errors.mean(axis=0) / (errors.std(axis=0) / np.sqrt(s * n))
    assert np.abs(z).max() < limit(z.size)


# silence and speech


def test_the_residual_of_a_mixture_that_fits_stays_silent():
    """Each of 40 data sets speaks with probability 0.05 at most; 14 of them with 5e-9."""
    spoken = 0
    for seed in range(40):
        rng = np.random.default_rng([9, seed])
        k, d = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        means = 3.0 * rng.standard_normal((k, d))
        roots = rng.standard_normal((k, d, d))
        covariances = roots @ np.swapaxes(roots, 1, 2) / d + 0.2 * np.eye(d)
        X = GaussianMixture(np.full(k, 1.0 / k), means, covariances).sample(800, rng)
        fit = diffgmm.fit(X, k, model="diffusion", random_seed=seed, progressbar=False)
        spoken += not fit.score_model.is_silent
    assert stats.binom.sf(spoken - 1, 40, 0.05) > FALSE_ALARM


def ring(n, rng):
    """The ring of the project's zoo: radius 4, noise 0.5."""
    angle = rng.uniform(0, 2 * np.pi, n)
    return 4 * np.c_[np.cos(angle), np.sin(angle)] + 0.5 * rng.standard_normal((n, 2))


def sliced_wasserstein(x, y, n_directions=200, seed=0):
    """Sliced 2-Wasserstein distance between equally many rows."""
    directions = np.random.default_rng(seed).standard_normal((x.shape[1], n_directions))
    directions /= np.linalg.norm(directions, axis=0)
    return float(np.sqrt(np.mean((np.sort(x @ directions, 0) - np.sort(y @ directions, 0)) ** 2)))


@pytest.mark.parametrize("seed", range(3))
def test_the_residual_brings_the_ring_closer_by_a_third(seed):
    """Measured with 50,000 draws: ratios of 0.36 to 0.53 over seeds, a plain distance of 0.18.

    Their standard deviation over seeds is 0.07. Two sets of 50,000 fresh rows are 0.02 to 0.04
    apart. (With 5000 they are 0.05 to 0.11 apart, and ratios scatter between 0.5 and 1.)
    """
    n = 50_000
    X = ring(5000, np.random.default_rng(seed))
    fit = diffgmm.fit(X, 4, model="diffusion", random_seed=seed, progressbar=False)
    fresh = ring(n, np.random.default_rng(100 + seed))
    plain = sliced_wasserstein(fit.mixture.sample(n, random_seed=seed), fresh)
    learned = sliced_wasserstein(fit.sample(n, random_seed=seed), fresh)
    assert fit.score_model.n_score_evaluations <= 10
    assert learned <= 2.0 / 3.0 * plain


# the other samplers, on a line where the law of any draw is known


KOLMOGOROV = stats.kstwobign.isf(FALSE_ALARM)  # of sqrt(n) times the largest distance


def distance(draws, mixture):
    """Return the Kolmogorov-Smirnov distance of draws (N, 1) from a mixture on a line."""
    x = np.sort(draws[:, 0])
    seen = (np.arange(len(x)) + 0.5) / len(x)
    return float(np.abs(reference_diffusion.cumulative(mixture, x) - seen).max())


# Steps, and what is left of the method's own error there: the share of probability that a step of
# order h moves. Measured with 600,000 draws: 0.0022, 0.0045, 0.0024, 0.0009, 0.0009.
ON_A_LINE = {
    "gms": (10, 0.004),
    "sde": (94, 0.006),
    "predictor-corrector": (94, 0.004),
    "heun": (40, 0.002),
    "dpm++": (40, 0.002),
}


@pytest.mark.parametrize("name", ON_A_LINE)
def test_samplers_reach_the_law_on_a_line(name):
    steps, own = ON_A_LINE[name]
    mixture = targets.TARGETS["two_on_a_line"]
    draws = silent(mixture).sample(N_DRAWS, random_seed=14, sampler=name, steps=steps)
    assert distance(draws, mixture) < own + KOLMOGOROV / np.sqrt(N_DRAWS)


def printed_step(draws, score, a, b, noise):
    """The step as the paper prints it, with t - 1 in place of t + 1."""
    clock, next_clock = a * a - 1.0, b * b - 1.0
    gain = 2.0 * (clock - np.sqrt(abs(next_clock * clock)))
    return draws + gain * score + np.sqrt(a * a - b * b) * noise


def test_the_printed_formula_is_caught(monkeypatch):
    monkeypatch.setattr("diffgmm.diffusion.samplers.sde.sde_step", printed_step)
    mixture = targets.TARGETS["two_on_a_line"]
    try:
        draws = silent(mixture).sample(20_000, random_seed=14, sampler="sde", steps=94)
    except diffgmm.errors.SamplingDivergedError:
        return
    assert distance(draws, mixture) > 0.1


def test_gms_is_closer_than_a_gaussian_kernel_in_five_steps(monkeypatch):
    """The same two moments without the third: what Analytic-DPM draws from."""
    mixture = targets.TARGETS["two_on_a_line"]
    model, n = silent(mixture), 10 * N_DRAWS
    options = {"random_seed": 15, "sampler": "gms", "steps": 5}
    three = distance(model.sample(n, **options), mixture)
    exact = gms.two_components
    monkeypatch.setattr(gms, "two_components", lambda v, third: exact(v, 0.0 * third))
    two = distance(model.sample(n, **options), mixture)
    assert three + 2.0 * KOLMOGOROV / np.sqrt(n) < two


def test_in_the_plane_samplers_have_the_moments_and_waves_of_the_mixture():
    """Each within its own bias of z: 10 at most, where each planted fault above has 30 and more."""
    mixture = targets.TARGETS["three_in_the_plane"]
    for name, steps in (("gms", 20), ("heun", 60), ("dpm++", 60)):
        draws = silent(mixture).sample(N_DRAWS, random_seed=16, sampler=name, steps=steps)
        assert np.abs(z_scores(draws, mixture)).max() < 10.0, name


def test_draws_of_the_flow_have_the_density_of_the_flow():
    """With an active residual, against the integral of `log_density` over a grid."""
    rng = np.random.default_rng(6)
    model = silent(targets.TARGETS["two_on_a_line"])
    sigmas = np.array([1.5, 0.7, 0.3])
    coefficients = 0.15 * rng.standard_normal((3, 2, 3, 1))
    model = model.with_residual(sigmas, coefficients, np.ones((3, 2), bool), None)
    grid = np.linspace(-8.0, 8.0, 1601)
    density = np.exp(model.log_density(grid[:, None]))
    cumulative = np.append(0.0, np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(grid)))
    assert cumulative[-1] == pytest.approx(1.0, abs=1e-3)

    def away(sampler, steps):
        draws = np.sort(model.sample(N_DRAWS, random_seed=17, sampler=sampler, steps=steps)[:, 0])
        seen = (np.arange(N_DRAWS) + 0.5) / N_DRAWS
        return np.abs(np.interp(draws, grid, cumulative) - seen).max()

    assert away("heun", 60) < KOLMOGOROV / np.sqrt(N_DRAWS) + 2e-3
    assert away("dpm++", 60) < KOLMOGOROV / np.sqrt(N_DRAWS) + 2e-3
    # And it is not the mixture's density: that one would be seen.
    mixture = reference_diffusion.cumulative(targets.TARGETS["two_on_a_line"], grid * 1.0)
    assert np.abs(mixture - cumulative).max() > 0.02
