"""A ticket file's metadata: what is written of every layer, and how what somebody wrote is checked as it is read."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, get_args

from sslth.cnn.joined import Shapes
from sslth.cnn.json_fields import size, sizes, typed
from sslth.cnn.layers import KINDS, Layer, PaddingMode, Wiring
from sslth.cnn.stays import Stays
from sslth.cnn.weight_laws import LAWS
from sslth.errors import TicketFileError
from sslth.subset_sum.random_weights import MAX_LAYERS

__all__ = [
    "LARGEST_TENSOR",
    "WIDEST",
    "fields_of",
    "folds_of",
    "input_shapes_of",
    "layer_of",
    "names_of",
    "source_of",
    "stays_in",
]

LARGEST_TENSOR = 1 << 31
WIDEST = 1 << 31  # 2n must be a 32-bit filter number


def fields_of(layer: Layer) -> dict[str, Any]:
    """What the metadata say of a layer."""
    wiring = layer.wiring
    return {
        "name": layer.name,
        "index": layer.index,
        "width": layer.width,
        "constants": layer.constants,
        "nonnegative": layer.nonnegative,
        "gain": layer.gain,
        "kind": wiring.kind,
        "in_channels": wiring.in_channels,
        "out_channels": wiring.out_channels,
        "bias": wiring.has_bias,
        "kernel_size": wiring.kernel_size,
        "stride": wiring.stride,
        "padding": wiring.padding,
        "padding_mode": wiring.padding_mode,
        "dilation": wiring.dilation,
        "groups": wiring.groups,
        "output_padding": wiring.output_padding,
        **_compensation(layer),
    }


def _compensation(layer: Layer) -> dict[str, Any]:
    """What a layer of the random network has beyond the target's wiring; a layer without it is written as ever."""
    extra: dict[str, Any] = {}
    if layer.constants and not layer.wiring.has_bias:
        extra["added_bias"] = True
    if layer.tap_constants:
        extra |= {"tap_constants": layer.tap_constants, "tap_value": layer.tap_value}
    return extra


def input_shapes_of(metadata: dict[str, Any], joined: tuple[int, ...]) -> Shapes | None:
    """The shapes of several inputs, which together have the size of the joined one."""
    if "input_shapes" not in metadata:
        return None
    listed = typed(metadata, "input_shapes", list)
    if not listed or not all(isinstance(shape, list) for shape in listed):
        raise TicketFileError("the ticket's 'input_shapes' are not lists of sizes")
    shapes = tuple(tuple(size(value, "input_shapes") for value in shape) for shape in listed)
    if (sum(math.prod(shape) for shape in shapes),) != joined:
        raise TicketFileError(f"the ticket's 'input_shapes' do not add up to its 'input_shape' {joined}")
    return shapes


def source_of(value: Any) -> str | dict[str, str]:
    if isinstance(value, str) and value in LAWS:
        return value
    if isinstance(value, dict) and set(value) == {"sha256"} and isinstance(value["sha256"], str):
        return value
    raise TicketFileError(f"the ticket's 'source' is {str(value)[:60]}, neither a weight law nor a SHA-256")


def layer_of(item: Any, law: str) -> Layer:
    if not isinstance(item, dict):
        raise TicketFileError("a layer of the ticket is not an object")
    name = typed(item, "name", str)
    if not name.isprintable():
        raise TicketFileError(f"a layer of the ticket has the name {name[:60]!r}, which cannot be printed")
    wiring = _wiring_of(item, name)
    wrong = _contradiction(wiring)
    if wrong is not None:
        raise TicketFileError(f"layer {name} of the ticket {wrong}")
    gain = item["gain"]
    if not isinstance(gain, float) or not 2.0**-500 <= gain <= 2.0**500:
        raise TicketFileError(f"layer {name} of the ticket has the gain {gain!r}; it must be a positive number")
    constants = size(item["constants"], "constants", smallest=0, largest=2 * WIDEST)
    added = "added_bias" in item and typed(item, "added_bias", bool)
    if (wiring.has_bias or added) != (constants > 0) or (wiring.has_bias and added):
        raise TicketFileError(f"layer {name} of the ticket has a bias without constants, or constants without a bias")
    tap_constants, tap_value = _constant_channel(item, wiring)
    return Layer(
        name=name,
        index=size(item["index"], "index", smallest=0, largest=MAX_LAYERS - 1),
        wiring=wiring,
        width=size(item["width"], "width", largest=WIDEST),
        constants=constants,
        nonnegative=typed(item, "nonnegative", bool),
        gain=gain,
        law=law,
        tap_constants=tap_constants,
        tap_value=tap_value,
    )


def _wiring_of(item: dict[str, Any], name: str) -> Wiring:
    """Kind and sizes of a layer, each possible by itself."""
    kind = typed(item, "kind", str)
    if kind not in KINDS:
        raise TicketFileError(f"layer {name} of the ticket is of the unknown kind {kind[:40]!r}")
    padding_mode: PaddingMode = typed(item, "padding_mode", str)
    if padding_mode not in get_args(PaddingMode):
        raise TicketFileError(f"layer {name} of the ticket has the unknown padding mode {padding_mode[:40]!r}")
    rank = int(kind[-2]) if kind.endswith("d") else 2
    padding = item["padding"]
    if padding not in ("same", "valid"):
        padding = sizes(item, "padding", rank, smallest=0)
    return Wiring(
        kind,
        size(item["in_channels"], "in_channels"),
        size(item["out_channels"], "out_channels"),
        typed(item, "bias", bool),
        sizes(item, "kernel_size", rank),
        sizes(item, "stride", rank),
        padding,
        padding_mode,
        sizes(item, "dilation", rank),
        size(item["groups"], "groups"),
        sizes(item, "output_padding", rank if kind.startswith("conv_transpose") else 0, smallest=0),
    )


def _contradiction(wiring: Wiring) -> str | None:
    """What of a wiring does not go together with the rest, in words; None if all does."""
    alone = Wiring(wiring.kind, wiring.in_channels, wiring.out_channels, wiring.has_bias)
    if wiring.kind == "batch_norm":
        alone = replace(alone, out_channels=wiring.in_channels, groups=wiring.in_channels)
    transposed, padding = wiring.kind.startswith("conv_transpose"), wiring.padding
    if wiring.pointwise and wiring != alone:
        return f"is a {wiring.kind} but has the wiring of a convolution"
    if isinstance(padding, str) and (transposed or (padding == "same" and set(wiring.stride) != {1})):
        return f"has padding {padding!r}, which it cannot have"
    if transposed and wiring.padding_mode != "zeros":
        return f"is transposed and has the padding mode {wiring.padding_mode!r}"
    if max(math.prod(wiring.weight_shape), wiring.d, wiring.in_channels) > LARGEST_TENSOR:
        return "has more weights than any network"
    if wiring.in_channels % wiring.groups or wiring.out_channels % wiring.groups:
        return "has channels that its groups do not divide"
    return None


def _constant_channel(item: dict[str, Any], wiring: Wiring) -> tuple[int, float]:
    """How many filters read the constant input channel, and what it holds; files without one do not speak of it."""
    if "tap_constants" not in item:
        return 0, 1.0
    name = item["name"]
    if wiring.pointwise:
        raise TicketFileError(f"layer {name} of the ticket is a {wiring.kind} with a constant input channel")
    value = item["tap_value"]
    if not isinstance(value, float) or not 2.0**-200 <= value <= 2.0**200 or math.frexp(value)[0] != 0.5:
        raise TicketFileError(f"layer {name} of the ticket has the 'tap_value' {str(value)[:40]}, not a power of two")
    return size(item["tap_constants"], "tap_constants", largest=WIDEST), value


def stays_in(metadata: dict[str, Any]) -> Stays | None:
    """What else the ticket says that it takes from the target."""
    if "stays" not in metadata:
        return None
    told = typed(metadata, "stays", dict)
    if set(told) != {"names", "sha256"}:
        raise TicketFileError("the ticket's 'stays' must have names and sha256")
    return Stays(names_of(told, "names"), typed(told, "sha256", str))


def names_of(metadata: dict[str, Any], key: str) -> tuple[str, ...]:
    value = typed(metadata, key, list)
    if not all(isinstance(name, str) and name for name in value):
        raise TicketFileError(f"the ticket's {key!r} is not a list of names")
    return tuple(value)


def folds_of(metadata: dict[str, Any], layers: list[str]) -> dict[str, str]:
    value: dict[str, str] = typed(metadata, "folds", dict)
    if any(layer not in layers or norm in layers for norm, layer in value.items()):
        raise TicketFileError("the ticket's 'folds' name layers that it does not have")
    return value
