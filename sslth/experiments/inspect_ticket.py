"""What a ticket file holds: sizes, checksum, and layer by layer what was kept and how far off it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from sslth.cnn.fit_note import matched_errors
from sslth.cnn.kernel_errors import kernel_errors
from sslth.cnn.tensor_file import read_header
from sslth.cnn.ticket import Ticket
from sslth.cnn.ticket_file import load_ticket, read_metadata
from sslth.experiments.wording import words_for

__all__ = ["inspect_ticket", "inspection_table"]


def inspect_ticket(path: Path, model: nn.Module | None = None, source: Any = None) -> dict[str, Any]:
    """Read and verify a ticket file and describe it, as JSON values.

    Parameters
    ----------
    path : Path
    model : torch.nn.Module, optional
        The target network, for the error of every layer.
    source : optional
        The random network of a ticket whose random network is the reader's own; only the errors need it.

    Returns
    -------
    dict
        The keys of `Ticket.summary()`, and `path`, `file_bytes`, `sha256` (verified), `low` and `high` (the least and
        the largest entry), `pruned_parameters` (numbers in the pruned pairs), `target_parameters`; in every layer
        `kept_share`, `index_bytes` and `matched_error`: the largest relative error of an input channel and sign
        against what it was aimed at, as it was found; None in tickets that do not say. With a model `same_target`, and
        in every layer `kernel_error`: the largest ‖K̂ - K‖₂ / ‖K‖₂ of an input channel and sign, computed anew.

    Raises
    ------
    TicketFileError
        If the file is no ticket or does not match its checksum.
    InvalidInputError
        If the model is not the ticket's network, or a source is needed and not given.

    Notes
    -----
    Without a model no random weight is drawn; with one, O(kept d).
    """
    ticket = load_ticket(path, Ticket, source, without_source=model is None and source is None)
    with path.open("rb") as stream:
        header, _, tensors = read_header(stream)
    stored_errors = matched_errors(ticket.settings)
    found = ticket.summary()
    found |= {
        "path": str(path),
        "file_bytes": path.stat().st_size,
        "sha256": read_metadata(header)["sha256"],
        "low": [float(np.min(ticket.low)), float(np.max(ticket.low))],
        "high": [float(np.min(ticket.high)), float(np.max(ticket.high))],
        "pruned_parameters": 0,
        "target_parameters": 0,
    }
    for number, (kept, layer) in enumerate(zip(ticket.layers, found["layers"], strict=True)):
        wiring = kept.layer.wiring
        biases = sum(block.size for block in kept.constants)
        found["pruned_parameters"] += (kept.kept - biases) * (1 + wiring.d) + biases * (1 + wiring.outputs_per_group)
        found["target_parameters"] += int(np.prod(wiring.weight_shape)) + (
            wiring.out_channels if wiring.has_bias else 0
        )
        layer["kept_share"] = kept.kept / kept.layer.filters
        layer["index_bytes"] = sum(tensors[f"layers.{number}.{part}"].nbytes for part in ("kept", "counts"))
        layer["matched_error"] = stored_errors.get(layer["name"])
    if model is not None:
        plain = ticket.plain_target(model)
        found["same_target"] = ticket.is_of(plain)
        errors = kernel_errors(plain, ticket.merged_layers())
        for layer in found["layers"]:
            blocks = errors[layer["name"]]
            layer["kernel_error"] = max(float(blocks[s].max()) for s in ("positive", "negative") if s in blocks)
    return found


def inspection_table(found: dict[str, Any]) -> str:
    """The same for people: a few lines, then one line a layer."""
    source = found["source"]
    lines = {
        "file": f"{found['path']}, {found['file_bytes']:,} bytes",
        "checksum": f"SHA-256 {found['sha256'][:16]}..., verified",
        "random network": _random_network(found),
        "weights": f"{source} law"
        if isinstance(source, str)
        else f"the reader's own, SHA-256 {source['sha256'][:16]}...",
        "inputs": f"{_shapes(found)}, between {_ends(found['low'])} and {_ends(found['high'])}",
        "target": f"SHA-256 {found['target_fingerprint'][:16]}..., {found['target_parameters']:,} weights",
        "kept filters": f"{found['kept_filters']:,} of {found['total_filters']:,}, "
        f"{found['pruned_parameters']:,} weights in the pruned network",
        "solver": str(found["settings"].get("solver", "not stated")),
    }
    if found["folded"]:
        lines["batch norm folded"] = ", ".join(
            f"{norm} into {layer}" for norm, layer in sorted(found["folded"].items())
        )
    if found["carried_over"]:
        lines["CARRIED OVER"] = f"{', '.join(found['carried_over'])}: the target's own weights, not random ones"
    if found["stays"]:
        lines["taken as they are"] = f"{words_for(found['stays'])}: the target's own numbers, not in the file"
    if "same_target" in found:
        lines["the model"] = "the ticket's target" if found["same_target"] else "NOT the ticket's target: other weights"
        lines["errors"] = "of each layer's kernels against the model's"
    else:
        lines["errors"] = "of each layer's kernels as they were found, against what they were aimed at"
    text = [f"{name:20s} {value}" for name, value in lines.items()]
    return "\n".join([*text, "", *_layer_table(found["layers"])])


def _shapes(found: dict[str, Any]) -> str:
    return " and ".join(_shape(shape) for shape in found.get("input_shapes") or [found["input_shape"]])


def _random_network(found: dict[str, Any]) -> str:
    widths = [layer["width"] for layer in found["layers"]]
    width = f"width {found['width']:,}" if min(widths) == max(widths) else f"widths {min(widths):,} to {max(widths):,}"
    return f"seed {found['seed']}, {width}, {len(found['layers'])} layers"


def _layer_table(layers: list[dict[str, Any]]) -> list[str]:
    names = max(5, *(len(layer["name"]) for layer in layers))
    head = f"{'layer':{names}s} {'kind':16s} {'d':>6s} {'width':>9s} {'signs':>5s} {'gain':>10s} "
    head += f"{'kept':>11s} {'total':>13s}"
    known = "kernel_error" if "kernel_error" in layers[0] else "matched_error"
    rows = [f"{head} {'share':>7s} {'error':>8s}"]
    for layer in layers:
        row = (
            f"{layer['name']:{names}s} {layer['kind']:16s} {layer['d']:6d} {layer['width']:9,d} "
            f"{layer['signs']:>5s} {layer['gain']:10.4g} "
        )
        row += f"{layer['kept']:11,d} {layer['total']:13,d} {layer['kept_share']:7.2%}"
        rows.append(row + (f" {'-':>8s}" if layer[known] is None else f" {layer[known]:8.1e}"))
    return rows


def _shape(shape: list[int]) -> str:
    return " x ".join(str(size) for size in shape)


def _ends(values: list[float]) -> str:
    return f"{values[0]:g}" if values[0] == values[1] else f"{values[0]:g} .. {values[1]:g}"
