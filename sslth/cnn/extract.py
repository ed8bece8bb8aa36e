"""The main job: a trained network in, the filters of a random network that compute it out."""

from __future__ import annotations

import copy
import hashlib
import math
import os
import re
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sslth.cnn.box import as_box
from sslth.cnn.gain import constants_per_width, few_rows_gain, pursuit_gain
from sslth.cnn.layers import Layer, find_layers, kernel_and_bias, wiring_of
from sslth.cnn.progress import Progress, report_progress
from sslth.cnn.random_layer import Block, RandomLayer
from sslth.cnn.sequential import describe_sequential
from sslth.cnn.signs import nonnegative_inputs
from sslth.cnn.ticket import KeptLayer, Ticket
from sslth.cnn.trace import trace
from sslth.errors import InvalidInputError
from sslth.subset_sum.arguments import non_negative, seed_number, whole_number
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solve import solve_within
from sslth.subset_sum.solvers import Solver, make_solver
from sslth.subset_sum.solvers.best_first_pursuit import BestFirstPursuit
from sslth.subset_sum.solvers.sorted_pursuit import SortedPursuit

__all__ = ["extract", "fingerprint"]

Filters = npt.NDArray[np.uint32]
FloatArray = npt.NDArray[np.float64]

_PILOT_FACTORS = (1.0, 3.0, 10.0, 30.0)
_WIDEST = 1 << 31


def extract(
    model: nn.Module,
    example_input: Tensor,
    width: int = 4096,
    seed: int = 0,
    *,
    solver: str | Solver = "auto",
    low: Any = -1.0,
    high: Any = 1.0,
    device: str = "auto",
    progress: bool | Progress = True,
    gain: float | Mapping[str, float] | None = None,
    max_kept: int | None = None,
    memory: str | int = "1GiB",
    jobs: int | None = None,
) -> Ticket:
    """Keep those filters of a random CNN that make it compute a trained one.

    Parameters
    ----------
    model : torch.nn.Module
        Its weights must sit in Conv2d and Linear modules; anything weightless may stand between them. Not changed.
    example_input : Tensor[batch, ...]
        A batch of inputs the model accepts.
    width : int
        n: every input channel has 2n random 1x1 filters.
    seed : int
        Of the random network, 0 to 2**64 - 1.
    solver : str or Solver
        "auto" is sorted pursuit for the smallest error, best-first pursuit where `max_kept` asks for few filters.
        Any other name of `sslth.solvers()`; limited by work, never by time.
    low, high : float or array
        The box the inputs live in. It is stored, and decides which layers see non-negative inputs only.
    device : str
        Where the model is run and traced: "auto", "cpu", "cuda", ... The search runs on the CPU.
    progress : bool or callable(done, total, stage)
        A callable may raise to stop.
    gain : float or {layer: float}, optional
        Overrides the gain of all or some layers.
    max_kept : int, optional
        The most filters to keep in a block (one input channel and sign).
    memory : str or int
        Budget for the rows of the blocks that are searched at the same time.
    jobs : int, optional
        Threads; None for one a core. The ticket does not depend on it.

    Returns
    -------
    Ticket

    Raises
    ------
    InvalidInputError
        For impossible arguments, NaN or infinite weights or inputs, or a model that fails at the example.
    UnsupportedModuleError
        For a module with weights that is neither Conv2d nor Linear.

    Notes
    -----
    Cost O(filters * d): drawing a layer's weights and one pass of pursuit over them. Deterministic: the same
    arguments give byte-identical tickets.
    """
    modules = find_layers(model)
    inputs = _checked_example(example_input)
    width = whole_number(width, "width", 1, _WIDEST)
    seed = seed_number(seed)
    if max_kept is not None:
        max_kept = whole_number(max_kept, "max_kept", 1, 2 * _WIDEST)
    threads = whole_number(jobs, "jobs", 1, 4096) if jobs is not None else os.cpu_count()
    box = as_box(low, high, tuple(inputs.shape[1:]))
    chosen = _chosen_solver(solver, max_kept)
    gains = _checked_gains(gain, modules)
    where = resolve_device(device)
    _check_memory(modules, width, _parse_bytes(memory))

    twin = copy.deepcopy(model).eval().to(where)
    sample = inputs[:1].to(where, next(twin.parameters()).dtype)
    _run(twin, sample)
    traced = trace(twin, sample)
    if traced.graph_module is None:
        signs = dict.fromkeys(modules, False)
    else:
        signs = nonnegative_inputs(traced, list(modules), bool((box[0] >= 0).all()))

    with report_progress(progress) as report:
        plans = []
        for index, (name, module) in enumerate(modules.items()):
            report(index, len(modules), "choosing gains")
            plans.append(_plan(name, index, module, width, seed, signs[name], gains.get(name), max_kept, chosen))
        tasks = [task for plan in plans for task in plan.tasks(seed)]
        kept: list[Filters | None] = [None] * len(tasks)
        report(0, len(tasks), "searching blocks")
        with closing(_search_all(tasks, chosen, max_kept, threads)) as searched:
            for done, (number, filters) in enumerate(searched, start=1):
                kept[number] = filters
                report(done, len(tasks), "searching blocks")
    answers = iter(filters for filters in kept if filters is not None)
    settings: dict[str, Any] = {"solver": chosen.name, "max_kept": max_kept}
    if traced.reason is not None:
        settings["both_signs_because"] = traced.reason
    twin.cpu()
    return Ticket(
        seed=seed,
        width=width,
        layers=tuple(plan.collect(answers) for plan in plans),
        low=box[0],
        high=box[1],
        input_shape=tuple(inputs.shape[1:]),
        fingerprint=fingerprint(model),
        settings=settings,
        description=describe_sequential(model),
        model=twin,
    )


def fingerprint(model: nn.Module) -> str:
    """SHA-256 over the names, shapes, dtypes and bytes of the weights that a ticket replaces."""
    digest = hashlib.sha256()
    for name, module in find_layers(model).items():
        for part, values in (("weight", module.weight), ("bias", module.bias)):
            if values is not None:
                array = np.ascontiguousarray(values.detach().cpu().double().numpy())
                digest.update(f"{name}.{part}:{values.dtype}:{array.shape};".encode())
                digest.update(array.astype("<f8").tobytes())
    return digest.hexdigest()


def resolve_device(device: str) -> torch.device:
    """The torch device of a name, "auto" being the GPU where there is one; InvalidInputError if it cannot be used."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        where = torch.device(device)
        torch.empty(1, device=where)
    except (RuntimeError, AssertionError, TypeError) as error:
        detail = " ".join(str(error).split())[:100]
        raise InvalidInputError(f"the device {device!r} cannot be used ({detail}); try 'cpu'") from None
    return where


@dataclass(frozen=True, eq=False)
class _Plan:
    """One layer, and what its blocks are aimed at."""

    layer: Layer
    weight: FloatArray
    bias: FloatArray | None

    def tasks(self, seed: int) -> list[_Task]:
        random = RandomLayer(seed, self.layer)
        signs = (1,) if self.layer.nonnegative else (1, -1)
        tasks = []
        for block in random.channels:
            kernel = self.layer.wiring.block(self.weight, block.channel).ravel()
            tasks += [_Task(block, sign, sign * self.layer.gain * kernel) for sign in signs]
        size = self.layer.wiring.outputs_per_group
        for block in random.constants:
            assert self.bias is not None
            part = self.bias[block.channel * size : (block.channel + 1) * size]
            tasks.append(_Task(block, 1, self.layer.gain * part))
        return tasks

    def collect(self, answers: Any) -> KeptLayer:
        """Take this layer's answers, in the order of `tasks`, from an iterator."""
        signs = 1 if self.layer.nonnegative else 2
        channels = tuple(
            np.sort(np.concatenate([next(answers) for _ in range(signs)])) for _ in range(self.layer.wiring.in_channels)
        )
        groups = self.layer.wiring.groups if self.layer.constants else 0
        return KeptLayer(self.layer, channels, tuple(np.sort(next(answers)) for _ in range(groups)))


@dataclass(frozen=True, eq=False)
class _Task:
    """One subset-sum problem: a block, the sign of its filters' scales, and the target."""

    block: Block
    sign: int
    target: FloatArray


def _search_all(
    tasks: list[_Task], solver: Solver, max_kept: int | None, threads: int | None
) -> Generator[tuple[int, Filters], None, None]:
    """Search the blocks on threads (kernels release the GIL); closing the generator starts no further block."""
    with ThreadPoolExecutor(threads) as pool:
        futures = {pool.submit(_search, task, solver, max_kept): number for number, task in enumerate(tasks)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _search(task: _Task, solver: Solver, max_kept: int | None) -> Filters:
    """The kept filters of one block: rows in the order of falling |v_t|, ties by t."""
    scales = task.block.scales()
    filters = np.flatnonzero(scales * task.sign > 0).astype(np.uint32)
    if filters.size == 0 or not task.target.any():
        return np.empty(0, dtype=np.uint32)
    order = np.argsort(-np.abs(scales[filters]), kind="stable")
    filters = filters[order]
    rows = task.block.rows(filters, scales[filters])
    instance = Instance(rows, task.target, max_cardinality=max_kept)
    return filters[solve_within(instance, solver, Limits()).subset]


def _plan(
    name: str,
    index: int,
    module: nn.Conv2d | nn.Linear,
    width: int,
    seed: int,
    nonnegative: bool,
    wanted_gain: float | None,
    max_kept: int | None,
    solver: Solver,
) -> _Plan:
    wiring = wiring_of(module)
    weight, bias = kernel_and_bias(module)
    norms = np.array([np.linalg.norm(wiring.block(weight, channel)) for channel in range(wiring.in_channels)])
    bias_norm = 0.0 if bias is None else float(np.linalg.norm(bias.reshape(wiring.groups, -1), axis=1).max())
    constants = 0 if bias is None else 2 * width * constants_per_width(norms, bias_norm)
    gain = wanted_gain or pursuit_gain(norms, bias_norm, width, wiring.d)
    plan = _Plan(Layer(name, index, wiring, width, constants, nonnegative, gain), weight, bias)
    if wanted_gain is None and max_kept is not None:
        return _piloted(plan, norms, seed, max_kept, solver)
    return plan


def _piloted(plan: _Plan, norms: FloatArray, seed: int, max_kept: int, solver: Solver) -> _Plan:
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
        filters = _search(task, solver, max_kept)
        total = task.block.rows(filters, task.block.scales(filters)).sum(axis=0)
        error = float(np.linalg.norm(total - task.target) / np.linalg.norm(task.target))
        if error < best_error:
            best, best_error = trial, error
    return best


def _chosen_solver(solver: str | Solver, max_kept: int | None) -> Solver:
    if solver == "auto":
        return SortedPursuit(presorted=True) if max_kept is None else BestFirstPursuit()
    return make_solver(solver)


def _checked_example(example_input: Any) -> Tensor:
    if not isinstance(example_input, Tensor):
        raise InvalidInputError(f"example_input is a {type(example_input).__name__}; it must be a torch tensor")
    if example_input.dim() < 2 or example_input.numel() == 0:
        raise InvalidInputError(
            f"example_input has shape {tuple(example_input.shape)}; it must be a batch of at least one input"
        )
    if not example_input.is_floating_point() or not bool(torch.isfinite(example_input).all()):
        raise InvalidInputError("example_input must hold finite real numbers")
    return example_input.detach()


def _run(model: nn.Module, sample: Tensor) -> None:
    try:
        with torch.no_grad():
            model(sample)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        detail = " ".join(str(error).split())[:160]
        raise InvalidInputError(f"the model fails on example_input of shape {tuple(sample.shape)}: {detail}") from None


def _checked_gains(gain: float | Mapping[str, float] | None, modules: Mapping[str, nn.Module]) -> dict[str, float]:
    if gain is None:
        return {}
    gains = dict(gain) if isinstance(gain, Mapping) else dict.fromkeys(modules, gain)
    for name, value in gains.items():
        if name not in modules:
            raise InvalidInputError(f"gain names the layer {name!r}, which the model does not have")
        if not 0 < non_negative(value, f"the gain of {name}") < math.inf:
            raise InvalidInputError(f"the gain of {name} is {value!r}; it must be a positive number")
    return {name: float(value) for name, value in gains.items()}


_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def _parse_bytes(memory: str | int) -> int:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", str(memory))
    if match is None or match[2].lower() not in _UNITS or float(match[1]) == 0:
        raise InvalidInputError(f"memory is {memory!r}; write a size such as '1GiB' or '500MB'")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def _check_memory(modules: Mapping[str, nn.Conv2d | nn.Linear], width: int, memory: int) -> None:
    for name, module in modules.items():
        needed = 3 * 8 * width * wiring_of(module).d  # rows, their copy in the instance, working copies
        if needed > memory:
            raise InvalidInputError(
                f"width {width} needs {needed / 2**30:.1f} GiB for one block of layer {name}; "
                f"lower the width or raise memory"
            )
