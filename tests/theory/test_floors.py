"""The floor against counts: at ε = floor, the number of subsets within ε is one on average."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from oracle import count_within, rounded_up, subset_errors
from scipy.stats import multivariate_normal, norm

from sslth.errors import InvalidInputError
from sslth.subset_sum.instance import Instance
from sslth.theory import floors, gaussian_box, interval_probability, uniform_sums
from sslth.theory.floors import first_moment_floor

LAWS = ["gaussian", "uniform", "nsn"]


def draw(law: str, rng: np.random.Generator, m: int, n: int, d: int) -> np.ndarray:
    match law:
        case "gaussian":
            return rng.standard_normal((m, n, d))
        case "uniform":
            return rng.uniform(-1, 1, (m, n, d))
        case _:
            return rng.standard_normal((m, n, 1)) * rng.standard_normal((m, n, d))


def masks_of(n: int, sizes: dict[str, int]) -> np.ndarray:
    masks = np.array(list(itertools.product([0.0, 1.0], repeat=n)))
    size = masks.sum(axis=1)
    if "cardinality" in sizes:
        return masks[size == sizes["cardinality"]]
    return masks[size <= sizes.get("max_cardinality", n)]


# ----------------------------------------------------------------------------------------------- with a law


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(
    ("target", "sizes"),
    [
        ([0.5], {}),
        ([0.3, -0.9], {}),
        ([3.0, -1.0], {}),
        ([0.7], {"cardinality": 2}),
        ([0.0, 0.0], {"cardinality": 5}),
        ([0.0, 0.4], {"cardinality": 1}),
        ([0.8, 0.1, -0.6], {"max_cardinality": 4}),
        ([0.5, 2.5, 0.0, -1.0], {"cardinality": 6}),
    ],
)
def test_with_a_law_the_expected_count_is_one(law, target, sizes):
    n, m = 12, 1200
    floor = first_moment_floor(Instance(np.ones((n, len(target))), target, **sizes), law)
    samples = draw(law, np.random.default_rng(5), m, n, len(target))
    masks = masks_of(n, sizes)
    errors = np.stack([np.abs(masks @ rows - np.array(target)).max(axis=1) for rows in samples])
    counts = (errors <= floor).sum(axis=1)
    assert 0.0 < floor < math.inf
    assert abs(counts.mean() - 1.0) <= 4.0 * counts.std() / math.sqrt(m)
    assert counts.std() / math.sqrt(m) < 0.1


def test_the_gaussian_law_by_hand():
    # one row of d = 2 out of 50, target 0: 50 (2 Φ(ε) - 1)² = 1
    floor = first_moment_floor(Instance(np.ones((50, 2)), [0.0, 0.0], cardinality=1), "gaussian")
    assert 50 * (2 * norm.cdf(floor) - 1) ** 2 == pytest.approx(1.0, rel=1e-8)


@pytest.mark.parametrize("law", LAWS)
def test_a_law_does_not_look_at_the_samples_nor_at_signs(law):
    rng = np.random.default_rng(1)
    one = first_moment_floor(Instance(rng.standard_normal((30, 3)), [0.1, -0.2, 0.3]), law)
    two = first_moment_floor(Instance(np.zeros((30, 3)), [0.1, 0.2, -0.3]), law)
    assert one == two


def test_sizes_summed_with_steps_give_the_same_sum():
    n = 40_000
    k = np.arange(1, n + 1, dtype=float)
    for power in (0.5, 72.0):
        sizes, log_weights = floors._sizes(n, 1, n)
        assert sizes.size < n / 5
        exact = floors._log_sum(floors._log_binomial(n, k) - power * np.log(k))
        assert floors._log_sum(log_weights - power * np.log(sizes)) == pytest.approx(exact, abs=1e-6)


def irwin_hall(k: int, x: Fraction) -> Fraction:
    """P(sum of k U[-1, 1] <= x), by the alternating sum."""
    y = (x + k) / 2
    terms = ((-1) ** j * math.comb(k, j) * (y - j) ** k for j in range(k + 1) if y > j)
    return sum(terms, Fraction(0)) / math.factorial(k)


@pytest.mark.parametrize("epsilon", [1e-6, 1e-3, 0.1, 1.0, 7.5, 60.0])
def test_uniform_sums_have_their_exact_law(epsilon):
    targets = np.array([0.0, 0.25, 1.0, 5.5, 17.0])
    logs = uniform_sums.log_irwin_hall(targets, epsilon, 40)
    for k, (j, z) in itertools.product((1, 2, 3, 7, 20, 40), enumerate(targets)):
        exact = irwin_hall(k, Fraction(z) + Fraction(epsilon)) - irwin_hall(k, Fraction(z) - Fraction(epsilon))
        got = math.exp(logs[k - 1, j])
        assert got == pytest.approx(float(exact), rel=2e-3 if abs(z - k) <= epsilon else 1e-5, abs=1e-300)


@pytest.mark.parametrize("epsilon", [1e-6, 0.3, 5.0, 40.0])
def test_many_uniforms_are_nearly_a_tilted_normal(epsilon):
    targets = np.array([0.0, 3.0, 20.0, 60.0])
    exact = uniform_sums.log_irwin_hall(targets, epsilon, 128)[127]
    assert uniform_sums.log_tilted_normal(targets, epsilon, np.array([[128.0]]))[0] == pytest.approx(exact, abs=5e-3)


# ------------------------------------------------------------------------------------------ given the samples


@pytest.mark.parametrize("law", ["gaussian", "uniform"])
@pytest.mark.parametrize(
    ("target", "sizes"),
    [
        ([0.5], {}),
        ([0.3, -0.9], {}),
        ([0.7, 0.2], {"cardinality": 6}),
        ([0.8, 0.1], {"max_cardinality": 5}),
        ([0.8, 0.1, -0.6, 0.4], {"cardinality": 7}),
    ],
)
def test_given_the_samples_the_mean_count_is_near_one(law, target, sizes):
    n, m = 14, 400
    masks = masks_of(n, sizes)
    counts = []
    for rows in draw(law, np.random.default_rng(6), m, n, len(target)):
        floor = first_moment_floor(Instance(rows, target, **sizes))
        counts.append(int((np.abs(masks @ rows - np.array(target)).max(axis=1) <= floor).sum()))
    assert np.mean(counts) == pytest.approx(1.0, abs=0.15 + 3 * np.std(counts) / math.sqrt(m))
    assert 0.6 < np.mean(counts) < 1.5


def test_the_moments_are_those_of_the_random_subset(monkeypatch):
    seen = []
    original = gaussian_box.GaussianBox.of
    monkeypatch.setattr(gaussian_box.GaussianBox, "of", lambda m, c: seen.append((m, c)) or original(m, c))
    rows = np.random.default_rng(7).uniform(-1, 2, (8, 3))
    for sizes in ({}, {"cardinality": 3}, {"max_cardinality": 4}):
        first_moment_floor(Instance(rows, [1.0, 0.5, 0.0], **sizes))
        masks = masks_of(8, sizes)
        sums = masks[(masks.sum(axis=1) > 0) & (masks.sum(axis=1) < 8)] @ rows
        unit = 2.0 ** math.frexp(np.abs(rows).max())[1]
        assert seen[-1][0] * unit == pytest.approx(sums.mean(axis=0) - [1.0, 0.5, 0.0])
        assert seen[-1][1] * unit**2 == pytest.approx(np.cov(sums.T, bias=True))


@pytest.mark.parametrize("epsilon", [1e-3, 0.1, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("d", [1, 2, 4])
def test_box_probabilities_against_scipy(d, epsilon):
    rng = np.random.default_rng(d)
    factor = rng.standard_normal((d, d + 2))
    covariance, mean = factor @ factor.T / d, rng.standard_normal(d) / 2
    box = multivariate_normal(mean, covariance, seed=1)
    exact = math.log(box.cdf(np.full(d, epsilon), lower_limit=np.full(d, -epsilon)))
    assert gaussian_box.log_box(mean, covariance, epsilon) == pytest.approx(exact, abs=0.01)


def test_independent_coordinates_multiply():
    mean, deviation = np.array([0.0, 1.0, -30.0, 2.0]), np.array([1.0, 0.01, 2.0, 1e3])
    for epsilon in (1e-7, 0.1, 3.0, 100.0):
        exact = interval_probability.log_interval(np.abs(mean) / deviation, epsilon / deviation).sum()
        assert gaussian_box.log_box(mean, np.diag(deviation**2), epsilon) == pytest.approx(exact, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize(("rank", "d"), [(12, 20), (12, 100), (3, 30)])
def test_singular_covariances_against_sampling(rank, d):
    rng = np.random.default_rng(rank)
    factor, mean = rng.standard_normal((d, rank)), rng.standard_normal(d) / 2
    norms = np.abs(rng.standard_normal((100_000, rank)) @ factor.T + mean).max(axis=1)
    box = gaussian_box.GaussianBox.of(mean, factor @ factor.T)
    assert box.rank == rank
    assert box.smallest < norms.min()
    for share in (1e-3, 1e-2, 0.3):
        assert box.log_probability(np.quantile(norms, share)) == pytest.approx(math.log(share), abs=0.35)


def test_far_tails_and_narrow_intervals_keep_their_digits():
    def log_mass(centre, half):
        return float(interval_probability.log_interval(np.array([centre]), np.array([half]))[0])

    for centre, half in ((0.0, 1e-5), (3.0, 9e-5), (3.0, 1.1e-4), (0.3, 2.0)):
        assert log_mass(centre, half) == pytest.approx(math.log(norm.cdf(half - centre) - norm.cdf(-half - centre)))
    assert log_mass(1e4, 1.0) == pytest.approx(norm.logsf(1e4 - 1.0), rel=1e-12)
    assert log_mass(0.0, 1e-280) == pytest.approx(math.log(2e-280) - math.log(2 * math.pi) / 2)


# ------------------------------------------------------------------------------------------------ everywhere


def instance_of(n: int, d: int, seed: int = 0, **sizes) -> Instance:
    rng = np.random.default_rng(seed)
    return Instance(rng.standard_normal((n, d)), np.linspace(-1, 1, d) + 0.3, **sizes)


@pytest.mark.parametrize("law", [None, *LAWS])
def test_more_rows_lower_the_floor(law):
    for d in (1, 3, 9):
        values = [first_moment_floor(instance_of(n, d), law) for n in (12, 24, 48, 96)]
        assert values == sorted(values, reverse=True)
        assert values[-1] > 0.0


@pytest.mark.parametrize("law", [None, *LAWS])
def test_more_allowed_rows_lower_the_floor(law):
    limited = [first_moment_floor(instance_of(30, 3, max_cardinality=k), law) for k in (2, 4, 8, 15, 30)]
    assert limited == sorted(limited, reverse=True)
    assert limited[-1] == first_moment_floor(instance_of(30, 3), law)
    fixed = [first_moment_floor(instance_of(30, 3, cardinality=k), law) for k in (1, 3, 8, 15)]
    assert fixed == sorted(fixed, reverse=True)


@pytest.mark.parametrize("law", [None, *LAWS])
def test_impossible_sizes_have_no_floor(law):
    assert first_moment_floor(instance_of(5, 2, cardinality=6), law) == math.inf
    assert first_moment_floor(instance_of(5, 2, cardinality=3, max_cardinality=2), law) == math.inf


@pytest.mark.parametrize("law", [None, *LAWS])
@pytest.mark.parametrize("n", [1, 2, 10, 2000])
def test_the_empty_subset_always_fits_target_zero(law, n):
    instance = Instance(np.random.default_rng(n).standard_normal((n, 2)), [0.0, 0.0])
    assert first_moment_floor(instance, law) == 0.0
    assert first_moment_floor(Instance(instance.samples, [0.5, -0.25], max_cardinality=0), law) == 0.5


def test_one_subset_is_its_own_floor():
    instance = instance_of(7, 3, cardinality=7)
    assert first_moment_floor(instance) == pytest.approx(np.abs(instance.samples.sum(axis=0) - instance.target).max())
    for law in LAWS:
        assert first_moment_floor(instance, law) == math.inf


@pytest.mark.parametrize("sizes", [{}, {"cardinality": 6}, {"max_cardinality": 5}])
def test_the_floor_of_few_rows_is_near_the_best_error(sizes):
    ratios = []
    for seed in range(20):
        instance = instance_of(12, 2, seed, **sizes)
        best = min(error for error, _ in subset_errors(instance.samples, instance.target, *sizes_of(instance)))
        ratios.append(first_moment_floor(instance) / rounded_up(best))
    assert 0.3 < np.exp(np.median(np.log(ratios))) < 3.0
    count = count_within(instance.samples, instance.target, first_moment_floor(instance), *sizes_of(instance))
    assert count <= 12


def sizes_of(instance: Instance) -> tuple[int | None, int | None]:
    return instance.cardinality, instance.max_cardinality


@pytest.mark.parametrize("exponent", [-900, -1, 1, 900])
@pytest.mark.parametrize(("n", "d"), [(12, 1), (20, 4), (8, 20), (100, 9)])
def test_scaling_everything_scales_the_floor(n, d, exponent):
    for sizes in ({}, {"cardinality": n // 2}):
        instance = instance_of(n, d, **sizes)
        factor = 2.0**exponent
        scaled = Instance(instance.samples * factor, instance.target * factor, **sizes)
        assert first_moment_floor(scaled) == first_moment_floor(instance) * factor


@pytest.mark.parametrize(("n", "d"), [(5, 6), (12, 20), (12, 200), (30, 60)])
def test_more_coordinates_than_rows_give_a_sane_floor(n, d):
    instance = instance_of(n, d, cardinality=n // 2)
    floor = first_moment_floor(instance)
    masks = masks_of(12, {})[:4000, :n] if n <= 12 else np.random.default_rng(0).random((4000, n)) < 0.5
    typical = np.median(np.abs(masks @ instance.samples - instance.target).max(axis=1))
    assert 0.1 * typical < floor < 1.5 * typical


@pytest.mark.parametrize("column", ["zero", "constant", "copy"])
def test_columns_without_variance_of_their_own(column):
    instance = instance_of(20, 2, cardinality=10)
    extra = {"zero": np.zeros(20), "constant": np.full(20, 0.5), "copy": instance.samples[:, 0]}[column]
    samples = np.column_stack([instance.samples, extra])
    alone = first_moment_floor(instance)
    agreeing = {"zero": 0.0, "constant": 5.0, "copy": instance.target[0]}[column]
    same = first_moment_floor(Instance(samples, [*instance.target, agreeing], cardinality=10))
    assert same == pytest.approx(alone, rel=0.15 if column == "copy" else 1e-6)
    off = first_moment_floor(Instance(samples, [*instance.target, agreeing + 2.0], cardinality=10))
    assert off >= (1.0 if column == "copy" else 2.0)
    assert off < 3.0


def test_equal_rows_have_the_error_of_their_multiples():
    # every subset of size 4 has the same sum
    assert first_moment_floor(Instance(np.ones((9, 2)), [4.0, 4.0], cardinality=4)) == 0.0
    assert first_moment_floor(Instance(np.ones((9, 2)), [4.5, 4.0], cardinality=4)) == pytest.approx(0.5)


@pytest.mark.parametrize("law", [None, *LAWS])
def test_two_to_the_thousands_neither_overflows_nor_fails(law):
    assert 0.0 < first_moment_floor(instance_of(1000, 1), law) < 1e-290
    assert first_moment_floor(instance_of(3000, 1), law) == 0.0
    assert first_moment_floor(instance_of(3000, 9), law) == pytest.approx(2.0**-333, rel=1e3)


@pytest.mark.parametrize("law", [None, *LAWS])
def test_a_layer_of_20000_rows_has_a_floor(law):
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((20_000, 1)) * rng.standard_normal((20_000, 144))
    instance = Instance(samples, rng.uniform(-1, 1, 144))
    floor = first_moment_floor(instance, law)
    assert math.log(floor) == pytest.approx(math.log(2e-40), abs=1.0)


@pytest.mark.parametrize("law", ["normal", "", "NSN", 3])
def test_an_unknown_law_is_refused(law):
    with pytest.raises(InvalidInputError, match="gaussian, nsn, uniform"):
        first_moment_floor(instance_of(5, 2), law)


def test_a_floor_is_the_same_twice_and_of_any_row_order():
    instance = instance_of(40, 5)
    assert first_moment_floor(instance) == first_moment_floor(instance)
    turned = Instance(instance.samples[::-1], instance.target)
    assert first_moment_floor(turned) == pytest.approx(first_moment_floor(instance), rel=1e-9)
