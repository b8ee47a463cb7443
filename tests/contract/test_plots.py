"""Pictures: they show what the fit holds, on the caller's axes or new ones, and refuse in one line."""

import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import diffgmm
from diffgmm.errors import DiffgmmError, InvalidParameterError

mpl.use("agg")


@pytest.fixture(scope="module")
def ring():
    rng = np.random.default_rng(1)
    angle = rng.uniform(0.0, 2.0 * np.pi, 600)
    x = np.c_[np.cos(angle), np.sin(angle)] + 0.125 * rng.standard_normal((600, 2))
    return x, diffgmm.fit(x, 4, model="diffusion", random_seed=0, progressbar=False)


@pytest.fixture(scope="module")
def cube():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((200, 3))
    return x, diffgmm.fit(x, range(1, 4), random_seed=0)


@pytest.fixture(autouse=True)
def no_figure_is_left():
    plt.close("all")
    yield
    plt.close("all")


def test_a_score_field_has_a_panel_for_each_level(ring):
    x, fit = ring
    axes = diffgmm.plot_score_field(fit, X=x)
    assert len(axes) == 3
    (one,) = diffgmm.plot_score_field(fit, 0.5)
    assert one.get_title() == "σ = 0.5"
    assert (one.get_xlabel(), one.get_ylabel()) == ("x0", "x1")


def test_arrows_point_to_the_denoised_rows(ring):
    _, fit = ring
    (ax,) = diffgmm.plot_score_field(fit, [0.6])
    arrows = next(own for own in ax.collections if type(own).__name__ == "Quiver")
    start = np.column_stack([arrows.X, arrows.Y])
    shown = np.column_stack([arrows.U, arrows.V])
    move = fit.score_model.denoise(start, 0.6) - start
    cosine = (shown * move).sum(1) / np.linalg.norm(shown, axis=1) / np.linalg.norm(move, axis=1)
    # Lengths are scaled in cells of the grid, which are nearly square here: directions stay.
    assert cosine.min() > 0.999


def test_trajectories_end_in_the_data(ring):
    x, fit = ring
    (ax,) = diffgmm.plot_trajectories(fit, 30, X=x, random_seed=0)
    paths = np.array([line.get_xydata() for line in ax.lines])
    assert paths.shape[0] == 30
    assert np.abs(np.hypot(*paths[:, -1].T) - 1.0).max() < 0.6
    assert np.hypot(*paths[:, 0].T).std() > 2.0 * np.hypot(*paths[:, -1].T).std()


def test_losses_are_those_of_the_report(ring):
    _, fit = ring
    (ax,) = diffgmm.plot_denoising_loss(fit)
    lines = [line for line in ax.lines if len(line.get_xdata()) == len(fit.score_model.sigmas)]
    shown = np.array([line.get_ydata() for line in lines])
    np.testing.assert_allclose(shown, 100.0 * fit.score_model.report.gains.T)


def test_a_path_marks_what_each_criterion_prefers(cube):
    _, fit = cube
    axes = diffgmm.plot_path(fit)
    marked = [ax.lines[1].get_xdata()[0] for ax in axes]
    assert marked == [fit.path.best(name) for name in ("bic", "icl", "held_out")]


def test_a_picture_goes_where_the_caller_wants_it(ring):
    _, fit = ring
    ax = plt.subplots()[1]
    assert diffgmm.plot_denoising_loss(fit, axes=ax)[0] is ax
    assert diffgmm.plot_trajectories(fit, 3, axes=ax)[0] is ax
    assert len(plt.get_fignums()) == 1
    assert diffgmm.plot_denoising_loss(fit, figsize=(2.0, 3.0))[0].figure.get_figwidth() == 2.0


def test_a_plane_is_chosen_by_names_or_numbers(cube):
    _, fit = cube
    (ax,) = diffgmm.plot_score_field(fit, 0.5, features=("x2", 0))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x2", "x0")


REFUSED = {
    "a plane is needed": (
        lambda ring, cube: diffgmm.plot_score_field(cube),
        "features must name two of 3 features: x0, x1, x2; the others are kept at the mixture's "
        "mean.",
    ),
    "two different features": (
        lambda ring, cube: diffgmm.plot_trajectories(cube, features=("x1", "x1")),
        "features must be two different ones of x0, x1, x2, got ['x1', 'x1'].",
    ),
    "no residual": (
        lambda ring, cube: diffgmm.plot_denoising_loss(cube),
        "The fit has no held-out losses: fit with model='diffusion', and with at least 5 rows for "
        "each component.",
    ),
    "no path": (
        lambda ring, cube: diffgmm.plot_path(ring),
        "The fit has no path: its number of components was given. Fit with n_components=None or a "
        "range.",
    ),
    "no tree": (
        lambda ring, cube: diffgmm.plot_warm_starts(ring),
        "The fit has no warm starts: fit with model='diffusion' and gating='voronoi'.",
    ),
    "too few axes": (
        lambda ring, cube: diffgmm.plot_path(cube, axes=plt.subplots()[1]),
        "axes must be 3 matplotlib axes, got ['Axes'].",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_drawn_is_said_in_one_line(case, ring, cube):
    draw, message = REFUSED[case]
    with pytest.raises(InvalidParameterError) as caught:
        draw(ring[1], cube[1])
    assert str(caught.value) == message


def test_without_matplotlib_one_line_says_how_to_get_it(cube, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(DiffgmmError) as caught:
        diffgmm.plot_path(cube[1])
    expected = "Plots need the package matplotlib: pip install 'diffgmm[plots]'."
    assert str(caught.value) == expected


OF_FITS = ("denoising_loss", "path", "score_field", "trajectories", "warm_starts")


@pytest.mark.parametrize("name", OF_FITS)
@pytest.mark.parametrize("given", [None, 3, np.ones((3, 2))])
def test_what_is_no_fit_is_refused(name, given):
    with pytest.raises(InvalidParameterError, match=r"^The picture needs a MixtureFit, as diffgmm"):
        getattr(diffgmm, f"plot_{name}")(given)
