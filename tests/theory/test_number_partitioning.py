"""Number partitioning: optima by enumeration, differencing against the solver and by hand."""

import itertools
import math

import numpy as np

import sslth
from sslth.subset_sum.solvers.differencing import Differencing
from sslth.theory.number_partitioning import as_integers, draw_numbers, karmarkar_karp, log_of, optima


def test_optima_are_those_of_all_signs():
    numbers = np.random.default_rng(0).random((20, 9))
    signs = np.array(list(itertools.product([-1, 1], repeat=9)))
    assert np.allclose(optima(numbers), np.abs(numbers @ signs.T).min(axis=1), rtol=0, atol=1e-14)


def test_differencing_by_hand_and_small_cases():
    assert karmarkar_karp([]) == 0
    assert karmarkar_karp([5]) == 5
    assert karmarkar_karp([4, 5, 6, 7, 8]) == 2  # 8-7=1; 6-5=1; 4-1=3; 3-1=2
    assert karmarkar_karp([3, 3, 3]) == 3


def test_differencing_agrees_with_the_solver():
    # restarts=0: the solver stops after its first answer; its target, half the sum, is one more number near 0
    numbers = np.random.default_rng(1).random((5, 60))
    for row in numbers:
        ours = math.ldexp(karmarkar_karp(as_integers(row)), -53)
        solver = Differencing(restarts=0)
        theirs = 2 * sslth.solve(sslth.Instance(row[:, None], [row.sum() / 2]), solver=solver, time_limit=None).error
        assert abs(ours - theirs) < 1e-13


def test_numbers_have_their_length_and_floats_become_integers():
    drawn = draw_numbers(2000, 64, np.random.default_rng(2))
    assert max(drawn).bit_length() == 64
    assert abs(np.mean([number / 2**64 for number in drawn]) - 0.5) < 5 * math.sqrt(1 / 12 / 2000)
    assert as_integers(np.array([0.5, 2.0**-53])) == [2**52, 1]
    assert log_of(0, 64) < log_of(1, 64) == -64 * math.log(2.0)
