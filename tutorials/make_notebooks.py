"""Run the tutorials' text forms and write them as notebooks: python tutorials/make_notebooks.py"""

import argparse
import sys
from pathlib import Path

import jupytext
import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

FOLDER = Path(__file__).parent

# Seconds for one cell, and so for a hang.
CELL_TIMEOUT = 300


class ThisInterpreter(KernelSpecManager):
    """Knows one kernel: the interpreter that runs this, whatever else is installed."""

    def get_kernel_spec(self, kernel_name):
        """Return that kernel, by any name."""
        command = [sys.executable, "-m", "ipykernel_launcher", "--log-level=ERROR"]
        command += ["-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="Python 3", language="python")


def execute(notebook, folder):
    """Run every cell of `notebook` in `folder`; outputs are added to its cells."""
    manager = AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=ThisInterpreter(data_dir=str(folder))
    )
    client = NotebookClient(
        notebook, km=manager, timeout=CELL_TIMEOUT, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()


def without_run_details(notebook):
    """Drop what differs between runs and machines, so that a second build changes nothing."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for index, cell in enumerate(notebook.cells):
        cell.metadata = {}
        cell.id = f"cell-{index}"
    return notebook


def main():
    """Write one notebook for each text form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="*", type=Path, help="all tutorials by default")
    parser.add_argument("--to", type=Path, default=FOLDER, help="where the notebooks go")
    options = parser.parse_args()
    for source in options.sources or sorted(FOLDER.glob("[0-9][0-9]_*.py")):
        notebook = jupytext.read(source)
        execute(notebook, options.to)
        path = options.to / source.with_suffix(".ipynb").name
        nbformat.write(without_run_details(notebook), path)


if __name__ == "__main__":
    main()
