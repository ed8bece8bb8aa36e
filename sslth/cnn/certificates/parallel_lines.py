"""Each maximum over a window between two parallel linear functions of the network's input.

What both share is then known of many maxima together, and only the gap between the two is left to each alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, fx

from sslth.cnn.certificates.bounds import Enclosure
from sslth.cnn.certificates.intervals import Interval
from sslth.cnn.certificates.joint_nodes import maxima_of, rows_over_input
from sslth.cnn.certificates.joint_windows import JointSlopes, JointWindows, Rows, joint_step, joint_windows
from sslth.cnn.certificates.linear_bound import Coefficients, Total

if TYPE_CHECKING:
    from sslth.cnn.certificates.relaxation import Relaxation

__all__ = ["parallel_lines"]

_EPS = 2.0**-52
_STEPS, _RATE = 60, 0.05
# A gap that is not narrower than so much of the range is not worth the slopes.
_NARROWER = 0.85
# Entries of the coefficients of all maxima.
_MOST = 2**22


def parallel_lines(engine: Relaxation, node: fx.Node) -> Rows | None:
    """Values and differences of the node's n entries as linear functions of the input: the constants are the gaps.

    None where the node is no rectifier or max pooling, or what is before it is not linear in the input, or too large.
    """
    found = maxima_of(engine, node)
    if found is None:
        return None
    layer, windows, rectified = found
    x, pooled = engine.known[layer], engine.known[node]
    count = pooled.shape[1:].numel()
    if windows.numel() * (windows.shape[1] + 1) * count > _MOST or count * x.shape[1:].numel() > _MOST:
        return None
    rows = rows_over_input(engine, layer, x)
    if rows is None:
        return None
    joint = joint_windows(windows, x, rows, rectified=rectified)
    parts = [_lines(joint, x, pooled, rows, of_shift=of_shift) for of_shift in (False, True)]
    slopes = torch.cat([part[0] for part in parts])
    low, high = (torch.cat([part[end] for part in parts]) for end in (1, 2))
    least, most = (torch.cat([getattr(part, end).flatten() for part in (pooled.target, pooled.shift)])
                   for end in ("low", "high"))  # fmt: skip
    better = high - low < _NARROWER * (most - least)
    slopes = torch.where(better[:, None], slopes, 0.0)
    return Rows(slopes, Interval(torch.where(better, low, least), torch.where(better, high, most)), rows.box)


def _lines(
    joint: JointWindows, x: Enclosure, pooled: Enclosure, rows: Rows, *, of_shift: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Slopes over the input float64[n, P], and the ends of what is left, float64[n]."""
    count = pooled.shape[1:].numel()
    slopes = _narrow(joint, x, pooled, of_shift=of_shift)
    ends, found = [], []
    for sign, chosen in zip((1.0, -1.0), slopes, strict=True):
        total = Total(count)
        goal = _goal(sign * torch.eye(count, dtype=torch.float64), pooled, of_shift=of_shift)
        left = joint_step(joint, x, pooled, goal, _repeated(chosen, count), total)
        found.append(sign * torch.cat([left.value.flatten(1), left.shift.flatten(1)], 1))
        ends.append(sign * total.upper())
    size = rows.box.magnitude()
    # Both signs have the same slopes, but nothing here depends on it.
    middle, radius = 0.5 * (rows.constants.low + rows.constants.high), 0.5 * (rows.constants.high - rows.constants.low)
    whole = rows.slopes.abs() @ size + middle.abs() + radius
    gamma = 4.0 * (rows.slopes.shape[0] + rows.slopes.shape[1] + 16) * _EPS
    error = (found[0].abs() @ (gamma * whole + radius) + (found[0] - found[1]).abs() @ whole) * (1.0 + 1e-9)
    constant = found[0] @ middle
    error = error + 4.0 * _EPS * (constant.abs() + torch.maximum(ends[0].abs(), ends[1].abs()))
    return found[0] @ rows.slopes, ends[1] + constant - error, ends[0] + constant + error


def _narrow(joint: JointWindows, x: Enclosure, pooled: Enclosure, *, of_shift: bool) -> tuple[JointSlopes, JointSlopes]:
    """Slopes between which the maxima have little room, for the line above and the one below.

    A functional that adds up all maxima is as good as one for each: their steps do not touch one another.
    """
    active = (joint.winner == -2).nonzero()[:, 0]
    part = joint.chosen(active)
    either = part.possible.any(0).to(torch.float64)
    own = (either / either.sum(1, keepdim=True).clamp(min=1.0))[None, :, 1:].clone()
    entries = own.shape[2] + 1
    shares = [torch.zeros((1, len(active), entries, entries), dtype=torch.float64) for _ in range(2)]
    zero = torch.zeros_like(own)

    def both() -> tuple[JointSlopes, JointSlopes]:
        above, below = (JointSlopes(own, own, zero, share, active) for share in shares)
        return above, below

    best, narrowest = both(), torch.inf
    leaves = [leaf.requires_grad_(True) for leaf in (own, *shares)]
    stepper = torch.optim.Adam(leaves, lr=_RATE)
    ones = torch.ones((1, pooled.shape[1:].numel()), dtype=torch.float64)
    for _ in range(_STEPS if len(active) else 0):
        total = Total(1)
        with torch.enable_grad():
            for sign, slopes in zip((1.0, -1.0), both(), strict=True):
                joint_step(joint, x, pooled, _goal(sign * ones, pooled, of_shift=of_shift), slopes, total)
            gap = total.upper().sum()
        if float(gap.detach()) < narrowest:
            narrowest = float(gap.detach())
            best = _copied(both()[0]), _copied(both()[1])
        stepper.zero_grad()
        gap.backward()  # type: ignore[no-untyped-call]
        stepper.step()
        own.data.clamp_(0.0, 1.0)
        for share in shares:
            share.data.clamp_(min=0.0)
    return _copied(best[0]), _copied(best[1])


def _goal(rows: Tensor, pooled: Enclosure, *, of_shift: bool) -> Coefficients:
    rows = rows.reshape(-1, *pooled.shape[1:])
    zero = torch.zeros_like(rows)
    return Coefficients(zero, rows) if of_shift else Coefficients(rows, zero)


def _copied(slopes: JointSlopes) -> JointSlopes:
    return slopes.replaced([leaf.detach().clone() for leaf, _, _ in slopes.leaves()])


def _repeated(slopes: JointSlopes, count: int) -> JointSlopes:
    return slopes.replaced([leaf.expand(count, *leaf.shape[1:]) for leaf, _, _ in slopes.leaves()])
