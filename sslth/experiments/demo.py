"""The demo: train a small CNN on bundled digits, then do the main job on it. `python -m sslth.experiments.demo`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from sslth.cnn.progress import report_progress
from sslth.data.digits import load_digits
from sslth.errors import SslthError
from sslth.experiments.main_job import run_main_job
from sslth.experiments.summary import summary_table
from sslth.networks.small_cnn import small_cnn
from sslth.networks.training import train_classifier

__all__ = ["main"]

DEFAULT_WIDTH = 8192


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sslth.experiments.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/demo"))
    parser.add_argument("--width", type=int, default=DEFAULT_WIDTH)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args(arguments)
    try:
        started = time.perf_counter()
        digits = load_digits()
        with report_progress(not options.quiet) as report:
            network = train_classifier(
                small_cnn, digits.train_images, digits.train_labels, epochs=options.epochs, progress=report
            )
        trained = time.perf_counter()
        command = f"python -m sslth.experiments.demo --width {options.width} --seed {options.seed}"
        command += f" --epochs {options.epochs} --out {options.out}"
        summary = run_main_job(
            network,
            digits.test_images,
            digits.test_labels,
            out=options.out,
            width=options.width,
            seed=options.seed,
            low=0.0,
            high=1.0,
            with_widths=True,
            slope_steps=20,
            evaluated_on=f"{len(digits.test_images)} held-out images of digits",
            command=command,
            progress=not options.quiet,
            stages={"train": trained - started},
        )
    except SslthError as error:
        print(f"sslth: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sslth: interrupted; the same command goes on", file=sys.stderr)
        return 130
    print(summary_table(summary))
    print(f"\nRead {options.out / 'report.html'}; the picture is {options.out / 'error_vs_width.png'}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
