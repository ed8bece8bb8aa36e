"""What plans of widths predict and what is reached: `python -m benchmarks.width_plans [NETWORK ...]`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

import sslth
from sslth.cnn.ticket_file import ticket_size
from sslth.cnn.widths.width_plan import WidthPlan
from sslth.data.digits import load_digits
from sslth.networks.small_cnn import small_cnn
from sslth.networks.trained import RECIPES, trained_on_digits
from sslth.networks.training import train_classifier

_DEMO = "small_cnn"
_WISHES: dict[str, dict[str, Any]] = {
    "error 1e-1": {"target_error": 1e-1},
    "error 1e-2": {"target_error": 1e-2},
    "error 1e-3": {"target_error": 1e-3},
    "error 1e-2, calibrated": {"target_error": 1e-2, "calibrated": True},
    "200 kB": {"max_bytes": 200_000},
    "20 s": {"time_limit": 20.0},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=[_DEMO, "lenet5_tanh", "resnet20_narrow"])
    parser.add_argument("--cache", type=Path, default=Path("out/trained"))
    parser.add_argument("--wishes", nargs="+", choices=list(_WISHES), default=list(_WISHES))
    options = parser.parse_args()
    print("Predicted / reached:\n\n| network | asked | widths | error | bytes | seconds |")
    print("|---|---|---|---|---|---|")
    for name in options.networks:
        for row in rows(name, options.wishes, options.cache):
            print(f"| {' | '.join(row)} |", flush=True)


def rows(name: str, wishes: Sequence[str], cache: Path) -> Iterator[tuple[str, ...]]:
    """One line a wish; errors on 128 held-out images, 256 training images to calibrate on."""
    model, held_out, training = network(name, cache)
    for label in wishes:
        arguments = dict(_WISHES[label])
        if arguments.pop("calibrated", False):
            arguments["calibration"] = training[:256]
        shown: list[WidthPlan] = []
        started = time.perf_counter()
        ticket = sslth.extract(
            model, held_out[:128], low=0.0, high=1.0, progress=False, **arguments,
            _show_plan=shown.append,
        )  # fmt: skip
        seconds = time.perf_counter() - started
        plan = ticket.settings["plan"]
        predicted, reached = plan["predicted"], plan["reached"]
        yield (
            name,
            label,
            f"{min(ticket.widths.values()):,} to {ticket.width:,}",
            f"{predicted['error']:.2g} / {reached['error']:.2g}",
            f"{predicted['bytes']:,} / {ticket_size(ticket):,}",
            f"{shown[0].predicted_seconds:.1f} / {seconds:.1f}",
        )


def network(name: str, cache: Path) -> tuple[nn.Module, Tensor, Tensor]:
    """A trained network, held-out images and training images."""
    if name in RECIPES:
        trained = trained_on_digits(name, cache=cache)
        return trained.model, trained.test_images, trained.train_images
    digits = load_digits()
    model = train_classifier(small_cnn, digits.train_images, digits.train_labels, epochs=40)
    return model, digits.test_images, digits.train_images


if __name__ == "__main__":
    main()
