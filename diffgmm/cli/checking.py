"""`diffgmm check`: the misfit check of a saved fit or posterior."""

from pathlib import Path
from typing import Any

from ..data import Data
from ..errors import InvalidFileError
from ..files import write_json, write_whole
from ..learn.mixture_fit import MixtureFit
from ..report.check import check
from ..report.inference_data import load_inference_data
from . import tables
from .reading import read_table
from .running import FIT_ENDINGS, POSTERIOR_ENDINGS, check_output

REPORT_ENDINGS = (".json",)
PLOT_ENDINGS = (".png", ".pdf", ".svg")


def run_check(
    path: Path,
    fitted: Path,
    output: Path | None,
    plot: Path | None,
    *,
    columns: str | None,
    **settings: Any,
) -> None:
    """Check the mixture in `fitted` with the rows of `path`; print the report, save what is asked."""
    if output is not None:
        check_output(output, REPORT_ENDINGS)
    if plot is not None:
        check_output(plot, PLOT_ENDINGS)
    data, mixture = Data.of(read_table(path, columns)), read_fitted(fitted)
    report = check(mixture, data, **settings)
    out = tables.console()
    for line in report.text().splitlines():
        out.print(line, soft_wrap=True)
    if output is not None:
        write_json(output, report.to_dict())
        out.print(f"\nSaved {output}.", soft_wrap=True)
    if plot is not None:
        figure = report.plot().figure
        write_whole(plot, lambda temporary: figure.savefig(temporary, dpi=150))
        out.print(f"Saved {plot}.", soft_wrap=True)


def read_fitted(path: Path) -> Any:
    """Return the fit or the posterior in a file."""
    ending = path.suffix.lower()
    if ending in FIT_ENDINGS:
        return MixtureFit.load(path)
    if ending in POSTERIOR_ENDINGS:
        return load_inference_data(path)
    endings = ", ".join((*FIT_ENDINGS, *POSTERIOR_ENDINGS))
    raise InvalidFileError(f"Cannot read {str(path)!r}: its name must end in {endings}.")
