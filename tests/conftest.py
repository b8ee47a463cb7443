"""Settings and fixtures that every test shares."""

import hashlib
import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

# Test modules import `reference` and `targets` from here, under any import mode of pytest.
sys.path.insert(0, str(Path(__file__).parent))


def pytest_configure(config):
    """Give this state of the kernels a cache of its own, before Numba is imported.

    Numba does not notice an edited helper in another file, nor a change of the index checks.
    """
    package = importlib.util.find_spec("diffgmm")
    if package is None:
        pytest.exit("diffgmm is not importable: pip install -e '.[test]'", returncode=4)
    if "NUMBA_CACHE_DIR" in os.environ or not hasattr(config, "cache"):
        return
    digest = hashlib.sha256(os.environ.get("NUMBA_BOUNDSCHECK", "").encode())
    for source in sorted((Path(package.origin).parent / "kernels").glob("*.py")):
        digest.update(source.read_bytes())
    os.environ["NUMBA_CACHE_DIR"] = str(config.cache.mkdir(f"numba-{digest.hexdigest()[:16]}"))


# What is marked `once` runs with every `pytest`, but with one interpreter only in `.ci/run`: numbers
# of kernels and of samplers, which no ArviZ touches. The second interpreter, with another Numba and
# LLVM, has the kernels with index checks, and those that write LLVM code of their own as they are.
# Single tests of this kind that take seconds carry the mark themselves.
ONCE = ("kernels", "statistical")
ONCE_TOO = tuple(
    f"unit/test_{name}.py"
    for name in ("density", "gates", "marginal_steps", "moves", "npmle", "path", "samplers", "voronoi")
)
NOT_ONCE = ("kernels/test_exp.py", "kernels/test_vectors.py")


def pytest_collection_modifyitems(items):
    """Mark whole folders and files `once`."""
    for item in items:
        path = item.path.relative_to(Path(__file__).parent)
        is_whole = path.parts[0] in ONCE and path.as_posix() not in NOT_ONCE
        if is_whole or path.as_posix() in ONCE_TOO:
            item.add_marker("once")


@pytest.fixture
def rng():
    """Return a generator that is the same for every test."""
    return np.random.default_rng(20_250_101)


@pytest.fixture(autouse=True)
def plain_python_divides_as_kernels_do():
    """Without compilation, NumPy scalars warn where kernels return infinity on purpose."""
    with np.errstate(all="ignore" if os.environ.get("NUMBA_DISABLE_JIT") == "1" else None):
        yield


@pytest.fixture
def compiled():
    """Skip a test that is about compilation when there is none."""
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        pytest.skip("kernels are not compiled in this run")


@pytest.fixture
def optional():
    """Return an importer of packages that may be missing, unless DIFFGMM_REQUIRE_ALL=1."""

    def load(name):
        if os.environ.get("DIFFGMM_REQUIRE_ALL") == "1":
            return importlib.import_module(name)
        return pytest.importorskip(name)

    return load


@pytest.fixture
def run_python():
    """Return a function that runs code in a fresh interpreter and returns what it prints."""

    def run(code, **environment):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
