"""Diets: which rows, of which classes; and the curve of one run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from sslth.data.splits import Examples, Splits
from sslth.errors import InvalidInputError
from sslth.mining import diet_curve, diet_rows, mine, mine_on_a_diet

Build = Callable[[], nn.Module]


def test_diets_choose_by_score_within_each_class(blobs: Splits) -> None:
    data = blobs.train
    scores = torch.rand(len(data), generator=torch.Generator().manual_seed(1))
    assert diet_rows("all", data) == ()
    per_class = torch.bincount(data.labels).tolist()
    for kind in ("random", "easiest", "hardest"):
        rows = diet_rows(kind, data, fraction=0.25, scores=scores)
        assert list(rows) == sorted(set(rows))
        counts = torch.bincount(data.labels[list(rows)], minlength=3).tolist()
        assert counts == [int(0.25 * count + 0.5) for count in per_class]
    easiest = torch.tensor(diet_rows("easiest", data, fraction=0.25, scores=scores))
    hardest = torch.tensor(diet_rows("hardest", data, fraction=0.25, scores=scores))
    for label in range(3):
        own = scores[data.labels == label]
        chosen = scores[easiest[data.labels[easiest] == label]]
        assert float(chosen.max()) == float(own.sort().values[len(chosen) - 1])
        chosen = scores[hardest[data.labels[hardest] == label]]
        assert float(chosen.min()) == float(own.sort(descending=True).values[len(chosen) - 1])
    free = diet_rows("easiest", data, fraction=0.25, scores=scores, balanced=False)
    assert set(free) == set(torch.sort(scores).indices[:40].tolist())


def test_random_diets_depend_on_the_seed_alone(blobs: Splits) -> None:
    rows = [diet_rows("random", blobs.train, fraction=0.1, seed=seed) for seed in (0, 0, 1)]
    assert rows[0] == rows[1] != rows[2]
    assert diet_rows("random", blobs.train, fraction=1.0) == tuple(range(len(blobs.train)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "tastiest"}, "no diet 'tastiest'"),
        ({"kind": "random", "fraction": 0.0}, "fraction is 0.0"),
        ({"kind": "random", "fraction": 1.5}, "fraction is 1.5"),
        ({"kind": "easiest"}, "need scores"),
        ({"kind": "hardest", "scores": torch.zeros(3)}, r"shape \[3\]"),
        ({"kind": "hardest", "scores": torch.full((160,), torch.nan)}, "one finite number"),
    ],
    ids=["kind", "none", "more", "unscored", "short", "nan"],
)
def test_diets_that_cannot_be(arguments: dict[str, object], message: str, blobs: Splits) -> None:
    with pytest.raises(InvalidInputError, match=message):
        diet_rows(arguments.pop("kind"), blobs.train, **arguments)  # type: ignore[arg-type]


def test_a_curve_trains_the_ticket_of_every_round(mlp: Build, blobs: Splits) -> None:
    scores = torch.rand(len(blobs.train), generator=torch.Generator().manual_seed(1))
    mined = mine_on_a_diet(
        mlp, blobs, "easiest", scores=scores, fraction=0.2, rewind=5, rate=0.5, keep=0.1, epochs=2, seed=4
    )
    assert mined.setup.method.rows == diet_rows("easiest", blobs.train, scores=scores, fraction=0.2)  # type: ignore[attr-defined]
    points = diet_curve(mined, blobs, (0, 2, 4), epochs=6)
    assert [point.kept for point in points] == [708, 177, mined.mask.kept]
    assert [point.round for point in points] == [0, 2, 4]
    for point in points:
        assert len(point.validation) == len(point.test) == 2
        assert 0.0 <= point.barrier <= 1.0
        assert point.connected <= point.unbarred <= 1.0
    assert min(points[0].test) > 0.7  # chance is 1/3
    again = diet_curve(mined, blobs, (2,), epochs=6)
    assert again[0] == points[1]


def test_the_test_part_changes_test_accuracies_only(conv: Build, blobs: Splits) -> None:
    other = Splits(blobs.train, blobs.validation, Examples(-blobs.test.inputs, blobs.test.labels), 3)
    points = []
    for data in (blobs, other):
        mined = mine_on_a_diet(conv, data, "random", rewind=3, rate=0.5, keep=0.5, epochs=1)
        points += diet_curve(mined, data, (1,), epochs=2, points=3, reestimate=True)
    assert points[0].validation == points[1].validation
    assert points[0].barrier == points[1].barrier
    assert points[0].connected == points[1].connected
    assert points[0].test != points[1].test


def test_only_imp_has_rounds(mlp: Build, blobs: Splits) -> None:
    with pytest.raises(InvalidInputError, match="only one of imp has rounds"):
        diet_curve(mine(mlp, blobs, "random", keep=0.5, epochs=0), blobs, (0,), epochs=1)
    mined = mine_on_a_diet(mlp, blobs, "all", rewind=1, rate=0.5, keep=0.5, epochs=1)
    with pytest.raises(InvalidInputError, match=r"no round 2; the run had rounds 1 to 1"):
        diet_curve(mined, blobs, (0, 2), epochs=1)
