"""The recomputed error against rational arithmetic, to the last bit."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import exact_error, exact_residual, rounded_up

from sslth.errors import InvalidInputError
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.verify import verify


def check(instance: Instance, subset) -> None:
    certificate = verify(instance, subset)
    chosen = sorted(int(i) for i in subset)
    exact = exact_residual(instance.samples, instance.target, chosen)
    assert certificate.residual.tolist() == [entry.numerator / entry.denominator for entry in exact]
    assert certificate.error == rounded_up(exact_error(instance.samples, instance.target, chosen))
    assert certificate.subset.tolist() == chosen
    assert certificate.subset.dtype == np.int64


@pytest.mark.parametrize(
    ("samples", "target"),
    [
        ([[1e16], [1.0], [-1e16]], [0.0]),
        ([[1e16], [1.0], [-1e16]], [1.0]),
        ([[0.1], [0.2]], [0.3]),
        ([[0.1], [0.2], [-0.3]], [0.0]),
        ([[2.0**300], [2.0**-300], [-(2.0**300)]], [0.0]),
        ([[2.0**300], [2.0**-300]], [2.0**300]),
        ([[2.0**300], [2.0**-300]], [0.0]),
        ([[1.0], [2.0**-53], [2.0**-106]], [0.0]),
        ([[1.0], [2.0**-53], [-(2.0**-160)]], [0.0]),
        ([[-1.0], [-(2.0**-53)], [-(2.0**-106)]], [0.0]),
        ([[1.0], [-(2.0**-54)]], [0.0]),
        ([[5e-324], [5e-324]], [1e-323]),
        ([[5e-324], [1.0]], [1.0]),
        ([[5e-324], [1.0]], [0.0]),
        ([[5e307], [-5e307], [2.0**-1074]], [7e307]),
        ([[np.finfo(float).max]], [0.0]),
        ([[np.finfo(float).max], [-5e-324]], [0.0]),
        ([[1e16, 0.1], [1.0, 0.2], [-1e16, 0.0]], [0.0, 0.3]),
    ],
)
def test_adversarial_cancellation(samples, target):
    instance = Instance(samples, target)
    for mask in range(2**instance.n):
        check(instance, [i for i in range(instance.n) if mask >> i & 1])


def test_the_error_is_rounded_up_and_only_if_it_must():
    above = Instance([[1.0], [2.0**-60]], [0.0])  # 1 + 2^-60
    below = Instance([[1.0], [-(2.0**-60)]], [0.0])  # 1 - 2^-60
    assert verify(above, [0, 1]).error == math.nextafter(1.0, 2.0)
    assert verify(above, [0, 1]).residual[0] == 1.0
    assert verify(below, [0, 1]).error == 1.0
    assert verify(above, [0]).error == 1.0
    assert verify(Instance([[-1.0], [-(2.0**-60)]], [0.0]), [0, 1]).error == math.nextafter(1.0, 2.0)


def test_long_sums_that_cancel_to_the_last_bit():
    rng = np.random.default_rng(0)
    half = rng.standard_normal((500, 3)) * 10.0 ** rng.integers(-15, 16, (500, 3))
    samples = np.vstack([half, -half, [[0.0, 2.0**-200, 1e-30]]])
    order = rng.permutation(len(samples))
    instance = Instance(samples[order], [0.0, 0.0, 1e-30])
    check(instance, range(instance.n))
    assert verify(instance, range(instance.n)).error == 2.0**-200


@settings(derandomize=True, max_examples=150, deadline=None, database=None)
@given(
    st.integers(1, 3).flatmap(
        lambda d: st.lists(st.lists(st.floats(-1e300, 1e300), min_size=d, max_size=d), min_size=2, max_size=12)
    ),
    st.integers(0, 2**12 - 1),
)
def test_any_floats(rows, mask):
    instance = Instance(rows[1:], rows[0])
    check(instance, [i for i in range(instance.n) if mask >> i & 1])


@settings(derandomize=True, max_examples=100, deadline=None, database=None)
@given(
    st.lists(
        st.tuples(st.integers(-(2**53), 2**53), st.integers(-300, 247)).map(lambda x: math.ldexp(*x)),
        min_size=2,
        max_size=10,
    )
)
def test_mixed_exponents_with_their_negatives(values):
    samples = [[x] for x in values] + [[-x] for x in values[1:]]
    check(Instance(samples, [0.0]), range(len(samples)))
    check(Instance(samples, [values[0]]), range(len(samples)))


def test_the_empty_subset_has_the_target_as_residual():
    certificate = verify(Instance([[1.0, 2.0]], [0.5, -3.0]), [])
    assert certificate.residual.tolist() == [-0.5, 3.0]
    assert certificate.error == 3.0
    assert certificate.subset.shape == (0,)


@pytest.mark.parametrize(
    ("sizes", "subset", "wanted"),
    [
        ({}, [], True),
        ({}, [0, 1, 2], True),
        ({"cardinality": 2}, [0, 2], True),
        ({"cardinality": 2}, [0], False),
        ({"cardinality": 2}, [0, 1, 2], False),
        ({"max_cardinality": 1}, [], True),
        ({"max_cardinality": 1}, [1, 2], False),
        ({"cardinality": 4}, [0, 1, 2], False),
    ],
)
def test_whether_the_size_is_the_wanted_one(sizes, subset, wanted):
    assert verify(Instance([[1.0], [2.0], [3.0]], [0.0], **sizes), subset).has_wanted_size is wanted


@pytest.mark.parametrize(
    "subset", [[2, 0, 1], np.array([2, 0, 1], dtype=np.uint8), (2, 0, 1), range(2, -1, -1)], ids=range(4)
)
def test_order_and_type_of_the_indices_do_not_matter(subset):
    certificate = verify(Instance([[0.1], [0.2], [0.3]], [0.0]), subset)
    assert certificate.subset.tolist() == [0, 1, 2]
    assert Fraction(certificate.error) >= exact_error([[0.1], [0.2], [0.3]], [0.0], [0, 1, 2])


@pytest.mark.parametrize(
    ("subset", "said"),
    [
        ([3], "index 3"),
        ([-1], "index -1"),
        (np.array([0, 2**63], dtype=np.uint64), f"index {2**63}"),
        ([1, 1], "1 twice"),
        ([0.0], "float64"),
        ([True, False, True], "bool"),
        (["a"], "<U1"),
        ([[0], [1]], "(2, 1)"),
        (0, "shape ()"),
        ([2**70], "object"),
        ([[0], [1, 2]], "subset"),
    ],
)
def test_what_is_not_a_subset_is_refused(subset, said):
    with pytest.raises(InvalidInputError) as caught:
        verify(Instance([[1.0], [2.0], [3.0]], [0.0]), subset)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
