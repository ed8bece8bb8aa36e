"""What the tiled search leaves of a layer's blocks by n / d, and how much of that lies along the target.

`python -m benchmarks.search_law --d 16 64 160`; docs/decisions/0015-width-plans.md says what it is for.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import nn

from sslth.cnn.plan import plan_layer, search
from sslth.cnn.search import TiledSearch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--d", type=int, nargs="+", default=[1, 4, 16, 64, 160])
    parser.add_argument("--ratios", type=float, nargs="+", default=[1, 2, 4, 7, 14, 28, 56, 112])
    parser.add_argument("--blocks", type=int, default=6)
    options = parser.parse_args()
    print(f"{'d':>5s} {'n / d':>6s} {'error':>9s} {'along the target':>17s} {'kept / n':>9s} {'s a block':>9s}")
    for d in options.d:
        for ratio in options.ratios:
            error, along, kept, seconds = measured(d, max(4, round(ratio * d)), options.blocks)
            print(f"{d:5d} {ratio:6g} {error:9.2e} {along:17.3f} {kept:9.3f} {seconds:9.4f}", flush=True)


def measured(d: int, n: int, blocks: int) -> tuple[float, float, float, float]:
    """Root mean square error over the longest block, mean share of a target that is missing, kept / n, seconds."""
    torch.manual_seed(0)
    solver = TiledSearch()
    plan = plan_layer("layer", 0, nn.Linear(blocks, d, bias=False), n, 0, True, None, None, solver)
    rows = []
    for task in plan.tasks(0):
        started = time.perf_counter()
        filters = search(task, solver, None)
        seconds = time.perf_counter() - started
        left = task.target - task.block.rows(filters, task.block.scales(filters)).sum(axis=0)
        length = float(np.linalg.norm(task.target))
        rows.append(
            (float(np.linalg.norm(left)), float(left @ task.target) / length**2, filters.size / n, seconds, length)
        )
    errors, along, kept, seconds_each, lengths = np.array(rows).T
    error = float(np.sqrt(np.mean(errors**2)) / lengths.max())
    return error, float(along.mean()), float(kept.mean()), float(np.median(seconds_each))


if __name__ == "__main__":
    main()
