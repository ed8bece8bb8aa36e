"""Sign pursuit: the plain twin of its kernel, and what its front end promises to the solvers that start from it."""

from __future__ import annotations

import numpy as np
import pytest

import sslth
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.kernels.sign_pursuit import sign_pass
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solvers.sign_pursuit import SignPursuit, decide_large_rows


def nsn(n: int, d: int, seed: int, **sizes: int) -> Instance:
    rng = np.random.default_rng(seed)
    return Instance(rng.standard_normal((n, 1)) * rng.standard_normal((n, d)), rng.uniform(-1, 1, d), **sizes)


@pytest.mark.parametrize("d", [1, 7, 8, 17])
def test_a_sign_is_that_of_the_overlap(d: int) -> None:
    instance = nsn(60, d, 1)
    order = np.random.default_rng(2).permutation(60)
    residual = instance.target - 0.5 * instance.samples.sum(axis=0)
    plain, keep = residual.copy(), np.zeros(60, dtype=np.bool_)
    sign_pass(instance.samples, order, residual, keep, 0.5, 0.0, 0.0)
    for row in order:
        kept = plain @ instance.samples[row] > 0
        assert keep[row] == kept
        plain += (-0.5 if kept else 0.5) * instance.samples[row]
    assert np.allclose(residual, plain, atol=1e-12)
    assert np.allclose(residual, instance.target - instance.samples[keep].sum(axis=0), atol=1e-12)


def test_a_share_and_a_count_enter_the_choice() -> None:
    instance, share, weight = nsn(50, 3, 3), 0.2, 0.7
    residual = instance.target - share * instance.samples.sum(axis=0)
    plain, keep = residual.copy(), np.zeros(50, dtype=np.bool_)
    count = sign_pass(instance.samples, np.arange(50), residual, keep, share, 0.0, weight)
    plain_count = 0.0
    for row in range(50):
        y = instance.samples[row]
        scores = [
            np.sum((plain + step * y) ** 2) + weight * (y @ y) * (plain_count - step) ** 2
            for step in (share, share - 1.0)
        ]
        step = share - 1.0 if scores[1] < scores[0] else share
        assert keep[row] == (step < 0.0)
        plain += step * y
        plain_count -= step
    assert count == pytest.approx(plain_count)
    assert count == pytest.approx(keep.sum() - share * 50)


@pytest.mark.parametrize("size", [None, 40, 130])
@pytest.mark.parametrize("tail", [0, 30, 200])
def test_the_front_leaves_the_smallest_rows_and_their_residual(size: int | None, tail: int) -> None:
    instance = nsn(200, 5, 4)
    front = decide_large_rows(instance, Limits(), tail, size)
    lengths = np.linalg.norm(instance.samples, axis=1)
    assert front.tail.tolist() == np.argsort(-lengths, kind="stable")[200 - tail :].tolist()
    assert not front.keep[front.tail].any()
    share = 0.5 if size is None else size / 200
    expected = instance.target - instance.samples[front.keep].sum(axis=0) - share * instance.samples[front.tail].sum(0)
    assert np.allclose(front.residual, expected, atol=1e-11)
    assert front.wanted == (None if size is None else size - front.keep.sum())
    signs = np.random.default_rng(5).random(tail) < 0.5
    front.settle(signs)
    assert np.allclose(front.residual, instance.target - instance.samples[front.keep].sum(axis=0), atol=1e-11)


def test_rows_go_from_large_to_small() -> None:
    """Against the order the residual could not end as small as the smallest rows are."""
    instance = nsn(4000, 20, 6)
    right = sslth.solve(instance, "sign_pursuit").error
    order = np.argsort(np.linalg.norm(instance.samples, axis=1))
    wrong = sslth.solve(Instance(instance.samples[order], instance.target), SignPursuit(presorted=True, flips=0)).error
    assert right < 0.1
    assert right < 0.2 * wrong


@pytest.mark.needs_jit
def test_the_length_of_the_target_does_not_matter() -> None:
    """The findings: nearly free up to 85 % of the largest reachable length, .32 n sqrt(3 / d) a coordinate."""
    errors = []
    for gain in (1.0, 0.5 * 0.32 * 8000 * np.sqrt(3 / 48), 0.8 * 0.32 * 8000 * np.sqrt(3 / 48)):
        drawn = sslth.draw_instance("nsn", n=8000, d=48, seed=1)
        errors.append(sslth.solve(Instance(drawn.samples, gain * drawn.target), "sign_pursuit").error)
    assert max(errors) < 3 * min(errors)
    assert max(errors) < 5 * 48**1.5 / 8000


def test_without_time_nothing_is_decided() -> None:
    outcome = SignPursuit()(nsn(100, 4, 7), Limits(time_limit=0.0))
    assert outcome.stopped_by == "time"
    assert outcome.subset is not None
    assert outcome.subset.size == 0


@pytest.mark.parametrize("work", [1, 50, 99])
def test_work_that_ends_within_the_front_leaves_a_valid_subset(work: int) -> None:
    instance = nsn(100, 4, 8)
    front = decide_large_rows(instance, Limits(max_work=work), 10, None)
    if work < 90:
        assert (front.work, front.stopped, front.tail.size) == (work, "work", 0)
    assert np.allclose(front.residual + instance.samples[front.keep].sum(0), instance.target - 0.5 * instance.samples[
        front.tail].sum(0))  # fmt: skip


def test_l2_is_the_length_of_the_residual() -> None:
    instance = nsn(300, 6, 9)
    solution = sslth.solve(instance, "sign_pursuit", norm="l2")
    assert solution.error == pytest.approx(np.linalg.norm(instance.samples[solution.mask].sum(0) - instance.target))
