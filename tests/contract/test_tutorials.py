"""Tutorials run in time, end in an assertion of their own, and both of their forms agree."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from diffgmm.report.inference_data import arviz_generation

FOLDER = Path(__file__).parents[2] / "tutorials"
SOURCES = sorted(FOLDER.glob("[0-9][0-9]_*.py"))

# Seconds of processor time for the first tutorial and for each other, with nothing compiled before:
# a minute, and a quarter of an hour for all of them.
FIRST, BUDGET = 60.0, 110.0
TIME_CELL = "\n# %%\nimport time\n\nprint(time.process_time())\n"


@pytest.fixture
def build(optional, tmp_path):
    """Return a function that runs a text form and returns the process and its notebook.

    In a process of its own: the clients of Jupyter leave sockets to the garbage collector.
    """
    for package in ("jupytext", "nbclient", "ipykernel"):
        optional(package)

    def run(source):
        done = subprocess.run(
            [sys.executable, FOLDER / "make_notebooks.py", source, "--to", tmp_path],
            capture_output=True,
            text=True,
            check=False,
        )
        return done, tmp_path / source.with_suffix(".ipynb").name

    return run


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_tutorials():
    assert [source.name for source in SOURCES][:1] == ["01_quickstart.py"]


def to_run():
    """Return the tutorials; with ArviZ 0.x most are left to `-m slow`, for one interpreter is enough.

    The first, and the one of PyMC, whose generations differ, run with both.
    """
    both = ("01", "07")
    return [
        pytest.param(
            source,
            id=source.stem,
            marks=[pytest.mark.slow]
            if arviz_generation() == 0 and not source.stem.startswith(both)
            else [],
        )
        for source in SOURCES
    ]


@pytest.mark.parametrize("source", to_run())
def test_a_tutorial_runs_in_time(source, build, tmp_path, optional):
    if "pymc" in source.stem:
        optional("pymc")
    timed = tmp_path / source.name
    timed.write_text(source.read_text("utf-8") + TIME_CELL, "utf-8")
    done, path = build(timed)
    assert done.returncode == 0, done.stderr
    *cells, last = code_cells(optional("nbformat").read(path, as_version=4))
    assert "assert " in cells[-1].source
    assert cells[-1].execution_count == len(cells)
    assert 0.0 < float(last.outputs[0].text) < (FIRST if source == SOURCES[0] else BUDGET)


def test_a_failing_cell_is_noticed(build, tmp_path):
    source = tmp_path / "99_wrong.py"
    source.write_text("# %%\nassert 1 + 1 == 3\n")
    done, path = build(source)
    assert done.returncode != 0
    assert "AssertionError" in done.stderr
    assert not path.exists()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_both_forms_agree(source, optional):
    jupytext, nbformat = optional("jupytext"), optional("nbformat")
    text = jupytext.read(source)
    notebook = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    nbformat.validate(notebook)
    forms = [[(cell.cell_type, cell.source) for cell in form.cells] for form in (text, notebook)]
    assert forms[0] == forms[1], "run python tutorials/make_notebooks.py"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_notebook_has_outputs_and_no_trace_of_a_machine(source, optional):
    nbformat = optional("nbformat")
    path = source.with_suffix(".ipynb")
    outputs = [cell.outputs for cell in code_cells(nbformat.read(path, as_version=4))]
    assert sum(map(bool, outputs)) > len(outputs) // 2
    assert not any(output.output_type == "error" for cell in outputs for output in cell)
    traces = r"site-packages|/home/|/tmp/|/Users/|C:\\\\|Warning"
    assert not re.search(traces, path.read_text("utf-8"))
