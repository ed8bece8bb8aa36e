"""Metrics at known values, against scikit-learn's, and against counting by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from sslth.errors import InvalidInputError
from sslth.mining.metrics import (
    METRICS,
    accuracy,
    adaptive_calibration_error,
    brier_score,
    calibration_metrics,
    confidence_when_wrong,
    expected_calibration_error,
    negative_log_likelihood,
    ood_auroc,
    open_set_curve,
    reliability,
)

BOTH = (expected_calibration_error, adaptive_calibration_error)


def drawn(m: int = 400, classes: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels drawn from them: calibrated by construction."""
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(classes, 0.5), m)
    return rows, np.array([rng.choice(classes, p=row) for row in rows])


def with_confidence(confidence: float, right: int, wrong: int) -> tuple[np.ndarray, np.ndarray]:
    rows = np.tile([confidence, 1.0 - confidence], (right + wrong, 1))
    return rows, np.repeat([0, 1], [right, wrong])


@pytest.mark.parametrize("error", BOTH)
def test_a_perfect_predictor_has_no_error(error: Any) -> None:
    labels = np.arange(40) % 4
    sure = np.eye(4)[labels]
    assert error(sure, labels) == 0.0
    assert brier_score(sure, labels) == negative_log_likelihood(sure, labels) == 0.0
    assert confidence_when_wrong(sure, labels) is None


@pytest.mark.parametrize("error", BOTH)
@pytest.mark.parametrize(("confidence", "right", "wrong"), [(0.9, 30, 70), (0.6, 90, 10), (0.75, 75, 25), (1.0, 0, 50)])
def test_a_constant_predictor_is_off_by_its_gap(error: Any, confidence: float, right: int, wrong: int) -> None:
    rows, labels = with_confidence(confidence, right, wrong)
    expected = abs(right / (right + wrong) - confidence)
    for order in (slice(None), np.random.default_rng(1).permutation(len(labels))):
        assert error(rows[order], labels[order]) == pytest.approx(expected, abs=1e-12)


def test_uniform_probabilities() -> None:
    labels = np.arange(50) % 5
    rows = np.full((50, 5), 0.2)  # confidence .2 for class 0, which is right one time in five
    assert expected_calibration_error(rows, labels) == pytest.approx(0.0)
    assert negative_log_likelihood(rows, labels) == pytest.approx(math.log(5))
    assert brier_score(rows, labels) == pytest.approx(0.8)
    assert confidence_when_wrong(rows, labels) == pytest.approx(0.2)


def by_hand(rows: np.ndarray, labels: np.ndarray, bins: int) -> float:
    total = 0.0
    for j in range(bins):
        members = [
            (row.max(), row.argmax() == label)
            for row, label in zip(rows, labels, strict=True)
            if j / bins < row.max() <= (j + 1) / bins
        ]
        if members:
            total += len(members) * abs(
                sum(right for _, right in members) / len(members) - sum(c for c, _ in members) / len(members)
            )
    return total / len(rows)


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_equal_width_bins_as_counted_by_hand(bins: int) -> None:
    rows, labels = drawn()
    assert expected_calibration_error(rows, labels, bins) == pytest.approx(by_hand(rows, labels, bins))
    diagram = reliability(rows, labels, bins)
    assert diagram.counts.sum() == 400
    assert diagram.right.sum() / 400 == accuracy(rows, labels)


def test_bins_are_closed_on_the_left() -> None:
    """As torchmetrics has them, so that the diagram shows the error that is printed beside it."""
    rows = np.array([[0.6, 0.4], [0.5999999, 0.4000001], [1.0, 0.0], [0.5, 0.5]])
    assert reliability(rows, np.zeros(4, dtype=int), 5).counts.tolist() == [0, 0, 2, 1, 1]
    assert reliability(rows, np.zeros(4, dtype=int), 1).counts.tolist() == [4]


def test_equal_mass_bins_as_grouped_by_hand() -> None:
    rows, labels = drawn(31)
    pairs = sorted((row.max(), bool(row.argmax() == label)) for row, label in zip(rows, labels, strict=True))
    groups = [pairs[:11], pairs[11:21], pairs[21:]]
    expected = sum(abs(sum(c - right for c, right in group)) for group in groups) / 31
    assert adaptive_calibration_error(rows, labels, 3) == pytest.approx(expected)
    assert adaptive_calibration_error(rows, labels, 10_000) == pytest.approx(sum(abs(c - r) for c, r in pairs) / 31)


def test_calibrated_draws_have_a_small_error_and_sharpened_ones_a_large_one() -> None:
    rows, labels = drawn(20_000)
    sharp = rows**3 / (rows**3).sum(1, keepdims=True)
    for error in BOTH:
        assert error(rows, labels) < 0.02
        assert error(sharp, labels) > 0.1
    # proper scores: nothing beats the truth on 20,000 examples by more than chance
    assert brier_score(sharp, labels) > brier_score(rows, labels)
    assert negative_log_likelihood(sharp, labels) > negative_log_likelihood(rows, labels)


def test_likelihood_and_area_are_scikit_learns() -> None:
    rows, labels = drawn()
    assert negative_log_likelihood(rows, labels) == pytest.approx(log_loss(labels, rows, labels=range(5)))
    known, novel = rows.max(1).round(1), drawn(90, seed=1)[0].max(1).round(1)  # with many ties
    truth = np.repeat([1, 0], [len(known), len(novel)])
    assert ood_auroc(known, novel) == pytest.approx(roc_auc_score(truth, np.concatenate((known, novel))))
    assert ood_auroc(known, known) == 0.5
    assert ood_auroc([2.0, 3.0], [1.0]) == 1.0


def test_an_impossible_label_costs_everything() -> None:
    assert negative_log_likelihood([[1.0, 0.0]], [1]) == math.inf


def test_open_set_curve_at_every_threshold() -> None:
    rows, labels = drawn(60)
    novel, _ = drawn(40, seed=3)
    curve = open_set_curve(rows.round(2) / rows.round(2).sum(1, keepdims=True), labels, novel)
    assert (curve.false_positive_rate[0], curve.correct_rate[0]) == (0.0, 0.0)
    assert curve.false_positive_rate[-1] == 1.0
    plain = open_set_curve(rows, labels, novel)
    assert plain.correct_rate[-1] == accuracy(rows, labels)
    right = rows.argmax(1) == labels
    for threshold, false, correct in zip(plain.thresholds, plain.false_positive_rate, plain.correct_rate, strict=True):
        assert false == (novel.max(1) >= threshold).mean()
        assert correct == ((rows.max(1) >= threshold) & right).mean()
    # a pair counts if the known one is right and above the novel one
    pairs = [(k > n) + (k == n) / 2 for k in rows.max(1)[right] for n in novel.max(1)]
    assert plain.area == pytest.approx(sum(pairs) / (60 * 40))
    assert plain.correct_at(1.0) == accuracy(rows, labels)
    assert plain.correct_at(0.1) == ((rows.max(1) > np.sort(novel.max(1))[-5]) & right).mean()


def test_with_everything_right_the_open_set_area_is_the_roc_area() -> None:
    labels = np.arange(30) % 3
    rows = 0.4 * np.eye(3)[labels] + 0.6 * np.random.default_rng(0).dirichlet(np.ones(3), 30)
    labels = rows.argmax(1)
    novel = np.random.default_rng(1).dirichlet(np.ones(3), 20)
    assert open_set_curve(rows, labels, novel).area == pytest.approx(ood_auroc(rows.max(1), novel.max(1)))


def test_diagrams_add_up() -> None:
    rows, labels = drawn()
    together = reliability(rows[:150], labels[:150]) + reliability(rows[150:], labels[150:])
    whole = reliability(rows, labels)
    assert together.counts.tolist() == whole.counts.tolist()
    assert together.right.tolist() == whole.right.tolist()
    assert np.allclose(together.confidence, whole.confidence, equal_nan=True)
    with pytest.raises(InvalidInputError, match="15 and 4 bins"):
        _ = whole + reliability(rows, labels, 4)


def test_all_metrics_at_once_and_others_in_their_place() -> None:
    rows, labels = drawn(50)
    found = calibration_metrics(rows, labels)
    assert list(found) == ["accuracy", "ece", "adaptive_ece", "brier", "nll", "confidence_when_wrong"]
    assert found == {name: metric(rows, labels) for name, metric in METRICS.items()}
    assert calibration_metrics(rows, labels, {"twice": lambda p, _: 2.0 * len(p)}) == {"twice": 100.0}


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [
        ([[0.5, 0.6]], [0], "off the sum 1"),
        ([[1.5, -0.5]], [0], "not negative"),
        ([[math.nan, 1.0]], [0], "finite"),
        ([0.5, 0.5], [0], "one row an example"),
        (np.zeros((0, 3)), [], "one row an example"),
        ([[0.5, 0.5]], [2], "there are 2 classes"),
        ([[0.5, 0.5]], [-1], "labels lie in -1"),
        ([[0.5, 0.5]], [0, 1], "one whole number for each of 1 rows"),
        ([[0.5, 0.5]], [0.0], "one whole number"),
    ],
    ids=["sum", "negative", "nan", "one-row", "none", "too-large", "below-0", "too-many", "fractions"],
)
@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_what_is_no_prediction_is_refused(metric: Any, rows: Any, labels: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        metric(rows, labels)


def test_bins_and_scores_that_cannot_be() -> None:
    rows, labels = drawn(10)
    for error in BOTH:
        with pytest.raises(InvalidInputError, match="bins is 0"):
            error(rows, labels, 0)
    with pytest.raises(InvalidInputError, match="scores of novel have shape"):
        ood_auroc([1.0], [])
    with pytest.raises(InvalidInputError, match="no NaN"):
        ood_auroc([math.nan], [1.0])
