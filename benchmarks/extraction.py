"""Extraction at large widths: blocks of the sizes of a ResNet-20, beside plain drawing; and a trained ResNet-20.

python -m benchmarks.extraction                     # blocks: error, processor time, time for drawing alone
python -m benchmarks.extraction --width 4096        # the trained ResNet-20, with compensation
python -m benchmarks.extraction --width 4096 --plain
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from sslth.cnn.gain import sign_gain
from sslth.cnn.layers import Layer, Wiring
from sslth.cnn.random_layer import Block, RandomLayer
from sslth.cnn.search import TiledSearch, candidates
from sslth.subset_sum.memory import peak_bytes

BLOCKS = (
    *((4096, d) for d in (10, 64, 144, 288, 576)),
    *((16_384, d) for d in (10, 64, 144, 288, 576)),
    *((65_536, d) for d in (10, 64, 144, 288, 576)),
)
_TILE = 4096
_BLOCKS_OF_RESNET20 = {144: 99, 288: 176, 576: 352}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int)
    parser.add_argument("--plain", action="store_true", help="without compensation")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.width is None:
        measure_blocks(arguments.repeats)
    else:
        measure_network(arguments.width, not arguments.plain)


def measure_blocks(repeats: int) -> None:
    """Print medians over blocks, one core; a network's time is their sum over its blocks, shared by the cores."""
    print("n d | kept | relative error | ms a block | ms of that to draw the same rows once")
    totals: dict[int, list[float]] = {}
    for n, d in BLOCKS:
        blocks = [
            RandomLayer(seed, Layer("layer", 0, Wiring("linear", 1, d, False), n, 0, True, 1.0)).channels[0]
            for seed in range(repeats)
        ]
        errors, searched, drawn, kept = [], [], [], []
        warm = aim(n, d, 0)
        TiledSearch().search(blocks[0], 1, warm)
        for seed, block in enumerate(blocks):
            target = aim(n, d, seed)
            seconds, filters = timed(partial(TiledSearch().search, block, 1, target))
            searched.append(seconds)
            drawn.append(timed(partial(draw_all, block))[0])
            total = block.rows(filters, block.scales(filters)).sum(axis=0)
            errors.append(np.linalg.norm(total - target) / np.linalg.norm(target))
            kept.append(filters.size)
        work, plain = float(np.median(searched)), float(np.median(drawn))
        print(n, d, "|", int(np.median(kept)), f"| {np.median(errors):.2g} | {1e3 * work:.1f} | {1e3 * plain:.1f}")
        if d in _BLOCKS_OF_RESNET20:
            sums = totals.setdefault(n, [0.0, 0.0])
            sums[0] += _BLOCKS_OF_RESNET20[d] * work
            sums[1] += _BLOCKS_OF_RESNET20[d] * plain
    for n, (work, plain) in totals.items():
        print(f"ResNet-20, width {n}: {work:.1f} processor seconds of search, of which drawing {plain:.1f}")


def aim(n: int, d: int, seed: int) -> np.ndarray:
    """A random direction, as long as the gain makes the largest block."""
    direction = np.random.default_rng(seed).standard_normal(d)
    return direction / np.linalg.norm(direction) * sign_gain(np.ones(1), 0.0, n, d)


def draw_all(block: Block) -> None:
    """Draw what the search draws, tile by tile, and nothing else."""
    filters, _ = candidates(block, 1)
    rows = np.empty((min(_TILE, filters.size), block.d), dtype=np.float32)
    for start in range(0, filters.size, len(rows)):
        part = filters[start : start + len(rows)]
        block.fill(part, rows[: part.size])


def timed(work: Callable[[], object]) -> tuple[float, np.ndarray]:
    """Processor seconds of this thread, which others on the machine hardly change, and the result."""
    started = time.thread_time()
    result = work()
    return time.thread_time() - started, result  # type: ignore[return-value]  # what every caller's work gives


def measure_network(width: int, compensate: bool) -> None:
    """Print seconds, memory and quality for the trained ResNet-20."""
    import torch

    import sslth
    from sslth.networks.trained import trained_on_digits

    trained = trained_on_digits("resnet20", cache="build/networks")
    model, images = trained.model, trained.test_images
    wall, processor = time.perf_counter(), time.process_time()
    ticket = sslth.extract(model, images[:1], width=width, low=0.0, high=1.0, progress=False, compensate=compensate)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    peak = (peak_bytes() or 0) / 2**30
    with torch.no_grad():
        expected = model.double()(images.double())
        found = ticket.to_module(merged=True).double()(images.double())
    centred = expected - expected.mean(dim=0)
    error = (found - found.mean(dim=0) - centred).norm() / centred.norm()
    agreement = (found.argmax(dim=1) == expected.argmax(dim=1)).double().mean()
    print(
        f"width {width}, compensate={compensate}: {wall:.1f} s, {processor:.1f} processor seconds, peak {peak:.2f} GiB"
    )
    print(f"centred relative logit error {error:.2e}, top-1 kept {agreement:.4f} of {len(images)}")
    print(f"kept {ticket.kept_filters} of {ticket.total_filters}")


if __name__ == "__main__":
    main()
