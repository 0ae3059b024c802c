"""docs/requests.md: every request of the list is answered, by code that runs as it stands."""

import re
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "requests.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
ISSUES = [6175, 9113, 11952, 26912, 30199, 10097, 14571, 18748, 24411, 18507, 12675, 10236]
ISSUES += [6091, 12505, 15596, 5718, 16176, 24555]

matplotlib.use("Agg")


@pytest.mark.parametrize("number", ISSUES)
def test_the_request_is_on_the_page(number):
    assert len(re.findall(rf"#{number}\b", TEXT)) == 1


def test_every_answer_has_a_line_of_code():
    sections = re.split(r"^\*\*", TEXT, flags=re.MULTILINE)[1:]
    assert [section.split("**")[0] for section in sections if "```python" not in section] == []


# Its fits are short.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_code_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for block in BLOCKS:
        exec(block, namespace)
    plt.close("all")
    assert "L-BFGS-B ended" in capsys.readouterr().out
    assert (tmp_path / "digits.checkpoint").is_file()
