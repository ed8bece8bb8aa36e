"""The Paley-Zygmund bound against published values, plain sums over pairs, interval arithmetic and frequencies."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chi, multivariate_normal, norm

from sslth.errors import InvalidInputError
from sslth.theory.claims.smallest_errors import draw_samples, smallest_errors
from sslth.theory.intervals import clopper_pearson
from sslth.theory.second_moment import enclose_gaussian, enclose_nsn_hit, paley_zygmund

ROOT = math.sqrt(10)


@pytest.mark.parametrize(
    ("law", "n", "d", "epsilon", "target", "published"),
    [
        ("gaussian", 20, 1, 0.01, 0.0, 0.848),
        ("gaussian", 20, 1, 0.01, ROOT, 0.606),
        ("gaussian", 40, 1, 1e-4, 0.0, 0.959),
        ("gaussian", 40, 1, 1e-4, ROOT, 0.786),
        ("nsn", 20, 2, 0.05, 0.0, 0.580),
        ("nsn", 20, 2, 0.05, ROOT / 2, 0.477),
        ("nsn", 20, 2, 0.05, [ROOT, 0.0], 0.390),
    ],
)
def test_known_values_for_subsets_of_ten(law, n, d, epsilon, target, published):
    found = paley_zygmund(law, n, d, 10, epsilon=epsilon, target=target)
    assert round(found.bound, 3) == published
    assert found.error <= 1e-5 * found.bound


def plain_gaussian(n: int, d: int, sizes: set[int], epsilon: float, target: list[float]) -> float:
    """E[Y]² / E[Y²] over all pairs of subsets, one by one, with SciPy's rectangle probabilities."""
    subsets = [s for size in sizes for s in itertools.combinations(range(n), size)]

    def hit(size: int) -> float:
        if size == 0:
            return float(all(abs(z) <= epsilon for z in target))
        return math.prod(norm.cdf((z + epsilon) / size**0.5) - norm.cdf((z - epsilon) / size**0.5) for z in target)

    def both(a: int, b: int, shared: int) -> float:
        if shared == 0:
            return hit(a) * hit(b)
        covariance = np.array([[a, shared], [shared, b]], dtype=float)
        return math.prod(
            multivariate_normal.cdf(
                [z + epsilon] * 2, cov=covariance, lower_limit=[z - epsilon] * 2, allow_singular=True, abseps=1e-9
            )
            for z in target
        )

    known: dict[tuple[int, int, int], float] = {}
    second = 0.0
    for a, b in itertools.product(subsets, repeat=2):
        key = (len(a), len(b), len(set(a) & set(b)))
        if key not in known:
            known[key] = both(*key)
        second += known[key]
    return sum(hit(len(s)) for s in subsets) ** 2 / second


@pytest.mark.parametrize(
    ("n", "k", "epsilon", "target"),
    [
        (6, 3, 0.3, [0.4]),
        (5, 2, 0.5, [0.2, -1.0]),
        (5, None, 0.4, [0.3]),
        (4, None, 0.6, [0.7, 0.1]),
        (4, 4, 1.0, [0.0]),
    ],
)
def test_it_is_the_sum_over_all_pairs(n, k, epsilon, target):
    sizes = set(range(n + 1)) if k is None else {k}
    expected = plain_gaussian(n, len(target), sizes, epsilon, target)
    found = paley_zygmund("gaussian", n, len(target), k, epsilon=epsilon, target=target)
    assert found.bound == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("d", "z"), [(1, 0.3), (3, 0.1)])
def test_single_nsn_rows_have_independent_hits(d, z):
    """k = 1: Y is binomial, so that E[Y]²/E[Y²] = n p / (1 + (n - 1) p), with p from SciPy's quadrature."""
    n, epsilon = 4, 0.2

    def hit(r: float) -> float:
        return (norm.cdf((z + epsilon) / r) - norm.cdf((z - epsilon) / r)) ** d

    p = (
        quad(lambda r: chi.pdf(r, 1) * hit(r), 0, 0.5, epsabs=1e-13)[0]
        + quad(lambda r: chi.pdf(r, 1) * hit(r), 0.5, 40)[0]
    )
    found = paley_zygmund("nsn", n, d, 1, epsilon=epsilon, target=z, tolerance=1e-7)
    assert found.bound == pytest.approx(n * p / (1 + (n - 1) * p), rel=1e-7)
    assert math.exp(found.log_expected) == pytest.approx(n * p, rel=1e-9)


@pytest.mark.parametrize("k", [2, None])
def test_nsn_moments_agree_with_counts(k):
    """E[Y] and E[Y²] against the counted subsets of drawn rows."""
    n, epsilon, z, d, draws = 4, 0.4, 0.3, 2, 400_000
    samples = draw_samples("nsn", np.random.default_rng(3), draws, n, d)
    counts = np.zeros(draws)
    for size in [k] if k else range(n + 1):
        for subset in itertools.combinations(range(n), size):
            counts += (np.abs(samples[:, list(subset)].sum(axis=1) - z) <= epsilon).all(axis=1)
    found = paley_zygmund("nsn", n, d, k, epsilon=epsilon, target=z)
    first, second = math.exp(found.log_expected), math.exp(2 * found.log_expected) / found.bound
    for values, exact in ((counts, first), (counts**2, second)):
        noise = 4.5 * values.std() / draws**0.5
        assert noise < 0.05 * exact
        assert values.mean() == pytest.approx(exact, abs=noise)


@pytest.mark.parametrize(
    ("n", "d", "k", "epsilon", "z"), [(12, 2, 6, 0.05, 0.5), (16, 1, 4, 1e-3, 2.0), (8, 3, None, 0.2, 0.2)]
)
def test_the_error_covers_what_a_finer_rule_changes(n, d, k, epsilon, z):
    fine = paley_zygmund("nsn", n, d, k, epsilon=epsilon, target=z, tolerance=1e-8)
    assert fine.error <= 1e-8 * fine.bound * 1.1
    for tolerance in (1e-2, 1e-4, 1e-6):
        found = paley_zygmund("nsn", n, d, k, epsilon=epsilon, target=z, tolerance=tolerance)
        assert abs(found.bound - fine.bound) <= found.error + fine.error
        assert found.error <= tolerance * found.bound


@pytest.mark.parametrize(
    ("n", "k", "epsilon", "target"), [(20, 10, 0.01, [0.0, 3.0, 0.0]), (300, 40, 1e-9, [2.0]), (9, 4, 30.0, [1.0])]
)
def test_gaussian_values_lie_in_proved_intervals(n, k, epsilon, target):
    pytest.importorskip("flint")
    low, high = enclose_gaussian(n, k, epsilon, target)
    found = paley_zygmund("gaussian", n, len(target), k, epsilon=epsilon, target=target)
    assert low <= high
    assert high - low < 1e-12 * high
    assert found.interval[0] <= low
    assert found.interval[1] >= high - 1e-15


@pytest.mark.parametrize(
    ("k", "epsilon", "target"), [(10, 0.05, [ROOT, 0.0]), (3, 1e-6, [0.5]), (25, 0.2, [1.0, 1.0, 1.0])]
)
def test_nsn_hits_lie_in_proved_intervals(k, epsilon, target):
    pytest.importorskip("flint")
    low, high = enclose_nsn_hit(k, epsilon, target)
    found = paley_zygmund("nsn", k, len(target), k, epsilon=epsilon, target=target)  # one subset: E[Y] is the hit
    assert low * (1 - 1e-9) <= math.exp(found.log_expected) <= high * (1 + 1e-9)
    assert found.bound == pytest.approx(math.exp(found.log_expected), rel=1e-5)


@pytest.mark.parametrize(
    ("law", "n", "d", "k", "epsilon", "z"),
    [
        ("gaussian", 12, 1, 6, 0.02, 1.0),
        ("gaussian", 14, 2, None, 0.1, 0.5),
        ("nsn", 12, 1, 6, 0.02, 1.0),
        ("nsn", 14, 2, None, 0.1, 0.5),
    ],
)
def test_it_bounds_the_frequency(law, n, d, k, epsilon, z):
    errors = smallest_errors(draw_samples(law, np.random.default_rng(5), 1000, n, d), [z] * d, k)
    hits = int((errors <= epsilon).sum())
    low, _ = clopper_pearson(hits, 1000, 0.9999)
    found = paley_zygmund(law, n, d, k, epsilon=epsilon, target=z)
    assert 0.05 < found.interval[1] <= low
    assert hits / 1000 <= math.exp(found.log_expected)


def test_signs_and_order_of_the_target_do_not_matter():
    one = paley_zygmund("nsn", 9, 3, 4, epsilon=0.2, target=[0.5, -1.0, 0.5])
    two = paley_zygmund("nsn", 9, 3, 4, epsilon=0.2, target=[-1.0, -0.5, 0.5])
    assert one == two


def test_the_empty_subset():
    assert paley_zygmund("nsn", 5, 2, 0, epsilon=0.1).bound == 1.0
    assert paley_zygmund("gaussian", 5, 2, 0, epsilon=0.1, target=1.0).bound == 0.0


def test_a_target_out_of_reach_has_a_bound_that_underflows():
    found = paley_zygmund("gaussian", 20, 2, 10, epsilon=0.01, target=1e3)
    assert found.bound == 0.0
    assert found.error < 1e-250


def test_many_dimensions_and_tiny_boxes_do_not_underflow():
    pytest.importorskip("flint")
    low, high = enclose_gaussian(30, 8, 1e-3, [0.5] * 60)  # hit probability 1e-230
    found = paley_zygmund("gaussian", 30, 60, 8, epsilon=1e-3, target=0.5)
    assert found.bound == pytest.approx((low + high) / 2, rel=1e-9)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"law": "uniform"}, "no second moment for the law 'uniform'"),
        ({"n": 0}, "n = 0 rows"),
        ({"k": 11}, "subsets of 11 rows do not exist"),
        ({"n": 100, "k": None}, "at most 2000 with a fixed k, 64 without"),
        ({"epsilon": 0.0}, "epsilon must be a positive number"),
        ({"target": [1.0, 2.0, 3.0]}, "the target must be 2 finite numbers"),
        ({"target": math.nan}, "the target must be 2 finite numbers"),
        ({"tolerance": 0.0}, "the tolerance of the bound"),
    ],
)
def test_bad_input_is_one_sentence(change, text):
    given = {"law": "gaussian", "n": 10, "d": 2, "k": 5, "epsilon": 0.1} | change
    with pytest.raises(InvalidInputError, match=text):
        paley_zygmund(given.pop("law"), given.pop("n"), given.pop("d"), given.pop("k"), **given)
