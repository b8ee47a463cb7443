"""`diffgmm plot` and `diffgmm report`: pictures of a saved posterior, and one page with everything."""

import inspect
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Data
from ..errors import InvalidDataError, InvalidParameterError
from ..files import write_text, write_whole
from ..learn.fit import INTERRUPTED, fit
from ..report import plots
from ..report.check import compute_misfit
from ..report.draws import read_mixtures
from ..report.inference_data import load_inference_data, save_inference_data
from ..report.page import ENDINGS as PAGE_ENDINGS
from ..report.page import report_page
from ..report.plots.canvas import pyplot
from ..report.sample import sample
from ..report.summary import summary
from . import tables
from .checking import PLOT_ENDINGS, read_fitted
from .reading import read_table
from .running import POSTERIOR_ENDINGS, check_output, warnings_as_lines

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
    pyplot()  # a missing matplotlib is said before the work, not after it
    data = Data.of(read_table(path, columns))
    common: dict[str, Any] = {"random_seed": random_seed, "cores": cores}
    with warnings_as_lines() as caught:
        known = posterior is not None and posterior.exists()
        if posterior is not None and known:
            idata = load_inference_data(posterior)
            _check_same_rows(idata, data, posterior)
        else:
            if posterior is not None:
                check_output(posterior, POSTERIOR_ENDINGS)
            k = n_components
            if k is None:
                k = _best_number(data, caught, covariance_type=settings["covariance_type"], **common)
            idata = sample(data, k, **common, **settings)
            _save(idata, posterior)
        stopped = not known and bool(idata["posterior"].attrs["interrupted"])
        if stopped:
            caught.clear()  # one line will say so
        elif check and "misfit" not in idata:
            try:
                compute_misfit(idata, data, n_bootstrap=n_bootstrap, **common)
            except KeyboardInterrupt:
                where = f", the posterior is in {str(posterior)!r}" if posterior else ""
                raise KeyboardInterrupt(f"interrupted{where}, there is no page.") from None
            if not known:
                _save(idata, posterior)
        result = summary(idata, data)
        page = report_page(idata, result, f"Gaussian mixture of {path.name}")
    write_text(output, page)
    out = tables.console()
    for line in result.text().splitlines():
        out.print(line, soft_wrap=True)
    out.print(f"\nSaved {output}.", soft_wrap=True)
    if stopped:
        raise KeyboardInterrupt(
            f"interrupted, {idata['posterior'].sizes['draw']} of {settings['draws']} draws per chain "
            f"are in {str(output)!r}, without the check."
        )


def _best_number(data: Data, caught: list[warnings.WarningMessage], **settings: Any) -> int:
    """Return the number of components with the best BIC; an interrupted fit ends it all."""
    found = fit(data, None, **settings)
    if any(str(warning.message) == INTERRUPTED for warning in caught):
        raise KeyboardInterrupt
    k: int = found.mixture.n_components
    tables.console().print(f"K = {k} has the best BIC.")
    return k


def _save(idata: Any, posterior: Path | None) -> None:
    """Keep the posterior if that was asked for: before the check, and with it."""
    if posterior is None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the file formats' own
        save_inference_data(idata, posterior)


def _check_same_rows(idata: Any, data: Data, posterior: Path) -> None:
    """Refuse a posterior of other rows: tables and pictures would not belong together."""
    observed = read_mixtures(idata).observed
    if observed is None or not np.array_equal(observed, data.values):
        raise InvalidDataError(
            f"The posterior in {str(posterior)!r} was not sampled from these rows. Give another name "
            "to --posterior, or the rows that it came from."
        )
