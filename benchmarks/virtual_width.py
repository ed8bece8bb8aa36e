"""Widths that no memory holds: peak memory, time and error of one block against its width, and whole networks.

python -m benchmarks.virtual_width                       # everything; some 15 minutes of an idle core, resumable
python -m benchmarks.virtual_width --parts memory,error --most 1e6

Every measurement leaves a JSON file in the folder; what is there is not measured again. Those of time and memory run in
a process of their own each. The table and the figures are drawn from all that is there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import sslth
from benchmarks.virtual_width_networks import predict_resnet18, run_resnet20
from sslth.cnn.gain import sign_gain
from sslth.cnn.kept_filters import Numbers
from sslth.cnn.layers import Layer, Wiring
from sslth.cnn.random_layer import Block, RandomLayer
from sslth.cnn.search import TiledSearch
from sslth.errors import InvalidInputError, SslthError
from sslth.subset_sum.arguments import written_number
from sslth.subset_sum.files import write_atomically
from sslth.subset_sum.kernels.exact_sum import add_scaled_rows_exactly, settle
from sslth.subset_sum.memory import peak_bytes
from sslth.subset_sum.random_weights import Part, fill_rows

PARTS = ("memory", "ticket", "plain", "error", "networks")
_MEMORY_WIDTHS, _MEMORY_D = (10**4, 10**5, 10**6, 10**7), 72
_TICKET_INPUTS, _TICKET_OUTPUTS = 100, 9
_ERROR_DIMENSIONS = (9, 72, 288)
_ERROR_WIDTHS = tuple(round(10 ** (half / 2)) for half in range(4, 17))  # 10² to 10⁸, two a decade
_FEWEST_A_DIMENSION = 3
_NORMALS = 20_000_000
_REPEATS = 3

Cell = tuple[str, Callable[..., dict[str, Any]], tuple[Any, ...]]  # name of the file, what to run, its arguments


def main(arguments: list[str] | None = None) -> int:
    """Run the study; returns the exit status."""
    from benchmarks.virtual_width_report import draw_figures, tables  # not where memory is measured

    parser = argparse.ArgumentParser(prog="python -m benchmarks.virtual_width", description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}, with commas between them")
    parser.add_argument("--most", default="1e7", help="the largest width")
    parser.add_argument("--weights", type=Path, help="folder of trained networks; by default in --out")
    parser.add_argument("--out", type=Path, default=Path("out/virtual_width"))
    options = parser.parse_args(arguments)
    try:
        parts = options.parts.split(",")
        for part in parts:
            if part not in PARTS:
                raise InvalidInputError(f"--parts has {part!r}; choose of {', '.join(PARTS)}")
        most = written_number(options.most, "--most")
        options.out.mkdir(parents=True, exist_ok=True)
        for name, measure, given in cells(parts, most, options.weights or options.out / "weights"):
            path = options.out / f"{name}.json"
            if not path.is_file():
                print(f"  {name}", file=sys.stderr)
                run = _measure_and_write if measure is measure_error else _in_a_process_of_its_own
                run(measure, given, path)
        rows = read_rows(options.out)
        print(tables(rows))
        draw_figures(rows, options.out)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    except SslthError as error:
        print(f"benchmarks.virtual_width: {error}", file=sys.stderr)
        return 2
    return 0


def cells(parts: list[str], most: int, weights: Path) -> list[Cell]:
    """All measurements of these parts."""
    found: list[Cell] = []
    if "memory" in parts:
        widths = [width for width in _MEMORY_WIDTHS if width <= most]
        found += [(f"memory-{_MEMORY_D}-{width}", measure_block, (width, _MEMORY_D, 0, _REPEATS)) for width in widths]
    if "ticket" in parts:
        widths = [width for width in _MEMORY_WIDTHS if width <= most]
        found += [(f"ticket-{n}", measure_ticket, (n, _TICKET_INPUTS, _TICKET_OUTPUTS)) for n in widths]
    if "plain" in parts:
        found.append(("plain", measure_plain_generation, (_NORMALS,)))
    if "error" in parts:
        for d in _ERROR_DIMENSIONS:
            for width in _ERROR_WIDTHS:
                if _FEWEST_A_DIMENSION * d <= width <= most:
                    seeds = 4 if width <= 10**6 else 1
                    found += [(f"error-{d}-{width}-{s}", measure_error, (width, d, s)) for s in range(seeds)]
    if "networks" in parts:
        found.append(("network-resnet20", run_resnet20, (str(weights), 1e-3)))
        found.append(("network-resnet18", predict_resnet18, (1e-2,)))
    return found


def _in_a_process_of_its_own(measure: Callable[..., dict[str, Any]], given: tuple[Any, ...], path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_measure_and_write, args=(measure, given, path))
    process.start()
    try:
        process.join()
    except KeyboardInterrupt:
        process.terminate()
        process.join()
        raise
    if process.exitcode != 0:
        raise SslthError(f"{path.stem}: the process ended with {process.exitcode}")


def _measure_and_write(measure: Callable[..., dict[str, Any]], given: tuple[Any, ...], path: Path) -> None:
    row = {"name": path.stem, **measure(*given), "load": os.getloadavg()[0]}
    write_atomically(path, lambda stream: stream.write(json.dumps(row, indent=1).encode()))


def measure_block(width: int, d: int, seed: int, repeats: int) -> dict[str, Any]:
    """Search one block: the quickest of some repeats, the peak of this process, and the exactly recomputed error."""
    warm = random_block(min(width, 200_000), d, seed)
    TiledSearch().search(warm, 1, aim(warm.size // 2, d, seed))  # kernels are compiled, libraries loaded
    block, target = random_block(width, d, seed), aim(width, d, seed)
    before, spent = own_peak_bytes(), []
    for _ in range(repeats):
        filters: Numbers = np.empty(0, dtype=np.uint32)  # the last answer goes before the next one comes
        wall, processor = time.perf_counter(), time.process_time()
        filters = TiledSearch().search(block, 1, target)
        spent.append((time.process_time() - processor, time.perf_counter() - wall))
    peak = own_peak_bytes()
    return {
        "width": width,
        "d": d,
        "seed": seed,
        "processor_seconds": min(spent)[0],
        "seconds": min(wall for _, wall in spent),
        "kept": int(filters.size),
        "error": exact_error(block, filters, target),
        "peak_bytes": peak,
        "peak_bytes_before": before,
        "stated_bytes": TiledSearch().bytes_of_block(width, d),
    }


def measure_ticket(width: int, inputs: int, outputs: int) -> dict[str, Any]:
    """Extract a linear layer, write its ticket, read it and merge it; seconds of each, and the peak of this process."""
    import torch

    torch.manual_seed(0)
    model, x = torch.nn.Sequential(torch.nn.Linear(inputs, outputs)), torch.rand(64, inputs)
    row: dict[str, Any] = {"width": width, "blocks": inputs, "d": outputs}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ticket.safetensors"
        for n in (min(width, 10_000), width):  # the first time kernels are compiled
            started = [time.perf_counter()]
            ticket = sslth.extract(model, x, n, low=0.0, high=1.0, progress=False)
            started.append(time.perf_counter())
            ticket.save(path)
            started.append(time.perf_counter())
            merged = sslth.Ticket.load(path).to_module(merged=True)
            started.append(time.perf_counter())
        with torch.no_grad():
            error = (merged(x) - model(x)).norm() / (model(x) - model(x).mean(dim=0)).norm()
        row |= {"kept": ticket.kept_filters, "file_bytes": path.stat().st_size, "logit_error": float(error)}
    names = ("extract_seconds", "save_seconds", "load_and_merge_seconds")
    row |= {name: stop - start for name, start, stop in zip(names, started, started[1:], strict=False)}
    return row | {"peak_bytes": own_peak_bytes()}


def measure_error(width: int, d: int, seed: int) -> dict[str, Any]:
    """Search one block; how many filters are kept, and the exactly recomputed error."""
    block, target = random_block(width, d, seed), aim(width, d, seed)
    filters = TiledSearch().search(block, 1, target)
    error = exact_error(block, filters, target)
    return {"width": width, "d": d, "seed": seed, "kept": int(filters.size), "error": error}


def random_block(width: int, d: int, seed: int) -> Block:
    """One input channel of a layer with d outputs."""
    wiring = Wiring("linear", 1, d, False)
    return RandomLayer(seed, Layer("layer", 0, wiring, width, 0, True, 1.0)).channels[0]


def aim(width: int, d: int, seed: int) -> np.ndarray:
    """A random direction, as long as the gain makes the largest block."""
    direction = np.random.default_rng(seed).standard_normal(d)
    return direction / np.linalg.norm(direction) * sign_gain(np.ones(1), 0.0, width, d)


def exact_error(block: Block, filters: Numbers, target: np.ndarray) -> float:
    """‖sum of kept rows - target‖₂ / ‖target‖₂, the sum in double-double arithmetic."""
    high, low, lost = -target, np.zeros(target.size), np.zeros(target.size)
    for scales, rows in block.tiles(filters):
        add_scaled_rows_exactly(np.abs(scales), rows, np.arange(scales.size), high, low, lost)
    settle(high, low)
    return float(np.linalg.norm(high) / np.linalg.norm(target))


def measure_plain_generation(count: int) -> dict[str, Any]:
    """Nanoseconds a float32 normal of NumPy's, torch's and our generator, and of a copy of as many bytes; one core."""
    import torch

    torch.set_num_threads(1)
    rng = np.random.Generator(np.random.Philox(0))
    out, copy = np.empty(count, dtype=np.float32), np.empty(count, dtype=np.float32)
    double, buffer = np.empty(count), torch.empty(count)
    filters = np.arange(count // _MEMORY_D, dtype=np.uint32)
    rows = np.empty((filters.size, _MEMORY_D), dtype=np.float32)
    works: dict[str, Callable[[], object]] = {
        "numpy": lambda: rng.standard_normal(out=out, dtype=np.float32),
        "numpy_float64": lambda: rng.standard_normal(out=double),
        "torch": lambda: buffer.normal_(),
        "ours": lambda: fill_rows(0, 0, Part.U, 0, filters, rows),
        "copy": lambda: np.copyto(copy, out),
    }
    found: dict[str, Any] = {"normals": count}
    for name, work in works.items():
        spent = []
        for _ in range(_REPEATS + 1):
            started = time.process_time()
            work()
            spent.append(time.process_time() - started)
        found[name] = 1e9 * min(spent[1:]) / count
    return found


def own_peak_bytes() -> int:
    """Peak resident size of this process alone; `getrusage` counts what its parent had before it was started."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    return peak_bytes() or 0


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """All that was measured."""
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    return sorted(rows, key=lambda row: (row["name"].split("-")[0], row.get("d", 0), row.get("width", 0), row["name"]))


if __name__ == "__main__":
    sys.exit(main())
