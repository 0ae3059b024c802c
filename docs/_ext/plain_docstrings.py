r"""Formulas in docstrings are for the terminal: here |x| is an absolute value, best_n_iter_ a name.

In reStructuredText the one would be a substitution and the other a link. No docstring of skdnn has
either, so both are escaped, except in literals and in the lines of an example.

Two things are left out: in which of scikit-learn's versions an inherited method was added, and that
a field of a named tuple is its second one, where the docstring of the class describes the fields.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

FIELD = type(NamedTuple("Pair", [("first", int)]).first)
LITERAL = re.compile(r"(``.*?``|`[^`]*`_*|\*\*.*?\*\*)")
ADDED = ".. versionadded::"
BAR_OR_NAME = re.compile(r"\||(?<=\w)_(?=[\s,.;:)]|$)")


def escape(_app: Any, what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Escape bars and final underscores, in place."""
    lines[:] = [line for line in lines if not line.lstrip().startswith(ADDED)]
    in_example = False
    for i, line in enumerate(lines):
        in_example = bool(line.strip()) and (in_example or line.lstrip().startswith(">>>"))
        if not in_example:
            parts = LITERAL.split(line)
            parts[::2] = [BAR_OR_NAME.sub(r"\\\g<0>", part) for part in parts[::2]]
            lines[i] = "".join(parts)


def skip(_app: Any, _what: str, _name: str, obj: Any, _skip: bool, _options: Any) -> bool | None:
    """Leave out the fields of named tuples."""
    return True if isinstance(obj, FIELD) else None


def setup(app: Any) -> dict[str, Any]:
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-docstring", escape, priority=100)  # before numpydoc's
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
