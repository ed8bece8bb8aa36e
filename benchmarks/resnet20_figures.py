"""The figures of the ResNet-20 study: agreement against width, and the error of every layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from sslth.experiments.figure_style import MARKERS, PALETTE, save_figure, styled, tidy

__all__ = ["agreement_figure", "draw_figures", "layer_figure"]

_LABELS = {"plain": "the target's weights", "means": "mean errors cancelled", "calibrated": "refitted on 512 images"}


def draw_figures(rows: list[dict[str, Any]], folder: Path) -> None:
    """Write agreement.png and layers.png into the folder."""
    if rows:
        save_figure(agreement_figure(rows), folder / "agreement.png")
        save_figure(layer_figure(rows), folder / "layers.png")


@styled
def agreement_figure(rows: list[dict[str, Any]]) -> Figure:
    """Draw logit error, and the share of images whose class changes, against width."""
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, (mode, label) in enumerate(_LABELS.items()):
        chosen = [row for row in rows if row["mode"] == mode]
        if not chosen:
            continue
        style = {"color": PALETTE[place], "marker": MARKERS[place], "label": label}
        widths = [row["width"] for row in chosen]
        left.plot(widths, [row["logit_error"] for row in chosen], **style)
        right.plot(widths, [100 * row["same_class"] for row in chosen], **style)
    ticks = sorted({row["width"] for row in rows})
    for axes in (left, right):
        tidy(axes)
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{width:,}" for width in ticks])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("width n")
    left.set_yscale("log")
    left.set_ylabel("centred relative logit error")
    right.set_ylabel("same class as the target (%)")
    left.legend(title="Aimed at", frameon=False)
    return figure


@styled
def layer_figure(rows: list[dict[str, Any]]) -> Figure:
    """Draw the largest kernel error of every layer, for each width without calibration."""
    figure = Figure(figsize=(9.6, 4.6), layout="constrained")
    axes = figure.subplots()
    chosen = [row for row in rows if row["mode"] == "means"] or rows
    for place, row in enumerate(chosen):
        layers = row["kernel_errors"]
        axes.plot(
            range(len(layers)),
            [layer["error"] for layer in layers.values()],
            color=PALETTE[place % len(PALETTE)],
            marker=MARKERS[place % len(MARKERS)],
            label=f"n = {row['width']:,}",
        )
    names = chosen[0]["kernel_errors"]
    labels = [f"{name} ({layer['d']:.0f})" for name, layer in names.items()]
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right", rotation_mode="anchor", fontsize=8.5)
    axes.set_yscale("log")
    axes.set_xlabel("layer (d)")
    axes.set_ylabel("largest relative kernel error")
    tidy(axes)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
