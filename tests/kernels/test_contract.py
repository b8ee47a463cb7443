"""What all kernels share: how they are compiled, described and imported, and what that costs."""

import ast
import os
from pathlib import Path

import numpy as np
import pytest
import targets

from diffgmm.kernels import _compile, gaussian

KERNELS = Path(_compile.__file__).parent
ROOT = Path(__file__).parents[2]
# These write LLVM code for kernels, which hold its plain twin.
LLVM = ("_llvm.py", "_vector_lines.py", "_vectors.py")
VECTORS = ("_vector_lines", "_vectors")
FILES = sorted(path.name for path in KERNELS.glob("*.py") if path.name not in LLVM)
SOURCES = [
    path
    for folder in ("benchmarks", "diffgmm", "kernels", "tests", "tutorials")
    for path in sorted((ROOT / folder).rglob("*.py"))
]

# Seconds of one quiet core to compile the whole main job, nothing cached, and any one kernel of it
# beyond the kernels that it calls. The Gibbs sampler needs most: 2.8 s with the sweep inside it, which
# alone took 2.4 s, and as much again in each kernel around it.
COMPILE_BUDGET = 20.0
KERNEL_BUDGET = 2.5


def tree_of(name):
    return ast.parse((KERNELS / name).read_text(encoding="utf-8"))


def names_of(function):
    """Return the names of a function's decorators."""
    return {ast.unparse(decorator) for decorator in function.decorator_list}


def decorators():
    """Return the functions of _compile that compile other functions."""
    return {
        node.name
        for node in tree_of("_compile.py").body
        if isinstance(node, ast.FunctionDef) and "njit(" in ast.unparse(node.body)
    }


def functions(name):
    """Return the functions of a kernel file; in _compile.py without those that compile."""
    own = decorators() if name == "_compile.py" else set()
    nodes = (node for node in tree_of(name).body if isinstance(node, ast.FunctionDef))
    return [node for node in nodes if node.name not in own]


def test_the_decorators_are_found():
    assert decorators() >= {"kernel", "_exact"}


@pytest.mark.parametrize("name", FILES)
def test_every_function_is_compiled_in_the_one_place(name):
    assert not [f.name for f in functions(name) if len(names_of(f) & decorators()) != 1]


@pytest.mark.parametrize("name", [name for name in FILES if name != "_compile.py"])
def test_no_other_file_compiles(name):
    words = {
        word
        for node in ast.walk(tree_of(name))
        for word in (getattr(node, field, None) for field in ("id", "attr", "name"))
    }
    assert not words & {"jit", "njit", "vectorize", "guvectorize", "intrinsic", "prange"}


@pytest.mark.parametrize("name", FILES)
def test_every_kernel_states_its_shapes(name):
    lacking = [f.name for f in functions(name) if "Shapes:" not in (ast.get_docstring(f) or "")]
    assert not lacking


@pytest.mark.parametrize("name", [*FILES, *LLVM])
def test_kernels_import_numpy_and_numba_only(name):
    allowed = {"llvmlite", "math", "numba", "numpy", "os", "typing"}
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= allowed
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module.split(".")[0] in allowed
        if isinstance(node, ast.ImportFrom):
            assert node.level <= 1  # kernels do not know the package around them


def called_vectors(name, module):
    """Return what a kernel file calls of the vector code in a module."""
    return {
        node.attr
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == module
    }


@pytest.mark.parametrize("module", VECTORS)
def test_vector_code_is_written_for_kernels_of_the_same_name(module):
    """Every one has a kernel with the plain loop that runs without Numba and with index checks."""
    written = {
        node.name
        for node in tree_of(f"{module}.py").body
        if isinstance(node, ast.FunctionDef) and "intrinsic" in names_of(node)
    }
    calls = {name: called_vectors(name, module) for name in FILES}
    assert written == set.union(*calls.values())
    for name, called in calls.items():
        assert called <= {function.name for function in functions(name)}


@pytest.mark.parametrize("name", FILES)
def test_a_class_is_a_bundle_without_behaviour(name):
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.ClassDef):
            assert [ast.unparse(base) for base in node.bases] == ["NamedTuple"]
            assert not [part for part in node.body if isinstance(part, ast.FunctionDef)]


def imports_kernels(source):
    """Return whether code imports the folder under the name that belongs to another package."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules = [node.module]
        else:
            continue
        if any(module.split(".")[0] == "kernels" for module in modules):
            return True
    return False


def test_nobody_imports_the_folder_by_its_own_name():
    assert len(SOURCES) > 20  # the search finds the project
    assert not [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if imports_kernels(path.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import " + "kernels", True),
        ("import numpy, " + "kernels.gaussian as g", True),
        ("from " + "kernels.gaussian import log_density", True),
        ("from diffgmm.kernels import gaussian", False),
        ("from .kernels import gaussian", False),
        ("import diffgmm.kernels.gaussian", False),
    ],
)
def test_the_search_sees_what_it_looks_for(source, expected):
    assert imports_kernels(source) is expected


@pytest.mark.usefixtures("compiled")
def test_options_of_every_compiled_kernel():
    options = gaussian.log_density.targetoptions
    assert options["nogil"] is True
    assert options["error_model"] == "numpy"
    # `nnan` or `ninf` would let LLVM delete checks for diverged draws
    assert options["fastmath"] == {"reassoc", "contract", "arcp", "nsz"}
    assert _compile.exp_nonpositive.targetoptions["fastmath"] == {"contract"}


@pytest.mark.skipif(
    os.environ.get("NUMBA_BOUNDSCHECK") != "1", reason="only in the run with index checks"
)
@pytest.mark.usefixtures("compiled")
def test_index_checks_are_on(rng):
    components = targets.components(rng, 2, 3, "full")
    rows = targets.rows_near(rng, 10, components.means)
    with pytest.raises(IndexError):
        gaussian.log_density(rows, components, 0, 10, np.zeros(9))


COMPILE = """
import time
from numba import njit
from numba.core import event

class Clock(event.Listener):
    def __init__(self):
        self.open, self.own = [], []
    def on_start(self, event):
        self.open.append([time.thread_time(), 0.0])
    def on_end(self, event):
        start, inside = self.open.pop()
        seconds = time.thread_time() - start
        self.own.append(seconds - inside)
        if self.open:
            self.open[-1][1] += seconds

def yardstick(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            for k in range(b.shape[1]):
                total += (a[i, j] * b[j, k] - b[i, k]) / (1.0 + abs(a[i, k])) + a[k, i] ** 3
    return total

import numpy as np
njit(lambda x: x + 1.0)(1.0)
njit(lambda x: np.zeros(x).reshape(2, 2)[0])(4)
start = time.thread_time()
for _ in range(3):
    njit(fastmath=True)(yardstick)(np.ones((2, 2)), np.ones((2, 2)))
ruler = (time.thread_time() - start) / 3
clock = Clock()
event.register("numba:compile", clock)
import diffgmm
faithful = diffgmm.datasets.load_faithful()
fit = diffgmm.fit(faithful, 2, model="diffusion", random_seed=1)
fit.sample(1000, random_seed=1)
diffgmm.sample(faithful, 2, draws=100, tune=100, random_seed=1, progressbar=False)
print(sum(clock.own), max(clock.own), ruler)
"""

# Seconds of one quiet core for the yardstick above: budgets grow with it on a slower or busy one.
YARDSTICK = 0.126


@pytest.mark.slow  # compiles everything that fit, scores, draws and posterior need
@pytest.mark.usefixtures("compiled")
@pytest.mark.filterwarnings("ignore")
def test_the_main_job_compiles_within_its_budget(run_python, tmp_path):
    printed = run_python(COMPILE, NUMBA_CACHE_DIR=str(tmp_path), PYTHONWARNINGS="ignore")
    total, largest, ruler = map(float, printed.split())
    slowness = max(1.0, ruler / YARDSTICK)
    assert total < COMPILE_BUDGET * slowness
    assert largest < KERNEL_BUDGET * slowness
