"""What a ticket must know of a weighted layer: its shape and wiring, and the random pair that takes its place."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sslth.errors import InvalidInputError, UnsupportedModuleError

__all__ = ["Layer", "PaddingMode", "Wiring", "find_layers", "fingerprint", "kernel_and_bias", "wiring_of"]

FloatArray = npt.NDArray[np.float64]

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]

_REMEDY = "only Conv2d and Linear may have weights"


@dataclass(frozen=True)
class Wiring:
    """Shape and arithmetic of one target layer; a linear layer is a 1x1 convolution of single pixels."""

    kind: Literal["conv2d", "linear"]
    in_channels: int
    out_channels: int
    has_bias: bool
    kernel_size: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] | str = (0, 0)
    padding_mode: PaddingMode = "zeros"
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def outputs_per_group(self) -> int:
        """Output channels that one input channel feeds; also the dimension of a bias block."""
        return self.out_channels // self.groups

    @property
    def inputs_per_group(self) -> int:
        """Input channels that one output channel reads."""
        return self.in_channels // self.groups

    @property
    def d(self) -> int:
        """Dimension of the subset-sum problem of one input channel."""
        return self.outputs_per_group * self.kernel_size[0] * self.kernel_size[1]

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the target's weight."""
        if self.kind == "linear":
            return (self.out_channels, self.in_channels)
        return (self.out_channels, self.inputs_per_group, *self.kernel_size)

    def block(self, weight: FloatArray, channel: int) -> FloatArray:
        """K[:, channel], the target of one block: float64[outputs_per_group, kh, kw] as a view."""
        group, inside = divmod(channel, self.inputs_per_group)
        rows = slice(group * self.outputs_per_group, (group + 1) * self.outputs_per_group)
        return weight.reshape(self.out_channels, self.inputs_per_group, *self.kernel_size)[rows, inside]


@dataclass(frozen=True)
class Layer:
    """One layer of the random network: where it stands, how wide it is, what it is aimed at.

    Attributes
    ----------
    name : str
        Qualified name of the target's module.
    index : int
        Its number in the generator of random weights.
    wiring : Wiring
    width : int
        n: every input channel has 2n random 1x1 filters.
    constants : int
        Random filters, per group, that read the constant 1 and make the bias; 0 without a bias.
    nonnegative : bool
        The input is proved to be non-negative, so filters with a negative scale are never kept.
    gain : float
        The random U is divided by this known number: its init scale is 1 / gain.
    """

    name: str
    index: int
    wiring: Wiring
    width: int
    constants: int
    nonnegative: bool
    gain: float

    @property
    def filters_per_channel(self) -> int:
        """2n."""
        return 2 * self.width

    @property
    def filters(self) -> int:
        """All random filters of the layer, those that read the constant included."""
        return self.wiring.in_channels * self.filters_per_channel + self.wiring.groups * self.constants


def find_layers(model: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    """The modules whose weights a ticket replaces, by qualified name, each once, in the model's order.

    Raises
    ------
    InvalidInputError
        If there is none, or weights are NaN or infinite.
    UnsupportedModuleError
        If any other module holds parameters or running statistics; the message names it.
    """
    if not isinstance(model, nn.Module):
        raise InvalidInputError(f"model is a {type(model).__name__}; it must be a torch.nn.Module")
    found: dict[str, nn.Conv2d | nn.Linear] = {}
    for name, module in model.named_modules():
        shown = name or "the model itself"
        if isinstance(module, nn.modules.batchnorm._NormBase):
            raise UnsupportedModuleError(
                f"{shown} is a {type(module).__name__}; fold it into the convolution before it first ({_REMEDY})"
            )
        if type(module) is nn.Conv2d or type(module) is nn.Linear:
            _check_weights(shown, module)
            found[name] = module
        elif next(module.parameters(recurse=False), None) is not None:
            raise UnsupportedModuleError(f"{shown} is a {type(module).__name__} with weights of its own; {_REMEDY}")
    if not found:
        raise InvalidInputError("the model has no Conv2d or Linear layer, so there are no weights to make a ticket of")
    return found


def _check_weights(name: str, module: nn.Conv2d | nn.Linear) -> None:
    if "weight" not in module._parameters:
        raise UnsupportedModuleError(
            f"{name} computes its weight in a hook or parametrization; bake it in first (torch.nn.utils...remove)"
        )
    if module._forward_hooks or module._forward_pre_hooks:
        raise UnsupportedModuleError(f"{name} has forward hooks, which a ticket would drop; remove them first")
    for label, values in (("weight", module.weight), ("bias", module.bias)):
        if values is not None and values.is_meta:
            raise InvalidInputError(f"{name}.{label} is on the meta device and has no values")
        if values is not None and not bool(torch.isfinite(values).all()):
            raise InvalidInputError(f"{name}.{label} holds NaN or infinite values")
        if values is not None and (values.numel() == 0 or not values.is_floating_point()):
            raise InvalidInputError(f"{name}.{label} is empty or not real: shape {tuple(values.shape)}, {values.dtype}")


def wiring_of(module: nn.Conv2d | nn.Linear) -> Wiring:
    """Read a module's shape."""
    if isinstance(module, nn.Linear):
        return Wiring("linear", module.in_features, module.out_features, module.bias is not None)
    padding = module.padding if isinstance(module.padding, str) else _pair(module.padding)
    return Wiring(
        "conv2d",
        module.in_channels,
        module.out_channels,
        module.bias is not None,
        _pair(module.kernel_size),
        _pair(module.stride),
        padding,
        module.padding_mode,
        _pair(module.dilation),
        module.groups,
    )


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    first, second = values
    return int(first), int(second)


def kernel_and_bias(module: nn.Conv2d | nn.Linear) -> tuple[FloatArray, FloatArray | None]:
    """The stored weights as float64 arrays, exactly."""
    weight = module.weight.detach().to("cpu", torch.float64).numpy()
    bias = None if module.bias is None else module.bias.detach().to("cpu", torch.float64).numpy()
    return weight, bias


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
