"""Folders of images: classes by folder, parts by folder, and images that cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sslth.data.image_folder import load_image_folder
from sslth.data.load import load_splits
from sslth.errors import InvalidInputError


def write_images(
    folder: Path, count: int, value: int, *, mode: str = "L", shape: tuple[int, int] = (5, 4), end: str = "png"
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.full(shape if mode == "L" else (*shape, 3), value + number, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.{end}")


def test_a_folder_of_classes_is_split_in_three(tmp_path: Path) -> None:
    write_images(tmp_path / "cat", 25, 0)
    write_images(tmp_path / "ant", 25, 200)
    (tmp_path / "ant" / "notes.txt").write_text("no image")
    (tmp_path / ".hidden").mkdir()
    splits = load_splits(str(tmp_path))
    assert [len(part) for _, part in splits.parts()] == [32, 8, 10]
    assert splits.classes == 2
    for _, part in splits.parts():
        assert part.inputs.shape[1:] == (1, 5, 4)
        assert torch.equal(part.inputs.amax((1, 2, 3)) > 0.5, part.labels == 0)  # ant comes first
    values = torch.cat([part.inputs[:, 0, 0, 0] for _, part in splits.parts()])
    expected = sorted([*range(25), *range(200, 225)])
    assert sorted((values * 255).round().int().tolist()) == expected


def test_parts_of_their_own(tmp_path: Path) -> None:
    for part, count in (("train", 10), ("test", 3)):
        write_images(tmp_path / part / "a", count, 10, mode="RGB")
        write_images(tmp_path / part / "b", count, 100)  # grey among coloured ones
    splits = load_image_folder(tmp_path, validation=0.2)
    assert [len(part) for _, part in splits.parts()] == [16, 4, 6]
    assert splits.train.inputs.shape[1:] == (3, 5, 4)
    assert torch.equal(splits.test.labels, torch.tensor([0, 0, 0, 1, 1, 1]))
    write_images(tmp_path / "val" / "b", 2, 100)  # need not have every class
    splits = load_image_folder(tmp_path)
    assert [len(part) for _, part in splits.parts()] == [20, 2, 6]
    assert splits.validation.labels.tolist() == [1, 1]
    assert splits.classes == 2


def test_sizes_must_agree_or_are_made_to(tmp_path: Path) -> None:
    write_images(tmp_path / "a", 10, 10)
    write_images(tmp_path / "b", 10, 100, shape=(6, 4))
    with pytest.raises(InvalidInputError, match=r"6 x 4 pixels, .*5 x 4; resize them, or"):
        load_image_folder(tmp_path)
    splits = load_image_folder(tmp_path, size=(3, 2))
    assert splits.train.inputs.shape[1:] == (1, 3, 2)
    assert float((splits.train.inputs[splits.train.labels == 1] * 255).min()) == pytest.approx(100, abs=10)
    with pytest.raises(InvalidInputError, match="size is"):
        load_image_folder(tmp_path, size=(0, 2))


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_damaged_images_are_named(damage: str, tmp_path: Path) -> None:
    write_images(tmp_path / "a", 6, 10, shape=(30, 30))
    write_images(tmp_path / "b", 6, 100, shape=(30, 30))
    path = tmp_path / "b" / "03.png"
    whole = path.read_bytes()
    path.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"not an image"}[damage])
    with pytest.raises(InvalidInputError, match=r"cannot read .*b/03\.png") as caught:
        load_image_folder(tmp_path)
    assert "\n" not in str(caught.value)


def test_images_of_no_class_and_classes_of_no_image(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no folder"):
        load_image_folder(tmp_path / "nowhere")
    with pytest.raises(InvalidInputError, match="0 folders of classes"):
        load_image_folder(tmp_path)
    write_images(tmp_path / "a", 6, 10)
    with pytest.raises(InvalidInputError, match="1 folders of classes"):
        load_image_folder(tmp_path)
    (tmp_path / "b").mkdir()
    with pytest.raises(InvalidInputError, match="holds no image"):
        load_image_folder(tmp_path)
    write_images(tmp_path / "b", 1, 10)
    with pytest.raises(InvalidInputError, match="cannot split"):
        load_image_folder(tmp_path)
    write_images(tmp_path, 1, 10)
    with pytest.raises(InvalidInputError, match=r"00\.png has no class"):
        load_image_folder(tmp_path)


def test_parts_with_classes_that_training_lacks(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_images(tmp_path / "train" / name, 5, 10)
    with pytest.raises(InvalidInputError, match="no folder test"):
        load_image_folder(tmp_path)
    for name in ("a", "c"):
        write_images(tmp_path / "test" / name, 5, 10)
    with pytest.raises(InvalidInputError, match="class 'c', which"):
        load_image_folder(tmp_path)


def test_a_gigantic_image_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path / "a", 5, 10)
    write_images(tmp_path / "b", 5, 10)
    for limit in (12, 8):  # 20 pixels: a warning of Pillow, then an error
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(InvalidInputError, match="too large an image"):
            load_image_folder(tmp_path)


def test_pillow_is_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path / "a", 5, 10)
    write_images(tmp_path / "b", 5, 10)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(InvalidInputError, match="pip install pillow"):
        load_image_folder(tmp_path)
