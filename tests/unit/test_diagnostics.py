"""Diagnostics of draws by any library: planted switches, closed forms, a conjugate posterior."""

import numpy as np
import pytest
import xarray
from scipy import stats

import diffgmm
from diffgmm.errors import InvalidParameterError

CHAINS, DRAWS = 4, 50


def tree(weights, means, scales, x=None):
    """Return draws as another library names them."""
    dims = ("chain", "draw", "component")
    posterior = xarray.Dataset(
        {"w": (dims, weights), "mu": ((*dims, "column"), means), "sd": ((*dims, "column"), scales)}
    )
    groups = {"/posterior": posterior}
    if x is not None:
        groups["/observed_data"] = xarray.Dataset({"y": (("row", "column"), x)})
    return xarray.DataTree.from_dict(groups)


NAMES = {"weights": "w", "means": "mu", "scales": "sd", "cluster_dim": "component"}


def three(rng, gap=6.0):
    """Return draws of three components at 0, gap and 2 gap, all in one numbering."""
    shape = (CHAINS, DRAWS, 3)
    means = gap * np.arange(3.0) + 0.1 * rng.standard_normal(shape)
    weights = rng.dirichlet([500.0, 300.0, 200.0], shape[:2])
    return weights, means[..., None], np.ones((*shape, 1))


def switched(parts, where, order):
    out = [part.copy() for part in parts]
    for new, old in zip(out, parts):
        new[where] = old[where][:, order]
    return out


def test_planted_switches_are_counted(rng):
    parts = three(rng)
    clean = diffgmm.label_switching(tree(*parts), **NAMES)
    assert float(clean["score"]) == 0.0
    assert float(clean["between"]) == 0.0
    where = np.zeros((CHAINS, DRAWS), dtype=bool)
    where[1, ::5] = True  # 10 of 50 draws of one chain
    found = diffgmm.label_switching(tree(*switched(parts, where, [1, 0, 2])), **NAMES)
    assert float(found["score"]) == pytest.approx(10 / 200)
    assert found["within"].values.tolist() == [0.0, 0.2, 0.0, 0.0]
    where[:] = False
    where[2] = True  # a chain with a numbering of its own
    found = diffgmm.label_switching(tree(*switched(parts, where, [2, 0, 1])), **NAMES)
    assert float(found["score"]) == pytest.approx(0.25)
    assert float(found["between"]) == pytest.approx(0.25)
    assert found["within"].values.max() == 0.0


def test_draws_without_a_numbering_are_aligned_first(rng):
    parts = three(rng)
    where = rng.random((CHAINS, DRAWS)) < 0.5
    mixed = tree(*switched(parts, where, [2, 1, 0]))
    one, other = (diffgmm.overlap(own, **NAMES) for own in (tree(*parts), mixed))
    np.testing.assert_allclose(one["misclassification"], other["misclassification"], rtol=1e-12)


def test_overlap_of_equal_scales_in_closed_form(rng):
    weights, means, scales = three(rng, 2.0)
    found = diffgmm.overlap(tree(weights, means, scales), draws=8, **NAMES)
    chosen = np.unique(np.linspace(0, DRAWS - 1, 2).astype(int))
    w, m = weights[:, chosen], means[..., 0][:, chosen]
    gap = np.abs(m[..., 0] - m[..., 1])
    bhattacharyya = np.exp(-(gap**2) / 8.0)
    omega = stats.norm.cdf((np.log(w[..., 1] / w[..., 0]) - 0.5 * gap**2) / gap)
    pair = {"cluster": 0, "cluster_bis": 1}
    np.testing.assert_allclose(found["bhattacharyya"].sel(pair), bhattacharyya, rtol=1e-12)
    np.testing.assert_allclose(found["misclassification"].sel(pair), omega, rtol=1e-9)
    both = found["misclassification"].values
    both = (both + np.swapaxes(both, 2, 3))[..., [0, 0, 1], [1, 2, 2]]
    np.testing.assert_allclose(found["max_overlap"], both.max(axis=-1))
    np.testing.assert_allclose(found["mean_overlap"], both.mean(axis=-1))


def test_identifiability_names_the_twin_and_the_empty_one(rng):
    weights, means, scales = three(rng)
    means = np.concatenate([means, means[:, :, :1] + 0.5], axis=2)
    weights = np.concatenate([0.999 * weights, weights[:, :, :1] * 0.0 + 0.001], axis=2)
    means[:, :, 2] += 50.0  # far from every row
    scales = np.ones_like(means)
    x = np.concatenate([rng.standard_normal((40, 1)), 6.0 + rng.standard_normal((40, 1))])
    found = diffgmm.identifiability(tree(weights, means, scales, x), **NAMES)
    first = means[:, :, :, 0].mean(axis=(0, 1))[np.argsort(-weights.mean(axis=(0, 1)))]
    twin, far = int(np.argmin(np.abs(first - 0.5))), int(np.argmax(first))
    assert found["empty"].values[far] == pytest.approx(1.0)
    assert found["empty"].values[0] == pytest.approx(0.0, abs=1e-6)
    assert found["nearest"].values[twin] == 0
    assert found["coincidence"].values[twin] == pytest.approx(np.exp(-(0.5**2) / 8.0), abs=1e-9)
    assert found["one_mode"].values.tolist().count(1.0) == 2
    # That no row belongs to the twin, by hand for one draw.
    w, m = weights[0, 0], means[0, 0, :, 0]
    joint = w * stats.norm.pdf(x, m, 1.0)
    alone = diffgmm.GaussianMixture(w, m[:, None], np.ones((4, 1, 1)))
    by_hand = np.prod(1.0 - joint[:, 3] / joint.sum(axis=1))
    assert diffgmm.identifiability(alone, x)["empty"].values[3] == pytest.approx(by_hand)


def test_the_number_of_modes_has_a_posterior(rng):
    weights, means, scales = three(rng, 6.0)
    weights = np.full_like(weights, 1.0 / 3.0)
    means[:2, :, 1] = means[:2, :, 0] + 1.0  # within 2 sd in half of the chains
    found = diffgmm.n_modes(tree(weights, means, scales), **NAMES)
    assert found.dims == ("chain", "draw")
    np.testing.assert_array_equal(found.values[:2], 2)
    np.testing.assert_array_equal(found.values[2:], 3)
    assert set(
        diffgmm.n_modes(tree(weights, means, scales), min_mass=0.5, **NAMES).values.flat
    ) == {0, 1}
    for given in (2, None):
        with pytest.raises(InvalidParameterError) as caught:
            diffgmm.n_modes(tree(weights, means, scales), min_mass=given, **NAMES)
        assert str(caught.value) == f"min_mass must be from 0 to below 1, got {given}."


def test_loo_pit_of_a_conjugate_posterior():
    """One Gaussian of known scale with a flat prior: the prediction without a row is known.

    Importance weights of 4,000 draws leave an error of about 0.01 for the farthest row; an
    in-sample transform is off by 0.02 to 0.1 there, and is told apart.
    """
    rng = np.random.default_rng(5)
    n = 12
    x = rng.standard_normal((n, 1))
    means = x.mean() + rng.standard_normal((4, 1000, 1, 1)) / np.sqrt(n)
    idata = tree(np.ones((4, 1000, 1)), means, np.ones_like(means), x)
    found = diffgmm.loo_pit(idata, draws=4000, **NAMES)
    others = (x.sum() - x[:, 0]) / (n - 1)
    expected = stats.norm.cdf(x[:, 0], others, np.sqrt(1.0 + 1.0 / (n - 1)))
    assert np.abs(found["pit"].values[:, 0] - expected).max() < 0.015
    np.testing.assert_allclose(found["rosenblatt"], found["pit"], atol=1e-12)
    u = found["pit"].values[:, 0]
    np.testing.assert_allclose(found["joint"], np.abs(2.0 * u - 1.0), atol=1e-9)
    plain = diffgmm.loo_pit(idata, loo=False, draws=1000, **NAMES)
    assert np.abs(plain["pit"].values[:, 0] - expected).max() > 0.02
    assert "pareto_k" not in plain


def test_a_fit_is_one_draw():
    x = diffgmm.datasets.load_faithful()
    fit = diffgmm.fit(x, 2, random_seed=1)
    assert int(diffgmm.n_modes(fit).item()) == 2
    assert float(diffgmm.overlap(fit)["mean_overlap"].item()) < 0.01
    found = diffgmm.loo_pit(fit, x)
    assert found.attrs["leave_one_out"] == 0
    parts = fit.mixture.marginal([1])
    sd = np.sqrt(parts.covariances[:, 0, 0])
    by_hand = stats.norm.cdf(np.asarray(x.data)[:, 1:], parts.means[:, 0], sd) @ parts.weights
    np.testing.assert_allclose(found["pit"].values[:, 1], by_hand, atol=1e-12)


@pytest.mark.parametrize("name", ["overlap", "n_modes", "loo_pit", "identifiability"])
def test_what_holds_no_mixture_is_refused(name):
    with pytest.raises(InvalidParameterError) as caught:
        getattr(diffgmm, name)(3)
    assert str(caught.value) == "InferenceData, a DataTree or a MixtureFit is needed, got int."


def test_an_unknown_name_of_a_variable_is_said(rng):
    with pytest.raises(TypeError, match="unexpected keyword argument 'weight'"):
        diffgmm.overlap(tree(*three(rng)), weight="w")
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.overlap(tree(*three(rng)))
    expected = "The posterior has no variable 'means' for means; it has ['mu', 'sd', 'w']."
    assert str(caught.value) == expected


def test_rows_that_belong_together_under_names_of_another_library(rng):
    """Clear groups, labels that switch: membership aligns them, the others need no labels."""
    parts = three(rng)
    where = np.zeros((CHAINS, DRAWS), dtype=bool)
    where[:, ::2] = True
    mixed = switched(parts, where, [2, 0, 1])
    x = np.repeat([0.0, 6.0, 12.0], 10)[:, None] + 0.5 * rng.standard_normal((30, 1))
    idata, group = tree(*mixed, x), np.repeat([0, 1, 2], 10)
    p = diffgmm.membership(idata, **NAMES).values
    np.testing.assert_array_equal(p.argmax(axis=1), group)
    assert p.max(axis=1).min() > 0.9  # without alignment 0.5
    together = diffgmm.co_clustering(idata, **NAMES).values
    np.testing.assert_array_equal(together > 0.5, group[:, None] == group)
    labels = diffgmm.partition(idata, random_seed=1, **NAMES)["partition"].values
    np.testing.assert_array_equal(labels[:, None] == labels, group[:, None] == group)
    image = diffgmm.plot_co_clustering(idata, **NAMES)[0].images[0].get_array()
    np.testing.assert_allclose(np.sort(image, axis=None), np.sort(together, axis=None))


def test_rows_that_belong_together_by_a_fit(rng):
    x = np.repeat([0.0, 6.0], 20)[:, None] + rng.standard_normal((40, 1))
    fit = diffgmm.fit(x, 2, random_seed=1)
    np.testing.assert_allclose(diffgmm.membership(fit, x), fit.mixture.responsibilities(x))
    assert diffgmm.co_clustering(fit, x).shape == (40, 40)
