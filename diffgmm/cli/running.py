"""What the commands do: check the doors, compute, save, and only then print."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from ..data import Data
from ..datasets import load_faithful
from ..errors import InvalidFileError
from ..files import write_whole
from ..learn.fit import fit
from ..report.inference_data import arviz_generation, save_inference_data
from ..report.sample import sample
from . import tables
from .reading import read_table

FIT_ENDINGS = (".json",)
POSTERIOR_ENDINGS = (".nc", ".zarr")

DEMO_COMPONENTS = 2
DEMO_ROWS = 1000


def run_fit(
    path: Path, n_components: int | None, output: Path, *, columns: str | None, **settings: Any
) -> None:
    """Fit the rows of `path`, save the fit as JSON and print its table."""
    check_output(output, FIT_ENDINGS)
    data = Data.of(read_table(path, columns))
    found = fit(data, n_components, **settings)
    found.save(output)
    out = tables.console()
    _print_fit(out, found, data)
    out.print(f"Saved {output}. In Python:")
    out.print("    import diffgmm")
    out.print(f"    found = diffgmm.MixtureFit.load({str(output)!r})")


def run_sample(
    path: Path, n_components: int | None, output: Path, *, columns: str | None, **settings: Any
) -> None:
    """Sample the posterior given the rows of `path`, save it and print its tables."""
    check_output(output, POSTERIOR_ENDINGS)
    data = Data.of(read_table(path, columns))
    with _warnings_as_lines():
        idata = sample(data, n_components, **settings)
    _save_and_print(tables.console(), idata, output, settings["draws"])


def run_demo(output: Path, *, seed: int, cores: int | None) -> None:
    """Show fit, scores, diffusion draws and posterior on Old Faithful."""
    check_output(output, POSTERIOR_ENDINGS)
    out = tables.console()
    data = Data.of(load_faithful())
    out.print("Old Faithful: length of an eruption and waiting time to the next, in minutes.\n")
    found = fit(data, DEMO_COMPONENTS, model="diffusion", random_seed=seed, cores=cores)
    _print_fit(out, found, data)
    _print_draws(out, found, data, seed)
    with _warnings_as_lines():
        idata = sample(data, DEMO_COMPONENTS, random_seed=seed, cores=cores)
    _save_and_print(out, idata, output, draws=1000)


def check_output(path: Path, endings: tuple[str, ...]) -> None:
    """Refuse a path that cannot be written to, before the long work and not after it."""
    if path.suffix.lower() not in endings:
        raise InvalidFileError(
            f"Cannot write {str(path)!r}: its name must end in {' or '.join(endings)}."
        )
    # A Zarr folder is replaced as a whole, so what counts is the folder around it.
    probe = path.with_name(".diffgmm") if path.suffix == ".zarr" else path
    try:
        write_whole(probe, _write_nothing)
    except _WouldWrite:
        pass


class _WouldWrite(Exception):
    """Raised by the writer that only wants to know whether it could."""


def _write_nothing(temporary: Path) -> None:
    raise _WouldWrite


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Print warnings as plain lines on stderr, without the place in the source."""

    def show(message: Warning | str, *args: Any, **more: Any) -> None:
        sys.stderr.write(f"diffgmm: {' '.join(str(message).split())}\n")

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield


def _print_fit(out: Console, found: Any, data: Data) -> None:
    out.print(tables.mixture_table(found.mixture))
    out.print(
        f"\n{data.n_rows:,} rows, {data.n_features} features. "
        f"Log likelihood {found.log_likelihood:,.2f} nats; {found.trace.message}."
    )
    if found.path is not None:
        numbers = found.path.n_components
        out.print(f"K = {found.mixture.n_components} has the best BIC of {numbers[0]} to {numbers[-1]}.")
    report = found.score_model.report
    if report is not None:
        out.print(tables.residual_line(found.score_model, report.p_value))
    out.print()


def _print_draws(out: Console, found: Any, data: Data, seed: int) -> None:
    """Print how draws by reverse diffusion compare with the rows."""
    draws = found.sample(DEMO_ROWS, random_seed=seed)
    out.print(tables.comparison_table(data, draws))
    evaluations = found.score_model.n_score_evaluations
    out.print(
        f"\nDiffusion sampler: {len(draws):,} draws, "
        f"{evaluations} score evaluation{'' if evaluations == 1 else 's'} for each.\n"
    )


def _save_and_print(out: Console, idata: Any, output: Path, draws: int) -> None:
    save_inference_data(idata, output)
    posterior = idata["posterior"]
    chains, kept = posterior.sizes["chain"], posterior.sizes["draw"]
    attrs = posterior.attrs
    out.print(tables.posterior_table(posterior))
    out.print(
        f"\n{chains} chains of {kept:,} draws by {attrs['inference_method']}, "
        f"{attrs['sampling_time']:.2g} s.\n"
    )
    out.print(tables.diagnostics_table(idata["sample_stats"]))
    out.print()
    if "log_likelihood" in idata:
        out.print(tables.expected_log_density(idata))
    _print_next(out, output)
    if kept < draws:
        raise KeyboardInterrupt(
            f"interrupted, {kept} of {draws} draws per chain are in {str(output)!r}."
        )


def _print_next(out: Console, output: Path) -> None:
    """Print what to type to go on, in the words of the installed ArviZ."""
    out.print(f"Saved {output}. In Python:")
    if output.suffix == ".nc":
        out.print(f"    import arviz; idata = arviz.from_netcdf({str(output)!r})")
    elif arviz_generation() == 1:
        out.print(f"    import arviz; idata = arviz.from_zarr({str(output)!r})")
    else:  # ArviZ 0.x does not read Zarr of version 3
        out.print("    from diffgmm.report.inference_data import load_inference_data")
        out.print(f"    idata = load_inference_data({str(output)!r})")
