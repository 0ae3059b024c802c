"""The configuration of the site: `sphinx-build -W --keep-going docs build/site` makes it."""

from __future__ import annotations

import os
import sys
from importlib.resources import files
from pathlib import Path

import matplotlib

HERE = Path(__file__).parent
ROOT = HERE.parent
# The directives of this site, and `tests.paper`, the specification that some pages show.
sys.path[:0] = [str(HERE / "_ext"), str(ROOT)]
# The pictures are of small fits, which more threads would only slow down.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
matplotlib.use("Agg")

import skdnn  # noqa: E402  (the path and the threads are set first)

# Where the site will be read. There is no such place yet; pyproject.toml has it once more.
ADDRESS = "https://skdnn.example.org"

project = "skdnn"
author = "skdnn developers"
copyright = "skdnn developers, BSD-3-Clause"
version = release = skdnn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "matplotlib.sphinxext.plot_directive",
    "breakable",
    "elsewhere",
    "parameter_groups",
    "plain_docstrings",
    "source_of",
]
nitpicky = True
smartquotes = False  # values are shown as they are typed
templates_path = ["_templates"]

# ---------------------------------------------------------------- pages in Markdown
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# ---------------------------------------------------------------- formulas
# MathJax as one file that loads no other: pages are typeset without a network.
mathjax_file = files("sphinx-mathjax-offline") / "static" / "mathjax" / "tex-svg.js"
mathjax_path = "tex-svg.js"

# ---------------------------------------------------------------- the reference
autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say more: shapes, units, choices
toc_object_entries_show_parents = "hide"
autodoc_member_order = "groupwise"
numpydoc_show_class_members = False  # the templates list them, inherited ones too
numpydoc_xref_param_type = False
default_role = "literal"  # docstrings put names between single backticks

# ---------------------------------------------------------------- pictures
plot_formats = [("png", 144)]
plot_html_show_formats = False
plot_html_show_source_link = False
plot_include_source = False
plot_rcparams = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "figure.constrained_layout.use": True,
}
plot_basedir = str(HERE)

sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "gallery",
    "filename_pattern": r"plot_\w+\.py",
    "reset_modules": ("matplotlib", "strict_examples.reset"),
    "reset_modules_order": "both",
    "abort_on_example_error": True,
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("skdnn",),
    "reference_url": {"skdnn": None},
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 5,
    "write_computation_times": False,
    "image_srcset": ["2x"],
    "download_all_examples": False,
}

# ---------------------------------------------------------------- how it looks
html_theme = "pydata_sphinx_theme"
html_title = "skdnn"
html_baseurl = ADDRESS
html_static_path = ["_static", str(mathjax_file)]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {
        "image_light": "_static/icon.svg",
        "image_dark": "_static/icon.svg",
        "text": f"skdnn {release}",
        "alt_text": "skdnn, to the first page",
    },
    "header_links_before_dropdown": 6,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": False,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": []}
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_favicon = "_static/icon.svg"
