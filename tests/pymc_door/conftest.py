"""Models in tests are evaluated by Python: compiling each would take longer than all tests.

The folder is not called `pymc`: pytest puts its parent on the path, and where PyMC is not installed
`import pymc` would find it.
"""

import pytest


@pytest.fixture(autouse=True)
def quick_to_compile():
    """Compile nothing unless a test asks for it."""
    pytensor = pytest.importorskip("pytensor")
    with pytensor.config.change_flags(mode="FAST_COMPILE"):
        yield
