"""Tables and figures of the study of virtual widths, from its stored measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from sslth.cnn.gain import sign_gain
from sslth.experiments.figure_style import INK, MARKERS, PALETTE, save_figure, styled, tidy
from sslth.subset_sum.instance import Instance
from sslth.theory.exponents import StructuredWidth
from sslth.theory.floors import first_moment_floor

__all__ = ["Slope", "draw_figures", "error_figure", "floor", "memory_figure", "slope", "tables", "theorem_error"]

Row = dict[str, Any]

_FROM_ROWS_A_DIMENSION = 112  # where the law says 1 / n²
_DEEPEST_FLOOR = 1e-17
_SHAPES = {9: (3, 1), 72: (3, 8), 288: (3, 32)}  # d: side of a 3x3 kernel, output channels


class Slope(NamedTuple):
    """Error ∝ width to this power, with the ends of its interval of confidence 95 %."""

    value: float
    low: float
    high: float
    points: int


def slope(rows: Sequence[Row], fewest: float) -> Slope | None:
    """Least squares in logarithms over all widths from `fewest` on; None for fewer than three points."""
    chosen = [row for row in rows if row["width"] >= fewest and row["error"] > 0]
    if len({row["width"] for row in chosen}) < 3:
        return None
    x, y = np.log([row["width"] for row in chosen]), np.log([row["error"] for row in chosen])
    fit = stats.linregress(x, y)
    half = float(stats.t.ppf(0.975, len(chosen) - 2)) * float(fit.stderr)
    return Slope(float(fit.slope), float(fit.slope) - half, float(fit.slope) + half, len(chosen))


def floor(width: int, d: int) -> float:
    """The first-moment floor, as a relative Euclidean error: 0.0 where it underflows.

    Of the sup norm, over subsets of `width` normally-scaled normal rows, times √(d / 3) over the target's length: the
    Euclidean length of a residual that is uniform in the box.
    """
    length = sign_gain(np.ones(1), 0.0, width, d)
    target = np.full(d, length / math.sqrt(d))
    return first_moment_floor(Instance(np.zeros((width, d)), target), law="nsn") * math.sqrt(d / 3) / length


def theorem_error(width: float, d: int) -> float:
    """The ε for which the theorem's width, constant 1 and exponents (12, 6), is `width`; above 1 it says nothing."""
    side, channels = _SHAPES[d]
    law = StructuredWidth()
    scale = law.constant * side**law.a * channels**law.b
    return side**2 * channels * math.exp(-((width / scale) ** (1 / 3)))


def tables(rows: Sequence[Row]) -> str:
    """All that was measured, in Markdown."""
    parts = [_memory_table(_kind(rows, "memory"), _kind(rows, "plain")), _ticket_table(_kind(rows, "ticket"))]
    parts.append(_error_table(_kind(rows, "error")))
    parts += [_network_lines(row) for row in _kind(rows, "network")]
    return "\n\n".join(part for part in parts if part)


def _kind(rows: Sequence[Row], kind: str) -> list[Row]:
    return [row for row in rows if row["name"].split("-")[0] == kind]


def _memory_table(rows: Sequence[Row], plain: Sequence[Row]) -> str:
    if not rows:
        return ""
    lines = [
        "| width | peak MiB | of that before the search | stated MiB | processor s | ns an entry | relative error |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['width']:,} | {row['peak_bytes'] / 2**20:.0f} | {row['peak_bytes_before'] / 2**20:.0f} "
            f"| {row['stated_bytes'] / 2**20:.0f} | {row['processor_seconds']:.3f} "
            f"| {1e9 * row['processor_seconds'] / (row['width'] * row['d']):.2f} | {row['error']:.1e} |"
        )
    peaks = [row["peak_bytes"] for row in rows]
    lines.append(f"\nLargest peak over smallest: {max(peaks) / min(peaks):.3f}.")
    if len(rows) >= 3:  # what comes on top of the first row's fixed cost, by the width
        first, rest = rows[0], rows[1:]
        more = [
            (row["processor_seconds"] - first["processor_seconds"]) / (row["width"] - first["width"]) for row in rest
        ]
        steps = [f"{1e9 * m:.0f} up to {row['width']:,}" for m, row in zip(more, rest, strict=True)]
        lines.append(f"Nanoseconds for one more row of d = {first['d']}: {', '.join(steps)}.")
    for row in plain:
        lines.append(
            f"Plain generation, ns a float32 normal: NumPy's Philox and standard_normal {row['numpy']:.2f} (float64 "
            f"{row['numpy_float64']:.2f}), torch.randn {row['torch']:.2f}, ours {row['ours']:.2f}; a copy of the same "
            f"bytes {row['copy']:.2f}."
        )
    return "\n".join(lines)


def _ticket_table(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    lines = [
        f"Whole tickets of a linear layer of {rows[0]['blocks']} inputs and {rows[0]['d']} outputs:\n",
        "| width | peak MiB | kept filters | file MB | s to extract | to save | to load and merge | logit error |",
        "|" + "---|" * 8,
    ]
    for row in rows:
        lines.append(
            f"| {row['width']:,} | {row['peak_bytes'] / 2**20:.0f} | {row['kept']:,} | {row['file_bytes'] / 1e6:.1f} "
            f"| {row['extract_seconds']:.1f} | {row['save_seconds']:.2f} | {row['load_and_merge_seconds']:.1f} "
            f"| {row['logit_error']:.1e} |"
        )
    return "\n".join(lines)


def _error_table(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    dimensions = sorted({row["d"] for row in rows})
    lines = [
        "| width | " + " | ".join(f"d = {d}" for d in dimensions) + " |",
        "|" + "---|" * (1 + len(dimensions)),
    ]
    for width in sorted({row["width"] for row in rows}):
        cells = [_mean([row for row in rows if row["d"] == d and row["width"] == width]) for d in dimensions]
        lines.append(f"| {width:,} | " + " | ".join(cells) + " |")
    lines.append("")
    for d in dimensions:
        found = slope([row for row in rows if row["d"] == d], _FROM_ROWS_A_DIMENSION * d)
        if found is not None:
            lines.append(
                f"d = {d}: error ∝ width^{found.value:.3f} ({found.low:.3f} to {found.high:.3f}) from width "
                f"{_FROM_ROWS_A_DIMENSION * d:,} on, {found.points} blocks."
            )
    return "\n".join(lines)


def _mean(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    return f"{math.exp(np.mean([math.log(max(row['error'], 1e-300)) for row in rows])):.1e}"


def _network_lines(row: Row) -> str:
    wide = f"widths {row['widths'][0]:,} to {row['widths'][1]:,}, {row['filters']:,} filters"
    if row.get("is_a_prediction"):
        size = row["bytes_of_the_largest_block"] / 2**20
        lines = [
            f"{row['network']} at {row['wish']:g}, PREDICTED, not extracted: {wide},",
            f"{row['processor_seconds']:.0f} processor seconds, {size:.0f} MiB for the largest block.",
            "",
            "| d | blocks | width | s a block | error by the law | error of the block |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {k['d']:,} | {k['blocks']:,} | {k['width']:,} | {k['seconds_a_block']:.3f} | {k['law']:.1e} "
            f"| {k['error']:.1e} |"
            for k in row["kinds"]
        ]
        return "\n".join(lines)
    return (
        f"{row['network']} at {row['wish']:g}: predicted {row['predicted_error']:.1e}, reached "
        f"{row['reached_on_the_plans_inputs']:.1e} on the plan's inputs, {row['logit_error']:.1e} on held-out images; "
        f"{wide}, {row['kept']:,} kept; {row['seconds']:.0f} s ({row['processor_seconds']:.0f} processor seconds), "
        f"with plan {row['seconds_with_plan']:.0f} s ({row['processor_seconds_with_plan']:.0f}); {row['threads']} "
        f"threads, peak {row['peak_bytes'] / 2**20:.0f} MiB."
    )


def draw_figures(rows: Sequence[Row], folder: Path) -> None:
    """Write memory.png and error.png for what there is."""
    memory, error = _kind(rows, "memory"), _kind(rows, "error")
    if memory:
        save_figure(memory_figure(memory, _kind(rows, "plain")), folder / "memory.png")
    if error:
        save_figure(error_figure(error), folder / "error.png")


@styled
def memory_figure(rows: Sequence[Row], plain: Sequence[Row]) -> Figure:
    """Draw peak memory, and time an entry, against width."""
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    widths = [row["width"] for row in rows]
    d = rows[0]["d"]
    left.plot(widths, [row["peak_bytes"] / 2**20 for row in rows], color=PALETTE[0], marker=MARKERS[0], label="peak")
    all_rows = [8 * 2 * width * d / 2**20 for width in widths]
    left.plot(widths, all_rows, color=PALETTE[1], linestyle="--", label="all rows in float64, for comparison")
    left.set_ylabel("MiB")
    left.set_title("Peak resident memory")
    entry = [1e9 * row["processor_seconds"] / (row["width"] * d) for row in rows]
    right.plot(widths, entry, color=PALETTE[0], marker=MARKERS[0], label="generation and search")
    for row in plain:
        for place, (name, label) in enumerate(
            (
                ("numpy", "NumPy Philox, drawing alone"),
                ("torch", "torch.randn, drawing alone"),
                ("copy", "a copy"),
                ("ours", "our generator, drawing alone"),
            )
        ):
            right.axhline(
                row[name], color=PALETTE[1 + place], linestyle=("--", "-.", ":", (0, (1, 3)))[place], label=label
            )
    right.set_ylabel("processor ns an entry of a row")
    right.set_title("Time")
    for axes in (left, right):
        tidy(axes)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(f"width n (d = {d})")
        axes.set_ylim(top=12 * axes.get_ylim()[1])  # room for the legend
        axes.legend(frameon=False)
    return figure


@styled
def error_figure(rows: Sequence[Row]) -> Figure:
    """Draw the relative error against width, with the first-moment floor and the theorem."""
    figure = Figure(figsize=(9.6, 5.6), layout="constrained")
    axes = figure.subplots()
    largest = max(row["width"] for row in rows)
    for place, d in enumerate(sorted({row["d"] for row in rows})):
        chosen = [row for row in rows if row["d"] == d]
        found = slope(chosen, _FROM_ROWS_A_DIMENSION * d)
        label = f"d = {d}" + ("" if found is None else f", slope {found.value:.2f}")
        means: dict[int, list[float]] = {}
        for row in chosen:
            means.setdefault(row["width"], []).append(math.log(max(row["error"], 1e-300)))
        widths = sorted(means)
        color = PALETTE[place]
        axes.plot(
            widths, [math.exp(np.mean(means[w])) for w in widths], color=color, marker=MARKERS[place], label=label
        )
        lengths = np.unique(np.geomspace(2 * d, 80 * d, 14).astype(int))
        floors = [(int(n), floor(int(n), d)) for n in lengths]
        seen = [(n, value) for n, value in floors if value > _DEEPEST_FLOOR]
        axes.plot(*np.array(seen).T, color=color, linestyle=":", label=f"first-moment floor, d = {d}")
        span = np.geomspace(100, largest, 200)
        axes.plot(span, [min(1.0, theorem_error(n, d)) for n in span], color=color, linestyle="--", linewidth=1.2)
    axes.plot([], [], color=INK, linestyle="--", linewidth=1.2, label="theorem, C = 1 (1 where it says nothing)")
    tidy(axes)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(1e-17, 3)
    axes.set_xlabel("width n")
    axes.set_ylabel("relative error of a block")
    axes.legend(frameon=False, fontsize=9, ncols=2, loc="lower center")
    return figure
