"""What a ticket must know of a weighted layer: its shape and wiring, and the random pair that takes its place."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sslth.cnn.channel_affine import ChannelAffine
from sslth.cnn.own_weights import OwnPair
from sslth.errors import InvalidInputError, UnsupportedModuleError

__all__ = [
    "KINDS",
    "NORMS",
    "OWN",
    "Convolution",
    "Kind",
    "Layer",
    "PaddingMode",
    "Weighted",
    "Wiring",
    "bare_parameters",
    "empty_module",
    "find_layers",
    "fingerprint",
    "is_carried",
    "is_replaceable_norm",
    "kernel_and_bias",
    "refusal",
    "wiring_of",
]

FloatArray = npt.NDArray[np.float64]

OWN = "own"  # the law of weights that are the reader's own

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
Kind = Literal[
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear", "batch_norm"
]
KINDS: tuple[str, ...] = get_args(Kind)

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
Weighted = Convolution | nn.Linear | ChannelAffine

_KIND_OF: dict[type[nn.Module], Kind] = {
    nn.Conv1d: "conv1d",
    nn.Conv2d: "conv2d",
    nn.Conv3d: "conv3d",
    nn.ConvTranspose1d: "conv_transpose1d",
    nn.ConvTranspose2d: "conv_transpose2d",
    nn.ConvTranspose3d: "conv_transpose3d",
    nn.Linear: "linear",
    ChannelAffine: "batch_norm",
}
_MODULE_OF = {kind: module for module, kind in _KIND_OF.items()}
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_ACTIVATIONS = (nn.PReLU,)  # their few parameters belong to the activation, which passes through as it is
_SCALE = (
    "what multiplies every channel by a number of its own is replaced; put anything else into a module, and name that "
    "in carry_over"
)
_REMEDY = (
    "convolutions, Linear and batch norm are replaced; to take anything else along as it is, name it in carry_over"
)


@dataclass(frozen=True)
class Wiring:
    """Shape and arithmetic of one target layer; a linear layer is a 1x1 convolution of single pixels.

    A batch norm that stands alone is a 1x1 convolution in which every channel is a group of its own; so is a scale,
    without a bias.
    """

    kind: Kind
    in_channels: int
    out_channels: int
    has_bias: bool
    kernel_size: tuple[int, ...] = (1, 1)
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] | str = (0, 0)
    padding_mode: PaddingMode = "zeros"
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1
    output_padding: tuple[int, ...] = ()

    @property
    def transposed(self) -> bool:
        """Whether the layer is a transposed convolution."""
        return self.kind.startswith("conv_transpose")

    @property
    def pointwise(self) -> bool:
        """Whether the layer is linear or a batch norm, which have no window."""
        return self.kind in ("linear", "batch_norm")

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
        return self.outputs_per_group * math.prod(self.kernel_size)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the target's weight."""
        if self.kind == "linear":
            return (self.out_channels, self.in_channels)
        if self.kind == "batch_norm":
            return (self.out_channels,)
        if self.transposed:
            return (self.in_channels, self.outputs_per_group, *self.kernel_size)
        return (self.out_channels, self.inputs_per_group, *self.kernel_size)

    @property
    def constant_channel(self) -> Wiring:
        """The same layer reading one constant input channel a group, without a bias."""
        return replace(self, in_channels=self.groups, has_bias=False)

    def block(self, weight: FloatArray, channel: int) -> FloatArray:
        """K[:, channel], the target of one block: float64[outputs_per_group, *kernel_size] as a view."""
        if self.transposed:
            block: FloatArray = weight.reshape(self.in_channels, self.outputs_per_group, *self.kernel_size)[channel]
            return block
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
        Random filters, per group, that read the constant 1 and make the bias; 0 where the ticket has none.
    nonnegative : bool
        The input is proved to be non-negative, so filters with a negative scale are never kept.
    gain : float
        The random U is divided by this known number: its init scale is 1 / gain.
    law : str
        Of the random weights: "normal", "uniform", "kaiming", or "own".
    own : OwnPair or None
        The weights, if they are the reader's own.
    tap_constants : int
        Random filters, per group, that read a constant input channel and have a kernel; 0 without such a channel.
    tap_value : float
        What the constant input channel holds, a power of two.
    """

    name: str
    index: int
    wiring: Wiring
    width: int
    constants: int
    nonnegative: bool
    gain: float
    law: str = "normal"
    own: OwnPair | None = field(default=None, compare=False, repr=False)
    tap_constants: int = 0
    tap_value: float = 1.0

    @property
    def filters_per_channel(self) -> int:
        """2n."""
        return 2 * self.width

    @property
    def filters(self) -> int:
        """All random filters of the layer, those that read a constant included."""
        constants = self.constants + self.tap_constants
        return self.wiring.in_channels * self.filters_per_channel + self.wiring.groups * constants


def find_layers(
    model: nn.Module,
    carry_over: Collection[str] = (),
    *,
    allow_norms: bool = False,
    scales: Collection[nn.Parameter] = (),
) -> dict[str, Weighted]:
    """The modules whose weights a ticket replaces, by qualified name, each once, in the model's order.

    Parameters
    ----------
    model : nn.Module
        A plain network, as `plain_network` makes it: no batch norm is left in it.
    carry_over : names
        Modules that stay as they are, with all that is in them.
    allow_norms : bool
        Pass by batch norms that `plain_network` can replace: for a network that is not plain yet.
    scales : parameters
        Of modules that are no layers: pass by these too.

    Raises
    ------
    InvalidInputError
        If there is none, weights are NaN or infinite, or a name in `carry_over` is no module.
    UnsupportedModuleError
        If any other module holds parameters or buffers; the message names it.
    """
    if not isinstance(model, nn.Module):
        raise InvalidInputError(f"model is a {type(model).__name__}; it must be a torch.nn.Module")
    names = dict(model.named_modules(remove_duplicate=False))
    for name in carry_over:
        if name not in names or not name:
            raise InvalidInputError(f"carry_over names the module {name!r}, which the model does not have")
    carried = {id(module) for name, module in names.items() if is_carried(name, carry_over)}
    found: dict[str, Weighted] = {}
    for name, module in model.named_modules():
        if id(module) in carried:
            continue
        shown = name or "the model itself"
        if type(module) in _KIND_OF:
            assert isinstance(module, Weighted)
            _check_weights(shown, module)
            found[name] = module
        elif allow_norms and is_replaceable_norm(module):
            if module._forward_hooks or module._forward_pre_hooks:
                raise UnsupportedModuleError(f"{shown} has forward hooks, which a ticket would drop; remove them first")
        elif isinstance(module, nn.modules.batchnorm._NormBase):
            raise UnsupportedModuleError(f"{shown} is a {type(module).__name__} {_norm_trouble(module)}; {_REMEDY}")
        elif _has_weights_of_its_own(module):
            passed = {id(scale) for scale in scales}
            own = [label for label, value in module.named_parameters(recurse=False) if id(value) not in passed]
            if own:
                raise refusal(name, module, own)
    if not found:
        raise InvalidInputError("the model has no convolution and no Linear, so there is nothing to make a ticket of")
    return found


def refusal(name: str, module: nn.Module, labels: Iterable[str], because: str | None = None) -> UnsupportedModuleError:
    """The error about parameters of a module that is no layer; `because` takes the place of what can be done."""
    return UnsupportedModuleError(
        f"{name or 'the model itself'} is a {type(module).__name__} with weights of its own ({', '.join(labels)})"
        f"{because or ('; ' + (_REMEDY if name else _SCALE))}"
    )


def bare_parameters(model: nn.Module, carry_over: Collection[str] = ()) -> dict[str, nn.Parameter]:
    """Parameters of modules that are neither layers nor norms nor activations, by qualified name, each once."""
    found: dict[nn.Parameter, str] = {}  # one that several modules share has the first of its names, as in graphs
    for name, module in model.named_modules():
        if not is_carried(name, carry_over) and not isinstance(module, Weighted) and _has_weights_of_its_own(module):
            for label, parameter in module.named_parameters(recurse=False):
                found.setdefault(parameter, f"{name}.{label}" if name else label)
    return {name: parameter for parameter, name in found.items()}


def _has_weights_of_its_own(module: nn.Module) -> bool:
    """Of a module that is no layer."""
    if type(module) in _ACTIVATIONS or isinstance(module, nn.modules.batchnorm._NormBase):
        return False
    return next(module.parameters(recurse=False), None) is not None


def is_replaceable_norm(module: nn.Module) -> bool:
    """Whether it is a batch norm with running statistics, and so a fixed scale and offset in evaluation mode."""
    return (
        type(module) in NORMS
        and getattr(module, "running_mean", None) is not None
        and getattr(module, "running_var", None) is not None
    )


def is_carried(name: str, carry_over: Collection[str]) -> bool:
    """Whether a module is one of those that are carried over, or inside one."""
    return any(name == carried or name.startswith(carried + ".") for carried in carry_over)


def _norm_trouble(module: nn.Module) -> str:
    if getattr(module, "running_mean", None) is None:
        return "without running statistics, so it is no fixed function of its input"
    return "that normalises every input by its own mean"


def _check_weights(name: str, module: Weighted) -> None:
    if not isinstance(module, ChannelAffine) and "weight" not in module._parameters:
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


def wiring_of(module: Weighted) -> Wiring:
    """Read a module's shape."""
    if isinstance(module, nn.Linear):
        return Wiring("linear", module.in_features, module.out_features, module.bias is not None)
    if isinstance(module, ChannelAffine):
        return Wiring("batch_norm", module.channels, module.channels, module.bias is not None, groups=module.channels)
    padding = module.padding if isinstance(module.padding, str) else _whole(module.padding)
    kind = _KIND_OF[type(module)]
    return Wiring(
        kind,
        module.in_channels,
        module.out_channels,
        module.bias is not None,
        _whole(module.kernel_size),
        _whole(module.stride),
        padding,
        module.padding_mode,
        _whole(module.dilation),
        module.groups,
        _whole(module.output_padding) if kind.startswith("conv_transpose") else (),
    )


def empty_module(wiring: Wiring) -> Weighted:
    """A module of this shape whose weights have no values yet (meta device)."""
    if wiring.kind == "linear":
        return nn.Linear(wiring.in_channels, wiring.out_channels, wiring.has_bias, device="meta")
    if wiring.kind == "batch_norm":
        weight = torch.empty(wiring.out_channels, device="meta")
        return ChannelAffine(weight, torch.empty_like(weight) if wiring.has_bias else None)
    settings: dict[str, Any] = {
        "kernel_size": wiring.kernel_size,
        "stride": wiring.stride,
        "padding": wiring.padding,
        "dilation": wiring.dilation,
        "groups": wiring.groups,
        "bias": wiring.has_bias,
        "padding_mode": wiring.padding_mode,
        "device": "meta",
    }
    if wiring.transposed:
        settings["output_padding"] = wiring.output_padding
    module: Weighted = _MODULE_OF[wiring.kind](wiring.in_channels, wiring.out_channels, **settings)  # type: ignore[assignment]
    return module


def _whole(values: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def kernel_and_bias(module: Weighted) -> tuple[FloatArray, FloatArray | None]:
    """The stored weights as float64 arrays, exactly."""
    return _exact(module.weight), None if module.bias is None else _exact(module.bias)


def _exact(values: Tensor) -> FloatArray:
    array: FloatArray = values.detach().to("cpu", torch.float64).numpy()
    return array


def fingerprint(model: nn.Module, carry_over: Collection[str] = ()) -> str:
    """SHA-256 over the names, shapes and float64 values of the weights that a ticket replaces, in a plain network."""
    digest = hashlib.sha256()
    for name, module in find_layers(model, carry_over).items():
        for part, values in (("weight", module.weight), ("bias", module.bias)):
            if values is not None:
                array = np.ascontiguousarray(_exact(values))
                digest.update(f"{name}.{part}:{array.shape};".encode())
                digest.update(array.astype("<f8").tobytes())
    return digest.hexdigest()
