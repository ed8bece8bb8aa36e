"""Tickets of a trained ResNet-20: python -m benchmarks.resnet20 --widths 4096,16384 --calibrated --out out/resnet20

The network is trained on the digits, brought to 16x16 pixels, or loaded from the folder. Every width runs in a process
of its own, so that its peak memory is its own, and its finished blocks and its row of the table are stored: the same
command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.resnet20_figures import draw_figures
from sslth.cnn.extract import extract
from sslth.cnn.ticket import Ticket
from sslth.errors import InvalidInputError, SslthError
from sslth.networks.trained import TrainedNetwork, trained_on_digits
from sslth.subset_sum.files import write_atomically

MODES = ("plain", "means", "calibrated")
_HEADINGS = ("width", "aimed at", "logit error", "same class", "largest kernel error", "kept", "seconds", "peak MiB")


def main(arguments: list[str] | None = None) -> int:
    """Run the study; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resnet20", description=__doc__.splitlines()[0])
    parser.add_argument("--widths", default="1024,4096", help="numbers with commas between them")
    parser.add_argument("--calibrated", action="store_true", help="also refitted on 512 training images")
    parser.add_argument("--plain", action="store_true", help="also without any compensation")
    parser.add_argument("--seed", type=int, default=0, help="of the random networks")
    parser.add_argument("--network", default="resnet20", help="a name of sslth.networks.trained.RECIPES")
    parser.add_argument("--jobs", type=int, default=None, help="threads of the search")
    parser.add_argument("--out", type=Path, default=Path("out/resnet20"))
    options = parser.parse_args(arguments)
    modes = ["means"] + ["calibrated"] * options.calibrated + ["plain"] * options.plain
    try:
        widths = [_width(text) for text in options.widths.split(",")]
        options.out.mkdir(parents=True, exist_ok=True)
        target = trained_on_digits(options.network, cache=options.out / "weights", progress=_show)
        print(f"{options.network}: {100 * target.accuracy:.2f} % of {len(target.test_images)} held-out images")
        for width in widths:
            for mode in modes:
                path = options.out / f"{options.network}-{width}-{mode}-{options.seed}.json"
                if not path.is_file():
                    _in_a_process_of_its_own(options, width, mode, path)
        rows = read_rows(options.out)
        print(table(rows))
        draw_figures(rows, options.out)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    except SslthError as error:
        print(f"benchmarks.resnet20: {error}", file=sys.stderr)
        return 2
    return 0


def _width(text: str) -> int:
    if not text.strip().isdigit() or int(text) < 1:
        raise InvalidInputError(f"--widths has {text!r}; write whole numbers such as 4096,16384")
    return int(text)


def _show(epoch: int, epochs: int, stage: str) -> None:
    print(f"  {stage}: epoch {epoch + 1} of {epochs}", end="\r", file=sys.stderr)


def _in_a_process_of_its_own(options: argparse.Namespace, width: int, mode: str, path: Path) -> None:
    arguments = (options.network, width, mode, options.seed, options.jobs, options.out, path)
    process = multiprocessing.get_context("spawn").Process(target=measure, args=arguments)
    process.start()
    try:
        process.join()
    except KeyboardInterrupt:
        process.terminate()
        process.join()
        raise
    if process.exitcode != 0:
        raise SslthError(f"width {width}, {mode}: the process ended with {process.exitcode}")


def measure(network: str, width: int, mode: str, seed: int, jobs: int | None, out: Path, path: Path) -> None:
    """Extract one ticket and write its row of the table."""
    target = trained_on_digits(network, cache=out / "weights")
    before = _peak_mib()
    started, cpu = time.perf_counter(), time.process_time()
    keywords: dict[str, Any] = {"compensate": False} if mode == "plain" else {}
    if mode == "calibrated":
        keywords["calibration"] = target.train_images[:512]
    ticket = extract(
        target.model,
        target.train_images[:1],
        width,
        seed,
        low=0.0,
        high=1.0,
        progress=True,
        jobs=jobs,
        _blocks=path.with_suffix(".blocks"),
        **keywords,
    )
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    row = {
        "network": network,
        "width": width,
        "mode": mode,
        "seed": seed,
        "threads": jobs,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mib": _peak_mib(),
        "peak_mib_before": before,
        "accuracy": target.accuracy,
        "kept": ticket.kept_filters,
        "filters": ticket.total_filters,
        "settings": ticket.settings,
        **agreement(ticket, target),
        "kernel_errors": kernel_errors(ticket),
    }
    write_atomically(path, lambda stream: stream.write(json.dumps(row, indent=1).encode()))
    ticket.save(path.with_suffix(".safetensors"))
    for leftover in path.parent.glob(path.with_suffix(".blocks").name + "*"):
        leftover.unlink()


def agreement(ticket: Ticket, target: TrainedNetwork) -> dict[str, float]:
    """How near the ticket's logits are to the target's, on the held-out images and their mean taken away."""
    with torch.no_grad():
        wanted = target.model(target.test_images).double()
        found = ticket.to_module(merged=True)(target.test_images).double()
    same = float((wanted.argmax(1) == found.argmax(1)).double().mean())
    right = float((found.argmax(1) == target.test_labels).double().mean())
    return {
        "logit_error": _relative(_centred(found), _centred(wanted)),
        "uncentred_error": _relative(found, wanted),
        "same_class": same,
        "ticket_accuracy": right,
    }


def _centred(logits: Tensor) -> Tensor:
    return logits - logits.mean(dim=0)


def _relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def kernel_errors(ticket: Ticket) -> dict[str, dict[str, float]]:
    """By layer: d, and the largest relative Euclidean error of an input channel's kernel, against the target's.

    A ticket that was calibrated is aimed at something else than the target's kernels: its errors are larger on purpose.
    """
    assert ticket.model is not None
    layers = dict(ticket.plain_target(ticket.model).named_modules())
    merged = ticket.merged_layers()
    errors = {}
    for kept in ticket.layers:
        wiring, name = kept.layer.wiring, kept.layer.name
        weight = layers[name].weight.detach().double().numpy()
        reached = merged[name].positive.numpy()
        worst = 0.0
        for channel in range(wiring.in_channels):
            block = torch.from_numpy(wiring.block(weight, channel).copy())
            apart = torch.from_numpy(wiring.block(reached, channel).copy()) - block
            if float(block.norm()) > 0:
                worst = max(worst, float(apart.norm() / block.norm()))
        errors[name] = {"d": float(wiring.d), "error": worst}
    return errors


def _peak_mib() -> float:
    """Of this process so far; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The stored rows, by mode and width."""
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return sorted(rows, key=lambda row: (row["network"], MODES.index(row["mode"]), row["width"], row["seed"]))


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a table in Markdown."""
    lines = ["| " + " | ".join(_HEADINGS) + " |", "|" + "---|" * len(_HEADINGS)]
    for row in rows:
        worst = max(layer["error"] for layer in row["kernel_errors"].values())
        share = 100 * row["kept"] / row["filters"]
        cells = [
            f"{row['width']:,}",
            row["mode"],
            f"{row['logit_error']:.1e}",
            f"{100 * row['same_class']:.2f} %",
            f"{worst:.1e}",
            f"{row['kept']:,} ({share:.0f} %)",
            f"{row['seconds']:.0f} ({row['cpu_seconds']:.0f} CPU)",
            f"{row['peak_mib']:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
