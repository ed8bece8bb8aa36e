"""What is said of two detectors and two trackers, and the figures."""

from __future__ import annotations

import io

import numpy as np

from sslth.experiments.real.comparisons import Heard, Seen, box_difference
from sslth.experiments.real.face_detection import Faces
from sslth.experiments.real.figures import draw_faces, draw_pitch
from sslth.experiments.real.pitch import Track, cents_of
from sslth.experiments.real.run import results_table
from sslth.experiments.real.sounds import sweep

BOXES = np.array([[10.0, 10.0, 40.0, 50.0], [60.0, 20.0, 90.0, 50.0]])


def faces(boxes: np.ndarray) -> Faces:
    middle = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    return Faces(boxes, np.full(len(boxes), 0.9), np.repeat(middle, 5, axis=1), (4, 3))


def scene(moved: np.ndarray) -> Seen:
    return Seen("a picture", np.full((80, 120, 3), 99.0, dtype=np.float32), faces(BOXES), faces(moved))


def test_boxes_are_matched_whatever_their_order() -> None:
    moved = BOXES[::-1] + np.array([[0.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, -1.5]])
    row = scene(moved).as_json()
    assert row["largest_box_difference_pixels"] == 1.5
    assert row["faces_within_a_pixel"] == 1


def test_other_faces_have_no_difference() -> None:
    assert box_difference(BOXES, BOXES[[0, 0]]) is None
    row = scene(BOXES[:1]).as_json()
    assert (row["faces_target"], row["faces_ticket"]) == (2, 1)
    assert row["largest_box_difference_pixels"] is None


def heard(apart: float) -> Heard:
    sound = sweep("up", 100.0, 200.0, 0.2, partials=2)
    seconds = np.arange(21) * 0.01
    cents = cents_of(100.0 * 2.0 ** (seconds / 0.2))
    confidence = np.where(np.arange(21) < 20, 0.9, 0.1)
    other = cents.copy()
    other[3] += 4.0
    other[20] += apart
    return Heard(sound, Track(seconds, cents, confidence), Track(seconds, other, confidence))


def test_pitch_is_compared_everywhere_and_where_the_target_is_confident() -> None:
    row = heard(1200.0).as_json()
    assert abs(row["largest_difference_cents"] - 1200.0) < 1e-9
    assert abs(row["largest_difference_cents_confident"] - 4.0) < 1e-9
    assert row["share_within_5_cents"] == 20 / 21
    assert row["frames_confident"] == 20
    assert row["median_error_of_target_cents"] < 0.5


def test_figures_are_drawn() -> None:
    for figure in (draw_faces([scene(BOXES + 0.25)]), draw_pitch([heard(3.0), heard(0.0)])):
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=40)
        assert stream.getvalue().startswith(b"\x89PNG")
    (axes,) = draw_faces([scene(BOXES[:1])]).axes
    assert "not the same faces" in axes.get_title()
    assert len(axes.patches) == 3  # two boxes of the target, one of the tickets


def test_table_says_what_is_not_proved_and_why() -> None:
    network = {
        "network": "net", "width": 4096, "parameters": 1000, "kept_filters": 12345, "total_filters": 99999,
        "ticket_bytes": 2_500_000, "relative_errors": [1e-3, 2e-3], "seconds": None,
        "certificate": {"upper": None, "reason": "no bound is known for it", "attained": 0.5},
        "certificate_near_an_input": {"upper": 2.0, "reason": None, "attained": 0.25},
    }  # fmt: skip
    results = {"networks": [network], "faces": [scene(BOXES[:1]).as_json()], "pitch": [heard(3.0).as_json()]}
    text = results_table(results)
    assert "net: nothing is proved, because no bound is known for it" in text
    assert "12,345" in text
    assert "2.0e-03" in text
    assert "not the same faces" in text
    assert "4.00 cents apart" in text
