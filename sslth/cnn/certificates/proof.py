"""The upper side of a certificate: what is proved of all inputs of a box."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sslth.cnn.certificates.bounds import UnsupportedOperation
from sslth.cnn.certificates.propagation import propagate
from sslth.cnn.certificates.relaxation import Relaxed, propagate_relaxed
from sslth.cnn.merged import MergedLayer
from sslth.cnn.trace import Traced

__all__ = ["Proof", "prove"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Proof:
    """What was proved of |ticket - target| over a box.

    Attributes
    ----------
    uppers : list of float64 or None
        A bound for every entry of every output, without a batch; None where there is no finite one.
    reason : str or None
        Why there is none.
    method : str
        How it was proved.
    relaxed : Relaxed or None
        What the relaxation knows, for further questions.
    """

    uppers: list[FloatArray] | None
    reason: str | None
    method: str
    relaxed: Relaxed | None = None

    def same_class(self, traced: Traced) -> bool | None:
        """Whether one class is proved for all inputs and both networks; None where the output is no list of numbers."""
        relaxed = self.relaxed
        if relaxed is None or traced.graph_module is None or len(relaxed.outputs) != 1:
            return None
        shape = relaxed.outputs[0].shape
        if len(shape) != 2 or shape[1] < 2:
            return None
        middle = relaxed.outputs[0].target
        chosen = int((middle.low + middle.high)[0].argmax())
        margins = relaxed.least_margins(chosen)
        return None if margins is None else all(bool((margin > 0).all()) for margin in margins)


def prove(
    traced: Traced,
    merged: Mapping[str, MergedLayer],
    box: tuple[Tensor, Tensor],
    slope_steps: int,
    work: float,
) -> Proof:
    """Bound the difference by intervals and by relaxation, and keep the smaller bound of every output."""
    try:
        outputs = propagate(traced, merged, box[0][None], box[1][None])
    except UnsupportedOperation as error:
        return Proof(None, error.reason, "nothing")
    uppers = [_without_batch(output.shift.magnitude()) for output in outputs]
    method, relaxed = "linear relaxation", None
    try:
        relaxed = propagate_relaxed(traced, merged, box[0][None], box[1][None], steps=slope_steps, work=work)
        sharper = [_without_batch(output.shift.magnitude()) for output in relaxed.outputs]
        uppers = [torch.fmin(old, new) for old, new in zip(uppers, sharper, strict=True)]
    except UnsupportedOperation as error:
        method = f"intervals ({error.reason})"
    if not all(bool(torch.isfinite(values).all()) for values in uppers):
        return Proof(None, "the bounds overflow on this box", "nothing")
    return Proof([values.numpy() for values in uppers], None, method, relaxed)


def _without_batch(values: Tensor) -> Tensor:
    return values[0] if values.ndim > 0 and values.shape[0] == 1 else values
