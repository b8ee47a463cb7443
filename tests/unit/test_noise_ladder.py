"""Placing levels, particles, and what `sample` and `compute_log_evidence` say of the ladder."""

import numpy as np
import pytest
from scipy import stats

import diffgmm
from diffgmm import compute_log_evidence, sample
from diffgmm.covariance import family_of
from diffgmm.data import Data
from diffgmm.errors import InvalidParameterError
from diffgmm.posterior import ladder
from diffgmm.posterior.bridge import Coordinates, Numbering, Parameters, fixed_point
from diffgmm.posterior.gibbs import Target
from diffgmm.posterior.smc import Particles, distance_of, systematic

# Runs are short on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::diffgmm.errors.ConvergenceWarning")

OPTIONS = {"progressbar": False, "random_seed": 1, "chains": 2, "draws": 40, "tune": 40}


@pytest.fixture(scope="module")
def galaxies():
    return np.asarray(diffgmm.datasets.load_galaxies().data)


@pytest.fixture(scope="module")
def climbed(galaxies):
    return sample(galaxies, 3, method="diffusion", **OPTIONS)


def test_levels_are_evenly_spaced_in_distance():
    levels, distances = np.array([8.0, 4.0, 1.0, 0.0]), np.array([2.0, 1.0, 1.0])
    np.testing.assert_allclose(ladder.place(levels, distances, 5, np.inf), [8, 6, 4, 1, 0])
    np.testing.assert_allclose(ladder.place(levels, distances, 3, 1.0), [4, 1, 0])


def test_swap_rate_of_a_distance(rng):
    """Normal log weights of sd s: mean min(1, exp(difference)) is 2 Phi(-s / sqrt 2)."""
    for s in (0.5, 1.5):
        expected = 2.0 * stats.norm.cdf(-s / np.sqrt(2.0))
        np.testing.assert_allclose(ladder.distance_at(np.array([expected])), s, rtol=1e-6)
        gap = s * np.sqrt(2.0) * rng.standard_normal(400_000) - s**2
        np.testing.assert_allclose(np.minimum(1.0, np.exp(gap)).mean(), expected, atol=0.005)
        np.testing.assert_allclose(distance_of(s * rng.standard_normal(10**6)), s, rtol=0.05)


def test_systematic_resampling_keeps_expected_counts(rng):
    weights = np.array([0.5, 0.26, 0.0, 0.24])
    counts = sum(np.bincount(systematic(weights, rng), minlength=4) for _ in range(4_000))
    np.testing.assert_allclose(counts / 4_000, 4 * weights, atol=0.05)
    assert counts[2] == 0


def test_particles_keep_to_given_levels(galaxies):
    prior = diffgmm.Prior.weakly_informative(galaxies)
    target = Target.of(Data.of(galaxies), family_of("full"), prior, 2)
    levels = np.array([9.0, 2.0, 1.0, 0.0])
    particles = Particles(target, 8, 1, np.random.default_rng(1), levels)
    while not particles.is_done:
        particles.run_batch()
    np.testing.assert_array_equal(particles.passage().levels, levels)


def test_what_the_ladder_says(climbed):
    stats_ = climbed["sample_stats"]
    levels, rates = stats_["noise_level"].values, stats_["swap_rate"].values
    assert levels.shape == rates.shape
    assert np.all(np.diff(levels, axis=1) <= 0.0)
    assert np.all(levels[:, -1] == 0.0)
    assert np.all(np.isnan(rates[:, -1]))
    assert np.all((rates[:, :-1] >= 0.0) & (rates[:, :-1] <= 1.0))
    assert stats_["round_trips"].dims == ("chain",)
    assert climbed["posterior"].attrs["inference_method"] == "noise ladder"


def test_draws_depend_on_neither_cores_nor_chains(climbed, galaxies):
    other = sample(galaxies, 3, method="diffusion", **{**OPTIONS, "chains": 3}, cores=1)
    first = climbed["sample_stats"]["log_lik"].values[0]
    np.testing.assert_array_equal(other["sample_stats"]["log_lik"].values[0], first)


class Bars:
    """Progress whose bars say what they were told."""

    told: dict

    def __init__(self, enabled=True):
        Bars.told = {}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def bars(self, labels, total):
        return lambda index, done: self.told.setdefault(labels[index], []).append((done, total))

    def levels(self, label):
        return lambda index, total: self.told.setdefault(label, []).append((index + 1, total))


def test_particles_have_a_bar_that_ends(galaxies, monkeypatch):
    monkeypatch.setattr("diffgmm.posterior.runs.Progress", Bars)
    sample(galaxies, 2, method="diffusion", **{**OPTIONS, "chains": 1, "cores": 1})
    levels = Bars.told["Particles"]
    assert levels[0] == (1, None)
    assert levels[-1] == (max(done for done, _ in levels), levels[-1][0])
    assert Bars.told["Chain 0"][-1] == (80, 80)


def test_starts_from_the_prior(galaxies):
    idata = sample(galaxies, 3, init="prior", **OPTIONS)
    assert idata["posterior"].attrs["starts"] == '["prior draw", "prior draw"]'


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "identity"])
def test_coordinates_come_back(covariance_type, rng):
    x = rng.standard_normal((30, 2))
    prior = diffgmm.Prior.weakly_informative(x, covariance_type=covariance_type)
    target = Target.of(Data.of(x), family_of(covariance_type), prior, 2)
    coordinates = Coordinates(target)
    draws = Parameters(**prior.draw(2, 5, 3))
    vectors, jacobian = coordinates.vectors(draws)
    again = coordinates.draws(vectors)
    for name in ("weights", "means", "covariances", "C0"):
        if getattr(draws, name) is not None:
            np.testing.assert_allclose(getattr(again, name), getattr(draws, name), rtol=1e-8)
    assert jacobian.shape == (5,)


def test_the_volume_of_a_matrix(rng):
    """Derivatives of a 2 x 2 matrix by its three coordinates, by differences."""
    x = rng.standard_normal((30, 2))
    prior = diffgmm.Prior.weakly_informative(x)
    coordinates = Coordinates(Target.of(Data.of(x), family_of("full"), prior, 1))
    draws = Parameters(**prior.draw(1, 1, 3))
    vector, jacobian = coordinates.vectors(draws)

    def free(v):
        own = coordinates.draws(v[None])
        return np.array(
            [*own.covariances[0, 0][np.tril_indices(2)], *own.C0[0][np.tril_indices(2)]]
        )

    step, v = 1e-6, vector[0]
    columns = [(free(v + step * e) - free(v - step * e)) / (2 * step) for e in np.eye(len(v))[2:]]
    np.testing.assert_allclose(np.linalg.slogdet(np.array(columns))[1], jacobian[0], rtol=1e-5)


def test_the_bridge_of_two_normal_laws(rng):
    """p = 3 N(0, 1), q = N(0.5, 1.2^2); the ratio is log 3. Too small an error is the fault."""
    z = []
    for _ in range(200):
        p, q = rng.standard_normal((2, 400)), 0.5 + 1.2 * rng.standard_normal(800)

        def log_ratio(y):
            return np.log(3.0) + stats.norm.logpdf(y) - stats.norm.logpdf(y, 0.5, 1.2)

        found, error = fixed_point(log_ratio(p), log_ratio(q))
        z.append((found - np.log(3.0)) / error)
    # 200 replicates: the sd of z is known to 5 %, so that 0.8 to 1.25 is four of them.
    assert 0.8 < np.std(z) < 1.25


def test_a_normal_law_outside_the_domain_says_that_nothing_is_known(galaxies, monkeypatch):
    """No proposal is numbered as the draws are."""
    idata = sample(galaxies, 2, **{**OPTIONS, "draws": 60})
    monkeypatch.setattr(
        Numbering, "contains", lambda self, draws: np.zeros(len(draws.weights), dtype=bool)
    )
    found = compute_log_evidence(idata, random_seed=1)
    assert (found.log_evidence, found.std_error) == (-np.inf, np.inf)


def test_bad_evidence(climbed, galaxies):
    with pytest.raises(InvalidParameterError, match="method must be 'bridge' or 'smc', got 'nse'"):
        compute_log_evidence(climbed, method="nse")
    short = sample(galaxies, 3, **{**OPTIONS, "draws": 20})
    with pytest.raises(InvalidParameterError, match="Bridge sampling of 9 parameters needs 36"):
        compute_log_evidence(short)
    weighted = sample(galaxies, 1, sample_weight=np.full(len(galaxies), 2), **OPTIONS)
    with pytest.raises(InvalidParameterError) as caught:
        compute_log_evidence(weighted)
    assert str(caught.value) == (
        "The evidence of rows with a sample_weight is not defined: their weighted likelihood is no "
        "density. Sample without sample_weight, or give repeated rows."
    )
