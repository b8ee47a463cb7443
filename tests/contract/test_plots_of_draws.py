"""Pictures of draws: they show the numbers behind them, whatever the library, and refuse in one line."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray
from scipy import stats

import diffgmm
from diffgmm.errors import InvalidParameterError
from diffgmm.geometry.bands import simultaneous_band
from diffgmm.posterior.mixture_draws import MixtureDraws
from diffgmm.report.plots.density import region_heights
from diffgmm.report.plots.ppc_clusters import p_value
from diffgmm.report.plots.subject import spread_apart

mpl.use("agg")

NAMES = {"weights": "w", "means": "mu", "covariances": "cov", "cluster_dim": "component"}


def tree(weights, means, covariances, x, spread=0.05, seed=0, chains=2, draws=40):
    """Return draws near one mixture, as another library names them, in one numbering."""
    rng = np.random.default_rng(seed)
    shape = (chains, draws)
    k, d = means.shape
    dims = ("chain", "draw", "component")
    mu = means + spread * rng.standard_normal((*shape, k, d))
    sizes = np.exp(0.1 * rng.standard_normal((*shape, k, 1, 1)))
    posterior = xarray.Dataset(
        {
            "w": (dims, rng.dirichlet(400.0 * weights, shape)),
            "mu": ((*dims, "column"), mu),
            "cov": ((*dims, "column", "column_bis"), covariances * sizes),
        },
        coords={"column": [f"x{i}" for i in range(d)]},
        attrs={"labels": "aligned"},
    )
    stats_ = xarray.Dataset({"n_filled": (dims[:2], rng.integers(k - 1, k + 1, shape))})
    observed = xarray.Dataset({"y": (("row", "column"), x)})
    return xarray.DataTree.from_dict(
        {"/posterior": posterior, "/sample_stats": stats_, "/observed_data": observed}
    )


def make(k, d, n=300, seed=1, width=4.0):
    rng = np.random.default_rng(seed)
    means = width * rng.standard_normal((k, d))
    roots = np.eye(d) + 0.3 * rng.standard_normal((k, d, d))
    covariances = roots @ np.swapaxes(roots, 1, 2)
    weights = rng.dirichlet(np.full(k, 5.0))
    mixture = diffgmm.GaussianMixture(weights, means, covariances)
    return tree(weights, means, covariances, mixture.sample(n, 2)), mixture


@pytest.fixture(scope="module")
def twelve():
    return make(12, 2, 600, width=2.0)[0]


@pytest.fixture(scope="module")
def cube():
    return make(3, 3)[0]


@pytest.fixture(scope="module")
def line():
    return make(2, 1)[0]


@pytest.fixture(autouse=True)
def no_figure_is_left():
    plt.close("all")
    yield
    plt.close("all")


def texts_in(axes):
    """Return every text that is drawn: titles, labels, ticks within the limits, notes, legends."""
    figure = axes.ravel()[0].figure
    figure.draw_without_rendering()
    texts = [own for own in (figure._suptitle, figure._supxlabel, figure._supylabel) if own]
    for ax in (ax for ax in figure.axes if ax.get_visible()):
        texts += [ax.title, *ax.texts]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            texts.append(axis.label)
            texts += [
                tick.label1
                for tick in axis.get_major_ticks()
                if tick.label1.get_visible() and low <= tick.get_loc() <= high
            ]
        if legend := ax.get_legend():
            texts += [*legend.get_texts(), legend.get_title()]
    return [text for text in texts if text.get_text().strip()]


def covered(texts):
    """Return pairs of texts whose boxes overlap by more than a pixel."""
    boxes = [text.get_window_extent() for text in texts]
    pairs = []
    for i, a in enumerate(boxes):
        for j in range(i):
            b = boxes[j]
            across = min(a.x1, b.x1) - max(a.x0, b.x0)
            up = min(a.y1, b.y1) - max(a.y0, b.y0)
            if across > 1.0 and up > 1.0:
                pairs.append((texts[i].get_text(), texts[j].get_text()))
    return pairs


# ---- what they show


def test_an_ellipse_is_two_sd_of_the_mean_draw(twelve):
    axes = diffgmm.plot_components(twelve, n_draws=80, **NAMES)
    (ax,) = axes.ravel()
    assert axes.shape == (1, 1)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x0", "x1")
    posterior = twelve["posterior"]
    mean = posterior["mu"].mean(("chain", "draw")).values
    covariance = posterior["cov"].mean(("chain", "draw")).values
    lines = [own.get_xydata() for own in ax.lines if len(own.get_xdata()) == 100]
    assert len(lines) == 12
    for k, points in enumerate(lines):
        gap = points - mean[k]
        squared = np.einsum("na,ab,nb->n", gap, np.linalg.inv(covariance[k]), gap)
        np.testing.assert_allclose(squared, 4.0, rtol=1e-9)
    many = [own for own in ax.collections if isinstance(own, mpl.collections.LineCollection)]
    assert sorted(len(own.get_segments()) for own in many) == [80] * 12


@pytest.mark.parametrize("name", ["components", "density"])
def test_three_features_make_a_corner(name, cube):
    axes = getattr(diffgmm, f"plot_{name}")(cube, **NAMES)
    assert axes.shape == (3, 3)
    shown = np.array([[ax.get_visible() for ax in row] for row in axes])
    np.testing.assert_array_equal(shown, np.tri(3, dtype=bool))
    assert [axes[2, j].get_xlabel() for j in range(3)] == ["x0", "x1", "x2"]
    assert [axes[i, 0].get_ylabel() for i in range(3)] == ["", "x1", "x2"]
    one = getattr(diffgmm, f"plot_{name}")(cube, features=["x2", 0], **NAMES)
    assert (one[0, 0].get_xlabel(), one[0, 0].get_ylabel()) == ("x2", "x0")


def test_one_feature_is_a_density(line):
    """The curve integrates to one and is the mean over draws."""
    (ax,) = diffgmm.plot_density(line, n_draws=80, **NAMES).ravel()
    x, y = ax.lines[0].get_xydata().T
    assert np.trapezoid(y, x) == pytest.approx(1.0, abs=0.02)
    posterior = line["posterior"]
    sds = np.sqrt(posterior["cov"].values[..., 0, 0])
    each = stats.norm.pdf(x[200], posterior["mu"].values[..., 0], sds) * posterior["w"].values
    assert y[200] == pytest.approx(each.sum(axis=-1).mean(), rel=1e-9)
    parts = diffgmm.plot_components(line, n_draws=80, **NAMES)[0, 0]
    together = sum(own.get_ydata() for own in parts.lines)
    np.testing.assert_allclose(together, y, rtol=1e-6)


@pytest.mark.statistical
def test_contours_hold_their_share_of_the_probability():
    """Of one Gaussian the heights are known; 4,000 draws, false alarm 1e-6 by 4.9 standard errors."""
    draws = MixtureDraws(np.ones((1, 1)), np.zeros((1, 1, 2)), np.eye(2)[None, None])
    shares = np.array([0.95, 0.8, 0.5, 0.2])
    heights = region_heights(draws, shares)
    held = 1.0 - heights * 2.0 * np.pi  # P(density > h) = 1 - h / max
    assert np.all(np.abs(held - shares) < 4.9 * np.sqrt(shares * (1.0 - shares) / 4000))


def test_membership_is_stacked_to_one_and_ordered(cube):
    axes = diffgmm.plot_membership(cube, n_draws=80, **NAMES)
    assert len(axes) == 2
    top, bottom = axes
    ends = [own.get_paths()[0].vertices[:, 1].max() for own in top.collections]
    assert max(ends) == pytest.approx(1.0)
    shown = np.concatenate([own.get_xydata() for own in bottom.lines if own.get_marker() == "."])
    assert len(shown) == 300
    posterior = cube["posterior"]
    renamed = xarray.DataTree.from_dict({
        "/posterior": posterior.to_dataset().rename(
            {"w": "weights", "mu": "means", "cov": "covariances", "component": "cluster"}
        ),
        "/observed_data": cube["observed_data"].to_dataset(),
    })  # fmt: skip
    expected = diffgmm.membership(renamed).values.max(axis=1)
    np.testing.assert_allclose(np.sort(shown[:, 1]), np.sort(expected), atol=1e-9)


def test_co_clustering_is_that_of_the_function():
    x = diffgmm.datasets.load_faithful()
    fit = diffgmm.fit(x, 2, random_seed=1)
    idata = fit.to_arviz(x, draws=30, random_seed=1, progressbar=False)
    (ax,) = diffgmm.plot_co_clustering(idata)
    image = ax.images[0].get_array()
    expected = diffgmm.co_clustering(idata).values
    assert image.shape == (272, 272)
    assert image.sum() == pytest.approx(expected.sum())
    labels = diffgmm.partition(idata, random_seed=0)["partition"].values
    together = expected[labels == 0][:, labels == 0]
    n = len(together)
    assert image[:n, :n].mean() == pytest.approx(together.mean())
    assert [text.get_text() for text in ax.get_yticklabels()] == [f"0 ({n})", f"1 ({272 - n})"]


def test_numbers_of_components_are_shares_of_the_draws(twelve):
    (ax,) = diffgmm.plot_n_components(twelve, **NAMES)
    filled = twelve["sample_stats"]["n_filled"].values
    bars = {round(bar.get_x() + bar.get_width()): bar.get_height() for bar in ax.containers[0]}
    for number in (11, 12):
        assert bars[number] == pytest.approx(np.mean(filled == number))
    modes = diffgmm.n_modes(twelve, **NAMES).values
    assert sum(bar.get_height() for bar in ax.containers[1]) == pytest.approx(1.0)
    assert max(bar.get_height() for bar in ax.containers[1]) == pytest.approx(
        np.bincount(modes.ravel()).max() / modes.size
    )
    sampled = twelve.copy()
    sampled["sample_stats"]["n_components"] = sampled["sample_stats"]["n_filled"] + 1
    (ax,) = diffgmm.plot_n_components(sampled, **NAMES)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["components K", "components with rows K+"]


def test_pit_shows_the_difference_from_uniform(cube):
    found = diffgmm.loo_pit(cube, **NAMES)
    axes = diffgmm.plot_pit(found)
    titles = [ax.get_title() for ax in axes]
    assert titles == ["x0", "x1", "x2", "all features (Rosenblatt)"]
    points, shown = axes[1].lines[1].get_xydata().T
    share = (found["pit"].values[:, 1] <= points[:, None]).mean(axis=1)
    np.testing.assert_allclose(shown, share - points)


@pytest.mark.statistical
def test_the_band_holds_uniform_numbers_and_not_others():
    """95 % of 400 sets: 4.9 standard errors are 0.053; shifted numbers leave it."""
    rng = np.random.default_rng(7)
    points = np.linspace(0.0, 1.0, 52)[1:-1]
    low, high = simultaneous_band(200, points, 0.95)

    def inside(numbers):
        share = (numbers[:, :, None] <= points).mean(axis=1)
        return np.mean(np.all((share >= low) & (share <= high), axis=1))

    assert abs(inside(rng.random((400, 200))) - 0.95) < 0.055
    assert inside(rng.random((50, 200)) ** 2) == 0.0


def test_predictive_checks_by_cluster_notice_a_component_that_is_not_gaussian():
    """The first component's rows lie on a circle; the second's are Gaussian."""
    rng = np.random.default_rng(3)
    angle = rng.uniform(0.0, 2.0 * np.pi, 150)
    ring = np.sqrt(2.0) * np.c_[np.cos(angle), np.sin(angle)]
    x = np.concatenate([ring, 12.0 + rng.standard_normal((150, 2))])
    idata = tree(
        np.array([0.5, 0.5]), np.array([[0.0, 0.0], [12.0, 12.0]]), np.stack([np.eye(2)] * 2), x
    )
    axes = diffgmm.plot_ppc_clusters(idata, **NAMES)
    p = [float(ax.get_title().split("p = ")[1]) for ax in axes]
    assert p[0] == 0.0
    assert p[1] > 0.01
    assert axes[0].get_title().startswith("component 0: 150 rows")


def test_a_p_value_of_nothing_is_none():
    assert np.isnan(p_value([np.zeros(0)], [np.ones(3)], 2))


def test_misfit_of_idata_is_that_of_the_report():
    x = diffgmm.datasets.load_faithful()
    fit = diffgmm.fit(x, 2, random_seed=1)
    idata = fit.to_arviz(x, draws=30, random_seed=1, progressbar=False)
    with pytest.raises(InvalidParameterError, match=r"^The picture needs .*compute_misfit first"):
        diffgmm.plot_misfit(idata)
    diffgmm.compute_misfit(idata, n_bootstrap=19, random_seed=1, progressbar=False)
    (ax,) = diffgmm.plot_misfit(idata)
    group = idata["misfit"]
    expected = np.column_stack([group["z"].values, group["z_all"].values])
    np.testing.assert_allclose(ax.images[0].get_array(), expected)


# ---- how they look


EVERY = ("components", "density", "membership", "n_components", "pit", "ppc_clusters")
LOOKED_AT = [("twelve", name) for name in EVERY] + [
    (case, name) for case in ("cube", "line") for name in ("components", "density", "pit")
]


@pytest.mark.parametrize(("case", "name"), LOOKED_AT)
def test_no_text_covers_another_and_none_is_cut(name, case, request):
    idata = request.getfixturevalue(case)
    axes = getattr(diffgmm, f"plot_{name}")(idata, **NAMES)
    figure = axes.ravel()[0].figure
    texts = texts_in(axes)
    assert covered(texts) == []
    width, height = figure.bbox.size
    for text in texts:
        box = text.get_window_extent()
        assert box.x0 >= -1.0, text
        assert box.y0 >= -1.0, text
        assert box.x1 <= width + 1.0, text
        assert box.y1 <= height + 1.0, text
    visible = [ax for ax in figure.axes if ax.get_visible()]
    assert any(ax.get_xlabel() for ax in visible) or figure.get_supxlabel()


def test_labels_are_spread_apart():
    rng = np.random.default_rng(0)
    points = 50.0 + rng.standard_normal((12, 2))
    found = spread_apart(points, np.zeros(2), np.full(2, 100.0), 18.0)
    gaps = np.linalg.norm(found[:, None] - found, axis=2) + 1e9 * np.eye(12)
    assert gaps.min() >= 17.9
    assert found.min() >= 0.0
    assert found.max() <= 100.0


def test_a_picture_goes_where_the_caller_wants_it(cube, line):
    ax = plt.subplots()[1]
    assert diffgmm.plot_components(line, axes=ax, **NAMES)[0, 0] is ax
    assert diffgmm.plot_n_components(cube, axes=ax, **NAMES)[0] is ax
    four = plt.subplots(1, 4)[1]
    assert diffgmm.plot_pit(cube, axes=four, **NAMES)[3] is four[3]
    assert (
        diffgmm.plot_density(cube, figsize=(3.0, 4.0), **NAMES)[0, 0].figure.get_figheight() == 4.0
    )


# ---- what is refused

REFUSED = {
    "an unknown feature": (
        lambda idata: diffgmm.plot_components(idata, features=["x0", "z"], **NAMES),
        "features must be 1 to 6 different ones of x0, x1, x2, got ['x0', 'z'].",
    ),
    "one axes for a corner": (
        lambda idata: diffgmm.plot_density(idata, axes=plt.subplots()[1], **NAMES),
        "axes must be 9 matplotlib axes (3 by 3), got ['Axes'].",
    ),
    "no draws": (
        lambda idata: diffgmm.plot_membership(np.ones(3)),
        "InferenceData, a DataTree or a MixtureFit is needed, got ndarray.",
    ),
    "a fit has no posterior": (
        lambda idata: diffgmm.plot_n_components(3),
        "The picture needs InferenceData or a DataTree, got int.",
    ),
    "a fit without rows": (
        lambda idata: diffgmm.plot_ppc_clusters(diffgmm.GaussianMixture([1.0], [[0.0]], [[[1.0]]])),
        "There is no group observed_data with the rows. Give X.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_drawn_is_said_in_one_line(case, cube):
    draw, message = REFUSED[case]
    with pytest.raises(InvalidParameterError if "rows" not in case else Exception) as caught:
        draw(cube)
    assert str(caught.value) == message


def test_many_features_must_be_chosen():
    idata = make(2, 8)[0]
    with pytest.raises(InvalidParameterError) as caught:
        diffgmm.plot_components(idata, **NAMES)
    names = ", ".join(f"x{i}" for i in range(8))
    assert str(caught.value) == f"features must name at most 6 of 8 features: {names}."
