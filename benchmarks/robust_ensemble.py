"""Calibration and detection of the unknown: robust ensembles of tickets beside single tickets and plain ensembles.

`python -m benchmarks.robust_ensemble --store FOLDER [--seeds 0,1,...] [--keep .2] [--epochs 20] [--finetune 60]
[--network lenet_300_100] [--minutes 2.5] [--figure FILE]`

A seed decides on the split of the digits, the random networks and everything drawn. Hyper-parameters are picked for
each seed, before and after finetuning, by the likelihood of its validation part; the choice is stored. After --minutes
the run stops with exit status 1, and the same command goes on; with nothing left to do it prints tables for
docs/mining.md, means over seeds with Student's 95 % intervals, and draws reliability diagrams.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import sslth.networks
from benchmarks.robust_tables import diagrams, tables
from sslth.data.letters import letters
from sslth.data.shifted import blurred, noisy, open_set, rotated, shuffled_pixels
from sslth.data.splits import Examples, Splits, digit_splits
from sslth.experiments.reliability_figure import reliability_figure
from sslth.mining import EdgePopup, Ensemble, Mined, Training, mine, mine_ensemble
from sslth.mining.checkpoints import Checkpoints
from sslth.mining.metrics import calibration_metrics, negative_log_likelihood, ood_auroc, open_set_curve, reliability
from sslth.mining.predictions import Tempered, fit_temperature, outputs_of, probabilities_of
from sslth.mining.progress import progress_bar
from sslth.subset_sum.files import write_bytes

STAGES = {"before": False, "after": True}
PLAIN = {"lambdas": [None, None, None]}  # None is infinity
CANDIDATES: dict[str, list[dict[str, Any]]] = {
    "single": [{}],
    "plain ensemble": [PLAIN],
    "DRO ensemble": [{"lambdas": [None, *rest]} for rest in ((10.0, 5.0), (5.0, 2.0), (2.0, 1.0), (1.0, 0.5))],
    "label smoothing": [{"label_smoothing": share} for share in (0.02, 0.05, 0.1)],
    "mixup": [{"mixup": alpha} for alpha in (0.1, 0.2, 0.4)],
}
TEMPERED = {
    "temperature": "single",
    "plain ensemble, temperature": "plain ensemble",
    "DRO, temperature": "DRO ensemble",
}


class OutOfTime(Exception):
    """The minutes of this call are over; what is stored stays."""


@dataclass(frozen=True)
class Study:
    """What is run, and where it is stored."""

    store: Path
    network: str
    keep: float
    epochs: int
    finetune: int
    deadline: float
    progress: Callable[[int, int, str], object]

    def run(self, seed: int, classes: str, data: Splits, arm: str, number: int) -> Mined | Ensemble:
        """Mine one candidate of an arm, or read back what was mined."""
        if time.monotonic() > self.deadline:
            raise OutOfTime

        def progress(done: int, total: int, stage: str) -> None:
            self.progress(done, total, f"seed {seed}, {classes} classes, {arm} {number}: {stage}")

        setting = CANDIDATES[arm][number]
        more: dict[str, Any] = {
            "keep": self.keep,
            "epochs": self.epochs,
            "finetune_epochs": self.finetune,
            "seed": seed,
            "device": "cpu",
            "on_empty": "keep_one",
            "out": self.store / f"seed-{seed}" / classes / f"{arm.replace(' ', '-')}-{number}",
            "progress": progress,
        }
        scores = EdgePopup(scale_keep=True)
        if "lambdas" in setting:
            lambdas = [math.inf if value is None else value for value in setting["lambdas"]]
            return mine_ensemble(lambda: self.build(data), data, lambdas, method=scores, **more)
        method = dataclasses.replace(scores, training=dataclasses.replace(scores.training, **setting))
        return mine(lambda: self.build(data), data, method, training=Training(**setting), **more)

    def build(self, data: Splits) -> nn.Module:
        """The network for so many classes."""
        network: nn.Module = getattr(sslth.networks, self.network)(classes=data.classes)
        return network


def measure_seed(study: Study, seed: int) -> dict[str, Any]:
    """All arms of one seed: choices by validation, then numbers on the test part and on what is shifted or unknown."""
    data = digit_splits(seed)
    found = {
        (arm, number): study.run(seed, "all", data, arm, number)
        for arm, settings in CANDIDATES.items()
        for number in range(len(settings))
    }
    unknown = open_set(data, seed=seed)
    novel = novel_sets(data.test, seed)
    record: dict[str, Any] = {"seed": seed, "left_out": list(unknown.left_out), "candidates": {}, "arms": {}}
    for stage, finetuned in STAGES.items():
        picked: dict[str, Any] = {}
        for arm, settings in CANDIDATES.items():
            networks = [found[arm, number].module(finetuned=finetuned) for number in range(len(settings))]
            losses = [likelihood(network, data.validation) for network in networks]
            best = int(np.argmin(losses))
            entries = [
                {"setting": setting, "validation_nll": loss, **calibration(network, data.test)}
                for setting, loss, network in zip(settings, losses, networks, strict=True)
            ]
            record["candidates"].setdefault(arm, {})[stage] = {"chosen": best, "entries": entries}
            half = study.run(seed, "half", unknown.splits, arm, best).module(finetuned=finetuned)
            picked[arm] = (networks[best], half)
        for arm, base in TEMPERED.items():
            whole, half = picked[base]
            picked[arm] = (tempered(whole, data.validation), tempered(half, unknown.splits.validation))
        for arm, (whole, half) in picked.items():
            numbers = {**numbers_on(whole, data.test, novel), **open_numbers(half, unknown.splits.test, unknown.novel)}
            if isinstance(whole, Tempered):
                numbers["temperature"] = whole.temperature
            record["arms"].setdefault(arm, {})[stage] = numbers
    record["members"] = member_numbers(found, data.test)
    record["kept"] = {arm: found[arm, 0].keep for arm in CANDIDATES}
    record["steps"] = {arm: steps_of(found[arm, 0]) for arm in CANDIDATES}
    return record


def novel_sets(test: Examples, seed: int) -> dict[str, Examples]:
    """What a network of digits has not seen: the test digits changed, and letters."""
    return {
        "rotated": rotated(test, seed=seed),
        "blurred": blurred(test),
        "noisy": noisy(test, seed=seed),
        "shuffled": shuffled_pixels(test, seed=seed),
        "letters": letters(len(test), seed=seed),
    }


def likelihood(network: nn.Module, part: Examples) -> float:
    """Negative log-likelihood of a part."""
    return negative_log_likelihood(probabilities_of(network, part.inputs), part.labels.numpy())


def tempered(network: nn.Module, validation: Examples) -> Tempered:
    """The network at the temperature that fits the validation part."""
    return Tempered(network, fit_temperature(outputs_of(network, validation.inputs), validation.labels))


def calibration(network: nn.Module, part: Examples) -> dict[str, float | None]:
    """The metrics of calibration, and the mean confidence of right predictions."""
    rows, labels = probabilities_of(network, part.inputs), part.labels.numpy()
    right = rows.argmax(1) == labels
    return {**calibration_metrics(rows, labels), "confidence_when_right": float(rows.max(1)[right].mean())}


def numbers_on(network: nn.Module, test: Examples, novel: Mapping[str, Examples]) -> dict[str, Any]:
    """Calibration on the test part and under shifts that keep the digit, detection of each set, bins of a diagram."""
    rows = probabilities_of(network, test.inputs)
    found: dict[str, Any] = dict(calibration(network, test))
    for name, part in novel.items():
        found[f"auroc_{name}"] = ood_auroc(rows.max(1), probabilities_of(network, part.inputs).max(1))
        if name in ("blurred", "noisy"):
            found |= {f"{name}_{key}": value for key, value in calibration(network, part).items()}
    bins = reliability(rows, test.labels.numpy())
    found["reliability"] = {
        "counts": bins.counts.tolist(),
        "right": bins.right.tolist(),
        "confidence": np.nan_to_num(bins.confidence).tolist(),
    }
    return found


def open_numbers(network: nn.Module, test: Examples, novel: Examples) -> dict[str, float]:
    """Accuracy on the known half of the classes, and detection of the other half."""
    rows, unseen = probabilities_of(network, test.inputs), probabilities_of(network, novel.inputs)
    curve = open_set_curve(rows, test.labels.numpy(), unseen)
    return {
        "open_accuracy": float(curve.correct_rate[-1]),
        "open_auroc": ood_auroc(rows.max(1), unseen.max(1)),
        "open_area": curve.area,
        "open_correct_at_10": curve.correct_at(0.1),
    }


def member_numbers(found: Mapping[tuple[str, int], Mined | Ensemble], test: Examples) -> list[dict[str, Any]]:
    """Each member alone, plain and robust in the same random network: one entry a stage, place and λ."""
    entries = []
    for (arm, _), ensemble in found.items():
        if not isinstance(ensemble, Ensemble):
            continue
        for place, (member, penalty) in enumerate(zip(ensemble.members, ensemble.lambdas, strict=True)):
            if place == 0 and arm != "plain ensemble":
                continue  # the same plain member everywhere
            for stage, finetuned in STAGES.items():
                numbers = calibration(member.module(finetuned=finetuned), test)
                name = None if math.isinf(penalty) else penalty
                entries.append({"stage": stage, "place": place, "lambda": name, **numbers})
    return entries


def steps_of(found: Mined | Ensemble) -> int:
    """Steps of training spent, all members together."""
    steps = found.results["steps"]
    return steps if isinstance(steps, int) else sum(steps.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2,3,4,5,6,7,8,9", help="seeds, with commas")
    parser.add_argument("--keep", type=float, default=0.2, help="of all members of an ensemble together")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--finetune", type=int, default=60)
    parser.add_argument("--network", default="lenet_300_100")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--figure", type=Path, default=None)
    given = parser.parse_args()
    torch.set_num_threads(1)
    settings = {name: getattr(given, name) for name in ("keep", "epochs", "finetune", "network")}
    Checkpoints(given.store, {**settings, "candidates": CANDIDATES})  # refuses the store of another study
    records = []
    with progress_bar(True) as progress:
        study = Study(given.store, deadline=time.monotonic() + 60 * given.minutes, progress=progress, **settings)
        for seed in [int(text) for text in given.seeds.split(",")]:
            path = given.store / f"seed-{seed}.json"
            if not path.exists():
                try:
                    record = measure_seed(study, seed)
                except OutOfTime:
                    print(f"stopped in seed {seed}; the same command goes on", file=sys.stderr)
                    return 1
                write_bytes(path, (json.dumps(record, allow_nan=False) + "\n").encode())
                shutil.rmtree(given.store / f"seed-{seed}")  # the networks: everything of interest is in the record
            records.append(json.loads(path.read_text(encoding="utf-8")))
    print(tables(records))
    if given.figure is not None:
        reliability_figure(diagrams(records, "after"), given.figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
