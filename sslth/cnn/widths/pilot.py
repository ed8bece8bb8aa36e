"""A pilot: a few blocks of every layer searched at small widths, to learn what wider searches will do."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from sslth.cnn.plan import LayerPlan, Searcher, Task, bytes_of_block, search
from sslth.cnn.prepared import Prepared
from sslth.cnn.progress import Progress
from sslth.cnn.run_all import run_all
from sslth.cnn.search import TiledSearch
from sslth.cnn.widths.width_law import Anchor, SearchLaw, tiled_error

__all__ = ["Pilot", "pilot_widths", "run_pilot"]

_BLOCKS, _FEW_BLOCKS = 6, 2  # of a group of layers; the second where they are large, and differ little
_MANY_ENTRIES = 24 << 20
_ROWS_A_DIMENSION, _NARROWER = 24, 3
_FEWEST = 96
_MOST_ENTRIES = 64 << 20  # of a pilot block's rows
_RELIABLE = 4  # rows a dimension; the law says more than a pilot that has fewer
_FARTHEST = 5.0  # factor that such a pilot may differ from the law
_STEEPEST = 2.0
_STAGE = "pilot"


def pilot_widths(ready: Prepared, widest: int) -> dict[str, int]:
    """The width at which each layer is tried: 24 d, where that fits into memory and below `widest`."""
    size = bytes_of_block(ready.solver)
    found = {}
    for name, wiring in ready.wirings.items():
        d = wiring.d
        n = max(_FEWEST, min(_ROWS_A_DIMENSION * d, _MOST_ENTRIES // d))
        while n > 1 and size(n, d) > ready.memory:
            n //= 2
        found[name] = min(n, widest)
    return found


@dataclass(frozen=True, eq=False)
class Pilot:
    """What was learnt of every layer's search, and the layers at the widths at which they were tried."""

    laws: dict[str, SearchLaw]
    plans: list[LayerPlan]


def run_pilot(ready: Prepared, widest: int, threads: int, report: Progress) -> Pilot:
    """What the search of a block will do at any width, layer by layer.

    Layers whose gains are free and whose blocks have one dimension are tried together: in units of random rows they
    are alike. At most six blocks a group are searched; at a second width only where the law's shape is not known.

    Notes
    -----
    Errors and kept filters are the same on every machine; seconds are not.
    """
    wide = pilot_widths(ready, widest)
    free = isinstance(ready.solver, TiledSearch) and ready.max_kept is None and ready.origin.law != "kaiming"
    groups: dict[object, list[str]] = {}
    for name, wiring in ready.wirings.items():
        groups.setdefault(wiring.d if free and name not in ready.gains else name, []).append(name)
    shape_is_known = isinstance(ready.solver, TiledSearch) and ready.max_kept is None
    wide_plans = ready.plans(wide, report)
    tried = [wide_plans]
    if not shape_is_known:
        tried.insert(0, ready.plans({name: max(1, n // _NARROWER) for name, n in wide.items()}, report))
    laws: dict[str, SearchLaw] = {}
    for number, names in enumerate(groups.values()):
        report(number, len(groups), _STAGE)
        anchors = []
        for plans in tried:
            chosen = _chosen([plan for plan in plans if plan.layer.name in names], ready.seed)
            anchors.append(_anchor(chosen, ready.solver, ready.max_kept, threads))
        laws |= dict.fromkeys(names, _law(ready, ready.wirings[names[0]].d, anchors))
    return Pilot({name: laws[name] for name in ready.wirings}, wide_plans)


def _chosen(plans: Sequence[LayerPlan], seed: int) -> list[Task]:
    """Some channel blocks, from the longest of a layer to the shortest, in units of their layer's longest."""
    ranked: list[tuple[float, int, Task]] = []
    for plan in plans:
        tasks = [task for task in plan.tasks(seed) if not task.block.is_constant and task.target.any()]
        lengths = [float(np.linalg.norm(task.target)) for task in tasks]
        longest = max(lengths, default=1.0)
        ranked += [
            (-length / longest, len(ranked) + i, task)
            for i, (length, task) in enumerate(zip(lengths, tasks, strict=True))
        ]
    ranked.sort(key=lambda item: item[:2])
    largest = max((task.block.size // 2 * task.block.d for _, _, task in ranked), default=0)
    count = min(_BLOCKS if largest <= _MANY_ENTRIES else _FEW_BLOCKS, len(ranked))
    places = sorted({round(i * (len(ranked) - 1) / max(1, count - 1)) for i in range(count)})
    return [ranked[place][2] for place in places]


def _anchor(tasks: Sequence[Task], solver: Searcher, max_kept: int | None, threads: int) -> Anchor:
    n = tasks[0].block.size // 2 if tasks else 1
    work = partial(_tried, solver=solver, max_kept=max_kept)
    seen = [result for _, result in sorted(run_all(work, tasks, threads))]
    if not seen:
        return Anchor(n, 0.0, 0.0, 0.0)
    errors, kept, seconds = np.array(seen).T
    warm = _tried(tasks[-1], solver, max_kept)[2]  # the first searches may have compiled their kernels
    typical = min(float(np.median(seconds)), warm)
    return Anchor(n, float(f"{math.sqrt(np.mean(errors**2)):.6g}"), float(kept.mean()), typical)


def _tried(task: Task, solver: Searcher, max_kept: int | None) -> tuple[float, int, float]:
    """Error in units of rows, kept filters, seconds."""
    started = time.perf_counter()
    filters = search(task, solver, max_kept)
    total = task.block.total(filters)
    return float(np.linalg.norm(total - task.target)), filters.size, time.perf_counter() - started


def _law(ready: Prepared, d: int, anchors: Sequence[Anchor]) -> SearchLaw:
    narrow, wide = anchors[0], anchors[-1]
    slope = 1.0
    if wide.error > 0 and narrow.error > 0 and wide.n > narrow.n:
        slope = math.log(narrow.error / wide.error) / math.log(wide.n / narrow.n)
    if isinstance(ready.solver, TiledSearch) and ready.max_kept is None:
        wide = wide._replace(error=_near_the_law(ready.solver, d, wide))
    return SearchLaw(ready.solver, d, wide, min(_STEEPEST, max(0.0, slope)), 1.0 if ready.max_kept is None else 0.0)


def _near_the_law(solver: TiledSearch, d: int, wide: Anchor) -> float:
    """What was seen; within a factor of what is expected where rows were too few to tell."""
    expected = tiled_error(wide.n, d) * solver.gain(np.ones(1), 0.0, wide.n, d)
    if wide.error == 0:
        return expected
    return (
        wide.error
        if wide.n >= _RELIABLE * d
        else float(np.clip(wide.error, expected / _FARTHEST, expected * _FARTHEST))
    )
