"""Claim 4: the uniform law is sum-bounded: √k times the density of a sum of k stays between two constants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from sslth.theory.claims.claim import Case, Claim, Effort, Findings, Panel, Parameters, Result, Series, Side
from sslth.theory.irwin_hall import scaled_edge, scaled_peak
from sslth.theory.irwin_hall_limit import excess_beyond, limit

__all__ = ["CLAIM", "sum_bounded"]

_UPPER = math.sqrt(0.5)
_LOWER = limit(1.0)
_ROUNDING = 1e-15  # of `limit`, relative
_QUICK, _FULL, _BATCH = 100, 400, 50

Pairs = Sequence[tuple[Parameters, Result]]


def sum_bounded(upper: float = _UPPER, lower: float = _LOWER) -> Claim:
    """Return the claim that lower/√k <= f_k(x) for |x| <= √k, and f_k <= upper/√k, of the sum of k U[-1, 1].

    f_k is even and log-concave, so that 0 and √k decide. Up to some k both values are exact fractions (at √k between
    two of them), beyond it all k are bounded at once. Nothing is drawn: the answer is a proof for every k.
    """
    return Claim(
        number=4,
        name="sum-bounded densities",
        statement="The density of a sum of k independent U[-1, 1] is at least c_l/sqrt(k) on [-sqrt(k), sqrt(k)] and "
        f"at most c_u/sqrt(k) everywhere, with c_l = {lower:.6g} and c_u = {upper:.6g}.",
        source="Natale, Ferre, Giambartolomei, Giroire, Mallmann-Trenn (2024), Definition 1, arXiv:2410.14754",
        cells=_cells,
        evaluate=_evaluate,
        judge=partial(_judge, upper, lower),
    )


def _cells(effort: Effort, _seed: int) -> list[dict[str, Any]]:
    last = _QUICK if effort is Effort.QUICK else _FULL
    cells: list[dict[str, Any]] = [
        {"part": "exact", "first": first, "last": min(last, first + _BATCH - 1)} for first in range(1, last + 1, _BATCH)
    ]
    return [*cells, {"part": "beyond", "first": last}]


def _evaluate(parameters: Parameters) -> dict[str, Any]:
    first = int(parameters["first"])
    if parameters["part"] == "beyond":
        return {"peak": list(excess_beyond(first, 0.0)), "edge": list(excess_beyond(first, 1.0))}
    sizes = range(first, int(parameters["last"]) + 1)
    return {"peak": [list(scaled_peak(k)) for k in sizes], "edge": [list(scaled_edge(k)) for k in sizes]}


def _judge(upper: float, lower: float, pairs: Pairs, _confidence: float) -> Findings:
    exact = sorted(((p, r) for p, r in pairs if p["part"] == "exact"), key=lambda pair: pair[0]["first"])
    beyond = next(result for parameters, result in pairs if parameters["part"] == "beyond")
    peaks = [tuple(ends) for _, result in exact for ends in result["peak"]]
    edges = [tuple(ends) for _, result in exact for ends in result["edge"]]
    last = len(peaks)
    at = max(range(last), key=lambda i: peaks[i][1])
    least = min(range(last), key=lambda i: edges[i][0])
    attained = "at k = 2 the largest density is 1/2, and sqrt(2)/2 is 1/sqrt(2)"
    cases = [
        _case(
            f"largest sqrt(k) f(0), k <= {last}",
            peaks[at],
            (upper, Side.AT_MOST, at + 1),
            attained if at == 1 and upper**2 >= 0.5 - 1e-15 else "",
        ),
        _case(f"least sqrt(k) f(sqrt(k)), k <= {last}", edges[least], (lower, Side.AT_LEAST, least + 1), ""),
        _peak_beyond(beyond["peak"], last, upper),
        _edge_beyond(beyond["edge"], last, lower),
    ]
    note = (
        "The upper constant is attained at k = 2; the lower one is a limit from above, attained nowhere. "
        "Uniform samples only."
    )
    return Findings(cases, _panels(peaks, edges, upper, lower), note)


def _case(name: str, ends: tuple[float, ...], bound: tuple[float, Side, int], proof: str) -> Case:
    low, high = ends
    number, side, k = bound
    return Case(name, (low + high) / 2, (low, high), number, side, {"k": k, "law": "uniform"}, proof=proof)


def _peak_beyond(excess: Sequence[float], last: int, upper: float) -> Case:
    """The supremum over k > last: at least the limit, and above it by no more than the excess."""
    low, high = limit(0.0) * (1.0 - _ROUNDING), limit(0.0) * (1.0 + _ROUNDING) + max(0.0, excess[1]) / last
    return _case(f"supremum of sqrt(k) f(0), k > {last}", (low, high), (upper, Side.AT_MOST, last + 1), "")


def _edge_beyond(excess: Sequence[float], last: int, lower: float) -> Case:
    """The infimum over k > last: at most the limit, and below it by no more than the excess."""
    low, high = limit(1.0) * (1.0 - _ROUNDING) + min(0.0, excess[0]) / last, limit(1.0) * (1.0 + _ROUNDING)
    above = f"for every k >= {last} it exceeds its limit sqrt(3) phi(sqrt(3)) by at least {excess[0]:.3g}/k"
    proof = above if excess[0] > 0.0 and lower <= _LOWER else ""
    return _case(f"infimum of sqrt(k) f(sqrt(k)), k > {last}", (low, high), (lower, Side.AT_LEAST, last + 1), proof)


def _panels(
    peaks: Sequence[tuple[float, ...]], edges: Sequence[tuple[float, ...]], upper: float, lower: float
) -> list[Panel]:
    shown = sorted({min(len(peaks), round(1.13**step)) for step in range(60)})  # spread evenly over a log axis
    span = [1.0, float(len(peaks))]

    def panel(title: str, values: Sequence[tuple[float, ...]], bound: tuple[str, float], place: float) -> Panel:
        series = [
            Series("exact", [float(k) for k in shown], [sum(values[k - 1]) / 2 for k in shown]),
            Series(f"limit {limit(place):.5f}", span, [limit(place)] * 2, role="theory"),
            Series(f"{bound[0]} = {bound[1]:.5f}", span, [bound[1]] * 2, role="bound"),
        ]
        return Panel(title, "k", "√k × density", series, log_x=True)

    return [
        panel("Largest density of a sum of k U[-1, 1]", peaks, ("c_u", upper), 0.0),
        panel("Density at √k", edges, ("c_l", lower), 1.0),
    ]


CLAIM = sum_bounded()
