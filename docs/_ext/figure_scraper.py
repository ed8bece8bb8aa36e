"""Lets the gallery show the figures of scripts: matplotlib figures that are global names, made without pyplot."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

from sslth.experiments.figure_style import save_figure

_SHOWN = "_figures_that_are_shown"


def scrape_figures(_block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save the figures that a block of a script has made, each once, and return the text that shows them."""
    names = block_vars["example_globals"]
    shown = names.setdefault(_SHOWN, [])
    pictures = []
    for figure in [value for value in names.values() if isinstance(value, Figure)]:
        if any(figure is other for other in shown):
            continue
        shown.append(figure)
        path = next(block_vars["image_path_iterator"])
        save_figure(figure, path, dpi=150.0)
        pictures.append(path)
    return figure_rst(pictures, gallery_conf["src_dir"])
