"""How far probabilities can be believed: calibration on the classes that are known, detection of what is not known.

Everything here takes arrays; `sslth.mining.predictions` makes them from a network.
"""

from sslth.mining.metrics.calibration import (
    METRICS,
    accuracy,
    adaptive_calibration_error,
    brier_score,
    calibration_metrics,
    confidence_when_wrong,
    expected_calibration_error,
    negative_log_likelihood,
)
from sslth.mining.metrics.open_set import OpenSetCurve, ood_auroc, open_set_curve
from sslth.mining.metrics.reliability import Reliability, reliability

__all__ = [
    "METRICS",
    "OpenSetCurve",
    "Reliability",
    "accuracy",
    "adaptive_calibration_error",
    "brier_score",
    "calibration_metrics",
    "confidence_when_wrong",
    "expected_calibration_error",
    "negative_log_likelihood",
    "ood_auroc",
    "open_set_curve",
    "reliability",
]
