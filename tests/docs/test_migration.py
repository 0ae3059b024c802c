"""docs/migration.md is complete and honest: a row for everything, and every test is there."""

import ast
import inspect
import re
from pathlib import Path

import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor

from tests.cases import ESTIMATORS
from tests.estimators.test_parity import ATTRIBUTES, PAIRS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
VERDICTS = {"same", "fixed", "different", "new"}


def rows(section):
    """Return the rows of a section's table, without the head, as lists of cells."""
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0].startswith("`")]


def names_in(section):
    return [re.match(r"`(\w+)`", row[0])[1] for row in rows(section)]


def test_every_parameter_has_one_row():
    theirs = [*inspect.signature(MLPRegressor).parameters]
    assert set(inspect.signature(MLPClassifier).parameters) < set(theirs)
    assert names_in("Parameters") == theirs


def test_every_attribute_has_one_row():
    theirs = {*ATTRIBUTES, "classes_", "feature_names_in_"}
    assert sorted(names_in("Attributes")) == sorted(theirs)


@pytest.mark.parametrize("section", ["Parameters", "Attributes", "Methods"])
def test_every_row_has_a_verdict_and_its_reason(section):
    for name, verdict, reason in rows(section):
        assert verdict in VERDICTS, name
        assert reason or verdict == "same", name


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_every_default_that_differs_is_listed(Estimator):
    Theirs = next(Theirs for Theirs, Ours in PAIRS if Ours is Estimator)
    ours, theirs = Estimator().get_params(), Theirs().get_params()
    differing = {name for name in theirs if ours[name] != theirs[name]}
    assert differing <= set(names_in("Defaults that differ"))


def test_no_default_is_listed_that_does_not_differ():
    for name, there, here, _ in rows("Defaults that differ"):
        assert there != here, name


@pytest.mark.parametrize(
    "test", sorted(set(re.findall(r"tests/\w+/test_\w+\.py::test_\w+", TEXT))), ids=str
)
def test_test_exists(test):
    path, name = test.split("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_defect_test_is_named():
    tree = ast.parse(
        (ROOT / "tests" / "estimators" / "test_defects.py").read_text(encoding="utf-8")
    )
    tests = {n.name for n in tree.body if isinstance(n, ast.FunctionDef) and "test_" in n.name[:5]}
    assert tests == set(re.findall(r"test_defects\.py::(test_\w+)", TEXT))


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT))))
def test_link_leads_to_a_file(link):
    assert (ROOT / "docs" / link).resolve().is_file()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"tests/[\w/]+\.py", TEXT))))
def test_named_file_of_tests_exists(path):
    assert (ROOT / path).is_file()
