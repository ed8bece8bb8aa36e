"""One coefficient of a linear fit, with an interval that does not ask for equal scatter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from sslth.errors import InvalidInputError

__all__ = ["coefficient_interval"]


def coefficient_interval(
    design: npt.ArrayLike, y: npt.ArrayLike, column: int, confidence: float
) -> tuple[float, tuple[float, float]]:
    """Return the least-squares coefficient of one column of the design, with an interval.

    Standard errors are those of [MacKinnonWhite1985]_ (HC3), which need no equal variances; the interval uses
    Student's quantile and has approximately the confidence. It says nothing of whether the model is right.
    Cost O(m p²).

    Parameters
    ----------
    design : float64[m, p]
        Write the constant column too.
    y : float64[m]

    Raises
    ------
    InvalidInputError
        If shapes do not fit, m <= p, a number is not finite or the columns are dependent.

    References
    ----------
    .. [MacKinnonWhite1985] J. G. MacKinnon, H. White, "Some heteroskedasticity-consistent covariance matrix estimators
       with improved finite sample properties", Journal of Econometrics 29 (1985), doi:10.1016/0304-4076(85)90158-7.

    Examples
    --------
    >>> x = np.arange(6.0)
    >>> noise = [0.1, -0.1, 0.0, 0.0, -0.1, 0.1]
    >>> slope, (low, high) = coefficient_interval(np.stack([np.ones(6), x], axis=1), 3 - 2 * x + noise, 1, 0.95)
    >>> round(slope, 6), bool(-2.2 < low < -2.0 < high < -1.8)
    (-2.0, True)
    """
    a, b = np.asarray(design, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.ndim != 2 or b.shape != a.shape[:1] or a.shape[0] <= a.shape[1]:
        raise InvalidInputError(f"a design of shape {a.shape} and values of shape {b.shape} do not make a fit")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InvalidInputError("a fit needs finite numbers")
    if not 0.0 < confidence < 1.0:
        raise InvalidInputError(f"confidence must lie strictly between 0 and 1, not {confidence}")
    q, r = np.linalg.qr(a)
    if np.abs(np.diag(r)).min() <= 1e-12 * np.abs(np.diag(r)).max():
        raise InvalidInputError("the columns of the design are linearly dependent")
    weights = np.linalg.solve(r, q.T)[column]  # the coefficient is weights @ b
    leverage = np.einsum("ij,ij->i", q, q)
    residuals = (b - q @ (q.T @ b)) / np.maximum(1.0 - leverage, 1e-12)
    estimate = float(weights @ b)
    half = float(stdtrit(a.shape[0] - a.shape[1], (1.0 + confidence) / 2.0))
    half *= float(np.sqrt(np.sum((weights * residuals) ** 2)))
    return estimate, (estimate - half, estimate + half)
