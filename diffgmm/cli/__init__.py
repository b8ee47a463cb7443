"""The command line: `diffgmm demo`, `fit`, `sample`, `check`, `plot` and `report`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from .._version import __version__
from ..errors import DiffgmmError

BAD_INPUT = 2
INTERRUPTED = 130  # what shells report for Ctrl-C

app = typer.Typer(
    name="diffgmm",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

DataFile = Annotated[Path, typer.Argument(metavar="DATA", help="CSV, TSV, Parquet or NPY file.")]
N_COMPONENTS = ("--n-components", "-k")
ComponentsOrUnknown = Annotated[
    int | None,
    typer.Option(*N_COMPONENTS, help="Number of components.", show_default="unknown"),
]
ComponentsOrBest = Annotated[
    int | None,
    typer.Option(*N_COMPONENTS, help="Number of components.", show_default="the best BIC"),
]
Columns = Annotated[
    str | None,
    typer.Option(help="Columns to use, separated by commas; x0, x1, ... without a header."),
]
CovarianceType = Annotated[str, typer.Option(help="One of full, tied, diag, spherical, identity.")]
Seed = Annotated[int | None, typer.Option(help="Makes the run repeatable.", show_default="fresh")]
Cores = Annotated[int | None, typer.Option(help="Threads.", show_default="all")]
Draws = Annotated[int, typer.Option(help="Draws of each chain.")]
Tune = Annotated[int, typer.Option(help="Sweeps of each chain before its draws.")]
Chains = Annotated[int, typer.Option(help="Number of chains.")]
Bootstrap = Annotated[int, typer.Option(help="Data sets that the check draws, at most.")]
PosteriorFile = Annotated[
    Path, typer.Option("--output", "-o", help="Where the posterior goes: .nc or .zarr.")
]
Fitted = Annotated[
    Path, typer.Argument(metavar="FITTED", help="What fit or sample saved: .json, .nc or .zarr.")
]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process: 0, 2 for bad input, 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal cannot show is no error
            stream.reconfigure(errors="replace")
    click_exception: Any = typer.BadParameter.__mro__[2]  # wherever this Typer keeps it
    try:
        code = typer.main.get_command(app).main(
            args=arguments or ["--help"], prog_name="diffgmm", standalone_mode=False
        )
    except click_exception as error:
        code = _complain(error.format_message())
    except (KeyboardInterrupt, typer.Abort):
        code = _complain("interrupted.", INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"diffgmm {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Mixtures of Gaussians, learned with diffusion models, for the Bayesian workflow."""


@app.command()
def demo(
    output: PosteriorFile = Path("faithful.nc"),
    seed: Annotated[int, typer.Option(help="Another seed gives other draws.")] = 1,
    cores: Cores = None,
) -> None:
    """Fit, learn scores, draw by diffusion and sample the posterior, on Old Faithful."""
    with _one_line_for_bad_input():
        from . import running

        running.run_demo(output, seed=seed, cores=cores)


@app.command()
def fit(
    data: DataFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the fit goes: .json.")],
    n_components: ComponentsOrBest = None,
    model: Annotated[
        str, typer.Option(help="mixture, or diffusion to learn the residual score as well.")
    ] = "mixture",
    covariance_type: CovarianceType = "full",
    columns: Columns = None,
    seed: Seed = None,
    cores: Cores = None,
) -> None:
    """Fit a Gaussian mixture to the rows of a file."""
    with _one_line_for_bad_input():
        from . import running

        running.run_fit(
            data,
            n_components,
            output,
            columns=columns,
            model=model,
            covariance_type=covariance_type,
            random_seed=seed,
            cores=cores,
        )


@app.command()
def sample(
    data: DataFile,
    output: PosteriorFile,
    n_components: ComponentsOrUnknown = None,
    draws: Draws = 1000,
    tune: Tune = 1000,
    chains: Chains = 4,
    method: Annotated[
        str, typer.Option(help="gibbs, diffusion (the noise ladder) or bootstrap (refits).")
    ] = "gibbs",
    covariance_type: CovarianceType = "full",
    columns: Columns = None,
    seed: Seed = None,
    cores: Cores = None,
) -> None:
    """Draw from the posterior of a Gaussian mixture, without -k of its number of components, too."""
    with _one_line_for_bad_input():
        from . import running

        running.run_sample(
            data,
            n_components,
            output,
            columns=columns,
            draws=draws,
            tune=tune,
            chains=chains,
            method=method,
            covariance_type=covariance_type,
            random_seed=seed,
            cores=cores,
        )


@app.command()
def check(
    data: DataFile,
    fitted: Fitted,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where the report goes: .json.", show_default="none"),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Where the heat map goes: .png, .pdf or .svg.", show_default="none"),
    ] = None,
    bootstrap: Bootstrap = 199,
    columns: Columns = None,
    seed: Seed = None,
    cores: Cores = None,
) -> None:
    """Check whether the mixture fits the rows, at which scale and in which component it does not."""
    with _one_line_for_bad_input():
        from . import checking

        checking.run_check(
            data,
            fitted,
            output,
            plot,
            columns=columns,
            n_bootstrap=bootstrap,
            random_seed=seed,
            cores=cores,
        )


@app.command()
def plot(
    fitted: Fitted,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the picture goes: .png, .pdf or .svg.")
    ],
    kind: Annotated[
        str,
        typer.Option(help="components, density, membership, pit, ...; another word lists them."),
    ] = "components",
    data: Annotated[
        Path | None,
        typer.Option(help="Rows, where FITTED holds none: CSV, TSV, Parquet or NPY."),
    ] = None,
    features: Annotated[
        str | None, typer.Option(help="Features to show, separated by commas.")
    ] = None,
) -> None:
    """Draw a picture of a saved fit or posterior."""
    with _one_line_for_bad_input():
        from . import picturing

        picturing.run_plot(fitted, kind, output, data, features)


@app.command()
def report(
    data: DataFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the page goes: .html.")],
    n_components: ComponentsOrBest = None,
    posterior: Annotated[
        Path | None,
        typer.Option(help="Posterior: read if the file exists, written otherwise (.nc, .zarr)."),
    ] = None,
    draws: Draws = 1000,
    tune: Tune = 1000,
    chains: Chains = 4,
    check: Annotated[bool, typer.Option(help="Check whether a Gaussian mixture fits.")] = True,
    bootstrap: Bootstrap = 199,
    covariance_type: CovarianceType = "full",
    columns: Columns = None,
    seed: Seed = None,
    cores: Cores = None,
) -> None:
    """Sample, check and describe the rows of a file: one page of HTML with tables and pictures."""
    with _one_line_for_bad_input():
        from . import picturing

        picturing.run_report(
            data,
            output,
            n_components=n_components,
            posterior=posterior,
            draws=draws,
            tune=tune,
            chains=chains,
            check=check,
            n_bootstrap=bootstrap,
            covariance_type=covariance_type,
            columns=columns,
            random_seed=seed,
            cores=cores,
        )


@contextmanager
def _one_line_for_bad_input() -> Iterator[None]:
    """Turn errors that are the input's, and Ctrl-C, into one line on stderr and an exit code."""
    try:
        yield
    except DiffgmmError as error:
        raise typer.Exit(_complain(str(error))) from None
    except KeyboardInterrupt as error:
        message = str(error) or "interrupted, nothing was saved."
        raise typer.Exit(_complain(message, INTERRUPTED)) from None


def _complain(message: str, code: int = BAD_INPUT) -> int:
    sys.stderr.write(f"diffgmm: {' '.join(message.split())}\n")
    return code
