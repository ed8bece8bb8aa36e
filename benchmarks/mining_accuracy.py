"""Accuracy of every mining method on the digits, at several shares of kept weights.

`python -m benchmarks.mining_accuracy [--seeds 0,1,2] [--epochs 20] [--networks lenet_300_100,small_cnn]
[--methods NAME,NAME] [--store FILE]`
prints a table for docs/mining.md: test accuracy before and after finetuning, mean over seeds. Rows that --store (JSON
lines) has already are not measured again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch

import sslth.networks
from sslth.data.splits import digit_splits
from sslth.mining import known_methods, mine

KEEPS = (0.5, 0.2, 0.05, 0.02, 0.005)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0,1,2", help="seeds, with commas")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--networks", default="lenet_300_100,small_cnn")
    parser.add_argument("--methods", default=",".join(name for name in known_methods() if name != "imp"))  # imp: slow
    parser.add_argument("--store", type=Path, default=None)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = digit_splits()
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    if arguments.store is not None and arguments.store.exists():
        for line in arguments.store.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            rows[tuple(row["key"])] = row
    wanted = [
        (network, method, keep, int(seed), arguments.epochs)
        for seed in arguments.seeds.split(",")
        for network in arguments.networks.split(",")
        for method in arguments.methods.split(",")
        for keep in KEEPS
    ]
    for key in wanted:
        if key in rows:
            continue
        network, method, keep, seed, epochs = key
        build = getattr(sslth.networks, network)
        mined = mine(build, data, method, keep=keep, epochs=epochs, seed=seed, on_empty="keep_one")
        rows[key] = {"key": key, "seconds": mined.seconds, **mined.results}
        if arguments.store is not None:
            with arguments.store.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(rows[key]) + "\n")
    for network in arguments.networks.split(","):
        print(f"\n{network}, {len(arguments.seeds.split(','))} seeds: before / after finetuning, in per cent\n")
        print("| kept | " + " | ".join(f"{keep:.1%}" for keep in KEEPS) + " |")
        print("|---|" + "---|" * len(KEEPS))
        for method in arguments.methods.split(","):
            cells = []
            for keep in KEEPS:
                found = [rows[key] for key in wanted if key[:3] == (network, method, keep)]
                before, after = ([100 * row[f"accuracy_{when}"] for row in found] for when in ("before", "after"))
                spread = f" ± {statistics.stdev(after):.1f}" if len(after) > 1 else ""
                cells.append(f"{statistics.mean(before):.0f} / {statistics.mean(after):.1f}{spread}")
            print(f"| {method} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
