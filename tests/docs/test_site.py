"""The pages of the site: their code prints what they show, and no page or parameter is left out."""

import importlib
import inspect
import re
import sys
import tomllib
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest

import skdnn
from skdnn.fit.recipe import fit_network

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ADDRESS = PROJECT["urls"]["Homepage"]
# These have tests of their own, but for contributing.md, which shows classes to be pasted.
TESTED_ELSEWHERE = {
    *("paper.md", "requests.md", "contributing.md", "migration.md", "saving.md", "with_others.md"),
    "scale.md",
}
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d+\.\d+")
WRITTEN = sorted(
    page
    for page in DOCS.rglob("*.md")
    if not {"api", "gallery"} & set(page.relative_to(DOCS).parts)
)
PAGES = [
    page
    for page in WRITTEN
    if page.name not in TESTED_ELSEWHERE and "```python" in page.read_text(encoding="utf-8")
]
GALLERY = sorted((ROOT / "examples" / "gallery").glob("plot_*.py"))
ESTIMATORS = ["DNNRegressor", "DNNBinaryClassifier", "DNNClassifier"]

matplotlib.use("Agg")


def name(page):
    return str(page.relative_to(DOCS))


@pytest.fixture
def site_modules(monkeypatch):
    """Make the modules of the site's pages and directives importable, and forget them after."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    yield
    for module in set(sys.modules) - before:
        if (DOCS / "_ext" / f"{module}.py").is_file():
            del sys.modules[module]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_code_on_the_page_prints_what_the_page_shows(
    page, tmp_path, monkeypatch, capsys, site_modules
):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    printed = ""
    for language, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            exec(block, namespace)
            printed = capsys.readouterr().out
        else:
            assert NUMBER.sub("#", printed) == NUMBER.sub("#", block)
            # The last digits depend on the order in which a BLAS adds.
            ours, shown = ([*map(float, NUMBER.findall(text))] for text in (printed, block))
            assert ours == pytest.approx(shown, rel=0.1, abs=0.03)
    plt.close("all")


def test_the_recipe_on_the_page_is_the_function():
    page = (DOCS / "how-a-fit-works.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert shown == inspect.getsource(fit_network)


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_page_is_on_a_shelf(page):
    trees = re.findall(
        r"^```\{toctree\}\n(.*?)^```$",
        "\n".join(p.read_text(encoding="utf-8") for p in WRITTEN),
        re.MULTILINE | re.DOTALL,
    )
    entries = set(re.findall(r"[\w/-]+(?=>?$)", "\n".join(trees), re.MULTILINE))
    own = name(page).removesuffix(".md")
    assert own == "index" or own in entries or own.rpartition("/")[2] in entries


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_parameter_has_one_group_on_its_page(estimator, site_modules):
    groups = importlib.import_module("parameter_groups").GROUPS
    grouped = [parameter for names in groups.values() for parameter in names]
    parameters = set(inspect.signature(getattr(skdnn, estimator)).parameters)
    assert [p for p in parameters if grouped.count(p) != 1] == []


def test_every_grouped_parameter_exists(site_modules):
    groups = importlib.import_module("parameter_groups").GROUPS
    known = {p for e in ESTIMATORS for p in inspect.signature(getattr(skdnn, e)).parameters}
    assert [p for names in groups.values() for p in names if p not in known] == []


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_html_of_an_estimator_links_to_its_page(estimator):
    html = getattr(skdnn, estimator)()._repr_html_()
    assert f'href="{ADDRESS}/api/skdnn.{estimator}.html"' in html


def test_html_of_an_estimator_of_ones_own_links_nowhere():
    class Mine(skdnn.DNNClassifier):
        """A user's own."""

    assert "/api/" not in Mine()._repr_html_()


def test_gallery_has_ten_examples():
    assert len(GALLERY) >= 10


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_picture_of_the_gallery_has_a_title_to_be_read_out(path):
    """sphinx-gallery makes the text for those who do not see from the titles."""
    source = path.read_text(encoding="utf-8")
    assert source.count("suptitle(") + source.count("set_title(") + source.count("title=") >= 1
