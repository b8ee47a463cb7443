"""The README's code runs and prints what it says, and what it points to exists."""

import contextlib
import functools
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"

NUMBER = r"-?\d+\.\d*(?!\w)|-?\d+"

# Another processor rounds differently, and chains then part: the last digit printed may differ by
# this much. Monte Carlo errors are smaller than that by a factor of 5 at least.
LAST_DIGIT = 2.0


@pytest.fixture(scope="module")
def text():
    if not README.exists():
        pytest.skip("the README is not part of what is tested here")
    return README.read_text(encoding="utf-8")


def blocks(text):
    """Return (language, content) of every fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def assert_prints(printed, expected):
    """Compare words exactly, whitespace not at all, and numbers to their last digit."""
    words = ["".join(re.sub(NUMBER, "#", part).split()) for part in (printed, expected)]
    assert words[0] == words[1]
    for got, want in zip(re.findall(NUMBER, printed), re.findall(NUMBER, expected)):
        decimals = len(want.partition(".")[2])
        slack = LAST_DIGIT * 10.0**-decimals if "." in want else 0.0
        assert float(got) == pytest.approx(float(want), abs=slack * 1.001), (got, want)


def test_code_runs_and_prints_what_it_says(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = blocks(text)
    assert [language for language, _ in found] == ["python", "text", "python", "python"]
    names, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(found[0][1], "README.md", "exec"), names)
    assert_prints(printed.getvalue(), found[1][1])
    exec(compile(found[2][1], "README.md", "exec"), names)
    for name in ("faithful.nc", "components.png", "report.html"):
        assert (tmp_path / name).exists()


@pytest.mark.filterwarnings("ignore")  # of few draws, and PyTensor's own
def test_the_code_for_pymc_runs(text, optional, monkeypatch):
    """With few draws; the shapes have no names, and as many features as components."""
    optional("pymc")
    import diffgmm.pymc

    few = {"draws": 30, "tune": 30, "chains": 2, "cores": 1, "progressbar": False}
    monkeypatch.setattr(diffgmm.pymc, "sample", functools.partial(diffgmm.pymc.sample, **few))
    names = {}
    exec(compile(blocks(text)[3][1], "README.md", "exec"), names)
    assert names["idata"]["posterior"]["w"].shape == (2, 30, 2)


def test_the_comparison_sees_what_it_looks_for():
    assert_prints("k=2\n[1.02 3.]", "k=2\n[ 1.01  3. ]")
    for other in ("k=3\n[1.02 3.]", "k=2\n[1.05 3.]", "n=2\n[1.02 3.]", "k=2\n[1.02 3. 4.]"):
        with pytest.raises(AssertionError):
            assert_prints(other, "k=2\n[1.01 3.]")


def test_it_points_to_files_that_exist(text):
    links = re.findall(r"\]\(([^)#]+)\)", text)
    local = [link for link in links if not link.startswith("http")]
    assert len(local) >= 4
    assert [link for link in local if not (ROOT / link).exists()] == []


def test_the_first_command_is_one_that_exists(text):
    import typer

    from diffgmm.cli import app

    commands = set(typer.main.get_command(app).commands)
    assert set(re.findall(r"^ {4}.*?\bdiffgmm (\w+) ", text, flags=re.MULTILINE)) <= commands
    assert 'python -m pip install ".[test]" && diffgmm demo -o faithful.nc' in text


def test_claims_about_families_and_groups_are_those_of_the_code(text):
    from diffgmm.covariance import FAMILIES

    words = {"full": "full", "tied": "tied", "diag": "diagonal", "spherical": "spherical"}
    assert set(FAMILIES) == {*words, "identity"}
    assert all(word in text for word in words.values())
