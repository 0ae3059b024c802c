"""The page on scale, run as a user runs it: the code of each section is a script of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "scale.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTIONS = {
    text.partition("\n")[0]: BLOCK.findall(text)
    for text in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    if BLOCK.search(text)
}


@pytest.mark.parametrize("blocks", SECTIONS.values(), ids=SECTIONS)
def test_section_prints_what_it_shows(blocks, tmp_path):
    script = tmp_path / "section.py"
    code, shown = (
        "".join(text for kind, text in blocks if kind == of) for of in ("python", "text")
    )
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == shown
