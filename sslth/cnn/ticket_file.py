"""Ticket files: safetensors with one JSON metadata key; `docs/format.md` describes them byte by byte."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from sslth.cnn.index_codec import decode_blocks, encode_blocks
from sslth.cnn.joined import Shapes
from sslth.cnn.json_fields import size, sizes, typed
from sslth.cnn.kept_layer import KeptLayer
from sslth.cnn.layers import KINDS, OWN, Layer, PaddingMode, Wiring
from sslth.cnn.sequential import check_runs
from sslth.cnn.source import as_source
from sslth.cnn.ticket import Ticket
from sslth.cnn.weight_laws import LAWS
from sslth.errors import InvalidInputError, TicketFileError
from sslth.subset_sum.files import write_bytes
from sslth.subset_sum.random_weights import FORMAT_VERSION, MAX_LAYERS

__all__ = ["load_ticket", "read_metadata", "save_ticket", "sealed", "ticket_bytes"]

_KEY = "sslth"
_VERSION, _UNEVEN_VERSION = 1, 2  # the second allows layers of a drawn random network to have widths of their own
_FORMAT = "sslth-ticket"
_LARGEST_TENSOR = 1 << 31
_UNSEALED = "0" * 64  # stands where the checksum goes, while it is computed
_WIDEST = 1 << 31  # 2n must be a 32-bit filter number
_T = TypeVar("_T", bound=Ticket)


def ticket_bytes(ticket: Ticket) -> bytes:
    """The file's content; the same ticket always gives the same bytes."""
    tensors: dict[str, npt.NDArray[Any]] = {}
    layers = []
    for number, kept in enumerate(ticket.layers):
        layer, wiring = kept.layer, kept.layer.wiring
        data, counts = encode_blocks([*kept.channels, *kept.constants, *kept.taps])
        tensors[f"layers.{number}.kept"] = data
        tensors[f"layers.{number}.counts"] = counts
        layers.append(
            {
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
        )
    box: dict[str, float | None] = {}
    for name, values in (("low", ticket.low), ("high", ticket.high)):
        if values.ndim == 0:
            box[name] = float(values)
        else:
            box[name] = None
            tensors[name] = values
    metadata = {
        "format": _FORMAT,
        "version": _UNEVEN_VERSION if _is_uneven(ticket) else _VERSION,
        "generator": FORMAT_VERSION,
        "seed": ticket.seed,
        "width": ticket.width,
        "input_shape": ticket.input_shape,
        **({} if ticket.input_shapes is None else {"input_shapes": ticket.input_shapes}),
        "fingerprint": ticket.fingerprint,
        "settings": ticket.settings,
        "network": ticket.description,
        "folds": ticket.folds,
        "carry_over": ticket.carry_over,
        "source": ticket.source,
        "sha256": _UNSEALED,
        "layers": layers,
        **box,
    }
    text = json.dumps(metadata, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sealed(bytes(save_safetensors(tensors, {_KEY: text})))


def _is_uneven(ticket: Ticket) -> bool:
    """Whether layers differ in width; in a random network of the reader's own they always could."""
    return isinstance(ticket.source, str) and any(kept.layer.width != ticket.width for kept in ticket.layers)


def sealed(content: bytes) -> bytes:
    """The file with its checksum: SHA-256 over all its bytes, with zeros for the checksum's 64 digits."""
    digits, blank = _checksum(content)
    return blank.replace(_UNSEALED.encode(), hashlib.sha256(blank).hexdigest().encode(), 1) if digits else content


def _checksum(content: bytes) -> tuple[str, bytes]:
    """The stored checksum, and the file with zeros in its place; empty where none is stored."""
    stored = read_metadata(content).get("sha256")
    if not isinstance(stored, str) or len(stored) != len(_UNSEALED) or not set(stored) <= set("0123456789abcdef"):
        return "", content
    return stored, content.replace(stored.encode(), _UNSEALED.encode(), 1)


def _compensation(layer: Layer) -> dict[str, Any]:
    """What a layer of the random network has beyond the target's wiring; a layer without it is written as ever."""
    extra: dict[str, Any] = {}
    if layer.constants and not layer.wiring.has_bias:
        extra["added_bias"] = True
    if layer.tap_constants:
        extra |= {"tap_constants": layer.tap_constants, "tap_value": layer.tap_value}
    return extra


def save_ticket(ticket: Ticket, path: str | os.PathLike[str]) -> None:
    """Write a ticket file in one step."""
    write_bytes(path, ticket_bytes(ticket))


def load_ticket(path: str | os.PathLike[str], cls: type[_T], source: Any = None, *, without_source: bool = False) -> _T:
    """Read and check a ticket file; `without_source` leaves a random network that is the reader's own away."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise TicketFileError(f"cannot read the ticket {path}: {error.strerror or error}") from error
    try:
        ticket = _parse(content, cls)
    except TicketFileError as error:
        raise TicketFileError(f"{path}: {error}") from None
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        detail = " ".join(str(error).split())[:120]
        raise TicketFileError(f"{path} is not a readable ticket file: {type(error).__name__}: {detail}") from None
    return ticket if without_source else _with_source(ticket, source, path)


def _with_source(ticket: _T, source: Any, path: str | os.PathLike[str]) -> _T:
    """The ticket with the reader's own random network, which must be the one that it names."""
    if isinstance(ticket.source, str):
        if source is not None and source != ticket.source:
            raise InvalidInputError(f"{path}: the ticket's random weights are of the law {ticket.source!r}, not source")
        return ticket
    wanted = ticket.source["sha256"]
    if source is None:
        raise InvalidInputError(
            f"{path}: the ticket's random network is the reader's own, with SHA-256 {wanted}; pass it as source="
        )
    given = as_source(source, {kept.layer.name: kept.layer.wiring for kept in ticket.layers})
    if given.sha256 != wanted:
        raise InvalidInputError(
            f"{path}: the ticket was made for the random network with SHA-256 {wanted}, but this one's is "
            f"{given.sha256 or f'the law {given.law}'}"
        )
    layers = tuple(replace(kept, layer=given.applied(kept.layer)) for kept in ticket.layers)
    for before, after in zip(ticket.layers, layers, strict=True):
        if before.layer != after.layer:
            raise TicketFileError(f"{path}: layer {before.layer.name} has another width than its random pair")
    return replace(ticket, layers=layers)


def read_metadata(content: bytes) -> dict[str, Any]:
    """The metadata of a ticket file, not checked any further; TicketFileError if it is no ticket."""
    header_size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + header_size])
    text = header.get("__metadata__", {}).get(_KEY)
    if not isinstance(text, str):
        raise TicketFileError("this safetensors file is not a ticket: it has no 'sslth' metadata")
    metadata = json.loads(text)
    json.dumps(metadata, allow_nan=False)  # numbers beyond float64 are refused here
    if not isinstance(metadata, dict) or metadata.get("format") != _FORMAT:
        raise TicketFileError("this safetensors file is not a ticket")
    return metadata


def _parse(content: bytes, cls: type[_T]) -> _T:
    tensors = load_safetensors(content)
    metadata = read_metadata(content)
    version = metadata.get("version")
    if version not in (_VERSION, _UNEVEN_VERSION) or metadata.get("generator") != FORMAT_VERSION:
        raise TicketFileError(
            f"the ticket has format version {version} and generator version {metadata.get('generator')}; "
            f"this sslth reads versions {_VERSION} and {_UNEVEN_VERSION}, and {FORMAT_VERSION}"
        )
    stored, blank = _checksum(content)
    if stored != hashlib.sha256(blank).hexdigest():
        raise TicketFileError("the ticket does not match its checksum: the file was changed or damaged")
    source = _source(metadata["source"])
    law = source if isinstance(source, str) else OWN
    layers = [_layer(item, law) for item in typed(metadata, "layers", list)]
    names = [layer.name for layer in layers]
    if not layers or len(set(names)) != len(names):
        raise TicketFileError("the ticket has no layers, or two of the same name")
    expected = {f"layers.{number}.{part}" for number in range(len(layers)) for part in ("kept", "counts")}
    expected |= {name for name in ("low", "high") if metadata[name] is None}
    if set(tensors) != expected:
        wrong = sorted(set(tensors) ^ expected)[0]
        raise TicketFileError(f"the tensor {wrong!r} is missing from the ticket, or does not belong there")
    shape = tuple(size(value, "input_shape") for value in typed(metadata, "input_shape", list))
    if math.prod(shape) > _LARGEST_TENSOR:
        raise TicketFileError(f"the ticket's 'input_shape' {shape} is larger than any network takes")
    shapes = _input_shapes(metadata, shape)
    even = version == _VERSION and law != OWN
    for number, layer in enumerate(layers):
        if layer.index != number or (layer.width != metadata["width"] and even):
            raise TicketFileError(f"layer {layer.name} of the ticket has another number or width than the ticket says")
    widths = {layer.width for layer in layers}
    if version == _UNEVEN_VERSION and (law == OWN or len(widths) == 1 or max(widths) != metadata["width"]):
        raise TicketFileError("the ticket's version says that its layers differ in width, but its widths do not fit")
    description = metadata["network"]
    if description is not None:
        check_runs(description, {layer.name: layer.wiring for layer in layers}, shape)
    seed = size(metadata["seed"], "seed", smallest=0, largest=2**64 - 1)
    low, high = _box(metadata, tensors, "low", shape), _box(metadata, tensors, "high", shape)
    if (low > high).any():
        raise TicketFileError("the ticket's 'low' is above its 'high'")
    return cls(
        seed=seed,
        width=size(metadata["width"], "width", largest=_WIDEST),
        layers=tuple(_kept(layer, number, tensors) for number, layer in enumerate(layers)),
        low=low,
        high=high,
        input_shape=shape,
        fingerprint=typed(metadata, "fingerprint", str),
        settings=typed(metadata, "settings", dict),
        folds=_folds(metadata, names),
        carry_over=_names(metadata, "carry_over"),
        source=source,
        input_shapes=shapes,
        description=description,
    )


def _input_shapes(metadata: dict[str, Any], joined: tuple[int, ...]) -> Shapes | None:
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


def _source(value: Any) -> str | dict[str, str]:
    if isinstance(value, str) and value in LAWS:
        return value
    if isinstance(value, dict) and set(value) == {"sha256"} and isinstance(value["sha256"], str):
        return value
    raise TicketFileError(f"the ticket's 'source' is {str(value)[:60]}, neither a weight law nor a SHA-256")


def _layer(item: Any, law: str) -> Layer:
    if not isinstance(item, dict):
        raise TicketFileError("a layer of the ticket is not an object")
    name = typed(item, "name", str)
    kind = typed(item, "kind", str)
    if kind not in KINDS:
        raise TicketFileError(f"layer {name} of the ticket is of the unknown kind {kind[:40]!r}")
    padding_mode: PaddingMode = typed(item, "padding_mode", str)
    if padding_mode not in get_args(PaddingMode):
        raise TicketFileError(f"layer {name} of the ticket has the unknown padding mode {padding_mode[:40]!r}")
    rank = int(kind[-2]) if kind.endswith("d") else 2
    transposed = kind.startswith("conv_transpose")
    padding = item["padding"]
    if padding not in ("same", "valid"):
        padding = sizes(item, "padding", rank, smallest=0)
    wiring = Wiring(
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
        sizes(item, "output_padding", rank if transposed else 0, smallest=0),
    )
    alone = Wiring(wiring.kind, wiring.in_channels, wiring.out_channels, wiring.has_bias)
    if kind == "batch_norm":
        alone = Wiring("batch_norm", wiring.in_channels, wiring.in_channels, True, groups=wiring.in_channels)
    if wiring.pointwise and wiring != alone:
        raise TicketFileError(f"layer {name} of the ticket is a {kind} but has the wiring of a convolution")
    if isinstance(padding, str) and (transposed or (padding == "same" and set(wiring.stride) != {1})):
        raise TicketFileError(f"layer {name} of the ticket has padding {padding!r}, which it cannot have")
    if transposed and padding_mode != "zeros":
        raise TicketFileError(f"layer {name} of the ticket is transposed and has the padding mode {padding_mode!r}")
    if max(math.prod(wiring.weight_shape), wiring.d, wiring.in_channels) > _LARGEST_TENSOR:
        raise TicketFileError(f"layer {name} of the ticket has more weights than any network")
    if wiring.in_channels % wiring.groups or wiring.out_channels % wiring.groups:
        raise TicketFileError(f"layer {name} of the ticket has channels that its groups do not divide")
    gain = item["gain"]
    if not isinstance(gain, float) or not 2.0**-500 <= gain <= 2.0**500:
        raise TicketFileError(f"layer {name} of the ticket has the gain {gain!r}; it must be a positive number")
    constants = size(item["constants"], "constants", smallest=0, largest=2 * _WIDEST)
    added = "added_bias" in item and typed(item, "added_bias", bool)
    if (wiring.has_bias or added) != (constants > 0) or (wiring.has_bias and added):
        raise TicketFileError(f"layer {name} of the ticket has a bias without constants, or constants without a bias")
    tap_constants, tap_value = _constant_channel(item, wiring)
    return Layer(
        name=name,
        index=size(item["index"], "index", smallest=0, largest=MAX_LAYERS - 1),
        wiring=wiring,
        width=size(item["width"], "width", largest=_WIDEST),
        constants=constants,
        nonnegative=typed(item, "nonnegative", bool),
        gain=gain,
        law=law,
        tap_constants=tap_constants,
        tap_value=tap_value,
    )


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
    return size(item["tap_constants"], "tap_constants", largest=_WIDEST), value


def _kept(layer: Layer, number: int, tensors: dict[str, npt.NDArray[Any]]) -> KeptLayer:
    data, counts = tensors[f"layers.{number}.kept"], tensors[f"layers.{number}.counts"]
    if data.dtype != np.uint8 or counts.dtype != np.uint32 or data.ndim != 1 or counts.ndim != 1:
        raise TicketFileError(f"layer {layer.name} of the ticket has tensors of another type than uint8 and uint32")
    inputs = layer.wiring.in_channels
    groups = layer.wiring.groups if layer.constants else 0
    tap_groups = layer.wiring.groups if layer.tap_constants else 0
    if counts.size != inputs + groups + tap_groups:
        raise TicketFileError(
            f"layer {layer.name} of the ticket has {counts.size} blocks; its shape asks for "
            f"{inputs + groups + tap_groups}"
        )
    limits = [layer.filters_per_channel] * inputs + [layer.constants] * groups + [layer.tap_constants] * tap_groups
    blocks = decode_blocks(data, counts, limits, layer.name)
    biases = inputs + groups
    return KeptLayer(layer, tuple(blocks[:inputs]), tuple(blocks[inputs:biases]), tuple(blocks[biases:]))


def _box(
    metadata: dict[str, Any], tensors: dict[str, npt.NDArray[Any]], name: str, shape: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    values = tensors[name] if metadata[name] is None else np.asarray(metadata[name])
    if values.dtype != np.float64 or not np.isfinite(values).all() or values.shape not in ((), shape):
        raise TicketFileError(f"the ticket's {name!r} must be finite and of shape () or {shape}")
    return values.copy()


def _names(metadata: dict[str, Any], key: str) -> tuple[str, ...]:
    value = typed(metadata, key, list)
    if not all(isinstance(name, str) and name for name in value):
        raise TicketFileError(f"the ticket's {key!r} is not a list of names")
    return tuple(value)


def _folds(metadata: dict[str, Any], layers: list[str]) -> dict[str, str]:
    value: dict[str, str] = typed(metadata, "folds", dict)
    if any(layer not in layers or norm in layers for norm, layer in value.items()):
        raise TicketFileError("the ticket's 'folds' name layers that it does not have")
    return value
