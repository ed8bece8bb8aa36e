"""d or d³: the rows that half of the instances need, over d, with fitted exponents beside counting and the theorem."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from sslth.errors import InvalidInputError
from sslth.experiments.figure_style import INK, MARKERS, PALETTE, styled, tidy
from sslth.experiments.fits import half_width, median_exponent
from sslth.experiments.plot_kinds.plot_kind import PlotKind, Table
from sslth.experiments.reference_widths import counting_epsilon, counting_width, mrss_shape
from sslth.experiments.store import Row
from sslth.theory.order_statistics import median_interval

__all__ = ["PLOT"]

_CONFIDENCE = 0.99
_SERIES = ("law", "target", "epsilon")
_FEWEST_ROWS = 2.0
_COORDINATE = {"corner": 1.0, "zero": 0.0}


def table(rows: Sequence[Row]) -> Table:
    """One dict an instance: its smallest n, None where n_max rows were proved too few; counting beside it."""
    points = []
    for row in rows:
        if row.result is None:
            continue
        p = row.parameters
        coordinate = {"coordinate": _COORDINATE[p["target"]]} if p["target"] in _COORDINATE else {}
        counted = counting_width(p["law"], p["d"], p["epsilon"], **coordinate)
        shared = {key: p[key] for key in (*_SERIES, "d", "n_max", "seed")}
        shared |= {"open": row.result["open"], "counting": counted}
        points += [shared | {"instance": i, "smallest_n": n} for i, n in enumerate(row.result["smallest"])]
    keys = (*_SERIES, "d", "seed", "n_max", "instance")
    return sorted(points, key=lambda point: tuple(str(point[k]) if k in _SERIES else point[k] for k in keys))


@styled
def draw(points: Table) -> Figure:
    """Left: n over d on log axes. Right: the fitted exponents, of counting and theorem over the same d too."""
    groups = _groups(points)
    if len(groups) > len(PALETTE):
        raise InvalidInputError(f"{len(groups)} series are too many for one figure; draw at most {len(PALETTE)}")
    figure = Figure(figsize=(11.0, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    fits = summary(points)["series"]
    for number, ((name, some), fit) in enumerate(zip(groups.items(), fits, strict=True)):
        _medians(left, some, number, f"{name[0]} rows, ε = {name[2]:g}")
        _exponents(right, fit, len(groups) - 1 - number, number)
    ds = sorted({point["d"] for point in points})
    left.set_xscale("log")
    left.set_yscale("log")
    left.xaxis.set_major_locator(FixedLocator(ds))
    left.xaxis.set_minor_locator(NullLocator())
    left.set_xticks(ds, [str(d) for d in ds])
    ticks = [n for n in (2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000) if left.get_ylim()[0] <= n <= left.get_ylim()[1]]
    left.yaxis.set_minor_locator(NullLocator())
    left.set_yticks(ticks, [str(n) for n in ticks])
    left.set_xlabel("dimension d")
    left.set_ylabel("rows n with which half of the instances hit")
    left.set_title("Smallest n, exact search, 99 % bars")
    tidy(left)
    left.legend(loc="upper left", fontsize=9)
    right.set_yticks(range(len(groups)), [f"ε = {name[2]:g}" for name in reversed(groups)])
    right.set_ylim(-0.6, len(groups) - 0.2)
    right.set_xlim(0.0, 4.0)
    right.axvline(3.0, color="#CC79A7", linestyle=":", linewidth=2.0, label="theorem's power 3")
    right.set_xlabel("exponent of d, 95 % interval")
    right.set_title("Fitted exponent over these d")
    tidy(right)
    right.legend(loc="upper right", fontsize=9)
    return figure


def _medians(axes: Axes, some: Table, number: int, label: str) -> None:
    by_d = _by_dimension(some)
    ds = sorted(by_d)
    middle = np.array([half_width(by_d[d]) for d in ds])
    ends = [median_interval(by_d[d], _CONFIDENCE)[1] for d in ds]
    cap = max(point["n_max"] for point in some)
    low = [min(m, max(0.0, a)) for m, (a, _) in zip(middle, ends, strict=True)]
    high = [max(m, min(cap, b)) for m, (_, b) in zip(middle, ends, strict=True)]
    bars = [middle - low, high - middle]
    look: dict[str, Any] = {"color": PALETTE[number], "marker": MARKERS[number]}
    axes.errorbar(ds, middle, yerr=bars, capsize=2, linestyle="none", label=label, **look)
    law, target, epsilon = (some[0][key] for key in _SERIES)
    coordinate = _COORDINATE.get(target, 1.0 / math.sqrt(3.0))
    fine = list(range(ds[0], ds[-1] + 1))
    counted = [_smooth_counting(law, d, epsilon, coordinate) for d in fine]
    axes.plot(
        fine, counted, color=look["color"], linestyle="--", linewidth=1.5, label="counting" if not number else None
    )
    constant = max(n / mrss_shape(d, epsilon) for d, n in zip(ds, middle, strict=True))
    theorem = [(d, constant * mrss_shape(d, epsilon)) for d in fine if constant * mrss_shape(d, epsilon) <= 1200]
    axes.plot(
        [d for d, _ in theorem],
        [n for _, n in theorem],
        color=look["color"],
        linestyle=":",
        linewidth=1.5,
        label="theorem's formula, least C" if not number else None,
    )


def _smooth_counting(law: str, d: int, epsilon: float, coordinate: float) -> float:
    """The counting width, interpolated between whole n so that its line does not step."""
    n = counting_width(law, d, epsilon, coordinate=coordinate)
    if n < 2:
        return float(n)
    above, below = (math.log(counting_epsilon(law, at, d, coordinate=coordinate)) for at in (n - 1, n))
    return n - (below - math.log(epsilon)) / (below - above)


def _exponents(axes: Axes, fit: dict[str, Any], place: int, number: int) -> None:
    value, (low, high) = fit["exponent"], fit["interval"]
    axes.errorbar(
        [value], [place], xerr=[[value - low], [high - value]], color=PALETTE[number], marker=MARKERS[number], capsize=4
    )
    axes.plot([fit["counting_exponent"]], [place], color=INK, marker="|", markersize=18, markeredgewidth=2)
    axes.plot([fit["theorem_exponent"]], [place], color="#CC79A7", marker="|", markersize=18, markeredgewidth=2)
    bars = f"bars: counting {fit['counting_exponent']:.2f}, theorem {fit['theorem_exponent']:.2f}"
    text = f"{value:.2f} [{low:.2f}, {high:.2f}];  {bars}"
    axes.text(0.1, place + 0.22, text, fontsize=9)


def summary(points: Table) -> dict[str, Any]:
    """For each series exponents with intervals, and a sentence that places the truth between counting and theorem."""
    found = []
    for name, some in _groups(points).items():
        by_d, counted = _by_dimension(some), {point["d"]: float(point["counting"]) for point in some}
        _law, target, epsilon = name
        coordinate = _COORDINATE.get(target, 1.0 / math.sqrt(3.0))
        smooth = {d: _smooth_counting(name[0], d, epsilon, coordinate) for d in by_d}
        exponent = median_exponent(by_d, np.random.default_rng(0))
        excess = median_exponent(by_d, np.random.default_rng(0), reference=smooth)
        fit = dict(zip(_SERIES, name, strict=True)) | {
            "half": {str(d): half_width(values) for d, values in by_d.items()},
            "counting": {str(d): n for d, n in counted.items()},
            "exponent": exponent.value,
            "interval": [exponent.low, exponent.high],
            "beyond_counting": excess.value,
            "beyond_counting_interval": [excess.low, excess.high],
            "counting_exponent": _slope(smooth),
            "theorem_exponent": _slope({d: mrss_shape(d, epsilon) for d in by_d}),
            "least_constant": max(half_width(v) / mrss_shape(d, epsilon) for d, v in by_d.items()),
            "open": sum({(p["d"], p["seed"]): p["open"] for p in some}.values()),
        }
        found.append(fit | {"sentence": _sentence(fit, sorted(by_d))})
    return {"series": found}


def _sentence(fit: dict[str, Any], ds: list[int]) -> str:
    low, high = fit["beyond_counting_interval"]
    below, above = fit["interval"]
    return (
        f"At ε = {fit['epsilon']:g}, d = {ds[0]} to {ds[-1]}, the n that half of the instances need grows like "
        f"d^{fit['exponent']:.2f} (95 %: {below:.2f} to {above:.2f}); counting alone asks for "
        f"d^{fit['counting_exponent']:.2f}, the theorem's formula for d^{fit['theorem_exponent']:.2f}. The excess over "
        f"counting is d^{fit['beyond_counting']:.3f} ({low:.3f} to {high:.3f})."
    )


def _slope(values: dict[int, float]) -> float:
    x, y = np.log(list(values)), np.log(list(values.values()))
    return float(np.polyfit(x, y, 1)[0])


def _by_dimension(some: Table) -> dict[int, list[float]]:
    """The smallest n of each d; without those d for which a row or none is enough: no power of d holds there."""
    by_d: dict[int, list[float]] = {}
    for p in some:
        n = math.inf if p["smallest_n"] is None else float(p["smallest_n"])
        by_d.setdefault(p["d"], []).append(n)
    return {d: values for d, values in sorted(by_d.items()) if half_width(values) >= _FEWEST_ROWS}


def _groups(points: Table) -> dict[tuple[Any, ...], Table]:
    groups: dict[tuple[Any, ...], Table] = {}
    for point in points:
        groups.setdefault(tuple(point[key] for key in _SERIES), []).append(point)
    return groups


PLOT = PlotKind("exponents", ("smallest_n",), table, draw, summary)
