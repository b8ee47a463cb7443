"""Bad input on the command line: exit code 2, one line on stderr, no file left behind."""

import pytest

from diffgmm.cli import main

TABLE = "size,mass,species\n1,2.5,a\n2,3.5,b\n4,5.5,a\n"
OUTPUT = ("-o", "fit.json")
COMMANDS = {
    "missing file": (
        ["fit", "nowhere.csv", "-k", "2", *OUTPUT],
        "Cannot read 'nowhere.csv': No such file or directory.",
    ),
    "missing Parquet file": (
        ["fit", "nowhere.parquet", "-k", "2", *OUTPUT],
        "Cannot read 'nowhere.parquet': No such file or directory.",
    ),
    "missing NPY file": (
        ["sample", "nowhere.npy", "-k", "2", "-o", "posterior.nc"],
        "Cannot read 'nowhere.npy': No such file or directory.",
    ),
    "a folder": (
        ["fit", "folder.csv", "-k", "2", *OUTPUT],
        "Cannot read 'folder.csv': it is a folder.",
    ),
    "unknown format": (
        ["fit", "table.xlsx", "-k", "2", *OUTPUT],
        "Cannot read 'table.xlsx': its name must end in .csv, .tsv, .parquet, .npy.",
    ),
    "empty file": (
        ["fit", "empty.csv", "-k", "2", *OUTPUT],
        "Cannot read 'empty.csv': it is empty.",
    ),
    "header only": (
        ["fit", "header.csv", "-k", "2", *OUTPUT],
        "Cannot read 'header.csv': it has a header but no rows.",
    ),
    "ragged": (
        ["fit", "ragged.csv", "-k", "2", *OUTPUT],
        "Cannot read 'ragged.csv': Expected 2 fields in line 3, saw 3.",
    ),
    "binary": (
        ["fit", "binary.csv", "-k", "2", *OUTPUT],
        "Cannot read 'binary.csv': it is not UTF-8 text.",
    ),
    "not NPY": (
        ["fit", "text.npy", "-k", "2", *OUTPUT],
        "Cannot read 'text.npy': it is not one NumPy array of numbers.",
    ),
    "text column": (
        ["fit", "table.csv", "-k", "2", *OUTPUT],
        "Every column must be numeric, but 'species' is not (row 0 of 'species' is 'a'; the first row is 0). "
        "Choose with --columns size,mass",
    ),
    "stray word": (
        ["fit", "stray.csv", "-k", "2", *OUTPUT],
        "Every column must be numeric, but 'mass' is not (row 2 of 'mass' is 'heavy'; the first row is 0). "
        "Choose with --columns size",
    ),
    "nameless column": (
        ["fit", "numbered.csv", "-k", "2", *OUTPUT],
        "Every column must have a name, but column 1 has none. Choose with --columns size,mass",
    ),
    "unknown column": (
        ["fit", "table.csv", "-k", "2", *OUTPUT, "--columns", "size,weight"],
        "--columns must be among 'size', 'mass', 'species', got 'weight'.",
    ),
    "column twice": (
        ["fit", "table.csv", "-k", "2", *OUTPUT, "--columns", "size,size"],
        "--columns must be distinct, got 'size', 'size'.",
    ),
    "missing value": (
        ["fit", "gap.csv", "-k", "2", *OUTPUT],
        "X must not have missing values, got NaN in row 1 (the first is 0), column 'mass'. "
        "Drop such rows (pandas: X.dropna()) or fill them in; missing values are not supported yet.",
    ),
    "K > N": (
        ["fit", "table.csv", "-k", "4", *OUTPUT, "--columns", "size,mass"],
        "n_components must not exceed the number of rows, got 4 components for 3 rows.",
    ),
    "K = 0": (
        ["sample", "table.csv", "-k", "0", "-o", "posterior.nc", "--columns", "size,mass"],
        "n_components must be a positive integer, got 0.",
    ),
    "model": (
        ["fit", "table.csv", "-k", "2", *OUTPUT, "--columns", "size,mass", "--model", "flow"],
        "model must be 'mixture' or 'diffusion', got 'flow'.",
    ),
    "seed": (
        ["fit", "table.csv", "-k", "2", *OUTPUT, "--columns", "size,mass", "--seed", "-1"],
        "random_seed must be a non-negative integer, a sequence of them, a numpy Generator or "
        "None, got -1.",
    ),
    "draws": (
        [
            *("sample", "table.csv", "-k", "2", "-o", "posterior.nc"),
            *("--columns", "size,mass", "--draws", "-1"),
        ],
        "draws must be a positive integer, got -1.",
    ),
    "output without a folder": (
        ["fit", "table.csv", "-k", "2", "-o", "nowhere/fit.json"],
        "Cannot write 'nowhere/fit.json': the folder does not exist.",
    ),
    "output is a folder": (
        ["fit", "table.csv", "-k", "2", "-o", "folder.json"],
        "Cannot write 'folder.json': it is a folder.",
    ),
    "output of another format": (
        ["sample", "table.csv", "-k", "2", "-o", "posterior.csv"],
        "Cannot write 'posterior.csv': its name must end in .nc or .zarr.",
    ),
    "a fit as netCDF": (
        ["fit", "table.csv", "-k", "2", "-o", "fit.nc"],
        "Cannot write 'fit.nc': its name must end in .json.",
    ),
    "demo without a folder": (
        ["demo", "-o", "nowhere/faithful.nc"],
        "Cannot write 'nowhere/faithful.nc': the folder does not exist.",
    ),
}
FILES = {
    "table.csv": TABLE.encode(),
    "table.xlsx": b"PK",
    "empty.csv": b"",
    "header.csv": b"size,mass\n",
    "ragged.csv": b"size,mass\n1,2\n1,2,3\n",
    "binary.csv": b"\xff\xfe\x00\x01",
    "text.npy": b"size,mass\n1,2\n",
    "stray.csv": b"size,mass\n1,2\n2,3\n4,heavy\n",
    "numbered.csv": b'"","size","mass"\n"1",1,2\n"2",2,3\n"3",4,6\n',
    "gap.csv": b"size,mass\n1,2\n2,\n4,5\n",
}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Run the test in a folder with all those files."""
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    for name in ("folder.csv", "folder.json"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_command(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    out, err = capsys.readouterr()
    return end.value.code, out, err


@pytest.mark.parametrize("case", COMMANDS)
def test_command_line(case, files, capsys):
    arguments, message = COMMANDS[case]
    before = sorted(files.rglob("*"))
    code, out, err = run_command(arguments, capsys)
    assert (code, out, err) == (2, "", f"diffgmm: {message}\n")
    assert sorted(files.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["fit"],
        ["fit", "table.csv"],
        ["fit", "table.csv", "-k", "two", *OUTPUT],
        ["fit", "table.csv", "-k", "2", *OUTPUT, "--colour", "red"],
        ["sample", "table.csv", "-k", "2"],
        ["paint"],
    ],
    ids=["no data", "no output", "K is text", "unknown option", "no file", "unknown command"],
)
def test_command_line_that_typer_refuses(arguments, files, capsys):
    """The words are Typer's, and differ between its versions; it is one line all the same."""
    code, out, err = run_command(arguments, capsys)
    assert (code, out) == (2, "")
    assert err.startswith("diffgmm: ")
    assert err.count("\n") == 1


def test_a_name_that_is_too_long_is_refused_before_the_work(files, capsys):
    name = "x" * 300 + ".json"
    code, _, err = run_command(["fit", "table.csv", "-k", "2", "-o", name], capsys)
    assert (code, err) == (2, f"diffgmm: Cannot write '{name}': File name too long.\n")
