"""What every block of a layer is aimed at, and the search for its filters."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from sslth.cnn.block_store import BlockStore, block_key
from sslth.cnn.gain import constants_per_width, few_rows_gain, pursuit_gain
from sslth.cnn.kept_filters import Numbers
from sslth.cnn.layers import Layer, Weighted, kernel_and_bias, wiring_of
from sslth.cnn.random_layer import Block, RandomLayer
from sslth.cnn.run_all import run_all
from sslth.cnn.search import TiledSearch, bytes_of_whole_block, search_whole_block
from sslth.cnn.source import NORMAL, Source
from sslth.subset_sum.solvers import Solver
from sslth.subset_sum.solvers.sorted_pursuit import SortedPursuit

__all__ = [
    "LayerPlan",
    "Searcher",
    "Task",
    "bytes_of_block",
    "free_gain",
    "lengths_of_blocks",
    "plan_layer",
    "search",
    "search_all",
    "threads_that_fit",
]

Filters = npt.NDArray[np.uint32]
FloatArray = npt.NDArray[np.float64]

_PILOT_FACTORS = (1.0, 3.0, 6.0, 10.0, 17.0, 30.0)  # the best length grows about as the number of kept rows

Searcher = Solver | TiledSearch
"""What finds the filters of a block: a solver that sees all rows, or the search that draws them in tiles."""


@dataclass(frozen=True, eq=False)
class Task:
    """One subset-sum problem: a block, the sign of its filters' scales, and the target."""

    block: Block
    sign: int
    target: FloatArray


@dataclass(frozen=True, eq=False)
class LayerPlan:
    """One layer, and what its blocks are aimed at."""

    layer: Layer
    weight: FloatArray
    bias: FloatArray | None

    def tasks(self, seed: int) -> list[Task]:
        """One task an input channel and sign, and one a group's bias."""
        random = RandomLayer(seed, self.layer)
        signs = (1,) if self.layer.nonnegative else (1, -1)
        tasks = []
        for block in random.channels:
            kernel = self.layer.wiring.block(self.weight, block.channel).ravel()
            tasks += [Task(block, sign, sign * self.layer.gain * kernel) for sign in signs]
        size = self.layer.wiring.outputs_per_group
        for block in random.constants:
            assert self.bias is not None
            part = self.bias[block.channel * size : (block.channel + 1) * size]
            tasks.append(Task(block, 1, self.layer.gain * part))
        return tasks


def plan_layer(
    name: str,
    index: int,
    module: Weighted,
    width: int,
    seed: int,
    nonnegative: bool,
    wanted_gain: float | None,
    max_kept: int | None,
    solver: Searcher,
    source: Source = NORMAL,
) -> LayerPlan:
    wiring = wiring_of(module)
    width = source.width(name, width)
    weight, bias = kernel_and_bias(module)
    norms, bias_norm = lengths_of_blocks(name, module, source)
    constants = 0 if bias is None else 2 * width * constants_per_width(norms, bias_norm)
    gain = wanted_gain or free_gain(solver, norms, bias_norm, width, wiring.d)
    layer = source.applied(Layer(name, index, wiring, width, constants, nonnegative, gain))
    plan = LayerPlan(layer, weight, bias)
    if wanted_gain is None and max_kept is not None:
        return _piloted(plan, norms[: wiring.in_channels], seed, max_kept, solver)
    return plan


def lengths_of_blocks(name: str, module: Weighted, source: Source) -> tuple[FloatArray, float]:
    """Euclidean lengths of a layer's blocks and of its longest bias, measured in random rows of the source."""
    wiring = wiring_of(module)
    weight, bias = kernel_and_bias(module)
    norms = np.array([np.linalg.norm(wiring.block(weight, channel)) for channel in range(wiring.in_channels)])
    bias_norm = 0.0 if bias is None else float(np.linalg.norm(bias.reshape(wiring.groups, -1), axis=1).max())
    return source.in_rows(name, norms, bias_norm)


def free_gain(solver: Searcher, norms: FloatArray, bias_norm: float, width: int, d: int) -> float:
    """The gain of a layer for which nobody fixed one."""
    rule = solver.gain if isinstance(solver, TiledSearch) else pursuit_gain
    return rule(norms, bias_norm, width, d)


def _piloted(plan: LayerPlan, norms: FloatArray, seed: int, max_kept: int, solver: Searcher) -> LayerPlan:
    """Few rows reach less far: try some gains on the largest block and the longest bias, and keep the best."""
    longest = float(norms.max(initial=0.0))
    if longest == 0.0:
        return plan
    best, best_error = plan, math.inf
    for factor in _PILOT_FACTORS:
        gain = min(plan.layer.gain, few_rows_gain(longest, plan.layer.wiring.d, factor))
        trial = replace(plan, layer=replace(plan.layer, gain=gain))
        tasks = trial.tasks(seed)
        kernels, biases = ([t for t in tasks if t.block.is_constant == constant] for constant in (False, True))
        error = _length_missed(kernels, solver, max_kept) * math.sqrt(plan.layer.wiring.inputs_per_group)
        error = math.hypot(error, _length_missed(biases, solver, max_kept)) / gain  # as inputs near 1 would feel it
        if error < best_error:
            best, best_error = trial, error
    return best


def _length_missed(tasks: Sequence[Task], solver: Searcher, max_kept: int) -> float:
    """What the kept filters leave of the longest target."""
    if not tasks:
        return 0.0
    task = max(tasks, key=lambda task: float(np.linalg.norm(task.target)))
    return float(np.linalg.norm(task.block.total(search(task, solver, max_kept)) - task.target))


def bytes_of_block(solver: Searcher) -> Callable[[int, int], int]:
    """What one block takes, as a function of (width, d)."""
    return solver.bytes_of_block if isinstance(solver, TiledSearch) else bytes_of_whole_block


def threads_that_fit(tasks: Sequence[Task], solver: Searcher, memory: int, threads: int | None) -> int:
    """How many of the largest blocks may be searched at the same time within `memory` bytes; at least one."""
    shapes = {(task.block.size // 2, task.block.d) for task in tasks}
    largest = max((bytes_of_block(solver)(width, d) for width, d in shapes), default=1)
    return max(1, min(threads or 1, memory // max(1, largest)))


def search_all(
    tasks: Sequence[Task],
    solver: Searcher,
    max_kept: int | None,
    threads: int | None,
    *,
    store: BlockStore | None = None,
    memory: int | None = None,
) -> Generator[tuple[int, Numbers], None, None]:
    """Yield (number, kept filters) of every task as it is found; closing the generator starts no further block.

    Kernels release the GIL, so threads will do; under a `joblib.parallel_config` blocks go to its workers. With a store
    each finished block is in it at once, and what is in it is not searched again. No more blocks are searched at a time
    than fit into `memory` bytes, but for one; processes of joblib are not counted. None of it changes what is found.
    """
    keys: list[bytes] = []
    left = list(range(len(tasks)))
    if store is not None:
        searched_by = f"{solver!r} {max_kept}"
        keys = [block_key(task.block, task.sign, task.target, searched_by) for task in tasks]
        left = []
        for number, task in enumerate(tasks):
            found = store.get(keys[number], task.block)
            if found is None:
                left.append(number)
            else:
                yield number, found

    def note(place: int, filters: Numbers) -> None:
        if store is not None:
            store.put(keys[left[place]], filters)

    waiting = [tasks[number] for number in left]
    side_by_side = threads if memory is None else threads_that_fit(waiting, solver, memory, threads or os.cpu_count())
    if isinstance(solver, TiledSearch) and solver.device is not None and max_kept is None:
        with closing(_search_on_device(waiting, solver, side_by_side, note)) as found_there:
            for place, filters in found_there:
                yield left[place], filters
        return
    if isinstance(solver, TiledSearch):  # cores that would have nothing to do draw the next tile
        cores = threads or os.cpu_count() or 1
        solver = replace(solver, ahead=min(len(left), side_by_side or cores) < cores)
    work = partial(search, solver=solver, max_kept=max_kept)
    size = bytes_of_block(solver)
    taking = None if memory is None else ([size(task.block.size // 2, task.block.d) for task in waiting], memory)
    with closing(run_all(work, waiting, threads, note, taking=taking)) as results:
        for place, filters in results:
            yield left[place], filters


def _search_on_device(
    tasks: Sequence[Task], solver: TiledSearch, threads: int | None, finished: Callable[[int, Numbers], None]
) -> Generator[tuple[int, Numbers], None, None]:
    from sslth.cnn.on_devices import search_on_devices
    from sslth.cnn.side_by_side import Problem

    wanted = []
    for number, task in enumerate(tasks):
        if task.target.any():
            wanted.append(number)
        else:
            finished(number, np.empty(0, dtype=np.uint32))
            yield number, np.empty(0, dtype=np.uint32)
    problems = [Problem(tasks[number].block, tasks[number].sign, tasks[number].target) for number in wanted]
    found = search_on_devices(problems, solver, threads, lambda place, filters: finished(wanted[place], filters))
    with closing(found):
        for place, filters in found:
            yield wanted[place], filters


def search(task: Task, solver: Searcher, max_kept: int | None) -> Numbers:
    """Return the kept filters of one block, sorted.

    A bias block may keep as many times more than `max_kept` as it has more filters: a long bias has no other way.
    """
    if max_kept is not None:
        max_kept *= max(1, task.block.size // task.block.layer.filters_per_channel)
    if not task.target.any():
        return np.empty(0, dtype=np.uint32)
    if isinstance(solver, TiledSearch) and max_kept is None:
        return solver.search(task.block, task.sign, task.target)
    whole = SortedPursuit(presorted=True) if isinstance(solver, TiledSearch) else solver
    return np.sort(search_whole_block(task.block, task.sign, task.target, whole, max_kept))
