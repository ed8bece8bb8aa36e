"""A target made ready: checked, traced, without batch norm where it can be folded, its random network chosen."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from sslth.cnn.arguments import (
    check_corners,
    checked_example,
    checked_gains,
    checked_names,
    refuse_weights_read_directly,
    refuse_weights_read_unseen,
    resolve_device,
    run_once,
)
from sslth.cnn.box import as_box
from sslth.cnn.calibration import checked_calibration
from sslth.cnn.channel_means import ChannelMeans, channel_means
from sslth.cnn.channel_scales import with_scales_as_layers
from sslth.cnn.compensation import FittedLayer
from sslth.cnn.fit import BlockFinder, fit_to_data, fit_to_means, fit_to_weights
from sslth.cnn.joined import Shapes, corners_of, input_shapes, join_batches, join_rows, joined, shapes_taken, taken_by
from sslth.cnn.layers import Weighted, Wiring, find_layers, fingerprint, is_carried, refusal, wiring_of
from sslth.cnn.plain import find_folds, plain_network
from sslth.cnn.plan import LayerPlan, Searcher, plan_layer
from sslth.cnn.progress import Progress
from sslth.cnn.sequential import describe_sequential
from sslth.cnn.signs import nonnegative_inputs
from sslth.cnn.source import Source, as_source
from sslth.cnn.stays import stays_of
from sslth.cnn.ticket import Ticket
from sslth.cnn.trace import Traced, trace
from sslth.errors import InvalidInputError
from sslth.subset_sum.memory import parse_bytes

__all__ = ["Prepared", "prepare"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that an extraction knows before it draws a random number, and all but the widths.

    Attributes
    ----------
    twin : nn.Module
        A copy of the user's model, on the CPU.
    plain : nn.Module
        The same function in float64 without batch norm, and what is traced.
    gains : dict
        Those that the user fixed.
    chunks : list of Tensor or None
        Calibration inputs.
    memory : int
        Bytes for the rows of blocks that are searched at the same time.
    shapes : tuple of tuple of int or None
        Of the inputs, where the network takes several: then `plain` takes them joined.
    """

    seed: int
    solver: Searcher
    max_kept: int | None
    compensate: bool
    memory: int
    inputs: Tensor
    chunks: list[Tensor] | None
    box: tuple[FloatArray, FloatArray]
    carried: tuple[str, ...]
    twin: nn.Module
    plain: nn.Module
    folds: dict[str, str]
    traced: Traced
    modules: dict[str, Weighted]
    wirings: dict[str, Wiring]
    signs: dict[str, bool]
    origin: Source
    gains: dict[str, float]
    shapes: Shapes | None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one input, without the batch."""
        return tuple(self.inputs.shape[1:])

    def widths(self, width: int | Mapping[str, int]) -> dict[str, int]:
        """n of every layer: the wanted ones, or those of the reader's own random network."""
        if isinstance(width, Mapping):
            for name in width:
                if name not in self.modules:
                    raise InvalidInputError(f"width names the layer {name!r}, which the model does not have")
            missing = [name for name in self.modules if name not in width]
            if missing:
                raise InvalidInputError(f"width has no entry for the layer {missing[0]!r}; name every layer, or none")
            return {name: self.origin.width(name, width[name]) for name in self.modules}
        return {name: self.origin.width(name, width) for name in self.modules}

    def plans(self, widths: Mapping[str, int], report: Progress, *, try_gains: bool = True) -> list[LayerPlan]:
        """Every layer at its width, with its gain; for few kept filters it is tried out unless `try_gains` is False."""
        few = self.max_kept if try_gains else None
        gains = self.origin.fixed_gains(self.gains, self.wirings, widths)
        plans = []
        for index, (name, module) in enumerate(self.modules.items()):
            report(index, len(self.modules), "choosing gains")
            plans.append(
                plan_layer(
                    name, index, module, widths[name], self.seed, self.signs[name], gains.get(name), few,
                    self.solver, source=self.origin,
                )
            )  # fmt: skip
        return plans

    def fit(self, plans: list[LayerPlan], find: BlockFinder) -> tuple[list[FittedLayer], dict[str, Any]]:
        """The kept filters of every layer, and what the ticket says about what they were aimed at."""
        if self.chunks is not None:
            return fit_to_data(plans, self.seed, find, self.traced, self.chunks, self.memory)
        if not self.matches_means:
            because = "compensate=False" if not self.compensate else str(self.traced.reason)
            return fit_to_weights(plans, self.seed, find, because)
        return fit_to_means(plans, self.seed, find, self.means, self.plain, self.inputs)

    def ticket(self, layers: Sequence[FittedLayer], settings: dict[str, Any]) -> Ticket:
        """The ticket of these layers; `settings` say how its filters were chosen."""
        if self.traced.reason is not None:
            settings = settings | {"both_signs_because": self.traced.reason}
        return Ticket(
            seed=self.seed,
            width=max(fitted.plan.layer.width for fitted in layers),
            layers=tuple(fitted.kept() for fitted in layers),
            low=self.box[0],
            high=self.box[1],
            input_shape=self.input_shape,
            input_shapes=self.shapes,
            fingerprint=fingerprint(self.plain, self.carried),
            settings={"solver": self.solver.name, "max_kept": self.max_kept, **settings},
            folds=self.folds,
            carry_over=self.carried,
            stays=stays_of(self.plain, self.carried),
            source=self.origin.described,
            description=None if self.carried else describe_sequential(self.plain),
            model=self.twin,
        )

    @property
    def matches_means(self) -> bool:
        """Whether mean errors can be cancelled without data."""
        return self.compensate and self.traced.graph_module is not None

    @cached_property
    def means(self) -> dict[str, ChannelMeans]:
        """What the inputs of every layer are on average."""
        return channel_means(self.twin, self.traced, self.folds, self.wirings, self.box, self.input_shape)


def prepare(
    model: nn.Module,
    example_input: Any,
    *,
    seed: int,
    solver: Searcher,
    low: Any,
    high: Any,
    device: str,
    gain: float | Mapping[str, float] | None,
    calibration: Any,
    compensate: bool,
    max_kept: int | None,
    source: Any,
    memory: str | int,
    carry_over: Collection[str],
) -> Prepared:
    """Check what `sslth.extract` was given, run and trace a copy of the model, and pair up its random network.

    Raises
    ------
    InvalidInputError, UnsupportedModuleError
        As `sslth.extract` says.
    """
    if not isinstance(model, nn.Module):
        raise InvalidInputError(f"model is a {type(model).__name__}; it must be a torch.nn.Module")
    carried = checked_names(carry_over)
    shapes = input_shapes(example_input)
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and not is_carried(name, carried):
            raise refusal(name, module, ["weight"])  # before the whole numbers that it takes are refused as inputs
    inputs = checked_example(example_input if shapes is None else join_rows(example_input, shapes, "example_input"))
    shapes = shapes or shapes_taken(model)
    box = as_box(*corners_of(low, high, shapes), tuple(inputs.shape[1:]))
    if calibration is not None and shapes is not None:
        calibration = join_batches(calibration, shapes, "calibration")
    if calibration is not None and not compensate:
        raise InvalidInputError("compensate=False aims at the target's weights; leave it out, or leave out calibration")
    chunks = None if calibration is None else checked_calibration(calibration, tuple(inputs.shape[1:]), box)
    where = resolve_device(device)
    example = taken_by(model, inputs[:1].to(next(model.parameters(), inputs)), shapes)
    model = with_scales_as_layers(model, example, carried)
    find_layers(model, carried, allow_norms=True)  # what cannot be replaced is said before anything is run

    twin = copy.deepcopy(model).eval().to(where)
    seen = twin if shapes is None else joined(twin, shapes)
    sample = inputs[:1].to(where, next(twin.parameters()).dtype, copy=True)  # a forward may overwrite its input
    run_once(seen, sample)
    check_corners(seen, box, sample)
    folds = find_folds(trace(seen, sample), sample, carried)
    plain = plain_network(seen, folds, carried)
    modules = find_layers(plain, carried)
    wirings = {name: wiring_of(module) for name, module in modules.items()}
    origin = as_source(source, wirings)
    gains = checked_gains(gain, modules)
    available = parse_bytes(memory)
    traced = trace(plain, sample.cpu().double())
    if not isinstance(plain, Weighted):
        refuse_weights_read_directly(traced, modules)
    if traced.graph_module is None:
        refuse_weights_read_unseen(plain, modules, sample.cpu().double())
        signs = dict.fromkeys(modules, False)
    else:
        signs = nonnegative_inputs(traced, list(modules), bool((box[0] >= 0).all()))
    return Prepared(
        seed=seed,
        solver=solver,
        max_kept=max_kept,
        compensate=compensate,
        memory=available,
        inputs=inputs,
        chunks=chunks,
        box=box,
        carried=carried,
        twin=twin.cpu(),
        plain=plain,
        folds=folds,
        traced=traced,
        modules=modules,
        wirings=wirings,
        signs=signs,
        origin=origin,
        gains=gains,
        shapes=shapes,
    )
