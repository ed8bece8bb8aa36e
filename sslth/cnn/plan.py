"""What every block of a layer is aimed at, and the search for its filters."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sslth.cnn.gain import constants_per_width, few_rows_gain, pursuit_gain
from sslth.cnn.kept_layer import KeptLayer
from sslth.cnn.layers import Layer, Weighted, kernel_and_bias, wiring_of
from sslth.cnn.random_layer import Block, RandomLayer
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solve import solve_within
from sslth.subset_sum.solvers import Solver

__all__ = ["LayerPlan", "Task", "plan_layer", "search", "search_all"]

Filters = npt.NDArray[np.uint32]
FloatArray = npt.NDArray[np.float64]

_PILOT_FACTORS = (1.0, 3.0, 10.0, 30.0)
_MOST_WORK = 10**10  # partial sums a block: far above what pursuit needs, an end for solvers that would never stop


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

    def collect(self, answers: Iterator[Filters]) -> KeptLayer:
        """Take this layer's answers, in the order of `tasks`, from an iterator."""
        signs = 1 if self.layer.nonnegative else 2
        channels = tuple(
            np.sort(np.concatenate([next(answers) for _ in range(signs)])) for _ in range(self.layer.wiring.in_channels)
        )
        groups = self.layer.wiring.groups if self.layer.constants else 0
        return KeptLayer(self.layer, channels, tuple(np.sort(next(answers)) for _ in range(groups)))


def plan_layer(
    name: str,
    index: int,
    module: Weighted,
    width: int,
    seed: int,
    nonnegative: bool,
    wanted_gain: float | None,
    max_kept: int | None,
    solver: Solver,
) -> LayerPlan:
    wiring = wiring_of(module)
    weight, bias = kernel_and_bias(module)
    norms = np.array([np.linalg.norm(wiring.block(weight, channel)) for channel in range(wiring.in_channels)])
    bias_norm = 0.0 if bias is None else float(np.linalg.norm(bias.reshape(wiring.groups, -1), axis=1).max())
    constants = 0 if bias is None else 2 * width * constants_per_width(norms, bias_norm)
    gain = wanted_gain or pursuit_gain(norms, bias_norm, width, wiring.d)
    plan = LayerPlan(Layer(name, index, wiring, width, constants, nonnegative, gain), weight, bias)
    if wanted_gain is None and max_kept is not None:
        return _piloted(plan, norms, seed, max_kept, solver)
    return plan


def _piloted(plan: LayerPlan, norms: FloatArray, seed: int, max_kept: int, solver: Solver) -> LayerPlan:
    """Few rows reach less far: try some gains on the largest block and keep the best."""
    longest = float(norms.max(initial=0.0))
    if longest == 0.0:
        return plan
    channel = int(norms.argmax())
    best, best_error = plan, math.inf
    for factor in _PILOT_FACTORS:
        gain = min(plan.layer.gain, few_rows_gain(longest, plan.layer.wiring.d, factor))
        trial = replace(plan, layer=replace(plan.layer, gain=gain))
        task = next(t for t in trial.tasks(seed) if t.block.channel == channel and not t.block.is_constant)
        filters = search(task, solver, max_kept)
        total = task.block.rows(filters, task.block.scales(filters)).sum(axis=0)
        error = float(np.linalg.norm(total - task.target) / np.linalg.norm(task.target))
        if error < best_error:
            best, best_error = trial, error
    return best


def search_all(
    tasks: list[Task], solver: Solver, max_kept: int | None, threads: int | None
) -> Generator[tuple[int, Filters], None, None]:
    """Search the blocks on threads (kernels release the GIL); closing the generator starts no further block."""
    with ThreadPoolExecutor(threads) as pool:
        futures = {pool.submit(search, task, solver, max_kept): number for number, task in enumerate(tasks)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def search(task: Task, solver: Solver, max_kept: int | None) -> Filters:
    """The kept filters of one block: rows in the order of falling |v_t|, ties by t."""
    scales = task.block.scales()
    filters = np.flatnonzero(scales * task.sign > 0).astype(np.uint32)
    if filters.size == 0 or not task.target.any():
        return np.empty(0, dtype=np.uint32)
    order = np.argsort(-np.abs(scales[filters]), kind="stable")
    filters = filters[order]
    rows = task.block.rows(filters, scales[filters])
    instance = Instance(rows, task.target, max_cardinality=max_kept)
    return filters[solve_within(instance, solver, Limits(max_work=_MOST_WORK)).subset]
