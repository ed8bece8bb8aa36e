"""Both networks and what is claimed of them, as ONNX and VNN-LIB, so that an independent verifier can be asked."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sslth.cnn.export import onnx_bytes
from sslth.cnn.ticket import Ticket
from sslth.errors import InvalidInputError
from sslth.subset_sum.files import write_bytes

__all__ = ["export_property", "vnnlib_text"]

FloatArray = npt.NDArray[np.float64]

_FILES = ("target.onnx", "ticket.onnx", "difference.onnx", "property.vnnlib")


def export_property(ticket: Ticket, model: nn.Module, folder: str | os.PathLike[str], bound: float) -> list[Path]:
    """Write both networks and the question of their difference, for an independent verifier.

    Parameters
    ----------
    ticket : Ticket
    model : torch.nn.Module
        The target network.
    folder : path
        Made if it is not there. Gets target.onnx and ticket.onnx (merged), without batch norm; difference.onnx, which
        computes target - ticket; and property.vnnlib: an input of the ticket's box at which some output of
        difference.onnx is `bound` or more away from 0. Verifiers that take two networks read the box from it.
    bound : float
        Positive and finite, such as `report.upper`.

    Returns
    -------
    list of Path

    Raises
    ------
    InvalidInputError
        As for `to_onnx`; also if the network has several outputs or a part that cannot be traced.

    Notes
    -----
    Several inputs are one here, their entries one after another. Weights are rounded to float32, as verifiers read
    them, and a verifier's arithmetic may round again: near `bound` its answer is about slightly other functions than
    the certificate's.
    """
    if not 0 < bound < math.inf:
        raise InvalidInputError(f"the bound of the exported property is {bound!r}; it must be positive and finite")
    folder = Path(folder)
    target = ticket.plain_target(model).float()
    kept = ticket.seen(ticket.to_module(model, merged=True)).float()
    with torch.no_grad():
        output = target(torch.zeros((1, *ticket.input_shape)))
    if not isinstance(output, Tensor):
        raise InvalidInputError("the network has several outputs; a property is exported for networks with one")
    shape = ticket.input_shape
    contents = [onnx_bytes(network, shape) for network in (target, kept, _Difference(target, kept))]
    low, high = (np.broadcast_to(end, shape).ravel() for end in (ticket.low, ticket.high))
    contents.append(vnnlib_text(low, high, output.numel(), bound).encode())
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(f"cannot make the folder {folder}: {error.strerror or error}") from error
    paths = [folder / name for name in _FILES]
    for path, content in zip(paths, contents, strict=True):
        write_bytes(path, content)
    return paths


def vnnlib_text(low: FloatArray, high: FloatArray, outputs: int, bound: float) -> str:
    """A VNN-LIB property that is satisfiable where some output is `bound` or more away from 0 inside the box.

    Numbers are written out in full, without exponents; inputs and outputs are numbered in C order.

    Examples
    --------
    >>> print(vnnlib_text(np.zeros(1), np.ones(1), 1, 0.25))
    ; satisfiable: an input of the box at which an output is 0.25 or more away from 0
    (declare-const X_0 Real)
    (declare-const Y_0 Real)
    (assert (>= X_0 0.0))
    (assert (<= X_0 1.0))
    (assert (or (and (>= Y_0 0.25)) (and (<= Y_0 -0.25))))
    <BLANKLINE>
    """
    edge = _decimal(bound)
    lines = [f"; satisfiable: an input of the box at which an output is {edge} or more away from 0"]
    lines += [f"(declare-const X_{i} Real)" for i in range(low.size)]
    lines += [f"(declare-const Y_{j} Real)" for j in range(outputs)]
    for i in range(low.size):
        lines += [f"(assert (>= X_{i} {_decimal(low[i])}))", f"(assert (<= X_{i} {_decimal(high[i])}))"]
    cases = " ".join(f"(and (>= Y_{j} {edge})) (and (<= Y_{j} {_decimal(-bound)}))" for j in range(outputs))
    return "\n".join([*lines, f"(assert (or {cases}))", ""])


def _decimal(value: float) -> str:
    """The float in plain decimal notation, so that reading gives it back."""
    return np.format_float_positional(float(value), trim="0")


class _Difference(nn.Module):
    """target(x) - ticket(x)."""

    def __init__(self, target: nn.Module, ticket: nn.Module) -> None:
        super().__init__()
        self.target = target
        self.ticket = ticket

    def forward(self, input: Tensor) -> Tensor:
        difference: Tensor = self.target(input) - self.ticket(input)
        return difference
