"""Pages whose sections use other libraries: each is run by itself, if its libraries are there.

What stands before the first section is shared by all.
"""

import ast
import re
import sys
from pathlib import Path

import matplotlib
import pytest

from tests.cases import UNCONVERGED

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OURS = {"joblib", "matplotlib", "numpy", "scipy", "skdnn", "sklearn", *sys.stdlib_module_names}
# Where a library warns of itself, or of another.
THEIRS = pytest.mark.filterwarnings("ignore")

matplotlib.use("Agg")
pytestmark = UNCONVERGED


def sections(page):
    """Yield the shared code of a page with each section's title and its blocks."""
    first, *rest = re.split(r"^## ", (DOCS / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    for text in rest:
        title, _, body = text.partition("\n")
        if blocks := BLOCK.findall(body):
            yield pytest.param(BLOCK.findall(first) + blocks, id=f"{page}-{title}")


def libraries(blocks):
    """Return the top-level names that the code imports."""
    nodes = [
        node for kind, code in blocks if kind == "python" for node in ast.walk(ast.parse(code))
    ]
    names = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    return sorted({name.partition(".")[0] for name in names} - OURS)


PAGES = ["saving.md", "tables.md", "with_others.md"]


@pytest.mark.parametrize("blocks", [each for page in PAGES for each in sections(page)])
@THEIRS
def test_section_prints_what_it_shows(blocks, tmp_path, monkeypatch, capsys):
    for library in libraries(blocks):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for kind, block in blocks:
        if kind == "python":
            exec(block, namespace)
            printed = capsys.readouterr().out
        else:
            assert printed == block
