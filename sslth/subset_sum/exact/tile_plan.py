"""Which coordinates make the cells of a stored half, how wide they are, and which ones make its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sslth.subset_sum.exact.pair_sample import PairSample
from sslth.subset_sum.exact.problem import HalvedProblem

__all__ = ["LARGEST_WINDOW", "TilePlan", "plan_tiles"]

LARGEST_WINDOW = 1 << 61  # no two sums are farther apart
_MOST_COARSE = 6
_WIDEST_COARSE = 9  # coarse cells are up to 2**9 windows wide
_FINEST = 3  # fine cells are down to an eighth of a window
_BYTE_STEPS = 4  # a window is 8 to 16 steps of a byte, so 16 to 32 windows fit before bytes come round again
_SMALLEST_TABLE = 256
_SUMS_A_BUCKET = 8
# nanoseconds, fitted at n = 40, d = 4 to 16, one core
_STORING, _BYTE, _CELL = 15.0, 2.2, 3.0
_LOCATING, _VISITING, _TESTING, _MARKING = 14.0, 1.5, 5.0, 30.0


@dataclass(frozen=True)
class TilePlan:
    """The cells and bytes of one pass.

    Attributes
    ----------
    axes : list of int
        Coordinates, the coarse ones first, the fine one last; coordinate d is the number of rows.
    shifts : list of int
        log2 of the sides of the cells.
    byte_axes, byte_shifts : list of int
        Four or eight.
    stretch : int
        log2 of the fine cells whose wanted sums share a bucket.
    nanoseconds : float
        What the pass should cost for each sum of a half.
    """

    axes: list[int]
    shifts: list[int]
    byte_axes: list[int]
    byte_shifts: list[int]
    stretch: int
    nanoseconds: float


def plan_tiles(problem: HalvedProblem, model: PairSample, window: int, spans: list[int], rows: int) -> TilePlan:
    """The cheapest of some hundred plans, by a model of their cost; every plan gives the same matches.

    Parameters
    ----------
    problem : HalvedProblem
    model : PairSample
    window : int
        The largest integer error that a match may have.
    spans : list of int
        Largest minus smallest stored sum of each coordinate; one entry more for the number of rows where it matters.
    rows : int
        Stored sums.
    """
    pricing = _Pricing(problem, model, window, spans, rows)
    best = min(pricing.cells(), key=lambda cells: cells.nanoseconds)
    return pricing.plan(best)


@dataclass(frozen=True)
class _Cells:
    """Axes and sides of cells; how many coarse ones and cells in all there are, and what they cost."""

    axes: list[int]
    shifts: list[int]
    coarse: int
    total: int
    tiles: float
    nanoseconds: float


class _Pricing:
    """The cost of plans."""

    def __init__(self, problem: HalvedProblem, model: PairSample, window: int, spans: list[int], rows: int) -> None:
        self.d, self.model, self.spans = problem.target.size, model, spans
        self.rows = max(1, rows)
        self.reach = [2 * window + 1] * self.d
        if problem.is_restricted:
            self.reach.append(problem.largest - problem.smallest + 1)
        self.order = sorted(range(model.axes), key=lambda axis: model.chance(axis, self.reach[axis]))

    def cells(self) -> Iterator[_Cells]:
        """All that are looked at: axes that cut most first; coarse cells of 1, 2, 4, ... windows, fine ones of less."""
        for wider in range(_WIDEST_COARSE):
            met, visits, coarse = self.rows * self.model.weights, 1.0, 1
            shifts: list[int] = []
            for place, axis in enumerate(self.order[: _MOST_COARSE + 1]):
                most = (2 * self.rows + _SMALLEST_TABLE) // coarse  # a table of cells no larger than both halves
                buckets = coarse << place
                if most == 0 or buckets > self.rows + _SMALLEST_TABLE:
                    break
                for finer in range(1, _FINEST + 1):
                    shift = max(0, self._bits(axis) - finer, (self.spans[axis] // most).bit_length())
                    if shift <= self._bits(axis) or (place == 0 and shift <= 63):
                        total = coarse * ((self.spans[axis] >> shift) + 1)
                        hit = float(met @ self.model.chances(axis, self.reach[axis] + 2.0**shift))
                        tiles = min(visits, hit) + hit / 64.0
                        yield _Cells(
                            self.order[: place + 1], [*shifts, shift], coarse, total, tiles,
                            _CELL * (total + buckets) / self.rows + _VISITING * visits + _TESTING * tiles,
                        )  # fmt: skip
                side = self._bits(axis) + (wider if axis < self.d else 0)
                if side > 63:
                    break
                shifts.append(side)
                met = met * self.model.chances(axis, self.reach[axis] + 2.0**side)
                visits *= 1.0 + (self.reach[axis] - 1) / 2.0**side
                coarse *= (self.spans[axis] >> side) + 1

    def _bits(self, axis: int) -> int:
        """log2 of the narrowest cell of which a window meets two at most."""
        return min(63, (self.reach[axis] - 1).bit_length())

    def plan(self, cells: _Cells) -> TilePlan:
        """The best plan with these cells: bytes of four coordinates, or of eight if too many rows would pass four."""
        others = [axis for axis in self.order if axis not in cells.axes] + cells.axes
        shifts = [max(0, self.reach[axis].bit_length() - _BYTE_STEPS) for axis in others]
        passing = 64.0
        for axis, shift in list(zip(others, shifts, strict=True))[:4]:
            width = self.reach[axis] + 2.0**shift
            place = cells.axes.index(axis) if axis in cells.axes else None
            if place is not None:  # the rows of a run are near already
                passing *= min(1.0, width / (self.reach[axis] + 2.0 ** cells.shifts[place]))
            else:
                passing *= min(1.0, max(self.model.chance(axis, width), width / 2.0 ** (shift + 8)))
        count = 8 if len(others) > 4 and _MARKING * cells.tiles * min(1.0, passing) > 4.0 * _BYTE else 4
        fine = cells.total // cells.coarse
        stretch = 0
        while fine - 1 >> stretch and (
            cells.coarse << len(cells.axes) - 1 + (fine - 1 >> stretch).bit_length() > self.rows // _SUMS_A_BUCKET
        ):
            stretch += 1
        return TilePlan(
            cells.axes, cells.shifts, (others * 8)[:count], (shifts * 8)[:count], stretch,
            _STORING + _BYTE * count + _LOCATING + cells.nanoseconds + _MARKING * cells.tiles * min(1.0, passing),
        )  # fmt: skip
