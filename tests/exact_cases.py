"""Instances that are hard to decide exactly, and what a proof of an exact solver must be."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import oracle

from sslth.subset_sum.instance import Instance
from sslth.subset_sum.solution import Outcome, StoppedBy

__all__ = ["CASES", "check_proof", "true_error", "true_minimum"]


def true_error(instance: Instance, subset: list[int]) -> Fraction:
    return oracle.exact_error(instance.samples, instance.target, subset)


def true_minimum(instance: Instance) -> Fraction:
    return oracle.best_error(instance.samples, instance.target, instance.cardinality, instance.max_cardinality)


def check_proof(instance: Instance, outcome: Outcome, exact: Fraction | None = None) -> None:
    """The outcome claims a proof, and its subset is allowed and exactly optimal."""
    exact = true_minimum(instance) if exact is None else exact
    assert outcome.stopped_by is StoppedBy.PROOF
    assert outcome.subset is not None
    assert len(set(outcome.subset.tolist())) == outcome.subset.size
    assert instance.smallest_size <= outcome.subset.size <= instance.largest_size
    assert true_error(instance, outcome.subset.tolist()) == exact
    assert Fraction(outcome.lower_bound) <= exact


def _cases() -> dict[str, tuple[np.ndarray, np.ndarray | list[float]]]:
    rng = np.random.default_rng(5)
    scale = 10.0 ** rng.uniform(-30, 10, (8, 2))
    near = 0.1 + np.array([[0], [1], [2], [0], [5], [3], [1], [1]]) * 2.0**-56
    tiny = np.array([[1e10], [1e-20], [2e-20], [-1e-21], [3e-20], [1e-20], [7e-20], [0]])
    return {
        "gaussian": (rng.standard_normal((8, 3)), rng.uniform(-1, 1, 3)),
        "d above n": (rng.standard_normal((8, 20)), rng.uniform(-1, 1, 20)),
        "mixed": (rng.standard_normal((8, 2)) * scale, rng.standard_normal(2) * 1e-5),
        "near ties": (np.vstack([near[:7], [[1e6]]]), [0.35]),
        "near ties below the grid": (tiny, [2e-20]),
        "all equal": (np.full((8, 2), 0.1), [0.45, 0.45]),
        "duplicates": (np.repeat(rng.standard_normal((3, 2)), [4, 1, 3], axis=0), [0.3, 0.1]),
        "zero rows": (np.array([[0.0], [0.3], [0.0], [0.3], [0.7], [0.0], [1e-25], [1e9]]), [0.61]),
        "zero column": (np.column_stack([rng.standard_normal(8), np.zeros(8)]), [0.5, 0.25]),
        "target out of reach": (rng.standard_normal((8, 2)), [500.0, -3.0]),
        "clusters": (1.0 + rng.standard_normal((8, 1)) * 1e-9, [2.5]),
        "subnormal": (rng.integers(-9, 9, (8, 1)) * 5e-324, [1.2e-322]),
        "huge": (rng.standard_normal((8, 2)) * 1e300, [1e300, -1e299]),
        "integers": (rng.integers(-9, 9, (8, 2)), [3, 1]),
    }


CASES = _cases()
