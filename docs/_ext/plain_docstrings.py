r"""Formulas in docstrings are for the terminal: here |x| is an absolute value, best_n_iter_ a name.

In reStructuredText the one would be a substitution and the other a link. No docstring of skdnn has
either, so both are escaped, except in literals and in the lines of an example.
"""

from __future__ import annotations

import re
from typing import Any

LITERAL = re.compile(r"(``.*?``|`[^`]*`_*|\*\*.*?\*\*)")
BAR_OR_NAME = re.compile(r"\||(?<=\w)_(?=[\s,.;:)]|$)")


def escape(_app: Any, what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Escape bars and final underscores, in place."""
    in_example = False
    for i, line in enumerate(lines):
        in_example = bool(line.strip()) and (in_example or line.lstrip().startswith(">>>"))
        if not in_example:
            parts = LITERAL.split(line)
            parts[::2] = [BAR_OR_NAME.sub(r"\\\g<0>", part) for part in parts[::2]]
            lines[i] = "".join(parts)


def setup(app: Any) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", escape, priority=100)  # before numpydoc's
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
