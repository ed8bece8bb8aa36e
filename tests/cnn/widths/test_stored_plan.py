"""A plan that looked at the clock is made once: what goes on after a stop keeps its widths."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import torch
from torch import nn

import sslth
from sslth.cnn.ticket_file import ticket_bytes
from sslth.cnn.widths import stored_plan
from sslth.errors import InvalidInputError

EXAMPLE = torch.rand(32, 6, generator=torch.Generator().manual_seed(1))


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()


def extracted(path: Path, seed: int = 0, **wish: object) -> sslth.Ticket:
    return sslth.extract(network(seed), EXAMPLE, low=0.0, high=1.0, progress=False, _blocks=path, width=2000, **wish)


@pytest.fixture
def plans_made(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows by one with every plan that is really made."""
    made: list[object] = []
    plan_widths = stored_plan.plan_widths

    def counted(*given: object) -> object:
        made.append(given)
        return plan_widths(*given)

    monkeypatch.setattr(stored_plan, "plan_widths", counted)
    return made


def test_a_plan_for_a_time_is_made_once(tmp_path: Path, plans_made: list[object]) -> None:
    first = extracted(tmp_path / "blocks.db", time_limit=20.0)
    again = extracted(tmp_path / "blocks.db", time_limit=20.0)
    assert len(plans_made) == 1
    assert ticket_bytes(first) == ticket_bytes(again)


def test_another_wish_or_another_network_is_planned_anew(tmp_path: Path, plans_made: list[object]) -> None:
    extracted(tmp_path / "blocks.db", time_limit=20.0)
    extracted(tmp_path / "blocks.db", time_limit=30.0)
    extracted(tmp_path / "blocks.db", time_limit=20.0, seed=1)
    extracted(tmp_path / "blocks.db", time_limit=20.0, target_error=0.1)
    assert len(plans_made) == 4


def test_a_plan_without_a_clock_comes_out_the_same_and_is_not_stored(tmp_path: Path, plans_made: list[object]) -> None:
    first, again = (extracted(tmp_path / "blocks.db", target_error=0.1) for _ in range(2))
    assert len(plans_made) == 2
    assert ticket_bytes(first) == ticket_bytes(again)


@pytest.mark.parametrize("said", ["nonsense", "[]", "{}", '{"widths": {}, "more": 1}'])
def test_a_damaged_note_is_refused_in_one_line(tmp_path: Path, said: str) -> None:
    path = tmp_path / "blocks.db"
    extracted(path, time_limit=20.0)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE notes SET said = ?", (said,))
    database.close()
    with pytest.raises(InvalidInputError, match="remove it"):
        extracted(path, time_limit=20.0)
