"""The examples in docstrings print what they say."""

import doctest
import importlib
import pkgutil

import pytest

import diffgmm

# Doors to packages that may be missing; modules that run something.
OPTIONAL = ("sklearn", "pymc", "dask", "zarr")

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(diffgmm.__path__, "diffgmm.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", ["diffgmm", *MODULES])
def test_examples(name, optional):
    for package in OPTIONAL:
        if package in name.split("."):
            optional(package)
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0


def test_examples_are_found():
    assert "diffgmm.mixture" in MODULES
    finder = doctest.DocTestFinder()
    assert sum(len(test.examples) for test in finder.find(diffgmm.GaussianMixture)) >= 2
