"""docs/paper.md is honest: every statement of the paper has a row, and every name in it exists."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
STATEMENTS = TEXT.split("## Statement by statement")[1].split("\n## ")[0]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in STATEMENTS.splitlines()
    if line.startswith("| ") and not line.startswith("| In the paper")
]
SYMBOLS = sorted(set(re.findall(r"`((?:skdnn|tests)(?:\.\w+)+)`", TEXT)))
TESTS = sorted(set(re.findall(r"tests/\w+/test_\w+\.py::test_\w+", TEXT)))
LINKS = sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)))
EQUATIONS = [f"({number})" for number in range(1, 40)]
OTHERS = (
    ["Lemma 3.1"]
    + [f"Theorem {number}" for number in ("4.1", "5.1", "5.4", "6.1")]
    + [f"Remark {number}" for number in ("5.2", "5.3")]
    + [f"Code {number}" for number in range(1, 5)]
)


def resolve(symbol):
    """Import the longest module in a dotted name, and look the rest up in it."""
    parts = symbol.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for name in parts[end:]:
            found = getattr(found, name)
        return found
    raise ModuleNotFoundError(symbol)


@pytest.mark.parametrize("statement", EQUATIONS + OTHERS)
def test_statement_has_one_row(statement):
    assert [row[0] for row in ROWS].count(statement) == 1


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_row_names_code_and_a_test(row):
    assert len(row) == 4
    assert re.search(r"`(skdnn|tests)\.", row[2])
    assert "::test_" in row[3]


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_symbol_exists(symbol):
    assert resolve(symbol) is not None


@pytest.mark.parametrize("test", TESTS)
def test_named_test_exists(test):
    path, function = test.split("::")
    body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    assert function in [node.name for node in body if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("target", LINKS)
def test_link_leads_to_a_file(target):
    assert (ROOT / "docs" / target).resolve().exists()


@pytest.mark.parametrize("symbol, target", re.findall(r"\[`([\w.]+)`\]\(\.\./([\w./]+)\)", TEXT))
def test_link_of_a_symbol_leads_to_the_file_that_defines_it(symbol, target):
    assert Path(inspect.getsourcefile(resolve(symbol))) == ROOT / target


NUMBERED = {
    "skdnn.network.forward": [3, 4],
    "skdnn.network.backward": [22, 23, 24, 25],
    "skdnn.losses.Loss.gradient": [21, 36],
}


@pytest.mark.parametrize("symbol, number", [(s, n) for s, ns in NUMBERED.items() for n in ns])
def test_equation_number_stands_in_the_code_that_is_it(symbol, number):
    assert f"({number})" in inspect.getsource(resolve(symbol))


def test_code_on_the_page_runs(capsys):
    (code,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    exec(code, {})
    assert "max_relative_error = " in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted(set(re.findall(r"tests/[\w/]+\.py", TEXT))))
def test_named_file_of_tests_exists(path):
    assert (ROOT / path).is_file()
