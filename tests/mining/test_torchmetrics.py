"""What torchmetrics gives through our functions, against counting in NumPy; and what happens where it is missing."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from sslth.mining.metrics import accuracy, expected_calibration_error, ood_auroc, reliability


def drawn(sharpness: float, classes: int, seed: int, m: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are too unsure (sharpness below 1), right (1) or too sure, and labels."""
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(classes, 0.6), m)
    labels = np.array([rng.choice(classes, p=row) for row in rows])
    sharp = rows**sharpness
    return sharp / sharp.sum(1, keepdims=True), labels


def on_edges(m: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Confidences of two classes that are multiples of 1/30, most of them edges of 15 bins, 1 among them; exactly 1."""
    rng = np.random.default_rng(5)
    confidence = rng.integers(15, 31, m) / 30
    return np.stack([confidence, 1.0 - confidence], 1), (rng.random(m) > confidence - 0.1).astype(int)


def error_of_bins(rows: np.ndarray, labels: np.ndarray, bins: int) -> float:
    """Every bin by itself, closed on the left, the last one on both sides."""
    confidence, right = rows.max(1), rows.argmax(1) == labels
    edges = np.linspace(0.0, 1.0, bins + 1)
    total = 0.0
    for j in range(bins):
        last = j == bins - 1
        inside = (confidence >= edges[j]) & ((confidence <= 1.0) if last else (confidence < edges[j + 1]))
        if inside.any():
            total += inside.sum() * abs(right[inside].mean() - confidence[inside].mean())
    return total / len(rows)


CASES = [(0.3, 10, 0), (1.0, 10, 1), (3.0, 10, 2), (1.0, 3, 3), (2.0, 2, 4)]


@pytest.mark.parametrize(("sharpness", "classes", "seed"), CASES)
@pytest.mark.parametrize("bins", [15, 4])
def test_calibration_error_is_that_of_bins_and_of_the_diagram(
    sharpness: float, classes: int, seed: int, bins: int
) -> None:
    rows, labels = drawn(sharpness, classes, seed)
    found = expected_calibration_error(rows, labels, bins)
    assert found == pytest.approx(error_of_bins(rows, labels, bins), abs=1e-11)
    assert found == pytest.approx(reliability(rows, labels, bins).error, abs=1e-11)


@pytest.mark.parametrize("bins", [1, 5, 10, 15, 30])
def test_confidences_on_edges_are_in_the_same_bins_as_in_the_diagram(bins: int) -> None:
    rows, labels = on_edges()
    found = expected_calibration_error(rows, labels, bins)
    assert found == pytest.approx(reliability(rows, labels, bins).error, abs=1e-11)
    if bins in (1, 5):  # edges that NumPy rounds in the same way
        assert found == pytest.approx(error_of_bins(rows, labels, bins), abs=1e-11)


def test_a_confidence_of_one_is_in_the_last_bin() -> None:
    rows = np.array([[1.0, 0.0], [0.95, 0.05]])
    # half right at .975; apart, as torchmetrics would have them, (1 + .05) / 2
    assert expected_calibration_error(rows, [1, 0], 15) == pytest.approx(0.475, abs=1e-11)
    assert reliability(rows, [1, 0], 15).counts[-1] == 2


def test_float32_probabilities_that_sum_to_a_little_more_than_one() -> None:
    rows = np.array([[1.0 + 1e-6, 0.0], [0.25, 0.75]])
    assert expected_calibration_error(rows, [0, 1]) == pytest.approx(0.125, abs=1e-6)


@pytest.mark.parametrize(("sharpness", "classes", "seed"), CASES)
def test_accuracy_is_the_share_that_is_right(sharpness: float, classes: int, seed: int) -> None:
    rows, labels = drawn(sharpness, classes, seed, m=307)
    assert accuracy(rows, labels) == float((rows.argmax(1) == labels).mean())


def test_ties_go_to_the_first_class_and_one_class_is_always_right() -> None:
    assert accuracy([[0.5, 0.5], [0.25, 0.75]], [1, 1]) == 0.5
    assert accuracy([[1.0], [1.0]], [0, 0]) == 1.0


@pytest.mark.parametrize("digits", [1, 2, 15])
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1e3, -400.0), (1e-9, 0.0)], ids=["shares", "wide", "tiny"])
def test_area_is_the_share_of_pairs_in_order(digits: int, scale: float, shift: float) -> None:
    known, novel = drawn(2.0, 5, 0)[0].max(1).round(digits), drawn(1.0, 5, 1, m=300)[0].max(1).round(digits)
    known, novel = scale * known + shift, scale * novel + shift
    wins = (known[:, None] > novel[None, :]).sum() + (known[:, None] == novel[None, :]).sum() / 2
    assert ood_auroc(known, novel) == wins / (500 * 300)  # all of 150,000 pairs, exactly


BLOCKED = """
import sys
sys.modules["torchmetrics"] = None
import numpy as np
from sslth.errors import InvalidInputError
from sslth.mining import mine
from sslth.mining.metrics import *
from sslth.networks import small_cnn
from sslth.data.splits import digit_splits

rows, labels = np.array([[0.75, 0.25], [0.2, 0.8]]), np.array([0, 1])
mine(small_cnn, digit_splits(), "random", keep=0.5, epochs=0)
reliability(rows, labels), adaptive_calibration_error(rows, labels), brier_score(rows, labels)
negative_log_likelihood(rows, labels), confidence_when_wrong(rows, labels), open_set_curve(rows, labels, rows)
for needs in (
    lambda: accuracy(rows, labels),
    lambda: expected_calibration_error(rows, labels),
    lambda: ood_auroc([0.5], [0.4]),
    lambda: calibration_metrics(rows, labels),
):
    try:
        needs()
    except InvalidInputError as error:
        print(error)
"""


def test_only_what_is_taken_from_it_needs_it() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED], check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert all(line.endswith("need the package torchmetrics: pip install 'sslth[mining]'") for line in lines)
