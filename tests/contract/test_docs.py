"""The documentation names everything that is public, and explains everything that is returned."""

import re
from pathlib import Path

import numpy as np
import pytest

import diffgmm

PAGES = Path(__file__).parents[2] / "tutorials"


def test_the_reference_lists_every_public_name():
    text = (PAGES / "reference.md").read_text("utf-8")
    listed = set(re.findall(r"^   (\w+)$", text, re.MULTILINE))
    public = {name for name in diffgmm.__all__ if not name.startswith("__") and name != "datasets"}
    assert listed == public


@pytest.mark.filterwarnings("ignore::diffgmm.errors.ConvergenceWarning")
@pytest.mark.parametrize(
    "options",
    [
        {"n_components": 1, "sample_weight": np.linspace(0.5, 1.5, 30)},
        {"n_components": 1, "method": "diffusion"},
        {"n_components": 1, "method": "bootstrap"},
        {},
    ],
    ids=["gibbs", "diffusion", "bootstrap", "unknown K"],
)
def test_every_statistic_and_attribute_is_explained(options, rng):
    idata = diffgmm.sample(
        rng.standard_normal((30, 1)),
        **{"draws": 20, "tune": 20, "chains": 1, "random_seed": 1, "progressbar": False},
        **options,
    )
    text = (PAGES / "guide" / "sample_stats.md").read_text("utf-8")
    named = set(re.findall(r"`(\w+)`", text))
    assert set(idata["sample_stats"].data_vars) <= named
    by_arviz = ("created_", "creation_", "inference_library", "arviz_", "sample_dims")
    own = {name for name in idata["posterior"].attrs if not name.startswith(by_arviz)}
    assert own <= named
