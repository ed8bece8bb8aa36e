"""Letters on the digits' grid and grey scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sslth.data.letters import FONTS, LETTERS, draw_letter, letters
from sslth.data.splits import digit_splits
from sslth.errors import InvalidInputError


def test_letters_have_the_digits_form() -> None:
    found, digits = letters(60), digit_splits().test.inputs
    assert found.inputs.shape[1:] == digits.shape[1:]
    assert found.inputs.dtype == digits.dtype
    grey = set(digits.unique().tolist())
    assert len(grey) == 17
    assert set(found.inputs.unique().tolist()) <= grey
    # about as much ink as digits have, and some dark pixel in every letter
    ratio = float(found.inputs.mean() / digits.mean())
    assert 0.75 < ratio < 1.33
    assert float(found.inputs.flatten(1).amax(1).min()) >= 0.75


def test_a_seed_draws_the_same_letters() -> None:
    one, other = letters(20, seed=5), letters(20, seed=5)
    assert torch.equal(one.inputs, other.inputs)
    assert torch.equal(one.labels, other.labels)
    assert not torch.equal(one.inputs, letters(20, seed=6).inputs)
    assert torch.equal(letters(7, seed=5, alphabet="A").labels, torch.zeros(7, dtype=torch.int64))


def test_a_letter_stands_upright_and_keeps_its_holes() -> None:
    square = draw_letter("L")
    assert square[:, 0].sum() + square[:, 1].sum() + square[:, 2].sum() > square[:, 5:].sum()  # the stem is left
    assert square[-1].sum() > 2 * square[0].sum()  # the foot is below
    ring = draw_letter("O", "DejaVuSans-Bold")
    assert ring[3:5, 3:5].sum() < 1.0 < ring[0, 3:5].sum()
    stretched = draw_letter("L", size=(0.5, 1.0))
    assert stretched[:, :2].sum() == stretched[:, 6:].sum() == 0


def test_slant_and_turn() -> None:
    stem, leaning = draw_letter("I"), draw_letter("I", slant=0.4)
    columns = np.arange(8)

    def middle(row: np.ndarray) -> float:
        return float((row * columns).sum() / row.sum())

    assert middle(stem[0]) == pytest.approx(middle(stem[-1]))
    assert middle(leaning[0]) > middle(leaning[-1]) + 1.0
    lying = draw_letter("I", turn=np.pi / 2)
    assert np.allclose(lying, np.rot90(stem), atol=0.26)


@pytest.mark.parametrize("font", FONTS)
def test_every_font_has_every_letter(font: str) -> None:
    seen = {draw_letter(letter, font).tobytes() for letter in LETTERS}
    assert len(seen) == len(LETTERS)


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(InvalidInputError, match="cannot draw 0 letters"):
        letters(0)
    with pytest.raises(InvalidInputError, match="cannot draw 3 letters of ''"):
        letters(3, alphabet="")
    with pytest.raises(InvalidInputError, match="' ' has no outline"):
        draw_letter(" ")
    with pytest.raises(InvalidInputError, match="no font 'Comic'"):
        draw_letter("A", "Comic")
