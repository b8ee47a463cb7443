"""What the door to PyMC needs, and what stays out without it."""

import pytest

WITHOUT = """
import sys
sys.modules["pymc"] = None
import diffgmm
diffgmm.fit_posterior
try:
    import diffgmm.pymc
except ModuleNotFoundError as error:
    print(error)
"""


@pytest.fixture(autouse=True)
def quick_to_compile():
    """Need no PyTensor here."""


def test_without_pymc_the_door_says_how_to_get_it(run_python):
    assert run_python(WITHOUT) == (
        "diffgmm.pymc needs PyMC. Install it with: pip install 'diffgmm[pymc]'"
    )


def test_nothing_else_imports_pymc(run_python):
    code = "import sys, diffgmm\nfor name in diffgmm.__all__: getattr(diffgmm, name)\n"
    assert run_python(code + "print('pymc' in sys.modules, 'pytensor' in sys.modules)") == (
        "False False"
    )


def test_the_door_opens(optional):
    optional("pymc")
    import diffgmm

    assert diffgmm.pymc.GaussianMixture.__name__ == "GaussianMixture"
