"""Membership, co-clustering and partitions, against brute force and against drawn allocations."""

import itertools
import warnings

import numpy as np
import pytest

import diffgmm
from diffgmm.errors import InvalidDataError, InvalidParameterError
from diffgmm.kernels import partitions as kernels
from diffgmm.posterior import partitions
from diffgmm.report import clustering
from diffgmm.report.inference_data import Group, build

S = ("chain", "draw")
N, K, D = 40, 3, 2


def mixtures(rng, chains=2, draws=25, k=K, d=D, spread=4.0):
    centre = spread * rng.standard_normal((k, d))
    weights = rng.dirichlet(np.full(k, 20.0), (chains, draws))
    means = centre + 0.3 * rng.standard_normal((chains, draws, k, d))
    roots = np.eye(d) + 0.2 * rng.standard_normal((chains, draws, k, d, d))
    return weights, means, roots @ np.swapaxes(roots, -1, -2)


def idata_of(weights, means, covariances, x=None):
    posterior = {
        "weights": ((*S, "cluster"), weights),
        "means": ((*S, "cluster", "feature"), means),
        "covariances": ((*S, "cluster", "feature", "feature_bis"), covariances),
    }
    groups = {"posterior": Group(posterior, {"labels": "as they are"})}
    if x is not None:
        groups["observed_data"] = Group({"x": (("obs_id", "feature"), x)})
    return build(groups, {}, {})


@pytest.fixture
def case(rng):
    draws = mixtures(rng)
    x = 4.0 * rng.standard_normal((N, D))
    return idata_of(*draws, x), draws, x


def plain_responsibilities(draws, x):
    """Return p(component | row) by scipy, (S, N, K)."""
    from scipy.stats import multivariate_normal

    weights, means, covariances = (a.reshape(-1, *a.shape[2:]) for a in draws)
    out = np.empty((len(weights), len(x), weights.shape[1]))
    for s, k in itertools.product(range(len(weights)), range(weights.shape[1])):
        law = multivariate_normal(means[s, k], covariances[s, k])
        out[s, :, k] = weights[s, k] * law.pdf(x)
    return out / out.sum(axis=2, keepdims=True)


# ---- membership and co-clustering


def test_membership_is_the_mean_over_draws(case):
    idata, draws, x = case
    found = diffgmm.membership(idata)
    assert found.dims == ("obs_id", "cluster")
    np.testing.assert_allclose(found.values, plain_responsibilities(draws, x).mean(axis=0))
    new = x[:7] + 0.1
    expected = plain_responsibilities(draws, new).mean(axis=0)
    np.testing.assert_allclose(diffgmm.membership(idata, new).values, expected)


def test_many_chunks_give_the_same(case, monkeypatch):
    from diffgmm import blocks

    idata = case[0]
    whole = diffgmm.membership(idata).values, diffgmm.co_clustering(idata).values
    monkeypatch.setattr(blocks, "ROWS_PER_CHUNK_LOW", 7)
    np.testing.assert_allclose(diffgmm.membership(idata).values, whole[0], rtol=1e-13)
    np.testing.assert_allclose(diffgmm.co_clustering(idata).values, whole[1], rtol=1e-13)


def test_co_clustering_against_its_definition(case):
    idata, draws, x = case
    r = plain_responsibilities(draws, x)
    expected = np.einsum("sik,sjk->ij", r, r) / len(r)
    np.fill_diagonal(expected, 1.0)
    whole = diffgmm.co_clustering(idata)
    np.testing.assert_allclose(whole.values, expected)
    block = diffgmm.co_clustering(idata, landmarks=[3, 30], rows=[5, 3])
    assert block.dims == ("obs_id", "landmark")
    np.testing.assert_allclose(block.values, expected[np.ix_([5, 3], [3, 30])])
    pairs = np.array([[0, 1], [7, 7], [39, 2]])
    some = diffgmm.co_clustering(idata, pairs=pairs)
    assert some.dims == ("pair",)
    np.testing.assert_allclose(some.values, expected[pairs[:, 0], pairs[:, 1]])
    assert some["second"].values.tolist() == [1, 7, 2]


def test_drawn_allocations_have_these_probabilities(rng):
    """5,000 equal draws: each count within 5.2 standard errors; false alarm 2e-7 x 120 = 2e-5."""
    weights, means, covariances = mixtures(rng, chains=1, draws=1, spread=1.0)
    draws = tuple(np.repeat(a, 5_000, axis=1) for a in (weights, means, covariances))
    x = rng.standard_normal((N, D))
    flat = clustering.MixtureDraws(*(a[0] for a in draws))
    z = clustering.draw_allocations(flat, x, np.random.SeedSequence(1))
    p = plain_responsibilities((weights, means, covariances), x)[0]
    share = np.stack([(z == k).mean(axis=1) for k in range(K)], axis=1)
    error = np.sqrt(np.maximum(p * (1.0 - p), 1e-4) / 5_000)
    assert np.all(np.abs(share - p) < 5.2 * error)
    assert np.any(np.abs(share - p[:, [1, 0, 2]]) > 5.2 * error)  # planted: two components mixed up


def test_labels_that_come_in_do_not_matter(case, rng):
    _, draws, x = case
    order = np.argsort(rng.random(draws[0].shape), axis=-1)
    mixed = [
        np.take_along_axis(a, order.reshape(*order.shape, *[1] * (a.ndim - 3)), axis=2)
        for a in draws
    ]
    first = diffgmm.co_clustering(idata_of(*draws, x)).values
    np.testing.assert_allclose(diffgmm.co_clustering(idata_of(*mixed, x)).values, first)
    z = rng.integers(K, size=(N, 50))
    rename = np.argsort(rng.random((50, K)), axis=1)
    renamed = rename[np.arange(50), z]
    labels = rng.integers(4, size=N)
    np.testing.assert_allclose(
        partitions.distances(renamed, labels), partitions.distances(z, labels)
    )


# ---- partitions


def plain_vi(a, b):
    """Return H(a | b) + H(b | a), by its definition."""
    total = 0.0
    for k, c in itertools.product(np.unique(a), np.unique(b)):
        both = np.mean((a == k) & (b == c))
        if both > 0:
            total -= both * (np.log(both / np.mean(a == k)) + np.log(both / np.mean(b == c)))
    return total


def every_partition(n):
    """Return all set partitions of n rows as labels (Bell number, n)."""
    found = [[0]]
    for _ in range(n - 1):
        found = [[*own, c] for own in found for c in range(max(own) + 2)]
    return np.array(found)


def test_distances_against_their_definition(rng):
    z, labels = rng.integers(4, size=(30, 20)), rng.integers(3, size=30)
    expected = [plain_vi(z[:, s], labels) for s in range(20)]
    np.testing.assert_allclose(partitions.distances(z, labels), expected)
    np.testing.assert_allclose(partitions.distances(z, z[:, 3])[3], 0.0, atol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.2, 0.5, 1.0])
def test_the_estimate_is_the_best_of_all_partitions(noise, rng):
    """Of all 877 partitions of 7 rows, for 20 problems from clear to hopeless."""
    every = every_partition(7)
    assert len(every) == 877
    for problem in range(5):
        truth = rng.integers(3, size=7)
        z = np.where(rng.random((7, 30)) < noise, rng.integers(3, size=(7, 30)), truth[:, None])
        losses = [partitions.distances(z, labels).mean() for labels in every]
        found = partitions.estimate(z, 7, np.random.SeedSequence(problem))
        assert found.loss <= min(losses) + 1e-3  # the target; the search is greedy
        assert found.loss == pytest.approx(partitions.distances(z, found.labels).mean())


def test_a_sweep_never_raises_the_loss(rng):
    z = rng.integers(4, size=(50, 30)).astype(np.uint8)
    labels = rng.integers(5, size=50)
    joint, sizes = np.zeros((30, 4, 5), dtype=np.int32), np.zeros(5, dtype=np.int64)
    kernels.count_joint(z, labels, joint, sizes)
    steps = np.diff(partitions.entropy_terms(np.arange(51.0)))
    losses = [partitions.distances(z, labels).mean()]
    for i in range(50):
        kernels.sweep(z, np.array([i]), labels, joint, sizes, steps, np.empty(5))
        losses.append(partitions.distances(z, labels).mean())
    assert np.all(np.diff(losses) < 1e-12)
    assert losses[-1] < losses[0]
    again, counts = np.zeros_like(joint), np.zeros_like(sizes)
    kernels.count_joint(z, labels, again, counts)
    np.testing.assert_array_equal(joint, again)
    np.testing.assert_array_equal(sizes, counts)


def test_many_rows_join_what_some_rows_found(rng, monkeypatch):
    truth = rng.integers(4, size=3_000)
    z = np.where(rng.random((3_000, 30)) < 0.2, rng.integers(4, size=(3_000, 30)), truth[:, None])
    whole = partitions.estimate(z, 5, np.random.SeedSequence(0))
    monkeypatch.setattr(partitions, "LOOK_UPS", 1.0)
    monkeypatch.setattr(partitions, "FEWEST_ROWS", 200)
    sizes = []
    run = partitions._Search.run
    monkeypatch.setattr(
        partitions._Search,
        "run",
        lambda self, number: (sizes.append(len(self.allocations)), run(self, number))[1],
    )
    joined = partitions.estimate(z, 5, np.random.SeedSequence(0))
    assert sizes == [200, 200, 200]
    assert joined.loss <= whole.loss + 1e-3
    assert joined.loss == pytest.approx(partitions.distances(z, joined.labels).mean())


def test_most_clusters_are_kept(rng):
    z = np.repeat(np.arange(4), 5)[:, None] * np.ones((1, 10), dtype=int)
    assert partitions.estimate(z, 4, np.random.SeedSequence(0)).loss == pytest.approx(0.0)
    assert partitions.estimate(z, 2, np.random.SeedSequence(0)).labels.max() == 1


def test_labels_come_by_size():
    assert partitions.by_size(np.array([7, 7, 2, 2, 9, 2])).tolist() == [1, 1, 0, 0, 2, 0]
    assert partitions.by_size(np.array([5, 1])).tolist() == [0, 1]


def test_agreement_against_its_definition(rng):
    z, labels = rng.integers(3, size=(12, 40)), np.array([0] * 6 + [1] * 5 + [2])
    found = partitions.agreement(z, labels)
    for i in range(11):
        others = [j for j in range(12) if j != i and labels[j] == labels[i]]
        assert found[i] == pytest.approx(np.mean([z[j] == z[i] for j in others]))
    assert np.isnan(found[11])


def test_the_credible_ball(rng):
    z = rng.integers(3, size=(12, 40))
    z[:, 5] = 0
    distance = partitions.distances(z, z[:, 0])
    radius, edges = partitions.credible_ball(z, distance, 0.9)
    inside = distance <= radius
    assert inside.sum() >= 36
    assert (distance < radius).sum() < 36
    counts = np.array([len(set(z[:, s])) for s in range(40)])
    assert distance[edges["horizontal"]] == distance[inside].max()
    assert counts[edges["vertical_upper"]] == counts[inside].min()
    assert counts[edges["vertical_lower"]] == counts[inside].max()


def test_partition_of_clear_clusters(rng):
    means = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])
    truth = np.repeat([0, 1, 2], [20, 15, 5])
    x = means[truth] + rng.standard_normal((N, D))
    weights, _, covariances = mixtures(rng)
    noise = 0.1 * rng.standard_normal((2, 25, K, D))
    idata = idata_of(weights, means + noise, covariances, x)
    found = diffgmm.partition(idata, random_seed=1)
    assert found["partition"].values.tolist() == truth.tolist()
    assert found["partition"].dims == ("obs_id",)
    assert float(found["expected_vi"]) == 0.0
    assert float(found["radius"]) == 0.0
    np.testing.assert_allclose(found["agreement"].values, 1.0)
    assert found.attrs["n_draws"] == 50
    again = diffgmm.partition(idata, random_seed=1)
    assert found.identical(again)


def test_partition_of_draws_of_this_package():
    x = diffgmm.datasets.load_faithful()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few draws
        idata = diffgmm.sample(
            x, 2, draws=150, tune=150, chains=2, random_seed=1, progressbar=False
        )
    found = diffgmm.partition(idata, random_seed=1)
    assert np.bincount(found["partition"]).tolist() == [175, 97]
    assert 0.0 < float(found["expected_vi"]) < float(found["radius"])
    same = diffgmm.membership(idata).values.argmax(axis=1)
    assert np.mean(same == found["partition"].values) > 0.99


# ---- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"pairs": [[0, 40]]},
            "pairs must be row numbers from 0 to 39, got 0 to 40.",
        ),
        (
            {"pairs": [0, 1]},
            "pairs must be row numbers of shape (P, 2), got int64 of shape (2,).",
        ),
        (
            {"landmarks": [0.5]},
            "landmarks must be row numbers of shape (L,), got float64 of shape (1,).",
        ),
        (
            {"pairs": [[0, 1]], "rows": [1]},
            "Give pairs, or rows and landmarks, not both.",
        ),
        (
            {},
            "40 x 40 probabilities are more than 1,000. Give pairs, or fewer landmarks or rows.",
        ),
    ],
)
def test_refusals_of_co_clustering(case, options, message, monkeypatch):
    monkeypatch.setattr(clustering, "MOST_ENTRIES", 1_000)
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.co_clustering(case[0], **options)
    assert str(caught.value) == message


def test_other_refusals(case, rng):
    idata = case[0]
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.partition(idata, probability=95)
    assert str(caught.value) == "probability must be a number between 0 and 1, got 95."
    with pytest.raises(InvalidParameterError, match="max_clusters must be a positive integer"):
        diffgmm.partition(idata, max_clusters=0)
    with pytest.raises(InvalidDataError) as caught:
        diffgmm.membership(idata_of(*mixtures(rng)))
    assert str(caught.value) == "There is no group observed_data with the rows. Give X."
    with pytest.raises(InvalidDataError, match="X has 3 columns, but the mixture has 2 features"):
        diffgmm.membership(idata, np.zeros((2, 3)))
