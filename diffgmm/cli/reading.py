"""Tables from files: CSV and TSV with or without a header, Parquet, NPY as a memory map."""

import csv
import re
import shlex
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InvalidFileError, InvalidParameterError

ENDINGS = (".csv", ".tsv", ".parquet", ".npy")
SEPARATORS = ",;\t"

# Where the comma is the decimal mark, spreadsheets separate columns by semicolons.
COMMA_NUMBER = re.compile(r"\s*[-+]?\d*,\d+(e[-+]?\d+)?\s*", re.IGNORECASE)
POINT_NUMBER = re.compile(r"\s*[-+]?\d*\.\d+(e[-+]?\d+)?\s*", re.IGNORECASE)

# Characters of a file that decide about its separator and header.
HEAD = 65_536


def read_table(path: Path, columns: str | None = None) -> Any:
    """Return the numeric table in `path`: a pandas DataFrame, or an array for NPY.

    Parameters
    ----------
    path : Path
        Its ending says the format: .csv, .tsv, .parquet or .npy.
    columns : str, optional
        Names of the columns to keep, separated by commas; `x0`, `x1`, ... without a header.

    Raises
    ------
    InvalidFileError
        When the file is missing, not what its ending says, or empty.
    InvalidParameterError
        When a column does not exist, or is text.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise InvalidFileError(
            f"Cannot read {str(path)!r}: its name must end in {', '.join(ENDINGS)}."
        )
    if path.is_dir():
        raise InvalidFileError(f"Cannot read {str(path)!r}: it is a folder.")
    readers = {".npy": _read_npy, ".parquet": _read_parquet}
    try:
        table = readers.get(ending, _read_text)(path)
    except OSError as error:
        raise InvalidFileError(f"Cannot read {str(path)!r}: {error.strerror or error}.") from None
    names = _names(table)
    if columns is not None:
        table = _select(table, names, [name.strip() for name in columns.split(",")])
    else:
        _refuse_nameless(names)
    _refuse_text(table)
    return table


def _read_npy(path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError):
        array = None
    if not isinstance(array, np.ndarray):  # an archive of several arrays loads as well
        raise InvalidFileError(f"Cannot read {str(path)!r}: it is not one NumPy array of numbers.")
    return array


def _read_parquet(path: Path) -> Any:
    import pandas

    with path.open("rb"):  # a missing file is an OSError with a plain reason
        pass
    try:
        return pandas.read_parquet(path)
    except ImportError:
        raise InvalidFileError(
            f"Cannot read {str(path)!r}: Parquet needs pyarrow. "
            "Install it with: python -m pip install pyarrow"
        ) from None
    except Exception as error:  # every engine has errors of its own
        raise InvalidFileError(f"Cannot read {str(path)!r}: {_first_line(error)}") from None


def _read_text(path: Path) -> Any:
    import pandas

    try:
        separator, decimal, has_header = _look_at_head(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            table = pandas.read_csv(
                path,
                sep=separator,
                decimal=decimal,
                header=0 if has_header else None,
                index_col=False,
                encoding="utf-8-sig",
                low_memory=False,
                skipinitialspace=True,
            )
    except (pandas.errors.ParserError, pandas.errors.ParserWarning) as error:
        raise InvalidFileError(f"Cannot read {str(path)!r}: {_first_line(error)}") from None
    except UnicodeDecodeError:
        raise InvalidFileError(f"Cannot read {str(path)!r}: it is not UTF-8 text.") from None
    if not has_header:
        table.columns = [f"x{index}" for index in range(table.shape[1])]
    if len(table) == 0:
        raise InvalidFileError(f"Cannot read {str(path)!r}: it has a header but no rows.")
    return table


def _refuse_nameless(names: list[str]) -> None:
    """Refuse a column without a name: R and pandas write row numbers like that."""
    nameless = [index for index, name in enumerate(names) if name.startswith("Unnamed: ")]
    if nameless:
        rest = [name for index, name in enumerate(names) if index not in nameless]
        raise InvalidParameterError(
            f"Every column must have a name, but column {nameless[0] + 1} has none. "
            f"Choose with --columns {_as_argument(rest)}"
        )


def _look_at_head(path: Path) -> tuple[str, str, bool]:
    """Return separator, decimal mark, and whether the first line holds names: any cell but a number."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        head = stream.read(HEAD)
    lines = [line for line in head.splitlines() if line.strip()]
    if not lines:
        raise InvalidFileError(f"Cannot read {str(path)!r}: it is empty.")
    if "\0" in head:
        raise InvalidFileError(f"Cannot read {str(path)!r}: it is not text.")
    separator = _separator(lines[0]) if path.suffix.lower() == ".csv" else "\t"
    decimal = _decimal_mark(lines, separator)
    cells = next(csv.reader(lines[:1], delimiter=separator))
    return separator, decimal, not all(_is_number(cell.replace(decimal, ".")) for cell in cells)


def _separator(line: str) -> str:
    """Return the commonest separator; commas inside the numbers of `1,5;2,25;3` are none."""
    cells = line.split(";")
    if len(cells) > 1 and all(_is_number(cell.replace(",", ".", 1)) for cell in cells):
        return ";"
    return max(SEPARATORS, key=line.count)


def _decimal_mark(lines: list[str], separator: str) -> str:
    """Return a comma when some cells are numbers with one, and none with a point."""
    if separator == ",":
        return "."
    cells = [cell.strip('"') for line in lines for cell in line.split(separator)]
    commas = any(COMMA_NUMBER.fullmatch(cell) for cell in cells)
    return "," if commas and not any(POINT_NUMBER.fullmatch(cell) for cell in cells) else "."


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return cell.strip().lower() in ("na", "n/a", "null", "none")
    return True


def _names(table: Any) -> list[str]:
    if hasattr(table, "columns"):
        return [str(name) for name in table.columns]
    return [f"x{index}" for index in range(table.shape[1])] if table.ndim == 2 else []


def _select(table: Any, names: list[str], wanted: list[str]) -> Any:
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise InvalidParameterError(
            f"--columns must be among {_listed(names)}, got {_listed(unknown)}."
        )
    if len(set(wanted)) != len(wanted):
        raise InvalidParameterError(f"--columns must be distinct, got {_listed(wanted)}.")
    index = [names.index(name) for name in wanted]
    if hasattr(table, "columns"):
        return table.iloc[:, index]
    import pandas

    return pandas.DataFrame(np.asarray(table[:, index]), columns=wanted)


def _refuse_text(table: Any) -> None:
    """Name the columns that are no numbers, and those that could be chosen instead."""
    if not hasattr(table, "columns"):
        return
    numeric = {str(name): table[name].dtype.kind in "fiub" for name in table.columns}
    text = [name for name, is_numeric in numeric.items() if not is_numeric]
    if not text:
        return
    rest = [name for name, is_numeric in numeric.items() if is_numeric]
    remedy = f" Choose with --columns {_as_argument(rest)}" if rest else ""
    raise InvalidParameterError(
        f"Every column must be numeric, but {_listed(text)} {'is' if len(text) == 1 else 'are'} "
        f"not{_example(table, text)}.{remedy}"
    )


def _example(table: Any, text: list[str]) -> str:
    """Return the first value that is no number: a stray word in a long column is hard to find."""
    column = table[text[0]].astype(str)
    for row, value in enumerate(column):
        if not _is_number(value):
            return f" (row {row} of {text[0]!r} is {value!r}; the first row is 0)"
    return ""


def _as_argument(names: list[str]) -> str:
    """Return names as a shell takes them, in quotes where they hold blanks or brackets."""
    return shlex.quote(",".join(names))


def _listed(names: list[str], at_most: int = 12) -> str:
    shown = ", ".join(repr(name) for name in names[:at_most])
    return shown if len(names) <= at_most else f"{shown} and {len(names) - at_most} more"


def _first_line(error: Exception) -> str:
    """Return the last sentence of a library's message, which is where pandas has its reason."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    line = line.removeprefix("Error tokenizing data. ").removeprefix("C error: ")
    return line if line.endswith(".") else f"{line}."
