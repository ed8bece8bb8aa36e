"""Whole networks at a wished error: ResNet-20 planned and measured, ResNet-18's shape at 224x224 only predicted."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

_CORRECTIONS = 4
_NEAR = 1.1

__all__ = ["predict_resnet18", "run_resnet20", "width_for"]


def run_resnet20(weights: str, wish: float) -> dict[str, Any]:
    """Plan widths for this centred logit error, extract, and measure the error on images the plan has not seen."""
    import torch

    import sslth
    from benchmarks.resnet20 import agreement
    from benchmarks.virtual_width import own_peak_bytes
    from sslth.networks.trained import trained_on_digits

    target = trained_on_digits("resnet20", cache=Path(weights))
    torch.set_num_threads(os.cpu_count() or 1)
    wall, processor = time.perf_counter(), time.process_time()
    ticket = sslth.extract(
        target.model, target.train_images[:256], seed=0, low=0.0, high=1.0, target_error=wish, progress=False
    )
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    plan = ticket.settings["plan"]
    planned = plan["predicted"]["error"]
    widths = list(ticket.widths.values())
    started = time.perf_counter(), time.process_time()
    again = sslth.extract(
        target.model, target.train_images[:1], ticket.widths, seed=0, low=0.0, high=1.0, progress=False
    )
    alone = time.perf_counter() - started[0], time.process_time() - started[1]
    found = agreement(again, target)
    return {
        "network": "ResNet-20 (trained on the digits)",
        "wish": wish,
        "predicted_error": planned,
        "reached_on_the_plans_inputs": plan["reached"]["error"],
        "logit_error": found["logit_error"],
        "same_class": found["same_class"],
        "widths": [min(widths), max(widths)],
        "filters": ticket.total_filters,
        "kept": ticket.kept_filters,
        "seconds_with_plan": wall,
        "processor_seconds_with_plan": processor,
        "seconds": alone[0],
        "processor_seconds": alone[1],
        "threads": os.cpu_count(),
        "peak_bytes": own_peak_bytes(),
    }


def predict_resnet18(wish: float, size: int = 224) -> dict[str, Any]:
    """What the error law says of ResNet-18 at 224x224, before anything is extracted: a prediction, no measurement.

    Every layer gets the same relative kernel error wish / √layers: errors of layers add up as independent noise, and
    each is passed on with the factor one. One block of every dimension is searched at the width that the law gives;
    where it misses the wished error, the law gets the factor by which it does, and the width follows. Its processor
    seconds are counted for all blocks of that dimension. No image is looked at, no bias is counted.
    """
    import torch

    from benchmarks.virtual_width import aim, exact_error, random_block
    from sslth.cnn.layers import find_layers, wiring_of
    from sslth.cnn.plain import find_folds, plain_network
    from sslth.cnn.search import TiledSearch
    from sslth.cnn.trace import trace
    from sslth.cnn.widths.width_law import tiled_error
    from sslth.networks.resnet import resnet18

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = resnet18().eval()
    sample = torch.zeros(1, 3, size, size)
    plain = plain_network(model, find_folds(trace(model, sample), sample, ()), ())
    wirings = {name: wiring_of(module) for name, module in find_layers(plain).items()}
    aimed = wish / math.sqrt(len(wirings))
    blocks: dict[int, int] = {}
    for name, wiring in wirings.items():  # all but the first see what a ReLU, or a mean of its outputs, has left
        blocks[wiring.d] = blocks.get(wiring.d, 0) + wiring.in_channels * (2 if name == "conv1" else 1)
    search, kinds, largest = TiledSearch(), [], 0
    for d, count in sorted(blocks.items()):
        search.search(random_block(20 * d, d, 1), 1, aim(20 * d, d, 1))  # kernels are compiled
        factor = 1.0
        for _ in range(_CORRECTIONS):
            width = width_for(aimed / factor, d)
            block, target = random_block(width, d, 0), aim(width, d, 0)
            started = time.process_time()
            filters = search.search(block, 1, target)
            seconds, error = time.process_time() - started, exact_error(block, filters, target)
            if error <= _NEAR * aimed:
                break
            factor = error / tiled_error(float(width), d)
        kinds.append(
            {
                "d": d,
                "blocks": count,
                "width": width,
                "seconds_a_block": seconds,
                "law": tiled_error(float(width), d),
                "error": error,
            }
        )
        largest = max(largest, search.bytes_of_block(width, d))
    return {
        "network": f"ResNet-18 ({size}x{size})",
        "wish": wish,
        "is_a_prediction": True,
        "weights": sum(p.numel() for p in model.parameters()),
        "kernel_error": aimed,
        "threads": 1,
        "widths": [min(kind["width"] for kind in kinds), max(kind["width"] for kind in kinds)],
        "filters": sum(2 * kind["width"] * kind["blocks"] for kind in kinds),
        "processor_seconds": sum(kind["blocks"] * kind["seconds_a_block"] for kind in kinds),
        "bytes_of_the_largest_block": largest,
        "kinds": kinds,
    }


def width_for(error: float, d: int) -> int:
    """The narrowest width, on a ladder of eight a factor of two, that the law gives this relative error."""
    from sslth.cnn.widths.width_law import tiled_error

    for width in np.unique(np.round(d * 2 ** np.arange(0, 30, 0.125)).astype(int)):
        if tiled_error(float(width), d) <= error:
            return int(width)
    raise ValueError(f"no width of dimension {d} reaches {error}")
