"""Certificates of the demo's ticket: the whole box, and balls around held-out images.

python -m benchmarks.certificates                        # the box, then 20 images at each of three radii
python -m benchmarks.certificates --radius .02 --images 5
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import sslth
from sslth.cnn.certificates.certificate import Report
from sslth.data.digits import load_digits
from sslth.networks.small_cnn import small_cnn
from sslth.networks.training import train_classifier

RADII = (0.02, 0.05, 0.1)


def main(arguments: list[str] | None = None) -> None:
    """Print one line for the box and one for every radius."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--radius", type=float, action="append", help="of balls; 0 for the whole box")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--width", type=int, default=8192)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--slope-steps", type=int, default=150)
    options = parser.parse_args(arguments)
    digits = load_digits()
    network = train_classifier(small_cnn, digits.train_images, digits.train_labels, epochs=options.epochs)
    ticket = sslth.extract(
        network, digits.test_images, options.width, 0, low=0.0, high=1.0, device="cpu", progress=False
    )
    print(
        "inputs | proved / attained: median, least, most | same class proved | seconds (processor): median, most | "
        "worst ball",
        flush=True,
    )
    for radius in options.radius or (0.0, *RADII):
        if radius == 0.0:
            started = _clocks()
            report = sslth.certify(
                ticket, network, device="cpu", data=digits.test_images, starts=256, steps=200,
                slope_steps=options.slope_steps,
            )  # fmt: skip
            line([report], "the box", [_since(started)])
            continue
        reports, seconds = [], []
        for image in digits.test_images[options.first : options.first + options.images]:
            started = _clocks()
            reports.append(
                sslth.certify(
                    ticket, network, device="cpu", around=image, radius=radius, slope_steps=options.slope_steps
                )
            )
            seconds.append(_since(started))
        line(reports, f"{len(reports)} balls, radius {radius:g}", seconds)


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(started: tuple[float, float]) -> tuple[float, float]:
    now = _clocks()
    return now[0] - started[0], now[1] - started[1]


def line(reports: list[Report], name: str, seconds: list[tuple[float, float]]) -> None:
    """One row of the table."""
    ratios = np.array([report.upper / report.lower for report in reports])
    same = sum(bool(report.same_class) for report in reports)
    median, most = np.median(seconds, axis=0), np.max(seconds, axis=0)
    widest = max(reports, key=lambda report: report.upper)
    print(
        f"{name} | {np.median(ratios):.2f}, {ratios.min():.2f}, {ratios.max():.2f} | {same} of {len(reports)} | "
        f"{median[0]:.1f} ({median[1]:.1f}), {most[0]:.1f} ({most[1]:.1f}) | "
        f"{widest.upper:.4g} proved, {widest.lower:.4g} attained",
        flush=True,
    )


if __name__ == "__main__":
    main()
