"""Every example, and the README's, run as a user runs them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SHORT = [path for path in EXAMPLES if path.stem != "quickstart"]
# What the search's best network must reach on the rows held out: well under what it does reach.
FLOORS = {"DNNClassifier": 0.95, "DNNBinaryClassifier": 0.9, "DNNRegressor": 0.4}
README = (ROOT / "README.md").read_text(encoding="utf-8")


def output_of(*arguments):
    """Run Python with every warning an error and return what it printed."""
    command = [sys.executable, "-W", "error", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def blocks(language):
    """Return the README's fenced blocks in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def quickstart():
    """Return the rows of the quickstart's table, each as a list of cells, by estimator."""
    lines = output_of("examples/quickstart.py").splitlines()[1:]
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines]
    return {row[1]: row for row in rows}


@pytest.mark.parametrize("path", SHORT, ids=lambda path: path.stem)
def test_example_runs_without_a_warning(path):
    assert len(output_of(path).splitlines()) > 5


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_fits_on_a_page(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60


@pytest.mark.parametrize("estimator", FLOORS)
def test_quickstart_reaches_a_useful_score(quickstart, estimator):
    assert float(quickstart[estimator][-1]) >= FLOORS[estimator]


def test_quickstart_shows_scikit_learn_beside_each(quickstart):
    assert {"MLPClassifier", "MLPRegressor"} < set(quickstart)


def test_readme_example_prints_what_the_readme_shows(tmp_path):
    (code,), (shown, *_) = blocks("python"), blocks("text")
    script = tmp_path / "readme.py"
    script.write_text(code, encoding="utf-8")
    printed = output_of(script)
    number = re.compile(r"\d+\.\d+")
    assert number.sub("#", printed) == number.sub("#", shown)
    # The last digits depend on the order in which a BLAS adds.
    assert [*map(float, number.findall(printed))] == pytest.approx(
        [*map(float, number.findall(shown))], abs=0.02
    )


def test_readme_has_two_commands():
    assert [len(block.splitlines()) for block in blocks("bash")] == [1, 1]
