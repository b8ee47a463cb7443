"""Draw the figure of the README and the gallery: python tutorials/make_figures.py"""

from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from make_gallery import write_gallery

import diffgmm
from diffgmm.report.plots.canvas import colour as colour_of
from diffgmm.report.plots.components import ellipse

FOLDER = Path(__file__).parent / "figures"

GREY = "#444444"

# Where the components' labels do not cover anything, in minutes.
LABELS = ((1.55, 86.0), (3.0, 45.0))

N_ELLIPSES = 150


def draw_posterior(axes, data, posterior):
    """Draw the data, and one ellipse per component for some of the posterior draws."""
    weights, means, covariances = (
        np.concatenate(posterior[name].values) for name in ("weights", "means", "covariances")
    )
    chosen = np.linspace(0, len(means) - 1, N_ELLIPSES).astype(int)
    for k in range(means.shape[1]):
        colour = colour_of(k)
        for points in ellipse(means[chosen, k], covariances[chosen, k]):
            axes.plot(*points.T, color=colour, alpha=0.06, linewidth=1.0)
        axes.plot(*ellipse(means[:, k].mean(0), covariances[:, k].mean(0)).T, color=colour)
        low, high = np.quantile(weights[:, k], [0.03, 0.97])
        axes.text(
            *LABELS[k],
            f"weight {weights[:, k].mean():.2f}\n94 % interval {low:.2f} to {high:.2f}",
            color=colour,
        )
    axes.scatter(*data.T, s=7, color=GREY, zorder=3, linewidths=0)
    axes.set_title(
        f"{len(data)} eruptions, and 2-sd ellipses of {N_ELLIPSES} posterior draws", loc="left"
    )


def draw_rows(axes, rows, mixture, n_score_evaluations):
    """Draw rows that the diffusion sampler made, over the ellipses of the fit."""
    for points in ellipse(mixture.means, mixture.covariances):
        axes.plot(*points.T, color="#BBBBBB", linewidth=1.0)
    axes.scatter(*rows.T, s=7, color="#009E73", zorder=3, linewidths=0)
    evaluations = (
        "1 score evaluation"
        if n_score_evaluations == 1
        else (f"{n_score_evaluations} score evaluations")
    )
    axes.set_title(f"{len(rows)} draws by reverse diffusion, {evaluations} each", loc="left")


def main():
    """Write faithful.png and the gallery, which shows pictures in matplotlib's own style."""
    with plt.rc_context():
        draw_readme()
    write_gallery()


def draw_readme():
    """Write faithful.png."""
    faithful = diffgmm.datasets.load_faithful()
    fit = diffgmm.fit(faithful, 2, model="diffusion", random_seed=1)
    idata = diffgmm.sample(faithful, 2, random_seed=1)
    rows = fit.sample(len(faithful.data), random_seed=1)

    plt.rcParams.update({"font.size": 9, "axes.titlesize": 9.5, "axes.spines.top": False})
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.0, 3.7), sharex=True, sharey=True, layout="constrained"
    )
    draw_posterior(left, faithful.data, idata["posterior"])
    draw_rows(right, rows, fit.mixture, fit.score_model.n_score_evaluations)
    for axes in (left, right):
        axes.set_xlabel("Length of an eruption (minutes)")
        axes.spines["right"].set_visible(False)
    left.set_ylabel("Waiting time to the next (minutes)")
    FOLDER.mkdir(exist_ok=True)
    figure.savefig(FOLDER / "faithful.png", dpi=150, facecolor="white", metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
