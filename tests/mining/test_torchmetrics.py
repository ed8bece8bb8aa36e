"""Our metrics against torchmetrics', on the same predictions; and in their place."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sslth.mining.metrics import (
    accuracy,
    brier_score,
    calibration_metrics,
    expected_calibration_error,
    negative_log_likelihood,
    ood_auroc,
)

classification = pytest.importorskip("torchmetrics.functional.classification")
regression = pytest.importorskip("torchmetrics.functional.regression")


def drawn(sharpness: float, classes: int, seed: int, m: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are too unsure (sharpness below 1), right (1) or too sure, and labels."""
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(classes, 0.6), m)
    labels = np.array([rng.choice(classes, p=row) for row in rows])
    sharp = rows**sharpness
    return sharp / sharp.sum(1, keepdims=True), labels


CASES = [(0.3, 10, 0), (1.0, 10, 1), (3.0, 10, 2), (1.0, 3, 3), (2.0, 2, 4)]


@pytest.mark.parametrize(("sharpness", "classes", "seed"), CASES)
@pytest.mark.parametrize("bins", [15, 4])
def test_calibration_error(sharpness: float, classes: int, seed: int, bins: int) -> None:
    rows, labels = drawn(sharpness, classes, seed)
    theirs = classification.multiclass_calibration_error(
        torch.tensor(rows), torch.tensor(labels), num_classes=classes, n_bins=bins, norm="l1"
    )
    # theirs keeps accuracies in float32, and its bins are closed on the left: no confidence here is an edge
    assert expected_calibration_error(rows, labels, bins) == pytest.approx(float(theirs), abs=1e-6)


@pytest.mark.parametrize(("sharpness", "classes", "seed"), CASES)
def test_accuracy_brier_and_likelihood(sharpness: float, classes: int, seed: int) -> None:
    rows, labels = drawn(sharpness, classes, seed)
    p, y = torch.tensor(rows), torch.tensor(labels)
    theirs = classification.multiclass_accuracy(p, y, num_classes=classes, average="micro")
    assert accuracy(rows, labels) == pytest.approx(float(theirs))
    squared = regression.mean_squared_error(p.flatten(), torch.nn.functional.one_hot(y, classes).flatten().double())
    assert brier_score(rows, labels) == pytest.approx(classes * float(squared))  # a mean over entries, not rows
    assert negative_log_likelihood(rows, labels) == pytest.approx(float(torch.nn.functional.nll_loss(p.log(), y)))


def test_area_under_the_roc_curve() -> None:
    known, novel = drawn(2.0, 5, 0)[0].max(1), drawn(1.0, 5, 1, m=300)[0].max(1)
    scores = torch.tensor(np.concatenate((known, novel)))
    truth = torch.tensor([1] * len(known) + [0] * len(novel))
    assert ood_auroc(known, novel) == pytest.approx(float(classification.binary_auroc(scores, truth)), abs=1e-6)


def test_theirs_can_stand_in_the_table() -> None:
    rows, labels = drawn(3.0, 4, 7)

    def theirs(p: np.ndarray, y: np.ndarray) -> float:
        return float(classification.multiclass_calibration_error(torch.tensor(p), torch.tensor(y), 4, 15, "l1"))

    found = calibration_metrics(rows, labels, {"ece": theirs})
    assert found["ece"] == pytest.approx(expected_calibration_error(rows, labels), abs=1e-6)
