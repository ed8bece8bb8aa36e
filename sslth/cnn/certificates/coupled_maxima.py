"""Outputs behind a last rectifier or max pooling, whose differences share the values before the layer in front of it.

Carried back one by one, each of these maxima is bounded over inputs of its own. Here they are bounded together, as
functions of the values of both networks that all of them come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, fx

from sslth.cnn.certificates.bounds import Enclosure
from sslth.cnn.certificates.intervals import Interval
from sslth.cnn.certificates.joint_nodes import maxima_of
from sslth.cnn.certificates.joint_windows import Rows, possible_entries
from sslth.cnn.certificates.linear_bound import Coefficients, Total
from sslth.cnn.certificates.parallel_lines import parallel_lines
from sslth.cnn.certificates.sums_of_maxima import greatest_sum

if TYPE_CHECKING:
    from sslth.cnn.certificates.relaxation import Relaxation

__all__ = ["Coupled"]

_EPS = 2.0**-52
# Values that the maxima may share, entries of all rows over them, and for all functionals of the functions of all
# maxima, or of the square that they make.
_MOST_SHARED = 768
_MOST_ROWS = 2**22
_MOST = 2**22
# Beyond, steps gain nothing that would be seen.
_STEPS = 60


class Coupled:
    """The last maxima of an engine's network, for functionals of its outputs."""

    def __init__(self, engine: Relaxation) -> None:
        self._engine = engine
        self._rows: dict[fx.Node, _Rows | None] = {}

    def upper(self, node: fx.Node, goal: Coefficients, steps: int) -> Tensor | None:
        """Upper bounds of functionals of a node, the last maxima before it taken together: float64[k].

        None where the way back from the node does not lead to one rectifier or max pooling, or that is too large.

        Parameters
        ----------
        goal : Coefficients
            Of k functionals of the node.
        steps : int
            Of the search for a good bound.
        """
        engine = self._engine
        found = _back(engine, node, goal)
        maxima = None if found is None else maxima_of(engine, found[0])
        if found is None or maxima is None:
            return None
        bend, out, total = found
        layer, windows, rectified = maxima
        x = engine.known[layer]
        if layer not in self._rows:
            self._rows[layer] = _differences(engine, layer, x)
        rows = self._rows[layer]
        shift = out.shift.flatten(1)
        if rows is None:
            return None
        shared = rows.slopes.shape[1]
        if max(windows.numel() + len(windows), shared) * shared * len(shift) > _MOST:
            return None
        total.add(engine.upper(bend, Coefficients(out.value, torch.zeros_like(out.value)), 0)[:, None])
        target, ticket = (possible_entries(windows, side, rectified=rectified) for side in (x.target, x.ticket))
        # What the ticket gains is at most the difference of the ticket's largest entry, what it loses that of the
        # target's.
        possible = torch.where((shift > 0)[..., None], ticket, target)
        middle, spread, error = (_by_window(part, windows) for part in rows.centred())
        forms = torch.cat([middle[..., None], spread], -1) * shift[..., None, None]
        unsure = torch.where(possible, error, 0.0).amax(-1) * shift.abs()
        total.allow((unsure * (1.0 + 4.0 * _EPS)).sum(1))
        total.add(greatest_sum(forms, possible, min(steps, _STEPS))[:, None])
        return total.upper()


def _back(engine: Relaxation, node: fx.Node, goal: Coefficients) -> tuple[fx.Node, Coefficients, Total] | None:
    """To the first node that is not linear; None where several come together."""
    total = Total(len(goal.value))
    while True:
        step = engine.linear_step(node, goal, total)
        if step is None:
            return node, goal, total
        if len(step) != 1:
            return None
        ((node, goal),) = step


@dataclass(frozen=True, eq=False)
class _Rows:
    """Differences as linear functions of shared values: slopes float64[n, P], constants, and the box."""

    slopes: Tensor
    constants: Interval
    box: Interval

    def centred(self) -> tuple[Tensor, Tensor, Tensor]:
        """At the middle of the box, float64[n]; change along half of each side, float64[n, P]; errors, float64[n]."""
        centre = 0.5 * (self.box.low + self.box.high)
        radius = torch.maximum(self.box.high - centre, centre - self.box.low) * (1.0 + 4.0 * _EPS)
        constant = 0.5 * (self.constants.low + self.constants.high)
        error = torch.maximum(self.constants.high - constant, constant - self.constants.low)
        size = self.slopes.abs() @ (centre.abs() + radius) + constant.abs()
        error = error + 4.0 * (self.slopes.shape[1] + 16) * _EPS * size
        return self.slopes @ centre + constant, self.slopes * radius, error * (1.0 + 1e-9)

    def without_idle(self) -> _Rows:
        """Without the values that nothing depends on, or that are zero."""
        used = (self.slopes != 0).any(0) & ((self.box.low != 0) | (self.box.high != 0))
        return _Rows(self.slopes[:, used], self.constants, self.box.map(lambda end: end[used]))


def _differences(engine: Relaxation, layer: fx.Node, x: Enclosure) -> _Rows | None:
    """The differences of a layer's entries by the values and differences of the node where the linear part begins."""
    size = x.shape[1:].numel()
    unit = torch.eye(size, dtype=torch.float64).reshape(-1, *x.shape[1:]) if size <= 2 * _MOST_SHARED else None
    if unit is None:
        return None
    ends: list[Tensor] = []
    slopes: list[Tensor] = []
    base = layer
    for sign in (1.0, -1.0):
        found = _back(engine, layer, Coefficients(torch.zeros_like(unit), sign * unit))
        if found is None or found[0] is layer or found[0] not in engine.known:
            return None
        base, out, total = found
        slopes.append(sign * torch.cat([out.value.flatten(1), out.shift.flatten(1)], 1))
        ends.append(sign * total.upper())
    shared = engine.known[base]
    low, high = (torch.cat([getattr(part, end).flatten() for part in (shared.target, shared.shift)])
                 for end in ("low", "high"))  # fmt: skip
    # Both signs are rounded alike, but nothing here depends on it.
    apart = (slopes[0] - slopes[1]).abs() @ torch.maximum(low.abs(), high.abs()) * (1.0 + 1e-9)
    rows = _Rows(slopes[0], Interval(ends[1] - apart, ends[0] + apart), Interval(low, high))
    lines = parallel_lines(engine, base)
    rows = (rows if lines is None else _through(rows, lines)).without_idle()
    count = rows.slopes.shape[1]
    return None if count > _MOST_SHARED or size * count > _MOST_ROWS else rows


def _through(rows: _Rows, lines: Rows) -> _Rows:
    """The rows over the input and what the lines leave to each of the values that were shared so far."""
    size = torch.maximum(lines.box.low.abs(), lines.box.high.abs())
    gamma = 4.0 * (len(lines.slopes) + 16) * _EPS
    error = gamma * (rows.slopes.abs() @ (lines.slopes.abs() @ size)) * (1.0 + 1e-9)
    return _Rows(
        torch.cat([rows.slopes @ lines.slopes, rows.slopes], 1),
        Interval(rows.constants.low - error, rows.constants.high + error),
        Interval(torch.cat([lines.box.low, lines.constants.low]), torch.cat([lines.box.high, lines.constants.high])),
    )


def _by_window(values: Tensor, windows: Tensor) -> Tensor:
    """Entries by window, zero first, and zeros for what is missing: [windows, k + 1, ...]."""
    chosen = values[windows.clamp(min=0)]
    missing = (windows < 0).reshape(*windows.shape, *[1] * (values.ndim - 1))
    chosen = chosen.masked_fill(missing, 0.0)
    return torch.cat([torch.zeros_like(chosen[:, :1]), chosen], 1)
