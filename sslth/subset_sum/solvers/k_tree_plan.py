"""How large a k-tree to build: lists, levels and rows by predicted error, within a budget of work and memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sslth.subset_sum.instance import FloatArray

__all__ = ["Plan", "choose_axes", "cut_candidates", "plans"]

_RANGE = 180  # what a range of codes costs to open, in codes compared
_SUM = 500.0  # what a sum costs to be looked up
_POINT = 300  # what a point costs to be put into its cell
_SAMPLING = 1.0  # work beside the merges of a level, in merges, to find how near to zero sums must be
_MERGE = 2_500_000  # what a merge costs besides
_LARGEST_LOG = 21
_LARGEST_GROUP = 40


@dataclass(frozen=True)
class Plan:
    """One round: 2**levels groups of the `rows` smallest rows, lists of at most 2**log_size sums.

    Attributes
    ----------
    log_size, levels, rows : int
    log_error : float
        Predicted log2 of the error.
    cost : float
        Predicted time, in comparisons of codes.
    work : float
        Predicted number of sums listed and codes compared.
    """

    log_size: int
    levels: int
    rows: int
    log_error: float
    cost: float
    work: float


def choose_axes(spans: FloatArray, limit: float, sums_a: int, points_b: int) -> tuple[int, float, float]:
    """How many of the coordinates (widest first) the grid should have, the width of its cells, and the cost.

    spans float64[d] is falling. A point of a meets 3 cells along every axis but the last as one range of codes each.
    """
    best = (1, max(limit, spans[0] / (2 * points_b)), math.inf)
    for axes in range(1, min(spans.size, 8) + 1):
        widest = spans[:axes]
        width = max(limit, float(np.exp(np.log(widest).mean())) * (2.0 * points_b) ** (-1.0 / axes))
        share = float(np.prod(np.minimum(1.0, 3.0 * width / widest)))
        cells = float(np.prod(np.maximum(1.0, widest / width)))
        if cells > 8.0 * points_b + 64.0:
            continue
        cost = sums_a * (_SUM + _RANGE * math.pow(3.0, axes - 1) + points_b * share) + 4.0 * cells
        if cost < best[2]:
            best = (axes, width, cost)
    return best


def cut_candidates(n: int, sized: bool) -> list[tuple[int, int]]:
    """Pairs (levels, rows), rows at most n: how the smallest rows may be shared among 2**levels groups."""
    found = []
    for levels in range(15):
        groups = 1 << levels
        if groups > n:
            break
        largest = min(n // groups, 4 * _LARGEST_GROUP if sized else _LARGEST_LOG + 1)
        sizes = range(1, largest + 1) if largest <= _LARGEST_GROUP else {*range(1, 33), *range(36, largest + 1, 4)}
        found += [(levels, groups * m) for m in sizes]
        if n < groups * (_LARGEST_LOG + 1):
            found.append((levels, n))
    return sorted(set(found))


def plans(
    d: int,
    candidates: list[tuple[int, int]],
    deviations: dict[int, float],
    targets: dict[int, FloatArray],
    wanted: dict[int, int] | None,
    memory: int,
) -> list[Plan]:
    """All plans that fit the memory and are better than every cheaper one, by rising cost.

    deviations[rows] is the root mean square of an entry of the smallest rows, targets[rows] what they must sum to as
    signed halves, wanted[rows] how many of them must be chosen (None: any number).
    """
    found: list[Plan] = []
    for levels, rows in candidates:
        group = rows / 2**levels
        if wanted is None:
            log_leaf, spread = math.ceil(group) - 1.0, 0.5 * math.sqrt(group)
        else:
            chosen = wanted[rows] / 2**levels
            if not 0.0 < chosen < group or (levels > 1 and min(chosen, group - chosen) < 1.0):
                continue
            log_leaf = _log_binomial(group, chosen)
            spread = math.sqrt(chosen * (1.0 - chosen / group))
        if log_leaf > _LARGEST_LOG + 1:
            continue
        deviation = deviations[rows] * spread
        if deviation == 0.0:
            continue
        lost = float(np.minimum((targets[rows] / deviation) ** 2, 1e6).sum()) / 4.0 * math.log2(math.e)
        signs = 1.0 if wanted is None else 0.0
        for log_size in range(max(4, math.ceil(log_leaf) - 1), _LARGEST_LOG + 1):
            gained, cost, work = _levels(d, levels, log_leaf, float(log_size), signs)
            log_error = math.log2(deviation) - (gained - lost) / d
            if _bytes(d, levels, log_leaf, log_size) <= memory:
                found.append(Plan(log_size, levels, rows, log_error, cost, work))
            if levels < 2 or 2.0 * log_leaf + signs < log_size:
                break
    front: list[Plan] = []
    for plan in sorted(found, key=lambda plan: (plan.cost, plan.log_error)):
        if not front or plan.log_error < front[-1].log_error - 0.05:
            front.append(plan)
    return front


def _levels(d: int, levels: int, log_leaf: float, log_size: float, signs: float) -> tuple[float, float, float]:
    """Bits that the levels gain together, what they cost, and their work."""
    size, gained = min(log_leaf, 26.0), 0.0
    work = math.pow(2.0, levels + size)
    cost = 20.0 * work
    if levels == 0:
        return log_leaf, cost, work
    for level in range(levels):
        pairs = 2.0 * size + signs
        out = 0.0 if level == levels - 1 else min(log_size, pairs)
        # near the faces of the cube a sum has fewer partners; the factor is measured
        gained += pairs - out + d * math.log2(1.0 - 0.4 * math.pow(2.0, (out - pairs) / d))
        merge_cost, merge_work = _merge_cost(d, round(size, 3), round(out, 3), signs)
        merges = math.ldexp(1.0, levels - 1 - level)
        cost += merges * merge_cost
        work += (merges + _SAMPLING) * merge_work
        size = out
    return gained, cost, work


@lru_cache(maxsize=100_000)
def _merge_cost(d: int, size: float, out: float, signs: float) -> tuple[float, float]:
    """Cost and work of a merge of two lists of 2**size sums into 2**out, uniform in a cube."""
    sums, points = math.pow(2.0, size), math.pow(2.0, size + signs)
    span = 2.0 * math.pow(2.0, (2.0 * size + signs - out) / d)
    choices = []
    for axes in range(1, min(d, 8) + 1):
        width = max(1.0, span * math.pow(2.0 * points, -1.0 / axes))
        codes = points * math.pow(min(1.0, 3.0 * width / span), axes)
        choices.append((sums * (_SUM + _RANGE * math.pow(3.0, axes - 1) + codes), sums * codes))
    compare = min(cost for cost, _ in choices)
    work = max(codes for cost, codes in choices if cost <= 2.0 * compare)  # the grid may be another one in the end
    beyond_cache = 1.0 + 0.1 * max(0.0, size - 13.0)
    cost = beyond_cache * (compare + _POINT * (sums + points + math.pow(2.0, out))) + _MERGE
    return cost, work + 2.0 * sums + points


def _bytes(d: int, levels: int, log_leaf: float, log_size: int) -> float:
    largest = math.pow(2.0, max(log_leaf + 1.0, log_size))
    return largest * ((levels + 2) * 16.0 * d + 64.0) + math.ldexp(9.0, levels + log_size)


def _log_binomial(n: float, k: float) -> float:
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2.0)
