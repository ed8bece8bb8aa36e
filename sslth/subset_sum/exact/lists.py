"""The sums of a quarter of the rows: a short sorted list."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.exact.problem import HalvedProblem

__all__ = ["SumList", "quarter_lists"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SumList:
    """Sums by rising number of rows where it matters, and by rising first coordinate.

    Attributes
    ----------
    columns : int64[d, m]
    sizes : int64[m]
        Rows in each sum; zeros where the number does not matter.
    size_steps : int64[m]
        The coordinate that makes the number of rows one more thing to match: sizes, or what is left of the wanted size.
    last, segment_sizes : int64[s]
        Where each segment of equally many rows ends, and how many they are.
    codes : int64[m], or Python integers where int64 does not hold them
        Which rows: digits of mixed radix, one a group.
    groups, radices : list of int
    """

    columns: IntArray
    sizes: IntArray
    size_steps: IntArray
    last: IntArray
    segment_sizes: IntArray
    codes: IntArray
    groups: list[int]
    radices: list[int]

    @property
    def keys(self) -> IntArray:
        """The first coordinate, int64[m]."""
        first: IntArray = self.columns[0]
        return first

    def digits(self, place: int) -> dict[int, int]:
        """How often each group is taken in one sum."""
        code = int(self.codes[place])
        digits = {}
        for group, radix in zip(self.groups, self.radices, strict=True):
            code, digit = divmod(code, radix)
            if digit:
                digits[group] = digit
        return digits


def quarter_lists(problem: HalvedProblem) -> tuple[SumList, SumList, SumList, SumList]:
    """Lists 1 and 2 of one half, and, for `target - sum` of the other half, lists 3 and 4."""
    parts = problem.quarters
    zero = np.zeros_like(problem.target)
    return (
        _sum_list(problem, parts[0], zero, 0, 1),
        _sum_list(problem, parts[1], zero, 0, 1),
        _sum_list(problem, parts[2], problem.target, problem.exact_size or 0, -1),
        _sum_list(problem, parts[3], zero, 0, -1),
    )


def _sum_list(problem: HalvedProblem, groups: list[int], start: IntArray, start_size: int, sign: int) -> SumList:
    columns = start[:, None].copy()
    sizes = np.zeros(1, dtype=np.int64)
    choices = math.prod(problem.groups[group].size + 1 for group in groups)
    codes = np.zeros(1, dtype=np.int64 if choices < 2**63 else object)  # Python's integers for few of very many rows
    radices = []
    weight = 1
    for group in groups:
        copies = problem.groups[group].size
        row = sign * problem.rows[group][:, None]
        pieces = [(columns, sizes, codes)]
        for count in range(1, copies + 1):
            fits = sizes <= problem.largest - count
            pieces.append((columns[:, fits] + count * row, sizes[fits] + count, codes[fits] + count * weight))
        columns = np.concatenate([piece[0] for piece in pieces], axis=1)
        sizes = np.concatenate([piece[1] for piece in pieces])
        codes = np.concatenate([piece[2] for piece in pieces])
        radices.append(copies + 1)
        weight *= copies + 1
    if not problem.is_restricted:
        sizes[:] = 0
    order = np.lexsort((columns[0], sizes))
    columns, sizes, codes = columns[:, order], sizes[order], codes[order]
    if problem.drops_equal_sums and np.any((np.diff(columns[0]) == 0) & (np.diff(sizes) == 0)):
        order = np.lexsort((*columns[::-1], sizes))
        columns, sizes, codes = columns[:, order], sizes[order], codes[order]
        new = np.ones(sizes.size, dtype=np.bool_)
        new[1:] = np.any(np.diff(columns, axis=1) != 0, axis=0) | (np.diff(sizes) != 0)
        columns, sizes, codes = columns[:, new], sizes[new], codes[new]
    values, counts = np.unique(sizes, return_counts=True)
    last = np.cumsum(counts).astype(np.int64)
    return SumList(
        np.ascontiguousarray(columns), sizes, start_size + sign * sizes, last, values, codes, groups, radices
    )  # fmt: skip
