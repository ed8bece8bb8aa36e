"""How large a ticket's networks are, side by side: the target, the random network, the wide and the merged form."""

from __future__ import annotations

import copy
import json
import math
import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sslth.cnn.kept_layer import KeptLayer
from sslth.cnn.layers import find_layers
from sslth.cnn.ticket import Ticket
from sslth.experiments.forms import FORMS, wide_form_fits

__all__ = ["Calls", "deployed_sizes", "deployed_table", "file_bytes", "layer_calls", "layer_sizes"]

_BATCH = 16
_RUNS = 7
_SECONDS = 10.0  # for the runs of one network
_MOST_FOR_A_BATCH = 2e10  # multiply-adds: some 10 s on a core; above, inputs are timed one by one
_LARGEST_RANDOM = 1 << 28  # bytes of dense weights that are drawn only to be timed


@dataclass(frozen=True)
class Calls:
    """What a layer sees of one input of the network: places of its input and of its output, over all its calls."""

    calls: int
    inputs: int
    outputs: int


def layer_calls(ticket: Ticket, model: nn.Module, example: Tensor) -> dict[str, Calls]:
    """Run the target once on one input [1, ...] and count, for every layer, its calls and their places."""
    plain = ticket.plain_target(copy.deepcopy(model).cpu().eval())
    layers = find_layers(plain, ticket.carry_over)
    found = dict.fromkeys(layers, Calls(0, 0, 0))
    hooks = []
    for name, module in layers.items():

        def note(_: nn.Module, args: Any, kwargs: Any, output: Tensor, name: str = name) -> None:
            wiring, before = wirings[name], found[name]
            given = args[0] if args else kwargs["input"]
            found[name] = Calls(
                before.calls + 1,
                before.inputs + given.numel() // wiring.in_channels,
                before.outputs + output.numel() // wiring.out_channels,
            )

        hooks.append(module.register_forward_hook(note, with_kwargs=True))
    wirings = {kept.layer.name: kept.layer.wiring for kept in ticket.layers}
    with torch.no_grad():
        plain(example[:1].to("cpu", next(plain.parameters()).dtype, copy=True))
    for hook in hooks:
        hook.remove()
    return found


def layer_sizes(kept: KeptLayer, calls: Calls) -> dict[str, dict[str, int]]:
    """Weights, and multiply-adds for one input, of one layer in all four forms.

    Multiply-adds of weights alone: additions of a bias, activations and what pads a border are not counted, and a batch
    norm that is folded is free.
    """
    layer, wiring = kept.layer, kept.layer.wiring
    d, outputs = wiring.d, wiring.outputs_per_group
    windows = calls.inputs if wiring.transposed else calls.outputs
    weights = math.prod(wiring.weight_shape)
    sides = 1 if layer.nonnegative else 2
    filters = sum(block.size for block in kept.channels)
    biases = sum(block.size for block in kept.constants)
    taps = sum(block.size for block in kept.taps)
    constant = wiring.groups * d  # entries of the constant channel's kernel
    image = constant * windows if layer.tap_constants else 0  # which is applied once a call
    all_filters = wiring.in_channels * layer.filters_per_channel
    all_biases, all_taps = wiring.groups * layer.constants, wiring.groups * layer.tap_constants

    def of_constants(some_biases: int, some_taps: int) -> int:
        return calls.calls * (some_biases * outputs + some_taps * d) + image

    return {
        "target": {
            "parameters": weights + (wiring.out_channels if wiring.has_bias else 0),
            "multiply_adds": wiring.in_channels * d * windows,
        },
        "random": {
            "parameters": all_filters * (wiring.in_channels + d) + all_biases * (1 + outputs) + all_taps * (1 + d),
            "multiply_adds": all_filters * (wiring.in_channels * calls.inputs + d * windows)
            + of_constants(all_biases, all_taps),
        },
        "wide": {
            "parameters": (filters + taps) * (1 + d) + biases * (1 + outputs),
            "multiply_adds": filters * (calls.inputs + d * windows) + of_constants(biases, taps),
        },
        "merged": {
            "parameters": sides * weights
            + (wiring.out_channels if layer.constants else 0)
            + (constant if layer.tap_constants else 0),
            "multiply_adds": sides * wiring.in_channels * d * windows + image,
        },
    }


def deployed_sizes(ticket: Ticket, model: nn.Module, inputs: Tensor, *, runs: int = _RUNS) -> dict[str, Any]:
    """Weights, multiply-adds, measured latency and bytes of the four networks, as JSON values.

    Parameters
    ----------
    ticket : Ticket
    model : torch.nn.Module
        Its target, not changed.
    inputs : Tensor [m, ...]
        The first ones make the batch that is timed: 16, or one where the wide form would need more than 2e10
        multiply-adds for 16.
    runs : int
        Timed forward passes of each network, at most; the median counts. Fewer where they would take above 10 s.

    Returns
    -------
    dict
        `batch`, `threads`; `networks`: by form (`target`, `random`, `wide`, `merged`) `parameters`, `multiply_adds`
        for one input, `seconds` for the batch (None where it was not run, with `not_timed` saying why), `runs`, and
        `bytes` of all weights stored plainly; `layers`: name, and by form parameters and multiply-adds; `times`: the
        wide form's over the target's; `in_words`.

    Notes
    -----
    The random network is timed only where its dense weights take at most 256 MiB; it is not stored, its seed is. Cost:
    a few forward passes of each, O(kept d) memory. Timings depend on the machine and on what else it does.
    """
    calls = layer_calls(ticket, model, inputs)
    by_layer: list[dict[str, Any]] = [
        {"name": kept.layer.name, **layer_sizes(kept, calls[kept.layer.name]), "calls": calls[kept.layer.name].calls}
        for kept in ticket.layers
    ]
    plain = ticket.plain_target(model)
    replaced = {id(p) for module in find_layers(plain, ticket.carry_over).values() for p in module.parameters()}
    others = sum(p.numel() for p in plain.parameters() if id(p) not in replaced)
    networks: dict[str, dict[str, Any]] = {
        form: {
            "parameters": sum(layer[form]["parameters"] for layer in by_layer) + others,
            "multiply_adds": sum(layer[form]["multiply_adds"] for layer in by_layer),
        }
        for form in FORMS
    }
    target = copy.deepcopy(model).cpu().eval()
    networks["target"]["parameters"] = sum(p.numel() for p in target.parameters())
    largest = networks["wide"]["multiply_adds"]
    batch = min(_BATCH, len(inputs)) if _BATCH * largest <= _MOST_FOR_A_BATCH else 1
    own = inputs[:batch].to("cpu", next(target.parameters()).dtype)
    deployed = own if own.dtype == torch.float64 else own.float()
    networks["target"] |= _timed(target, own, runs) | {"bytes": file_bytes(target)}
    for form, merged in (("wide", False), ("merged", True)):
        if not merged and not wide_form_fits(ticket):
            size = 4 * networks[form]["parameters"]
            networks[form] |= {
                "seconds": None,
                "runs": 0,
                "not_timed": "too large to be run as it stands",
                "bytes": size,
            }
            continue
        module = ticket.to_module(target, merged=merged)
        networks[form] |= _timed(module, deployed, runs) | {"bytes": file_bytes(module)}
    networks["random"] |= _random(ticket, target, networks["random"], deployed, runs)
    times = {
        key: networks["wide"][key] / max(1, networks["target"][key]) for key in ("parameters", "multiply_adds", "bytes")
    }
    found = {
        "batch": batch,
        "threads": torch.get_num_threads(),
        "networks": networks,
        "layers": by_layer,
        "times": times,
    }
    return found | {"in_words": _in_words(found)}


def file_bytes(module: nn.Module) -> int:
    """Size of the module's state dict as a safetensors file, without writing it."""
    tensors = {name: t for name, t in module.state_dict().items() if isinstance(t, Tensor)}
    header, end = {}, 0
    for name in sorted(tensors, key=lambda name: (-tensors[name].element_size(), name)):  # as the format aligns them
        tensor = tensors[name]
        start, end = end, end + tensor.numel() * tensor.element_size()
        kind = {torch.float32: "F32", torch.float64: "F64", torch.int64: "I64"}.get(tensor.dtype, "F32")
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = len(json.dumps(header, separators=(",", ":")).encode())
    return 8 + text + -text % 8 + end


def _random(ticket: Ticket, target: nn.Module, counted: dict[str, Any], batch: Tensor, runs: int) -> dict[str, Any]:
    size = {"bytes": 4 * counted["parameters"]}
    if size["bytes"] > _LARGEST_RANDOM or len(batch) * counted["multiply_adds"] > _MOST_FOR_A_BATCH:
        return size | {"seconds": None, "runs": 0, "not_timed": "too large to be drawn as a whole"}
    return size | _timed(ticket.random_network(target), batch, runs)


def _timed(module: nn.Module, batch: Tensor, runs: int) -> dict[str, Any]:
    """Median of repeated forward passes; the first one, which allocates, counts only where it is the only one."""
    spent: list[float] = []
    with torch.no_grad():
        while len(spent) <= runs and sum(spent) < _SECONDS:
            started = time.perf_counter()
            module(batch.clone())  # a forward may overwrite its input
            spent.append(time.perf_counter() - started)
    counted = spent[1:] or spent
    return {"seconds": statistics.median(counted), "runs": len(counted)}


def _in_words(found: dict[str, Any]) -> str:
    """What a reader must not miss: which form is large, and what the other one is."""
    target, wide, merged = (found["networks"][form] for form in ("target", "wide", "merged"))
    more, slower = (_times(wide[key], target[key]) for key in ("parameters", "multiply_adds"))
    again, work = (_times(merged[key], target[key]) for key in ("parameters", "multiply_adds"))
    return (
        f"The wide form, the kept filters just as they stand in the random network, has {more} the target's weights "
        f"and needs {slower} its multiply-adds. The merged form is the network of the target's shape whose kernels are "
        f"the sums of the kept filters: {again} the target's weights, {work} its multiply-adds (twice where a layer's "
        "input has both signs). It computes the same function, but it is no longer a part of the random network."
    )


def _times(value: float, of: float) -> str:
    ratio = value / max(1, of)
    return f"{ratio:,.0f} times" if ratio >= 9.95 else f"{ratio:.2g} times"


def deployed_table(found: dict[str, Any]) -> str:
    """The four networks as lines of text, and what to make of them."""
    head = f"{'network':20s} {'weights':>16s} {'multiply-adds':>18s} {'latency':>12s} {'stored plainly':>18s}"
    lines = [head]
    for form, name in FORMS.items():
        row = found["networks"][form]
        latency = "not run" if row["seconds"] is None else f"{1000 * row['seconds']:,.2f} ms"
        size = f"{row['bytes']:,} B"
        lines.append(f"{name:20s} {row['parameters']:16,d} {row['multiply_adds']:18,d} {latency:>12s} {size:>18s}")
    inputs = "1 input" if found["batch"] == 1 else f"a batch of {found['batch']} inputs"
    threads = "1 thread" if found["threads"] == 1 else f"{found['threads']} threads"
    lines.append(f"Multiply-adds: of one input. Latency: median forward pass of {inputs}, {threads}.")
    return "\n".join([*lines, found["in_words"]])
