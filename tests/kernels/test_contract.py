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
FILES = sorted(path.name for path in KERNELS.glob("*.py"))
SOURCES = [
    path
    for folder in ("benchmarks", "diffgmm", "kernels", "tests", "tutorials")
    for path in sorted((ROOT / folder).rglob("*.py"))
]

# Seconds of one core to compile one public kernel with its helpers, nothing cached (design, 4).
COMPILE_BUDGET = 1.5


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


@pytest.mark.parametrize("name", FILES)
def test_kernels_import_numpy_and_numba_only(name):
    allowed = {"llvmlite", "math", "numba", "numpy", "os", "typing"}
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= allowed
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module.split(".")[0] in allowed
        if isinstance(node, ast.ImportFrom):
            assert node.level <= 1  # kernels do not know the package around them


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
import numpy as np
from diffgmm.data import raw_rows
from diffgmm.kernels import gaussian, moments, score
from diffgmm.kernels.bundles import Components

d, k = 5, 2
rows = raw_rows(np.zeros((10, d)))
factors = np.broadcast_to(np.eye(d), (k, d, d)).copy()
components = Components(np.zeros(k), np.zeros((k, d)), factors)
statistics = (np.zeros(k), np.zeros((k, d)), np.zeros((k, d, d)))
shares = np.empty((10, k))
calls = {
    "log_density": lambda: gaussian.log_density(rows, components, 0, 10, np.empty(10)),
    "responsibilities": lambda: gaussian.responsibilities(rows, components, 0, 10, shares),
    "expectation": lambda: moments.expectation(rows, components, 0, 10, statistics),
    "gated_affine": lambda: score.gated_affine(
        rows, components, (factors, np.zeros((k, d))), 0, 10, np.empty((10, d))
    ),
}
start = time.process_time()
calls[NAME]()
print(time.process_time() - start)
"""


@pytest.mark.slow  # each compiles everything it calls, in a process of its own
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("name", ["log_density", "responsibilities", "expectation", "gated_affine"])
def test_cold_compilation_is_within_its_budget(name, run_python, tmp_path):
    seconds = float(run_python(f"NAME = {name!r}\n" + COMPILE, NUMBA_CACHE_DIR=str(tmp_path)))
    assert seconds < COMPILE_BUDGET
