"""Shifted images and classes left out: deterministic, in range, and what they say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from sslth.data.shifted import blurred, noisy, open_set, rotated, shuffled_pixels
from sslth.data.splits import Examples, Splits, digit_splits
from sslth.errors import InvalidInputError

SHIFTS: dict[str, Callable[[Examples, int], Examples]] = {
    "rotated": lambda e, seed: rotated(e, seed=seed),
    "blurred": lambda e, _: blurred(e),
    "noisy": lambda e, seed: noisy(e, seed=seed),
    "shuffled": lambda e, seed: shuffled_pixels(e, seed=seed),
}


@pytest.fixture(scope="module")
def digits() -> Splits:
    return digit_splits()


@pytest.mark.parametrize("name", SHIFTS)
def test_shifts_keep_form_range_and_labels(name: str, digits: Splits) -> None:
    part, shift = digits.test, SHIFTS[name]
    before = part.inputs.clone()
    moved = shift(part, 0)
    assert torch.equal(part.inputs, before)
    assert torch.equal(moved.labels, part.labels)
    assert moved.inputs.shape == part.inputs.shape
    assert moved.inputs.dtype == part.inputs.dtype
    assert 0.0 <= float(moved.inputs.min()) <= float(moved.inputs.max()) <= 1.0
    changed = (moved.inputs - part.inputs).abs().flatten(1).mean(1)
    assert float(changed.min()) > 0.01
    assert torch.equal(shift(part, 0).inputs, moved.inputs)
    assert torch.equal(shift(part, 1).inputs, moved.inputs) == (name == "blurred")


def test_a_quarter_turn_is_exact(digits: Splits) -> None:
    turned = rotated(digits.test, 90.0, 90.0).inputs
    ways = [torch.rot90(digits.test.inputs, k, (2, 3)) for k in (1, -1)]
    gaps = torch.stack([(turned - way).abs().flatten(1).amax(1) for way in ways])
    assert float(gaps.min(0).values.max()) < 1e-5
    assert 0.35 < float((gaps[0] < gaps[1]).float().mean()) < 0.65  # either way round; 360 images, 5 deviations


def test_blur_spreads_what_there_is() -> None:
    dot = torch.zeros(1, 1, 9, 9)
    dot[0, 0, 4, 4] = 1.0
    found = blurred(Examples(dot, torch.tensor([0])), 0.8).inputs[0, 0]
    assert float(found.sum()) == pytest.approx(1.0, abs=1e-4)
    assert torch.allclose(found, found.T)
    assert float(found[4, 5] / found[4, 4]) == pytest.approx(np.exp(-0.5 / 0.64), rel=1e-4)


def test_noise_has_the_deviation_asked_for() -> None:
    grey = Examples(torch.full((100, 1, 8, 8), 0.5), torch.zeros(100, dtype=torch.int64))
    grey.inputs[0, 0, 0, :2] = torch.tensor([-5.0, 5.0])  # so that nothing is cut
    found = noisy(grey, 0.3, seed=1).inputs[1:]
    assert float(found.std()) == pytest.approx(0.3, rel=0.05)
    assert float(found.mean()) == pytest.approx(0.5, abs=0.02)


def test_shuffling_moves_whole_pixels() -> None:
    red = torch.arange(32.0).reshape(2, 1, 4, 4)
    found = shuffled_pixels(Examples(torch.cat((red, red + 100), 1), torch.tensor([0, 1]))).inputs
    assert torch.equal(found[:, 1], found[:, 0] + 100)
    assert torch.equal(found[:, 0].flatten(1).sort(1).values, red.flatten(1))
    assert not torch.equal(found[0, 0], found[1, 0] - 16)  # an order of its own for each image


def test_half_of_the_classes_are_never_seen(digits: Splits) -> None:
    found = open_set(digits, seed=4)
    assert len(found.known) == len(found.left_out) == found.splits.classes == 5
    assert sorted(found.known + found.left_out) == list(range(10))
    assert set(found.novel.labels.tolist()) == set(found.left_out)
    for (_, part), (_, original) in zip(found.splits.parts(), digits.parts(), strict=True):
        rows = torch.isin(original.labels, torch.tensor(found.known))
        assert torch.equal(part.inputs, original.inputs[rows])
        assert torch.equal(torch.tensor(found.known)[part.labels], original.labels[rows])
    assert len(found.novel) + len(found.splits.test) == len(digits.test)
    assert open_set(digits, seed=4).known == found.known
    assert len({open_set(digits, seed=seed).known for seed in range(6)}) > 1


def test_classes_by_name(digits: Splits) -> None:
    found = open_set(digits, [9, 3, 3])
    assert found.left_out == (3, 9)
    assert found.known == (0, 1, 2, 4, 5, 6, 7, 8)


def test_shifts_and_classes_that_cannot_be(digits: Splits) -> None:
    for gone in ([], [10], [-1], list(range(10))):
        with pytest.raises(InvalidInputError, match="cannot leave out"):
            open_set(digits, gone)
    flat = Examples(torch.zeros(2, 64), torch.tensor([0, 1]))
    for shift in SHIFTS.values():
        with pytest.raises(InvalidInputError, match="images"):
            shift(flat, 0)
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(InvalidInputError, match="deviation is"):
            noisy(digits.test, bad)
        with pytest.raises(InvalidInputError, match="deviation is"):
            blurred(digits.test, bad)
    rare = Splits(
        Examples(torch.zeros(2, 1), torch.tensor([0, 1])), *2 * (Examples(torch.zeros(1, 1), torch.tensor([0])),), 2
    )
    with pytest.raises(InvalidInputError, match="the test part has no example"):
        open_set(rare, [1])
    with pytest.raises(InvalidInputError, match="validation has no example"):
        open_set(rare, [0])
