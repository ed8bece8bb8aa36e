"""Networks of several inputs: extracted, proved, saved and calibrated as one function of all their entries."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

import sslth
from sslth.cnn.certificates.certify import certify
from sslth.cnn.certificates.data_certificate import data_certificate
from sslth.cnn.export import to_onnx
from sslth.cnn.joined import join_corners, join_rows, joined, shapes_taken, split_rows
from sslth.cnn.trace import tensors_of
from sslth.errors import InvalidInputError, TicketFileError


class Two(nn.Module):
    """A picture and a vector; batch norm with statistics of its own, and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.picture = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.vector = nn.Linear(5, 3)
        self.head = nn.Linear(3 * 16, 2)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        seen = torch.relu(self.norm(self.picture(x))) + torch.relu(self.vector(y))[:, :, None, None]
        return self.head(seen.flatten(1)), seen.mean(dim=(1, 2, 3))


SHAPES = ((1, 6, 6), (5,))


@pytest.fixture(scope="module")
def case() -> tuple[nn.Module, Tensor, Tensor, sslth.Ticket]:
    torch.manual_seed(0)
    model = Two()
    assert isinstance(model.norm.running_mean, Tensor)
    model.norm.running_mean.uniform_(-0.2, 0.2)
    model.eval()
    x, y = torch.rand(24, 1, 6, 6), torch.rand(24, 5) * 2 - 1
    return model, x, y, sslth.extract(model, (x, y), width=600, low=(0.0, -1.0), high=1.0, progress=False)


def test_joined_is_the_same_function_with_the_same_names() -> None:
    model = Two().eval()
    x, y = torch.rand(4, 1, 6, 6), torch.rand(4, 5)
    rows = join_rows((x, y), SHAPES, "inputs")
    both = joined(model, SHAPES)
    assert shapes_taken(both) == SHAPES
    assert shapes_taken(model) is None
    assert list(dict(both.named_modules())) == list(dict(model.named_modules()))
    for ours, own in zip(both(rows), model(x, y), strict=True):
        assert torch.equal(ours, own)
    for part, whole in zip(split_rows(rows, SHAPES), (x, y), strict=True):
        assert torch.equal(part, whole)
    assert type(joined(both, SHAPES)) is type(both)


def test_the_ticket_takes_the_inputs_of_its_target_and_is_near_it(case: Any) -> None:
    model, x, y, ticket = case
    assert ticket.input_shapes == SHAPES
    assert [layer["signs"] for layer in ticket.summary()["layers"]] == ["+-", "+-", "+"]  # y may be negative
    with torch.no_grad():
        wanted, found, fast = (
            network(x, y)[0] for network in (model, ticket.to_module(), ticket.to_module(merged=True))
        )
    assert float((found - wanted).norm() / wanted.norm()) < 0.05
    assert torch.allclose(found, fast, atol=1e-4)


def test_the_certificate_holds_and_its_witness_comes_apart_into_inputs(case: Any) -> None:
    model, x, y, ticket = case
    report = certify(ticket, model, data=(x, y), starts=8, steps=10)
    first, second = ticket.inputs_of(report.witness)
    assert tuple(first.shape) == (1, 1, 6, 6)
    assert tuple(second.shape) == (1, 5)
    networks = [network.double() for network in (ticket.to_module(model, merged=True), joined(model, SHAPES))]
    apart = [
        float((a - b).detach().abs().max())
        for a, b in zip(networks[0](first, second), networks[1](torch.as_tensor(report.witness)[None]), strict=True)
    ]
    assert max(apart) == pytest.approx(report.lower, rel=1e-3)
    assert report.lower <= report.upper < 1.0
    near = certify(ticket, model, around=(x[0], y[0]), radius=0.02, starts=4, steps=5)
    assert near.lower <= near.upper < report.upper
    statement = data_certificate(ticket, model, (x, y))
    assert statement.inputs == 24
    assert statement.error <= report.upper


def test_save_and_load_keep_the_shapes(case: Any, tmp_path: Path) -> None:
    model, x, y, ticket = case
    ticket.save(tmp_path / "t.safetensors")
    again = sslth.Ticket.load(tmp_path / "t.safetensors")
    assert again.input_shapes == SHAPES
    assert again.input_shape == (41,)
    with torch.no_grad():
        assert torch.equal(again.to_module(model)(x, y)[0], ticket.to_module()(x, y)[0])
    content = (tmp_path / "t.safetensors").read_bytes().replace(b"[[1,6,6],[5]]", b"[[1,6,6],[4]]")
    (tmp_path / "t.safetensors").write_bytes(content)
    with pytest.raises(TicketFileError):
        sslth.Ticket.load(tmp_path / "t.safetensors")


def test_calibration_from_a_tuple_or_from_batches_with_labels(case: Any) -> None:
    model, x, y, _ = case
    batches = [(x[:10], y[:10], 0), (x[10:], y[10:], 1)]
    tickets = [
        sslth.extract(model, (x[:1], y[:1]), width=300, low=(0.0, -1.0), progress=False, calibration=given)
        for given in ((x, y), batches)
    ]
    for one, other in zip(tickets[0].layers, tickets[1].layers, strict=True):
        for a, b in zip(one.channels, other.channels, strict=True):
            assert np.array_equal(a, b)
    assert tickets[0].settings["compensation"]["inputs"] == 24


def test_onnx_has_two_inputs(case: Any, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    _, x, y, ticket = case
    to_onnx(ticket, tmp_path / "t.onnx", merged=True)
    session = onnxruntime.InferenceSession(str(tmp_path / "t.onnx"))
    assert [part.name for part in session.get_inputs()] == ["input", "input_1"]
    found = session.run(None, {"input": x.numpy(), "input_1": y.numpy()})
    with torch.no_grad():
        wanted = ticket.to_module(merged=True)(x, y)
    assert np.allclose(found[0], wanted[0].numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("example", "low", "said"),
    [
        ((torch.rand(2, 1, 6, 6),), 0.0, "fails on example_input"),
        ((torch.rand(2, 1, 6, 6), torch.rand(3, 5)), 0.0, "batches of 2 and 3"),
        ((torch.rand(2, 1, 6, 6), torch.rand(2, 5)), (0.0,), "low has 1 entries"),
        ((torch.rand(2, 1, 6, 6), torch.rand(2, 5)), (0.0, [0.0, 0.0, 0.0]), "does not fit an input"),
        ((torch.rand(2, 1, 6, 6), torch.full((2, 5), float("nan"))), 0.0, "finite"),
        (((torch.rand(2, 1, 6, 6), 3)), 0.0, "must be a torch tensor"),
    ],
    ids=["too-few", "batches", "corners", "corner-shape", "nan", "no-tensor"],
)
def test_what_does_not_fit_is_said_in_a_line(example: Any, low: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        sslth.extract(Two().eval(), example, width=32, low=low, progress=False)


def test_corners_may_be_joined_already() -> None:
    whole = np.arange(41.0)
    assert np.array_equal(join_corners(whole, SHAPES, "low"), whole)
    assert join_corners((0.0, -1.0), SHAPES, "low").tolist() == [0.0] * 36 + [-1.0] * 5


class Scaled(nn.Module):
    """The same with a weighted shortcut and two more scales, an argument that may be left out, and nested outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.picture, self.inner = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 3, 3, padding=1)
        self.vector, self.head = nn.Linear(5, 3), nn.Linear(3 * 16, 2)
        self.shortcut = nn.Parameter(torch.tensor([0.7, -0.4, 1.2]).reshape(3, 1, 1))
        self.early, self.gate = nn.Parameter(torch.rand(5) + 0.5), nn.Parameter(torch.tensor(0.3))

    def forward(self, x: Tensor, y: Tensor, mask: Tensor | None = None) -> dict[str, Any]:
        seen = torch.relu(self.picture(x))
        seen = torch.relu(self.inner(seen) + self.shortcut * seen) + self.vector(y * self.early)[:, :, None, None]
        seen = seen if mask is None else seen * mask
        return {"head": self.head(seen.flatten(1)), "means": (seen.mean((2, 3)) * torch.exp(self.gate), seen.sum(1))}


@torch.no_grad()
def test_a_network_of_several_inputs_with_scales_of_channels(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x, y = Scaled().eval(), torch.rand(24, 1, 6, 6), torch.rand(24, 5) * 2 - 1
    wanted = model(x, y)
    ticket = sslth.extract(model, (x, y), width=600, low=(0.0, -1.0), high=1.0, progress=False)
    assert ticket.input_shapes == SHAPES
    scales = [layer["name"] for layer in ticket.summary()["layers"] if layer["kind"] == "batch_norm"]
    assert sorted(scales) == ["early", "gate", "shortcut"]
    ticket.save(tmp_path / "t")
    loaded = sslth.Ticket.load(tmp_path / "t")
    found, fast, lent = ticket.to_module()(x=x, y=y), ticket.to_module(merged=True)(x, y), loaded.to_module(model)(x, y)
    for own, ours, merged, read in zip(*map(tensors_of, (wanted, found, fast, lent)), strict=True):
        assert float((ours - own).norm() / own.norm()) < 0.01
        assert torch.allclose(ours, merged, atol=1e-4)
        assert torch.equal(ours, read)
    report = certify(loaded, model, data=(x, y), starts=8, steps=10)
    first, second = loaded.inputs_of(report.witness)
    networks = [loaded.to_module(model, merged=True).double(), copy.deepcopy(model).double()]
    apart = [
        float((a - b).abs().max())
        for a, b in zip(*(tensors_of(network(first, second)) for network in networks), strict=True)
    ]
    assert max(apart) == pytest.approx(report.lower, rel=1e-3)
    assert report.lower <= report.upper < 1.0
    refitted = sslth.extract(model, (x[:1], y[:1]), 100, low=(0.0, -1.0), calibration=(x, y), progress=False)
    assert refitted.settings["compensation"]["kernels_not_refitted"] == []


@torch.no_grad()
def test_such_a_network_may_be_joined_before(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x, y = Scaled().eval(), torch.rand(4, 1, 6, 6), torch.rand(4, 5)
    whole, rows = joined(model, SHAPES), join_rows((x, y), SHAPES, "inputs")
    low = join_corners((0.0, -1.0), SHAPES, "low")
    tickets = [
        sslth.extract(model, (x, y), 50, low=(0.0, -1.0), progress=False),
        sslth.extract(whole, rows, 50, low=low, progress=False),
    ]
    for number, ticket in enumerate(tickets):
        ticket.save(tmp_path / str(number))
    assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()
    wanted = tickets[0].to_module()(x, y)["head"]
    for network in (tickets[1].to_module(), tickets[0].to_module(whole), copy.deepcopy(tickets[1].to_module(whole))):
        assert shapes_taken(network) == SHAPES
        assert torch.equal(network(rows)["head"], wanted)


def test_graphs_are_joined_and_stay_so_in_copies() -> None:
    model = nn.Bilinear(2, 3, 1)
    graph = fx.symbolic_trace(model)
    x, y = torch.rand(4, 2), torch.rand(4, 3)
    both = copy.deepcopy(joined(graph, ((2,), (3,))))
    assert torch.equal(both(torch.cat([x, y], dim=1)), model(x, y))
    assert shapes_taken(both) == ((2,), (3,))
    assert shapes_taken(graph) is None
    assert torch.equal(graph(x, y), model(x, y))
    with pytest.raises(InvalidInputError, match="takes 2 inputs, but example_input holds 3"):
        joined(graph, ((2,), (3,), (4,)))


def test_inputs_that_a_forward_takes_without_names() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(2, 3), nn.Linear(4, 3)])
            self.shares = nn.ParameterList([torch.rand(3), torch.rand(3)])

        def forward(self, *parts: Tensor) -> list[Tensor]:
            made = [layer(part) for layer, part in zip(self.layers, parts, strict=True)]
            return [made[0] * self.shares[0] + made[1] * self.shares[1], made[0]]

    inputs = torch.rand(3, 2), torch.rand(3, 4)
    ticket = sslth.extract(Sum(), inputs, 500, progress=False)
    assert list(ticket.widths) == ["layers.0", "layers.1", "shares.0", "shares.1"]
    for ours, own in zip(ticket.to_module()(*inputs), ticket.seen(ticket.model)(torch.cat(inputs, 1)), strict=True):
        assert torch.allclose(ours, own, atol=1e-3)
