"""Draw the gallery, every picture on three data sets: python tutorials/make_figures.py"""

import io
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image

import diffgmm

FOLDER = Path(__file__).parent / "gallery"

DPI = 75

# Colours of a picture: enough for a heat map, and a third of the size. By largest coverage: the median
# cut drops the bright end of a colour bar, which has few points.
N_COLOURS = 256


def overlapping(n=1500):
    """Return rows of twelve components that overlap."""
    rng = np.random.default_rng(12)
    means = rng.uniform(-6.0, 6.0, (12, 2))
    roots = 0.5 * rng.standard_normal((12, 2, 2)) + np.eye(2)
    own = rng.integers(0, 12, n)
    return means[own] + np.einsum("nab,nb->na", roots[own], rng.standard_normal((n, 2)))


def data_sets():
    """Return {name: (title, rows, number of components)}."""
    penguins = diffgmm.datasets.load_penguins()
    names = ["eruption (minutes)", "waiting (minutes)"]  # axes show what columns are called
    faithful = pd.DataFrame(diffgmm.datasets.load_faithful().data, columns=names)
    return {
        "faithful": ("Old Faithful", faithful, 2),
        "penguins": ("Penguins", penguins, 3),
        "overlapping": ("Twelve overlapping components", overlapping(), 12),
    }


# What each picture of draws, and of a fit, shows; the text of the page.
OF_DRAWS = {
    "components": "ellipses of many draws over the rows; a corner for more than two features",
    "density": "regions of the predictive density that hold 20, 50, 80 and 95 %",
    "membership": "p(component | row), and the interval of the largest one",
    "co_clustering": "the probability that two rows share a component; labels play no part",
    "n_components": "components with rows, and modes; dots are single chains",
    "pit": "leave-one-out PIT, feature by feature and together, with a simultaneous 95 % band",
    "ppc_clusters": "distances from the centre, of rows and of replicated rows, by component",
    "misfit": "where a Gaussian mixture does not fit, by noise level and component",
}
OF_FITS = {
    "path": "BIC, ICL and held-out log density by number of components",
    "denoising_loss": "what the residual removes of the held-out denoising error",
    "score_field": "the learned score at several noise levels",
    "trajectories": "from noise to data, along the probability-flow ODE",
    "warm_starts": "how the centres of one noise level come from those above",
}


def subjects(rows, k):
    """Return what each picture is drawn from, and its further arguments."""
    settings = {"random_seed": 1, "progressbar": False}
    idata = diffgmm.sample(rows, k, **settings)
    diffgmm.compute_misfit(idata, n_bootstrap=19, **settings)
    residual = diffgmm.fit(rows, k, model="diffusion", **settings)
    cells = diffgmm.fit(rows, k, model="diffusion", gating="voronoi", **settings)
    path = diffgmm.fit(rows, range(1, k + 5), **settings)
    pair = {"features": (0, 1), "X": rows}
    return {
        **{name: (idata, {}) for name in OF_DRAWS},
        "path": (path, {}),
        "denoising_loss": (residual, {}),
        "score_field": (residual, {**pair, "sigmas": (1.0, 0.3)}),
        "trajectories": (residual, {**pair, "random_seed": 1}),
        "warm_starts": (cells, {}),
    }


def save(figure, path):
    """Write a picture with few colours, so that it stays small."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI, facecolor="white")
    image = Image.open(content).convert("RGB")
    few = image.quantize(N_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def write_page():
    """Write gallery.md: one heading for each picture, three data sets beneath."""
    lines = [
        "# Gallery",
        "",
        "Every picture on three data sets, as it comes without further arguments. The pictures are "
        "made",
        "by `python tutorials/make_figures.py`.",
    ]
    for heading, pictures, first in (
        ("Draws", OF_DRAWS, "idata"),
        ("Fits", OF_FITS, "fit"),
    ):
        lines += ["", f"## {heading}"]
        for name, text in pictures.items():
            lines += [
                "",
                f"### `diffgmm.plot_{name}({first})`",
                "",
                f"{text[0].upper()}{text[1:]}.",
            ]
            for data, (title, _, _) in data_sets().items():
                lines += ["", f"![{title}: {name}]({name}_{data}.png)"]
    (FOLDER / "gallery.md").write_text("\n".join(lines) + "\n", "utf-8")


def write_gallery():
    """Draw everything."""
    FOLDER.mkdir(exist_ok=True)
    for data, (_, rows, k) in data_sets().items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", diffgmm.errors.ConvergenceWarning)
            drawn = subjects(rows, k)
        for name, (subject, settings) in drawn.items():
            axes = getattr(diffgmm, f"plot_{name}")(subject, **settings)
            save(np.ravel(axes)[0].figure, FOLDER / f"{name}_{data}.png")
            plt.close("all")
    write_page()
