"""Claim 3: a random product, kept half the time, is uniform with probability (ln 2)/4."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from sslth.theory.claims.claim import (
    Case,
    Claim,
    Effort,
    Findings,
    Panel,
    Parameters,
    Result,
    Series,
    Side,
    cell_rng,
)
from sslth.theory.intervals import clopper_pearson

__all__ = ["CLAIM", "product_density", "product_lemma"]

_MASS = math.log(2.0) / 4.0
_EDGE = 0.5  # of the uniform law that is contained
_NODES = 1 << 16
_QUICK, _FULL, _BATCH = 400_000, 20_000_000, 2_000_000

Pairs = Sequence[tuple[Parameters, Result]]


def product_density(z: float) -> tuple[float, float]:
    r"""Return an enclosure of the density at z != 0 of XY, X ~ U[0, 1] and Y ~ U[-1, 1] independent.

    It is the integral of 1/(2x) over |z| <= x <= 1. The integrand is convex: the midpoint rule lies below, the
    trapezoid rule above, and both are widened by their rounding. O(65,536); the two are 1e-10 apart at z = 1/2.

    Examples
    --------
    >>> low, high = product_density(0.5)
    >>> low < math.log(2) / 2 < high < low + 1e-10
    True
    """
    edge = abs(z)
    if edge >= 1.0:
        return 0.0, 0.0
    # nodes in geometric progression keep the error of each cell alike where 1/x is steep
    nodes = np.geomspace(edge, 1.0, _NODES + 1)
    nodes[0], nodes[-1] = edge, 1.0
    widths = np.diff(nodes)
    middle = 1.0 / (nodes[1:] + nodes[:-1])
    ends = 0.25 * (1.0 / nodes[1:] + 1.0 / nodes[:-1])
    rounding = 1e-12  # of 65,536 positive terms, each off by some 1e-16 of itself, and their sum
    return float(widths @ middle) * (1.0 - rounding), float(widths @ ends) * (1.0 + rounding)


def product_lemma(mass: float = _MASS) -> Claim:
    """Return the claim that U[-1/2, 1/2] is contained in the half-half mixture of δ_0 and XY with the given mass.

    Contained with mass p means: off zero the mixture's density is at least p on [-1/2, 1/2]. It is an integral that
    shrinks as |z| grows, so that the edge |z| = 1/2 decides; there it equals (ln 2)/4. Draws test the same in bins.
    """
    return Claim(
        number=3,
        name="product lemma",
        statement="For independent X ~ U[0, 1] and Y ~ U[-1, 1] the half-half mixture of the point mass at 0 and "
        f"the law of XY contains Uniform[-1/2, 1/2] with mass {'(ln 2)/4 = ' if mass == _MASS else ''}{mass:.6g}.",
        source="Pensia, Rajput, Nagle, Vishwakarma, Papailiopoulos (2020), Corollary 1, arXiv:2006.07990",
        cells=_cells,
        evaluate=_evaluate,
        judge=partial(_judge, mass),
    )


def _cells(effort: Effort, seed: int) -> list[dict[str, Any]]:
    draws, bins = (_QUICK, 6) if effort is Effort.QUICK else (_FULL, 20)
    cells: list[dict[str, Any]] = [{"part": "integral", "points": 50}]
    for index in range(math.ceil(draws / _BATCH)):
        cells.append({"part": "draws", "bins": bins, "draws": min(_BATCH, draws), "seed": seed, "index": index})
    return cells


def _evaluate(parameters: Parameters) -> dict[str, Any]:
    if parameters["part"] == "integral":
        z = (_EDGE * np.arange(1, int(parameters["points"]) + 1) / int(parameters["points"])).tolist()
        ends = [product_density(value) for value in z]
        return {"z": z, "low": [low / 2 for low, _ in ends], "high": [high / 2 for _, high in ends]}
    rng = cell_rng(3, parameters)
    draws = int(parameters["draws"])
    product = rng.random(draws) * rng.uniform(-1.0, 1.0, draws)
    mixture = np.where(rng.random(draws) < 0.5, product, np.nan)  # nan: the point mass, which is in no bin
    counts, _ = np.histogram(mixture[~np.isnan(mixture)], bins=int(parameters["bins"]), range=(-_EDGE, _EDGE))
    return {"counts": counts.tolist()}


def _judge(mass: float, pairs: Pairs, confidence: float) -> Findings:
    integral = next(result for parameters, result in pairs if parameters["part"] == "integral")
    batches = [(parameters, result) for parameters, result in pairs if parameters["part"] == "draws"]
    draws = sum(int(parameters["draws"]) for parameters, _ in batches)
    counts = np.sum([result["counts"] for _, result in batches], axis=0)
    edges = np.round(np.linspace(-_EDGE, _EDGE, counts.size + 1), 12).tolist()
    width = 2 * _EDGE / counts.size
    cases = [_edge_case(mass, integral)]
    for start, end, count in zip(edges[:-1], edges[1:], counts.tolist(), strict=True):
        low, high = clopper_pearson(count, draws, confidence)
        cases.append(
            Case(
                f"density of draws in [{start:.3g}, {end:.3g}]",
                count / draws / width,
                (low / width, high / width),
                mass,
                Side.AT_LEAST,
                {"bin": [start, end]},
                draws,
            )
        )
    note = "Draws compare bins, not points: a dip narrower than a bin would escape them, though not the integral."
    return Findings(cases, [_panel(mass, integral, cases[1:])], note)


def _panel(mass: float, integral: Result, drawn: Sequence[Case]) -> Panel:
    """Both signs over |z|: the law is symmetric, and its density has no value at 0."""
    series = []
    for label, sign in (("draws, z < 0", -1), ("draws, z > 0", 1)):
        side = sorted(
            ((abs(sum(case.parameters["bin"]) / 2), case) for case in drawn if _sign(case) == sign),
            key=lambda pair: pair[0],
        )
        low, high = [case.interval[0] for _, case in side], [case.interval[1] for _, case in side]
        series.append(Series(label, [z for z, _ in side], [case.estimate for _, case in side], low, high))
    series.append(Series("integral", list(integral["z"]), list(integral["low"]), role="theory"))
    series.append(Series(f"mass {mass:.4g} of U[-1/2, 1/2]", [0.0, _EDGE], [mass, mass], role="bound"))
    return Panel("Half-half mixture of a point mass at 0 and XY, means over bins", "|z|", "density off zero", series)


def _sign(case: Case) -> int:
    return 1 if sum(case.parameters["bin"]) > 0.0 else -1


def _edge_case(mass: float, integral: Result) -> Case:
    """The least density over [-1/2, 1/2]: at its edge, because the range of the integral shrinks as |z| grows."""
    low, high = float(integral["low"][-1]), float(integral["high"][-1])
    equal = "the integral of 1/(4x) from 1/2 to 1 is exactly (ln 2)/4, and it is larger for smaller |z|"
    return Case(
        "least density, by integration",
        (low + high) / 2,
        (low, high),
        mass,
        Side.AT_LEAST,
        {"z": _EDGE},
        proof=equal if mass <= _MASS else "",
    )


CLAIM = product_lemma()
