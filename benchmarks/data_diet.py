"""Tickets by iterative magnitude pruning on the digits, pre-trained on a diet: accuracy against sparsity, barriers.

`python -m benchmarks.data_diet --out FOLDER [--seeds 10] [--minutes 2.5] [--figure FILE.png]` measures LeNet-300-100
in cells of one seed, one diet and one number of pre-training steps; each is a file in the folder, and what is there is
not measured again. It stops after --minutes (exit status 1: give the same command again) and prints, once all is
there, the tables and verdicts of docs/mining.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.data_diet_report import report, save_curves
from sslth.data.splits import Splits, digit_splits
from sslth.errors import InvalidInputError
from sslth.mining.data_diet import diet_curve, mine_on_a_diet
from sslth.mining.example_scores import SCORES, score_examples
from sslth.mining.training import Training
from sslth.networks import lenet_300_100
from sslth.subset_sum.files import write_bytes

# No choice was made by a test accuracy. The optimizer is that of Frankle et al.; with 2 % kept and fewer it was better
# on the validation part than this package's default, in 2 seeds (not among those measured) at each of 3 rewind steps.
TRAINING = Training("SGD", 0.1, momentum=0.9)
STEPS = (9, 36, 144)  # of pre-training: half an epoch, 2 and 8 epochs of 18 steps
FRACTION = 0.1
SCORE_STEPS, SCORE_SEEDS = 36, 10
KEEP, EPOCHS = 0.005, 10
ROUNDS = (0, 7, 14, 18, 21, 24)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing, within the time; report when all is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the cells")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--score", choices=SCORES, default="el2n", help="what easy and hard mean")
    parser.add_argument("--minutes", type=float, default=2.5, help="stop after so many")
    parser.add_argument("--figure", type=Path, default=None, help="where to draw accuracy against sparsity")
    parser.add_argument("--quick", action="store_true", help="tiny settings in a folder of its own: does it work?")
    given = parser.parse_args(arguments)
    if given.seeds < 2:
        parser.error(f"--seeds is {given.seeds}; an interval needs at least 2")
    torch.set_num_threads(1)
    end = time.monotonic() + 60 * given.minutes
    try:
        given.out.mkdir(parents=True, exist_ok=True)
        done = measure(given.out, given.seeds, given.score, end, given.quick)
    except (OSError, InvalidInputError) as error:
        print(f"data_diet: {error}", file=sys.stderr)
        return 2
    if not done:
        return 1
    names = [_path(given.out, given.score, seed, *arm) for seed in range(given.seeds) for arm in arms(given.quick)]
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in names]
    print(report(rows))
    if given.figure is not None:
        save_curves(rows, given.figure)
    return 0


def measure(out: Path, seeds: int, score: str, end: float, quick: bool) -> bool:
    """Measure cells until all are there or the time is over; says whether all are."""
    data = digit_splits()
    scores: Tensor | None = None
    wanted = [(seed, *arm) for seed in range(seeds) for arm in arms(quick)]
    missing = [cell for cell in wanted if not _path(out, score, *cell).exists()]
    for number, (seed, kind, steps) in enumerate(missing):
        if time.monotonic() > end:
            print(f"{len(missing) - number} of {len(wanted)} cells are left; give the same command again")
            return False
        if scores is None:
            scores = score_examples(
                lenet_300_100,
                data,
                score=score,
                seeds=2 if quick else SCORE_SEEDS,
                steps=SCORE_STEPS,
                training=TRAINING,
                seed=1000,
            )
        row = cell_row(data, kind, steps, seed, scores, quick)
        write_bytes(_path(out, score, seed, kind, steps), (json.dumps(row, indent=1) + "\n").encode())
    return True


def arms(quick: bool) -> Iterator[tuple[str, int]]:
    """Diets with steps of pre-training; without steps there is nothing to eat."""
    yield "all", 0
    for steps in STEPS[1:2] if quick else STEPS:
        for kind in ("all", "random", "easiest", "hardest"):
            yield kind, steps


def cell_row(data: Splits, kind: str, steps: int, seed: int, scores: Tensor, quick: bool) -> dict[str, Any]:
    """One run of pruning, and the tickets of some of its rounds, each trained twice."""
    epochs, keep, rounds = (1, 0.4, (0, 2, 5)) if quick else (EPOCHS, KEEP, ROUNDS)
    mined = mine_on_a_diet(
        lenet_300_100,
        data,
        kind,
        fraction=FRACTION,
        scores=scores,
        rewind=steps,
        keep=keep,
        epochs=epochs,
        training=TRAINING,
        seed=seed,
    )
    points = diet_curve(mined, data, rounds, epochs=epochs)
    return {"seed": seed, "kind": kind, "steps": steps, "points": [asdict(point) for point in points]}


def _path(out: Path, score: str, seed: int, kind: str, steps: int) -> Path:
    return out / f"{score}-{seed:02d}-{kind}-{steps:03d}.json"


if __name__ == "__main__":
    sys.exit(main())
