"""Run the tutorials and build the documentation: python tutorials/make_docs.py [--to FOLDER]

The pages are in FOLDER/html. With --stored the notebooks are taken as they are.
"""

import argparse
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def run(*command):
    """Run one step; the first that fails ends the build with its exit code."""
    done = subprocess.run([sys.executable, *map(str, command)], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def main():
    """Make the notebooks, then the pages; a warning is an error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=FOLDER.parent / "build" / "docs")
    parser.add_argument("--stored", action="store_true", help="do not run the tutorials again")
    options = parser.parse_args()
    if not options.stored:
        run(FOLDER / "make_notebooks.py")
    run("-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", FOLDER, options.to / "html")
    print(options.to / "html" / "index.html")


if __name__ == "__main__":
    main()
