"""How the documentation site is built: `make docs`. Nothing is fetched while building."""

from __future__ import annotations

import sys
from pathlib import Path

import sslth

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "sslth"
author = "the sslth contributors"
project_copyright = f"2026, {author}"
version = release = sslth.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "docstring_sources",
    "mathml",
    "plain_docstrings",
    "tables_from_code",
]
exclude_patterns = ["_ext", "gallery", "auto_gallery/*.ipynb"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = False  # the pages of docs/api say what stands where
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # signatures stay readable; the docstrings give types with shapes
napoleon_google_docstring = False
napoleon_use_ivar = True  # attributes are described once, in the docstring of their class
napoleon_use_rtype = False
napoleon_custom_sections = ["Buffers"]
smartquotes_action = "qe"  # no dashes: --out is an option
highlight_language = "text"  # of blocks that name none: commands

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": r"\.py$",
    "image_scrapers": ("figure_scraper.scrape_figures",),
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 60,
    "abort_on_example_error": True,
}

html_theme = "furo"
html_title = f"sslth {release}"
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"  # browsers set it themselves: nothing is fetched when a page is read
