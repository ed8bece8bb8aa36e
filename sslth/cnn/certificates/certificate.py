"""The certificate: how far a ticket and its target can be apart on a box, proved above, attained below."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sslth.cnn.certificates.ascent import Attack, attack
from sslth.cnn.certificates.attained import climbed, proved_lower
from sslth.cnn.certificates.proof import Proof, prove
from sslth.cnn.certificates.relaxation import WORK
from sslth.cnn.certificates.rounding32 import float32_error
from sslth.cnn.kernel_errors import kernel_errors, largest_kernel_error
from sslth.cnn.merged import MergedLayer
from sslth.cnn.progress import Progress
from sslth.cnn.trace import Traced
from sslth.errors import InvalidInputError

__all__ = ["Report", "certify_merged"]

FloatArray = npt.NDArray[np.float64]

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
    device, data, starts, steps, seed, progress, hops, slope_steps, work
        As for `certify`; the progress may raise to stop.
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
    Intervals cost about ten forward passes, ``lower`` about ``4·starts·steps`` of one input. ``lower`` is
    what the enclosures of the single point ``witness`` prove. Without a graph it is the float64 value
    less 1e-9 of the outputs' size.
    """
    begun = time.perf_counter()
    box = _box(low, high, input_shape)
    rows = _rows(data, box, input_shape)
    proof = prove(traced, merged, box, slope_steps, work)
    found = attack(
        model, merged, box, rows, device=torch.device(device), starts=starts, steps=steps, seed=seed,
        progress=progress,
    )  # fmt: skip
    found = climbed(model, traced, merged, box, found, hops)
    report = _report(model, traced, merged, box, proof, found)
    same_class = proof.same_class(traced) if classes else None
    return replace(report, same_class=same_class, seconds=time.perf_counter() - begun)


def _report(
    model: nn.Module,
    traced: Traced,
    merged: Mapping[str, MergedLayer],
    box: tuple[Tensor, Tensor],
    proof: Proof,
    found: Attack,
) -> Report:
    """What was proved and found, beside what is known of the kernels."""
    lower, witness = proved_lower(traced, merged, found)
    uppers = proof.uppers
    if uppers is None:
        uppers = [np.full(shape, math.inf) for shape in found.output_shapes]
    per_block = kernel_errors(model, merged)
    return Report(
        upper=max(float(values.max(initial=0.0)) for values in uppers),
        lower=lower,
        upper_per_output=uppers[0] if len(uppers) == 1 else tuple(uppers),
        witness=witness.numpy(),
        kernel_error={name: largest_kernel_error(blocks) for name, blocks in per_block.items()},
        kernel_error_per_block=per_block,
        reason=proof.reason,
        float32_error=float32_error(traced, merged, box[0][None], box[1][None]),
        low=box[0].numpy(),
        high=box[1].numpy(),
        seconds=0.0,
        method=proof.method,
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
