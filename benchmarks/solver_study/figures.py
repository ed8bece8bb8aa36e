"""Three figures of a study: error against time, bits above the first-moment floor, states a second and the roofline."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter, NullLocator

from benchmarks.solver_study.grid import LAWS, Cell, Contestant, Side
from benchmarks.solver_study.grid import contestants as everybody
from benchmarks.solver_study.results import CellResult, Measured, median
from sslth.experiments.figure_style import INK, MARKERS, PALETTE, styled, tidy

__all__ = ["draw_anytime", "draw_bits", "draw_roofline"]

_PEER_COLOURS = (INK, "#7F7F7F")
_WRAPPED_COLOUR = "#B0A090"
_OURS_BAND, _PEER_BAND = "#B9D7EA", "#E3D3BC"


def _looks(contestants: Iterable[Contestant]) -> dict[Contestant, dict[str, Any]]:
    """A colour, marker and line each: ours in colour with filled markers, the others grey and open."""
    looks: dict[Contestant, dict[str, Any]] = {}
    counts = dict.fromkeys(Side, 0)
    shown = set(contestants)
    for contestant in sorted({*everybody(), *shown}):  # the same look in every figure
        i = counts[contestant.side]
        counts[contestant.side] += 1
        if contestant.side is Side.OURS:
            colour, line, face = PALETTE[i % 6], "-", PALETTE[i % 6]
            marker = MARKERS[(i + i // 6) % 6]
        else:
            is_peer = contestant.side is Side.PEER
            colour, line = _PEER_COLOURS[i // 6 % 2] if is_peer else _WRAPPED_COLOUR, "--" if is_peer else ":"
            marker, face = MARKERS[i % 6], "white"
        looks[contestant] = {
            "color": colour,
            "linestyle": line,
            "marker": marker,
            "markerfacecolor": face,
            "markersize": 4.5,
            "linewidth": 1.1,
        }
    return {contestant: look for contestant, look in looks.items() if contestant in shown}


def _legend(figure: Figure, looks: Mapping[Contestant, Mapping[str, Any]], more: Sequence[Line2D] = ()) -> None:
    handles = [Line2D([], [], label=str(contestant), **look) for contestant, look in looks.items()]
    columns = max(3, int(figure.get_figwidth() / 2.4))
    figure.legend(handles=[*more, *handles], loc="outside lower center", ncols=columns, frameon=False)


def _label(grid: Any, x: str, y: str) -> None:
    """Labels at the left and below the lowest panel of each column: a label of the whole figure hides its legend."""
    for axes in grid[:, 0]:
        axes.set_ylabel(y)
    for column in grid.T:
        shown = [axes for axes in column if axes.axison]
        if shown:
            shown[-1].set_xlabel(x)
            shown[-1].tick_params(labelbottom=True)


# ------------------------------------------------------------------------------------- 1: error against time


@styled
def draw_anytime(measured: Sequence[Measured], law: str, size: str, floors: Mapping[Cell, float]) -> Figure:
    """Median error against median seconds of every contestant, a panel for each n and d.

    Parameters
    ----------
    measured : sequence of Measured
    law : str
    size : "free" or "fixed"
    floors : mapping
        log2 of the first-moment floor.
    """
    of_cell: dict[Cell, list[Measured]] = defaultdict(list)
    for trial in measured:
        cell = trial.problem.cell
        if cell.law == law and (cell.cardinality is None) == (size == "free"):
            of_cell[cell].append(trial)
    rows, columns, place = _places(list(of_cell))
    looks = _looks({who for trials in of_cell.values() for who in _curves(trials)})
    figure = Figure(
        figsize=(max(7.5, 1.0 + 2.6 * columns), 2.2 + 0.25 * len(looks) / 3 + 2.0 * rows),
        layout="constrained",
    )
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
    fastest = min((t.seconds for t in measured if t.seconds > 0), default=1e-3)
    slowest = max((t.seconds for t in measured if t.seconds > 0), default=1.0)
    for axes in grid.flat:
        axes.set_axis_off()
    for cell, where in place.items():
        axes = grid[where]
        axes.set_axis_on()
        axes.set_xscale("log")
        axes.set_xlim(0.6 * fastest, 1.7 * slowest)
        floor = floors.get(cell, math.nan)
        is_drawn = _anytime_panel(axes, of_cell[cell], looks, floor, slowest)
        far_floor = "" if is_drawn or math.isnan(floor) else f", floor $10^{{{floor * math.log10(2):,.0f}}}$"
        axes.set_title(f"n = {cell.n:,}, d = {cell.d}{far_floor}", fontsize=10)
    _label(grid, "wall time, s", "error")
    sizes = "any subset size" if size == "free" else "subsets of n/4 rows"
    figure.suptitle(
        f"Sup-norm error (recomputed) against wall time of the call\n{law} rows, {sizes}; "
        "medians over the instances, a point for each time limit"
    )
    more = [
        Line2D([], [], color=_OURS_BAND, linewidth=5, label="best of ours so far"),
        Line2D([], [], color=_PEER_BAND, linewidth=5, label="best peer so far"),
        Line2D([], [], color=INK, linestyle=(0, (1, 2)), linewidth=1.2, label="first-moment floor"),
    ]
    _legend(figure, looks, more)
    return figure


def _places(cells: Sequence[Cell]) -> tuple[int, int, dict[Cell, tuple[int, int]]]:
    """Rows, columns and where each cell goes: d down and n across, or one after the other if that leaves holes."""
    dimensions, sizes = sorted({cell.d for cell in cells}), sorted({cell.n for cell in cells})
    if 2 * len(cells) > len(dimensions) * len(sizes):
        place = {cell: (dimensions.index(cell.d), sizes.index(cell.n)) for cell in cells}
        return len(dimensions), len(sizes), place
    columns = min(3, len(cells))
    return math.ceil(len(cells) / columns), columns, {cell: divmod(i, columns) for i, cell in enumerate(sorted(cells))}


def _anytime_panel(
    axes: Axes, trials: Sequence[Measured], looks: Mapping[Contestant, Any], log2_floor: float, end: float
) -> bool:
    """Whether the floor was near enough to be drawn."""
    curves = _curves(trials)
    every = [error for points in curves.values() for _, error in points]
    if not every:
        axes.text(0.5, 0.5, "nobody found a subset", transform=axes.transAxes, ha="center", fontsize=9)
        axes.set_yticks([])
        return False
    axes.set_yscale("log")
    low, high = min(every), max(every)
    is_near = math.log2(low) - log2_floor <= max(7.0, math.log2(high / low))
    if is_near:
        low, high = min(low, 2.0**log2_floor), max(high, 2.0**log2_floor)
        axes.axhline(2.0**log2_floor, color=INK, linestyle=(0, (1, 2)), linewidth=1.2, zorder=1)
    room = max((high / low) ** 0.12, 1.3)
    axes.set_ylim(low / room, high * room)
    for side, colour in ((Side.PEER, _PEER_BAND), (Side.OURS, _OURS_BAND)):
        points = sorted(point for who, curve in curves.items() if who.side is side for point in curve)
        if points:
            seconds, errors = zip(*points, strict=True)
            best = np.minimum.accumulate(errors)
            axes.step([*seconds, end], [*best, best[-1]], where="post", color=colour, linewidth=5, zorder=0.6)
    for contestant, points in curves.items():
        axes.plot(*zip(*points, strict=True), **looks[contestant], zorder=3 if contestant.side is Side.OURS else 2)
    _few_decades(axes, low / room, high * room)
    tidy(axes)
    return is_near


def _few_decades(axes: Axes, low: float, high: float) -> None:
    """At most five labels on a log axis, none of them in full decimals beside powers of ten."""
    decades = math.log10(high / low)
    axes.yaxis.set_minor_locator(NullLocator())
    if decades < 1.5:
        places = [
            m * 10.0**e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) for m in (1, 2, 5)
        ]
        places = [place for place in places if low <= place <= high] or [math.sqrt(low * high)]
        axes.yaxis.set_major_locator(FixedLocator(places))
        axes.set_yticks(places, [f"{place:.2g}" for place in places])
    else:
        axes.yaxis.set_major_locator(LogLocator(numticks=5))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _curves(trials: Iterable[Measured]) -> dict[Contestant, list[tuple[float, float]]]:
    """(median seconds, median error) at each time limit; without the limits at which the median found nothing."""
    grouped: dict[tuple[Contestant, float], list[Measured]] = defaultdict(list)
    for trial in trials:
        grouped[trial.contestant, trial.time_limit].append(trial)
    curves: dict[Contestant, list[tuple[float, float]]] = defaultdict(list)
    for contestant, limit in sorted(grouped):
        some = grouped[contestant, limit]
        error = median(trial.error for trial in some)
        if 0.0 < error < math.inf:
            seconds = median(limit if math.isnan(trial.seconds) else trial.seconds for trial in some)
            curves[contestant].append((seconds, error))
    return curves


# ------------------------------------------------------------------------------- 2: bits above the floor


@styled
def draw_bits(results: Sequence[CellResult], size: str, floors: Mapping[Cell, float]) -> Figure:
    """log2(error / floor) of the best of ours and the best peer against n, a panel for each d."""
    shown = [it for it in results if (it.cell.cardinality is None) == (size == "free") and it.cell in floors]
    dimensions = sorted({it.cell.d for it in shown})
    columns = min(4, max(1, len(dimensions)))
    rows = max(1, math.ceil(len(dimensions) / columns))
    figure = Figure(figsize=(max(7.5, 1.0 + 3.2 * columns), 1.9 + 2.9 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
    every = sorted({it.cell.n for it in shown})
    for number, axes in enumerate(grid.flat):
        if number >= len(dimensions):
            axes.set_axis_off()
            continue
        d = dimensions[number]
        axes.set_xscale("log")
        highest = 1.0
        for law in LAWS:
            of_law = sorted((it for it in shown if it.cell.d == d and it.cell.law == law), key=lambda it: it.cell.n)
            for side, look in _BITS_LOOKS.items():
                points = [
                    (it.cell.n, math.log2(standing.error) - floors[it.cell])
                    for it in of_law
                    for standing in [it.ours if side is Side.OURS else it.peer]
                    if standing is not None and standing.error > 0.0
                ]
                if points:
                    highest = max(highest, *(bits for _, bits in points))
                    colour, marker = PALETTE[LAWS.index(law)], MARKERS[LAWS.index(law)]
                    axes.plot(*zip(*points, strict=True), color=colour, marker=marker, **look(colour))
        _bits_axis(axes, highest)
        axes.axhline(0.0, color=INK, linewidth=1.0)
        axes.set_title(f"d = {d}", fontsize=11)
        axes.set_xticks(every, _labels_apart(every))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(every[0] / 1.5, every[-1] * 1.5)
        tidy(axes)
    handles = [
        Line2D([], [], color=PALETTE[i], marker=MARKERS[i], label=f"{law}, {name}", **_BITS_LOOKS[side](PALETTE[i]))
        for side, name in ((Side.OURS, "best of ours"), (Side.PEER, "best peer"))
        for i, law in enumerate(LAWS)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    _label(grid, "rows n", "bits per coordinate\nabove the floor")
    sizes = "any subset size" if size == "free" else "subsets of n/4 rows"
    figure.suptitle(
        f"log₂(median error) − log₂(first-moment floor), {sizes}\n"
        "one sup norm bounds all d coordinates, so the difference is per coordinate already",
        fontsize=11,
    )
    return figure


_BITS_LOOKS: dict[Side, Callable[[str], dict[str, Any]]] = {
    Side.PEER: lambda colour: {
        "linestyle": "--",
        "markerfacecolor": "white",
        "markeredgecolor": colour,
        "markersize": 7,
        "linewidth": 1.2,
    },
    Side.OURS: lambda colour: {"linestyle": "-", "markerfacecolor": colour, "markersize": 4, "linewidth": 1.4},
}


def _bits_axis(axes: Axes, highest: float) -> None:
    """Linear up to a few dozen bits, beyond that linear to 10 and logarithmic above."""
    if highest <= 60.0:
        axes.yaxis.set_major_locator(MaxNLocator(6))
        return
    axes.set_yscale("symlog", linthresh=10.0, linscale=1.0)
    ticks = [0.0, 5.0, *(10.0**e for e in range(1, math.ceil(math.log10(highest)) + 1))]
    axes.set_yticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.yaxis.set_minor_locator(NullLocator())


def _labels_apart(every: Sequence[int]) -> list[str]:
    """Labels for log-spaced ticks; none where the last one is too near."""
    labels, last = [], 0.0
    for n in every:
        far = n >= 2.5 * last or len(every) <= 3
        last = n if far else last
        labels.append("" if not far else f"{n // 1000}k" if n >= 1000 and n % 1000 == 0 else f"{n}")
    return labels


# ------------------------------------------------------------------------------------------- 3: the roofline


@styled
def draw_roofline(measured: Iterable[Measured], references: Mapping[str, Mapping[int, float]]) -> Figure:
    """States a second against states visited, beside sorting as many numbers and copying as many bytes.

    Parameters
    ----------
    measured : iterable of Measured
        Of ours, those that visited at least a thousand states are shown.
    references : mapping
        Entries a second by name and number of float64 or int64 entries.
    """
    shown = [it for it in measured if it.contestant.side is Side.OURS and it.work >= 1000 and it.seconds > 0]
    dimensions = sorted({it.problem.cell.d for it in shown}) or [1]
    looks = {who: look | {"linestyle": "none"} for who, look in _looks({it.contestant for it in shown}).items()}
    columns = min(4, len(dimensions))
    rows = math.ceil(len(dimensions) / columns)
    figure = Figure(figsize=(max(7.5, 1.0 + 3.2 * columns), 2.2 + 3.0 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    largest = max([it.work for it in shown], default=1 << 20)
    for number, axes in enumerate(grid.flat):
        if number >= len(dimensions):
            axes.set_axis_off()
            continue
        d = dimensions[number]
        axes.set_xscale("log")
        axes.set_yscale("log")
        for what, style in _REFERENCE_STYLES.items():
            _reference(axes, references.get(what, {}), 1 if what.startswith("sort") else d, largest, style)
        for contestant, look in looks.items():
            some = [it for it in shown if it.contestant == contestant and it.problem.cell.d == d]
            points = [it.work for it in some], [it.work / it.seconds for it in some]
            axes.plot(*points, **look, alpha=0.8)
        axes.set_title(f"d = {d}", fontsize=11)
        axes.set_xlim(left=500)
        tidy(axes)
    more = [Line2D([], [], label=f"{_REFERENCE_NAMES[what]}", **style) for what, style in _REFERENCE_STYLES.items()]
    _legend(figure, looks, more)
    _label(grid, "states visited\n(partial sums of d numbers)", "states per second")
    figure.suptitle("States per second beside a sort of as many numbers\nand a copy of the same bytes (8·d a state)")
    return figure


_REFERENCE_STYLES: dict[str, dict[str, Any]] = {
    "copy float64": {"color": INK, "linestyle": "-", "linewidth": 2.0},
    "sort int64": {"color": "#7F7F7F", "linestyle": "--", "linewidth": 2.0},
    "sort float64": {"color": "#7F7F7F", "linestyle": "-", "linewidth": 2.0},
}
_REFERENCE_NAMES = {
    "copy float64": "memory copy (8·d bytes a state)",
    "sort int64": "np.sort, int64 (one a state)",
    "sort float64": "np.sort, float64 (one a state)",
}


def _reference(axes: Axes, rates: Mapping[int, float], entries: int, largest: int, style: Mapping[str, Any]) -> None:
    """Rates by states of `entries` numbers; thin where there are more states than were measured."""
    if not rates:
        return
    counts = np.array(sorted(rates), dtype=np.float64)
    speeds = np.array([rates[int(count)] for count in counts]) / entries
    axes.plot(counts / entries, speeds, **style, zorder=1)
    if largest > counts[-1] / entries:
        axes.plot([counts[-1] / entries, largest], [speeds[-1]] * 2, **{**style, "linewidth": 0.8}, zorder=1)
