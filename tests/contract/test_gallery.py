"""The gallery shows every picture there is, on every data set, in small files."""

import re
from pathlib import Path

import diffgmm

FOLDER = Path(__file__).parents[2] / "tutorials" / "gallery"
LARGEST = 80_000


def test_every_picture_is_in_the_gallery():
    text = (FOLDER / "gallery.md").read_text("utf-8")
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    plots = [name.removeprefix("plot_") for name in dir(diffgmm) if name.startswith("plot_")]
    data = ("faithful", "penguins", "overlapping")
    assert sorted(shown) == sorted(f"{name}_{own}.png" for name in plots for own in data)
    assert sorted(shown) == sorted(path.name for path in FOLDER.glob("*.png"))
    assert max((FOLDER / name).stat().st_size for name in shown) < LARGEST
    for name in plots:
        assert f"`diffgmm.plot_{name}(" in text
