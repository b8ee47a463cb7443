"""`fit`: the optimum is found, whatever the order of things, and comes back as it was saved."""

import importlib
import warnings

import numpy as np
import pytest

import diffgmm
from diffgmm.covariance import FAMILIES, components_of
from diffgmm.data import Data
from diffgmm.errors import ConvergenceWarning, InvalidParameterError
from diffgmm.kernels import gaussian
from diffgmm.learn.em import Parameters, Problem, expect, run_em
from diffgmm.learn.local_swaps import (
    cheapest_pairs,
    disjoint_swaps,
    members_of,
    prior_of_components,
    swap_locally,
)
from diffgmm.learn.marginal_likelihood import occam_factors
from diffgmm.learn.moves import split_all, split_directions
from diffgmm.learn.search import Units, search
from diffgmm.learn.subspace import lift, project
from diffgmm.learn.warm_start import cover, spread_centres

pytestmark = pytest.mark.usefixtures("compiled")

SEARCH, CANDIDATES = "diffgmm.learn.search", "diffgmm.learn.candidates"

# A fit this close to EM from the truth, in nats per row, has found the same optimum.
SAME_OPTIMUM = 1e-4


def groups(rng, k, d, n, separation, family="full"):
    """Return rows, and the mixture that they come from."""
    means = separation * rng.standard_normal((k, d))
    roots = np.eye(d) + 0.4 * rng.standard_normal((k, d, d)) / np.sqrt(d)
    if family != "full":
        roots = np.repeat(np.eye(d)[None], k, axis=0)
    weights = rng.dirichlet(np.full(k, 5.0))
    mixture = diffgmm.GaussianMixture(weights, means, roots @ np.swapaxes(roots, 1, 2))
    return mixture.sample(n, rng), mixture


def from_truth(x, mixture, name):
    """Return the log likelihood per row of EM started at the truth."""
    family, data = FAMILIES[name], Data.of(x)
    units = Units.of(data, family)
    problem = Problem.of(data.rows(units.shift, units.scale), family, 1)
    square = np.outer(units.scale, units.scale)
    start = Parameters(
        mixture.weights,
        (mixture.means - units.shift) / units.scale,
        family.from_full(mixture.covariances / square),
    )
    result = run_em(problem, start, tolerance=1e-9, max_passes=5_000)
    return result.log_likelihood - np.log(units.scale).sum()


@pytest.mark.parametrize("name", list(FAMILIES))
@pytest.mark.parametrize(("k", "d", "n"), [(3, 1, 1_500), (6, 3, 2_500), (5, 25, 2_500)])
def test_the_optimum_near_the_truth_is_found(name, k, d, n, rng):
    x, mixture = groups(rng, k, d, n, 12.0 if d == 1 else 4.0, name)
    found = diffgmm.fit(x, k, covariance_type=name, random_seed=3)
    assert found.trace.converged
    assert found.log_likelihood / n > from_truth(x, mixture, name) - SAME_OPTIMUM
    assert found.log_likelihood == pytest.approx(found.log_density(x).sum(), rel=1e-9)


@pytest.mark.once
def test_one_cover_without_moves_misses_what_the_search_finds(rng, monkeypatch):
    """The planted fault of the test above: a search that stops at its first start."""
    x, mixture = groups(rng, 12, 2, 1_500, 6.0)
    best = from_truth(x, mixture, "full")
    gaps = [diffgmm.fit(x, 12, random_seed=s).log_likelihood / len(x) - best for s in range(5)]
    monkeypatch.setattr("diffgmm.learn.candidates.MOST_MOVES", 0)
    monkeypatch.setattr("diffgmm.learn.candidates.COVER_FACTOR", 1.0 - 1.0 / 12.0)
    monkeypatch.setattr("diffgmm.learn.candidates.MOST_COVERS", 1)
    poor = [diffgmm.fit(x, 12, random_seed=s).log_likelihood / len(x) - best for s in range(5)]
    assert np.median(poor) < -SAME_OPTIMUM
    assert np.median(gaps) > np.median(poor) + SAME_OPTIMUM


def test_seeds_and_cores(rng):
    x, _ = groups(rng, 4, 2, 40_000, 3.0)
    child, other = np.random.SeedSequence(5).spawn(2)
    results = {
        name: diffgmm.fit(x, 4, random_seed=seed, cores=cores).mixture.means
        for name, seed, cores in [
            ("one", 5, 1), ("two", 5, 2), ("child", child, 2), ("again", child, 1), ("other", other, 2)
        ]
    }  # fmt: skip
    np.testing.assert_array_equal(results["one"], results["two"])
    np.testing.assert_array_equal(results["child"], results["again"])
    assert not np.array_equal(results["child"], results["other"])


def test_units_do_not_matter(rng):
    x, _ = groups(rng, 3, 2, 800, 4.0)
    scale, shift = np.array([1e-6, 1e5]), np.array([3.0, -1e7])
    plain = diffgmm.fit(x, 3, random_seed=1)
    moved = diffgmm.fit(x * scale + shift, 3, random_seed=1)
    np.testing.assert_allclose(moved.mixture.means, plain.mixture.means * scale + shift, rtol=1e-6)
    jacobian = len(x) * np.log(scale).sum()
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood - jacobian, abs=1e-3)


def test_weight_zero_is_no_row(rng):
    x, _ = groups(rng, 3, 2, 900, 4.0)
    noise = 50.0 + rng.standard_normal((300, 2))
    weights = np.r_[np.ones(900), np.zeros(300)]
    weighted = diffgmm.fit(np.r_[x, noise], 3, sample_weight=weights, random_seed=1)
    assert weighted.log_likelihood == pytest.approx(
        diffgmm.fit(x, 3, random_seed=1).log_likelihood, abs=900 * 1e-5
    )


def test_a_collapsed_component_says_so(rng):
    x = np.concatenate([rng.standard_normal((60, 2)), np.ones((12, 2))])
    with pytest.warns(ConvergenceWarning, match=r"about 1[0-9] rows\) has collapsed onto a point"):
        diffgmm.fit(x, 2, random_seed=0)


def test_save_and_load_keep_every_bit(rng, tmp_path):
    x, _ = groups(rng, 3, 2, 500, 4.0)
    found = diffgmm.fit(x, range(1, 5), random_seed=1)
    found.save(tmp_path / "fit.json")
    back = diffgmm.MixtureFit.load(tmp_path / "fit.json")
    assert back.to_dict() == found.to_dict()
    np.testing.assert_array_equal(back.mixture.means, found.mixture.means)
    np.testing.assert_array_equal(back.path.bic, found.path.bic)
    optimum = found.path.optimum(2)
    np.testing.assert_array_equal(back.path.optimum(2).covariances, optimum.covariances)


def test_centres_are_spread_and_count_weights(rng):
    points = np.repeat(np.eye(3) * 100.0, 50, axis=0) + rng.standard_normal((150, 3))
    index, distance = spread_centres(points, np.zeros(0), 3, rng)
    assert {i // 50 for i in index} == {0, 1, 2}
    assert distance.max() < 100.0
    weights = np.r_[np.zeros(50), np.ones(100)]
    index, _ = spread_centres(points, weights, 20, rng)
    assert index.min() >= 50


def test_splitting_keeps_the_moments(rng):
    _, mixture = groups(rng, 2, 4, 10, 2.0)
    directions = rng.standard_normal((2, 4))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    factors = np.linalg.inv(np.linalg.cholesky(mixture.covariances))
    whole = Parameters(mixture.weights, mixture.means, mixture.covariances)
    halves = split_all(whole, directions, factors)
    for j in range(2):
        pair = [j, j + 2]
        share = halves.weights[pair] / halves.weights[pair].sum()
        mean = share @ halves.means[pair]
        step = halves.means[pair] - mean
        within = np.einsum("k,kab->ab", share, halves.covariances[pair])
        between = np.einsum("k,ka,kb->ab", share, step, step)
        np.testing.assert_allclose(mean, mixture.means[j], atol=1e-12)
        np.testing.assert_allclose(within + between, mixture.covariances[j], atol=1e-12)
        assert np.linalg.eigvalsh(halves.covariances[j])[0] > 0.0


def wrong_and_right(rng, weighted):
    """Return a problem, parameters with a large group cut and two small ones as one, and the truth."""
    weights = np.array([0.03, 0.03, 0.64, 0.3])
    means = np.array([[5.0, 4.0, 0.0], [9.0, 4.0, 0.0], [0.0, 0.0, 0.0], [-6.0, 5.0, 0.0]])
    truth = diffgmm.GaussianMixture(weights, means, np.repeat(np.eye(3)[None], 4, axis=0))
    x = truth.sample(3_000, rng)
    counts = np.full(3_000, 2.0) if weighted else None
    problem = Problem.of(Data.of(x).rows(np.zeros(3), np.ones(3), counts), FAMILIES["full"], 1)
    covariances = np.repeat(np.eye(3)[None], 4, axis=0)
    covariances[0, 0, 0] = 5.0
    cut = np.array([[7.0, 4.0, 0.0], [0.4, 0.0, 0.0], [-0.4, 0.0, 0.0], [-6.0, 5.0, 0.0]])
    start = Parameters(np.array([0.06, 0.32, 0.32, 0.3]), cut, covariances)
    wrong = run_em(problem, start, max_passes=40).parameters
    return problem, wrong, Parameters(weights, means, np.repeat(np.eye(3)[None], 4, axis=0))


def divided_rows(rng):
    """Return 1,000 rows: groups at -20, -16 and 20, and a feature that says nothing."""
    centres = np.array([-20.0, -16.0, 20.0])[rng.integers(3, size=1000)]
    return np.column_stack([centres, np.zeros(1000)]) + rng.standard_normal((1000, 2))


def test_groups_across_the_principal_axis_are_found():
    """In standardised units a component on the groups at -20 and -16 is widest in the other feature."""
    x = divided_rows(np.random.default_rng(3))
    for seed in range(10):  # along principal axes four of twenty miss, the first and the seventh too
        means = diffgmm.fit(x, 3, random_seed=seed).mixture.means[:, 0]
        np.testing.assert_allclose(np.sort(means), [-20.0, -16.0, 20.0], atol=0.5)


@pytest.mark.parametrize("weighted", [False, True])
def test_components_are_split_where_their_rows_are_divided(weighted, rng):
    x = divided_rows(rng)[:, ::-1] / [1.0, 17.6]
    x = np.ascontiguousarray(x[x[:, 1] < 0.0])
    normal = np.array([20.0, 0.0]) + rng.standard_normal((1000, 2)) * [3.0, 1.0]
    values = np.concatenate([x, normal])
    row_weights = rng.uniform(0.5, 1.5, len(values)) if weighted else None
    problem = Problem.of(
        Data.of(values).rows(np.zeros(2), np.ones(2), row_weights), FAMILIES["full"], 1
    )
    full = np.stack([np.cov(x.T), np.cov(normal.T)])
    parameters = Parameters(
        np.array([0.4, 0.6]), np.stack([x.mean(axis=0), normal.mean(axis=0)]), full
    )
    axes = np.linalg.eigh(full)[1][:, :, -1]
    divided, same = split_directions(problem, parameters, full, axes)
    along = np.abs(divided / x.std(axis=0))
    assert along[1] > 3.0 * along[0]  # within 20 degrees, in standard deviations
    np.testing.assert_array_equal(same, axes[1])


@pytest.mark.parametrize("weighted", [False, True])
def test_a_swap_leaves_a_wrong_optimum_and_not_the_right_one(weighted, rng):
    problem, wrong, right = wrong_and_right(rng, weighted)
    _, shrinkage = cover(problem, 4, rng)
    swapped = swap_locally(problem, wrong, shrinkage)
    assert len(swapped.weights) == 4
    assert swapped.weights.sum() == pytest.approx(1.0, abs=1e-12)
    distance = np.linalg.norm(swapped.means[:, None] - right.means, axis=-1)
    assert sorted(distance.argmin(axis=0)) == [0, 1, 2, 3]
    assert distance.min(axis=0).max() < 0.5
    best = run_em(problem, right).parameters
    assert expect(problem, swapped)[0] > expect(problem, wrong)[0]
    assert swap_locally(problem, best, shrinkage) is None


@pytest.mark.parametrize("weighted", [False, True])
def test_a_merge_is_priced_by_the_rows_of_both(weighted, rng):
    """Against sums over all rows, of which those left out hold less than a hundredth."""
    problem, wrong, _ = wrong_and_right(rng, weighted)
    prior = prior_of_components(problem, wrong)
    pairs, losses = cheapest_pairs(problem, wrong, members_of(problem, wrong), prior)
    x, n = problem.rows.values, problem.n_effective
    mixture = diffgmm.GaussianMixture(*wrong)
    shares = mixture.responsibilities(x) * (2.0 if weighted else 1.0)
    for (i, j), loss in zip(pairs, losses, strict=True):
        own = shares[:, i] + shares[:, j]
        weights = wrong.weights[[i, j]] / wrong.weights[[i, j]].sum()
        pair = diffgmm.GaussianMixture(weights, wrong.means[[i, j]], wrong.covariances[[i, j]])
        share = shares[:, [i, j]].sum(axis=0)
        mean = weights @ wrong.means[[i, j]]
        steps = wrong.means[[i, j]] - mean
        spread = np.einsum("k,ka,kb->ab", weights, steps, steps)
        both = np.einsum("k,kab->ab", weights, wrong.covariances[[i, j]]) + spread
        one = diffgmm.GaussianMixture([1.0], mean[None], both[None])
        parts = (np.concatenate(p) for p in ((wrong.means[[i, j]], mean[None]), (pair.covariances, both[None])))
        factors = occam_factors(problem.family, np.r_[share, own.sum()], *parts, prior)
        saved = factors[:2].sum() - factors[2]
        expected = own @ (pair.log_density(x) - one.log_density(x)) - saved
        assert loss == pytest.approx(expected, abs=1e-3 * n)


def test_swaps_touch_no_component_twice():
    pairs = np.array([[0, 1], [1, 2], [3, 4]])
    losses = np.array([1.0, 2.0, 3.0])
    gains = np.array([-9.0, 8.0, -9.0, -9.0, -9.0, 7.0])
    assert disjoint_swaps(gains, pairs, losses) == ([1], [2])  # 5 finds 0, 1 and 3, 4 touched
    gains[1] = -9.0
    assert disjoint_swaps(gains, pairs, losses) == ([5], [0])
    assert disjoint_swaps(np.full(6, 1.0), pairs, losses) == ([], [])


@pytest.mark.parametrize("weighted", [False, True])
def test_lifting_is_one_m_step_in_all_features(weighted, rng):
    x, _ = groups(rng, 2, 9, 600, 4.0)
    weights = rng.random(600) if weighted else None
    data = Data.of((x - x.mean(axis=0)) / x.std(axis=0))
    problem = Problem.of(data.rows(np.zeros(9), np.ones(9), weights), FAMILIES["full"], 1)
    low = project(problem, 3)
    start, _ = cover(low, 2, rng)
    _, shrinkage = cover(problem, 2, rng)
    lifted = lift(problem, low, start, shrinkage)
    shares = np.empty((600, 2))
    components = components_of(*start, low.family)
    gaussian.responsibilities(low.rows, components, 0, 600, shares)
    shares *= 1.0 if weights is None else weights[:, None]
    for j in range(2):
        share = shrinkage.n_rows / (shares[:, j].sum() + shrinkage.n_rows)
        raw = np.cov(data.values.T, aweights=shares[:, j], ddof=0)
        expected = (1.0 - share) * raw + share * shrinkage.covariance
        np.testing.assert_allclose(lifted.covariances[j], expected, rtol=1e-9, atol=1e-12)
        mean = np.average(data.values, axis=0, weights=shares[:, j])
        np.testing.assert_allclose(lifted.means[j], mean, rtol=1e-9, atol=1e-12)


def test_search_returns_other_optima_and_better_starts(rng):
    x, _ = groups(rng, 6, 2, 800, 2.5)
    data, family = Data.of(x), FAMILIES["full"]
    best, others = search(data, 6, family, seed=1, cores=1, n_others=3)
    assert others
    assert all(abs(other.log_likelihood - best.log_likelihood) > 800 * 1e-5 for other in others)
    again, _ = search(data, 6, family, seed=2, cores=1, also=[best])
    assert again.log_likelihood >= best.log_likelihood - len(x) * 1e-6


def interrupting(monkeypatch, name, nth, module=CANDIDATES):
    """Let the `nth` call of `name` be interrupted."""
    target = importlib.import_module(module)
    original, calls = getattr(target, name), []

    def call(*arguments, **options):
        calls.append(name)
        if len(calls) == nth:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(target, name, call)


@pytest.mark.parametrize(
    ("name", "nth"), [("split_merge", 1), ("covered", 2), ("run_em", 1), ("run_em", 2)]
)
def test_ctrl_c_keeps_the_best_optimum(name, nth, rng, monkeypatch):
    x, _ = groups(rng, 5, 2, 700, 2.5)
    monkeypatch.setattr("diffgmm.learn.search.PASSES_PER_STRETCH", 5)
    interrupting(monkeypatch, name, nth, SEARCH if name == "run_em" else CANDIDATES)
    with pytest.warns(ConvergenceWarning, match="The fit was interrupted: this is the best optimum"):
        found = diffgmm.fit(x, 5, model="diffusion", random_seed=3)
    assert found.trace.message == "interrupted: the best optimum so far"
    assert not found.trace.converged
    assert found.score_model.is_silent
    assert found.log_likelihood == pytest.approx(found.log_density(x).sum(), rel=1e-9)
    one = diffgmm.fit(x, 1, random_seed=3)
    assert found.log_likelihood > one.log_likelihood + 100.0


def test_ctrl_c_before_any_optimum_goes_through(rng, monkeypatch):
    x, _ = groups(rng, 5, 2, 700, 2.5)
    interrupting(monkeypatch, "covered", 1)
    with pytest.raises(KeyboardInterrupt):
        diffgmm.fit(x, 5, random_seed=3)


def test_ctrl_c_after_the_path_keeps_its_optimum(rng, monkeypatch):
    x, _ = groups(rng, 3, 2, 700, 6.0)
    interrupting(monkeypatch, "covered", 1)  # the path has its own name for it
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        found = diffgmm.fit(x, range(1, 5), random_seed=3)
    chosen = found.path.best()
    assert found.log_likelihood == pytest.approx(found.path.optimum(chosen).log_likelihood, rel=1e-9)


def test_a_polish_in_stretches_ends_where_one_does(rng, monkeypatch):
    x, _ = groups(rng, 5, 2, 1_500, 1.5)
    whole = diffgmm.fit(x, 5, random_seed=3)
    monkeypatch.setattr("diffgmm.learn.search.PASSES_PER_STRETCH", 9)
    parts = diffgmm.fit(x, 5, random_seed=3)
    assert parts.trace.converged
    assert parts.log_likelihood == pytest.approx(whole.log_likelihood, abs=len(x) * 2e-6)


@pytest.mark.parametrize("name", ["fit_score_model", "choose_gates"])
def test_ctrl_c_while_scores_are_learned_keeps_the_mixture(name, rng, monkeypatch):
    x, _ = groups(rng, 2, 2, 400, 6.0)
    interrupting(monkeypatch, name, 1, module="diffgmm.learn.fit")
    with pytest.warns(ConvergenceWarning, match="The fit was interrupted: this is the best optimum"):
        found = diffgmm.fit(x, None, model="diffusion", random_seed=1, progressbar=False)
    assert found.mixture.n_components == 2
    assert found.score_model.is_silent
    assert found.path is not None


@pytest.mark.parametrize("n_components", [None, 3, range(1, 4)])
@pytest.mark.parametrize("model", ["mixture", "diffusion"])
def test_rows_of_weight_zero_carry_no_component(model, n_components):
    """Two rows that count are two at most; a fit or one clear line, never a stack trace."""
    x, weights = np.arange(20.0).reshape(10, 2) ** 2, np.r_[1.0, 1.0, np.zeros(8)]
    options = {"model": model, "sample_weight": weights, "random_seed": 1, "progressbar": False}
    if n_components is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert diffgmm.fit(x, n_components, **options).mixture.n_components <= 2
    else:
        with pytest.raises(InvalidParameterError, match=r"^n_components must not exceed the number"):
            diffgmm.fit(x, n_components, **options)
