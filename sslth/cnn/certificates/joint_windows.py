"""Max pooling and the layer before it in one backward step, each window with the inputs that it can see.

Over a window the target's maximum is one of its entries (or zero, behind a rectifier), and so is the ticket's. In
``A max z + B max ẑ - α z - β δ``, with A = M - Λ and B = Λ, a term with a positive factor is the largest of a few
linear functions; in one with a negative factor the maximum is at least every convex combination of the entries. So for
any slopes α, β and any shares the offset is at most the largest of a few linear functions over a box. The entries of a
window are linear in the pixels of a small patch; there, that what enlarges δ may also make the entry lose its window is
not forgotten, as it is where z and δ have intervals of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sslth.cnn.certificates.bounds import Enclosure
from sslth.cnn.certificates.intervals import Interval
from sslth.cnn.certificates.linear_bound import Coefficients, Total, mass

__all__ = ["JointSlopes", "JointWindows", "Rows", "joint_slopes", "joint_step", "joint_windows", "possible_entries"]

_EPS = 2.0**-52
_TINY = 1e-290


@dataclass(frozen=True, eq=False)
class Rows:
    """Values and differences of a layer's n entries as linear functions of P inputs.

    Attributes
    ----------
    slopes : float64[2 n, P]
        Of the n values, then of the n differences.
    constants : Interval of float64[2 n]
    box : Interval of float64[P]
    """

    slopes: Tensor
    constants: Interval
    box: Interval


@dataclass(frozen=True, eq=False)
class JointWindows:
    """Windows with everything that the step needs to know of their 2 k values and differences.

    Attributes
    ----------
    windows : int64[windows, k]
        Places of the entries in the layer; -1 for none.
    spread : float64[windows, 2 k, P]
        Change of values and differences along half of each input's range.
    middle, allowance, size : float64[windows, 2 k]
        At the middle of the inputs; what rounding may add to each; the most that each can be.
    possible : bool[2, windows, k + 1]
        Which entries may be the largest in the target and in the ticket; the first is zero, of the rectifier.
    share : float64[windows]
        How large differences are beside values.
    winner : int64[windows]
        The place of the only entry that can be the largest in either network, -1 if that is zero, -2 if several can.
    """

    windows: Tensor
    spread: Tensor
    middle: Tensor
    allowance: Tensor
    size: Tensor
    possible: Tensor
    share: Tensor
    winner: Tensor

    def chosen(self, active: Tensor) -> JointWindows:
        """Some of the windows."""
        return JointWindows(
            self.windows[active],
            self.spread[active],
            self.middle[active],
            self.allowance[active],
            self.size[active],
            self.possible[:, active],
            self.share[active],
            self.winner[active],
        )

    def work(self) -> int:
        """Multiply-adds of the step for one functional."""
        undecided = int((self.winner == -2).sum())
        return undecided * self.spread[0].numel() * (self.windows.shape[1] + 1)


def joint_windows(windows: Tensor, x: Enclosure, rows: Rows | None, *, rectified: bool) -> JointWindows:
    """Prepare the windows of a pooling of x, or of its rectified values.

    Parameters
    ----------
    windows : int64[windows, k]
    x : Enclosure
    rows : Rows or None
        None where x is not linear in anything: then each value and difference is an input of its own.
    rectified : bool
    """
    count = x.shape.numel()
    missing = windows < 0
    place = windows.clamp(min=0)
    both = torch.cat([place, place + count], 1)
    absent = torch.cat([missing, missing], 1)
    low = torch.cat([x.target.low.flatten(), x.shift.low.flatten()])[both].masked_fill(absent, 0.0)
    high = torch.cat([x.target.high.flatten(), x.shift.high.flatten()])[both].masked_fill(absent, 0.0)
    if rows is None:
        middle = 0.5 * (low + high)
        radius = torch.maximum(high - middle, middle - low)
        spread, error = torch.diag_embed(radius), torch.zeros_like(radius)
        centred = middle.abs()
    else:
        spread, middle, centred, error = _patches(rows, both)
        spread, middle, centred, error = (
            part.masked_fill(absent if part.ndim == 2 else absent[..., None], 0.0)
            for part in (spread, middle, centred, error)
        )
    size = spread.abs().sum(2) + centred + error
    allowance = (error + 8.0 * (spread.shape[2] + spread.shape[1] + 32) * _EPS * size) * (1.0 + 1e-9) + spread.shape[
        2
    ] * _TINY
    half = windows.shape[1]
    values, differences = size[:, :half].amax(1), size[:, half:].amax(1)
    share = torch.where(values > 0, (differences / values.clamp(min=_TINY)).clamp(1e-12, 1.0), 1.0)
    possible = torch.stack([possible_entries(windows, side, rectified=rectified) for side in (x.target, x.ticket)])
    either = possible.any(0)
    first = either.to(torch.int8).argmax(1)
    entry = windows.gather(1, (first - 1).clamp(min=0)[:, None])[:, 0]
    winner = torch.where(either.sum(1) > 1, -2, torch.where(first > 0, entry, -1))
    return JointWindows(windows, spread, middle, allowance, size, possible, share, winner)


def _patches(rows: Rows, places: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Each window's rows over the inputs that it depends on: spread, middle, size at the middle, error."""
    slopes = rows.slopes[places]
    used = (slopes != 0).any(1)
    most = max(1, int(used.sum(1).max()))
    inputs = torch.argsort(used.to(torch.int8), dim=1, descending=True, stable=True)[:, :most]
    slopes = slopes.gather(2, inputs[:, None].expand(-1, places.shape[1], -1))
    centre = 0.5 * (rows.box.low + rows.box.high)
    radius = torch.maximum(rows.box.high - centre, centre - rows.box.low) * (1.0 + 4.0 * _EPS)
    spread = slopes * radius[inputs][:, None]
    low, high = rows.constants.low[places], rows.constants.high[places]
    constant = 0.5 * (low + high)
    parts = slopes * centre[inputs][:, None]
    centred = parts.abs().sum(2) + constant.abs()
    error = torch.maximum(high - constant, constant - low) + 4.0 * (most + 8) * _EPS * centred
    return spread, parts.sum(2) + constant, centred, error


def possible_entries(windows: Tensor, x: Interval, *, rectified: bool) -> Tensor:
    """Which entries may be the largest, bool[windows, k + 1]: zero first, which counts behind a rectifier."""
    missing = windows < 0
    low = x.low.flatten()[windows.clamp(min=0)].masked_fill(missing, -torch.inf)
    high = x.high.flatten()[windows.clamp(min=0)].masked_fill(missing, -torch.inf)
    zero = torch.full((len(windows), 1), 0.0 if rectified else -torch.inf, dtype=torch.float64)
    low, high = torch.cat([zero, low], 1), torch.cat([zero, high], 1)
    return (high >= low.amax(1, keepdim=True)) & (high > -torch.inf)


@dataclass(frozen=True, eq=False)
class JointSlopes:
    """What the step may choose for each functional; anything in the given ranges is sound.

    Attributes
    ----------
    value, shift : float64[functionals, windows, k]
        Slopes of the values as multiples of M, of the differences as multiples of Λ; from 0 to 1.
    extra : float64[functionals, windows, k]
        Slopes of the values for the sake of Λ, in units in which they matter; any number.
    shares : float64[functionals, windows, k + 1, k + 1]
        By which entry is the largest: what others get of the other network's maximum, in such units; not negative.
    active : int64[windows]
        Which windows the others are about.
    """

    value: Tensor
    shift: Tensor
    extra: Tensor
    shares: Tensor
    active: Tensor

    def leaves(self) -> tuple[tuple[Tensor, float, float], ...]:
        """Everything that can be improved, with its range."""
        return (
            (self.value, 0.0, 1.0),
            (self.shift, 0.0, 1.0),
            (self.extra, -torch.inf, torch.inf),
            (self.shares, 0.0, torch.inf),
        )

    def replaced(self, leaves: list[Tensor]) -> JointSlopes:
        """The same with other numbers."""
        return JointSlopes(leaves[0], leaves[1], leaves[2], leaves[3], self.active)


def joint_slopes(joint: JointWindows, out: Coefficients, active: Tensor, *, even: bool) -> JointSlopes:
    """Slopes to start from: where one entry is the largest they are exact.

    Elsewhere, `even` shares half of the slope among the possible entries; otherwise two of them share all of it, more
    have none, and a value below its maximum follows the entry that is likely the largest.
    """
    active = active[joint.winner[active] == -2]
    part = joint.chosen(active)
    value = out.value.flatten(1)[:, active, None]
    shift = out.shift.flatten(1)[:, active, None]
    target, ticket = part.possible
    either = (target | ticket).to(torch.float64)
    count = either.sum(1, keepdim=True)
    alone = torch.where(count == 1, either, 0.0)[:, 1:]
    if even:
        shared = alone + torch.where(count > 1, 0.5 * either / count, 0.0)[:, 1:]
        chosen = (shared.expand(*value.shape[:2], -1), shared.expand(*value.shape[:2], -1))
    else:
        half = part.windows.shape[1]
        likely = torch.nn.functional.one_hot(part.middle[:, :half].argmax(1), half) * (part.middle[:, :half] > 0)
        pairs = [torch.where(mask.sum(1, keepdim=True) <= 2, mask / mask.sum(1, keepdim=True), 0.0)[:, 1:]
                 for mask in (target.to(torch.float64), ticket.to(torch.float64))]  # fmt: skip
        chosen = (
            torch.where(value > 0, alone, torch.where(count == 1, alone, likely * 1.0)),
            torch.where(shift > 0, pairs[1], pairs[0]),
        )
    shape = chosen[0].shape
    shares = torch.zeros((*shape[:2], shape[2] + 1, shape[2] + 1), dtype=torch.float64)
    return JointSlopes(chosen[0], chosen[1], torch.zeros(shape, dtype=torch.float64), shares, active)


def joint_step(
    joint: JointWindows, x: Enclosure, pooled: Enclosure, out: Coefficients, slopes: JointSlopes, total: Total
) -> Coefficients:
    """From the pooled values back to x; windows that the slopes leave out pass or are bounded where they are.

    Parameters
    ----------
    joint, slopes
        As prepared for x.
    x, pooled : Enclosure
        Of the layer, and of its windows' maxima.
    out : Coefficients
        Of the maxima.
    """
    active = slopes.active
    part = joint.chosen(active)
    value, shift = out.value.flatten(1), out.shift.flatten(1)
    if len(active) < value.shape[1]:
        outside = torch.ones(value.shape[1], dtype=torch.bool)
        outside[active] = False
        outside &= joint.winner == -2
        _bounded_there(value[:, outside], shift[:, outside], pooled, outside, total)
    value, shift = value[:, active], shift[:, active]
    bottom, top = pooled.shift.low.flatten()[active], pooled.shift.high.flatten()[active]
    scale = value.detach().abs() + part.share * shift.detach().abs()
    alpha = value[..., None] * slopes.value + scale[..., None] * slopes.extra
    beta = shift[..., None] * slopes.shift
    total.add(_offset(part, (value, shift), (alpha, beta), (bottom, top), (scale, slopes.shares), total))
    # Where only one entry can be the largest, the maximum is that entry.
    passing = (joint.winner >= 0).nonzero()[:, 0]
    places = torch.cat([part.windows.flatten(), joint.winner[passing]])
    parts = [
        _scattered(torch.cat([weight.flatten(1), given.flatten(1)[:, passing]], 1), places, x.shape)
        for weight, given in ((alpha, out.value), (beta, out.shift))
    ]
    slack = 8.0 * (part.windows.shape[1] + 8) * _EPS * part.windows.shape[1]
    total.allow(slack * (mass(parts[0], x.target.magnitude()) + mass(parts[1], x.shift.magnitude())))
    return Coefficients(*parts)


def _bounded_there(value: Tensor, shift: Tensor, pooled: Enclosure, where: Tensor, total: Total) -> None:
    for part, interval in ((value, pooled.target), (shift, pooled.shift)):
        low, high = interval.low.flatten()[where], interval.high.flatten()[where]
        total.add(torch.where(part > 0, part * high, part * low))
        total.allow(2.0 * _EPS * mass(part, torch.maximum(low.abs(), high.abs())) + part.shape[1] * _TINY)


def _offset(
    part: JointWindows,
    given: tuple[Tensor, Tensor],
    taken: tuple[Tensor, Tensor],
    reach: tuple[Tensor, Tensor],
    shares: tuple[Tensor, Tensor],
    total: Total,
) -> Tensor:
    """What the maxima exceed their slopes by, at most: float64[functionals, windows]."""
    half = part.windows.shape[1]
    first, second, extra = _of_one_sign(given[0] - given[1], given[1], *reach)
    entries = torch.eye(half + 1, dtype=torch.float64)
    # What a share is worth where the maximum of the other network has so much weight.
    weight = torch.maximum(first.detach().abs(), second.detach().abs()).clamp(min=_TINY)
    unit = (shares[0] / weight).clamp(max=1.0)[..., None, None]
    # A missing entry, and zero without a rectifier, is no part of a combination.
    real = torch.cat([part.possible[:, :, :1].any(0), part.windows >= 0], 1)
    moved = shares[1] * unit * (1.0 - entries) * real[:, None, :]
    moved = moved / moved.sum(-1, keepdim=True).clamp(min=1.0)
    mixed = moved + entries * (1.0 - moved.sum(-1, keepdim=True))
    up = [weight.clamp(min=0.0)[..., None, None] * entries for weight in (first, second)]
    down = [weight.clamp(max=0.0)[..., None, None] * mixed for weight in (first, second)]
    target, ticket = ((up[side] + down[side])[..., 1:] for side in (0, 1))
    factors = torch.cat([target + ticket - taken[0][..., None, :], ticket - taken[1][..., None, :]], -1)
    by_window = factors.transpose(0, 1).flatten(1, 2)
    found = torch.bmm(by_window, part.spread).abs().sum(2) + torch.bmm(by_window, part.middle[..., None])[..., 0]
    found = found + torch.bmm(by_window.detach().abs(), part.allowance[..., None])[..., 0]
    found = found.reshape(len(part.windows), len(given[0]), half + 1).transpose(0, 1)
    # Without a positive term every combination is a bound; else the largest over the entries that can be it is.
    allowed = torch.where((second > 0)[..., None], part.possible[1], part.possible[0])
    convex = ((first <= 0) & (second <= 0))[..., None]
    offset = torch.where(
        convex[..., 0],
        torch.where(real, found, torch.inf).amin(-1),
        torch.where(allowed, found, -torch.inf).amax(-1),
    )
    sizes = part.size[:, :half].amax(1) + part.size[:, half:].amax(1)
    size = (given[0].detach().abs() + 3.0 * given[1].detach().abs()) @ sizes
    size = size + mass(taken[0], part.size[:, :half]) + mass(taken[1], part.size[:, half:])
    total.allow(64.0 * (half + 2) * _EPS * size)
    return offset + extra


def _of_one_sign(first: Tensor, second: Tensor, bottom: Tensor, top: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where both weights have one sign, the smaller becomes part of the larger: the maxima differ by δ only."""
    same = first * second > 0
    smaller = same & (first.abs() <= second.abs())
    larger = same & ~smaller
    extra = torch.where(smaller, torch.maximum(-first * bottom, -first * top), 0.0)
    extra = extra + torch.where(larger, torch.maximum(second * bottom, second * top), 0.0)
    both = first + second
    return (
        torch.where(smaller, 0.0, torch.where(larger, both, first)),
        torch.where(larger, 0.0, torch.where(smaller, both, second)),
        extra,
    )


def _scattered(coefficients: Tensor, index: Tensor, shape: torch.Size) -> Tensor:
    size = shape[1:].numel()
    result = torch.zeros((len(coefficients), size + 1), dtype=torch.float64)
    places = torch.where(index < 0, size, index)
    return result.index_add(1, places, coefficients)[:, :size].reshape(-1, *shape[1:])
