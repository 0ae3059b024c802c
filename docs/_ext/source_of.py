"""A directive that shows the source of a function as it runs, with equations marked.

    ```{source-of} skdnn.network.backward
    :mark: (24), (25)
    ```

The name is looked up when the page is built, so that the page cannot differ from the code. Lines
that contain one of the marks are set off.
"""

from __future__ import annotations

import importlib
import inspect
from functools import reduce
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective


def find(name: str) -> Any:
    """Import the longest module in a dotted name, and look the rest up in it."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        return reduce(getattr, parts[end:], module)
    raise ModuleNotFoundError(name)


def without_docstring(source: str, docstring: str | None) -> str:
    """Return the source of a function or class without its docstring."""
    if docstring is None:
        return source
    head, _, rest = source.partition('"""')
    _, _, body = rest.partition('"""')
    return head.rstrip(" ") + body.lstrip("\n")


class SourceOf(SphinxDirective):
    """The directive."""

    required_arguments = 1
    option_spec = {"mark": directives.unchanged, "docstring": directives.flag}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        (name,) = self.arguments
        found = inspect.unwrap(find(name))
        self.env.note_dependency(inspect.getsourcefile(found) or "")
        source = inspect.cleandoc("\n" + inspect.getsource(found))
        if "docstring" not in self.options:
            source = without_docstring(source, found.__doc__)
        marks = [mark.strip() for mark in self.options.get("mark", "").split(",") if mark.strip()]
        lines = source.splitlines()
        for mark in marks:
            if not any(mark in line for line in lines):
                raise self.error(f"{name} has no line with {mark}")
        block = nodes.literal_block(source, source, language="python")
        block["highlight_args"] = {
            "hl_lines": [n for n, line in enumerate(lines, 1) if any(m in line for m in marks)]
        }
        caption = nodes.paragraph("", "", nodes.literal(name, name), classes=["source-of"])
        return [caption, block]


def setup(app: Any) -> dict[str, Any]:
    app.add_directive("source-of", SourceOf)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
