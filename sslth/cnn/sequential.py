"""Plain sequential networks as data, so that a ticket of one can be rebuilt without the user's code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import torch
from torch import Tensor, nn

from sslth.cnn.layers import Weighted, Wiring, empty_module
from sslth.cnn.swap import swapped_copy
from sslth.errors import TicketFileError

__all__ = ["build_sequential", "check_runs", "describe_sequential", "empty_network"]

# weightless modules that a ticket file may name, with the constructor's arguments (attributes of the same name)
_WEIGHTLESS: dict[str, tuple[str, ...]] = {
    "AdaptiveAvgPool1d": ("output_size",),
    "AdaptiveAvgPool2d": ("output_size",),
    "AdaptiveMaxPool1d": ("output_size",),
    "AdaptiveMaxPool2d": ("output_size",),
    "AvgPool1d": ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"),
    "AvgPool2d": ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
    "Dropout": ("p",),
    "Dropout2d": ("p",),
    "ELU": ("alpha",),
    "Flatten": ("start_dim", "end_dim"),
    "GELU": ("approximate",),
    "Hardsigmoid": (),
    "Hardswish": (),
    "Identity": (),
    "LeakyReLU": ("negative_slope",),
    "LogSoftmax": ("dim",),
    "MaxPool1d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "MaxPool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "Mish": (),
    "ReLU": (),
    "ReLU6": (),
    "SELU": (),
    "Sigmoid": (),
    "SiLU": (),
    "Softmax": ("dim",),
    "Softplus": ("beta", "threshold"),
    "Softsign": (),
    "Tanh": (),
    "ZeroPad2d": ("padding",),
}
_LAYER = "layer"
_DEEPEST = 20
_LARGEST_OUTPUT = 1 << 31


class _Place(nn.Identity):
    """Where a weighted layer of the ticket goes."""


def describe_sequential(model: nn.Module) -> list[Any] | None:
    """Nested lists of [name, class, arguments], or None if the model is not made of known modules in sequence."""
    if type(model) is not nn.Sequential:
        return None
    described: list[Any] = []
    seen: set[int] = set()
    for name, module in model._modules.items():
        if module is None or id(module) in seen:
            return None
        if type(module) is nn.Sequential:
            inner = describe_sequential(module)
            if inner is None:
                return None
            described.append([name, "Sequential", inner])
        elif type(module) in get_args(Weighted):
            seen.add(id(module))
            described.append([name, _LAYER, {}])
        elif getattr(nn, type(module).__name__, None) is type(module) and type(module).__name__ in _WEIGHTLESS:
            arguments = _WEIGHTLESS[type(module).__name__]
            described.append([name, type(module).__name__, {key: getattr(module, key) for key in arguments}])
        else:
            return None
    return described


def build_sequential(described: Any, depth: int = 0) -> nn.Sequential:
    """The network that `describe_sequential` described, with a place where each weighted layer was.

    Raises
    ------
    TicketFileError
        If the description names anything but known weightless modules with plain arguments.
    """
    network = nn.Sequential()
    if not isinstance(described, list) or depth > _DEEPEST:
        raise TicketFileError("the ticket's description of the network is not a list of modules")
    for item in described:
        match item:
            case [str(name), "Sequential", inner]:
                module: nn.Module = build_sequential(inner, depth + 1)
            case [str(name), str(kind), {}] if kind == _LAYER:
                module = _Place()
            case [str(name), str(kind), dict(arguments)] if set(arguments) == set(_WEIGHTLESS.get(kind, ("?",))):
                try:
                    module = getattr(nn, kind)(**{key: _plain(value) for key, value in arguments.items()})
                except (TypeError, ValueError) as error:
                    raise TicketFileError(
                        f"the ticket's description of {name} is not a valid {kind}: {error}"
                    ) from None
            case _:
                raise TicketFileError(f"the ticket's description of the network holds {str(item)[:80]!r}")
        if name in network._modules:
            raise TicketFileError(f"the ticket's description of the network names {name!r} twice")
        try:
            network.add_module(name, module)
        except KeyError as error:
            raise TicketFileError(f"the ticket's description holds the module name {name!r}: {error}") from None
    return network


def empty_network(described: Any, wirings: Mapping[str, Wiring]) -> nn.Module:
    """The described network with layers of the given shapes, which have no values yet (meta device).

    Raises
    ------
    TicketFileError
        If the description and the layers do not have the same names.
    """
    network = build_sequential(described)
    places = {name for name, module in network.named_modules() if type(module) is _Place}
    if places != set(wirings):
        wrong = sorted(places ^ set(wirings))[0]
        raise TicketFileError(f"the ticket's layers and its description of the network disagree about {wrong!r}")
    return swapped_copy(network, {name: empty_module(wiring) for name, wiring in wirings.items()})


def check_runs(described: Any, wirings: Mapping[str, Wiring], input_shape: tuple[int, ...]) -> None:
    """Run the shapes through the network, without any arithmetic or memory; TicketFileError if they do not fit."""
    network = empty_network(described, wirings)

    def refuse(module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.numel() > _LARGEST_OUTPUT:
            raise ValueError(f"an output of shape {tuple(output.shape)}")
        dim = getattr(module, "dim", 0)  # softmax without values does not look at it
        if isinstance(output, Tensor) and dim is not None and not -output.dim() <= dim < output.dim():
            raise ValueError(f"dimension {dim} of an output of shape {tuple(output.shape)}")

    for module in network.modules():
        module.register_forward_hook(refuse)
    try:
        with torch.no_grad():
            network(torch.empty((1, *input_shape), device="meta"))
    except (RuntimeError, ValueError, TypeError, IndexError, OverflowError, ZeroDivisionError) as error:
        detail = " ".join(str(error).split())[:100]
        raise TicketFileError(f"the network that the ticket describes cannot run: {detail}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, list):  # JSON turns tuples into lists
        return tuple(_plain(item) for item in value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{value!r} is not a plain value")
