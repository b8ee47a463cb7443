"""Progress is shown on a terminal and nowhere else."""

import re
import sys

import numpy as np
import pytest

from diffgmm import Prior
from diffgmm.covariance import family_of
from diffgmm.data import Data
from diffgmm.posterior.evidence import log_evidence_smc
from diffgmm.posterior.gibbs import Target
from diffgmm.progress import Progress


def show(progress):
    with progress as bars:
        update = bars.bars(["Chain 0", "Chain 1"], 10)
        update(0, 5)
        update(1, 10)
        on_level = bars.levels("noise levels")
        on_level(0, 3)
        on_level(2, 3)
        on_level = bars.levels("particles")
        on_level(6, None)


class Terminal:
    """Standard error that claims to be a terminal."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text
        return len(text)

    def flush(self):
        pass

    def isatty(self):
        return True


@pytest.mark.parametrize("enabled", [True, False])
def test_silent_when_output_is_no_terminal(enabled, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    show(Progress(enabled))
    assert capsys.readouterr() == ("", "")


def test_a_notebook_without_widgets_stays_silent(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    monkeypatch.setattr("diffgmm.progress.find_spec", lambda name: None)
    show(Progress(True))
    assert capsys.readouterr() == ("", "")


def test_a_notebook_with_widgets_shows_bars(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    monkeypatch.setattr("diffgmm.progress.find_spec", lambda name: sys.__spec__)
    assert Progress(True)._bars is not None


def test_silent_when_told_so(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    show(Progress(False))
    assert terminal.text == ""


def test_one_bar_per_chain_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    show(Progress(True))
    for text in ("Chain 0", "Chain 1", "5/10", "10/10", "noise levels", "3/3", "7/?"):
        assert text in terminal.text


def test_the_evidence_shows_its_noise_levels(monkeypatch, rng):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    data, family = Data.of(rng.standard_normal((8, 1))), family_of("full")
    target = Target.of(data, family, Prior.weakly_informative(data.values, 1), 1)
    log_evidence_smc(target, np.random.SeedSequence(1), 2, progressbar=True)
    (levels, n_levels), (passed, n_passed) = re.findall(r"(\d+)/(\d+)", terminal.text)[-2:]
    assert levels == n_levels
    assert passed == n_passed == str(24 * int(n_levels))


def test_bars_end_with_an_error(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    progress = Progress(True)
    with pytest.raises(ZeroDivisionError), progress:
        progress.bars(["Chain 0"], 1 // 0)
    assert not progress._bars.live.is_started
