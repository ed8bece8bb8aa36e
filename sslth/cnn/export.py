"""Tickets as ONNX files (extra `export`)."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from sslth.cnn.joined import shapes_taken
from sslth.cnn.ticket import Ticket
from sslth.errors import InvalidInputError
from sslth.subset_sum.files import write_bytes

__all__ = ["onnx_bytes", "to_onnx"]

_EXTRA = "pip install 'sslth[export]'"


def to_onnx(
    ticket: Ticket, path: str | os.PathLike[str], model: nn.Module | None = None, *, merged: bool = False
) -> None:
    """Write the ticket as an ONNX network in float32, batch free: inputs "input", "input_1", ..., outputs "output", ...

    Parameters
    ----------
    ticket : Ticket
    path : path
    model : torch.nn.Module, optional
        Lends its forward where the ticket needs it: see `Ticket.to_module`.
    merged : bool
        False: the kept filters, all of a layer at once; memory grows with their number. True: the target's shape.

    Raises
    ------
    InvalidInputError
        If the extra `export` is not installed, the forward cannot be exported, or the file cannot be written.
    """
    network = ticket.to_module(model, merged=merged)
    shapes = ticket.input_shapes if shapes_taken(network) is None else None
    write_bytes(path, onnx_bytes(network, *(shapes or (ticket.input_shape,))))


def onnx_bytes(network: nn.Module, *input_shapes: tuple[int, ...]) -> bytes:
    """The network in float32 as the content of an ONNX file, its weights inside; the batch is free."""
    try:
        import onnx
        import onnxscript  # noqa: F401  (torch's exporter needs it)
    except ImportError as error:
        raise InvalidInputError(f"ONNX files need the extra `export` ({error}): {_EXTRA}") from None
    network = network.cpu().float().eval()
    example = tuple(torch.zeros((2, *shape)) for shape in input_shapes)  # a batch of 1 would be taken for a constant
    batch = torch.export.Dim("batch")
    try:
        with warnings.catch_warnings(), _quiet_exporter(), torch.no_grad():
            warnings.simplefilter("ignore")  # of the exporter's own making
            program = torch.onnx.export(
                network,
                example,
                input_names=["input", *(f"input_{number}" for number in range(1, len(example)))],
                dynamic_shapes=tuple({0: batch} for _ in example),
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # the user's forward is run by torch's tracer here
        detail = " ".join(str(error).split())[:160]
        raise InvalidInputError(f"the network cannot be exported to ONNX: {detail}") from None
    with TemporaryDirectory() as folder:
        place = Path(folder) / "network.onnx"
        assert program is not None
        program.save(place)
        loaded: Any = onnx.load(place)
    _name_outputs(loaded)
    onnx.checker.check_model(loaded)
    content: bytes = loaded.SerializeToString(deterministic=True)
    return content


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Without the exporter's remarks on torchvision, which is not needed."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _name_outputs(loaded: Any) -> None:
    """Call them "output", "output_1", ...: the exporter names them after its own steps."""
    names = {output.name: "output" if i == 0 else f"output_{i}" for i, output in enumerate(loaded.graph.output)}
    for output in loaded.graph.output:
        output.name = names[output.name]
    for node in loaded.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
