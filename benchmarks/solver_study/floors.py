"""log2 of the first-moment floor of a cell, also where the floor itself is below every float."""

from __future__ import annotations

import math

from benchmarks.solver_study.grid import Cell, Problem
from sslth.experiments.store import Store
from sslth.theory.floors import first_moment_floor

__all__ = ["log2_floor"]

_FLOOR = "first_moment_floor"  # the kind of a stored floor
_VARIANCE = {"gaussian": 1.0, "nsn": 1.0, "uniform": 1.0 / 3.0}


def log2_floor(cell: Cell, store: Store) -> float:
    """The floor of the cell's first instance, exact for its law; computed once and stored.

    The target moves it by less than the instances differ. NaN if it is 0 or infinite.
    """
    parameters = {"kind": _FLOOR, "law": cell.law, "n": cell.n, "d": cell.d, "cardinality": cell.cardinality}
    known = store.get(parameters)
    if known is None:
        floor = first_moment_floor(Problem(cell, 0).outline(), cell.law)
        bits = math.log2(floor) if 0.0 < floor < math.inf else normal_log2_floor(cell) if floor == 0.0 else math.nan
        known = {"log2_floor": bits}
        store.put(parameters, known, 0.0)
        known = store.get(parameters) or known
    bits = known["log2_floor"]
    return math.nan if bits is None else float(bits)


def normal_log2_floor(cell: Cell) -> float:
    """The same where sums of many rows are normal and the target is small beside them: n / d of hundreds.

    N subsets, coordinates of variance v: N (2 ε / √(2 π v))^d = 1.
    """
    n, k = cell.n, cell.cardinality
    size = n / 2 if k is None else k
    log_count = n * math.log(2.0)
    if k is not None:
        log_count = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    variance = size * _VARIANCE[cell.law]
    return -log_count / math.log(2.0) / cell.d - 1.0 + 0.5 * math.log2(2.0 * math.pi * variance)
