"""Pairs of subsets, counted one by one."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest

from sslth.theory.second_moment.pair_terms import PairTerms


@pytest.mark.parametrize(("n", "k"), [(6, 2), (6, 5), (5, 5), (4, 0), (5, None), (1, None)])
def test_every_pair_is_counted(n, k):
    sizes = range(n + 1) if k is None else [k]
    subsets = [set(s) for size in sizes for s in itertools.combinations(range(n), size)]
    expected: Counter[tuple[int, int, int]] = Counter()
    for a, b in itertools.product(subsets, repeat=2):
        first, second = sorted((len(a - b), len(b - a)), reverse=True)
        expected[len(a & b), first, second] += 1
    terms = PairTerms.of(n, k)
    found = {
        (int(j), int(a), int(b)): len(subsets) ** 2 * math.exp(log)
        for j, a, b, log in zip(terms.shared, terms.first, terms.second, terms.log_share, strict=True)
    }
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, rel=1e-12)
    assert math.exp(terms.log_subsets) == pytest.approx(len(subsets), rel=1e-12)
    by_size = Counter(len(s) for s in subsets)
    shares = zip(terms.sizes.tolist(), terms.log_size_share.tolist(), strict=True)
    assert {size: len(subsets) * math.exp(log) for size, log in shares} == pytest.approx(by_size, rel=1e-12)
