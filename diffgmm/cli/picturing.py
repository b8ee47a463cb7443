"""`diffgmm plot` and `diffgmm report`: pictures of a saved posterior, and one page with everything."""

import inspect
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Data
from ..errors import InvalidDataError, InvalidParameterError
from ..files import write_text, write_whole
from ..learn.fit import fit
from ..report import plots
from ..report.check import compute_misfit
from ..report.draws import read_mixtures
from ..report.inference_data import load_inference_data, save_inference_data
from ..report.page import report_page
from ..report.sample import sample
from ..report.summary import summary
from . import tables
from .checking import PLOT_ENDINGS, read_fitted
from .reading import read_table
from .running import POSTERIOR_ENDINGS, check_output, warnings_as_lines

PAGE_ENDINGS = (".html",)

DPI = 150

KINDS = tuple(sorted(name.removeprefix("plot_") for name in dir(plots) if name.startswith("plot_")))


def run_plot(
    fitted: Path, kind: str, output: Path, data: Path | None, features: str | None
) -> None:
    """Draw one picture of a saved fit or posterior."""
    check_output(output, PLOT_ENDINGS)
    if kind not in KINDS:
        raise InvalidParameterError(f"--kind must be one of {', '.join(KINDS)}, got {kind!r}.")
    draw = getattr(plots, f"plot_{kind}")
    known = inspect.signature(draw).parameters
    settings: dict[str, Any] = {}
    for name, value in (("X", data), ("features", features)):
        if value is not None and name not in known:
            option = "--data" if name == "X" else "--features"
            raise InvalidParameterError(f"The picture {kind!r} takes no {option}.")
    if data is not None:
        settings["X"] = Data.of(read_table(data))
    if features is not None:
        settings["features"] = [name.strip() for name in features.split(",")]
    with warnings_as_lines():
        figure = draw(read_fitted(fitted), **settings).ravel()[0].figure
        write_whole(output, lambda temporary: figure.savefig(temporary, dpi=DPI))
    tables.console().print(f"Saved {output}.", soft_wrap=True)


def run_report(
    path: Path,
    output: Path,
    *,
    n_components: int | None,
    posterior: Path | None,
    check: bool,
    n_bootstrap: int,
    columns: str | None,
    random_seed: int | None,
    cores: int | None,
    **settings: Any,
) -> None:
    """Fit, sample, check and write one page; an existing posterior is read in place of sampled."""
    check_output(output, PAGE_ENDINGS)
    out = tables.console()
    data = Data.of(read_table(path, columns))
    with warnings_as_lines():
        if posterior is not None and posterior.exists():
            idata = load_inference_data(posterior)
            _check_same_rows(idata, data, posterior)
        else:
            if posterior is not None:
                check_output(posterior, POSTERIOR_ENDINGS)
            family = settings["covariance_type"]
            k = n_components
            if k is None:
                found = fit(
                    data, None, covariance_type=family, random_seed=random_seed, cores=cores
                )
                k = found.mixture.n_components
                out.print(f"K = {k} has the best BIC.")
            idata = sample(data, k, random_seed=random_seed, cores=cores, **settings)
        if check and "misfit" not in idata:
            compute_misfit(
                idata, data, n_bootstrap=n_bootstrap, random_seed=random_seed, cores=cores
            )
        if posterior is not None and not posterior.exists():
            warnings.simplefilter("ignore")  # of the file formats' own
            save_inference_data(idata, posterior)
        result = summary(idata, data)
        page = report_page(idata, result, f"Gaussian mixture of {path.name}")
    write_text(output, page)
    for line in result.text().splitlines():
        out.print(line, soft_wrap=True)
    out.print(f"\nSaved {output}.", soft_wrap=True)


def _check_same_rows(idata: Any, data: Data, posterior: Path) -> None:
    """Refuse a posterior of other rows: tables and pictures would not belong together."""
    observed = read_mixtures(idata).observed
    if observed is None or not np.array_equal(observed, data.values):
        raise InvalidDataError(
            f"The posterior in {str(posterior)!r} was not sampled from these rows. Give another name "
            "to --posterior, or the rows that it came from."
        )
