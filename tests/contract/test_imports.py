"""What `import diffgmm` brings along, and what it costs."""

import pytest

STAYS_OUT = (
    "arviz",
    "arviz_base",
    "arviz_plots",
    "arviz_stats",
    "dask",
    "matplotlib",
    "pandas",
    "polars",
    "pymc",
    "rich",
    "scipy.linalg",
    "scipy.optimize",
    "scipy.special",
    "scipy.stats",
    "sklearn",
    "typer",
    "xarray",
)

# Seconds above `import numba`, on a core of its own.
IMPORT_BUDGET = 0.05
RUNS = 5

IMPORT_COST = """
import gc
import time
import numba
gc.disable()  # one pass over Numba's objects costs 0.03 s, at whichever import it happens to come
start = time.process_time()
import diffgmm
print(time.process_time() - start)
"""


def loaded(run_python, code, names=STAYS_OUT):
    found = run_python(f"import sys\n{code}\nprint([m for m in {names!r} if m in sys.modules])")
    return found.splitlines()[-1]


def test_import_leaves_the_heavy_packages_out(run_python):
    assert loaded(run_python, "import diffgmm") == "[]"


def test_so_does_evaluating_a_mixture(run_python):
    code = (
        "import diffgmm\n"
        "mixture = diffgmm.GaussianMixture([1.0], [[0.0]], [[[1.0]]])\n"
        "mixture.log_density(mixture.sample(3)), mixture.score([[1.0]], 0.5)\n"
    )
    # Numba looks into scipy.linalg for LAPACK when it first compiles anything.
    names = tuple(name for name in STAYS_OUT if name != "scipy.linalg")
    assert loaded(run_python, code, names) == "[]"


def test_the_check_sees_what_it_looks_for(run_python):
    assert loaded(run_python, "import diffgmm, scipy.stats, xarray") != "[]"
    assert "'scipy.stats'" in loaded(run_python, "import diffgmm, scipy.stats")


def test_import_costs_little_more_than_numba(run_python):
    """CPU time of the import after Numba's own, in the same process: the best of five.

    With byte code on disk, as every user but the first has it.
    """
    environment = {"PYTHONDONTWRITEBYTECODE": ""}
    costs = [float(run_python(IMPORT_COST, **environment)) for _ in range(RUNS)]
    assert min(costs) < IMPORT_BUDGET


@pytest.mark.parametrize("name", ["GaussianMixture", "__version__"])
def test_the_ground_floor_is_public(name):
    import diffgmm

    assert hasattr(diffgmm, name)
