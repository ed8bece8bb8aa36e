"""Error against kept filters, from sorted to best-first pursuit: python -m benchmarks.frontier --out out/frontier

Blocks of normally-scaled normal rows (n = 65,536; d = 72 and 144, --dimensions 576 for more): what few kept rows cost,
beside what counting asks for. With --network resnet20_narrow the same for a whole trained network. Every point is
stored as it is found, so that the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.frontier_figures import block_figure, network_figure
from sslth.errors import InvalidInputError, SslthError
from sslth.experiments.figure_style import save_figure
from sslth.subset_sum.draw_instance import draw_instance
from sslth.subset_sum.files import write_bytes
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.solve import solve
from sslth.subset_sum.solvers import Solver
from sslth.subset_sum.solvers.best_first_pursuit import BestFirstPursuit
from sslth.subset_sum.solvers.message_passing import MessagePassing
from sslth.subset_sum.solvers.sorted_pursuit import SortedPursuit
from sslth.subset_sum.verify import verify

N = 65_536
ERRORS = (1e-1, 1e-2, 1e-3)
TIMES = (1.2, 1.3, 1.5, 1.8)
FACTORS = (7.0, 10.0, 15.0, 22.0, 30.0)


def main(arguments: list[str] | None = None) -> int:
    """Run the study; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frontier", description=__doc__.splitlines()[0])
    parser.add_argument("--dimensions", default="72,144", help="numbers with commas between them")
    parser.add_argument("--seeds", type=int, default=1, help="instances of each dimension")
    parser.add_argument("--beams", default="1,16,128", help="of best-first pursuit")
    parser.add_argument("--network", default=None, help="a name of sslth.networks.trained.RECIPES, instead of blocks")
    parser.add_argument("--width", type=int, default=16_384, help="of the network's random layers")
    parser.add_argument("--kept", default="16,32,64,128,256", help="max_kept, for the network")
    parser.add_argument("--out", type=Path, default=Path("out/frontier"))
    options = parser.parse_args(arguments)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        if options.network is not None:
            from benchmarks.frontier_network import network_rows

            rows = network_rows(options.network, options.width, _numbers(options.kept), options.out)
            save_figure(network_figure(rows), options.out / f"{options.network}.png")
            return 0
        points = Points(options.out / "blocks.json")
        for d in _numbers(options.dimensions):
            for seed in range(options.seeds):
                measure(points, d, seed, _numbers(options.beams))
        print(block_table(points.rows))
        save_figure(block_figure(points.rows, N), options.out / "blocks.png")
    except SslthError as error:
        print(f"benchmarks.frontier: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    return 0


def _numbers(text: str) -> list[int]:
    if not all(part.strip().isdigit() and int(part) > 0 for part in text.split(",")):
        raise InvalidInputError(f"{text!r} are not whole numbers such as 72,144")
    return [int(part) for part in text.split(",")]


def counted_rows(n: int, d: int, error: float) -> int:
    """The fewest rows k with k log2(e n / k) >= d log2(1 / error)."""
    k = 1
    while k < n and k * math.log2(math.e * n / k) < d * math.log2(1.0 / error):
        k += 1
    return k


def counted_error(n: int, d: int, k: int) -> float:
    """The error that the same count allows to k rows."""
    return float(2.0 ** (-k * math.log2(math.e * n / k) / d))


class Points:
    """The measured points, in a file that is complete or what it was before."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []

    def has(self, **key: Any) -> bool:
        """Whether this point is there already."""
        return any(all(row.get(name) == value for name, value in key.items()) for row in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Store it at once."""
        self.rows.append(row)
        write_bytes(self._path, json.dumps(self.rows, indent=1).encode())


def measure(points: Points, d: int, seed: int, beams: list[int]) -> None:
    """All points of one instance."""
    drawn = draw_instance("nsn", N, d, seed)
    samples, direction = drawn.samples, drawn.target / np.linalg.norm(drawn.target)
    for name, solver in (("sorted_pursuit", SortedPursuit()), ("message_passing", MessagePassing(restarts=1))):
        for power in range(math.ceil(math.log2(8 * d)), 17):
            rows = samples[: 1 << power]  # widths nest: this is the random layer of that width
            _point(points, solver, rows, 0.2 * len(rows) * direction, solver=name, d=d, seed=seed, n=len(rows))
    for beam in beams:
        for error in ERRORS:
            for times in TIMES:
                k = math.floor(times * counted_rows(N, d, error))
                key = {"solver": f"best_first_pursuit, beam {beam}", "d": d, "seed": seed, "n": N, "k": k}
                for factor in _likely_factors(k, d):
                    target = factor * math.sqrt(d) * direction
                    _point(points, BestFirstPursuit(beam=beam), samples, target, factor=factor, **key)


def _likely_factors(k: int, d: int) -> list[float]:
    """The target's length over sqrt(d) that suits k rows, and its neighbours: about 1.2 k / sqrt(d)."""
    nearest = min(range(len(FACTORS)), key=lambda i: abs(math.log(FACTORS[i] * math.sqrt(d) / (1.2 * k))))
    return list(FACTORS[max(0, nearest - 1) : nearest + 2])


def _point(points: Points, how: Solver, rows: Any, target: Any, **key: Any) -> None:
    if points.has(**key):
        return
    instance = Instance(rows, target, max_cardinality=key.get("k"))
    wall, cpu = time.perf_counter(), time.process_time()
    solution = solve(instance, how, time_limit=None, max_work=10**10)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    error = float(np.linalg.norm(verify(instance, solution.subset).residual) / np.linalg.norm(target))
    row = {**key, "kept": int(solution.subset.size), "error": error, "seconds": wall, "cpu_seconds": cpu}
    points.add(row)
    print(f"  {key}: {row['kept']:,} kept, error {error:.2e}, {cpu:.2f} s", file=sys.stderr)


def best_points(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of every number of rows wanted the best length of the target; other points as they are."""
    best: dict[Any, dict[str, Any]] = {}
    for row in rows:
        key = (row["solver"], row["d"], row["seed"], row["n"], row.get("k"))
        if key not in best or row["error"] < best[key]["error"]:
            best[key] = row
    return list(best.values())


def block_table(rows: list[dict[str, Any]]) -> str:
    """Rows needed for two errors, over what counting asks for, in Markdown; and what sorted pursuit keeps."""
    lines = ["| d | seed | solver | error at most | kept | counting | times | seconds (CPU) |", "|" + "---|" * 8]
    for d, seed in sorted({(row["d"], row["seed"]) for row in rows}):
        mine = [row for row in best_points(rows) if (row["d"], row["seed"]) == (d, seed)]
        for solver in dict.fromkeys(row["solver"] for row in mine):
            for error in (1e-2, 1e-3):
                enough = [row for row in mine if row["solver"] == solver and row["error"] <= error]
                if not enough:
                    continue
                row = min(enough, key=lambda row: int(row["kept"]))
                counted = counted_rows(N, d, error)
                times = row["kept"] / counted
                lines.append(
                    f"| {d} | {seed} | {solver} | {error:g} | {row['kept']:,} | {counted} | {times:.2f} "
                    f"| {row['cpu_seconds']:.2f} |"
                )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
