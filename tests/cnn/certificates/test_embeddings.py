"""Tables that are carried over, looked up by inputs that the forward makes whole: bounds, and what has none."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import sslth

ROWS = 12


class Words(nn.Module):
    """A convolution over looked up rows."""

    def __init__(self, *, cast: str = "long") -> None:
        super().__init__()
        self.table = nn.Embedding(ROWS, 4)
        self.conv = nn.Conv1d(4, 6, 3, padding=1)
        self.head = nn.Linear(6, 3)
        self.cast = cast

    def forward(self, words: Tensor) -> Tensor:
        whole = words.long() if self.cast == "long" else words.to(torch.int64)
        return self.head(torch.relu(self.conv(self.table(whole).transpose(1, 2))).mean(2))


def extracted(model: nn.Module, low: float, high: float) -> tuple[sslth.Ticket, Tensor]:
    words = torch.randint(ROWS, (40, 7), generator=torch.Generator().manual_seed(0)).clamp(low, high).float()
    ticket = sslth.extract(
        model, words[:2], width=256, carry_over={"table"}, low=low, high=high, calibration=words, progress=False
    )
    return ticket, words


@pytest.mark.parametrize("cast", ["long", "to"])
def test_the_proof_holds_for_all_words(cast: str) -> None:
    torch.manual_seed(0)
    model = Words(cast=cast).eval()
    ticket, words = extracted(model, 0, ROWS - 1)
    report = sslth.certify(ticket, model, data=words)
    with torch.no_grad():
        sampled = (ticket.to_module(model)(words) - model(words)).abs().max()
    assert math.isfinite(report.upper)
    assert 0 < sampled <= report.lower * (1 + 1e-4) <= report.upper * (1 + 1e-4)
    few = sslth.certify(ticket, model, low=3, high=4.9, data=words.clamp(3, 4))
    assert few.upper < report.upper  # two rows of the table are possible


def test_words_beyond_the_table_have_no_bound() -> None:
    torch.manual_seed(0)
    model = Words().eval()
    ticket, words = extracted(model, 0, ROWS - 1)
    report = sslth.certify(ticket, model, low=0, high=ROWS - 1, data=words)
    assert math.isfinite(report.upper)
    enclosed = sslth.certify(ticket, model, low=0, high=ROWS - 0.01, data=words)  # cut to ROWS - 1
    assert enclosed.upper == pytest.approx(report.upper)


def test_what_differs_is_not_looked_up() -> None:
    class Twice(Words):
        def forward(self, words: Tensor) -> Tensor:
            return super().forward(super().forward(words).abs().clamp(0, ROWS - 1))

    torch.manual_seed(0)
    model = Twice().eval()
    ticket, words = extracted(model, 0, ROWS - 1)
    report = sslth.certify(ticket, model, data=words)
    assert report.upper == math.inf
    assert report.reason == "no bound is known for a cast to integers of what differs in the two networks"
