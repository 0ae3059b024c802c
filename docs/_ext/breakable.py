"""Names in the text may be broken after their underscores, slashes, dots and colons, if long.

A name of a test has fifty letters and more, and neither a column of a table nor a telephone has
room for that. Shorter names, such as those of parameters, stay whole.
"""

from __future__ import annotations

import re
from typing import Any

# A word of a literal as Sphinx writes it; `&quot;` and its like are one character each.
WORD = re.compile(r'(?<=<span class="pre">)(?:[^<&]|&#?\w+;){25,}(?=</span>)')
AFTER = re.compile(r"(?<=[_/:.=,])(?=\w)")


def allow(_app: Any, _page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Put a mark that shows nothing wherever a long name may be broken."""
    if "body" in context:
        context["body"] = WORD.sub(lambda word: AFTER.sub("<wbr>", word[0]), context["body"])


def setup(app: Any) -> dict[str, Any]:
    app.connect("html-page-context", allow)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
