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
DEMO_DRAWS = 1000


def run_fit(
    path: Path, n_components: int | None, output: Path, *, columns: str | None, **settings: Any
) -> None:
    """Fit the rows of `path`, save the fit as JSON and print its table."""
    check_output(output, FIT_ENDINGS)
    data = Data.of(read_table(path, columns))
    with warnings_as_lines():
        found = fit(data, n_components, **settings)
    found.save(output)
    out = tables.console()
    _print_fit(out, found, data)
    _print_lines(
        out,
        f"Saved {output}. In Python:",
        f"    import diffgmm; found = diffgmm.MixtureFit.load({str(output)!r})",
    )


def run_sample(
    path: Path, n_components: int | None, output: Path, *, columns: str | None, **settings: Any
) -> None:
    """Sample the posterior given the rows of `path`, save it and print its tables."""
    check_output(output, POSTERIOR_ENDINGS)
    data = Data.of(read_table(path, columns))
    idata = _sample(data, n_components, output, **settings)
    _print_posterior(tables.console(), idata, output, settings["draws"])


def run_demo(output: Path, *, seed: int, cores: int | None) -> None:
    """Show fit, scores, diffusion draws and posterior on Old Faithful."""
    check_output(output, POSTERIOR_ENDINGS)
    out = tables.console()
    data = Data.of(load_faithful())
    out.print("Old Faithful: length of an eruption and waiting time to the next, in minutes.\n")
    found = fit(data, DEMO_COMPONENTS, model="diffusion", random_seed=seed, cores=cores)
    _print_fit(out, found, data)
    _print_draws(out, found, data, seed)
    settings = {"draws": DEMO_DRAWS, "random_seed": seed, "cores": cores}
    idata = _sample(data, DEMO_COMPONENTS, output, **settings)
    _print_posterior(out, idata, output, DEMO_DRAWS)


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
    try:
        path.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:  # a name that is too long
        raise InvalidFileError(f"Cannot write {str(path)!r}: {error.strerror}.") from None


class _WouldWrite(Exception):
    """Raised by the writer that only wants to know whether it could."""


def _write_nothing(temporary: Path) -> None:
    raise _WouldWrite


@contextmanager
def warnings_as_lines() -> Iterator[list[warnings.WarningMessage]]:
    """Turn our warnings into lines on stderr, without the place in the source; drop the others."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        yield caught
    for warning in caught:
        sys.stderr.write(f"diffgmm: {warning.message}\n")


def _sample(data: Data, n_components: int | None, output: Path, **settings: Any) -> Any:
    with warnings_as_lines() as caught:
        idata = sample(data, n_components, **settings)
        if idata["posterior"].attrs["interrupted"]:
            caught.clear()  # one line will say so
        warnings.simplefilter("ignore")  # of the file formats' own
        save_inference_data(idata, output)
    return idata


def _print_fit(out: Console, found: Any, data: Data) -> None:
    tables.show(out, tables.mixture_table(found.mixture))
    out.print(
        f"\n{data.n_rows:,} rows, {data.n_features} features. "
        f"Log likelihood {found.log_likelihood:,.2f} nats; {found.trace.message}."
    )
    if found.path is not None:
        k, tried = found.mixture.n_components, found.path.n_components
        out.print(f"K = {k} has the best BIC of {tried[0]} to {tried[-1]}.")
    report = found.score_model.report
    if report is not None:
        out.print(tables.residual_line(found.score_model, report.p_value))
    out.print()


def _print_draws(out: Console, found: Any, data: Data, seed: int) -> None:
    """Print how draws by reverse diffusion compare with the rows."""
    draws = found.sample(DEMO_DRAWS, random_seed=seed)
    tables.show(out, tables.comparison_table(data, draws))
    evaluations = found.score_model.n_score_evaluations
    out.print(
        f"\nDiffusion sampler: {len(draws):,} draws, "
        f"{evaluations} score evaluation{'' if evaluations == 1 else 's'} for each.\n"
    )


def _print_posterior(out: Console, idata: Any, output: Path, draws: int) -> None:
    posterior = idata["posterior"]
    chains, kept = posterior.sizes["chain"], posterior.sizes["draw"]
    attrs = posterior.attrs
    if "n_components" in posterior:
        tables.show(out, tables.n_components_table(posterior))
    else:
        tables.show(out, tables.posterior_table(posterior))
    out.print(
        f"\n{chains} chain{'s' * (chains > 1)} of {kept:,} draws by {attrs['inference_method']}, "
        f"{attrs['sampling_time']:.2g} s.\n"
    )
    tables.show(out, tables.diagnostics_table(idata["sample_stats"]))
    out.print()
    if "log_likelihood" in idata:
        out.print(tables.expected_log_density(idata))
    _print_next(out, output, "n_components" in posterior)
    if attrs["interrupted"]:
        raise KeyboardInterrupt(
            f"interrupted, {kept} of {draws} draws per chain are in {str(output)!r}."
        )


def _print_next(out: Console, output: Path, unknown_k: bool) -> None:
    """Print what to type to go on, in the words of the installed ArviZ."""
    library, function = "arviz", "from_netcdf"
    if output.suffix.lower() == ".zarr":  # ArviZ 0.x does not read Zarr of version 3
        function = "from_zarr"
        if arviz_generation() == 0:
            library, function = "diffgmm", "load_inference_data"
    lines = [f"    import {library}; idata = {library}.{function}({str(output)!r})"]
    if unknown_k:
        lines.append("    import diffgmm; components = diffgmm.condition_on_k(idata)")
    _print_lines(out, f"Saved {output}. In Python:", *lines)


def _print_lines(out: Console, *lines: str) -> None:
    """Print lines that people copy: never wrapped."""
    for line in lines:
        out.print(line, soft_wrap=True)
