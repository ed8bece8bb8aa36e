"""Telling what is known from what is not: ROC area and open-set classification curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from sslth.mining.metrics.arrays import FloatArray, checked, checked_confidences, confidences
from sslth.mining.metrics.library import classification

__all__ = ["OpenSetCurve", "ood_auroc", "open_set_curve"]


def ood_auroc(known: npt.ArrayLike, novel: npt.ArrayLike) -> float:
    """The chance that a known example has a higher score than a novel one, ties counting half.

    That is the area under the ROC curve of "this is known" [HendrycksGimpel2017]_, as torchmetrics computes it of the
    scores' ranks, since it would squeeze scores outside [0, 1] through a sigmoid that makes some of them equal. It adds
    in float32; the result is the nearest multiple of 1 / (2 * known * novel), which an area is: exact up to a million
    pairs or so, and to six digits beyond. O(m log m).

    Parameters
    ----------
    known, novel : float[...]
        Scores, higher for what is known: the highest class probability of each example, for instance.

    References
    ----------
    .. [HendrycksGimpel2017] D. Hendrycks, K. Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution
       Examples in Neural Networks", ICLR 2017. arXiv:1610.02136

    Examples
    --------
    >>> ood_auroc([0.9, 0.8, 0.5], [0.5, 0.4])
    0.9166666666666666
    """
    inside, outside = checked_confidences(known, "scores of known"), checked_confidences(novel, "scores of novel")
    _, ranks = np.unique(np.concatenate((inside, outside)), return_inverse=True)
    truth = torch.zeros(len(ranks), dtype=torch.int64)
    truth[: len(inside)] = 1
    area = classification().binary_auroc(torch.from_numpy(ranks / len(ranks)), truth)
    halves = 2 * len(inside) * len(outside)
    return round(float(area) * halves) / halves


@dataclass(frozen=True, eq=False)
class OpenSetCurve:
    """Correct classification against false positives, by falling threshold.

    Attributes
    ----------
    false_positive_rate : float64[t]
        Share of novel examples at or above the threshold; from 0 to 1.
    correct_rate : float64[t]
        Share of known examples at or above it that are classified right; from 0 to the accuracy.
    thresholds : float64[t]
        The first is infinite.
    """

    false_positive_rate: FloatArray
    correct_rate: FloatArray
    thresholds: FloatArray

    @property
    def area(self) -> float:
        """Under the curve, by trapezoids; at most the accuracy."""
        return float(np.trapezoid(self.correct_rate, self.false_positive_rate))

    def correct_at(self, false_positive_rate: float) -> float:
        """The highest correct rate at a threshold whose false positive rate is at most this one."""
        return float(self.correct_rate[self.false_positive_rate <= false_positive_rate].max(initial=0.0))


def open_set_curve(probabilities: npt.ArrayLike, labels: npt.ArrayLike, novel: npt.ArrayLike) -> OpenSetCurve:
    """The open-set classification rate curve [DhamijaEtAl2018]_ of the highest class probability.

    Parameters
    ----------
    probabilities : float[m, classes]
        Of examples of known classes, whose `labels` are int[m].
    novel : float[k, classes]
        Probabilities of examples of no known class.

    References
    ----------
    .. [DhamijaEtAl2018] A. R. Dhamija, M. Günther, T. Boult, "Reducing Network Agnostophobia", NeurIPS 2018.
       arXiv:1811.04110

    Examples
    --------
    >>> curve = open_set_curve([[0.9, 0.1], [0.4, 0.6]], [0, 1], [[0.3, 0.7], [0.5, 0.5]])
    >>> curve.false_positive_rate.tolist(), curve.correct_rate.tolist(), curve.area
    ([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0], 0.75)
    """
    confidence, right, _ = confidences(probabilities, labels)
    outside = np.sort(checked(novel).max(axis=1))
    correct = np.sort(confidence[right])
    thresholds = np.concatenate(([np.inf], np.unique(np.concatenate((confidence, outside)))[::-1]))
    above = len(outside) - np.searchsorted(outside, thresholds, side="left")
    hits = len(correct) - np.searchsorted(correct, thresholds, side="left")
    return OpenSetCurve(above / len(outside), hits / len(confidence), thresholds)
