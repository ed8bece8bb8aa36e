"""Tables of the study of robust ensembles: means over seeds, and differences seed by seed, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sslth.mining.intervals import mean_interval
from sslth.mining.metrics import Reliability

__all__ = ["diagrams", "differences", "interval", "tables"]

Records = Sequence[Mapping[str, Any]]

CALIBRATION = {
    "accuracy": "accuracy",
    "ece": "ECE",
    "adaptive_ece": "adaptive ECE",
    "brier": "Brier",
    "nll": "NLL",
    "confidence_when_wrong": "conf. when wrong",
    "confidence_when_right": "conf. when right",
}
DETECTION = {
    "auroc_rotated": "rotated",
    "auroc_blurred": "blurred",
    "auroc_noisy": "noisy",
    "auroc_shuffled": "shuffled pixels",
    "auroc_letters": "letters",
    "open_auroc": "left-out classes",
    "open_area": "open-set area",
}
SHIFTED = {
    "noisy_accuracy": "noisy: accuracy",
    "noisy_ece": "ECE",
    "noisy_confidence_when_wrong": "conf. when wrong",
    "blurred_accuracy": "blurred: accuracy",
    "blurred_ece": "ECE",
    "blurred_confidence_when_wrong": "conf. when wrong",
}
CLAIMS = {
    "accuracy": "accuracy",
    "ece": "ECE",
    "confidence_when_wrong": "conf. when wrong",
    "confidence_when_right": "conf. when right",
    "auroc_rotated": "AUROC rotated",
    "auroc_letters": "letters",
    "auroc_shuffled": "shuffled pixels",
    "open_auroc": "left-out classes",
    "open_area": "open-set area",
    "noisy_ece": "ECE when noisy",
}


def interval(values: Sequence[float | None], confidence: float = 0.95) -> tuple[float, float, int]:
    """Mean, half the width of Student's interval, and how many values there were; None is left out.

    With fewer than two values the half width is infinite.
    """
    found = [value for value in values if value is not None]
    if len(found) < 2:
        return found[0] if found else math.nan, math.inf, len(found)
    mean, (low, high) = mean_interval(found, confidence)
    return mean, (high - low) / 2, len(found)


def differences(records: Records, stage: str, arm: str, other: str, key: str) -> list[float | None]:
    """arm minus other, one a seed; None where one of them has no such number."""
    pairs = [(record["arms"][arm][stage][key], record["arms"][other][stage][key]) for record in records]
    return [None if a is None or b is None else a - b for a, b in pairs]


def tables(records: Records) -> str:
    """Everything, as Markdown."""
    lines = []
    for stage, words in (("before", "frozen weights, before finetuning"), ("after", "after finetuning")):
        lines += [f"\n## {words}; {len(records)} seeds"]
        for title, columns in (("calibration", CALIBRATION), ("AUROC", DETECTION), ("under shift", SHIFTED)):
            lines += ["", f"{title}:", "", *_means(records, stage, columns)]
        for other in ("single", "plain ensemble"):
            lines += ["", f"DRO ensemble minus {other}, and others minus {other}:", ""]
            lines += _differences(records, stage, other)
        lines += ["", "every λ, chosen or not, minus the plain ensemble:", "", *_lambdas(records, stage)]
        lines += ["", "members alone, minus the plain member in the same random network:", ""]
        lines += _members(records, stage)
        lines += ["", f"chosen: {_choices(records, stage)}"]
    return "\n".join([*lines, "", f"kept: {records[0]['kept']}", f"steps: {records[0]['steps']}"])


def diagrams(records: Records, stage: str, arms: Sequence[str] | None = None) -> dict[str, Reliability]:
    """The bins of each arm, all seeds together."""
    chosen = arms or ["single", "plain ensemble", "DRO ensemble", "temperature", "label smoothing", "mixup"]
    found: dict[str, Reliability] = {}
    for arm in chosen:
        for record in records:
            bins = record["arms"][arm][stage]["reliability"]
            counts = np.array(bins["counts"])
            confidence = np.where(counts > 0, bins["confidence"], np.nan)
            edges = np.arange(len(counts) + 1) / len(counts)
            part = Reliability(edges, counts, np.array(bins["right"]), confidence)
            found[arm] = found[arm] + part if arm in found else part
    return found


def _means(records: Records, stage: str, columns: Mapping[str, str]) -> list[str]:
    lines = _head(["", *columns.values()])
    for arm in records[0]["arms"]:
        cells = [interval([record["arms"][arm][stage][key] for record in records]) for key in columns]
        lines.append(f"| {arm} | " + " | ".join(f"{mean:.3f} ± {half:.3f}" for mean, half, _ in cells) + " |")
    return lines


def _differences(records: Records, stage: str, other: str) -> list[str]:
    lines = _head(["", *CLAIMS.values()])
    for arm in records[0]["arms"]:
        if arm != other:
            found = [interval(differences(records, stage, arm, other, key)) for key in CLAIMS]
            lines.append(f"| {arm} | " + " | ".join(map(_signed, found)) + " |")
    return lines


def _lambdas(records: Records, stage: str) -> list[str]:
    keys = ("accuracy", "ece", "nll", "confidence_when_wrong", "confidence_when_right")
    lines = _head(["λ", *(CALIBRATION[key] for key in keys)])
    entries = [record["candidates"]["DRO ensemble"][stage]["entries"] for record in records]
    plain = [record["candidates"]["plain ensemble"][stage]["entries"][0] for record in records]
    for number, first in enumerate(entries[0]):
        name = ", ".join("∞" if value is None else f"{value:g}" for value in first["setting"]["lambdas"])
        cells = [interval(_minus([row[number] for row in entries], plain, key)) for key in keys]
        lines.append(f"| {name} | " + " | ".join(map(_signed, cells)) + " |")
    return lines


def _members(records: Records, stage: str) -> list[str]:
    keys = ("accuracy", "ece", "confidence_when_wrong", "confidence_when_right")
    lines = _head(["λ", *(CALIBRATION[key] for key in keys)])
    rows = [[entry for entry in record["members"] if entry["stage"] == stage] for record in records]
    penalties = sorted({entry["lambda"] for entry in rows[0] if entry["lambda"] is not None}, reverse=True)
    for penalty in penalties:
        cells = []
        for key in keys:
            values = []
            for row in rows:
                # the mean over the places that a λ has in the ensembles: one number a seed
                plain = {entry["place"]: entry for entry in row if entry["lambda"] is None}
                robust = [entry for entry in row if entry["lambda"] == penalty]
                gaps = _minus(robust, [plain[entry["place"]] for entry in robust], key)
                known = [gap for gap in gaps if gap is not None]
                values.append(sum(known) / len(known) if known else None)
            cells.append(interval(values))
        lines.append(f"| {penalty:g} | " + " | ".join(map(_signed, cells)) + " |")
    return lines


def _minus(ones: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]], key: str) -> list[float | None]:
    pairs = [(one[key], other[key]) for one, other in zip(ones, others, strict=True)]
    return [None if a is None or b is None else a - b for a, b in pairs]


def _choices(records: Records, stage: str) -> str:
    found = []
    for arm, stages in records[0]["candidates"].items():
        if len(stages[stage]["entries"]) > 1:
            counts = [0] * len(stages[stage]["entries"])
            for record in records:
                counts[record["candidates"][arm][stage]["chosen"]] += 1
            settings = [entry["setting"] for entry in stages[stage]["entries"]]
            found.append(f"{arm}: " + ", ".join(f"{s} {n}x" for s, n in zip(settings, counts, strict=True)))
    return "; ".join(found)


def _head(names: Sequence[str]) -> list[str]:
    return ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]


def _signed(found: tuple[float, float, int]) -> str:
    mean, half, _ = found
    return f"{mean:+.3f} ± {half:.3f}" + (" *" if abs(mean) > half else "")
