"""Claim 10, algorithmic gap: number partitioning has an optimum near 2^-n, differencing reaches n^-Θ(log n)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from sslth.theory.claims.claim import Case, Claim, Effort, Findings, Panel, Parameters, Result, Series, Side, cell_rng
from sslth.theory.least_squares import coefficient_interval
from sslth.theory.number_partitioning import as_integers, draw_numbers, karmarkar_karp, log_of, optima
from sslth.theory.order_statistics import median_interval

__all__ = ["CLAIM", "claim"]

NUMBER = 10
FloatArray = npt.NDArray[np.float64]
Pairs = Sequence[tuple[Parameters, Result]]

FIRST_MOMENT = math.sqrt(2.0 * math.pi / 3.0)  # 2^(n-1) signed sums N(0, n/3): so many times √n 2^-n expects one
BOETTCHER_MERTENS = 1.0 / (2.0 * math.log(2.0))  # .7213: differencing ends near n^(-.72 ln n)
_BITS = 256  # of the numbers that are differenced: the results lie above 2^-160

_SMALL = {Effort.QUICK: (10, 14, 18, 22, 26), Effort.FULL: (10, 13, 16, 19, 22, 25, 28, 31, 34)}
_LARGE = {Effort.QUICK: range(4, 12), Effort.FULL: range(4, 17)}


def cells(effort: Effort, seed: int) -> list[dict[str, Any]]:
    """Batches of lists for the exact optimum, and longer lists that are only differenced."""
    quick = effort is Effort.QUICK
    every: list[dict[str, Any]] = []
    for _ in range(1 if quick else 10):
        every += [{"part": "both", "n": n, "repetitions": 1500} for n in _SMALL[effort]]
        for power in _LARGE[effort]:
            repetitions = max(8, min(400, (1 << 15 if quick else 1 << 18) >> power))
            every.append({"part": "differencing", "n": 1 << power, "repetitions": repetitions})
    return [{**cell, "seed": seed, "index": index} for index, cell in enumerate(every)]


def evaluate(parameters: Parameters) -> dict[str, Any]:
    """Natural logarithms of the smallest signed sums found for lists of n uniform numbers of [0, 1)."""
    rng = cell_rng(NUMBER, parameters)
    n, repetitions = parameters["n"], parameters["repetitions"]
    if parameters["part"] == "differencing":
        return {
            "differencing": [log_of(karmarkar_karp(draw_numbers(n, _BITS, rng)), _BITS) for _ in range(repetitions)]
        }
    numbers = rng.random((repetitions, n))
    return {
        "optimum": np.log(np.maximum(optima(numbers), 2.0**-54)).tolist(),
        "differencing": [log_of(karmarkar_karp(as_integers(row)), 53) for row in numbers],
    }


def judge(
    pairs: Pairs,
    confidence: float,
    rate: float,
    margin: float,
    constants: tuple[float, float],
    smallest_curvature: float,
    smallest_gap: float,
) -> Findings:
    """Rate and constant of the optimum, the growth of the gap, and the curvature of the differencing method."""
    n, optimum, differenced = _draws(pairs)
    lengths = sorted({int(value) for value in n})
    span = {"law": "uniform", "n": lengths}
    design = np.stack([np.ones_like(n), n], axis=1)
    slope, ends = coefficient_interval(design, (optimum - np.log(n) / 2) / math.log(2.0), 1, confidence)
    cases = [
        Case("optimum: log2 of it over √n, per number", slope, ends, bound, side, span, n.size)
        for bound, side in ((-(rate - margin), Side.AT_MOST), (-(rate + margin), Side.AT_LEAST))
    ]
    for value in lengths:
        median, ends = median_interval(_normalised(optimum[n == value], value), confidence)
        here = {"law": "uniform", "n": value, "limit": math.log(2.0) * FIRST_MOMENT}
        for bound, side in zip(constants, (Side.AT_LEAST, Side.AT_MOST), strict=True):
            name = f"optimum: median of it times 2^n / √n, n={value}"
            cases.append(Case(name, median, ends, bound, side, here, int(np.count_nonzero(n == value))))
    gap, ends = coefficient_interval(design, (differenced - optimum) / math.log(2.0), 1, confidence)
    name = "gap: log2 of differencing over optimum, per number"
    cases.append(Case(name, gap, ends, smallest_gap, Side.AT_LEAST, span, n.size))
    cases.append(_curvature(pairs, confidence, smallest_curvature))
    note = (
        "Rate and constants are tested for these n alone. The curvature says that differencing gains more than a fixed "
        f"power of n over these n; its known limit is {BOETTCHER_MERTENS:.3f}, to which it rises slowly. That no "
        "polynomial method does better is a conjecture, and no measurement of one method shows it."
    )
    return Findings(cases, [_gap_panel(pairs, confidence), _exponent_panel(pairs, confidence)], note)


def _curvature(pairs: Pairs, confidence: float, smallest: float) -> Case:
    """α in -ln(result) = α (ln n)² + β ln n + γ, fitted to all long lists."""
    long = _differenced(pairs)
    n = np.concatenate([np.full(values.size, float(at)) for at, values in long.items()])
    design = np.stack([np.ones_like(n), np.log(n), np.log(n) ** 2], axis=1)
    alpha, ends = coefficient_interval(design, -np.concatenate(list(long.values())), 2, confidence)
    here = {"law": "uniform", "n": sorted(long), "limit": BOETTCHER_MERTENS}
    name = "differencing: α of n^(-α ln n - β)"
    return Case(name, alpha, ends, smallest, Side.AT_LEAST, here, n.size)


def _draws(pairs: Pairs) -> tuple[FloatArray, FloatArray, FloatArray]:
    """n, logarithm of the optimum and of what differencing reaches, for each short list."""
    chosen = [(p, r) for p, r in pairs if p["part"] == "both"]
    n = np.concatenate([np.full(len(r["optimum"]), float(p["n"])) for p, r in chosen])
    one, other = (np.concatenate([np.asarray(r[key]) for _, r in chosen]) for key in ("optimum", "differencing"))
    return n, one, other


def _differenced(pairs: Pairs) -> dict[int, FloatArray]:
    """Logarithms of what differencing reaches, by the length of the long lists."""
    found: dict[int, list[float]] = {}
    for parameters, result in pairs:
        if parameters["part"] == "differencing":
            found.setdefault(int(parameters["n"]), []).extend(result["differencing"])
    return {n: np.asarray(found[n]) for n in sorted(found)}


def _normalised(log_optimum: FloatArray, n: int) -> FloatArray:
    """Optimum · 2^n / √n."""
    result: FloatArray = np.exp(log_optimum - math.log(n) / 2 + n * math.log(2.0))
    return result


def _medians(label: str, groups: dict[int, FloatArray], confidence: float) -> Series:
    found = [median_interval(values, confidence) for values in groups.values()]
    # an end that a few draws do not give is the smallest or largest draw: a figure has no room for infinity
    low = [max(ends[0], float(values.min())) for (_, ends), values in zip(found, groups.values(), strict=True)]
    high = [min(ends[1], float(values.max())) for (_, ends), values in zip(found, groups.values(), strict=True)]
    return Series(label, [float(n) for n in groups], [median for median, _ in found], low, high)


def _gap_panel(pairs: Pairs, confidence: float) -> Panel:
    n, optimum, differenced = _draws(pairs)
    short = np.unique(n)
    best = {int(at): np.exp(optimum[n == at]) for at in short}
    reached = {int(at): np.exp(differenced[n == at]) for at in short}
    reached |= {at: np.exp(values) for at, values in _differenced(pairs).items() if at <= 4 * short[-1]}
    reached = dict(sorted(reached.items()))
    grid = np.linspace(short[0], max(reached), 60)
    with_room = np.linspace(short[0], short[-1], 30)
    first = FIRST_MOMENT * np.sqrt(with_room) * 2.0**-with_room
    limit = np.exp(-BOETTCHER_MERTENS * np.log(grid) ** 2)
    return Panel(
        "Number partitioning: what exists and what is found",
        "n",
        "median of |±x₁ ± … ± xₙ|, uniform on [0, 1]",
        [
            _medians("optimum, exact", best, confidence),
            _medians("differencing", reached, confidence),
            Series("one signed sum expected", with_room.tolist(), first.tolist(), role="bound"),
            Series("n^(−.72 ln n)", grid.tolist(), limit.tolist(), role="theory"),
        ],
        log_y=True,
    )


def _exponent_panel(pairs: Pairs, confidence: float) -> Panel:
    groups = {n: -values / math.log(n) ** 2 for n, values in _differenced(pairs).items()}
    ends = [float(min(groups)), float(max(groups))]
    return Panel(
        "Differencing: exponent over ln n",
        "n",
        "−ln(result) / (ln n)²",
        [
            _medians("differencing", groups, confidence),
            Series("limit 1 / (2 ln 2)", ends, [BOETTCHER_MERTENS] * 2, role="theory"),
        ],
        log_x=True,
    )


def claim(
    rate: float = 1.0,
    margin: float = 0.03,
    constants: tuple[float, float] = (FIRST_MOMENT / 2, FIRST_MOMENT),
    smallest_curvature: float = 0.0,
    smallest_gap: float = 0.0,
) -> Claim:
    """Return the claim that the optimum is Θ(√n 2^(-rate n)) and that differencing falls behind it.

    Parameters
    ----------
    rate, margin : float
        The fitted rate must lie within the margin: an interval never shows equality.
    constants : tuple of two floats
        Between which the median of optimum · 2^n / √n lies. By default what the moments of the number N of signed sums
        below c √n 2^-n give for large n: with E[N] = 1/2 at most half of all lists have one (Markov), with E[N] = 1 at
        least half of them (E[N]² / E[N²] >= 1/2). The limit is ln 2 times the upper one [BorgsChayesPittel2001]_.
    smallest_curvature : float
        Of -ln(result) of the differencing method as a function of ln n, halved; above 0 it beats all powers of n.
    smallest_gap : float
        By how many bits a number the optimum gains on differencing.

    References
    ----------
    .. [BorgsChayesPittel2001] C. Borgs, J. Chayes, B. Pittel, "Phase transition and finite-size scaling for the integer
       partitioning problem", Random Structures & Algorithms 19 (2001), doi:10.1002/rsa.10004.
    """
    return Claim(
        NUMBER,
        "algorithmic gap",
        "Number partitioning has optimum Θ(√n 2^-n), the best polynomial-time methods reach 2^-Θ(log² n)",
        "Gamarnik, Kızıldağ 2021, arXiv:2103.01369; Karmarkar, Karp 1982; the constant .72: Boettcher, Mertens 2008, "
        "doi:10.1140/epjb/e2008-00320-9",
        cells,
        evaluate,
        partial(
            judge,
            rate=rate,
            margin=margin,
            constants=constants,
            smallest_curvature=smallest_curvature,
            smallest_gap=smallest_gap,
        ),
    )


CLAIM = claim()
