"""`diffgmm.pymc.sample`: the target stays invariant, modes get their weights, labels are aligned."""

from dataclasses import replace

import numpy as np
import pytest

from diffgmm import GaussianMixture, fit
from diffgmm.errors import ConvergenceWarning, InvalidParameterError
from diffgmm.report.relabel import relabel

pm = pytest.importorskip("pymc", reason="needs PyMC: pip install 'diffgmm[pymc]'")
dp = pytest.importorskip("diffgmm.pymc")

from diffgmm.pymc.cover import find_modes, starts_of  # noqa: E402
from diffgmm.pymc.labels import labels_of, names_in_posterior  # noqa: E402
from diffgmm.pymc.learning import _normalised, learn  # noqa: E402
from diffgmm.pymc.mixture_step import MixtureProposalStep  # noqa: E402
from diffgmm.pymc.proposal import Proposal  # noqa: E402
from diffgmm.pymc.target import Target  # noqa: E402

WEIGHTS, MEANS = [0.3, 0.7], np.array([[0.0, 0.0], [20.0, 0.0]])


def two_far_modes():
    with pm.Model() as model:
        dp.GaussianMixture("x", WEIGHTS, MEANS, sigma=1.0)
    return model


def a_mixture_of_data(rng, *, labelled=False):
    rows = np.array([-4.0, 4.0])[rng.integers(0, 2, 60)] + rng.standard_normal(60)
    with pm.Model() as model:
        w = pm.Dirichlet("w", np.ones(2))
        centre = np.array([-4.0, 4.0]) if labelled else 0.0
        mu = pm.Normal("mu", centre, 5.0, shape=2)
        dp.GaussianMixture("y", w, mu, sigma=pm.HalfNormal("sigma", 2.0, shape=2), observed=rows)
    return model


@pytest.fixture
def proposal():
    covariances = np.array([[[2.0, 0.5], [0.5, 1.0]], [[1.0, 0.0], [0.0, 0.3]]])
    return Proposal(GaussianMixture([0.4, 0.6], [[0.0, 0.0], [3.0, 1.0]], covariances))


def test_the_density_of_proposals_is_that_of_their_law(proposal, rng):
    """SciPy's t and normal, term by term."""
    from scipy.stats import multivariate_normal, multivariate_t

    x = 4.0 * rng.standard_normal((20, 2))
    mixture = proposal.mixture
    density = sum(
        w * (0.9 * multivariate_normal(m, c).pdf(x) + 0.1 * multivariate_t(m, 2.25 * c, 5.0).pdf(x))
        for w, m, c in zip(mixture.weights, mixture.means, mixture.covariances)
    )
    np.testing.assert_allclose(proposal.log_density(x), np.log(density), rtol=1e-11)
    np.testing.assert_allclose(proposal.responsibilities(x).sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.statistical
@pytest.mark.parametrize("component", [0, 1])
def test_proposals_are_drawn_from_their_density(component, proposal, rng):
    """E[f / q] over draws of q is the integral of f, here 1: within 4.5 standard errors (7e-6).

    f has the tails of q, so that t distributions of another width or share are seen.
    """
    from scipy.stats import multivariate_t

    mixture = proposal.mixture
    f = multivariate_t(mixture.means[component], 2.25 * mixture.covariances[component], 5.0)
    draws = proposal.draw(20_000, rng)
    ratios = f.pdf(draws) / np.exp(proposal.log_density(draws))
    assert abs(ratios.mean() - 1.0) < 4.5 * ratios.std() / np.sqrt(len(ratios))


class Exact:
    """A target known in closed form, with the interface that the step needs."""

    def __init__(self, mixture):
        self.mixture, self.points = mixture, self

    def __call__(self, x):
        return float(self.mixture.log_density(x[None])[0]), None

    def flat(self, point):
        return point["x"]

    def point(self, x):
        return {"x": x}


@pytest.mark.statistical
@pytest.mark.parametrize("fault", [False, True], ids=["exact", "planted fault"])
def test_one_step_keeps_exact_draws_exact(fault, proposal, rng, monkeypatch):
    """Ranks of steps from exact draws among fresh exact ones: uniform, by chi-square at 1e-4.

    The planted fault leaves the proposal's density out of the ratio.
    """
    from scipy.stats import chi2

    n, bins = 4_000, 20
    mixture = GaussianMixture([0.5, 0.5], [[0.0, 0.0], [4.0, 0.0]], [np.eye(2), 0.5 * np.eye(2)])
    step = MixtureProposalStep.__new__(MixtureProposalStep, ["x"], model=two_far_modes())
    step.__init__(
        ["x"], target=Exact(mixture), proposal=proposal, starts=np.zeros((1, 2)), labels=None, rng=2
    )
    step.is_new = False
    if fault:
        flat = lambda self, x: np.zeros(len(x))  # noqa: E731
        monkeypatch.setattr(Proposal, "log_density", flat)
    draws = mixture.sample(n, random_seed=rng)
    moved = np.array([step.step({"x": x})[0]["x"] for x in draws])
    assert 0.1 < np.mean(np.any(moved != draws, axis=1)) < 0.95
    fresh = np.sort(mixture.sample(100_000, random_seed=rng)[:, 0])
    ranks = np.searchsorted(fresh, moved[:, 0]) * bins // (len(fresh) + 1)
    counts = np.bincount(ranks, minlength=bins)
    statistic = np.sum((counts - n / bins) ** 2) / (n / bins)
    assert (statistic > chi2.isf(1e-4, bins - 1)) == fault


@pytest.mark.statistical
def test_mode_weights_of_two_far_modes():
    """300 draws of 2 chains that change modes in every second step or more.

    0.12 is 4.5 standard errors of a share of 0.7 from 300 independent draws of the 600. One mode
    alone, which is what NUTS without the proposal finds, is off by 0.3 or more.
    """
    idata = dp.sample(
        two_far_modes(),
        draws=300,
        tune=60,
        chains=2,
        cores=1,
        random_seed=3,
        progressbar=False,
        compute_convergence_checks=False,
    )
    x = idata["posterior"]["x"].values[..., 0]
    assert x.shape == (2, 300)
    assert abs(np.mean(x > 10.0) - 0.7) < 0.12
    assert np.all((x > 10.0).mean(axis=1) > 0.3)
    assert np.mean(idata["sample_stats"]["proposal_accepted"].values) > 0.5
    assert idata["posterior"].attrs["n_modes"] == 2
    assert idata["posterior"].attrs["n_starts"] == 64


@pytest.mark.slow  # thousands of densities at 2 ms each
def test_labels_are_aligned_and_both_chains_agree(rng):
    model = a_mixture_of_data(rng)
    idata = dp.sample(model, draws=60, tune=30, chains=2, cores=1, random_seed=1, progressbar=False)
    posterior = idata["posterior"]
    assert posterior.attrs["labels"] == "aligned over all draws and chains"
    assert (
        np.abs(
            posterior["mu"].values.mean(axis=1)[0] - posterior["mu"].values.mean(axis=1)[1]
        ).max()
        < 1.0
    )
    assert np.all(np.abs(posterior["mu"].values) > 2.0)
    low = posterior["mu"].values[..., 0]
    assert np.all(np.sign(low) == np.sign(low[0, 0]))


@pytest.mark.parametrize("spread", ["each", "common", "known"])
def test_the_arguments_of_relabel_are_read_from_the_model(spread, rng):
    import xarray as xr

    coords = {"cluster": ["a", "b"], "feature": ["x", "y"]}
    with pm.Model(coords=coords) as model:
        w = pm.Dirichlet("w", np.ones(2), dims="cluster")
        mu = pm.Normal("mu", 0.0, 5.0, dims=("cluster", "feature"))
        sigma = {
            "each": lambda: pm.HalfNormal("sigma", 2.0, dims="cluster"),
            "common": lambda: pm.HalfNormal("sigma", 2.0),
            "known": lambda: 1.0,
        }[spread]()
        dp.GaussianMixture("y", w, mu, sigma=sigma, observed=np.zeros((3, 2)))
    front = ("chain", "draw")
    data = xr.Dataset(
        {
            "w": ((*front, "cluster"), rng.dirichlet([1.0, 1.0], size=(1, 5))),
            "mu": ((*front, "cluster", "feature"), rng.standard_normal((1, 5, 2, 2))),
        }
    )
    if spread != "known":
        shape = (1, 5, 2) if spread == "each" else (1, 5)
        data["sigma"] = ((*front, "cluster")[: len(shape)], rng.uniform(1.0, 2.0, shape))
    arguments = names_in_posterior(model, {"posterior": data})
    expected = {
        "means": "mu",
        "weights": "w",
        "covariances": None,
        "cluster_dim": ("cluster",),
        "keep_dims": ("feature",),
    }
    expected |= {"method": "pivot"} if spread == "known" else {"scales": "sigma"}
    assert arguments == expected
    relabel(xr.DataTree.from_dict({"/posterior": data}), **arguments)


def test_the_symmetry_of_labels_is_seen_and_keeps_the_density(rng):
    target = Target(a_mixture_of_data(rng))
    labels = labels_of(target, rng)
    assert labels.n_components == 2
    x = target.start + rng.standard_normal(target.n_dims)
    swapped = labels.permute(x, np.array([1, 0]))
    assert np.abs(swapped - x).max() > 0.1
    assert target(swapped)[0] == pytest.approx(target(x)[0], rel=1e-12)
    np.testing.assert_allclose(labels.permute(swapped, np.array([1, 0])), x)
    assert labels.is_canonical(labels.canonical(x))
    assert labels.is_canonical(x) != labels.is_canonical(swapped)


def test_a_prior_that_tells_components_apart_keeps_its_labels(rng):
    assert labels_of(Target(a_mixture_of_data(rng, labelled=True)), rng) is None


def test_the_cover_finds_modes_and_their_shapes(rng):
    target = Target(two_far_modes())
    starts = starts_of(target, 64, rng)
    assert len(starts) >= 64
    modes = find_modes(target, starts, lambda x: x)
    assert sorted(round(mode.x[0]) for mode in modes) == [0, 20]
    for mode in modes:
        np.testing.assert_allclose(mode.covariance, np.eye(2), atol=1e-4)
    shares = np.exp([mode.log_evidence for mode in modes])
    np.testing.assert_allclose(shares, [0.7, 0.3], rtol=1e-3)


class Watched:
    """Bars that nobody sees: what they were told, in order."""

    def __init__(self):
        self.told = []

    def bars(self, labels, total):
        (label,) = labels
        return lambda index, done: self.told.append((label, done, total))

    def levels(self, label):
        return lambda index, total: self.told.append((label, index + 1, total))


def test_learning_tells_how_far_it_is(rng):
    watched = Watched()
    learned = learn(Target(two_far_modes()), 64, rng, {"target_accept": 0.8}, watched)
    labels = [label for label, _, _ in watched.told]
    assert list(dict.fromkeys(labels)) == ["Cover", "Modes", "Mixture"]
    cover = [entry for entry in watched.told if entry[0] == "Cover"]
    assert [done for _, done, _ in cover] == list(range(1, cover[-1][2] + 1))
    assert len(cover) >= 64
    assert ("Modes", learned.n_modes, learned.n_modes) in watched.told
    assert watched.told[-1][1] == watched.told[-1][2]  # every bar ends full


@pytest.mark.parametrize("where", ["_ascend", "_local_draws", "fit"])
def test_ctrl_c_before_there_are_draws_says_so(where, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    module = "cover" if where == "_ascend" else "learning"
    monkeypatch.setattr(f"diffgmm.pymc.{module}.{where}", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        dp.sample(two_far_modes(), draws=5, tune=5, chains=1, random_seed=1, progressbar=False)
    assert str(caught.value) == (
        "interrupted while the global proposal was learned: there are no draws yet."
    )


def test_ctrl_c_that_a_fit_survives_stops_the_learning(monkeypatch, rng):
    """`diffgmm.fit` returns the best so far; here that would be taken for the end of a fit."""
    found = fit(rng.standard_normal((50, 2)), 1, model="mixture", random_seed=1, progressbar=False)
    stopped = replace(found, trace=replace(found.trace, message="interrupted: the best so far"))
    monkeypatch.setattr("diffgmm.pymc.learning.fit", lambda *_, **__: stopped)
    with pytest.raises(KeyboardInterrupt, match="there are no draws yet"):
        learn(Target(two_far_modes()), 64, rng, {"target_accept": 0.8}, Watched())


@pytest.mark.parametrize("ratios", [[0.0, np.nan], [-np.inf, -np.inf]])
def test_a_density_that_is_nowhere_a_number_is_said(ratios):
    with pytest.raises(InvalidParameterError) as caught:
        _normalised(np.array(ratios))
    assert str(caught.value) == (
        "The global proposal cannot be weighed: log densities of the model at its draws must be "
        f"finite for some of them and never NaN, but the largest ratio is {max(ratios[::-1])}. Look "
        "at model.debug(), reparametrise the model, or use pm.sample."
    )


def test_discrete_variables_and_small_covers_are_refused():
    with pm.Model() as model:
        pm.Bernoulli("z", 0.5)
    with pytest.raises(InvalidParameterError) as caught:
        dp.sample(model)
    assert str(caught.value) == (
        "diffgmm.pymc.sample needs continuous variables, but ['z'] are discrete. Sum them out (as "
        "diffgmm.pymc.GaussianMixture does), or use pm.sample."
    )
    with pytest.raises(InvalidParameterError) as caught:
        dp.sample(two_far_modes(), n_starts=10)
    assert str(caught.value) == "n_starts must be at least 64, got 10."
    with pytest.raises(InvalidParameterError) as caught:
        dp.sample(pm.Model())
    assert str(caught.value) == "The model has no free variables to sample."


def test_a_useless_proposal_is_said():
    from diffgmm.pymc.learning import Learned
    from diffgmm.pymc.sample import _warn_if_useless

    with pytest.warns(ConvergenceWarning, match="would be accepted in 1.0% of cases"):
        _warn_if_useless(Learned(None, None, None, 3, 0.01, 0.01))
