"""A ticket of one real network: made once, kept in the output folder, measured on real inputs, certified."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sslth.cnn.certificates.certify import Report, certify
from sslth.cnn.extract import extract
from sslth.cnn.kept_layer import pruned_pair
from sslth.cnn.search import TiledSearch
from sslth.cnn.swap import swapped_copy
from sslth.cnn.ticket import Ticket
from sslth.errors import SslthError, TicketFileError
from sslth.subset_sum.files import write_bytes

__all__ = ["Case", "Made", "make_ticket", "measure"]

_PAIRS_CHECKED = 2  # inputs on which the kept filters themselves are run, which are thousands of times wider
_PAIR_BYTES = 2**30  # of one layer; float64 while it is drawn
_CLIMBED, _STARTS, _STEPS = 16, 4, 15
_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class Case:
    """A trained network, how wide its random network is, and the inputs that it is shown.

    Attributes
    ----------
    name : str
    network : nn.Module
    inputs : Tensor[m, *shape]
        What both are compared on.
    limit : float
        The box is [-limit, limit] in every entry.
    width : int
    near : float
        Radius of the small box around the first input, for the second certificate.
    """

    name: str
    network: nn.Module
    inputs: Tensor
    limit: float
    width: int
    near: float


@dataclass(frozen=True, eq=False)
class Made:
    """A case, its ticket, the merged network that computes the ticket, and the seconds that extraction took."""

    case: Case
    ticket: Ticket
    merged: nn.Module
    seconds: float


def make_ticket(case: Case, out: Path, *, seed: int, restart: bool, progress: Any) -> Made:
    """The ticket of a case: read from `out` if the same one is there, extracted and saved otherwise."""
    path, note = out / f"{case.name}.safetensors", out / f"{case.name}.json"
    ticket, seconds = None if restart else _stored(case, path, seed), math.nan
    if ticket is None:
        started = time.perf_counter()
        ticket = extract(
            case.network, case.inputs[:1], case.width, seed, low=-case.limit, high=case.limit,
            compensate=False,  # channel means of the whole box are not those of pictures and sounds
            progress=progress,
        )  # fmt: skip
        seconds = time.perf_counter() - started
        ticket.save(path)
        write_bytes(note, json.dumps({"seconds": seconds}).encode())
    elif note.exists():
        seconds = float(json.loads(note.read_text())["seconds"])
    return Made(case, ticket, ticket.to_module(case.network, merged=True), seconds)


def _stored(case: Case, path: Path, seed: int) -> Ticket | None:
    """The ticket on disk, if it is the one that would be extracted."""
    if not path.exists():
        return None
    try:
        ticket = Ticket.load(path)
        plain = ticket.plain_target(case.network)
    except (TicketFileError, SslthError):
        return None
    same = ticket.is_of(plain) and (ticket.seed, ticket.width) == (seed, case.width)
    same = same and ticket.settings.get("solver") == TiledSearch().name
    return ticket if same and float(ticket.high.max()) == case.limit == -float(ticket.low.min()) else None


@torch.no_grad()
def measure(made: Made, progress: Callable[[str], object]) -> dict[str, Any]:
    """How far ticket and target are apart, on the inputs and for all inputs of two boxes, as JSON values."""
    case, ticket = made.case, made.ticket
    progress("comparing outputs")
    target, merged = (_outputs(network, case.inputs) for network in (case.network, made.merged))
    progress("running the kept filters themselves")
    few = case.inputs[:_PAIRS_CHECKED]
    pairs, checked = _with_pairs(made)
    apart = max(float((a - b[: len(few)]).abs().max()) for a, b in zip(_outputs(pairs, few), merged, strict=True))
    del pairs
    progress("certifying on the box")
    whole = _certified(made, -case.limit, case.limit, case.inputs)
    progress("certifying near an input")
    centre = case.inputs[0].double().numpy()
    low, high = (np.clip(centre + side, -case.limit, case.limit) for side in (-case.near, case.near))
    near = _certified(made, low, high, case.inputs[:1])
    return {
        "network": case.name,
        "parameters": sum(values.numel() for values in case.network.parameters()),
        "width": case.width,
        "seed": ticket.seed,
        "inputs": len(case.inputs),
        "relative_errors": [_relative(a, b) for a, b in zip(target, merged, strict=True)],
        "largest_error": max(float((a - b).abs().max()) for a, b in zip(target, merged, strict=True)),
        "kept_filters_minus_merged": apart,
        "layers_run_as_kept_filters": checked,
        "kept_filters": ticket.kept_filters,
        "total_filters": ticket.total_filters,
        "seconds": made.seconds if math.isfinite(made.seconds) else None,
        "kernel_error": whole.kernel_error,
        "box": [-case.limit, case.limit],
        "certificate": _as_json(whole),
        "near": case.near,
        "certificate_near_an_input": _as_json(near),
    }


def _with_pairs(made: Made) -> tuple[nn.Module, list[str]]:
    """The merged network with the kept filters themselves in the layers where they fit into memory, and these."""
    pairs: dict[str, nn.Module] = {}
    for kept in made.ticket.layers:
        if 8 * kept.kept * kept.layer.wiring.d <= _PAIR_BYTES:
            pairs[kept.layer.name] = pruned_pair(made.ticket.seed, kept).to(torch.float32)
    return swapped_copy(made.merged, pairs).eval(), list(pairs)


def _certified(made: Made, low: Any, high: Any, data: Tensor) -> Report:
    with torch.enable_grad():
        return certify(made.ticket, made.case.network, low, high, data=data[:_CLIMBED], starts=_STARTS, steps=_STEPS)


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "upper": report.upper if math.isfinite(report.upper) else None,
        "reason": report.reason,
        "attained": report.lower,
        "seconds": report.seconds,
    }


def _outputs(network: nn.Module, inputs: Tensor) -> list[Tensor]:
    """All outputs in float64, the network run in parts."""
    parts = []
    for some in torch.split(inputs, _AT_ONCE):
        found = network(some)
        parts.append(found if isinstance(found, tuple) else (found,))
    return [torch.cat(part).double() for part in zip(*parts, strict=True)]


def _relative(target: Tensor, found: Tensor) -> float:
    """Euclidean, each output's mean over the inputs taken away from the target: a constant would flatter."""
    return float((found - target).norm() / (target - target.mean(dim=0)).norm())
