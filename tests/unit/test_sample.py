"""`sample`: seeds, threads, Ctrl-C, starts, thinning, warnings, refusals."""

import json
import re
import threading
import warnings

import numpy as np
import pytest
from scipy import special, stats

import diffgmm
from diffgmm import Prior
from diffgmm.covariance import FAMILIES, family_of
from diffgmm.data import Data
from diffgmm.datasets import load_faithful, load_galaxies
from diffgmm.errors import ConvergenceWarning, InvalidDataError, InvalidParameterError
from diffgmm.posterior import gibbs, runs, sample, starts, warm_up
from diffgmm.posterior.gibbs import Target
from diffgmm.posterior.runs import Settings, pointwise_step
from diffgmm.posterior.sample import sample_posterior
from diffgmm.progress import Progress
from diffgmm.report.convergence import remedy_of, warn_unless_converged

SHORT = Settings(draws=30, tune=40, chains=4, cores=2)


def posterior(x=None, k=2, settings=SHORT, seed=1, prior=None, kind="full"):
    data = Data.of(load_faithful() if x is None else x)
    prior = prior or Prior.weakly_informative(data, covariance_type=kind)
    return sample_posterior(data, family_of(kind), prior, k, settings, np.random.SeedSequence(seed))


def changed(**changes):
    return Settings(**{**SHORT.__dict__, **changes})


# ---- seeds and threads


@pytest.fixture
def told_apart():
    """A prior under which labels mean something, so that draws stay as sampled."""
    prior = Prior.weakly_informative(load_faithful())
    return prior.replace(concentration=[1.0, 1.0 + 1e-9])


def test_more_chains_leave_the_first_ones_alone(told_apart):
    runs = [posterior(settings=changed(chains=n), prior=told_apart) for n in (1, 2, 6)]
    for run in runs[:2]:
        n = len(run.weights)
        np.testing.assert_array_equal(run.means, runs[2].means[:n])
        np.testing.assert_array_equal(run.log_lik, runs[2].log_lik[:n])
        np.testing.assert_array_equal(run.pointwise, runs[2].pointwise[:n])
        assert run.starts == runs[2].starts[:n]


def test_draws_do_not_depend_on_threads_or_batches(monkeypatch):
    one = posterior(settings=changed(cores=1))
    monkeypatch.setattr(gibbs, "BATCH_SECONDS", 1e-9)  # one sweep at a time
    four = posterior(settings=changed(cores=4))
    for name in ("weights", "means", "covariances", "C0", "log_lik", "n_filled", "pointwise"):
        np.testing.assert_array_equal(getattr(one, name), getattr(four, name))


def test_seeds():
    one, same, other = posterior(seed=1), posterior(seed=1), posterior(seed=2)
    np.testing.assert_array_equal(one.means, same.means)
    assert not np.array_equal(one.means, other.means)
    # No two chains share a stream.
    assert len(np.unique(one.log_lik)) == one.log_lik.size


def test_a_generator_and_no_seed_at_all():
    values = np.random.default_rng(0).standard_normal((40, 1))
    quick = {"draws": 120, "tune": 20, "chains": 1, "progressbar": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        runs = [
            diffgmm.sample(values, 1, random_seed=seed, **quick)["posterior"]
            for seed in (np.random.default_rng(5), np.random.default_rng(5), None, None)
        ]
    means = [run["means"].values for run in runs]
    np.testing.assert_array_equal(means[0], means[1])
    assert not np.array_equal(means[2], means[3])
    # The attributes name the stream.
    entropy = json.loads(runs[2].attrs["random_seed"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        again = diffgmm.sample(values, 1, random_seed=entropy, **quick)
    np.testing.assert_array_equal(again["posterior"]["means"].values, means[2])


def test_data_are_not_modified():
    values = np.asarray(load_faithful().data).copy()
    before = values.copy()
    posterior(values)
    np.testing.assert_array_equal(values, before)


# ---- units and labels


def test_units_are_the_users():
    """Rescaled data under a rescaled prior give rescaled draws, and densities with the Jacobian."""
    x = np.asarray(load_faithful().data)
    scale, shift = np.array([100.0, 1e-3]), np.array([-5.0, 7.0])
    prior = Prior.weakly_informative(x)
    one = posterior(x, prior=prior)
    other = posterior((x - shift) / scale, prior=Prior.weakly_informative((x - shift) / scale))
    np.testing.assert_allclose(other.means, (one.means - shift) / scale, rtol=1e-6)
    np.testing.assert_allclose(
        other.covariances, one.covariances / np.outer(scale, scale), rtol=1e-5
    )
    jacobian = np.log(scale).sum()
    np.testing.assert_allclose(other.log_lik, one.log_lik + len(x) * jacobian, rtol=1e-7)
    np.testing.assert_allclose(other.pointwise, one.pointwise + jacobian, rtol=1e-5)


@pytest.mark.parametrize("kind", ["tied", "diag", "spherical"])
def test_units_of_other_families_are_the_users(kind):
    """As above; spherical covariances know one scale only."""
    x = np.asarray(load_faithful().data)
    scale = np.array([100.0, 100.0] if kind == "spherical" else [100.0, 1e-3])
    unit = {"tied": np.outer(scale, scale), "diag": scale**2, "spherical": 1e4}[kind]
    one, other = posterior(x, kind=kind), posterior(x / scale, kind=kind)
    for name in ("covariances", "C0"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name) / unit, rtol=1e-5)
    jacobian = np.log(scale).sum()
    np.testing.assert_allclose(other.log_lik, one.log_lik + len(x) * jacobian, rtol=1e-7)


def test_labels_are_permuted_together():
    """Aligned draws are the draws as sampled, each with one order for all its parameters."""
    # NumPy draws a gamma variate of shape 1 by a method of its own, so that 1 + 1e-15 differs.
    alike = Prior.weakly_informative(load_faithful()).replace(concentration=1.5)
    told = alike.replace(concentration=[1.5, 1.5 + 1e-15])
    assert told.is_exchangeable is False
    plain, aligned = posterior(prior=told), posterior(prior=alike)
    assert not plain.aligned
    assert aligned.aligned
    np.testing.assert_allclose(plain.log_lik, aligned.log_lik, rtol=1e-9)
    order = np.argsort(aligned.weights, axis=-1)
    as_sampled = np.argsort(plain.weights, axis=-1)
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(
            sample.permute(getattr(aligned, name), order),
            sample.permute(getattr(plain, name), as_sampled),
            rtol=1e-6,
        )


# ---- families


SHAPES = {
    "full": ((2, 2, 2), (2, 2)),
    "tied": ((2, 2), (2, 2)),
    "diag": ((2, 2), (2,)),
    "spherical": ((2,), ()),
}


def matrices(kind, covariances):
    """Return one draw's covariances of two components as matrices."""
    if kind == "tied":
        return [covariances, covariances]
    if kind == "identity":
        return [np.eye(2), np.eye(2)]
    return [np.array(c) if np.ndim(c) == 2 else c * np.eye(2) for c in covariances]


@pytest.mark.parametrize("fixed", [False, True], ids=["C0 drawn", "C0 fixed"])
@pytest.mark.parametrize("kind", list(FAMILIES))
def test_lp_is_the_density_written_out(kind, fixed):
    """Normalised prior, C0 included, plus the likelihood, in the units of the user."""
    prior = Prior.weakly_informative(load_faithful(), covariance_type=kind)
    if fixed and kind != "identity":
        rate = prior.G0
        prior = prior.replace(C0=np.linalg.inv(rate) if np.ndim(rate) == 2 else 1.0 / rate)
    run = posterior(kind=kind, prior=prior)
    x = np.asarray(load_faithful().data)
    for chain, draw in ((0, 0), (1, 7), (3, 29)):
        at = (chain, draw)
        weights, means = run.weights[at], run.means[at]
        own = None if run.covariances is None else run.covariances[at]
        log_lik = special.logsumexp(
            [
                np.log(w) + stats.multivariate_normal(m, c).logpdf(x)
                for w, m, c in zip(weights, means, matrices(kind, own), strict=True)
            ],
            axis=0,
        ).sum()
        assert run.log_lik[at] == pytest.approx(log_lik, rel=1e-9)
        lp = log_lik + stats.dirichlet([1.0, 1.0]).logpdf(weights)
        lp += stats.multivariate_normal(prior.m0, prior.B0).logpdf(means).sum()
        if kind in SHAPES:
            C0 = run.C0[at] if run.C0 is not None else prior.C0
            if kind in ("full", "tied"):
                law = stats.invwishart(2 * prior.c0, 2 * C0)
                lp += sum(law.logpdf(c) for c in (own if kind == "full" else own[None]))
                if not fixed:
                    lp += stats.wishart(2 * prior.g0, np.linalg.inv(2 * prior.G0)).logpdf(C0)
            else:
                lp += stats.invgamma(prior.c0, scale=C0).logpdf(own).sum()
                if not fixed:
                    lp += stats.gamma(prior.g0, scale=1 / np.asarray(prior.G0)).logpdf(C0).sum()
        assert run.lp[at] == pytest.approx(lp, rel=1e-9)


@pytest.mark.parametrize("kind", list(SHAPES))
def test_shapes_are_natural(kind):
    run = posterior(kind=kind)
    covariances, scale = SHAPES[kind]
    assert run.covariances.shape == (4, 30, *covariances)
    assert run.C0.shape == (4, 30, *scale)


@pytest.mark.parametrize("kind", ["tied", "diag", "spherical"])
def test_arviz_dimensions_of_families(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        idata = diffgmm.sample(
            load_faithful(), 2, covariance_type=kind, draws=60, tune=60, random_seed=1
        )
    dims = {
        "tied": (("feature", "feature_bis"), ("feature", "feature_bis")),
        "diag": (("cluster", "feature"), ("feature",)),
        "spherical": (("cluster",), ()),
    }[kind]
    group = idata["posterior"]
    assert group["covariances"].dims == ("chain", "draw", *dims[0])
    assert group["C0"].dims == ("chain", "draw", *dims[1])
    assert set(idata["log_prior"].data_vars) == {"weights", "means", "covariances", "C0"}
    rows = idata["posterior_predictive"]["x"].values
    x = np.asarray(load_faithful().data)
    # The mixture's mean has a posterior sd of sd / sqrt(272): 4 standard errors of the mean of 16
    # independent draws, of which 240 dependent ones are worth more. Equal weights would fail.
    error = x.std(axis=0) / np.sqrt(len(x))
    equal = group["means"].values.mean(axis=(0, 1, 2))
    assert np.all(np.abs(rows.mean(axis=(0, 1, 2)) - x.mean(axis=0)) < error)
    assert np.all(np.abs(equal - x.mean(axis=0)) > error)


# Posterior draw 29 of each chain, seed 1, Old Faithful with K = 2, as first released. The numbers of
# a seed are part of the contract.
FIRST_WEIGHT = {
    "full": [0.683315033, 0.608222273, 0.662201093, 0.690053836],
    "identity": [0.63544129, 0.65610333, 0.625238457, 0.652152984],
    "tied": [0.653929244, 0.693794794, 0.638279924, 0.999359216],
    "diag": [0.618726098, 0.679927273, 0.679323794, 0.633153077],
    "spherical": [0.604069047, 0.618744496, 0.65243036, 0.643838651],
}
LOG_LIKELIHOOD = {
    "full": [-1136.379224, -1137.015732, -1136.624491, -1138.324852],
    "identity": [-5130.020479, -5132.552897, -5131.200945, -5130.359124],
    "tied": [-1144.418766, -1143.741741, -1144.205743, -1291.43556],
    "diag": [-1150.265849, -1156.765121, -1152.264068, -1150.840353],
    "spherical": [-1713.216913, -1715.431251, -1713.223734, -1713.983208],
}


@pytest.mark.parametrize("kind", list(FIRST_WEIGHT))
def test_the_numbers_of_a_seed(kind):
    run = posterior(kind=kind)
    np.testing.assert_allclose(run.weights[:, 29, 0], FIRST_WEIGHT[kind], rtol=1e-6)
    np.testing.assert_allclose(run.log_lik[:, 29], LOG_LIKELIHOOD[kind], rtol=1e-8)


# ---- starts and warm-up


def test_starts_are_recorded():
    assert posterior(settings=changed(chains=6, tune=0)).starts == [
        "fit",
        "prior draw",
        "fit to reweighted rows",
        posterior(settings=changed(tune=0)).starts[3],
        "prior draw",
        "fit to reweighted rows",
    ]


@pytest.mark.once
def test_many_rows_and_a_short_warm_up(rng):
    """Of chains annealed over all rows in these 50 sweeps, about half end in a wrong mode."""
    means = np.array([[0.0, 0, 0], [3.0, 0, 1], [0.0, 4, -1], [4.0, 4, 4]])
    values = means[rng.choice(4, 12_000, p=[0.4, 0.3, 0.2, 0.1])] + rng.standard_normal((12_000, 3))
    settings = changed(chains=8, tune=100, init="prior", compute_log_likelihood=False)
    run = posterior(values, 4, settings)
    assert run.starts == ["prior draw"] * 8
    log_lik = run.log_lik.mean(axis=1)
    assert np.ptp(log_lik) < 20.0  # a wrong mode is some hundred nats below


def test_annealing_on_a_part_has_a_bar_and_counts_as_time(monkeypatch, rng):
    monkeypatch.setattr(warm_up, "ROWS_ANNEALED", 100)
    honest, told = warm_up.run_chains, []
    monkeypatch.setattr(
        warm_up, "run_chains", lambda *given: honest(*given)._replace(seconds=1_000.0)
    )
    monkeypatch.setattr(
        Progress,
        "bars",
        lambda self, labels, total: lambda index, done: told.append((labels[index], done, total)),
    )
    settings = changed(chains=1, tune=100, init="prior", compute_log_likelihood=False)
    run = posterior(settings=settings)
    assert ("Annealing", 1_530, 1_530) in told  # three times 500 sweeps, and 10 to compare
    assert run.seconds > 2_000.0  # on the part, and on all rows


def test_no_warm_up_is_none(monkeypatch):
    """The chain's first draw is where it starts."""
    monkeypatch.setattr(warm_up, "ROWS_ANNEALED", 100)
    settings = changed(chains=1, tune=0, init="prior", compute_log_likelihood=False)
    run = posterior(settings=settings)
    target, sequence = run.target, np.random.SeedSequence(1)
    (start,) = starts.choose_starts(target, 1, sequence, 1, from_prior=True)
    np.testing.assert_allclose(np.sort(run.weights[0, 0]), np.sort(start.weights), rtol=1e-12)


def test_another_optimum_is_used_when_the_search_met_one():
    runs = [posterior(load_galaxies(), 5, changed(tune=0), seed) for seed in range(2)]
    assert "other optimum" in {run.starts[3] for run in runs}


def test_too_few_distinct_rows_for_a_fit():
    x = np.repeat([[0.0], [1.0], [5.0]], 4, axis=0)
    run = posterior(x, k=6)
    assert run.starts == ["prior draw"] * 4
    assert np.isfinite(run.lp).all()


class Recorded:
    """What `_is_better` reads of a chain."""

    def __init__(self, values):
        self.draws = self
        self.log_likelihood = np.array(values)


@pytest.mark.parametrize(
    ("chain", "rival", "expected"),
    [
        ([0.0, 2.0], [10.0, 12.0], True),
        ([0.0, 2.0], [1.0, 3.0], False),
        ([10.0, 12.0], [0.0, 2.0], False),
        ([-np.inf, -np.inf], [0.0, 2.0], False),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_rival_takes_over_only_when_it_is_clearly_better(chain, rival, expected):
    assert warm_up._is_better(Recorded(rival), Recorded(chain)) is expected


@pytest.mark.once
def test_annealed_rivals_leave_the_narrow_mode_of_galaxies():
    """From the fit half the chains would stay in a mode 8 nats low; the record says who left."""
    x = np.asarray(load_galaxies().data)
    prior = Prior(
        m0=x.mean(axis=0),
        B0=4.0 * np.cov(x.T).reshape(1, 1),
        c0=2.0,
        C0=np.cov(x.T).reshape(1, 1) / 18.0,
    )
    settings = Settings(draws=200, tune=1_000, chains=4, cores=2)
    low, taken = 0, 0
    for seed in range(5):
        run = posterior(x, 3, settings, seed, prior)
        low += (np.median(run.log_lik, axis=1) < -212.0).sum()
        taken += sum("then an annealed prior draw" in start for start in run.starts)
    assert low <= 1  # of 20, 0.5 % each
    assert taken >= 1


def test_noise_is_on_the_scale_of_the_data():
    x = 50.0 * np.random.default_rng(0).standard_normal((100, 2))
    for kind, expected in (("full", 1.0), ("identity", 50.0)):
        prior = Prior.weakly_informative(x, covariance_type=kind)
        levels = Target.of(Data.of(x), family_of(kind), prior, 2).noise_levels(10)
        assert levels[0] == pytest.approx(expected, rel=0.2)
        assert levels[-1] == pytest.approx(0.1 * levels[0])
        assert np.all(np.diff(levels) < 0.0)


@pytest.mark.parametrize("tune", [0, 1, 19, 99, 100, 101])
def test_any_length_of_warm_up(tune):
    run = posterior(settings=changed(tune=tune))
    assert np.isfinite(run.lp).all()


@pytest.mark.parametrize("kind", list(FAMILIES))
@pytest.mark.parametrize("k", [1, 2, 5])
def test_small_data(kind, k):
    rng = np.random.default_rng(0)
    for n, d in ((2, 1), (3, 3), (7, 2)):
        run = posterior(rng.standard_normal((n, d)), k, kind=kind)
        assert np.isfinite(run.lp).all()
        assert run.weights.shape == (4, 30, k)
        assert run.n_filled.min() >= 1
        assert run.n_filled.max() <= min(n, k)


# ---- Ctrl-C


class StopAfter:
    """Raise KeyboardInterrupt where the main thread waits, once the chains are far enough."""

    def __init__(self, monkeypatch, sweeps):
        original, far = gibbs.Chain.run_batch, threading.Event()

        def run_batch(chain):
            original(chain)
            if chain.position >= sweeps:
                far.set()

        def wait(futures, return_when=None):
            if return_when is not None:
                far.wait(60.0)
                raise KeyboardInterrupt
            return real_wait(futures)

        real_wait = gibbs.wait
        monkeypatch.setattr(gibbs.Chain, "run_batch", run_batch)
        monkeypatch.setattr(gibbs, "wait", wait)
        monkeypatch.setattr(gibbs, "BATCH_SECONDS", 1e-9)


def test_ctrl_c_returns_what_there_is(monkeypatch):
    StopAfter(monkeypatch, 20)
    with pytest.warns(UserWarning, match=r"Sampling was interrupted: \d+ of 100000 draws"):
        run = posterior(settings=changed(draws=100_000, tune=0))
    n = run.weights.shape[1]
    assert 1 <= n < 100_000
    assert run.interrupted
    assert run.means.shape == (4, n, 2, 2)
    assert run.pointwise.shape == (4, n, 272)
    assert np.isfinite(run.lp).all()


def test_ctrl_c_before_the_first_draw(monkeypatch):
    StopAfter(monkeypatch, -10_000_000)
    with pytest.raises(KeyboardInterrupt):
        posterior(settings=changed(tune=1_000_000, draws=5))


def test_an_error_in_a_thread_comes_out(monkeypatch):
    def run_batch(chain):
        raise MemoryError("no room")

    monkeypatch.setattr(gibbs.Chain, "run_batch", run_batch)
    with pytest.raises(MemoryError, match="no room"):
        posterior()


# ---- memory


def test_pointwise_log_likelihood_is_thinned_within_its_budget(monkeypatch):
    monkeypatch.setattr(runs, "POINTWISE_BYTES", 4 * 272 * 8 * 50)
    assert pointwise_step(changed(draws=50), 272) == 1
    assert pointwise_step(changed(draws=51), 272) == 2
    assert pointwise_step(changed(draws=1_000), 272) == 20
    with pytest.warns(UserWarning, match="kept at every third draw to stay below 1 GiB"):
        idata = diffgmm.sample(load_faithful(), 2, draws=150, tune=100, random_seed=1, cores=1)
    group = idata["log_likelihood"]
    assert group["draw"].values.tolist() == list(range(0, 150, 3))
    assert group.attrs["thinning"] == 3
    kept = idata["sample_stats"]["log_lik"].values[:, ::3]
    np.testing.assert_allclose(group["x"].values.sum(axis=-1), kept, rtol=1e-11)


def test_replicated_rows_are_thinned(monkeypatch):
    monkeypatch.setattr("diffgmm.report.posterior_groups.PREDICTIVE_VALUES", 4 * 40 * 272 * 2)
    idata = diffgmm.sample(load_faithful(), 2, draws=150, tune=100, random_seed=1)
    group = idata["posterior_predictive"]
    assert group["draw"].values.tolist() == list(range(0, 150, 4))
    assert group.attrs["thinning"] == 4


# ---- warnings


def chains_of(rng, shift=0.0, n_draws=500, repeat=1, chains=4):
    values = np.repeat(rng.standard_normal((chains, n_draws // repeat)), repeat, axis=1)
    values[0] += shift
    return {"lp": values, "n_filled": np.full((chains, n_draws), 2)}


def test_silence_when_chains_agree(rng):
    warn_unless_converged(chains_of(rng))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shift": 5.0}, r"R-hat of lp is 1\.\d{3}, above 1\.01: chains are in different modes"),
        ({"shift": 0.35}, r"R-hat of lp is 1\.0\d\d, above 1\.01: there are too few draws"),
        ({"repeat": 25, "chains": 1}, r"effective sample size of lp is \d+, below 100 per chain"),
        ({"n_draws": 40}, "40 draws per chain are too few to judge convergence"),
    ],
)
def test_warnings(options, message, rng):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_unless_converged(chains_of(rng, **options))
    assert [w.category for w in caught] == [ConvergenceWarning]
    assert re.search(message, str(caught[0].message))


@pytest.mark.parametrize(
    ("method", "row_weights", "message"),
    [
        ("gibbs", None, "sample_stats by chain, raise tune and draws, or use method='diffusion'."),
        ("gibbs", np.ones(3), "sample_stats by chain, raise tune and draws."),
        (
            "diffusion",
            None,
            "sample_stats by chain, with few round_trips raise tune and draws, or use "
            "method='gibbs', whose chains start at fits.",
        ),
    ],
)
def test_the_remedy_is_one_that_there_is(method, row_weights, message, rng):
    """The ladder is no remedy for itself, nor where it refuses."""
    with pytest.warns(ConvergenceWarning, match=re.escape(message) + "$"):
        warn_unless_converged(chains_of(rng, shift=5.0), remedy_of(method, row_weights))


def test_a_stuck_chain_is_seen(monkeypatch):
    """Means -20, -16 and 20: without moves the prior draw stays in another mode than the fit's."""
    monkeypatch.setattr(runs, "with_moves", lambda target, tune: target)
    rng = np.random.default_rng(5)
    x = rng.choice([-20.0, -16.0, 20.0], (1_000, 1)) + rng.standard_normal((1_000, 1))
    x = np.column_stack([x, rng.standard_normal(1_000)])
    prior = Prior(m0=x.mean(axis=0), B0=4.0 * np.diag(x.var(axis=0)), c0=2.0, C0=np.cov(x.T) / 6.0)
    with pytest.warns(ConvergenceWarning, match="in different modes or have not mixed"):
        diffgmm.sample(x, 3, prior=prior, draws=200, tune=200, random_seed=1)


# ---- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 0}, "n_components must be a positive integer, got 0"),
        ({"draws": 0}, "draws must be a positive integer, got 0"),
        ({"tune": -1}, "tune must be a non-negative integer, got -1"),
        ({"chains": 1.5}, r"chains must be a positive integer, got 1\.5"),
        ({"cores": 0}, "cores must be a positive integer or None"),
        (
            {"method": "nuts"},
            "method must be 'gibbs', 'diffusion', 'bootstrap' or None, got 'nuts'",
        ),
        ({"init": "adapt_diag"}, "init must be 'auto' or 'prior', got 'adapt_diag'"),
        ({"covariance_type": "round"}, "covariance_type must be one of 'full', 'tied', 'diag'"),
        ({"random_seed": "one"}, "random_seed must be a non-negative integer"),
        ({"prior": "vague"}, r"prior must be a diffgmm\.Prior or None, got str"),
        (
            {"covariance_type": "identity", "prior": Prior.weakly_informative(load_faithful())},
            "prior is for covariance_type='full', but covariance_type='identity'",
        ),
        (
            {"prior": Prior(m0=[0.0], B0=[[1.0]], c0=2.0, C0=[[1.0]])},
            "prior is for 1 features, but X has 2 columns",
        ),
        (
            {"prior": Prior.weakly_informative(load_faithful(), 3)},
            "prior is for n_components=3, but n_components=2 was asked for",
        ),
    ],
)
def test_refusals(options, message):
    arguments = {"n_components": 2, **options}
    with pytest.raises(InvalidParameterError, match=message):
        diffgmm.sample(load_faithful(), **arguments)


def test_a_column_without_spread_is_refused():
    with pytest.raises(InvalidDataError, match="Every column must vary"):
        diffgmm.sample([[1.0, 2.0], [1.0, 3.0], [1.0, 4.0]], 1)


def test_start_kinds():
    kinds = [starts.start_kind(index) for index in range(8)]
    assert kinds[:4] == ["fit", "prior draw", "fit to reweighted rows", "other optimum"]
    assert kinds[4:] == ["prior draw", "fit to reweighted rows"] * 2
