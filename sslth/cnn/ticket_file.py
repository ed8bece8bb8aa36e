"""Ticket files: safetensors with one JSON metadata key; `docs/format.md` describes them byte by byte.

Kept filters come and go in pieces: a wide ticket is larger than memory.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt

from sslth.cnn.json_fields import size, typed
from sslth.cnn.kept_filters import KeptFilters
from sslth.cnn.kept_layer import KeptLayer
from sslth.cnn.kept_sections import kept_blocks
from sslth.cnn.layers import OWN, Layer
from sslth.cnn.sequential import check_runs
from sslth.cnn.source import as_source
from sslth.cnn.spool import Spool
from sslth.cnn.tensor_file import TensorFile, header_of
from sslth.cnn.ticket import Ticket
from sslth.cnn.ticket_metadata import (
    LARGEST_TENSOR,
    WIDEST,
    fields_of,
    folds_of,
    input_shapes_of,
    layer_of,
    names_of,
    source_of,
    stays_in,
)
from sslth.errors import InvalidInputError, TicketFileError
from sslth.subset_sum.files import write_atomically
from sslth.subset_sum.random_weights import FORMAT_VERSION

__all__ = ["load_ticket", "read_metadata", "save_ticket", "sealed", "ticket_bytes", "ticket_size"]

_KEY = "sslth"
_VERSION, _UNEVEN_VERSION = 1, 2  # the second allows layers of a drawn random network to have widths of their own
_FORMAT = "sslth-ticket"
_UNSEALED = "0" * 64  # stands where the checksum goes, while it is computed
_T = TypeVar("_T", bound=Ticket)


def ticket_bytes(ticket: Ticket) -> bytes:
    """The file's content; the same ticket always gives the same bytes."""
    header, names = _header(ticket)
    return sealed(b"".join([header, *_values(ticket, names)]))


def ticket_size(ticket: Ticket) -> int:
    """Bytes of the file, which is not made for that. O(layers)."""
    kept = sum(block.nbytes for layer in ticket.layers for block in _blocks(layer))
    counts = sum(4 * len(_blocks(layer)) for layer in ticket.layers)
    box = sum(8 * ends.size for ends in (ticket.low, ticket.high) if ends.ndim)
    return len(_header(ticket)[0]) + kept + counts + box


def save_ticket(ticket: Ticket, path: str | os.PathLike[str]) -> None:
    """Write a ticket file in one step."""
    header, names = _header(ticket)
    digest = hashlib.sha256(header)
    for piece in _values(ticket, names):
        digest.update(piece)
    header = header.replace(_UNSEALED.encode(), digest.hexdigest().encode(), 1)

    def write(stream: IO[bytes]) -> None:
        stream.write(header)
        for piece in _values(ticket, names):
            stream.write(piece)

    write_atomically(path, write)


def _blocks(kept: KeptLayer) -> list[KeptFilters]:
    return [*kept.channels, *kept.constants, *kept.taps]


def _header(ticket: Ticket) -> tuple[bytes, list[str]]:
    """The first bytes of the file, with zeros for its checksum, and the order of the tensors."""
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for number, kept in enumerate(ticket.layers):
        blocks = _blocks(kept)
        tensors[f"layers.{number}.kept"] = ("U8", (sum(block.nbytes for block in blocks),))
        tensors[f"layers.{number}.counts"] = ("U32", (len(blocks),))
    box = {}
    for name, values in (("low", ticket.low), ("high", ticket.high)):
        box[name] = float(values) if values.ndim == 0 else None
        if values.ndim:
            tensors[name] = ("F64", values.shape)
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
        **({} if ticket.stays is None else {"stays": asdict(ticket.stays)}),
        "source": ticket.source,
        "sha256": _UNSEALED,
        "layers": [fields_of(kept.layer) for kept in ticket.layers],
        **box,
    }
    text = json.dumps(metadata, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return header_of(tensors, {_KEY: text})


def _values(ticket: Ticket, names: list[str]) -> Iterator[bytes]:
    """The tensors' bytes, in pieces."""
    for name in names:
        if name in ("low", "high"):
            yield np.ascontiguousarray(getattr(ticket, name), dtype="<f8").tobytes()
            continue
        _, number, part = name.split(".")
        blocks = _blocks(ticket.layers[int(number)])
        if part == "counts":
            yield np.array([block.size for block in blocks], dtype="<u4").tobytes()
        else:
            for block in blocks:
                yield from block.chunks()


def _is_uneven(ticket: Ticket) -> bool:
    """Whether layers differ in width; in a random network of the reader's own they always could."""
    return isinstance(ticket.source, str) and any(kept.layer.width != ticket.width for kept in ticket.layers)


def sealed(content: bytes) -> bytes:
    """The file with its checksum: SHA-256 over all its bytes, with zeros for the checksum's 64 digits."""
    digits, blank = _checksum(content, read_metadata(content))
    return blank.replace(_UNSEALED.encode(), hashlib.sha256(blank).hexdigest().encode(), 1) if digits else content


def _checksum(content: bytes, metadata: dict[str, Any]) -> tuple[str, bytes]:
    """The stored checksum, and the file or its header with zeros in its place; empty where none is stored."""
    stored = metadata.get("sha256")
    if not isinstance(stored, str) or len(stored) != len(_UNSEALED) or not set(stored) <= set("0123456789abcdef"):
        return "", content
    return stored, content.replace(stored.encode(), _UNSEALED.encode(), 1)


def load_ticket(path: str | os.PathLike[str], cls: type[_T], source: Any = None, *, without_source: bool = False) -> _T:
    """Read and check a ticket file; `without_source` leaves a random network that is the reader's own away."""
    try:
        with Path(path).open("rb") as stream:
            ticket = _parse(TensorFile(stream), cls)
    except TicketFileError as error:
        raise TicketFileError(f"{path}: {error}") from None
    except OSError as error:
        raise TicketFileError(f"cannot read the ticket {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
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


def read_metadata(header: bytes) -> dict[str, Any]:
    """The metadata of a ticket file, or of its header; not checked further. TicketFileError if it is no ticket."""
    size_of_header = int.from_bytes(header[:8], "little")
    text = json.loads(header[8 : 8 + size_of_header]).get("__metadata__", {}).get(_KEY)
    if not isinstance(text, str):
        raise TicketFileError("this safetensors file is not a ticket: it has no 'sslth' metadata")
    metadata = json.loads(text)
    # numbers beyond float64 are refused here, and halves of characters, which cannot be printed
    json.dumps(metadata, allow_nan=False, ensure_ascii=False).encode()
    if not isinstance(metadata, dict) or metadata.get("format") != _FORMAT:
        raise TicketFileError("this safetensors file is not a ticket")
    return metadata


def _parse(file: TensorFile, cls: type[_T]) -> _T:
    metadata = read_metadata(file.header)
    version = metadata.get("version")
    if version not in (_VERSION, _UNEVEN_VERSION) or metadata.get("generator") != FORMAT_VERSION:
        raise TicketFileError(
            f"the ticket has format version {version} and generator version {metadata.get('generator')}; "
            f"this sslth reads versions {_VERSION} and {_UNEVEN_VERSION}, and {FORMAT_VERSION}"
        )
    _check_seal(file, metadata)
    source = source_of(metadata["source"])
    law = source if isinstance(source, str) else OWN
    layers = [layer_of(item, law) for item in typed(metadata, "layers", list)]
    names = [layer.name for layer in layers]
    if not layers or len(set(names)) != len(names):
        raise TicketFileError("the ticket has no layers, or two of the same name")
    expected = {f"layers.{number}.{part}" for number in range(len(layers)) for part in ("kept", "counts")}
    expected |= {name for name in ("low", "high") if metadata[name] is None}
    if set(file.tensors) != expected:
        wrong = sorted(set(file.tensors) ^ expected)[0]
        raise TicketFileError(f"the tensor {wrong!r} is missing from the ticket, or does not belong there")
    shape = tuple(size(value, "input_shape") for value in typed(metadata, "input_shape", list))
    if math.prod(shape) > LARGEST_TENSOR:
        raise TicketFileError(f"the ticket's 'input_shape' {shape} is larger than any network takes")
    shapes = input_shapes_of(metadata, shape)
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
    low, high = _box(metadata, file, "low", shape), _box(metadata, file, "high", shape)
    if (low > high).any():
        raise TicketFileError("the ticket's 'low' is above its 'high'")
    spool = Spool()
    return cls(
        seed=seed,
        width=size(metadata["width"], "width", largest=WIDEST),
        layers=tuple(_kept(layer, number, file, spool) for number, layer in enumerate(layers)),
        low=low,
        high=high,
        input_shape=shape,
        fingerprint=typed(metadata, "fingerprint", str),
        settings=typed(metadata, "settings", dict),
        folds=folds_of(metadata, names),
        carry_over=names_of(metadata, "carry_over"),
        stays=stays_in(metadata),
        source=source,
        input_shapes=shapes,
        description=description,
    )


def _check_seal(file: TensorFile, metadata: dict[str, Any]) -> None:
    stored, header = _checksum(file.header, metadata)
    digest = hashlib.sha256(header)
    for piece in file.pieces():
        digest.update(piece)
    if stored != digest.hexdigest():
        raise TicketFileError("the ticket does not match its checksum: the file was changed or damaged")


def _kept(layer: Layer, number: int, file: TensorFile, spool: Spool) -> KeptLayer:
    inputs, tap_groups = layer.wiring.in_channels, layer.wiring.groups if layer.tap_constants else 0
    groups = layer.wiring.groups if layer.constants else 0
    limits = [(layer.filters_per_channel, inputs), (layer.constants, groups), (layer.tap_constants, tap_groups)]
    blocks = kept_blocks(file, f"layers.{number}", limits, layer.name, spool)
    biases = inputs + groups
    return KeptLayer(layer, tuple(blocks[:inputs]), tuple(blocks[inputs:biases]), tuple(blocks[biases:]))


def _box(metadata: dict[str, Any], file: TensorFile, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    values = file.values(name) if metadata[name] is None else np.asarray(metadata[name])
    if values.dtype != np.float64 or not np.isfinite(values).all() or values.shape not in ((), shape):
        raise TicketFileError(f"the ticket's {name!r} must be finite and of shape () or {shape}")
    return values.copy()
