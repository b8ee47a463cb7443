"""Make the calls of arviz.md with the installed ArviZ: python tutorials/make_arviz_table.py"""

import sys
import tempfile
import warnings
from pathlib import Path

import matplotlib

matplotlib.use("agg")

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "tests"))


def main():
    """Write the column of the installed generation, and keep the other one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import arviz
    import arviz_calls

    from diffgmm.report.inference_data import arviz_generation

    path, generation = FOLDER / "arviz.md", arviz_generation()
    found = arviz_calls.read_page(path.read_text("utf-8")) if path.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        found[str(generation)] = arviz_calls.results(arviz, Path(folder), generation)
    path.write_text(arviz_calls.page(found), "utf-8")


if __name__ == "__main__":
    main()
