"""Errors of probabilities: calibration in equal-width and equal-mass bins, Brier score, likelihood.

Accuracy and the calibration error in equal-width bins are torchmetrics', the others are not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import torch

from sslth.errors import InvalidInputError
from sslth.mining.metrics.arrays import FloatArray, checked, confidences, labels_of
from sslth.mining.metrics.library import classification

__all__ = [
    "METRICS",
    "accuracy",
    "adaptive_calibration_error",
    "brier_score",
    "calibration_metrics",
    "confidence_when_wrong",
    "expected_calibration_error",
    "negative_log_likelihood",
]

Metric = Callable[[FloatArray, npt.NDArray[np.int64]], float | None]


def accuracy(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """The share of rows whose highest probability is the label's; ties go to the first class.

    The counts are those of torchmetrics' multi-class accuracy, divided in float64 where that divides in float32.

    Examples
    --------
    >>> accuracy([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]], [0, 0, 0])
    0.6666666666666666
    """
    rows = checked(probabilities)
    predicted, true = torch.from_numpy(rows.argmax(axis=1)), torch.from_numpy(labels_of(labels, rows))
    classes = max(rows.shape[1], 2)  # what it takes at least
    counts = classification().multiclass_stat_scores(predicted, true, num_classes=classes, average="micro")
    right, _, _, _, examples = counts.tolist()
    return float(right / examples)


def expected_calibration_error(probabilities: npt.ArrayLike, labels: npt.ArrayLike, bins: int = 15) -> float:
    """The mean over examples of |accuracy - confidence| of the example's bin, in bins of equal width [GuoEtAl2017]_.

    A bin is [j/n, (j+1)/n), closed on the left, and the last one holds 1 as well; Guo et al. close bins on the right.
    An estimate from few examples is too high: a calibrated predictor has about 0 only if every used bin holds many.

    It is torchmetrics' binary calibration error of the highest probability against "this class is right", which is
    that of several classes and adds in float64, as the multi-class function does not. Confidences of 1 are given as the
    number just below, since torchmetrics counts them apart; the result is rounded to 12 decimals for that reason.

    Parameters
    ----------
    probabilities : float[m, classes]
        Rows that sum to 1.
    labels : int[m]

    References
    ----------
    .. [GuoEtAl2017] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of Modern Neural Networks",
       ICML 2017. arXiv:1706.04599

    Examples
    --------
    >>> expected_calibration_error([[1.0, 0.0], [0.0, 1.0]], [0, 1])
    0.0
    >>> expected_calibration_error([[0.75, 0.25]] * 4, [0, 0, 1, 1])
    0.25
    """
    if bins < 1:
        raise InvalidInputError(f"bins is {bins}; at least 1 is needed")
    confidence, right, _ = confidences(probabilities, labels)
    below_one = torch.from_numpy(np.minimum(confidence, np.nextafter(1.0, 0.0)))
    error = classification().binary_calibration_error(below_one, torch.from_numpy(right).long(), n_bins=bins, norm="l1")
    return round(float(error), 12)


def adaptive_calibration_error(probabilities: npt.ArrayLike, labels: npt.ArrayLike, bins: int = 15) -> float:
    """The same in bins of equal mass, our own: examples by confidence, in groups whose sizes differ by at most one.

    Among examples of equal confidence each counts as right by their common share, so that their order does not
    matter. With fewer examples than bins each is a bin.

    Source: K. Nguyen, B. O'Connor, "Posterior calibration and exploratory analysis for natural language processing
    models", EMNLP 2015. doi:10.18653/v1/D15-1182

    Examples
    --------
    >>> round(adaptive_calibration_error([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.5, 0.5]], [0, 0, 1, 1], bins=2), 9)
    0.35
    """
    if bins < 1:
        raise InvalidInputError(f"bins is {bins}; at least 1 is needed")
    confidence, right, _ = confidences(probabilities, labels)
    _, place = np.unique(confidence, return_inverse=True)
    shares = np.bincount(place, weights=right) / np.bincount(place)
    order = np.argsort(confidence, kind="stable")
    gaps = confidence[order] - shares[place][order]
    groups = np.array_split(gaps, min(bins, len(gaps)))
    return float(sum(abs(group.sum()) for group in groups) / len(gaps))


def brier_score(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """The mean over rows of the sum over classes of (probability - indicator)²; 0 to 2.

    Source: G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78(1),
    1950. doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2

    Examples
    --------
    >>> brier_score([[0.5, 0.5], [1.0, 0.0]], [0, 1])
    1.25
    """
    rows = checked(probabilities)
    indicator = np.zeros_like(rows)
    indicator[np.arange(len(rows)), labels_of(labels, rows)] = 1.0
    return float(((rows - indicator) ** 2).sum(axis=1).mean())


def negative_log_likelihood(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """The mean of -ln(probability of the label); infinite if one is 0.

    Examples
    --------
    >>> round(negative_log_likelihood([[0.5, 0.5], [1.0, 0.0]], [0, 0]), 6)
    0.346574
    """
    rows = checked(probabilities)
    with np.errstate(divide="ignore"):
        return float(-np.log(rows[np.arange(len(rows)), labels_of(labels, rows)]).mean() + 0.0)


def confidence_when_wrong(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> float | None:
    """The mean confidence of the rows that are classified wrongly; None if there is none.

    Examples
    --------
    >>> confidence_when_wrong([[0.75, 0.25], [0.9, 0.1]], [1, 0])
    0.75
    """
    confidence, right, _ = confidences(probabilities, labels)
    return float(confidence[~right].mean()) if not right.all() else None


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "accuracy": accuracy,
        "ece": expected_calibration_error,
        "adaptive_ece": adaptive_calibration_error,
        "brier": brier_score,
        "nll": negative_log_likelihood,
        "confidence_when_wrong": confidence_when_wrong,
    }
)


def calibration_metrics(
    probabilities: npt.ArrayLike, labels: npt.ArrayLike, metrics: Mapping[str, Metric] = METRICS
) -> dict[str, float | None]:
    """Every metric of a table of functions (probabilities, labels) -> number, by its name.

    `metrics` may hold other functions.

    Examples
    --------
    >>> calibration_metrics([[0.75, 0.25]] * 4, [0, 0, 0, 1])["ece"]
    0.0
    """
    rows = checked(probabilities)
    true = labels_of(labels, rows)
    return {name: metric(rows, true) for name, metric in metrics.items()}
