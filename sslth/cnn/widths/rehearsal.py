"""A rehearsal: the whole extraction, with noise of the predicted size in the place of every search."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sslth.cnn.calibration import merged_of_fitted, output_error
from sslth.cnn.compensation import FittedLayer, Sum, compensated, uncompensated, with_constants
from sslth.cnn.merged import merged_module
from sslth.cnn.plan import LayerPlan, Task
from sslth.cnn.prepared import Prepared
from sslth.cnn.trace import tensors_of
from sslth.cnn.widths.width_law import SearchLaw
from sslth.errors import InvalidInputError
from sslth.subset_sum.random_weights import Part, draw_rows, draw_words

__all__ = ["Rehearsal", "Stage", "stage_for", "with_gains_below"]

FloatArray = npt.NDArray[np.float64]

_MOST_INPUTS, _FEWEST_INPUTS = 256, 2
_DRAWN_INPUTS = 64
_WORK = 1 << 32  # multiply-adds of a rehearsal; decides how many inputs it has, so that no clock has to
_NOISE_SEED = 0x9E3779B97F4A7C15  # another random network than any that is searched
_CHUNK = 32


class Rehearsal:
    """Answers every task with its target and an error of the predicted length.

    An error of relative length r has a random direction, but for the share r of it that is missing target: rows that
    cannot reach a target stop short of it. (docs/decisions/0015-width-plans.md)

    Parameters
    ----------
    laws : mapping from layer names to SearchLaw, or None
        None: nothing is kept at all.
    keeps_few : bool
        Whether the number of filters that a block may keep is limited.
    """

    threads: int | None = 1

    def __init__(self, laws: Mapping[str, SearchLaw] | None, *, keeps_few: bool = False) -> None:
        self._laws, self.keeps_few = laws, keeps_few

    def expect(self, plans: Sequence[LayerPlan]) -> None:
        """Nothing takes long here."""

    def __call__(self, tasks: Sequence[Task]) -> list[Sum]:
        """What a search would find; nothing where that is no better than nothing."""
        return [Sum(self._answer(task)) for task in tasks]

    def _answer(self, task: Task) -> FloatArray:
        block, length = task.block, float(np.linalg.norm(task.target))
        off = math.inf if self._laws is None else self._laws[block.layer.name].error(max(1.0, block.size / 2), block.d)
        if off >= length:
            return np.zeros_like(task.target)
        share = off / length
        part = Part.CONSTANT_U if block.is_tap else Part.BIAS_U if block.is_constant else Part.U
        number = np.array([int(task.sign < 0)], dtype=np.uint32)
        noise = draw_rows(_NOISE_SEED, block.layer.index, part, block.channel, number, block.d)[0]
        answer: FloatArray = (1 - share**2) * task.target + off * math.sqrt((1 - share**2) / block.d) * noise
        return answer


@dataclass(frozen=True, eq=False)
class Stage:
    """Inputs on which output errors are measured, and the target's outputs there.

    Attributes
    ----------
    name : str
        What the inputs are.
    inputs : Tensor
        As many as a rehearsal can afford.
    all_inputs : Tensor
        Those that a finished ticket is measured on, at most 256.
    """

    ready: Prepared
    name: str
    inputs: Tensor
    all_inputs: Tensor
    outputs: tuple[Any, ...]

    def _rehearsal(self, laws: Mapping[str, SearchLaw] | None) -> Rehearsal:
        return Rehearsal(laws, keeps_few=self.ready.max_kept is not None)

    def fitted(self, plans: Sequence[LayerPlan], laws: Mapping[str, SearchLaw]) -> list[FittedLayer]:
        """The layers of a rehearsal, calibrated where calibration is asked for."""
        find = self._rehearsal(laws)
        if self.ready.chunks is not None:
            return self.ready.fit(list(plans), find)[0]
        return self._without_data(plans, find)

    def in_full(
        self, plans: Sequence[LayerPlan], laws: Mapping[str, SearchLaw]
    ) -> tuple[list[FittedLayer], dict[str, Any], float]:
        """The same with all that an extraction does besides: the layers, what the ticket would say, and seconds."""
        started = time.perf_counter()
        layers, note = self.ready.fit(list(plans), self._rehearsal(laws))
        return layers, note, time.perf_counter() - started

    def alone(self, plan: LayerPlan, laws: Mapping[str, SearchLaw] | None) -> float:
        """The output error of one layer's errors, without calibration; without laws that of losing the layer."""
        return self.error(self._without_data([plan], self._rehearsal(laws)))

    def _without_data(self, plans: Sequence[LayerPlan], find: Rehearsal) -> list[FittedLayer]:
        ready = self.ready
        if not ready.matches_means:
            return uncompensated(plans, ready.seed, find, 1)
        with_them = [with_constants(plan) if plan.layer.name in ready.means else plan for plan in plans]
        return compensated(with_them, ready.seed, ready.means, find, 1, taps=not find.keeps_few)

    def error(self, layers: Sequence[FittedLayer]) -> float:
        """The output error of these layers, the others being the target's own."""
        return self._error(layers, self.inputs, self.outputs)

    def final_error(self, layers: Sequence[FittedLayer]) -> float:
        """The same on all inputs."""
        return self._error(layers, self.all_inputs, _outputs(self.ready, self.all_inputs))

    def _error(self, layers: Sequence[FittedLayer], inputs: Tensor, outputs: Sequence[Any]) -> float:
        merged = {fitted.plan.layer.name: merged_of_fitted(fitted) for fitted in layers}
        ticket = merged_module(self.ready.plain, merged, torch.float64, plain=True).eval()
        with torch.no_grad():
            found = output_error(
                (y, ticket(chunk.clone())) for y, chunk in zip(outputs, torch.split(inputs, _CHUNK), strict=True)
            )
        assert found is not None  # `stage_for` has seen that outputs differ
        return found


def stage_for(ready: Prepared) -> Stage:
    """The example where it has inputs that differ in their outputs, else uniform inputs from the box.

    Raises
    ------
    InvalidInputError
        If the outputs are constant, so that no relative error is defined.
    """
    candidates = {"example_input": ready.inputs[:_MOST_INPUTS], "uniform inputs from the box": _drawn(ready)}
    for name, inputs in candidates.items():
        every = inputs.detach().cpu().double()
        if len(every) < _FEWEST_INPUTS:
            continue
        few = every[: max(_FEWEST_INPUTS, min(len(every), _WORK // max(1, _multiply_adds(ready, every[:1]))))]
        outputs = _outputs(ready, few)
        if output_error((y, y) for y in outputs) is not None:
            return Stage(ready, name, few, every, outputs)
    raise InvalidInputError(
        "the model's outputs do not differ between inputs, so there is no relative error to plan for"
    )


def _drawn(ready: Prepared) -> Tensor:
    """Uniform inputs of the box, by our own generator."""
    low, high = (torch.from_numpy(np.broadcast_to(end, ready.input_shape).copy()) for end in ready.box)
    numbers = np.arange(_DRAWN_INPUTS, dtype=np.uint32)
    words = draw_words(_NOISE_SEED, 0, Part.INSTANCE_TARGET, 0, numbers, math.prod(ready.input_shape))
    share = torch.from_numpy(words.astype(np.float64) / 2.0**32).reshape(_DRAWN_INPUTS, *ready.input_shape)
    return low + (high - low) * share


def _outputs(ready: Prepared, inputs: Tensor) -> tuple[Any, ...]:
    with torch.no_grad():
        return tuple(ready.plain(chunk.clone()) for chunk in torch.split(inputs, _CHUNK))


def _multiply_adds(ready: Prepared, sample: Tensor) -> int:
    """Of one input through the target's layers."""
    counted: list[int] = []

    def count(module: Any, _arguments: Any, output: Any) -> None:
        weight = module.weight.numel()
        channels = max(1, int(module.weight.shape[0]))
        counted.extend(tensor.numel() * weight // channels for tensor in tensors_of(output) or ())

    handles = [module.register_forward_hook(count) for module in ready.modules.values()]
    try:
        with torch.no_grad():
            ready.plain(sample.clone())
    finally:
        for handle in handles:
            handle.remove()
    return sum(counted)


def with_gains_below(plans: Sequence[LayerPlan], most: Mapping[str, float]) -> list[LayerPlan]:
    """The same plans, no gain above that of its layer."""
    return [
        replace(plan, layer=replace(plan.layer, gain=min(plan.layer.gain, most[plan.layer.name]))) for plan in plans
    ]
