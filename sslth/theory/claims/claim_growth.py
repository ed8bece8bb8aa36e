"""Claim 2: one more random sample makes the subset sums cover more, by a fixed share of v (1 - v)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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
from sslth.theory.growth import growth_rate
from sslth.theory.interval_unions import IntervalUnion

__all__ = ["CLAIM", "growth_recursion"]

_PROVED = 0.5  # for every measurable set, see sslth.theory.growth
_PROOF = "in every set the near pairs of a covered and an uncovered place are at least half of all, hence growth >= 1/2"
_STEPS = 16
_QUICK = {0.03: (1, 500), 0.01: (1, 500)}  # ε -> cells, paths in each
_FULL = {0.1: (5, 4000), 0.03: (5, 4000), 0.01: (5, 4000), 0.003: (5, 2000)}

Pairs = Sequence[tuple[Parameters, Result]]


def growth_recursion(constant: float = 0.25) -> Claim:
    """Return the claim that E[v'] >= v (1 + constant · (1 - v)), given any past, for one sample X ~ U[-1, 1].

    Given the past, the expectation is an area that is computed without drawing, so that every state that simulated
    samples lead to is a test of its own. Samples that are built against the claim, all next to -1, come nearest to
    it: what they cover is near [-1, w], where the growth is 1/2 exactly. Each state is judged twice: by what is
    covered on the whole line, and by [-1, 1] alone, which is less. What is simulated is only the average over the past.
    """
    return Claim(
        number=2,
        name="growth recursion",
        statement="With f' = f + (1 - f) f(. - X), X ~ U[-1, 1], and v half the length of [-1, 1] that f covers: given "
        f"the past, E[v'] >= v (1 + {'(1 - v)/4' if constant == 0.25 else f'{constant:g} (1 - v)'}).",
        source="da Cunha, d'Amore, Giroire, Lesfari, Natale, Viennot (2023), ESA 2023, doi:10.4230/LIPIcs.ESA.2023.37",
        cells=_cells,
        evaluate=_evaluate,
        judge=partial(_judge, constant),
    )


def _cells(effort: Effort, seed: int) -> list[dict[str, Any]]:
    plan = _QUICK if effort is Effort.QUICK else _FULL
    cells: list[dict[str, Any]] = [{"part": "built", "epsilon": epsilon} for epsilon in plan]
    for epsilon, (batches, paths) in plan.items():
        for _ in range(batches):
            cell = {"part": "paths", "epsilon": epsilon, "paths": paths, "steps": _STEPS}
            cells.append(cell | {"seed": seed, "index": len(cells)})
    return cells


def _evaluate(parameters: Parameters) -> dict[str, Any]:
    epsilon = float(parameters["epsilon"])
    if parameters["part"] == "built":
        return _built(epsilon)
    rng = cell_rng(2, parameters)
    steps, paths = int(parameters["steps"]), int(parameters["paths"])
    lowest: list[list[float] | None] = [None] * steps
    volume = np.zeros(steps + 1)
    gain, room, states = [], [], 0
    for _ in range(paths):
        v = []
        for time, union in enumerate(_path(rng.uniform(-1.0, 1.0, steps), epsilon)):
            part = union.clipped(-1.0, 1.0)
            v.append(part.length / 2)
            if time < steps and not union.covers(-1.0, 1.0):  # nothing is claimed of a covered range
                states += 1
                lowest[time] = _least(lowest[time], [*growth_rate(part), *growth_rate(part, union)])
        volume += v
        gain.append(v[-1] - v[0])
        room.append(sum(x * (1.0 - x) for x in v[:-1]))
    return {"lowest": lowest, "volume": (volume / paths).tolist(), "gain": gain, "room": room, "states": states}


def _path(samples: Any, epsilon: float) -> Iterator[IntervalUnion]:
    """What the sums of the first 0, 1, 2, … samples cover."""
    union = IntervalUnion.around([0.0], epsilon)
    yield union
    for x in samples:
        union = union.grown(float(x))
        yield union


def _built(epsilon: float) -> dict[str, Any]:
    """Samples -1 + ε, -1 + 3ε, …: after w of them [-1, -1 + 2wε] is covered, and little else of [-1, 1]."""
    count = int(0.5 / epsilon)
    states = list(_path(-1.0 + epsilon * (2 * np.arange(count) + 1), epsilon))
    parts = [union.clipped(-1.0, 1.0) for union in states]
    rates = [[*growth_rate(part), *growth_rate(part, union)] for part, union in zip(parts, states, strict=True)]
    lowest = rates[0]
    for rate in rates[1:]:
        lowest = _least(lowest, rate)
    return {"lowest": lowest, "rate": [sum(rate[:2]) / 2 for rate in rates], "states": len(rates)}


def _least(one: list[float] | None, other: list[float]) -> list[float]:
    """The smallest of each end: an enclosure of the smallest of the numbers enclosed."""
    return other if one is None else [min(pair) for pair in zip(one, other, strict=True)]


def _judge(constant: float, pairs: Pairs, confidence: float) -> Findings:
    cases: list[Case] = []
    rates: list[Series] = []
    volumes: list[Series] = []
    for epsilon in sorted({float(parameters["epsilon"]) for parameters, _ in pairs}, reverse=True):
        same = [(p, r) for p, r in pairs if float(p["epsilon"]) == epsilon]
        drawn = [(p, r) for p, r in same if p["part"] == "paths"]
        built = next(r for p, r in same if p["part"] == "built")
        steps = [_smallest([r["lowest"][time] for _, r in drawn]) for time in range(int(drawn[0][0]["steps"]))]
        states = sum(int(r["states"]) for _, r in drawn)
        cases += _state_cases(f"least growth of {states} drawn states", _smallest(steps), constant, epsilon)
        cases += _state_cases(f"least growth of {built['states']} built states", built["lowest"], constant, epsilon)
        cases.append(_average_case(drawn, constant, epsilon, confidence))
        shown = [(time, rate) for time, rate in enumerate(steps) if rate is not None]
        rates.append(
            Series(f"least drawn, ε = {epsilon:g}", [t for t, _ in shown], [(r[0] + r[1]) / 2 for _, r in shown])
        )
        volumes.append(_volume_series(drawn, epsilon, confidence))
    cases.append(_every_set(constant))
    ends = [0.0, float(_STEPS - 1)]
    rates.append(Series("every set (proved)", ends, [_PROVED, _PROVED], role="theory"))
    rates.append(Series(f"claim: {constant:g}", ends, [constant, constant], role="bound"))
    panels = [
        Panel(
            "Growth that the next sample gives, in [-1, 1] alone", "samples before", "(E[v'] - v) / (v (1 - v))", rates
        ),
        Panel("Covered share of [-1, 1]", "samples", "mean of v", volumes),
    ]
    return Findings(
        cases, panels, "For uniform samples; the claim is about the mean of the next step, not about one path."
    )


def _smallest(rates: Sequence[list[float] | None]) -> list[float] | None:
    lowest: list[float] | None = None
    for rate in rates:
        lowest = lowest if rate is None else _least(lowest, rate)
    return lowest


def _state_cases(name: str, ends: list[float] | None, constant: float, epsilon: float) -> list[Case]:
    if ends is None:
        return []
    cases = []
    for where, low, high in (("in [-1, 1] alone", ends[0], ends[1]), ("on the line", ends[2], ends[3])):
        proof = _PROOF if low < constant <= _PROVED else ""
        case = Case(
            f"{name}, {where}",
            (low + high) / 2,
            (low, high),
            constant,
            Side.AT_LEAST,
            {"epsilon": epsilon},
            proof=proof,
        )
        cases.append(case)
    return cases


def _average_case(drawn: Pairs, constant: float, epsilon: float, confidence: float) -> Case:
    """The mean growth over the steps of a path, over the mean of Σ v (1 - v): at least the constant if every step is.

    For the true ratio c the mean of growth - c Σ v (1 - v) is 0, and its values lie in an interval of length
    1 + c · steps / 4: all c that Hoeffding's inequality does not exclude make the interval.
    """
    steps = int(drawn[0][0]["steps"])
    gain = float(np.mean([value for _, result in drawn for value in result["gain"]]))
    room = float(np.mean([value for _, result in drawn for value in result["room"]]))
    paths = sum(int(parameters["paths"]) for parameters, _ in drawn)
    half = _hoeffding_half(paths, confidence)
    sure = room - half * steps / 4.0
    return Case(
        f"mean growth in {steps} drawn steps / mean of v (1 - v)",
        gain / room,
        (max(0.0, gain - half) / (room + half * steps / 4.0), (gain + half) / sure if sure > 0.0 else math.inf),
        constant,
        Side.AT_LEAST,
        {"epsilon": epsilon, "steps": steps},
        paths,
    )


def _hoeffding_half(count: int, confidence: float) -> float:
    """Half the interval of a mean of values from a range of length 1."""
    return math.sqrt(math.log(2.0 / (1.0 - confidence)) / (2.0 * count))


def _every_set(constant: float) -> Case:
    """The infimum over all measurable sets, attained by [-1, 0]."""
    low, high = growth_rate(IntervalUnion.around([-0.5], 0.5))
    return Case(
        "infimum over all sets, attained by [-1, 0]",
        (low + high) / 2,
        (low, high),
        constant,
        Side.AT_LEAST,
        proof=_PROOF if low < constant <= _PROVED else "",
    )


def _volume_series(drawn: Pairs, epsilon: float, confidence: float) -> Series:
    counts = [int(parameters["paths"]) for parameters, _ in drawn]
    mean = np.average([result["volume"] for _, result in drawn], axis=0, weights=counts)
    half = _hoeffding_half(sum(counts), confidence)
    low, high = np.clip(mean - half, 0.0, 1.0), np.clip(mean + half, 0.0, 1.0)
    low[0] = high[0] = mean[0]  # before any sample nothing is random
    return Series(f"ε = {epsilon:g}", list(range(mean.size)), mean.tolist(), low.tolist(), high.tolist())


CLAIM = growth_recursion()
