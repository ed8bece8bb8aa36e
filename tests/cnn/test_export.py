"""Tickets through torch.export and ONNX, and the claim as VNN-LIB: others compute what the ticket computes."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sslth
from sslth.cnn.certificates.export_property import export_property, vnnlib_text
from sslth.cnn.export import to_onnx
from sslth.errors import InvalidInputError


class Branching(nn.Module):
    """Both signs, a folded and a free batch norm, groups, a depthwise layer of many groups, a flatten."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 10, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(10)
        self.depthwise = nn.Conv2d(10, 10, 3, padding=1, groups=10)
        self.free = nn.BatchNorm2d(10)
        self.up = nn.ConvTranspose2d(10, 4, 2, stride=2, groups=2)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu6(self.norm(self.first(x)))
        x = self.free(torch.tanh(self.depthwise(x)) + x)
        return self.head(self.up(x).mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def made() -> tuple[nn.Module, Tensor, sslth.Ticket]:
    torch.manual_seed(5)
    model = Branching().eval()
    for norm in (model.norm, model.free):
        assert norm.running_mean is not None
        norm.running_mean.normal_(0, 0.2)
    x = torch.rand(5, 2, 5, 5) * 2 - 1
    return model, x, sslth.extract(model, x, width=64, solver="sorted_pursuit", progress=False)


def apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("merged", [False, True])
def test_torch_export_with_a_free_batch(made: tuple[nn.Module, Tensor, sslth.Ticket], merged: bool) -> None:
    _, x, ticket = made
    module = ticket.to_module(merged=merged)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    with torch.no_grad():
        for count in (1, 2, 5):
            assert apart(program.module()(x[:count]), module(x[:count])) < 1e-5


def run_onnx(path: Path, x: Tensor, output: str = "output") -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run([output], {"input": x.numpy()})[0])


@pytest.mark.parametrize("merged", [False, True])
def test_onnx_computes_the_ticket(made: tuple[nn.Module, Tensor, sslth.Ticket], merged: bool, tmp_path: Path) -> None:
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)
    _, x, ticket = made
    to_onnx(ticket, tmp_path / "ticket.onnx", merged=merged)
    assert [path.name for path in tmp_path.iterdir()] == ["ticket.onnx"]
    with torch.no_grad():
        for count in (1, 5):
            expected = ticket.to_module(merged=merged)(x[:count])
            assert apart(run_onnx(tmp_path / "ticket.onnx", x[:count]), expected) < 1e-5


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.relu(self.body(x))
        return self.a(x), self.b(x)


def test_several_outputs(tmp_path: Path) -> None:
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)
    torch.manual_seed(1)
    model, x = TwoHeads().eval(), torch.rand(4, 3)
    ticket = sslth.extract(model, x, width=32, solver="sorted_pursuit", progress=False)
    to_onnx(ticket, tmp_path / "t.onnx")
    with torch.no_grad():
        for name, expected in zip(("output", "output_1"), ticket.to_module()(x), strict=True):
            assert apart(run_onnx(tmp_path / "t.onnx", x, name), expected) < 1e-5
    with pytest.raises(InvalidInputError, match="several outputs"):
        export_property(ticket, model, tmp_path / "p", 1.0)
    assert not (tmp_path / "p").exists()


# ----------------------------------------------------------------------------------------------- the property


def parse(text: str) -> list:
    """S-expressions as nested lists."""
    tokens = re.findall(r"[()]|[^\s()]+", re.sub(r";[^\n]*", "", text))
    stack: list[list] = [[]]
    for token in tokens:
        if token == "(":
            stack.append([])
        elif token == ")":
            stack[-2].append(stack.pop())
        else:
            stack[-1].append(token)
    (top,) = stack
    return top


def holds(term: list | str, values: dict[str, float]) -> bool:
    match term:
        case ["and", *terms]:
            return all(holds(inner, values) for inner in terms)
        case ["or", *terms]:
            return any(holds(inner, values) for inner in terms)
        case ["<=", a, b]:
            return number(a, values) <= number(b, values)
        case [">=", a, b]:
            return number(a, values) >= number(b, values)
    raise AssertionError(f"not VNN-LIB: {term}")


def number(token: str, values: dict[str, float]) -> float:
    return values[token] if token in values else float(token)


def counterexample(text: str, x: Tensor, y: Tensor) -> bool:
    """Whether input and output satisfy all assertions, every declared name having its value."""
    values = {f"X_{i}": float(v) for i, v in enumerate(x.flatten())}
    values |= {f"Y_{j}": float(v) for j, v in enumerate(y.flatten())}
    commands = parse(text)
    declared = [command[1] for command in commands if command[0] == "declare-const"]
    assert declared == list(values)
    assert all(command[2] == "Real" for command in commands if command[0] == "declare-const")
    return all(holds(command[1], values) for command in commands if command[0] == "assert")


def test_the_property_says_what_the_certificate_says(
    made: tuple[nn.Module, Tensor, sslth.Ticket], tmp_path: Path
) -> None:
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)
    model, x, ticket = made
    report = sslth.certify(ticket, model, data=x, starts=4, steps=5)
    assert report.upper < math.inf
    witness = torch.from_numpy(report.witness).float()[None].clamp(-1, 1)
    paths = export_property(ticket, model, tmp_path / "claim", report.upper)
    target, kept, difference, claim = paths
    assert [path.name for path in paths] == ["target.onnx", "ticket.onnx", "difference.onnx", "property.vnnlib"]
    text = claim.read_text()
    points = torch.cat([x, witness])
    with torch.no_grad():
        assert apart(run_onnx(target, points), model(points)) < 1e-5
        assert apart(run_onnx(kept, points), ticket.to_module(merged=True)(points)) < 1e-5
    apart_there = run_onnx(difference, points)
    torch.testing.assert_close(apart_there, run_onnx(target, points) - run_onnx(kept, points), rtol=0, atol=1e-6)
    assert not any(counterexample(text, point, y) for point, y in zip(points, apart_there, strict=True))
    # the same question with a bound below what was attained: the witness is the answer, from either side
    refuted = vnnlib_text(np.full(50, -1.0), np.ones(50), 3, 0.99 * report.lower)
    assert counterexample(refuted, witness, apart_there[-1])
    assert counterexample(refuted, witness, -apart_there[-1])
    assert not counterexample(refuted, witness * 1.5 + 1.5, apart_there[-1])  # outside of the box


def test_numbers_are_written_out_and_read_back() -> None:
    values = np.array([1e-300, -2.5e-7, 0.0, 1 / 3, 1e22])
    text = vnnlib_text(values - 1, values, 1, 5e-324)
    assert "e" not in re.sub(r";[^\n]*|declare|assert|Real", "", text)
    found = [float(term[1][2]) for term in parse(text) if term[0] == "assert" and term[1][0] == "<="]
    assert found == values.tolist()


def test_what_cannot_be_exported(
    made: tuple[nn.Module, Tensor, sslth.Ticket], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _, ticket = made
    for bound in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(InvalidInputError, match="positive and finite"):
            export_property(ticket, model, tmp_path, bound)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InvalidInputError, match=r"extra `export`.*pip install"):
        to_onnx(ticket, tmp_path / "t.onnx")
    assert list(tmp_path.iterdir()) == []


@torch.no_grad()
def test_what_is_exported_adds_up_without_a_scatter(tmp_path: Path) -> None:
    """Threads of onnxruntime lose additions of a scatter that has an index twice, now and then."""
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)
    import onnx

    torch.manual_seed(0)
    model = nn.Sequential(
        nn.BatchNorm2d(10),
        nn.Conv2d(10, 20, 3, padding=1, groups=10),
        nn.ReLU(),
        nn.ConvTranspose2d(20, 20, 2, stride=2, groups=10),
        nn.Conv2d(20, 1, 1),
    ).eval()
    x = torch.rand(6, 10, 4, 4)
    ticket = sslth.extract(model, x, 24, progress=False)
    to_onnx(ticket, tmp_path / "t.onnx")
    assert not [node.op_type for node in onnx.load(tmp_path / "t.onnx").graph.node if "Scatter" in node.op_type]
    assert apart(run_onnx(tmp_path / "t.onnx", x), ticket.to_module()(x)) < 1e-5


@pytest.mark.filterwarnings("ignore:No complete tensor found in the group")  # torch's own, of weights that share memory
def test_layers_without_a_bias_are_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(108, 2)).eval()
    inputs = torch.rand(2, 1, 8, 8)
    module = sslth.extract(network, inputs, 48, seed=1, low=0.0, high=1.0, compensate=False).to_module(network)
    torch.export.save(torch.export.export(module, (inputs,)), tmp_path / "module.pt2")
    again = torch.export.load(tmp_path / "module.pt2").module()
    assert torch.equal(again(inputs), module(inputs))
