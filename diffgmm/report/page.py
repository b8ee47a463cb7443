"""One page of HTML that needs nothing else: a summary with its tables, and pictures."""

import base64
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from .._version import __version__
from ..errors import InvalidFileError, InvalidParameterError
from ..files import write_text
from . import plots
from .inference_data import FEWEST_DRAWS, SAMPLE_DIMS, as_tree
from .plots.canvas import pyplot
from .plots.subject import MOST_FEATURES
from .summary import Summary, summary

DPI = 110

ENDINGS = (".html",)

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.9rem; display: block;
        overflow-x: auto; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 0.3rem 0; }
th, td { padding: 0.15rem 0.8rem 0.15rem 0; border-bottom: 1px solid #ddd; white-space: nowrap; }
figure { margin: 0; } img { max-width: 100%; height: auto; }
figcaption, footer { color: #555; font-size: 0.9rem; }
"""


@dataclass(frozen=True)
class Picture:
    """A picture of a page: its heading, a sentence on how to read it, and who draws it."""

    heading: str
    caption: str
    draw: Callable[..., Any]


PICTURES = (
    Picture(
        "Components",
        "Thin ellipses of 2 standard deviations are single draws of the posterior, thick ones have the "
        "mean of the draws' parameters.",
        plots.plot_components,
    ),
    Picture(
        "Density",
        "The posterior predictive density over the rows.",
        plots.plot_density,
    ),
    Picture(
        "Membership",
        "The probability of every component for every row, and the interval of the largest one.",
        plots.plot_membership,
    ),
    Picture(
        "Co-clustering",
        "The probability that two rows share a component. It does not depend on labels.",
        plots.plot_co_clustering,
    ),
    Picture(
        "How many",
        "Components with rows, and modes of the density. Dots apart say that chains disagree.",
        plots.plot_n_components,
    ),
    Picture(
        "Calibration",
        "Leave-one-out PIT numbers less uniform ones. Calibrated predictions stay in the grey band.",
        plots.plot_pit,
    ),
    Picture(
        "Checks by component",
        "Distances of rows from the centre of their component (line) and of replicated rows (band). "
        "A small p says that a component is not Gaussian.",
        plots.plot_ppc_clusters,
    ),
    Picture(
        "Misfit by scale",
        "What another shape of a component gains on held-out rows, by noise level and component.",
        plots.plot_misfit,
    ),
)


def save_report(idata: Any, path: str | Path, *, title: str = "Gaussian mixture") -> None:
    """Write one page of HTML that needs nothing else: the summary, its tables, and pictures.

    `diffgmm report` on the command line writes the same page of a file with rows.

    Parameters
    ----------
    idata : arviz.InferenceData or xarray.DataTree
        As `diffgmm.sample` returns it. After `diffgmm.compute_misfit(idata)` the page has the
        misfit check as well.
    path : str or Path
        A name ending in .html.
    title : str, default "Gaussian mixture"
        Heading of the page, plain text.

    Raises
    ------
    InvalidParameterError
        When `idata` is neither, or holds no rows.
    InvalidFileError
        When the name does not end in .html, or the folder cannot be written to.

    Examples
    --------
    >>> import diffgmm
    >>> X = diffgmm.datasets.load_faithful()
    >>> idata = diffgmm.sample(X, 2, draws=300, random_seed=1, progressbar=False)
    >>> diffgmm.save_report(idata, "faithful.html")  # doctest: +SKIP
    """
    if Path(path).suffix not in ENDINGS:
        raise InvalidFileError(f"Cannot write {str(path)!r}: its name must end in .html.")
    groups = getattr(as_tree(idata), "children", {})
    if "posterior" not in groups or "observed_data" not in groups:
        raise InvalidParameterError(
            "save_report needs draws with their rows, as diffgmm.sample returns them, got "
            f"{type(idata).__name__}."
        )
    pyplot()
    write_text(path, report_page(idata, summary(idata), title))


def report_page(idata: Any, found: Summary, title: str) -> str:
    """Return a page of HTML with the summary and every picture, each within the page.

    Parameters
    ----------
    idata : arviz.InferenceData or xarray.DataTree
        With weights, means, covariances and observed_data; with a group misfit for its picture.
    found : Summary
        Of `idata`.
    title : str
        Plain text.
    """
    groups = as_tree(idata).children
    n_draws = math.prod(groups["posterior"].sizes[dim] for dim in SAMPLE_DIMS)
    features = (
        {"features": range(MOST_FEATURES)} if len(found.feature_names) > MOST_FEATURES else {}
    )
    sections = []
    for picture in PICTURES:
        if picture.draw is plots.plot_misfit and "misfit" not in groups:
            continue
        takes = picture.draw in (plots.plot_components, plots.plot_density)
        if picture.draw is plots.plot_pit and (features or n_draws < FEWEST_DRAWS):
            continue  # one panel for each of many features is not read
        axes = picture.draw(idata, **(features if takes else {}))
        sections.append(_section(picture, axes))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{found._repr_html_()}"
        f"{''.join(sections)}<footer>diffgmm {escape(__version__)}</footer></body></html>\n"
    )


def _section(picture: Picture, axes: Any) -> str:
    figure = axes.ravel()[0].figure
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    pyplot().close(figure)
    data = base64.b64encode(content.getvalue()).decode("ascii")
    heading = escape(picture.heading)
    return (
        f'<section><h2>{heading}</h2><figure><img alt="{heading}" '
        f'src="data:image/png;base64,{data}"><figcaption>{escape(picture.caption)}</figcaption>'
        "</figure></section>"
    )
