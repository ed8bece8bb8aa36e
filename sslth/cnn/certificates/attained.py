"""The lower side of a certificate: a witness that attains a difference, and what is proved of that one point."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sslth.cnn.certificates.ascent import Attack, evaluated
from sslth.cnn.certificates.bounds import Enclosure, UnsupportedOperation
from sslth.cnn.certificates.linear_cell import climb_cells
from sslth.cnn.certificates.propagation import propagate
from sslth.cnn.certificates.relaxation import propagate_relaxed
from sslth.cnn.merged import MergedLayer, merged_module
from sslth.cnn.trace import Traced, trace

__all__ = ["climbed", "proved_lower"]

# Without a graph the lower bound comes from plain float64 evaluation, whose rounding is not bounded
# rigorously; this share of the outputs' size is subtracted instead, some 1e6 times what is usual.
_UNPROVED_SLACK = 1e-9
# Share of the float64 value below which the intervals of one point are taken for loose.
_CLOSE = 0.99


def climbed(
    model: nn.Module,
    traced: Traced,
    merged: Mapping[str, MergedLayer],
    box: tuple[Tensor, Tensor],
    found: Attack,
    hops: int,
) -> Attack:
    """The points found, moved on by linear programs where that is possible."""
    if hops < 1 or traced.graph_module is None:
        return found
    ticket = trace(merged_module(traced.model, merged, torch.float64), found.points[:1])
    points = climb_cells(traced, ticket, box, found.points, lambda x: evaluated(model, merged, x)[0], hops)
    if points is None:
        return found
    values, sizes = evaluated(model, merged, points)
    return Attack(points, values, sizes, found.output_shapes)


def proved_lower(traced: Traced, merged: Mapping[str, MergedLayer], found: Attack) -> tuple[float, Tensor]:
    """Return the best candidate by what is proved of it; by its float64 value where nothing can be."""
    best, witness = -1.0, found.points[0]
    for candidate, value, size in zip(found.points, found.values, found.sizes, strict=True):
        point = candidate[None]
        try:
            proved = _largest(propagate(traced, merged, point, point))
            if math.isnan(proved):
                raise UnsupportedOperation("overflow")
            if proved < _CLOSE * float(value):
                # Through many layers the rounding of intervals grows as if it always added up; on the way back it does
                # not.
                proved = max(proved, _largest(propagate_relaxed(traced, merged, point, point, work=0.0).outputs))
        except UnsupportedOperation:
            proved = max(0.0, float(value) - _UNPROVED_SLACK * float(size))
        if proved > best:
            best, witness = proved, candidate
    return best, witness


def _largest(outputs: tuple[Enclosure, ...]) -> float:
    return max(_least_magnitude(output) for output in outputs)


def _least_magnitude(output: Enclosure) -> float:
    least = torch.maximum(output.shift.low, -output.shift.high)
    return max(0.0, float(least.max())) if least.numel() else 0.0
