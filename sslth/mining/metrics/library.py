"""torchmetrics, which the extra `mining` installs, loaded when a metric needs it."""

from __future__ import annotations

from typing import Any

from sslth.errors import InvalidInputError

__all__ = ["classification"]


def classification() -> Any:
    """The module `torchmetrics.functional.classification`; the first call takes some two seconds.

    Raises
    ------
    InvalidInputError
        If torchmetrics is missing or cannot be imported.
    """
    try:
        from torchmetrics.functional import classification
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "torchmetrics":
            raise InvalidInputError(f"torchmetrics cannot be imported: {error}") from None
        raise InvalidInputError(
            "accuracy, calibration error and ROC area need the package torchmetrics: pip install 'sslth[mining]'"
        ) from None
    except ImportError as error:
        raise InvalidInputError(
            f"the torchmetrics package cannot be imported: {' '.join(str(error).split())}"
        ) from None
    return classification
