"""What solvers reached where, as measured by `benchmarks/calibrate.py`, and what that predicts for an instance."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sslth.subset_sum.instance import Instance

__all__ = ["TABLE", "Prediction", "predict_errors", "predict_proofs", "row_spread"]

TABLE = Path(__file__).with_name("auto_table.json")
_NEIGHBOURS = 3
_SAMPLED_ROWS = 4096
_PROOF_DOUBLING = 0.5  # bits of time a row, as for meet in the middle


@dataclass(frozen=True)
class Prediction:
    """What a solver is expected to do.

    Attributes
    ----------
    solver : str
    ratio : float
        Its error over that of the best solver for such instances, in the same time.
    seconds : float
        Until it ends by itself, or the time it was given.
    gain : float
        Its error in this time over that in a tenth of it: near 1 if more time is no use.
    """

    solver: str
    ratio: float
    seconds: float
    gain: float


def row_spread(instance: Instance) -> float:
    """The standard deviation of log |row|, over rows that are not zero: how unlike in size the rows are.

    About (2 d)^-1/2 for Gaussian rows, above 1.1 for normally-scaled normal ones.
    """
    chosen = np.unique(np.linspace(0, instance.n - 1, min(instance.n, _SAMPLED_ROWS)).astype(np.int64))
    rows = instance.samples[chosen]
    largest = np.abs(rows).max(axis=1)
    rows, largest = rows[largest > 0], largest[largest > 0]
    if largest.size < 2:
        return 0.0
    lengths = np.log(largest) + 0.5 * np.log(((rows / largest[:, None]) ** 2).sum(axis=1))
    return float(lengths.std())


def predict_errors(instance: Instance, time_limit: float | None, names: Iterable[str]) -> list[Prediction]:
    """The named solvers by rising predicted error, those that were never measured near left out."""
    near = _nearest(_table()["cells"], instance)
    ratios: dict[str, float] = {}
    weights: dict[str, float] = {}
    details: dict[str, tuple[float, float]] = {}
    for weight, cell in near:
        reached = {name: _at(runs, time_limit) for name, runs in cell["errors"].items() if name in names}
        positive = [error for error, _, _ in reached.values() if error > 0]
        best = min(positive) if positive else 1.0
        for name, (error, seconds, gain) in reached.items():
            ratios[name] = ratios.get(name, 0.0) + weight * math.log(max(error, 0.1 * best) / best)
            weights[name] = weights.get(name, 0.0) + weight
            details.setdefault(name, (seconds, gain))
    found = [
        Prediction(name, math.exp(ratios[name] / weights[name]), details[name][0], details[name][1]) for name in ratios
    ]
    return sorted(found, key=lambda p: p.ratio)


def predict_proofs(instance: Instance, names: Iterable[str]) -> dict[str, float]:
    """Seconds to a proof that each named solver is expected to take, from the nearest cells.

    A cell where none was had in time counts as what the cells with a proof make expect there, but at least as its
    time limit, and at most as four times that.
    """
    table = _table()
    limit = math.log(table["proof_limit"])
    seconds = {}
    for name in names:
        tried = [cell for cell in table["proofs"] if name in cell["proof"]]
        proved = _nearest([cell for cell in tried if cell["proof"][name] is not None], instance, _proof_distance)
        expected = _mean(
            [(w, math.log(max(cell["proof"][name], 1e-3)) + _log_growth(instance, cell)) for w, cell in proved]
        )
        found = []
        for weight, cell in _nearest(tried, instance, _proof_distance):
            growth, measured = _log_growth(instance, cell), cell["proof"][name]
            there = min(limit + math.log(4.0), max(limit, expected - growth))
            found.append((weight, growth + (there if measured is None else math.log(max(measured, 1e-3)))))
        if found:
            seconds[name] = math.exp(min(700.0, _mean(found)))
    return seconds


def _log_growth(instance: Instance, cell: dict[str, Any]) -> float:
    """The logarithm of how much longer a proof takes for the instance's number of subsets than for a cell's."""
    rows = _rows_that_count(instance.n, instance.smallest_size, instance.largest_size)
    there = _rows_that_count(cell["n"], *((cell["n"] // 3,) * 2 if cell["sized"] else (0, cell["n"])))
    return _PROOF_DOUBLING * math.log(2.0) * (rows - there)


def _mean(weighted: list[tuple[float, float]]) -> float:
    """The weighted mean; infinity of nothing."""
    total = sum(weight for weight, _ in weighted)
    return sum(weight * value for weight, value in weighted) / total if total else math.inf


def _rows_that_count(n: int, smallest: int, largest: int) -> float:
    """log2 of the number of allowed subsets."""
    count = sum(math.comb(n, size) for size in range(smallest, min(largest, n) + 1)) if n <= 500 else 1 << n
    return math.log2(max(1, count))


def _at(runs: dict[str, list[float]], time_limit: float | None) -> tuple[float, float, float]:
    """Error, seconds and gain at the largest measured budget within the time limit."""
    budgets = sorted(runs, key=float)
    within = [b for b in budgets if time_limit is None or float(b) <= 1.05 * time_limit] or budgets[:1]
    error, seconds = runs[within[-1]]
    before = runs[within[-2]][0] if len(within) > 1 else error
    gain = error / before if before > 0 else 1.0
    if len(within) == 1 and seconds >= 0.9 * float(within[0]):
        gain = 0.5  # it was cut short: more time would have helped
    return error, seconds, gain


def _error_distance(instance: Instance, spread: float, cell: dict[str, Any]) -> float:
    """How unlike in what errors are reached: 1 is a factor 6 in n or 2.5 in d."""
    apart = abs(math.log(instance.n / cell["n"])) / math.log(6.0)
    apart += abs(math.log(instance.d / cell["d"])) / math.log(2.5)
    return apart + 2.0 * abs(spread - float(cell["spread"]))


def _proof_distance(instance: Instance, spread: float, cell: dict[str, Any]) -> float:
    """How unlike in the time of a proof, which doubles with every second row: 1 is ten rows or a factor 2.5 in d."""
    apart = abs(instance.n - int(cell["n"])) / 10.0
    apart += abs(math.log(instance.d / cell["d"])) / math.log(2.5)
    return apart + 0.5 * abs(spread - float(cell["spread"]))


def _nearest(
    cells: list[dict[str, Any]],
    instance: Instance,
    distance: Callable[[Instance, float, dict[str, Any]], float] = _error_distance,
) -> list[tuple[float, dict[str, Any]]]:
    """The nearest cells with their weights; a cell of the other kind of size is far away."""
    spread = row_spread(instance)
    sized = instance.cardinality is not None or instance.max_cardinality is not None
    ranked = [(distance(instance, spread, cell) + 4.0 * (sized != cell["sized"]), cell) for cell in cells]
    ranked.sort(key=lambda entry: entry[0])
    return [(1.0 / (0.05 + apart) ** 2, cell) for apart, cell in ranked[:_NEIGHBOURS]]


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(TABLE.read_text())
    return table
