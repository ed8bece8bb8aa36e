"""How far the kernels of a ticket are from the target's, block by block."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sslth.cnn.layers import Weighted, Wiring, wiring_of
from sslth.cnn.merged import MergedLayer
from sslth.errors import InvalidInputError

__all__ = ["kernel_errors", "largest_kernel_error"]

FloatArray = npt.NDArray[np.float64]


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


def largest_kernel_error(blocks: Mapping[str, FloatArray]) -> float:
    """The largest error over input channels and signs, biases left out."""
    return max(float(blocks[sign].max(initial=0.0)) for sign in ("positive", "negative") if sign in blocks)


def _float64(parameter: object) -> Tensor:
    if not isinstance(parameter, Tensor):
        raise InvalidInputError("a merged layer's target has no weight")
    return parameter.detach().to("cpu", torch.float64)
