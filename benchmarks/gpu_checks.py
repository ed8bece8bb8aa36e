"""What a GPU must do just as the CPU does it, and how fast it is beside its own copy and matrix product.

python -m benchmarks.gpu_checks                      # on "cuda"; a few minutes
python -m benchmarks.gpu_checks --device cpu         # the same code at small sizes; seconds
python -m benchmarks.gpu_checks --device cuda:1 --profile

Leaves gpu_checks.json and gpu_checks.md in --out, with --profile also the profiler's table of one search. Exit status
1: a check failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

import sslth
from benchmarks.gpu_speed import Draw, SearchSpeed, copy_speed, draw_speed, matrix_speed, search_speed, synchronise
from sslth.cnn import triton_draw
from sslth.cnn.arguments import resolve_device
from sslth.cnn.certificates.ascent import attack, evaluated
from sslth.cnn.merged import merged_module
from sslth.cnn.on_devices import devices_of
from sslth.cnn.ticket import Ticket
from sslth.cnn.ticket_file import ticket_bytes
from sslth.cnn.torch_weights import draw_many_rows, draw_rows
from sslth.errors import SslthError
from sslth.networks.small_cnn import small_cnn
from sslth.subset_sum.files import write_bytes
from sslth.subset_sum.random_weights import Part, counter_word, fill_rows

__all__ = ["FULL", "SMALL", "Sizes", "main", "table"]

# Format version 1 of docs/generator.md: seed, layer, channel, filter, and the bits of the first entries
_GOLDEN = 0x0123456789ABCDEF, 2, 3, 4
_GOLDEN_U = [0x3F5264D5, 0xBEC7FA3E, 0xBE909A6F, 0x3F2BBFC2, 0xC00A3EB2]
_D = 72
_ROUNDING = 1e-12  # of float64 sums in another order, relative to the outputs
_BATCH = 4096


@dataclass(frozen=True)
class Sizes:
    """How much of everything.

    Attributes
    ----------
    weights : int
        Rows of 72 that are compared bit for bit.
    width : int
        Of the small network's ticket.
    starts, steps, inputs : int
        Of the ascent; of the data.
    normals, matrix : int
        Drawn or copied at a time; side of the matrices.
    blocks, rows : int
        Searched side by side, and their width.
    """

    weights: int
    width: int
    starts: int
    steps: int
    inputs: int
    normals: int
    matrix: int
    blocks: int
    rows: int


FULL = Sizes(1 << 22, 65_536, 1024, 300, 1_000_000, 1 << 24, 8192, 64, 200_000)
SMALL = Sizes(2000, 300, 16, 10, 1000, 1 << 16, 128, 3, 700)

Row = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Run all checks; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_checks", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, ... or cpu")
    parser.add_argument("--small", action="store_true", help="small sizes; always so on the CPU")
    parser.add_argument("--profile", action="store_true", help="also the profiler's table of one search")
    parser.add_argument("--out", type=Path, default=Path("out/gpu_checks"))
    options = parser.parse_args(arguments)
    try:
        where = resolve_device(options.device)
        on_cpu = where.type == "cpu"
        if str(where) == "cpu":
            where = torch.device("cpu", 0)  # a device that is named: torch searches there, not the compiled kernels
        sizes = SMALL if on_cpu or options.small else FULL
        rows = run_checks(where, sizes)
        options.out.mkdir(parents=True, exist_ok=True)
        stored = {"machine": _machine(where), "sizes": asdict(sizes), "checks": rows}
        write_bytes(options.out / "gpu_checks.json", (json.dumps(stored, indent=1) + "\n").encode())
        write_bytes(options.out / "gpu_checks.md", (table(stored) + "\n").encode())
        if options.profile:
            write_bytes(options.out / "profile.txt", _profile(where, sizes).encode())
    except SslthError as error:
        print(f"benchmarks.gpu_checks: {error}", file=sys.stderr)
        return 2
    print(table(stored))
    return 1 if any(row["passed"] is False for row in rows) else 0


def run_checks(where: torch.device, sizes: Sizes) -> list[Row]:
    """All checks and measurements on this device; TF32 is off meanwhile."""
    matrices, convolutions = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = small_cnn().eval()
        same, ticket = check_ticket(model, where, sizes)
        return [
            check_golden_weights(where, sizes),
            same,
            check_ascent(model, ticket, where, sizes),
            check_data(model, ticket, where, sizes),
            *speeds(where, sizes),
            *(check_triton(where, sizes) if where.type == "cuda" else []),
        ]
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matrices, convolutions


def check_golden_weights(where: torch.device, sizes: Sizes) -> Row:
    """The published bits of one filter, and all bits of many rows beside those of the compiled generator."""
    seed, layer, channel, filter_ = _GOLDEN
    one = draw_rows(seed, layer, Part.U, channel, torch.tensor([filter_], device=where), len(_GOLDEN_U))
    golden = one.cpu().numpy().view(np.uint32)[0].tolist() == _GOLDEN_U
    different = _different_bits(draw_many_rows, where, sizes)
    return {
        "name": "golden weights, bit for bit",
        "passed": golden and different == 0,
        "says": f"{different} of {sizes.weights * _D:,} float32 differ from the compiled generator's",
    }


def check_triton(where: torch.device, sizes: Sizes) -> list[Row]:
    """The same bits and the same filters by the Triton kernels, whether or not SSLTH_TRITON asks for them; speeds."""
    row: Row = {"name": "rows by Triton, bit for bit", "passed": None}
    if not triton_draw.is_installed():
        return [row | {"says": "not run: the package triton is not installed"}]
    different = _different_bits(triton_draw.draw_many_rows, where, sizes)
    made = draw_speed(where, sizes.normals, triton_draw.draw_many_rows)[0]
    row |= {
        "passed": different == 0,
        "says": f"{different} of {sizes.weights * _D:,} float32 differ from the compiled generator's; "
        f"{made / 1e9:.3f} billion normals a second",
        "value": made,
    }
    with mock.patch.dict(os.environ, {triton_draw.SWITCH: "1"}):
        return [row, _searched("search by Triton", search_speed(where, sizes.blocks, sizes.rows, _D), sizes)]


def _different_bits(draw: Draw, where: torch.device, sizes: Sizes) -> int:
    seed, layer, channel, _ = _GOLDEN
    different = 0
    step = min(sizes.weights, 1 << 17)
    word, block = torch.tensor([counter_word(layer, Part.U)], device=where), torch.tensor([channel], device=where)
    for first in range(0, sizes.weights, step):
        filters = np.arange(first, min(sizes.weights, first + step), dtype=np.uint32)
        expected = np.empty((filters.size, _D), dtype=np.float32)
        fill_rows(seed, layer, Part.U, channel, filters, expected)
        there = torch.from_numpy(filters.astype(np.int64)).to(where)
        found = draw(seed, word, block, there[None], _D)[0].cpu().numpy()
        different += int((found.view(np.uint32) != expected.view(np.uint32)).sum())
    return different


def check_ticket(model: torch.nn.Module, where: torch.device, sizes: Sizes) -> tuple[Row, Ticket]:
    """A small network's ticket, made by the compiled kernels and on the device; returns the former."""
    made = [
        sslth.extract(model, torch.zeros(1, 1, 8, 8), sizes.width, 0, low=0.0, high=1.0, device=name, progress=False)
        for name in ("cpu", str(where))
    ]
    stored = [ticket_bytes(ticket) for ticket in made]
    row = {
        "name": "same ticket",
        "passed": stored[0] == stored[1],
        "says": f"{made[0].kept_filters:,} filters kept by the CPU, {made[1].kept_filters:,} by the device; "
        + ("the same bytes" if stored[0] == stored[1] else "other bytes"),
    }
    return row, made[0]


def check_ascent(model: torch.nn.Module, ticket: Ticket, where: torch.device, sizes: Sizes) -> Row:
    """Gradient ascent on the device; what it says of its points is evaluated again on the CPU."""
    box = torch.zeros(1, 8, 8, dtype=torch.float64), torch.ones(1, 8, 8, dtype=torch.float64)
    merged = ticket.merged_layers()
    rows = torch.rand((64, 1, 8, 8), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = attack(model, merged, box, rows, device=where, starts=sizes.starts, steps=sizes.steps, seed=0)
    again, scale = evaluated(model, merged, found.points)
    off = float(((found.values - again).abs() / scale).max())
    started = float(evaluated(model, merged, rows)[0].max())
    return {
        "name": "attained error by ascent",
        "passed": off <= _ROUNDING and float(again.max()) >= started * (1 - _ROUNDING),
        "says": f"attained {float(again.max()):.3e} from {sizes.starts} starts, {started:.3e} on random inputs; values "
        f"of device and CPU differ by {off:.1e} of the outputs",
        "attained": float(again.max()),
    }


def check_data(model: torch.nn.Module, ticket: Ticket, where: torch.device, sizes: Sizes) -> Row:
    """Largest |ticket - target| over many inputs in float64, the first batch also on the CPU."""
    merged = merged_module(model, ticket.merged_layers(), torch.float64).eval()
    target = small_cnn().eval()
    target.load_state_dict(model.state_dict())
    pair = [network.double() for network in (target, merged)]
    generator = torch.Generator().manual_seed(2)
    largest = off = 0.0
    with torch.no_grad():
        for first in range(0, sizes.inputs, _BATCH):
            count = min(_BATCH, sizes.inputs - first)
            x = torch.rand((count, 1, 8, 8), dtype=torch.float64, generator=generator)
            here = pair[1].cpu()(x) - pair[0].cpu()(x) if first == 0 else None
            scale = float(pair[0](x).abs().max()) if first == 0 else 1.0
            there = [network.to(where)(x.to(where)).cpu() for network in pair]
            difference = there[1] - there[0]
            largest = max(largest, float(difference.abs().max()))
            if here is not None:
                off = float((difference - here).abs().max()) / scale
        synchronise(where)
    return {
        "name": "data error in float64",
        "passed": off <= _ROUNDING,
        "says": f"largest difference {largest:.3e} over {sizes.inputs:,} inputs; on the first "
        f"{min(_BATCH, sizes.inputs):,} device and CPU differ by {off:.1e} of the outputs",
        "largest": largest,
    }


def speeds(where: torch.device, sizes: Sizes) -> list[Row]:
    """Generation beside a copy and torch.randn, the matrix product, and the search beside the compiled kernels'."""
    copy, product = copy_speed(where, sizes.normals), matrix_speed(where, sizes.matrix)
    ours, torchs = draw_speed(where, sizes.normals)
    share = 4 * ours / copy
    found = search_speed(where, sizes.blocks, sizes.rows, _D)
    return [
        {"name": "device copy", "passed": None, "says": f"{copy / 1e9:.1f} GB/s, read and written", "value": copy},
        {"name": "float32 product", "passed": None, "says": f"{product / 1e12:.2f} TFLOP/s, no TF32", "value": product},
        {
            "name": "generation",
            "passed": None,
            "says": f"{ours / 1e9:.3f} billion normals a second (torch.randn {torchs / 1e9:.3f}); "
            f"{100 * share:.1f} % of the copy's bandwidth written",
            "value": ours,
            "torch_randn": torchs,
            "share_of_copy": share,
        },
        _searched("search side by side", found, sizes),
    ]


def _searched(name: str, found: SearchSpeed, sizes: Sizes) -> Row:
    return {
        "name": name,
        "passed": found.same,
        "says": f"{found.device:.3f} ns an entry of a row on the device, {found.kernel:.3f} with the compiled "
        f"kernels on one core; {sizes.blocks} blocks of width {sizes.rows:,}, d = {_D}, "
        + ("the same filters" if found.same else "OTHER FILTERS"),
        "value": found.device,
        "compiled": found.kernel,
    }


def table(stored: dict[str, Any]) -> str:
    """All of it in Markdown."""
    machine = stored["machine"]
    lines = [f"{machine['device']}, torch {machine['torch']}, CUDA {machine['cuda'] or 'none'}", ""]
    lines += ["| check | result | seen |", "|---|---|---|"]
    words = {True: "passed", False: "FAILED", None: "measured"}
    return "\n".join(
        lines + [f"| {row['name']} | {words[row['passed']]} | {row['says']} |" for row in stored["checks"]]
    )


def _machine(where: torch.device) -> dict[str, Any]:
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else f"{platform.machine()} CPU, small sizes"
    if len(searched := devices_of(str(where))) > 1:
        name += f", the first of {len(searched)} that search"
    return {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda, "python": platform.python_version()}


def _profile(where: torch.device, sizes: Sizes) -> str:
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if where.type == "cuda" else [])
    with profile(activities=activities) as seen:
        search_speed(where, sizes.blocks, sizes.rows, _D)
    return str(seen.key_averages().table(row_limit=25)) + "\n"


if __name__ == "__main__":
    sys.exit(main())
