"""Interval arithmetic: what it needs, and that its ends are ends."""

from __future__ import annotations

import sys

import pytest
from scipy.stats import multivariate_normal

from sslth.errors import InvalidInputError
from sslth.theory.second_moment import enclose_gaussian, enclose_nsn_hit
from sslth.theory.second_moment.enclosure import enclose_pair


def test_without_flint_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "flint", None)
    with pytest.raises(InvalidInputError, match="interval arithmetic needs python-flint"):
        enclose_gaussian(4, 2, 0.1, [0.0])


def test_pairs_agree_with_scipy():
    pytest.importorskip("flint")
    low, high = enclose_pair(2.0, 1.0, 3.0, 0.5, 0.75)
    expected = multivariate_normal.cdf([1.25] * 2, cov=[[3.0, 2.0], [2.0, 5.0]], lower_limit=[-0.25] * 2)
    assert 0.0 <= high - low < 1e-14
    assert (low + high) / 2 == pytest.approx(expected, abs=1e-5)


def test_one_row_of_one():
    pytest.importorskip("flint")
    low, high = enclose_gaussian(1, 1, 1.0, [0.0])  # the bound is the probability itself
    assert low <= 0.6826894921370859 <= high
    assert high - low < 1e-15


@pytest.mark.parametrize("k", [0, 5])
def test_sizes_that_make_no_sense(k):
    pytest.importorskip("flint")
    with pytest.raises(InvalidInputError, match=f"subsets of {k} of 4 rows"):
        enclose_gaussian(4, k, 0.1, [0.0])
    if k == 0:
        with pytest.raises(InvalidInputError, match="k must be at least 1"):
            enclose_nsn_hit(k, 0.1, [0.0])
