"""`relabel`: draws of any library, one numbering; against brute force over all permutations."""

import itertools
import time
import warnings

import numpy as np
import pytest
import xarray

import diffgmm
from diffgmm.errors import InvalidParameterError
from diffgmm.posterior import relabelling
from diffgmm.report.inference_data import Group, as_tree, build, from_tree, rhat_and_ess

# Seconds for 10,000 draws of 10 components: the target.
BUDGET = 2.0

CHAINS, DRAWS, K, D = 2, 60, 3, 2
METHODS = relabelling.METHODS


def shuffle(arrays, order):
    index = np.argsort(order, axis=-1)
    return [
        np.take_along_axis(a, index.reshape(*index.shape, *[1] * (a.ndim - 3)), axis=2)
        for a in arrays
    ]


def draws(rng, *, chains=CHAINS, n=DRAWS, k=K, d=D, spread=6.0, noise=0.1):
    """Return weights, means and covariances around one mixture, labels as they should be."""
    centre = spread * rng.standard_normal((k, d))
    mean_weights = np.linspace(2.0, 1.0, k) / np.linspace(2.0, 1.0, k).sum()
    weights = rng.dirichlet(300.0 * mean_weights, (chains, n))
    means = centre + noise * rng.standard_normal((chains, n, k, d))
    scales = rng.uniform(0.8, 1.2, (chains, n, k, 1, 1))
    return [weights, means, scales * np.eye(d)]


def switched(rng, shape):
    return np.argsort(rng.random(shape), axis=-1)


def idata_of(weights, means, covariances, lp=None, **more):
    lp = np.zeros(weights.shape[:2]) if lp is None else lp
    s = ("chain", "draw")
    posterior = {
        "weights": ((*s, "cluster"), weights),
        "means": ((*s, "cluster", "feature"), means),
        "covariances": ((*s, "cluster", "feature", "feature_bis"), covariances),
        **more,
    }
    groups = {"posterior": Group(posterior), "sample_stats": Group({"lp": (s, lp)})}
    return build(groups, {}, {})


def values(idata, name="means", group="posterior"):
    return idata[group][name].values


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [1, 2, 5])
def test_it_undoes_switched_labels(method, k, rng):
    right = draws(rng, k=k)
    lp = rng.standard_normal(right[0].shape[:2])
    wrong = shuffle(right, switched(rng, right[0].shape))
    found = diffgmm.relabel(idata_of(*wrong, lp), method=method)
    by_size = np.argsort(-right[0].mean(axis=(0, 1)))
    np.testing.assert_array_equal(values(found), right[1][:, :, by_size])
    np.testing.assert_array_equal(values(found, "weights"), right[0][:, :, by_size])
    np.testing.assert_array_equal(values(found, "covariances"), right[2][:, :, by_size])
    assert found["posterior"].attrs["alignment_method"] == method
    assert found["posterior"].attrs["alignment_ambiguous"] == 0.0


@pytest.mark.parametrize("method", METHODS)
def test_the_labels_that_come_in_do_not_matter(method, rng):
    """Overlapping components, two always empty: where ties could be broken by number."""
    right = draws(rng, k=5, spread=1.0, noise=1.0)
    right[0][..., 3:] = 1e-300
    lp = rng.standard_normal(right[0].shape[:2])
    first = diffgmm.relabel(idata_of(*right, lp), method=method)
    again = shuffle(right, switched(rng, right[0].shape))
    second = diffgmm.relabel(idata_of(*again, lp), method=method)
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(values(first, name), values(second, name))
    np.testing.assert_allclose(
        values(first, "alignment_log_odds", "sample_stats"),
        values(second, "alignment_log_odds", "sample_stats"),
        rtol=1e-3,
        atol=1e-3,
    )


def test_the_object_that_comes_in_is_left_alone(rng):
    right = draws(rng)
    idata = idata_of(*shuffle(right, switched(rng, right[0].shape)))
    before = values(idata).copy()
    attrs = dict(idata["posterior"].attrs)
    diffgmm.relabel(idata)
    np.testing.assert_array_equal(values(idata), before)
    assert dict(idata["posterior"].attrs) == attrs
    assert "alignment_log_odds" not in idata["sample_stats"]


def test_match_and_exchanges_against_all_permutations(rng):
    gain = rng.standard_normal((200, 4, 4))
    gain[0] = 0.0
    order = relabelling.match(gain)
    costs = relabelling.exchange_costs(gain, order)
    for s in range(200):
        every = {
            p: sum(gain[s, p[cluster], cluster] for cluster in range(4))
            for p in itertools.permutations(range(4))
        }
        own = every[tuple(order[s])]
        assert own == pytest.approx(max(every.values()))
        for j, m in itertools.combinations(range(4), 2):
            swapped = list(order[s])
            swapped[j], swapped[m] = swapped[m], swapped[j]
            assert costs[s, j, m] == pytest.approx(own - every[tuple(swapped)], abs=1e-12)


def test_log_odds_are_those_of_the_normal_law(rng):
    """Costs N(m, v) far from 0: the log ratio of the density at c and at -c."""
    cost = rng.normal(3.0, 0.5, 4_000)
    costs = np.zeros((4_000, 2, 2))
    costs[:, 0, 1] = costs[:, 1, 0] = cost
    m, v = cost.mean(), cost.var()
    expected = -((cost - m) ** 2) / (2 * v) + (-cost - m) ** 2 / (2 * v)
    np.testing.assert_allclose(relabelling.exchange_log_odds(costs), expected)


def test_no_scatter_and_no_cost():
    same = np.full((5, 2, 2), 4.0)
    assert np.isinf(relabelling.exchange_log_odds(same)).all()
    assert np.all(relabelling.exchange_log_odds(0.0 * same) == 0.0)
    assert np.isinf(relabelling.exchange_log_odds(np.zeros((3, 1, 1)))).all()


@pytest.mark.parametrize("method", METHODS)
def test_components_that_cannot_be_told_apart_are_ambiguous(method, rng):
    """Two equal components: which is which is chance in nearly every draw; far apart in none."""
    shares = []
    for distance in (0.0, 10.0):
        right = draws(rng, n=500, k=2, spread=0.0, noise=0.3)
        right[0][:] = rng.dirichlet([50.0, 50.0], right[0].shape[:2])
        right[1][:, :, 1] += distance
        found = diffgmm.relabel(idata_of(*right), method=method)
        shares.append(found["posterior"].attrs["alignment_ambiguous"])
        odds = values(found, "alignment_log_odds", "sample_stats")
        assert np.mean(odds < np.log(19.0)) == shares[-1]
    assert shares[0] > 0.2
    assert shares[1] == 0.0


def test_chains_in_different_modes_stay_apart(rng):
    right = draws(rng)
    right[1][1] += np.array([0.0, 30.0])
    found = diffgmm.relabel(idata_of(*right), method="pivot")
    assert values(found).std(axis=1).max() < 0.5  # within a chain labels are one
    gap = values(found)[1].mean(axis=0) - values(found)[0].mean(axis=0)
    np.testing.assert_allclose(gap[:, 1].mean(), 30.0, atol=0.5)


def test_every_group_with_draws_follows(rng):
    right = draws(rng)
    order = switched(rng, right[0].shape)
    wrong = shuffle(right, order)
    z = rng.integers(K, size=(CHAINS, DRAWS, 20))
    wrong_z = np.take_along_axis(order, z, axis=2)
    transition = rng.dirichlet(np.ones(K), (CHAINS, DRAWS, K))
    rank = np.argsort(order, axis=2)
    wrong_transition = np.take_along_axis(transition, rank[..., None], axis=2)
    wrong_transition = np.take_along_axis(wrong_transition, rank[:, :, None], axis=3)
    s = ("chain", "draw")
    idata = idata_of(
        *wrong,
        z=((*s, "obs_id"), wrong_z),
        transition=((*s, "cluster", "cluster_to"), wrong_transition),
        mixed=(("cluster", *s[::-1]), np.moveaxis(wrong[0], [0, 1, 2], [2, 1, 0])),
        plain=(s, right[0][..., 0]),
    )
    tree = as_tree(idata)
    for name, own in {"prior": wrong[0], "sample_stats": wrong[0]}.items():
        data = tree[name].to_dataset() if name in tree.children else xarray.Dataset()
        data["sizes"] = ((*s, "cluster"), own)
        tree[name] = xarray.DataTree(data)
    half = tree["posterior"].to_dataset().isel(draw=slice(None, None, 2))[["weights"]]
    tree["log_likelihood"] = xarray.DataTree(half)
    found = diffgmm.relabel(
        from_tree(tree), cluster_dim=("cluster", "cluster_to"), allocations="z", method="stephens"
    )
    by_size = np.argsort(-right[0].mean(axis=(0, 1)))
    rank_size = np.argsort(by_size)
    weights = right[0][..., by_size]
    np.testing.assert_array_equal(values(found, "weights"), weights)
    np.testing.assert_array_equal(values(found, "z"), rank_size[z])
    assert found["posterior"]["mixed"].dims == ("cluster", "draw", "chain")
    np.testing.assert_array_equal(
        found["posterior"]["mixed"].transpose("chain", "draw", "cluster").values, weights
    )
    np.testing.assert_array_equal(
        values(found, "transition"), transition[:, :, by_size][..., by_size]
    )
    np.testing.assert_array_equal(values(found, "plain"), right[0][..., 0])
    np.testing.assert_array_equal(values(found, "sizes", "sample_stats"), weights)
    np.testing.assert_array_equal(values(found, "sizes", "prior"), wrong[0])
    np.testing.assert_array_equal(values(found, "weights", "log_likelihood"), weights[:, ::2])


def test_allocations_alone_decide_for_ecr(rng):
    right = draws(rng, spread=0.0)
    order = switched(rng, right[0].shape)
    z = np.broadcast_to(rng.integers(K, size=50), (CHAINS, DRAWS, 50))
    idata = idata_of(
        *shuffle(right, order),
        z=(("chain", "draw", "obs_id"), np.take_along_axis(order, z, axis=2)),
    )
    found = diffgmm.relabel(idata, allocations="z")
    assert np.all(values(found, "z") == values(found, "z")[0, 0])


@pytest.mark.parametrize(
    "kind", ["diag", "spherical", "tied", "scales", "K features", "one feature"]
)
def test_names_and_shapes_of_other_libraries(kind, rng):
    """Names of PyMC's tutorials, dims of their own, no lp, observed data beside."""
    d = {"one feature": 1, "K features": K}.get(kind, D)
    right = draws(rng, d=d)
    order = switched(rng, right[0].shape)
    weights, means, covariances = shuffle(right, order)
    s = ("chain", "draw")
    variances = covariances[..., 0, 0]
    sigma = {
        "diag": ((*s, "s_dim_0", "s_dim_1"), np.repeat(variances[..., None], d, axis=-1)),
        "spherical": ((*s, "s_dim_0"), variances),
        "tied": ((*s, "s_dim_1", "s_dim_2"), np.broadcast_to(np.eye(d), (CHAINS, DRAWS, d, d))),
        "scales": ((*s, "s_dim_0"), np.sqrt(variances)),
        "K features": ((*s, "s_dim_0", "s_dim_1"), np.sqrt(variances[..., None] * np.ones(d))),
        "one feature": ((*s, "s_dim_0"), np.sqrt(variances)),
    }[kind]
    mu = ((*s, "mu_dim_0"), means[..., 0])
    if d > 1:
        mu = ((*s, "mu_dim_0", "mu_dim_1"), means)
    groups = {
        "posterior": Group({"w": ((*s, "w_dim_0"), weights), "mu": mu, "sigma": sigma}),
        "observed_data": Group({"y": (("y_dim_0", "y_dim_1"), right[1][0].reshape(-1, d))}),
    }
    by_scales = kind in ("scales", "K features", "one feature")
    width = {"scales": "sigma"} if by_scales else {"covariances": "sigma"}
    found = diffgmm.relabel(
        build(groups, {}, {}),
        weights="w",
        means="mu",
        cluster_dim=("w_dim_0", "mu_dim_0", "s_dim_0"),
        **width,
    )
    by_size = np.argsort(-right[0].mean(axis=(0, 1)))
    expected = right[1][:, :, by_size]
    np.testing.assert_array_equal(values(found, "mu"), expected if d > 1 else expected[..., 0])
    np.testing.assert_array_equal(values(found, "w"), right[0][:, :, by_size])


def test_pivot_needs_means_only(rng):
    right = draws(rng)
    order = switched(rng, right[0].shape)
    mu = shuffle(right, order)[1]
    groups = {"posterior": Group({"mu": (("chain", "draw", "k", "feature"), mu)})}
    found = diffgmm.relabel(
        build(groups, {}, {}),
        weights=None,
        means="mu",
        covariances=None,
        cluster_dim="k",
        method="pivot",
    )
    by_first = np.argsort(right[1][..., 0].mean(axis=(0, 1)))
    np.testing.assert_array_equal(values(found, "mu"), right[1][:, :, by_first])


def test_draws_of_this_package_stay_as_they_are(rng):
    x = np.concatenate([rng.standard_normal((50, 1)), 8.0 + rng.standard_normal((30, 1))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few draws
        idata = diffgmm.sample(
            x, 2, draws=200, tune=100, chains=2, random_seed=1, progressbar=False
        )
    found = diffgmm.relabel(idata)
    np.testing.assert_array_equal(values(found), values(idata))
    assert type(found) is type(idata)


@pytest.mark.parametrize("method", METHODS)
def test_r_hat_falls_when_chains_had_labels_of_their_own(method, rng):
    """As posteriors of PyMC come: one label per chain, one chain switches half-way."""
    right = draws(rng, chains=4, n=500)
    order = np.broadcast_to(np.arange(K), (4, 500, K)).copy()
    order[1] = [1, 0, 2]
    order[3, 250:] = [2, 0, 1]
    idata = idata_of(*shuffle(right, order))
    before = rhat_and_ess({"means": values(idata)})["means"][0]
    found = diffgmm.relabel(idata, method=method)
    assert before.max() > 1.5
    assert rhat_and_ess({"means": values(found)})["means"][0].max() < 1.02


@pytest.mark.parametrize("d", [D, 10])
@pytest.mark.parametrize("method", METHODS)
def test_it_is_quick(method, d, rng):
    """CPU time of the second of two runs: the kernels are then loaded."""
    right = draws(rng, chains=4, n=2_500, k=10, d=d)
    idata = idata_of(*shuffle(right, switched(rng, right[0].shape)))
    diffgmm.relabel(idata_of(*(a[:, :10] for a in right)), method=method)
    start = time.process_time()
    diffgmm.relabel(idata, method=method)
    assert time.process_time() - start < BUDGET


def two_dims(rng):
    right = draws(rng)
    table = (("chain", "draw", "cluster", "to"), np.ones((CHAINS, DRAWS, K, K)))
    return idata_of(*right, P=table)


def test_a_dim_of_the_same_size_is_kept_when_told(rng):
    found = diffgmm.relabel(two_dims(rng), keep_dims=["to"])
    assert found["posterior"]["P"].dims == ("chain", "draw", "cluster", "to")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {},
            "'P' in posterior has two dims of 3 entries, 'cluster' and 'to': name both in "
            "cluster_dim to permute both together, or 'to' in keep_dims to leave it.",
        ),
        ({"method": "kl"}, "method must be one of 'ecr', 'stephens', 'pivot', got 'kl'."),
        (
            {"weights": "w"},
            "The posterior has no variable 'w' for weights; it has "
            "['P', 'covariances', 'means', 'weights'].",
        ),
        (
            {"cluster_dim": "component"},
            "The variable 'means' for means must have the dim 'component', but has "
            "['chain', 'draw', 'cluster', 'feature']. Rename it, or give cluster_dim where there is "
                "such an argument.",
        ),
        (
            {"covariances": None},
            "method='ecr' needs weights and covariances (or scales). "
            "Name them, or use method='pivot'.",
        ),
        (
            {"allocations": "weights"},
            "The variable 'weights' for allocations must hold integers from 0 to 2, got float64 "
            "from ",
        ),
        (
            {"X": np.zeros((4, 3))},
            "X has 3 columns, but the means have 2 features.",
        ),
        (
            {"scales": "P"},
            "The variable 'P' for scales has the dims ['chain', 'draw', 'cluster', 'to'], which "
            "do not fit 3 components with 2 features.",
        ),
    ],
)
def test_refusals(options, message, rng):
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.relabel(two_dims(rng), **options)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_something_without_a_posterior_is_refused():
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.relabel({"weights": 1})
    assert str(caught.value) == (
        "idata must be InferenceData or a DataTree with a group posterior, got dict."
    )


def test_covariances_that_are_none(rng):
    weights, means, covariances = draws(rng)
    covariances[0, 3, 1] = -np.eye(D)
    with pytest.raises(InvalidParameterError, match="positive definite in every draw"):
        diffgmm.relabel(idata_of(weights, means, covariances))
