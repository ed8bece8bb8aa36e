"""The face detector around its three networks, on synthetic pictures and networks that look for one colour."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sslth.experiments.real.face_detection import (
    crops,
    detect_faces,
    non_maximum_suppression,
    normalised,
    pyramid_scales,
)
from sslth.networks.mtcnn import mtcnn


def plain_suppression(boxes: list, scores: list, threshold: float, of_smaller: bool) -> list[int]:
    """The plain twin: sort, then compare every box with all that were kept."""
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        left, top, right, bottom = boxes[index]
        area = (right - left) * (bottom - top)
        fine = True
        for other in kept:
            a, b, c, d = boxes[other]
            shared = max(0.0, min(right, c) - max(left, a)) * max(0.0, min(bottom, d) - max(top, b))
            area_other = (c - a) * (d - b)
            whole = min(area, area_other) if of_smaller else area + area_other - shared
            if shared > threshold * whole:
                fine = False
        if fine:
            kept.append(index)
    return kept


coordinate = st.integers(0, 12)
box = st.tuples(coordinate, coordinate, st.integers(1, 8), st.integers(1, 8))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(box, st.integers(0, 5)), max_size=12), st.sampled_from([0.25, 0.5, 0.75]), st.booleans())
def test_suppression_equals_its_plain_twin(cases: list, threshold: float, of_smaller: bool) -> None:
    boxes = np.array([[x, y, x + w, y + h] for (x, y, w, h), _ in cases], dtype=float).reshape(-1, 4)
    scores = np.array([score for _, score in cases], dtype=float)
    found = non_maximum_suppression(boxes, scores, threshold, of_smaller=of_smaller)
    assert found.tolist() == plain_suppression(boxes.tolist(), scores.tolist(), threshold, of_smaller)


def test_pyramid_starts_at_the_smallest_face_and_ends_at_the_window() -> None:
    scales = pyramid_scales(100, 300, smallest=20)
    assert scales[0] * 20 == pytest.approx(12)
    assert all(b / a == pytest.approx(0.709) for a, b in pairwise(scales))
    assert 100 * scales[-1] >= 12 > 100 * scales[-1] * 0.709
    assert pyramid_scales(9, 300, smallest=10) == []


def test_crops_are_what_lies_in_the_box_and_black_outside() -> None:
    pixels = torch.rand(1, 3, 20, 30) * 255
    inside, beyond, away = crops(pixels, np.array([[4.2, 3.9, 16.1, 16.0], [-6, -6, 6, 6], [40, 40, 52, 52]]), 12)
    torch.testing.assert_close(inside, pixels[0, :, 4:16, 4:16])
    torch.testing.assert_close(beyond[:, 6:, 6:], pixels[0, :, :6, :6])
    assert float(beyond[:, :6].abs().max()) == 0.0
    assert float(away.abs().max()) == 0.0
    half = crops(pixels, np.array([[0.0, 0.0, 20.0, 20.0]]), 10)
    torch.testing.assert_close(half[0], F.avg_pool2d(pixels[0, :, :20, :20], 2))
    assert crops(pixels, np.zeros((0, 4)), 24).shape == (0, 3, 24, 24)


def test_pixels_fill_the_box_that_is_certified() -> None:
    assert normalised(torch.tensor([0.0, 127.5, 255.0])).tolist() == [-127.5 / 128, 0.0, 127.5 / 128]


def redness(x: Tensor) -> Tensor:
    return x[:, 0] - x[:, 1]


def propose(x: Tensor) -> tuple[Tensor, Tensor]:
    """A stand-in for P-Net: a window is a face if its middle is red and the ring around it is not."""
    whole = F.avg_pool2d(redness(x)[:, None], 12, stride=2)[:, 0]
    middle = F.avg_pool2d(redness(x)[:, None, 2:-2, 2:-2], 8, stride=2)[:, 0]
    ring = (144 * whole - 64 * middle) / 80
    score = 40.0 * (middle - ring - 0.6)
    return torch.stack([-score, score], dim=1), torch.zeros(1, 4, *score.shape[1:])


def red_part(x: Tensor) -> tuple[Tensor, Tensor]:
    """Whether crops are red, and offsets: where their red begins and ends."""
    red = (redness(x) > 0.9).float()
    places = torch.arange(x.shape[2], dtype=torch.float32)
    ends = []
    for line in (red.amax(dim=1), red.amax(dim=2)):
        ends.append(torch.where(line > 0, places, torch.inf).amin(dim=1) / x.shape[2])
        ends.append(torch.where(line > 0, places + 1, -torch.inf).amax(dim=1) / x.shape[2] - 1)
    offsets = torch.stack([ends[0], ends[2], ends[1], ends[3]], dim=1)
    return red, torch.nan_to_num(offsets, 0.0, 0.0, 0.0)


def refine(x: Tensor) -> tuple[Tensor, Tensor]:
    """A stand-in for R-Net: a face is red that does not touch the crop's border."""
    red, offsets = red_part(x)
    border = torch.cat([red[:, 0], red[:, -1], red[:, :, 0], red[:, :, -1]], dim=1).mean(dim=1)
    score = 20.0 * (red.mean(dim=(1, 2)) - 0.1) - 40.0 * border
    return torch.stack([-score, score], dim=1), offsets


def decide(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A stand-in for O-Net: a face is mostly red, with its landmarks in the middle."""
    red, offsets = red_part(x)
    score = 20.0 * (red.mean(dim=(1, 2)) - 0.5)
    return torch.stack([-score, score], dim=1), offsets, torch.full((len(x), 10), 0.5)


def test_every_red_square_is_found_where_it_is() -> None:
    image = np.zeros((120, 160, 3), dtype=np.float32)
    squares = [(10, 20, 40), (90, 60, 50)]
    for left, top, side in squares:
        image[top : top + side, left : left + side, 0] = 255.0
    faces = detect_faces(image, propose, refine, decide, smallest=24)
    assert len(faces.boxes) == len(squares)
    assert faces.proposals[0] >= faces.proposals[1] >= len(squares)
    assert (np.diff(faces.scores) <= 0).all()
    for left, top, side in squares:
        expected = np.array([left, top, left + side, top + side])
        apart = np.abs(faces.boxes - expected).max(axis=1)
        assert apart.min() < 2.0  # a crop's pixel is up to 50 * 1.5 / 48 of the picture's
        middle = faces.landmarks[apart.argmin()].mean(axis=0)
        assert np.abs(middle - (left + side / 2, top + side / 2)).max() < 4.0


def test_nothing_is_found_where_nothing_is() -> None:
    faces = detect_faces(np.zeros((60, 60, 3), dtype=np.float32), propose, refine, decide, smallest=20)
    assert faces.boxes.shape == (0, 4)
    assert faces.landmarks.shape == (0, 5, 2)
    assert faces.proposals == (0, 0)
    tiny = detect_faces(np.zeros((8, 8, 3), dtype=np.float32), propose, refine, decide, smallest=20)
    assert len(tiny.boxes) == 0


def test_it_runs_on_the_networks_with_random_weights() -> None:
    torch.manual_seed(0)
    networks = [network.eval() for network in mtcnn()]
    with torch.no_grad():  # push the scores up, so that crops reach the last network
        networks[0].conv4_1.bias += torch.tensor([-1.0, 1.0])
        networks[1].dense5_1.bias += torch.tensor([-2.0, 2.0])
        networks[2].dense6_1.bias += torch.tensor([-2.0, 2.0])
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, size=(48, 64, 3)).astype(np.float32)
    faces = detect_faces(image, *networks, smallest=30)
    again = detect_faces(image, *networks, smallest=30)
    assert len(faces.boxes) > 0
    assert np.array_equal(faces.boxes, again.boxes)
    assert np.isfinite(faces.boxes).all()
    assert ((faces.scores > 0.7) & (faces.scores <= 1.0)).all()
