"""What scikit-learn keeps to itself is imported in one place."""

import ast
from pathlib import Path

import pytest

import skdnn

PACKAGE = Path(skdnn.__file__).parent
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "_sklearn.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_private_names_of_scikit_learn_are_in_one_module(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sklearn"):
            names = [*node.module.split("."), *(alias.name for alias in node.names)]
            assert [name for name in names if name.startswith("_")] == []
