"""The figures of the frontier study: error against kept filters, of blocks and of a whole network."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sslth.experiments.figure_style import INK, MARKERS, PALETTE, styled, tidy

__all__ = ["block_figure", "network_figure"]


@styled
def block_figure(rows: list[dict[str, Any]], n: int) -> Figure:
    """One panel a dimension: every solver's frontier, and the counting bound."""
    dimensions = sorted({row["d"] for row in rows})
    solvers = list(dict.fromkeys(row["solver"] for row in rows))
    figure = Figure(figsize=(5.2 * len(dimensions) + 0.6, 5.6), layout="constrained")
    panels = figure.subplots(1, len(dimensions), sharey=True, squeeze=False)[0]
    for axes, d in zip(panels, dimensions, strict=True):
        for place, solver in enumerate(solvers):
            some = sorted((r["kept"], r["error"]) for r in rows if r["solver"] == solver and r["d"] == d)
            frontier: list[tuple[int, float]] = []
            for kept, error in some:  # nothing with fewer rows is better
                if kept > 0 and (not frontier or error < frontier[-1][1]):
                    frontier.append((kept, error))
            axes.plot(
                [kept for kept, _ in frontier],
                [error for _, error in frontier],
                color=PALETTE[place],
                marker=MARKERS[place],
                markersize=5,
                label=solver.replace("best_first", "best-first").replace("_", " "),
            )
        counts = np.arange(2, 4 * d)
        bound = [2.0 ** (-k * math.log2(math.e * n / k) / d) for k in counts]
        axes.plot(counts, bound, color=INK, linestyle="--", linewidth=1.4, label="counting, n = 65,536")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(1e-6, 1.0)
        axes.set_title(f"d = {d}")
        axes.set_xlabel("kept filters of a block")
        tidy(axes)
    panels[0].set_ylabel("relative error of the kernel, ‖K̂ − K‖₂ / ‖K‖₂")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


@styled
def network_figure(rows: list[dict[str, Any]]) -> Figure:
    """Logit error and share of unchanged classes against the kept filters of the whole network."""
    figure = Figure(figsize=(9.6, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    kinds = {"few": "best-first pursuit, max_kept", "all": "as many as help"}
    for place, (kind, label) in enumerate(kinds.items()):
        some = sorted((row["kept"], row) for row in rows if (row["max_kept"] is None) == (kind == "all"))
        style: dict[str, Any] = {"color": PALETTE[place], "marker": MARKERS[place], "label": label}
        if kind == "all":
            style["linestyle"] = "none"
        left.plot([kept for kept, _ in some], [row["logit_error"] for _, row in some], **style)
        right.plot([kept for kept, _ in some], [100 * row["same_class"] for _, row in some], **style)
        for kept, row in some:
            said = f"{row['max_kept']}" if row["max_kept"] else f"n = {row['width']:,}"
            left.annotate(said, (kept, row["logit_error"]), (-4, 9), textcoords="offset points", fontsize=9)
    for axes in (left, right):
        tidy(axes)
        axes.set_xscale("log")
        axes.margins(0.12)
        axes.set_xlabel("kept filters of the whole network")
    left.set_yscale("log")
    left.set_ylabel("centred relative logit error")
    right.set_ylabel("same class as the target (%)")
    left.legend(frameon=False, loc="lower left")
    return figure
