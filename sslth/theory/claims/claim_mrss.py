"""Claim 6: d³ log(1/ε) (log(1/ε) + log d) samples have a subset sum near every target; how many are needed?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from sslth.theory.claims.claim import Case, Claim, Effort, Findings, Panel, Parameters, Result, Series, Side, cell_rng
from sslth.theory.claims.smallest_errors import (
    Setting,
    collected,
    draw_samples,
    frequency_within,
    largest_constant,
    smallest_errors,
)

__all__ = ["CLAIM", "multidimensional_samples"]

FloatArray = npt.NDArray[np.float64]
Pairs = Sequence[tuple[Parameters, Result]]
Size = tuple[float, tuple[float, float]]

_PROBABILITY = 0.5
_EPSILON = 0.1  # at which the growth with d is looked at
_LARGEST_EPSILON = 0.5  # the constant is asked for at no larger one: log(1/ε) must not vanish
_TARGETS = 16
# d -> least and greatest n, repetitions, and their number in one cell
_QUICK = {1: (2, 12, 500, 500), 2: (4, 17, 500, 500), 3: (9, 22, 200, 50)}
_FULL = {
    1: (2, 15, 10_000, 2000),
    2: (4, 19, 5000, 500),
    3: (9, 23, 2000, 250),
    4: (15, 27, 600, 50),
    5: (21, 33, 60, 5),
}
_KINDS = {"one": "one random target", "all": f"{_TARGETS} targets at once"}


def multidimensional_samples(exponent: float = 3.0, constant: float | None = None) -> Claim:
    """Return the claim on multidimensional random subset sums (MRSS).

    Parameters
    ----------
    exponent : float
        Claimed of d: the number of samples that are needed at one ε grows no faster than d to this power.
    constant : float, optional
        C of n = C d³ log(1/ε) (log(1/ε) + log d). The paper leaves it unnamed: None estimates the smallest one that
        the draws bear.

    Notes
    -----
    The rows of one draw serve every n, so that further rows never hurt. Hence the interval of the smallest n misses
    it only if the Clopper-Pearson interval fails at that n itself or at the one before it.
    """
    return Claim(
        number=6,
        name="samples for multidimensional subset sums",
        statement=f"n = O(d^{exponent:g} log(1/epsilon) (log(1/epsilon) + log d)) standard normal vectors have, with "
        "high probability, a subset sum within epsilon of every z in [-1, 1]^d"
        + (f", the constant being {constant:g}" if constant is not None else "")
        + ".",
        source="Becchetti, da Cunha, Clementi, d'Amore, Lesfari, Natale, Trevisan (2022), arXiv:2207.13944",
        cells=_cells,
        evaluate=_evaluate,
        judge=partial(_judge, exponent, constant),
    )


def _cells(effort: Effort, seed: int) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = []
    for d, (least, most, repetitions, batch) in (_QUICK if effort is Effort.QUICK else _FULL).items():
        for _ in range(math.ceil(repetitions / batch)):
            cells.append(
                {
                    "part": "errors",
                    "d": d,
                    "sizes": [least, most],
                    "targets": _TARGETS,
                    "repetitions": batch,
                    "seed": seed,
                    "index": len(cells),
                }
            )
    return cells


def _evaluate(parameters: Parameters) -> dict[str, Any]:
    """The smallest errors at each n, of the first target and the largest over all targets: lists [repetition][n]."""
    d, repetitions, targets = (int(parameters[name]) for name in ("d", "repetitions", "targets"))
    least, most = parameters["sizes"]
    rng = cell_rng(6, parameters)
    samples = draw_samples("gaussian", rng, repetitions, most, d)
    goals = rng.uniform(-1.0, 1.0, (repetitions, targets, d))
    errors = np.empty((repetitions, most - least + 1, targets))
    for place, n in enumerate(range(least, most + 1)):
        for row in range(repetitions):
            errors[row, place] = smallest_errors(samples[row, :n], goals[row], None)
    return {"one": errors[..., 0].tolist(), "all": errors.max(axis=2).tolist()}


def _judge(exponent: float, constant: float | None, pairs: Pairs, confidence: float) -> Findings:
    first = {parameters["d"]: parameters["sizes"][0] for parameters, _ in pairs}
    drawn = {kind: {d: found for (d,), found in collected(pairs, "errors", ("d",), kind).items()} for kind in _KINDS}
    each = 1.0 - (1.0 - confidence) / len(first)
    sizes = {kind: {d: _smallest_n(found, first[d], each) for d, found in drawn[kind].items()} for kind in _KINDS}
    cases = [_exponent_case(kind, sizes[kind], drawn[kind], exponent) for kind in _KINDS]
    settings = {
        d: [_setting(first[d] + place, d, errors) for place, errors in enumerate(found.T)]
        for d, found in drawn["all"].items()
    }
    name = f"smallest C of n = C d³ log(1/epsilon) (log(1/epsilon) + log d), {_KINDS['all']}"
    given = {"law": "gaussian", "largest epsilon": _LARGEST_EPSILON}
    together = [setting for of_d in settings.values() for setting in of_d]
    cases.append(largest_constant(name, together, _PROBABILITY, confidence, constant, given | {"d": list(first)}))
    cases += [
        largest_constant(f"{name}, d = {d}", of_d, _PROBABILITY, confidence, constant, given | {"d": d})
        for d, of_d in settings.items()
    ]
    cases += [_counting_case(kind, sizes[kind], drawn[kind]) for kind in _KINDS]
    panels = [_size_panel(sizes), _success_panel(drawn["one"], first, confidence)]
    return Findings(cases, panels, _NOTE)


_NOTE = (
    f"Success with probability 1/2 for one and for {_TARGETS} random targets, not with high probability for all of "
    "them, which needs more samples; few small d, so that the exponent is one of this range and not of large d."
)


def _setting(n: int, d: int, errors: FloatArray) -> Setting:
    def constant(epsilon: float) -> float:
        if epsilon <= 0.0:
            return 0.0
        log = math.log(1.0 / min(epsilon, _LARGEST_EPSILON))
        return n / (d**3 * log * (log + math.log(d)))

    return Setting(f"n = {n}, d = {d}", errors, constant)


def _smallest_n(errors: FloatArray, least: int, confidence: float) -> Size:
    """Estimate and interval of the smallest n whose probability of success is at least 1/2; inf if beyond the drawn."""
    found = [frequency_within(column, _EPSILON, confidence) for column in errors.T]
    estimate = (least + place for place, (share, _) in enumerate(found) if share >= _PROBABILITY)
    low = (least + place for place, (_, (_, upper)) in enumerate(found) if upper >= _PROBABILITY)
    high = (least + place for place, (_, (lower, _)) in enumerate(found) if lower >= _PROBABILITY)
    first = next(low, least + errors.shape[1])
    if first == least:  # smaller n were not drawn
        first = 1
    return next(estimate, math.inf), (first, next(high, math.inf))


def _exponent_case(kind: str, sizes: dict[int, Size], drawn: dict[int, FloatArray], exponent: float) -> Case:
    """The least-squares slope of log n over log d; its ends are those of all slopes within the intervals of n.

    A d whose smallest n lies beyond those drawn is left out; `n` is infinite there.
    """
    parameters = {"epsilon": _EPSILON, "d": list(sizes), "n": [n for n, _ in sizes.values()], "law": "gaussian"}
    sizes = {d: size for d, size in sizes.items() if math.isfinite(size[0])}
    x = np.log(list(sizes))
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    logs = np.log([[low, estimate, high] for estimate, (low, high) in sizes.values()])
    least = float(np.where(weights > 0, weights * logs[:, 0], weights * logs[:, 2]).sum())
    most = float(np.where(weights > 0, weights * logs[:, 2], weights * logs[:, 0]).sum())
    estimate = float(weights @ logs[:, 1])
    return Case(
        f"exponent of d in the samples needed, {_KINDS[kind]}",
        estimate,
        (least, most),
        exponent,
        Side.AT_MOST,
        parameters | {"probability": _PROBABILITY},
        min(found.shape[0] for found in drawn.values()),
    )


def _counting_case(kind: str, sizes: dict[int, Size], drawn: dict[int, FloatArray]) -> Case:
    d = max(sizes)
    estimate, (low, high) = sizes[d]
    count = d * math.log2(1.0 / _EPSILON)
    return Case(
        f"samples needed over d log2(1/epsilon), d = {d}, {_KINDS[kind]}",
        estimate / count,
        (low / count, high / count),
        parameters={"epsilon": _EPSILON, "d": d, "n": estimate, "law": "gaussian", "probability": _PROBABILITY},
        repetitions=drawn[d].shape[0],
    )


def _size_panel(sizes: dict[str, dict[int, Size]]) -> Panel:
    series = []
    for kind, found in sizes.items():
        shown = [(d, n, low, high) for d, (n, (low, high)) in found.items() if math.isfinite(high)]
        d, n, low, high = ([float(point[place]) for point in shown] for place in range(4))
        series.append(Series(f"probability 1/2, {_KINDS[kind]}", d, n, low, high))
    ds = sorted({d for found in sizes.values() for d in found})
    log = math.log2(1.0 / _EPSILON)
    series.append(Series("counting: d log2(1/ε)", ds, [d * log for d in ds], role="theory"))
    start = sizes["one"][ds[0]][0]
    if math.isfinite(start):
        growth = [d**3 * (log + math.log2(d)) / (ds[0] ** 3 * (log + math.log2(ds[0]))) for d in ds]
        label = "theorem's growth, through the first point"
        series.append(Series(label, ds, [start * factor for factor in growth], role="bound"))
    title = f"Samples that have a subset within ε = {_EPSILON:g}"
    return Panel(title, "dimension d", "samples n", series, log_x=True, log_y=True)


def _success_panel(drawn: dict[int, FloatArray], first: dict[int, int], confidence: float) -> Panel:
    series = []
    for d, found in drawn.items():
        points = [frequency_within(column, _EPSILON, confidence) for column in found.T]
        n = [first[d] + place for place in range(len(points))]
        low, high = [low for _, (low, _) in points], [high for _, (_, high) in points]
        series.append(Series(f"d = {d}", n, [share for share, _ in points], low, high))
    return Panel(f"A subset within ε = {_EPSILON:g} of one random target", "samples n", "probability", series)


CLAIM = multidimensional_samples()
