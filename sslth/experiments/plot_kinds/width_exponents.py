"""The powers of kernel side, channels, depth and 1/ε in the width that whole networks need, and where they lead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sslth.errors import InvalidInputError
from sslth.experiments.figure_style import INK, MARKERS, PALETTE, styled, tidy
from sslth.experiments.fits import WidthLaw, fit_width_law
from sslth.experiments.plot_kinds.plot_kind import PlotKind, Table
from sslth.experiments.reference_widths import structured_shape
from sslth.experiments.store import Row

__all__ = ["PLOT"]

_FACTORS = ("side", "channels", "depth")
_CURVE = (*_FACTORS, "repetition", "seed")
_WORDS = {"side": "kernel side", "channels": "channels", "depth": "depth", "1/error": "1/ε"}
_THEOREM = {"side": (12.0, 13.0), "channels": (6.0, 6.0)}  # polynomial factors; depth and 1/ε stand in log³
TARGETS = {
    "ResNet-20, its widest part": {"side": 3.0, "channels": 64.0, "depth": 19.0},
    "ResNet-18, its widest part": {"side": 3.0, "channels": 512.0, "depth": 17.0},
}
_ERROR = 0.01
_LIMITS = (
    "a power law fitted to errors up to .1 of small random networks; the intervals know nothing of curvature "
    "(below n = 16 d errors fall faster), of skip connections or of trained kernels"
)


def table(rows: Sequence[Row]) -> Table:
    """One dict a ticket of a random network."""
    points = [
        {key: row.parameters[key] for key in (*_CURVE, "solver")}
        | {"n": row.parameters["width"], "error": row.result["relative_output_error"]}
        for row in rows
        if row.result is not None and row.parameters["target"] == "random"
    ]
    return sorted(points, key=lambda p: tuple(p[key] for key in ("solver", *_CURVE, "n")))


@styled
def draw(points: Table) -> Figure:
    """Left: the fitted exponents and the theorem's. Right: the fit against n, all points, with the extrapolations."""
    laws = _laws(points)
    figure = Figure(figsize=(11.5, 5.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    for number, (solver, law) in enumerate(laws.items()):
        _exponents(left, law, solver, number, len(laws))
        _collapse(right, [p for p in points if p["solver"] == solver], law, solver, number)
    names = list(_WORDS)
    left.set_yticks(range(len(names)), [_WORDS[name] for name in reversed(names)])
    for name, (low, high) in _THEOREM.items():
        at = len(names) - 1 - names.index(name)
        look = {"color": "#CC79A7", "linewidth": 5.0, "solid_capstyle": "butt"}
        left.plot(
            [low - 0.1, high + 0.1], [at, at], label="theorem (others in log³)" if name == "side" else None, **look
        )
    left.set_ylim(-0.6, len(names) - 0.2)
    left.set_xlabel("exponent in the width needed, 95 % interval")
    left.set_title("Powers in the needed width")
    tidy(left)
    left.legend(loc="lower right", fontsize=9)
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_xlabel("width n")
    right.set_ylabel("width of the fitted law for the error of the ticket")
    right.set_title("Law against measurement, and extrapolations to ε = 0.01")
    ends = right.get_xlim()
    right.plot(ends, ends, color=INK, linestyle="--", linewidth=1.0)
    tidy(right)
    right.legend(loc="upper left", fontsize=9)
    return figure


def _exponents(axes: Axes, law: WidthLaw, solver: str, number: int, solvers: int) -> None:
    found = law.exponents()
    names = [name for name in _WORDS if name in found]
    y = [len(_WORDS) - 1 - list(_WORDS).index(name) + 0.18 * (number - (solvers - 1) / 2) for name in names]
    x = np.array([found[name].value for name in names])
    bars = [x - [found[name].low for name in names], [found[name].high for name in names] - x]
    look: dict[str, Any] = {"color": PALETTE[number], "marker": MARKERS[number]}
    axes.errorbar(x, y, xerr=np.maximum(bars, 0.0), linestyle="none", capsize=3, label=solver.replace("_", " "), **look)
    for name, at, height in zip(names, x, y, strict=True):
        axes.text(at, height + 0.08, str(found[name]), fontsize=9, ha="left", va="bottom")


def _collapse(axes: Axes, some: Table, law: WidthLaw, solver: str, number: int) -> None:
    shown = [point for point in some if 0.0 < point["error"] <= 0.1]
    fitted = [law.width_for(point["error"], point).value for point in shown]
    label = solver.replace("_", " ")
    axes.plot(
        [point["n"] for point in shown],
        fitted,
        linestyle="none",
        marker=MARKERS[number],
        color=PALETTE[number],
        label=label,
        markersize=4,
        alpha=0.7,
    )
    for place, (name, factors) in enumerate(TARGETS.items()):
        found = law.width_for(_ERROR, factors)
        theorem = structured_shape(factors["side"], factors["channels"], factors["depth"], _ERROR)
        interval = f"{_count(found.value)} [{_count(found.low)}, {_count(found.high)}]"
        axes.errorbar(
            [found.value],
            [found.value],
            xerr=[[found.value - found.low], [found.high - found.value]],
            color=PALETTE[2 + number + 2 * place],
            marker="*",
            markersize=12,
            capsize=4,
            label=f"{name}: {interval}\n  theorem, C = 1: {theorem:.0e}",
        )


def _count(value: float) -> str:
    return f"{value:,.0f}" if value < 1e6 else f"{value:.1e}"


def summary(points: Table) -> dict[str, Any]:
    """For each solver exponents with intervals, extrapolated widths at ε = .01, and the theorem's least C."""
    found = []
    for solver, law in _laws(points).items():
        some = [p for p in points if p["solver"] == solver and 0.0 < p["error"] <= 0.1]
        constant = max(p["n"] / structured_shape(p["side"], p["channels"], p["depth"], p["error"]) for p in some)
        found.append(
            {
                "solver": solver,
                "exponents": {name: [e.value, e.low, e.high] for name, e in law.exponents().items()},
                "points": law.points,
                "curves": law.curves,
                "fixed": dict(law.fixed),
                "least_constant": constant,
                "extrapolated": [_extrapolated(law, name, constant) for name in TARGETS],
                "limits": _LIMITS,
            }
        )
    return {"laws": found}


def _extrapolated(law: WidthLaw, name: str, constant: float) -> dict[str, Any]:
    factors = TARGETS[name]
    width = law.width_for(_ERROR, factors)
    theorem = structured_shape(factors["side"], factors["channels"], factors["depth"], _ERROR)
    return {
        "target": name,
        "error": _ERROR,
        "width": [width.value, width.low, width.high],
        "theorem_at_one": theorem,
        "theorem_at_least_constant": constant * theorem,
    }


def _laws(points: Table) -> dict[str, WidthLaw]:
    laws = {}
    for solver in sorted({point["solver"] for point in points}):
        some = [point for point in points if point["solver"] == solver]
        laws[solver] = fit_width_law(some, _FACTORS, _CURVE, np.random.default_rng(0))
    if len(laws) > 2:
        raise InvalidInputError(f"{len(laws)} solvers are too many for one figure; draw at most 2")
    return laws


PLOT = PlotKind("width-exponents", ("network_width",), table, draw, summary)
