"""A linear functional of both networks' values at some nodes of the graph, and what it can be at most.

The functional is ``sum M·x + sum Λ·δ + constant``: x the target's value at a node, δ the ticket's minus the target's.
The backward pass moves its coefficients towards the input; each step may only raise it. All coefficients are taken as
the floats they are, and what their rounding leaves out goes into ``slack``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sslth.cnn.certificates.bounds import Enclosure
from sslth.cnn.certificates.intervals import Interval

__all__ = ["Coefficients", "Total", "greatest", "mass"]

_EPS = 2.0**-52
_TINY = 1e-290


@dataclass(frozen=True, eq=False)
class Coefficients:
    """One node's share of the functional.

    Attributes
    ----------
    value, shift : float64[k, *shape]
        M and Λ, a row for each of k functionals; shape is the node's without the batch.
    """

    value: Tensor
    shift: Tensor

    def __add__(self, other: Coefficients) -> Coefficients:
        return Coefficients(self.value + other.value, self.shift + other.shift)


class Total:
    """The constant of k functionals, added up with a bound on all the rounding."""

    def __init__(self, rows: int) -> None:
        self._sum = torch.zeros(rows, dtype=torch.float64)
        self._size = torch.zeros(rows, dtype=torch.float64)
        self._slack = torch.zeros(rows, dtype=torch.float64)
        self._terms = 8

    def add(self, amounts: Tensor) -> None:
        """Add float64[k, *shape], summed over all but the first axis."""
        flat = amounts.flatten(1)
        self._terms += flat.shape[1] + 1
        self._sum = self._sum + flat.sum(1)
        self._size = self._size + flat.detach().abs().sum(1)

    def allow(self, error: Tensor) -> None:
        """Take float64[k] of rounding errors, not negative and themselves computed in float64, into account."""
        self._slack = self._slack + error.detach()

    def upper(self) -> Tensor:
        """Float64[k], above the exact constant; inf where it overflowed."""
        slack = self._slack + self._terms * _EPS * self._size
        result = self._sum + (1.0 + 1e-6) * slack + _TINY
        return torch.where(torch.isnan(result), torch.inf, result)


def mass(coefficients: Tensor, size: Tensor) -> Tensor:
    """Σ |c|·size of every functional: float64[k]."""
    return coefficients.detach().abs().flatten(1) @ size.flatten()


def magnitude(x: Interval) -> Tensor:
    return x.magnitude().flatten()


def greatest(total: Total, coefficients: Coefficients, x: Enclosure) -> None:
    """Replace a node's share by its greatest value over the node's enclosure."""
    for part, interval in ((coefficients.value, x.target), (coefficients.shift, x.shift)):
        low, high = interval.low.flatten(), interval.high.flatten()
        flat = part.flatten(1)
        total.add(torch.where(flat > 0, flat * high, flat * low))
        total.allow(2.0 * _EPS * mass(flat, magnitude(interval)) + flat.shape[1] * _TINY)
