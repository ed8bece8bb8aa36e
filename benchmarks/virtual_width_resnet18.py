"""ResNet-18's shape at 224x224 extracted at the widths that the error law predicts, and the error that it has.

`python -m benchmarks.virtual_width_resnet18 --out out/resnet18 [--wish 1e-2] [--size 224] [--prediction FILE]
[--calibrated] [--times 1.0]`: hours of a core; finished blocks are kept in --out and the same command goes on. The
prediction is that of `python -m benchmarks.virtual_width --parts networks`; without a file it is made first, which
takes minutes. The widths are the predicted ones times a factor. Calibrated: refitted, layer after layer, on crops that
are neither those of batch norm nor those that the error is measured on.

The weights are as torch draws them for training (there is no trained ResNet-18 without a download), and batch norm has
the statistics of crops from the two photographs that scikit-learn brings, scaled to [0, 1]. The error is that of the
merged ticket's outputs on other crops, with each class's mean over the crops taken away from both, and with neither.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import sslth
from benchmarks.virtual_width import own_peak_bytes
from benchmarks.virtual_width_networks import predict_resnet18
from sslth.errors import SslthError
from sslth.networks.resnet import resnet18
from sslth.subset_sum.files import write_bytes

_CROPS = 64
_CALIBRATION = 128  # crops
_MOMENTA = 20  # passes over the crops for batch norm's running statistics


def main() -> int:
    """Extract, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/resnet18"))
    parser.add_argument("--wish", type=float, default=1e-2)
    parser.add_argument("--size", type=int, default=224, help="of the square inputs")
    parser.add_argument("--prediction", type=Path, default=None, help="network-resnet18.json of virtual_width")
    parser.add_argument("--calibrated", action="store_true", help=f"refitted on {_CALIBRATION} further crops")
    parser.add_argument("--times", type=float, default=1.0, help="the predicted widths times this")
    options = parser.parse_args()
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        found = measured(options.wish, options.size, options.out, options.prediction, options.times, options.calibrated)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    except (SslthError, OSError) as error:
        print(f"benchmarks.virtual_width_resnet18: {error}", file=sys.stderr)
        return 2
    write_bytes(options.out / "resnet18.json", (json.dumps(found, indent=1) + "\n").encode())
    for name, value in found.items():
        print(f"{name:36} {value:.3g}" if isinstance(value, float) else f"{name:36} {value}")
    return 0


def measured(
    wish: float, size: int, out: Path, prediction: Path | None, times: float = 1.0, calibrated: bool = False
) -> dict[str, Any]:
    """The extraction at predicted widths; seconds are those of the blocks that this call has searched."""
    predicted = json.loads(prediction.read_text()) if prediction is not None else predict_resnet18(wish, size)
    width_of = {kind["d"]: round(times * kind["width"]) for kind in predicted["kinds"]}
    model, held_out, others = network(size)
    layers = {name: part for name, part in model.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)}
    widths = {name: width_of[part.weight.shape[0] * part.weight[0, 0].numel()] for name, part in layers.items()}
    wall, processor = time.perf_counter(), time.process_time()
    ticket = sslth.extract(
        model, held_out[:1], widths, seed=0, low=0.0, high=1.0, calibration=others if calibrated else None,
        memory="4GiB", _blocks=out / "blocks.db",
    )  # fmt: skip
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    ticket.save(out / "ticket.safetensors")
    with torch.no_grad():
        truth, answer = model(held_out).double(), ticket.to_module(merged=True)(held_out).double()
    off, centred = answer - truth, truth - truth.mean(dim=0)
    return {
        "size": size,
        "wish": wish,
        "times": times,
        "calibrated": calibrated,
        "logit_error": float((off - off.mean(dim=0)).norm() / centred.norm()),
        "uncentred_error": float(off.norm() / truth.norm()),
        "same_class": float((answer.argmax(1) == truth.argmax(1)).double().mean()),
        "images": len(held_out),
        "classes_seen": len(set(truth.argmax(1).tolist())),
        "filters": ticket.total_filters,
        "kept": ticket.kept_filters,
        "ticket_bytes": (out / "ticket.safetensors").stat().st_size,
        "predicted_processor_seconds": predicted["processor_seconds"],
        "processor_seconds": processor,
        "seconds": wall,
        "threads": os.cpu_count(),
        "peak_bytes": own_peak_bytes(),
    }


def network(size: int) -> tuple[nn.Module, Tensor, Tensor]:
    """ResNet-18 with batch norm's statistics from crops of photographs; other crops for the error, and for calibration.

    The crops are float32[64, 3, size, size] and float32[128, 3, size, size].
    """
    from sklearn.datasets import load_sample_images

    photographs = [np.asarray(image, dtype=np.float32) / 255.0 for image in load_sample_images().images]
    rng = np.random.default_rng(0)

    def crops(count: int) -> Tensor:
        found = []
        for number in range(count):
            image = photographs[number % len(photographs)]
            top, left = rng.integers(image.shape[0] - size + 1), rng.integers(image.shape[1] - size + 1)
            found.append(image[top : top + size, left : left + size].transpose(2, 0, 1))
        return torch.from_numpy(np.stack(found).copy())

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = resnet18()
    seen, held_out, others = crops(_CROPS), crops(_CROPS), crops(_CALIBRATION)
    model.train()
    with torch.no_grad():
        for _ in range(_MOMENTA):
            model(seen)
    return model.eval(), held_out, others


if __name__ == "__main__":
    sys.exit(main())
