"""K unknown: the prior of K, the posterior by enumeration, groups, `condition_on_k`, refusals."""

import itertools
import math
import warnings

import numpy as np
import pytest
from scipy import special, stats

import diffgmm
from diffgmm import Prior
from diffgmm.covariance import FAMILIES, family_of
from diffgmm.data import Data
from diffgmm.datasets import load_faithful, load_galaxies
from diffgmm.errors import InvalidParameterError
from diffgmm.geometry.modes import find_modes
from diffgmm.posterior import law_of_k
from diffgmm.posterior.mixture_draws import MixtureDraws
from diffgmm.posterior.sample import Settings
from diffgmm.posterior.telescoping import sample_telescoping
from diffgmm.report.inference_data import as_tree
from diffgmm.report.unknown_k import whole_mixtures

FALSE_ALARM = 1e-3


def known(**changes):
    return Prior(**{"m0": [0.0], "B0": [[9.0]], "covariance_type": "identity", **changes})


# ---- the prior


def test_law_of_k_is_beta_negative_binomial():
    """Against the negative binomial law integrated over its probability."""
    a, b, c = 1.5, 4.0, 3.0
    prior = known(k_bnb=(a, b, c), max_components=30)
    p, weights = special.roots_jacobi(60, c - 1.0, b - 1.0)
    p, weights = 0.5 * (1.0 + p), weights / weights.sum()
    x = np.arange(30)[:, None]
    expected = (stats.nbinom(a, p).pmf(x) * weights).sum(axis=1)
    own = np.exp(law_of_k.full_log_probabilities(prior, 30))
    np.testing.assert_allclose(own, expected, rtol=1e-8)
    kept = np.exp(law_of_k.log_probabilities(prior))
    np.testing.assert_allclose(kept, own / own.sum(), rtol=1e-12)
    assert law_of_k.tail_mass(prior) == pytest.approx(1.0 - expected.sum(), rel=1e-6)


def test_the_tail_that_is_cut_off():
    """The default is 4 / 7 for one component and leaves out 3e-6 beyond 100."""
    prior = known()
    assert np.exp(law_of_k.full_log_probabilities(prior, 1))[0] == pytest.approx(4.0 / 7.0)
    assert 2.9e-6 < law_of_k.tail_mass(prior) < 3.1e-6


def test_probabilities_in_place_of_the_law():
    prior = known(k_probabilities=[1.0, 0.0, 3.0, 4.0], max_components=3)
    np.testing.assert_allclose(np.exp(law_of_k.log_probabilities(prior)), [0.25, 0.0, 0.75])
    assert law_of_k.tail_mass(prior) == pytest.approx(0.5)
    drawn = prior.draw(None, 400, 1)["n_components"]
    assert set(drawn) == {1, 3}


def test_alpha_has_an_f_law():
    prior, x = known(alpha_df=(5.0, 2.5)), np.array([1e-3, 0.4, 7.0])
    np.testing.assert_allclose(
        law_of_k.log_alpha(prior, x), stats.f(5.0, 2.5).logpdf(x), rtol=1e-12
    )
    nodes, weights = law_of_k.alpha_rule(prior)
    law = stats.f(5.0, 2.5)
    for u in (0.5, 2.0):
        exact = law.expect(lambda a, u=u: 1.0 / (1.0 + u * a), epsabs=1e-11)
        assert weights @ (1.0 / (1.0 + u * nodes)) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("dynamic", [True, False])
def test_filled_components_are_those_of_prior_draws(dynamic):
    """By the mean over K and alpha of the law with K known; and its total is 1."""
    prior = known(max_components=6, dynamic=dynamic, concentration=1.0 if dynamic else 0.6)
    p = prior.n_filled(5)
    assert p.shape == (7,)
    assert p.sum() == pytest.approx(1.0, rel=1e-12)
    nodes, weights = law_of_k.alpha_rule(prior)
    expected = np.zeros(7)
    for k, p_k in enumerate(np.exp(law_of_k.log_probabilities(prior)), start=1):
        for a, w in zip(nodes, weights, strict=True):
            e = a / k if dynamic else a
            fixed = prior.replace(n_components=k, concentration=e)
            expected[: k + 1] += p_k * w * fixed.n_filled(5)
    np.testing.assert_allclose(p, expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("kind", list(FAMILIES))
def test_log_prior_is_the_sum_of_its_parts(kind, rng):
    """Each draw by itself, with K known, and the laws of K and alpha from SciPy."""
    X = np.asarray(load_faithful().data)
    prior = Prior.weakly_informative(X, covariance_type=kind)
    draws = prior.draw(None, 40, 3)
    logs = prior.log_prior(**draws)
    k = draws["n_components"]
    assert len(set(k)) > 2
    p = np.exp(law_of_k.log_probabilities(prior))
    np.testing.assert_allclose(logs["n_components"], np.log(p[k - 1]), rtol=1e-12)
    np.testing.assert_allclose(logs["alpha"], stats.f(6, 3).logpdf(draws["alpha"]), rtol=1e-12)
    for s, own in enumerate(k):
        fixed = prior.replace(concentration=draws["alpha"][s] / own)
        parts = {
            name: draws[name][s, :own]
            if name != "C0" and np.ndim(draws[name]) > 1
            else draws[name][s]
            for name in ("weights", "means", "covariances", "C0")
            if name in draws
        }
        if kind == "tied":
            parts["covariances"] = draws["covariances"][s]
        if "C0" in parts:
            parts["C0"] = draws["C0"][s]
        for name, value in fixed.log_prior(**parts).items():
            assert logs[name][s] == pytest.approx(float(value), rel=1e-9), name
        assert np.isnan(draws["weights"][s, own:]).all()
        assert np.isnan(draws["means"][s, own:]).all()


def test_its_numbers_are_kept():
    prior = known(
        k_bnb=(2.0, 3.0, 1.0), alpha_df=(4.0, 5.0), alpha=0.7, max_components=9, dynamic=True
    )
    text = prior.to_json()
    assert Prior.from_json(text).to_json() == text
    again = prior.replace(k_probabilities=[0.5, 0.5], dynamic=False)
    assert Prior.from_json(again.to_json()).k_probabilities.tolist() == [0.5, 0.5]
    assert '"k_probabilities": [0.5, 0.5]' in repr(again)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"k_bnb": (1.0, 4.0)}, "k_bnb must be 3 positive numbers, got (1.0, 4.0)."),
        ({"alpha_df": (6.0, 0.0)}, "alpha_df must be 2 positive numbers, got (6.0, 0.0)."),
        ({"alpha": -1.0}, "alpha must be a positive number, got -1.0."),
        ({"max_components": 0}, "max_components must be a positive integer, got 0."),
        ({"dynamic": 1}, "dynamic must be True or False, got 1."),
        (
            {"k_probabilities": [0.5, -0.5]},
            "k_probabilities must be the probabilities of K = 1, 2, ..., got [0.5, -0.5].",
        ),
        (
            {"k_probabilities": [0.0, 1.0], "max_components": 1},
            "k_probabilities must have a positive sum up to max_components=1, got [0.0, 1.0].",
        ),
    ],
)
def test_numbers_that_make_no_prior(numbers, message):
    with pytest.raises(InvalidParameterError) as info:
        known(**numbers)
    assert str(info.value) == message


# ---- the posterior, by enumeration of the partitions of a few rows


def partitions(n):
    """Return all partitions of n rows as labels in order of appearance: 52 of 5 rows."""
    labels = [[0]]
    for _ in range(n - 1):
        labels = [own + [j] for own in labels for j in range(max(own) + 2)]
    return [np.array(own) for own in labels]


def log_marginal(x, m0, b0):
    """Return the log density of rows of one component of variance 1, its mean integrated out."""
    n = len(x)
    return stats.multivariate_normal(np.full(n, m0), np.eye(n) + b0).logpdf(x)


def enumerated(x, prior):
    """Return p(K, K_+ | x) and the probabilities that rows share a component."""
    n, most = len(x), prior.max_components
    nodes, weights = law_of_k.alpha_rule(prior)
    log_k = law_of_k.log_probabilities(prior)
    joint, together = np.zeros((most + 1, n + 1)), np.zeros((n, n))
    for labels in partitions(n):
        counts = np.bincount(labels)
        filled = len(counts)
        rows = sum(log_marginal(x[labels == j], prior.m0[0], prior.B0[0, 0]) for j in range(filled))
        for k in range(filled, most + 1):
            e = nodes / k if prior.dynamic else nodes
            allocation = special.gammaln(k * e) - special.gammaln(k * e + n)
            allocation += (special.gammaln(counts[:, None] + e) - special.gammaln(e)).sum(axis=0)
            number = special.gammaln(k + 1) - special.gammaln(k - filled + 1)
            p = weights @ np.exp(allocation + rows + number + log_k[k - 1])
            joint[k, filled] += p
            together += p * (labels[:, None] == labels)
    return joint / joint.sum(), together / joint.sum()


X = np.array([-2.2, -1.7, 0.1, 1.6, 2.9])
CASES = [
    known(max_components=8),
    known(max_components=8, dynamic=False, concentration=0.8, k_probabilities=np.ones(8)),
    known(max_components=8, alpha=2.0),
]


def largest_excess(prior, other):
    """Return the largest difference between draws under a prior and the enumeration of another.

    In units of what all probabilities of all cases exceed by chance with probability 1e-3.
    Co-clustering is averaged over p(component | row), so that no allocation is drawn.
    """
    joint, together = enumerated(X, other)
    posterior = sample_telescoping(
        Data.of(X[:, None]),
        family_of("identity"),
        prior,
        Settings(draws=4_000, tune=100, chains=2, cores=1, compute_log_likelihood=False),
        np.random.SeedSequence(7),
    )
    k, filled = posterior.n_components.ravel(), posterior.n_filled.ravel()
    own = {(a, b): (k == a) & (filled == b) for a in range(1, 9) for b in range(1, min(a, 5) + 1)}
    expected = {key: joint[key] for key in own if joint[key] > 0.002}
    weights, means, _ = whole_mixtures(posterior)
    weights, means = weights.reshape(-1, weights.shape[2]), means.reshape(-1, *means.shape[2:])
    with np.errstate(divide="ignore"):
        logs = np.log(weights)[:, :, None] + stats.norm.logpdf(X, means)
    share = np.exp(logs - special.logsumexp(logs, axis=1, keepdims=True))
    for i, j in itertools.combinations(range(5), 2):
        own[i, j, "together"] = np.sum(share[:, :, i] * share[:, :, j], axis=1)
        expected[i, j, "together"] = together[i, j]
    assert len(expected) > 20
    limit = stats.t(39).isf(FALSE_ALARM / len(CASES) / (2 * len(expected)))
    excess = []
    for key, p in expected.items():
        batches = own[key].astype(float).reshape(40, -1).mean(axis=1)
        error = batches.std(ddof=1) / math.sqrt(40)
        excess.append(abs(batches.mean() - p) / (limit * error))
    return max(excess)


@pytest.mark.once
@pytest.mark.statistical
@pytest.mark.parametrize("prior", CASES, ids=["dynamic", "static", "alpha fixed"])
def test_posterior_of_k_and_partition_by_enumeration(prior):
    """Every probability within Monte Carlo error: 1e-3 for all of them and all three priors."""
    assert largest_excess(prior, prior) < 1.0


@pytest.mark.once
@pytest.mark.statistical
def test_the_enumeration_of_another_prior_is_told_apart():
    """A total variation of 0.06 between alpha fixed at 2 and alpha drawn."""
    assert largest_excess(CASES[2], CASES[0]) > 1.0


# ---- groups


QUICK = {"draws": 120, "tune": 40, "chains": 2, "random_seed": 1, "progressbar": False}


def quiet(X, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", diffgmm.errors.ConvergenceWarning)
        return diffgmm.sample(X, **{**QUICK, **options})


@pytest.fixture(scope="module")
def galaxies():
    return quiet(load_galaxies())


def test_groups_and_their_variables(galaxies):
    tree = as_tree(galaxies)
    posterior, unaligned = tree["posterior"], tree["unaligned_posterior"]
    assert set(posterior.data_vars) == {"n_components", "n_filled", "alpha", "C0"}
    assert set(unaligned.data_vars) == {"weights", "means", "covariances"}
    k, largest = posterior["n_components"].values, unaligned.sizes["cluster"]
    assert largest == k.max()
    used = np.arange(largest) < k[..., None]
    for array in unaligned.data_vars.values():
        finite = np.isfinite(array.values.reshape(*used.shape, -1)).all(axis=-1)
        np.testing.assert_array_equal(finite, used)
    np.testing.assert_allclose(unaligned["weights"].sum("cluster"), 1.0, rtol=1e-12)
    stats_group = tree["sample_stats"]
    np.testing.assert_array_equal(stats_group["n_filled"], posterior["n_filled"])
    lp = sum(array.values for array in tree["log_prior"].data_vars.values())
    np.testing.assert_allclose(stats_group["lp"], lp + stats_group["log_lik"], rtol=1e-12)
    assert set(tree["log_prior"].data_vars) == {
        *("n_components", "alpha", "weights", "means", "covariances", "C0")
    }
    attrs = posterior.attrs
    assert attrs["inference_method"] == "telescoping sampler"
    assert attrs["sweeps_per_draw"] == 40
    assert 2.9e-6 < attrs["k_tail_mass"] < 3.1e-6
    assert '"k_bnb": [1.0, 4.0, 3.0]' in attrs["prior"]


@pytest.mark.parametrize("kind", list(FAMILIES))
def test_densities_are_those_of_the_parameters(kind):
    """Pointwise densities of the sweeps against those of the saved parameters; log prior alike."""
    X = np.asarray(load_faithful().data)[:60]
    if kind == "identity":
        X = 3.0 * (X - X.mean(axis=0)) / X.std(axis=0)
    idata = quiet(X, covariance_type=kind, tune=20)
    before = idata["log_likelihood"]["x"].values.copy()
    k = idata["posterior"]["n_components"].values
    assert len(np.unique(k)) > 2
    diffgmm.compute_log_likelihood(idata)
    np.testing.assert_allclose(idata["log_likelihood"]["x"].values, before, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(before.sum(axis=2), idata["sample_stats"]["log_lik"], rtol=1e-10)
    old = {name: array.values.copy() for name, array in idata["log_prior"].data_vars.items()}
    diffgmm.compute_log_prior(idata)
    for name, values in old.items():
        np.testing.assert_allclose(idata["log_prior"][name], values, rtol=1e-9, atol=1e-9)


def test_functions_of_every_draw(galaxies, tmp_path):
    new = diffgmm.sample_posterior_predictive(galaxies, n=7, random_seed=1)
    rows = new["posterior_predictive"]["x"]
    assert rows.shape == (2, 120, 7, 1)
    assert np.isfinite(rows.values).all()
    assert galaxies["posterior_predictive"]["x"].shape == (2, 120, 82, 1)
    together = diffgmm.co_clustering(galaxies)
    assert together.values[0, 1] > 0.8
    assert together.values[0, -1] < 0.2
    assert diffgmm.partition(galaxies, random_seed=1)["partition"].values.max() >= 2
    path = tmp_path / "galaxies.nc"
    diffgmm.save_inference_data(galaxies, path)
    again = diffgmm.load_inference_data(path)
    np.testing.assert_array_equal(
        again["unaligned_posterior"]["means"], galaxies["unaligned_posterior"]["means"]
    )
    one, other = diffgmm.condition_on_k(again), diffgmm.condition_on_k(galaxies)
    np.testing.assert_array_equal(one["posterior"]["means"], other["posterior"]["means"])


def test_more_chains_leave_the_first_ones_alone(galaxies):
    more = quiet(load_galaxies(), chains=3, cores=2)
    for group, name in (("posterior", "alpha"), ("unaligned_posterior", "means")):
        expected = galaxies[group][name].values
        own = more[group][name].values[:2]
        if name == "means":
            own = own[:, :, : expected.shape[2]]
        np.testing.assert_array_equal(own, expected)


@pytest.mark.once
def test_chains_do_not_start_with_one_component():
    """Annealed with K drawn, the two chains from prior draws stay at one component for good."""
    rng = np.random.default_rng(0)
    means = 4.0 * rng.standard_normal((4, 5))
    x = means[rng.integers(0, 4, 400)] + rng.standard_normal((400, 5))
    idata = quiet(x, chains=4, draws=20, tune=100)
    filled = np.median(idata["posterior"]["n_filled"].values, axis=1)
    assert filled[[0, 2]].tolist() == [4.0, 4.0]
    assert filled.min() >= 2.0


def test_the_prior_predictive_with_k_unknown():
    prior = Prior.weakly_informative(load_faithful())
    idata = diffgmm.sample_prior_predictive(prior, 30, draws=60, random_seed=1)
    k = idata["prior"]["n_components"].values
    weights = idata["unaligned_prior"]["weights"].values
    np.testing.assert_array_equal(np.isfinite(weights).sum(axis=2), k)
    assert np.isfinite(idata["prior_predictive"]["x"].values).all()
    assert idata["prior"]["alpha"].shape == (1, 60)


# ---- condition_on_k


def test_aligned_parameters_of_one_k(galaxies):
    import arviz

    given = diffgmm.condition_on_k(galaxies, 4)
    posterior = given["posterior"]
    k = galaxies["posterior"]["n_components"].values
    n = (k == 4).sum(axis=1).min()
    assert posterior["weights"].shape == (2, n, 4)
    assert posterior["covariances"].dims == ("chain", "draw", "cluster", "feature", "feature_bis")
    of_run = given["sample_stats"]["draw_of_run"].values
    for chain in range(2):
        np.testing.assert_array_equal(of_run[chain], np.flatnonzero(k[chain] == 4)[:n])
        whole = galaxies["unaligned_posterior"]["means"].values[chain, of_run[chain], :4, 0]
        np.testing.assert_array_equal(
            np.sort(posterior["means"].values[chain, :, :, 0]), np.sort(whole)
        )
        for group, name in (("sample_stats", "log_lik"), ("log_likelihood", "x")):
            expected = galaxies[group][name].values[chain, of_run[chain]]
            np.testing.assert_array_equal(given[group][name].values[chain], expected)
    assert posterior.attrs["n_components"] == 4
    assert posterior.attrs["labels"] == "aligned over all draws and chains"
    assert "n_components" not in posterior.data_vars
    table = arviz.summary(given, var_names=["weights", "means", "covariances"])
    assert len(table) == 12
    densities = MixtureDraws(
        *(
            posterior[name].values.reshape(-1, *posterior[name].shape[2:])
            for name in ("weights", "means", "covariances")
        )
    ).log_density(galaxies["observed_data"]["x"].values)
    np.testing.assert_allclose(
        densities.sum(axis=1), given["sample_stats"]["log_lik"].values.ravel(), rtol=1e-9
    )
    before = given["log_prior"]["weights"].values.copy()
    diffgmm.compute_log_prior(given)
    np.testing.assert_allclose(given["log_prior"]["weights"], before, rtol=1e-9)
    assert diffgmm.membership(given).shape == (82, 4)


def test_the_most_frequent_number_is_the_default(galaxies):
    k = galaxies["posterior"]["n_components"].values
    most = int(np.bincount(k.ravel()).argmax())
    assert diffgmm.condition_on_k(galaxies)["posterior"].attrs["n_components"] == most


def test_filled_components_alone(galaxies):
    given = diffgmm.condition_on_k(galaxies, 3, filled=True)
    weights = given["posterior"]["weights"]
    np.testing.assert_allclose(weights.sum("cluster"), 1.0, rtol=1e-12)
    assert weights.sizes["cluster"] == 3
    filled = galaxies["posterior"]["n_filled"].values
    assert weights.sizes["draw"] == (filled == 3).sum(axis=1).min()
    # Three groups of galaxies, told apart by velocity.
    means = given["posterior"]["means"].mean(("chain", "draw")).values[:, 0]
    np.testing.assert_allclose(np.sort(means), [9.7, 21.4, 33.0], atol=1.0)
    with pytest.raises(InvalidParameterError) as info:
        diffgmm.compute_log_prior(given)
    assert str(info.value).startswith("The log prior is not that of filled components alone.")


def test_draws_of_the_prior_are_left_alone(galaxies):
    """As many as there are of the posterior: they once were selected and permuted with these."""
    prior = Prior.from_json(galaxies["posterior"].attrs["prior"])
    drawn = as_tree(diffgmm.sample_prior_predictive(prior, 5, draws=120, random_seed=1))
    tree = as_tree(galaxies).copy().isel(chain=[0])
    for name in drawn.children:
        tree[name] = drawn[name]
    given = as_tree(diffgmm.condition_on_k(tree, 4))
    for name in drawn.children:
        assert given[name].to_dataset().identical(drawn[name].to_dataset())


def with_n_components(idata, numbers):
    tree = as_tree(idata).copy()
    data = tree["posterior"].to_dataset()
    tree["posterior"].dataset = data.assign(n_components=(("chain", "draw"), numbers))
    return tree


def test_chains_without_visits_are_named(galaxies):
    k = np.full((2, 120), 3)
    k[1] = 2
    k[0, ::2] = 2
    with pytest.warns(UserWarning, match="Chain 1 never visited n_components = 3 and is left out"):
        given = diffgmm.condition_on_k(with_n_components(galaxies, k), 3)
    assert given["posterior"].sizes["chain"] == 1
    assert list(given["posterior"].attrs["chains_without_visits"]) == ["1"]
    k[1, :5] = 3
    message = "Chain 1 visited n_components = 3 only 5 times, so 5 draws of each chain are kept"
    with pytest.warns(UserWarning, match=message):
        diffgmm.condition_on_k(with_n_components(galaxies, k), 3)


# ---- refusals


def test_what_needs_aligned_labels_says_so(galaxies):
    functions = ("membership", "relabel", "check", "summary")
    functions += ("overlap", "identifiability", "label_switching")
    pictures = ("plot_components", "plot_membership", "plot_ppc_clusters")
    for name in (*functions, *pictures):
        with pytest.raises(InvalidParameterError) as info:
            getattr(diffgmm, name)(galaxies)
        who = name if name in functions else "The picture"
        assert str(info.value) == (
            f"{who} needs one number of components and aligned labels, but K varies from draw to "
            "draw. Use diffgmm.condition_on_k(idata) first."
        )


def test_what_needs_no_labels_goes_on(galaxies):
    """Components beyond a draw's K have no weight: one draw's numbers are those of its own K."""
    k = galaxies["posterior"]["n_components"].values[0, 0]
    own = {
        name: galaxies["unaligned_posterior"][name].values[0, 0, :k]
        for name in ("weights", "means", "covariances")
    }
    modes = diffgmm.n_modes(galaxies, draws=240)
    (alone,) = find_modes(*(array[None] for array in own.values()))
    assert modes.sizes == {"chain": 2, "draw": 120}
    assert modes.values[0, 0] == len(alone.places)
    x = galaxies["observed_data"]["x"].values
    pit = diffgmm.loo_pit(galaxies, loo=False, draws=240)["pit"].values[:, 0]
    weights, means, covariances = (
        np.concatenate(galaxies["unaligned_posterior"][name].values) for name in own
    )
    below = stats.norm.cdf(x, means[:, None, :, 0], np.sqrt(covariances[:, None, :, 0, 0]))
    expected = np.nansum(weights[:, None] * below, axis=2).mean(axis=0)
    np.testing.assert_allclose(pit, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sample_weight": np.ones(82)},
            "sample_weight needs n_components: with K unknown rows count once each. "
            "Give n_components, or leave sample_weight out.",
        ),
        (
            {"prior": Prior.weakly_informative(load_galaxies(), 3)},
            "The prior is for n_components=3, but n_components is not given. "
            "Use n_components=3, or prior.replace(n_components=None).",
        ),
        (
            {"prior": Prior.weakly_informative(load_galaxies()).replace(concentration=0.5)},
            "concentration=0.5 is for a known number of components; with K unknown the weights "
            "have alpha / K each. Set alpha, or dynamic=False.",
        ),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(InvalidParameterError) as info:
        diffgmm.sample(load_galaxies(), **options)
    assert str(info.value) == message


def test_condition_on_k_refuses(galaxies):
    with pytest.raises(InvalidParameterError) as info:
        diffgmm.condition_on_k(galaxies, 90)
    k = galaxies["posterior"]["n_components"].values
    assert str(info.value) == (
        f"No draw has n_components = 90: it is from {k.min()} to {k.max()}. "
        "Use another k, or more draws."
    )
    with pytest.raises(InvalidParameterError, match="k must be a positive integer, got 0"):
        diffgmm.condition_on_k(galaxies, 0)
    with pytest.raises(InvalidParameterError) as info:
        diffgmm.condition_on_k(diffgmm.condition_on_k(galaxies))
    assert str(info.value) == (
        "condition_on_k needs draws with an unknown number of components: those of "
        "diffgmm.sample(X, None)."
    )


@pytest.mark.parametrize("n", [1, 2, 7])
def test_few_rows(n):
    """Fewer rows than components that chains would start from."""
    rows = np.linspace(-3.0, 3.0, n)[:, None]
    idata = quiet(rows, prior=known(), covariance_type="identity")
    filled = idata["posterior"]["n_filled"].values
    assert filled.max() <= n
    assert np.isfinite(idata["sample_stats"]["lp"].values).all()
