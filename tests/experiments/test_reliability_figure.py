"""Reliability diagrams: what is drawn, and where."""

from __future__ import annotations

import io

import numpy as np
import pytest

from sslth.errors import InvalidInputError
from sslth.experiments.reliability_figure import reliability_figure
from sslth.mining.metrics import Reliability, reliability


def drawn(seed: int) -> Reliability:
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(4, 0.4), 300)
    return reliability(rows, np.array([rng.choice(4, p=row) for row in rows]))


def test_points_are_accuracy_at_mean_confidence() -> None:
    diagrams = {"one": drawn(0), "two": drawn(1), "three": drawn(2), "four": drawn(3)}
    figure = reliability_figure(diagrams)
    assert len(figure.axes) == 8
    for number, (name, diagram) in enumerate(diagrams.items()):
        upper, lower = figure.axes[2 * number : 2 * number + 2]
        assert upper.get_title() == f"{name}: ECE {diagram.error:.3f}"
        used = diagram.counts > 0
        x, y = upper.containers[0].lines[0].get_data()
        assert np.allclose(x, diagram.confidence[used])
        assert np.allclose(y, diagram.accuracy[used])
        heights = [bar.get_height() for bar in lower.patches]
        assert np.allclose(heights, diagram.counts / 300)


def test_the_file_is_the_same_each_time() -> None:
    files = []
    for _ in range(2):
        stream = io.BytesIO()
        reliability_figure({"one": drawn(0)}, stream)
        files.append(stream.getvalue())
    assert files[0] == files[1]
    assert files[0].startswith(b"\x89PNG")
    with pytest.raises(InvalidInputError, match="no diagram"):
        reliability_figure({})
