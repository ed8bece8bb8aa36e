"""What is compared: outputs always, classes only where the output is one list of numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import sslth
from sslth.errors import InvalidInputError
from sslth.experiments.comparison import compare
from sslth.experiments.inspect_ticket import inspect_ticket, inspection_table
from sslth.experiments.wording import words_for


class Heads(nn.Module):
    """Two heads, or one; slopes, and a frozen batch norm of buffers."""

    scale: Tensor

    def __init__(self, both: bool) -> None:
        super().__init__()
        self.body, self.slopes = nn.Linear(3, 4), nn.PReLU(4)
        self.first, self.second = nn.Linear(4, 3), nn.Linear(4, 2)
        self.both = both
        self.register_buffer("scale", torch.rand(4) + 0.5)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.slopes(self.body(x)) * self.scale
        return (self.first(x), self.second(x)) if self.both else self.first(x)


@pytest.mark.parametrize("both", [False, True])
def test_classes_are_those_of_one_list_of_numbers(both: bool) -> None:
    torch.manual_seed(0)
    model, x = Heads(both).eval(), torch.rand(20, 3)
    ticket = sslth.extract(model, x, 256, progress=False)
    found = compare(model, ticket, x)
    assert 0 < found.relative_output_error < 0.1
    labels = torch.zeros(20, dtype=torch.int64)
    if both:
        assert found.agreement is None
        with pytest.raises(InvalidInputError, match="leave them out"):
            compare(model, ticket, x, labels)
    else:
        with torch.no_grad():
            same = model(x).argmax(dim=1) == ticket.to_module()(x).argmax(dim=1)
            right = float((model(x).argmax(dim=1) == labels).double().mean())
        assert found.agreement == float(same.double().mean())
        assert compare(model, ticket, x, labels).target_accuracy == right


def test_what_belongs_to_no_layer_is_named() -> None:
    model = Heads(True).eval()
    ticket = sslth.extract(model, torch.rand(2, 3), 8, progress=False)
    assert sorted(ticket.names_that_stay) == ["scale", "slopes.weight"]
    carried = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.BatchNorm1d(4), nn.LayerNorm(4)).eval()
    ticket = sslth.extract(carried, torch.rand(2, 3), 8, carry_over={"4"}, progress=False)
    assert ticket.names_that_stay == []
    assert words_for([str(number) for number in range(10)]) == "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"


def test_inspection_names_what_stays(tmp_path: Path) -> None:
    model = Heads(True).eval()
    sslth.extract(model, torch.rand(2, 3), 8, progress=False).save(tmp_path / "t.safetensors")
    found = inspect_ticket(tmp_path / "t.safetensors")
    assert sorted(found["stays"]) == ["scale", "slopes.weight"]
    line = next(line for line in inspection_table(found).splitlines() if line.startswith("taken as they are"))
    assert "slopes.weight" in line
    assert line.endswith("the target's own numbers, not in the file")
