"""The frontier of a whole trained network: one ticket for every `max_kept`, and those that keep all that help."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.resnet20 import agreement
from sslth.cnn.extract import extract
from sslth.experiments.deployed_size import deployed_sizes
from sslth.networks.trained import trained_on_digits
from sslth.subset_sum.files import write_bytes

__all__ = ["network_rows", "network_table"]


def network_rows(network: str, width: int, kept: list[int], out: Path) -> list[dict[str, Any]]:
    """Measure what is not stored yet, print the table, and return its rows."""
    target = trained_on_digits(network, cache=out / "weights")
    rows = []
    for most in [*kept, None]:
        path = out / f"{network}-{width}-{most or 'all'}.json"
        if path.is_file():
            rows.append(json.loads(path.read_text(encoding="utf-8")))
            continue
        cpu = time.process_time()
        ticket = extract(
            target.model, target.train_images[:1], width, 0, low=0.0, high=1.0, max_kept=most, progress=False
        )
        cpu = time.process_time() - cpu
        sizes = deployed_sizes(ticket, target.model, target.test_images[:16], runs=3)
        row = {
            "network": network,
            "width": width,
            "max_kept": most,
            "kept": ticket.kept_filters,
            "filters": ticket.total_filters,
            "cpu_seconds": cpu,
            "times": sizes["times"],
            "latency": {form: found["seconds"] for form, found in sizes["networks"].items()},
            "batch": sizes["batch"],
            "threads": torch.get_num_threads(),
            **agreement(ticket, target),
        }
        write_bytes(path, json.dumps(row, indent=1).encode())
        print(f"  {most}: error {row['logit_error']:.2e}, {cpu:.0f} s", file=sys.stderr)
        rows.append(row)
    print(network_table(rows))
    return rows


def network_table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    head = ("width", "at most, a block", "kept", "logit error", "same class", "weights", "multiply-adds", "CPU s")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [
            f"{row['width']:,}",
            "no limit" if row["max_kept"] is None else str(row["max_kept"]),
            f"{row['kept']:,}",
            f"{row['logit_error']:.1e}",
            f"{100 * row['same_class']:.2f} %",
            f"{row['times']['parameters']:,.0f} x",
            f"{row['times']['multiply_adds']:,.0f} x",
            f"{row['cpu_seconds']:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
