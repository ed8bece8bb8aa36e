"""The certificate: how far a ticket and its target can be apart on a box, proved above, attained below."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sslth.cnn.ascent import Attack, attack, evaluated
from sslth.cnn.bounds import Enclosure, UnsupportedOperation
from sslth.cnn.layers import Weighted, Wiring, wiring_of
from sslth.cnn.linear_cell import climb_cells
from sslth.cnn.merged import MergedLayer, merged_module
from sslth.cnn.progress import Progress
from sslth.cnn.propagation import propagate
from sslth.cnn.relaxation import WORK, Relaxed, propagate_relaxed
from sslth.cnn.rounding32 import float32_error
from sslth.cnn.trace import Traced, trace
from sslth.errors import InvalidInputError

__all__ = ["Report", "certify_merged", "kernel_errors"]

FloatArray = npt.NDArray[np.float64]

# Without a graph the lower bound comes from plain float64 evaluation, whose rounding is not bounded
# rigorously; this share of the outputs' size is subtracted instead, some 1e6 times what is usual.
_UNPROVED_SLACK = 1e-9
_CLIPPED = 1e-6
_LOOSE = 1000.0


@dataclass(frozen=True, eq=False)
class Report:
    """What is proved and what was attained of |ticket - target| over a box of inputs.

    Attributes
    ----------
    upper, lower : float
        Maxima over the outputs. ``upper`` holds for every input of the box; ``lower`` is reached at
        ``witness``. Both speak of the real functions of the stored weights, rounding included.
    upper_per_output : float64, one output's shape without batch; a tuple of them for several outputs
    witness : float64[*input_shape]
    kernel_error : dict
        By layer, the maximum of ``kernel_error_per_block`` over input channels and signs.
    kernel_error_per_block : dict of dict
        ‖K̂ - K‖₂ / ‖K‖₂ by layer under "positive" and "negative" (float64[c_in], one block for each
        input channel) and "bias" (float64[groups]); 0/0 counts as 0. "negative" is missing where inputs
        are not negative, "bias" where neither network has one.
    reason : str or None
        Why ``upper`` is infinite; None where it is finite.
    same_target : bool or None
        Whether the model's weights are those that the ticket was made for; None if nobody compared them.
    float32_error : float
        Bound on |float32 evaluation - real function| of the merged ticket over the box, under the standard
        model of rounding (no TF32, no fast convolution algorithms); inf where none is known. It is not part
        of ``upper`` and ``lower``.
    low, high : float64[*input_shape]
        The box.
    seconds : float
    method : str
        How ``upper`` was proved: "linear relaxation", or "intervals" with the reason why that was all.
    same_class : bool or None
        True where it is proved that both networks give every input of the box the class that the target gives its
        centre, by the largest of its outputs. False where that is not proved, which says nothing about the networks.
        None where nobody asked, or the output is not one list of numbers.
    matched_error : dict
        By layer, the largest relative error of a channel block against what it was aimed at, as the ticket says:
        after calibration that is not the model's own kernel, of which ``kernel_error`` speaks. Empty if unknown.
    output_error : dict or None
        What the ticket says of ‖ticket - target‖ / ‖target - its mean‖: "with" and "without" compensation, the number
        of "inputs", and "on" which; None where it was not measured.
    """

    upper: float
    lower: float
    upper_per_output: FloatArray | tuple[FloatArray, ...]
    witness: FloatArray
    kernel_error: dict[str, float]
    kernel_error_per_block: dict[str, dict[str, FloatArray]]
    reason: str | None
    float32_error: float
    low: FloatArray
    high: FloatArray
    seconds: float
    same_target: bool | None = None
    method: str = "intervals"
    same_class: bool | None = None
    matched_error: dict[str, float] = field(default_factory=dict)
    output_error: dict[str, Any] | None = None

    @property
    def loose(self) -> bool:
        """Whether ``upper`` is finite but more than 1,000 times what was attained: it then says little."""
        return math.isfinite(self.upper) and self.upper > _LOOSE * self.lower and self.upper > 0

    def verdict(self) -> str:
        """What was found, in a sentence or two."""
        if not math.isfinite(self.upper):
            return f"nothing is proved, because {self.reason}; {self.lower:.3g} is attained"
        text = f"proved by {self.method}: the outputs differ by at most {self.upper:.3g}; {self.lower:.3g} is attained"
        if self.loose:
            text += "; the proof is loose at this depth, more than 1,000 times what was attained"
        if self.same_class:
            text += "; both networks give all of these inputs the same class"
        return text


def certify_merged(
    model: nn.Module,
    traced: Traced,
    merged: Mapping[str, MergedLayer],
    low: npt.ArrayLike,
    high: npt.ArrayLike,
    input_shape: tuple[int, ...],
    *,
    device: str | torch.device = "cpu",
    data: Tensor | None = None,
    starts: int = 32,
    steps: int = 60,
    seed: int = 0,
    progress: Progress | None = None,
    hops: int = 0,
    slope_steps: int = 0,
    work: float = WORK,
    classes: bool = False,
) -> Report:
    """Bound |ticket - target| over a box of inputs from above, and attain as much of it as possible.

    Parameters
    ----------
    model : nn.Module
        The target network.
    traced : Traced
        Its graph; without one ``upper`` is infinite, with the trace's reason.
    merged : mapping from module names to MergedLayer
        What the kept filters add up to in every replaced layer.
    low, high : float or float array that broadcasts to input_shape
    input_shape : tuple of int
        Without the batch dimension.
    device : str or torch.device
        Where gradients climb; what is reported is always recomputed on the CPU.
    data : float tensor [rows, *input_shape], optional
        Inputs of the box. All are evaluated, the worst are climbed from.
    starts, steps : int
        How many points climb (a third of them from the data), and how many steps each takes.
    seed : int
        Of the random starts.
    progress : callable (done, total, stage), optional
        May raise to stop.
    hops : int
        Linear programs, from each of the best points, where both networks are piecewise linear.
    slope_steps : int
        Gradient steps on the slopes of the relaxation.
    work : float
        Multiply-adds that the relaxation of each layer may take.
    classes : bool
        Whether to try to prove that both networks give all inputs the class of the box's centre.

    Returns
    -------
    Report

    Raises
    ------
    InvalidInputError
        If the box is empty or not finite, data leave the box or have another shape, or the model does
        not map a batch of inputs to a batch of finite outputs.

    Notes
    -----
    ``upper`` costs about ten forward passes, ``lower`` about ``4·starts·steps`` of one input. ``lower`` is
    what the enclosures of the single point ``witness`` prove. Without a graph it is the float64 value
    less 1e-9 of the outputs' size.
    """
    begun = time.perf_counter()
    box = _box(low, high, input_shape)
    rows = _rows(data, box, input_shape)
    target_uppers, reason, method, relaxed = _uppers(traced, merged, box, slope_steps, work)
    found = attack(
        model, merged, box, rows, device=torch.device(device), starts=starts, steps=steps, seed=seed,
        progress=progress,
    )  # fmt: skip
    found = _climbed(model, traced, merged, box, found, hops)
    lower, witness = _proved_lower(traced, merged, found)
    if target_uppers is None:
        target_uppers = [np.full(shape, math.inf) for shape in found.output_shapes]
    upper = max(float(values.max(initial=0.0)) for values in target_uppers)
    per_block = kernel_errors(model, merged)
    return Report(
        upper=upper,
        lower=lower,
        upper_per_output=target_uppers[0] if len(target_uppers) == 1 else tuple(target_uppers),
        witness=witness.numpy(),
        kernel_error={name: _largest_kernel_error(blocks) for name, blocks in per_block.items()},
        kernel_error_per_block=per_block,
        reason=reason,
        float32_error=float32_error(traced, merged, box[0][None], box[1][None]),
        low=box[0].numpy(),
        high=box[1].numpy(),
        seconds=time.perf_counter() - begun,
        method=method,
        same_class=_same_class(traced, relaxed) if classes else None,
    )


def _box(low: npt.ArrayLike, high: npt.ArrayLike, input_shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    ends: list[Tensor] = []
    for name, value in (("low", low), ("high", high)):
        try:
            array = np.broadcast_to(np.asarray(value, dtype=np.float64), input_shape)
        except (TypeError, ValueError) as error:
            raise InvalidInputError(f"`{name}` does not broadcast to the input shape {input_shape}") from error
        if not np.isfinite(array).all():
            raise InvalidInputError(f"`{name}` must be finite: a certificate speaks of a bounded box")
        ends.append(torch.from_numpy(np.array(array)))
    if bool((ends[0] > ends[1]).any()):
        raise InvalidInputError("`low` exceeds `high` somewhere, so that the box is empty")
    return ends[0], ends[1]


def _rows(data: Tensor | None, box: tuple[Tensor, Tensor], input_shape: tuple[int, ...]) -> Tensor:
    if data is None:
        return torch.empty((0, *input_shape), dtype=torch.float64)
    if tuple(data.shape[1:]) != tuple(input_shape):
        raise InvalidInputError(f"data rows have shape {tuple(data.shape[1:])}, not {tuple(input_shape)}")
    rows = data.detach().to("cpu", torch.float64)
    # Data in float32 may leave a float64 box by their rounding; that much is clipped.
    slack = [_CLIPPED * (1.0 + end.abs()) for end in box]
    if not bool(((rows >= box[0] - slack[0]) & (rows <= box[1] + slack[1])).all()):
        raise InvalidInputError("some data lie outside the box from `low` to `high` (or are NaN)")
    return torch.clamp(rows, box[0], box[1])


def _uppers(
    traced: Traced,
    merged: Mapping[str, MergedLayer],
    box: tuple[Tensor, Tensor],
    slope_steps: int,
    work: float,
) -> tuple[list[FloatArray] | None, str | None, str, Relaxed | None]:
    """The bounds of both methods, the smaller for every output; why there are none; the method; what it knows."""
    try:
        outputs = propagate(traced, merged, box[0][None], box[1][None])
    except UnsupportedOperation as error:
        return None, error.reason, "nothing", None
    uppers = [_without_batch(output.shift.magnitude()) for output in outputs]
    method, relaxed = "linear relaxation", None
    try:
        relaxed = propagate_relaxed(traced, merged, box[0][None], box[1][None], steps=slope_steps, work=work)
        sharper = [_without_batch(output.shift.magnitude()) for output in relaxed.outputs]
        uppers = [torch.fmin(old, new) for old, new in zip(uppers, sharper, strict=True)]
    except UnsupportedOperation as error:
        method = f"intervals ({error.reason})"
    if not all(bool(torch.isfinite(values).all()) for values in uppers):
        return None, "the bounds overflow on this box", "nothing", None
    return [values.numpy() for values in uppers], None, method, relaxed


def _same_class(traced: Traced, relaxed: Relaxed | None) -> bool | None:
    if relaxed is None or traced.graph_module is None or len(relaxed.outputs) != 1:
        return None
    shape = relaxed.outputs[0].shape
    if len(shape) != 2 or shape[1] < 2:
        return None
    middle = relaxed.outputs[0].target
    chosen = int((middle.low + middle.high)[0].argmax())
    margins = relaxed.least_margins(chosen)
    return None if margins is None else all(bool((margin > 0).all()) for margin in margins)


def _climbed(
    model: nn.Module,
    traced: Traced,
    merged: Mapping[str, MergedLayer],
    box: tuple[Tensor, Tensor],
    found: Attack,
    hops: int,
) -> Attack:
    """The points found, moved on by linear programs where that is possible."""
    if hops < 1 or traced.graph_module is None:
        return found
    ticket = trace(merged_module(traced.model, merged, torch.float64), found.points[:1])
    points = climb_cells(traced, ticket, box, found.points, lambda x: evaluated(model, merged, x)[0], hops)
    if points is None:
        return found
    values, sizes = evaluated(model, merged, points)
    return Attack(points, values, sizes, found.output_shapes)


def _without_batch(values: Tensor) -> Tensor:
    return values[0] if values.ndim > 0 and values.shape[0] == 1 else values


def _proved_lower(traced: Traced, merged: Mapping[str, MergedLayer], found: Attack) -> tuple[float, Tensor]:
    """Return the best candidate by what is proved of it; by its float64 value where nothing can be."""
    best, witness = -1.0, found.points[0]
    for candidate, value, size in zip(found.points, found.values, found.sizes, strict=True):
        try:
            outputs = propagate(traced, merged, candidate[None], candidate[None])
            proved = max(_least_magnitude(output) for output in outputs)
            if math.isnan(proved):
                raise UnsupportedOperation("overflow")
        except UnsupportedOperation:
            proved = max(0.0, float(value) - _UNPROVED_SLACK * float(size))
        if proved > best:
            best, witness = proved, candidate
    return best, witness


def _least_magnitude(output: Enclosure) -> float:
    least = torch.maximum(output.shift.low, -output.shift.high)
    return max(0.0, float(least.max())) if least.numel() else 0.0


def kernel_errors(model: nn.Module, merged: Mapping[str, MergedLayer]) -> dict[str, dict[str, FloatArray]]:
    """Return ‖K̂ - K‖₂ / ‖K‖₂ of every block: by layer, then "positive", "negative", "bias".

    Notes
    -----
    A block is one input channel and sign (the channel's slice of the kernel, in the output channels of
    its group); a bias has one block for each group. 0/0 counts as 0.
    """
    result: dict[str, dict[str, FloatArray]] = {}
    for name, layer in merged.items():
        module = model.get_submodule(name)
        assert isinstance(module, Weighted)
        wiring = wiring_of(module)
        weight = _float64(module.weight)
        blocks = {"positive": _relative(_blocks(_float64(layer.positive), wiring), _blocks(weight, wiring))}
        if layer.negative is not None:
            blocks["negative"] = _relative(_blocks(_float64(layer.negative), wiring), _blocks(-weight, wiring))
        if module.bias is not None or layer.bias is not None:
            wanted = torch.zeros(wiring.out_channels, dtype=torch.float64)
            wanted = wanted if module.bias is None else _float64(module.bias)
            kept = torch.zeros_like(wanted) if layer.bias is None else _float64(layer.bias)
            blocks["bias"] = _relative(kept.reshape(wiring.groups, -1), wanted.reshape(wiring.groups, -1))
        result[name] = blocks
    return result


def _blocks(kernel: Tensor, wiring: Wiring) -> Tensor:
    """Return [input channel, entries of its block] of a kernel."""
    if wiring.transposed or wiring.kind == "batch_norm":
        return kernel.reshape(wiring.in_channels, -1)
    groups = wiring.groups
    split = kernel.reshape(groups, wiring.outputs_per_group, wiring.inputs_per_group, -1)
    return split.transpose(1, 2).reshape(wiring.in_channels, -1)


def _relative(found: Tensor, wanted: Tensor) -> FloatArray:
    error = (found - wanted).norm(dim=1)
    ratio = error / wanted.norm(dim=1)
    values: FloatArray = torch.where(error == 0, 0.0, ratio).numpy()
    return values


def _largest_kernel_error(blocks: Mapping[str, FloatArray]) -> float:
    return max(float(blocks[sign].max(initial=0.0)) for sign in ("positive", "negative") if sign in blocks)


def _float64(parameter: object) -> Tensor:
    if not isinstance(parameter, Tensor):
        raise InvalidInputError("a merged layer's target has no weight")
    return parameter.detach().to("cpu", torch.float64)
