"""When chains get steps, what they propose, and that the draws stay the posterior's."""

import numpy as np
import pytest
from scipy import stats

from diffgmm import GaussianMixture, Prior
from diffgmm.covariance import family_of
from diffgmm.data import Data
from diffgmm.kernels import sweep
from diffgmm.posterior import marginal_steps
from diffgmm.posterior.adaptation import adapt
from diffgmm.posterior.coordinates import Coordinates
from diffgmm.posterior.gibbs import Target
from diffgmm.posterior.modes import find_mode, widened
from diffgmm.posterior.sample import Settings, sample_posterior
from diffgmm.posterior.starts import Start, state_at
from diffgmm.posterior.warm_up import Warm
from diffgmm.progress import Progress

# False alarms of the statistical test, over all its statistics.
FALSE_ALARM = 1e-3

FAMILIES = ["full", "tied", "diag", "spherical", "identity"]


def overlapping(n=400):
    """Return rows of two components three standard deviations apart."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((n, 2))
    x[: n // 3, 0] += 3.0
    return x


def prior_of(x, kind, drawn=True):
    prior = Prior.weakly_informative(x, covariance_type=kind)
    if drawn or kind == "identity":
        return prior
    scale = {"diag": np.ones(2), "spherical": 1.0}.get(kind, np.eye(2))
    return prior.replace(C0=scale, g0=None, G0=None)


def target_of(kind, drawn=True):
    x = overlapping()
    return Target.of(Data.of(x), family_of(kind), prior_of(x, kind, drawn), 2)


def state_of(target):
    covariances = {
        "diag": np.ones((2, 2)),
        "spherical": np.ones(2),
        "identity": np.ones(2),
    }.get(target.family.name, np.stack([np.eye(2)] * 2))
    means = np.array([[0.0, 0.0], [3.0, 0.0]])
    return state_at(target, Start("fit", np.array([0.66, 0.34]), means, covariances))


def recorded(target, n=300):
    state, draws = state_of(target), target.new_draws(n, np.empty((0, 400)), 1)
    rng = np.random.default_rng(1)
    sweep.gibbs(target.rows, target.kernel_prior, state, draws, np.zeros(100), -100, n, rng)
    return state, draws


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("drawn", [True, False])
def test_gradient_is_that_of_the_value(kind, drawn):
    target = target_of(kind, drawn)
    own = Coordinates(target, state_of(target))
    point = own.of_draws(recorded(target, 1)[1])[0][0]
    value, gradient = own.value_and_gradient(point, target.rows)
    step = 1e-5
    numeric = [
        (
            own.value_and_gradient(point + e, target.rows)[0]
            - own.value_and_gradient(point - e, target.rows)[0]
        )
        / (2.0 * step)
        for e in step * np.eye(own.n_coordinates)
    ]
    # Differences of second order, and rounding of values of size 1e3.
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-5 * abs(value) / 1e2)


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_mode_has_no_gradient_and_more_than_any_draw(kind):
    target = target_of(kind)
    state, draws = recorded(target)
    own = Coordinates(target, state)
    points, log_posterior = own.of_draws(draws)
    mode = find_mode(own, points[np.argmax(log_posterior)])
    value, gradient = own.value_and_gradient(mode.centre, target.rows)
    assert value > log_posterior.max()
    assert gradient @ np.linalg.solve(mode.curvature, gradient) < 0.01
    centre, root = widened(own, mode)
    white = np.linalg.solve(root, (points - centre).T)
    # A normal law that resembles the posterior: squares near P, far from those of a wrong scale.
    assert 0.6 < np.square(white).sum(axis=0).mean() / len(root) < 1.7


def test_share_of_sweeps_is_that_of_an_autoregression(rng):
    for r in (0.0, 0.5, 0.9):
        x = np.zeros((20_000, 1))
        noise = rng.standard_normal(20_000)
        for s in range(1, 20_000):
            x[s] = r * x[s - 1] + noise[s]
        # r has the standard error 0.007 at most, and two of them are taken off.
        low, high = ((1 - q) / (1 + q) for q in (r + 0.03, r - 0.05))
        assert low < marginal_steps.share_of_sweeps(np.column_stack([x, np.ones(20_000)])) < high


def test_share_of_steps(rng):
    assert marginal_steps.share_of_steps(np.full(50, -1e4)) == pytest.approx(1.0)
    log_ratios = rng.standard_normal(300)
    inverse = np.exp(-log_ratios)
    rates = np.minimum(inverse[:, None], inverse).sum(axis=1) / inverse.sum()
    expected = 1.0 / np.mean(2.0 / rates - 1.0)
    assert marginal_steps.share_of_steps(log_ratios + 1e3) == pytest.approx(expected)


def sampled(monkeypatch, kind, always, draws=4_000, cores=1, **options):
    """Return draws with steps in all chains, or in none."""
    if always:
        monkeypatch.setattr(marginal_steps, "GOOD_SHARE", np.inf)
        monkeypatch.setattr(marginal_steps, "share_of_steps", lambda log_ratios: np.inf)
    else:
        monkeypatch.setattr(marginal_steps, "GOOD_SHARE", 0.0)
    x = overlapping()
    data, family, prior = Data.of(x), family_of(kind), prior_of(x, kind)
    settings = Settings(draws=draws, tune=400, cores=cores, **options)
    return sample_posterior(data, family, prior, 2, settings, np.random.SeedSequence(7))


def test_draws_depend_on_neither_cores_nor_what_is_kept(monkeypatch):
    one = sampled(monkeypatch, "full", True, 60)
    other = sampled(monkeypatch, "full", True, 60, cores=2)
    np.testing.assert_array_equal(one.means, other.means)
    np.testing.assert_array_equal(one.log_lik, other.log_lik)
    without = sampled(monkeypatch, "full", True, 60, compute_log_likelihood=False)
    np.testing.assert_array_equal(one.means, without.means)
    np.testing.assert_allclose(one.pointwise.sum(axis=-1), one.log_lik, rtol=1e-12)
    stayed = np.diff(one.weights[..., 0], axis=1) == 0.0
    assert 0.0 < stayed.mean() < 0.8  # steps are refused, sweeps never


def test_moves_between_steps_leave_nothing_stale(monkeypatch):
    """What a step knows of the state before a split-merge move is not recorded after it."""
    found, x = sampled(monkeypatch, "full", True, 200, init="prior"), overlapping()
    assert np.isfinite(found.split_merge_rate).any()
    assert np.mean(np.diff(found.weights[..., 0], axis=1) == 0.0) > 0.0  # there are steps, too
    for chain, draw in np.ndindex(found.log_lik.shape):
        own = found.weights[chain, draw], found.means[chain, draw], found.covariances[chain, draw]
        expected = GaussianMixture(*own).log_density(x).sum()
        assert found.log_lik[chain, draw] == pytest.approx(expected, rel=1e-9)


def label_free(draws):
    w = np.sort(draws.weights, axis=-1)[..., 0]
    columns = [draws.log_lik, draws.lp, w, w**2, *np.moveaxis(draws.log_density_anchor, -1, 0)]
    if draws.C0 is not None:
        columns.append(np.log(draws.C0.reshape(*w.shape, -1)[..., 0]))
    return np.stack(columns, axis=-1)


@pytest.mark.statistical
@pytest.mark.parametrize("kind", ["full", "diag"])
def test_means_are_those_of_plain_sweeps(monkeypatch, kind):
    """Means of label-free quantities with and without steps, by t tests of batches."""
    with monkeypatch.context() as own:
        plain = label_free(sampled(own, kind, False, 10_000))
    with monkeypatch.context() as own:
        steps = label_free(sampled(own, kind, True, 10_000))
    batches = [x.reshape(4 * 8, -1, x.shape[-1]).mean(axis=1) for x in (plain, steps)]
    p = stats.ttest_ind(*batches, axis=0, equal_var=False).pvalue
    assert p.min() > FALSE_ALARM / len(p)


def test_many_coordinates_have_no_steps(monkeypatch):
    target = target_of("full")
    state = state_of(target)
    n = Coordinates(target, state).n_coordinates
    for most in (n - 1, n):
        monkeypatch.setattr(marginal_steps, "MOST_COORDINATES", most)
        assert marginal_steps.may_step(target, state) == (most == n)


@pytest.mark.parametrize(("tune", "is_watched"), [(666, False), (668, True)])
def test_few_sweeps_say_nothing(monkeypatch, tune, is_watched):
    """Of what is left of the warm-up three quarters are watched, if these are fifty sweeps."""
    monkeypatch.setattr(marginal_steps, "with_steps", lambda target, chains, *_: [len(chains)])
    target = target_of("full")
    warm = Warm([state_of(target)], [np.random.default_rng(1)], [False], False, [], 600, 0.0)
    quiet = Progress(False)
    targets, after = adapt(target, warm, tune, 1, False, quiet, lambda index, done: None)
    assert targets == [target]
    assert (after.n_sweeps, after.states == [1]) == ((651, True) if is_watched else (600, False))
