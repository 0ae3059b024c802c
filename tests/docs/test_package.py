"""What a user installs: names, version, types, and the promises about imports."""

import ast
import importlib
import importlib.metadata
import importlib.resources
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import skdnn

PACKAGE = Path(skdnn.__file__).parent
CORE = sorted((PACKAGE / "core").glob("*.py"))
SECTIONS = ["network", "losses", "activations"]  # by the names that users import
OPTIONAL = [
    "dask",
    "distributed",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "pandas",
    "polars",
    "skl2onnx",
    "torch",
]
ESTIMATORS = ["DNNRegressor", "DNNBinaryClassifier", "DNNClassifier"]

# Makes the optional libraries look as if they were not installed.
WITHOUT_OPTIONAL = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OPTIONAL}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
"""


def imported_modules(path):
    """Yield the absolute name of every module or member that the file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = ".".join(part for part in ("skdnn" * bool(node.level), node.module) if part)
            yield from (f"{parent}.{alias.name}" for alias in node.names)


def allowed_in_core(name):
    top, _, rest = name.partition(".")
    if top == "skdnn":
        return rest.partition(".")[0] == "core"
    return top in {"numpy", "scipy"} or top in sys.stdlib_module_names


def run_python(code):
    """Return what the code prints in an interpreter of its own."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_version_is_that_of_the_distribution():
    assert skdnn.__version__ == importlib.metadata.version("skdnn")


def test_py_typed_is_in_the_package():
    assert importlib.resources.files("skdnn").joinpath("py.typed").is_file()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimator_is_public(name):
    assert name in skdnn.__all__


def test_every_public_name_exists():
    assert [name for name in skdnn.__all__ if not hasattr(skdnn, name)] == []


def test_runtime_dependencies_are_scikit_learn_and_its_own():
    requirements = map(Requirement, importlib.metadata.requires("skdnn"))
    needed = {r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})}
    assert needed == {"numpy", "scipy", "scikit-learn", "joblib", "threadpoolctl"}


@pytest.mark.parametrize("extra", ["test", "plot", "onnx", "compat", "docs", "dev"])
def test_extra_is_provided(extra):
    assert extra in importlib.metadata.metadata("skdnn").get_all("Provides-Extra")


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_core_module_imports_numpy_scipy_and_core_alone(path):
    assert [name for name in imported_modules(path) if not allowed_in_core(name)] == []


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_of_the_core_is_public_under_its_own_name(name):
    public = importlib.import_module(f"skdnn.{name}")
    core = importlib.import_module(f"skdnn.core.{name}")
    assert public.__all__
    assert all(getattr(public, part) is getattr(core, part) for part in public.__all__)


def test_import_works_without_optional_libraries():
    assert run_python(WITHOUT_OPTIONAL + "import skdnn; print('imported')") == "imported"


@pytest.mark.parametrize("name", ["checkpoint", "display", "search"])
def test_a_module_of_a_public_name_is_there_before_the_name_is_asked_for(name):
    assert run_python(f"import skdnn; print(skdnn.{name}.__name__)") == f"skdnn.{name}"


def test_import_leaves_optional_libraries_alone():
    # scikit-learn itself loads pandas where it is installed.
    code = "import sys, sklearn; before = set(sys.modules); import skdnn; "
    code += f"print(sorted((set(sys.modules) - before) & set({OPTIONAL})))"
    assert run_python(code) == "[]"
