"""Claim 8, the structured theorem for CNNs: the width that random targets need, beside the theorem's polynomial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from sslth.theory.claims.claim import Case, Claim, Effort, Findings, Panel, Parameters, Result, Series, Side, cell_rng
from sslth.theory.exponents import StructuredWidth
from sslth.theory.order_statistics import quantile_interval
from sslth.theory.random_layer_problem import (
    SignedBlocks,
    draw_blocks,
    draw_kernel,
    layer_tolerance,
    rows_needed,
    widths_needed,
)

__all__ = ["CLAIM", "claim"]

NUMBER = 8
Pairs = Sequence[tuple[Parameters, Result]]

EXACT = "meet_in_the_middle"
POLYNOMIAL = "sign_beam"
_MAX_WORK = 2_000_000  # of the polynomial solver, for each call

# c, d, layers, epsilon, rows of each sign, solver, repetitions
_QUICK = (
    (1, 1, 1, 0.1, 24, EXACT, 200),
    (2, 1, 1, 0.1, 26, EXACT, 200),
    (3, 1, 1, 0.1, 36, EXACT, 180),
    (1, 2, 1, 0.25, 34, EXACT, 45),
    (1, 1, 2, 0.1, 24, EXACT, 200),
)
_FULL = (
    (1, 1, 1, 0.1, 24, EXACT, 500),
    (2, 1, 1, 0.1, 28, EXACT, 500),
    (3, 1, 1, 0.1, 38, EXACT, 300),
    (4, 1, 1, 0.1, 40, EXACT, 60),
    (1, 2, 1, 0.1, 40, EXACT, 60),
    (1, 2, 1, 0.25, 38, EXACT, 120),
    (1, 1, 2, 0.1, 28, EXACT, 500),
    (1, 1, 4, 0.1, 28, EXACT, 500),
    (2, 1, 2, 0.1, 32, EXACT, 300),
    (1, 1, 1, 0.1, 64, POLYNOMIAL, 100),
    (2, 1, 1, 0.1, 128, POLYNOMIAL, 100),
    (1, 2, 1, 0.1, 256, POLYNOMIAL, 60),
    (2, 2, 1, 0.1, 1024, POLYNOMIAL, 6),
    (1, 3, 1, 0.1, 1024, POLYNOMIAL, 12),
)
_BATCHES = 8  # of FULL
_KEYS = ("c", "d", "layers", "epsilon", "rows", "solver", "repetitions")


def cells(effort: Effort, seed: int) -> list[dict[str, Any]]:
    """Small networks of several c, d, depths and tolerances; FULL also by a polynomial solver."""
    shapes = _QUICK if effort is Effort.QUICK else _FULL * _BATCHES
    named = [dict(zip(_KEYS, shape, strict=True)) for shape in shapes]
    return [{**cell, "seed": seed, "index": index} for index, cell in enumerate(named)]


def evaluate(parameters: Parameters) -> dict[str, Any]:
    """The smallest width for each random target and network; None where all rows were too few."""
    rng = cell_rng(NUMBER, parameters)
    c, d, layers = parameters["c"], parameters["d"], parameters["layers"]
    drawn = [
        draw_blocks(draw_kernel(c, d, rng), parameters["rows"], layer == 0, rng)  # what follows a ReLU is positive
        for _ in range(parameters["repetitions"])
        for layer in range(layers)
    ]
    blocks = SignedBlocks(*(np.concatenate([getattr(b, name) for b in drawn]) for name in SignedBlocks.__annotations__))
    needed = rows_needed(
        blocks.samples,
        blocks.targets,
        layer_tolerance(c, d, layers, parameters["epsilon"]),
        parameters["solver"],
        None if parameters["solver"] == EXACT else _MAX_WORK,
    )
    widths = widths_needed(blocks, needed).reshape(parameters["repetitions"], -1).max(axis=1)
    return {"widths": [float(width) if math.isfinite(width) else None for width in widths]}


Shape = tuple[int, int, int, float, str]
Measured = tuple[float, tuple[float, float], int]


def judge(pairs: Pairs, confidence: float, a: float, b: float, constant: float | None) -> Findings:
    """The constant that makes the theorem's width the measured one; with a constant given, the width against it."""
    groups = _widths(pairs)
    measured = {shape: _measured(shape, widths, confidence) for shape, widths in groups.items()}
    polynomial = StructuredWidth(a, b)
    cases = []
    if constant is None:
        cases.append(_overall(groups, polynomial, confidence))
    for shape, (estimate, (low, high), draws) in measured.items():
        c, d, layers, epsilon, solver = shape
        unit = polynomial.at(d, c, layers, epsilon)
        here = {"c": c, "d": d, "layers": layers, "epsilon": epsilon, "solver": solver, "a": a, "b": b}
        name = f"c={c}, d={d}, {layers} layer{'s' * (layers > 1)}, ε={epsilon:g}, {_how(solver)}"
        if constant is None:
            ends = (low / unit, high / unit)
            cases.append(Case(f"constant, {name}", estimate / unit, ends, None, None, here, draws))
        else:
            bound = constant * unit
            cases.append(Case(f"width, {name}", estimate, (low, high), bound, Side.AT_MOST, here, draws))
    shown = constant if constant is not None else cases[0].estimate
    note = (
        "One random target for each random network: the theorem wants all targets at once, which may ask for a larger "
        "constant. Every kernel entry gets an equal share of ε; another share may need less width. Exact search shows "
        "what exists, a polynomial solver only what it finds. The smallest shape, whose powers of c and d are 1, sets "
        "the constant; for larger ones the theorem asks for far more than random targets need."
    )
    return Findings(cases, [_width_panel(measured, polynomial, shown), _constant_panel(measured, polynomial)], note)


def _overall(groups: Mapping[Shape, list[float]], polynomial: StructuredWidth, confidence: float) -> Case:
    """The smallest constant that suits every exactly searched shape: the largest of theirs."""
    exact = {shape: widths for shape, widths in groups.items() if shape[-1] == EXACT}
    joint = 1.0 - (1.0 - confidence) / len(exact)  # all their intervals at once
    found = []
    for shape, widths in exact.items():
        c, d, layers, epsilon, _ = shape
        unit = polynomial.at(d, c, layers, epsilon)
        estimate, (low, high), _ = _measured(shape, widths, joint)
        found.append((estimate / unit, low / unit, high / unit))
    estimate, low, high = (max(column) for column in zip(*found, strict=True))
    name = "smallest constant that suits all shapes, random targets"
    draws = min(len(widths) for widths in exact.values())
    return Case(name, estimate, (low, high), None, None, {"a": polynomial.a, "b": polynomial.b}, draws)


def _widths(pairs: Pairs) -> dict[Shape, list[float]]:
    found: dict[Shape, list[float]] = {}
    for parameters, result in pairs:
        c, d, layers, epsilon = (parameters[key] for key in ("c", "d", "layers", "epsilon"))
        widths = [math.inf if width is None else float(width) for width in result["widths"]]
        found.setdefault((c, d, layers, epsilon, parameters["solver"]), []).extend(widths)
    return found


def _measured(shape: Shape, widths: list[float], confidence: float) -> Measured:
    """The width that suffices with probability 1 - ε; a width is at least 1."""
    estimate, (low, high) = quantile_interval(np.maximum(widths, 1.0), 1.0 - shape[3], confidence)
    return estimate, (max(low, 1.0), high), len(widths)


def _how(solver: str) -> str:
    return "exact" if solver == EXACT else f"found by {solver}"


def _width_panel(measured: Mapping[Shape, Measured], polynomial: StructuredWidth, constant: float) -> Panel:
    series = [
        _points(label, shapes, measured, dict.fromkeys(shapes, 1.0)) for label, shapes in _series_of(measured).items()
    ]
    one = sorted((s for s in measured if s[2] == 1 and s[3] == 0.1), key=lambda s: (_dimension(s), s[1]))
    seen = {_dimension(s): s for s in one}  # of shapes with the same dimension the one with the larger d
    x = [float(at) for at in seen]
    theorem = [constant * polynomial.at(s[1], s[0], 1, 0.1) for s in seen.values()]
    counting = [_dimension(s) * math.log2(1.0 / layer_tolerance(s[0], s[1], 1, 0.1)) for s in seen.values()]
    series.append(Series("theorem with the fitted constant, ε=0.1", x, theorem, role="bound"))
    series.append(Series("D log₂(1/tolerance), ε=0.1", x, counting, role="theory"))
    return Panel(
        "Width that suffices with probability 1 − ε",
        "D = c d², entries a filter",
        "width n",
        series,
        log_x=True,
        log_y=True,
    )


def _constant_panel(measured: Mapping[Shape, Measured], polynomial: StructuredWidth) -> Panel:
    units = {s: polynomial.at(s[1], s[0], s[2], s[3]) for s in measured}
    series = [_points(label, shapes, measured, units) for label, shapes in _series_of(measured).items()]
    y_label = f"width / (d{_power(polynomial.a)} c{_power(polynomial.b)} log³(d² c l / ε))"
    return Panel("The constant that each shape needs", "D = c d², entries a filter", y_label, series, True, True)


def _series_of(measured: Mapping[Shape, Measured]) -> dict[str, list[Shape]]:
    """Shapes with a finite width, by depth, tolerance and solver."""
    found: dict[str, list[Shape]] = {}
    for shape in sorted(measured, key=_dimension):
        _, _, layers, epsilon, solver = shape
        label = f"{_how(solver)}, ε={epsilon:g}, {layers} layer{'s' * (layers > 1)}"
        if math.isfinite(measured[shape][0]):
            found.setdefault(label, []).append(shape)
    return found


def _points(
    label: str, shapes: Sequence[Shape], measured: Mapping[Shape, Measured], units: Mapping[Shape, float]
) -> Series:
    x, y, low, high = [], [], [], []
    for shape in shapes:
        estimate, ends, _ = measured[shape]
        x.append(float(_dimension(shape)))
        y.append(estimate / units[shape])
        low.append(ends[0] / units[shape])
        high.append((ends[1] if math.isfinite(ends[1]) else estimate) / units[shape])
    return Series(label, x, y, low, high)


def _power(exponent: float) -> str:
    return f"{exponent:g}".translate(str.maketrans("0123456789.-", "⁰¹²³⁴⁵⁶⁷⁸⁹·⁻"))


def _dimension(shape: Shape) -> int:
    return shape[0] * shape[1] ** 2


def claim(a: float = 12.0, b: float = 6.0, constant: float | None = None) -> Claim:
    """Return the claim that width constant · d^a c^b log³(d² c l / ε) holds tickets, for random targets.

    Parameters
    ----------
    a, b : float
        The exponents of the kernels' side d and of the channels c.
    constant : float, optional
        None: the paper leaves it unnamed, so it is estimated and nothing is decided. Else widths are judged by it.
    """
    return Claim(
        NUMBER,
        "structured CNN theorem",
        f"With width n >= C d^{a:g} c^{b:g} log³(d² c l / ε) a random CNN of 2 l layers holds, by removing filters "
        "alone, with probability at least 1 - ε every target of l layers with ‖K‖₁ <= 1 within ε on inputs in [-1, 1]",
        "da Cunha, d'Amore, Natale 2023, main theorem, arXiv:2311.09858",
        cells,
        evaluate,
        partial(judge, a=a, b=b, constant=constant),
    )


CLAIM = claim()
