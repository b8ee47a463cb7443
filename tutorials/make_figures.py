"""Draw the figures of the README: python tutorials/make_figures.py"""

from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np

import diffgmm

FOLDER = Path(__file__).parent / "figures"

# Okabe and Ito's colours, which people with colour-blindness can tell apart.
COLOURS = ("#0072B2", "#D55E00")
GREY = "#444444"

# An ellipse of 2 standard deviations holds 86 % of a Gaussian's mass in two dimensions.
STANDARD_DEVIATIONS = 2.0
N_ELLIPSES = 150


def ellipse(mean, covariance, n=200):
    """Return points (n, 2) at 2 standard deviations from the mean."""
    angle = np.linspace(0.0, 2.0 * np.pi, n)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    return mean + STANDARD_DEVIATIONS * circle @ np.linalg.cholesky(covariance).T


def draw_posterior(axes, data, posterior):
    """Draw the data, and one ellipse per component for some of the posterior draws."""
    flat = posterior.stack(row=("chain", "draw")).transpose("row", ...)
    chosen = np.linspace(0, flat.sizes["row"] - 1, N_ELLIPSES).astype(int)
    means, covariances = flat["means"].values, flat["covariances"].values
    for k, colour in enumerate(COLOURS):
        for row in chosen:
            points = ellipse(means[row, k], covariances[row, k])
            axes.plot(*points.T, color=colour, alpha=0.06, linewidth=1.0)
        axes.plot(*ellipse(means[:, k].mean(0), covariances[:, k].mean(0)).T, color=colour)
        low, high = np.quantile(flat["weights"].values[:, k], [0.03, 0.97])
        place = means[:, k].mean(0)
        axes.annotate(
            f"weight {low:.2f} to {high:.2f}",
            place,
            (0, -44 if k else -48),
            textcoords="offset points",
            ha="center",
            color=colour,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
        )
    axes.scatter(*data.T, s=7, color=GREY, zorder=3, linewidths=0)
    axes.set_title("272 eruptions; components with posterior uncertainty", loc="left")


def draw_rows(axes, rows, n_score_evaluations):
    """Draw rows that the diffusion sampler made."""
    axes.scatter(*rows.T, s=7, color="#009E73", linewidths=0)
    axes.set_title(
        f"{len(rows)} diffusion draws, score evaluations: {n_score_evaluations} each", loc="left"
    )


def main():
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
    draw_rows(right, rows, fit.score_model.n_score_evaluations)
    for axes in (left, right):
        axes.set_xlabel("Length of an eruption (minutes)")
        axes.spines["right"].set_visible(False)
    left.set_ylabel("Waiting time to the next (minutes)")
    FOLDER.mkdir(exist_ok=True)
    figure.savefig(FOLDER / "faithful.png", dpi=150, facecolor="white", metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
