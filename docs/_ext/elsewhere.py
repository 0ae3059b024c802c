"""Where references lead that Sphinx cannot resolve by itself, without asking a network.

Docstrings that are inherited from scikit-learn refer to its own pages. Pages in Markdown link to
files of the repository, as they must to be read there: a module of skdnn leads to its highlighted
source on this site, and any other file is a download, which is MyST's own answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import download_reference

SKLEARN = "https://scikit-learn.org/stable"
PAGES = {
    "accuracy_score": f"{SKLEARN}/modules/model_evaluation.html#accuracy-score",
    "r2_score": f"{SKLEARN}/modules/model_evaluation.html#r2-score",
    "metadata_routing": f"{SKLEARN}/metadata_routing.html",
}


def resolve(_app: Any, _env: Any, node: Any, content: nodes.Element) -> nodes.Node | None:
    """Return a link to another project's page for a reference of this site to it."""
    kind, target = node.get("reftype"), node.get("reftarget", "")
    if kind == "term":
        address = f"{SKLEARN}/glossary.html#term-{target.replace('_', '-')}"
    elif target in PAGES:
        address = PAGES[target]
    elif target.startswith("sklearn."):
        address = f"{SKLEARN}/modules/generated/{target}.html"
    else:
        return None
    link = nodes.reference("", "", internal=False, refuri=address)
    link += content
    return link


def to_source(app: Any, doctree: nodes.document, docname: str) -> None:
    """Turn downloads of modules that this site shows the source of into links to it."""
    shown = getattr(app.env, "_viewcode_modules", {})
    package = Path(app.srcdir).parent
    for node in list(doctree.findall(download_reference)):
        path = (Path(app.srcdir) / docname).parent / node["reftarget"]
        try:
            module = ".".join(path.resolve().relative_to(package).with_suffix("").parts)
        except ValueError:
            continue
        if shown.get(module):
            page = app.builder.get_relative_uri(docname, "_modules/" + module.replace(".", "/"))
            link = nodes.reference("", "", internal=True, refuri=page)
            link += node.children
            node.replace_self(link)


def setup(app: Any) -> dict[str, Any]:
    app.connect("missing-reference", resolve)
    app.connect("doctree-resolved", to_source)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
