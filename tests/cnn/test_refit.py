"""Calibration: exact second moments, the spreading of errors, and tickets refitted on the reader's data."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import sslth
from sslth.cnn.calibration import calibrate, checked_calibration, output_error
from sslth.cnn.compensation import FittedLayer, with_constants, zero_padding_shows
from sslth.cnn.gram import Gram, Moments
from sslth.cnn.layers import Wiring, find_layers
from sslth.cnn.operation import apply_wiring, pad_input
from sslth.cnn.plan import plan_layer, search
from sslth.cnn.refit import _by_group, _System
from sslth.cnn.ticket_file import ticket_bytes
from sslth.cnn.trace import trace
from sslth.errors import InvalidInputError
from sslth.subset_sum.solvers.sorted_pursuit import SortedPursuit

SOLVER = "sorted_pursuit"  # quick to compile and to run

WIRINGS = {
    "conv": (Wiring("conv2d", 4, 6, True, (3, 2), (2, 1), (1, 1), groups=2), (4, 6, 5)),
    "circular": (Wiring("conv1d", 2, 3, True, (3,), (1,), (1,), "circular", (2,)), (2, 8)),
    "transposed": (
        Wiring(
            "conv_transpose2d", 4, 6, True, (3, 3), (2, 2), (1, 1), groups=2, output_padding=(1, 0), dilation=(1, 1)
        ),
        (4, 3, 4),
    ),
    "linear": (Wiring("linear", 5, 3, True), (2, 5)),
    "batch norm": (Wiring("batch_norm", 3, 3, True, groups=3), (3, 4, 2)),
}


def moments_of(wiring: Wiring, x: Tensor, z: Tensor, sizes: list[int]) -> Moments:
    rows = z.numel() // wiring.out_channels
    gram = Gram(wiring, True, zero_padding_shows(wiring), float(x.abs().max()), float(z.abs().max()), rows, True)
    for part, wanted in zip(x.split(sizes), z.split(sizes), strict=True):  # type: ignore[no-untyped-call]
        gram.add(part, wanted)
    return gram.moments()


@pytest.mark.parametrize("name", WIRINGS)
def test_second_moments_are_those_of_the_layer(name: str) -> None:
    """Quadratic and linear forms of the moments are the layer's own sums, computed by its convolution."""
    wiring, shape = WIRINGS[name]
    torch.manual_seed(0)
    x = torch.randn(6, *shape, dtype=torch.float64)
    kernels = torch.randn(2, *wiring.weight_shape, dtype=torch.float64)
    padded = [pad_input(torch.relu(side), wiring) for side in (x, -x)]
    out = apply_wiring(padded[0], kernels[0], wiring) + apply_wiring(padded[1], kernels[1], wiring)
    moments = moments_of(wiring, x, out, [1, 2, 3])
    weight = _by_group(kernels.numpy(), wiring, True)
    assert moments.hessian is not None
    energy = np.einsum("gfo,gfe,geo->", weight, moments.hessian, weight)
    assert energy == pytest.approx(float(out.square().sum()), rel=1e-4)
    np.testing.assert_allclose(moments.targets, moments.hessian @ weight, rtol=1e-2, atol=1e-3 * moments.hessian.max())
    sums = out.flatten(0, -2).sum(dim=0) if wiring.kind == "linear" else out.transpose(0, 1).flatten(1).sum(dim=1)
    np.testing.assert_allclose(moments.means[:, -1].ravel(), sums.numpy(), rtol=1e-4, atol=1e-3)
    through = np.swapaxes(moments.crossed, 1, 2) @ weight
    np.testing.assert_allclose(through[:, -1].ravel(), sums.numpy(), rtol=1e-4, atol=1e-3)
    again = moments_of(wiring, x.flip(0), out.flip(0), [4, 2])
    for part in ("hessian", "crossed", "constants", "targets", "means"):
        assert np.array_equal(getattr(again, part), getattr(moments, part))  # not a bit depends on the order


def test_what_is_left_is_spread_as_least_squares_would() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 50, 6))
    hessian = np.swapaxes(x, 1, 2) @ x
    factor = np.swapaxes(np.linalg.cholesky(np.linalg.inv(hessian)), 1, 2)
    wanted = rng.normal(size=(2, 6, 3))
    system = _System(np.tile(np.arange(3), (2, 1)), wanted.copy(), factor, 2)
    found = wanted[:, :2] + rng.normal(size=(2, 2, 3))
    system.spread(0, 1, found)
    for group in range(2):
        rest = wanted[group] - np.concatenate([found[group], np.zeros((4, 3))])
        best = np.linalg.lstsq(x[group][:, 2:], x[group] @ rest, rcond=None)[0]
        np.testing.assert_allclose(system.targets[group, 2:], best, atol=1e-10)
    second = system.targets[:, 2:4] + rng.normal(size=(2, 2, 3))
    system.spread(1, 2, second)
    for group in range(2):
        fixed = np.concatenate([found[group], second[group], np.zeros((2, 3))])
        best = np.linalg.lstsq(x[group][:, 4:], x[group] @ (wanted[group] - fixed), rcond=None)[0]
        np.testing.assert_allclose(system.targets[group, 4:], best, atol=1e-10)


def network() -> nn.Sequential:
    torch.manual_seed(2)
    model = nn.Sequential(
        *(nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(8 * 9, 3)),
    )
    with torch.no_grad():
        for _ in range(30):
            model.train()(images(32))
    return model.eval()


def images(count: int, seed: int = 0) -> Tensor:
    """Smooth random images, the same part of which all pixels share."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 2, 2, 2, generator=rng)
    return nn.functional.interpolate(coarse, size=(6, 6), mode="bilinear", align_corners=True)


def error(ticket: sslth.Ticket, model: nn.Module, x: Tensor) -> float:
    with torch.no_grad():
        found = output_error([(model(x), ticket.to_module(merged=True)(x))])
    assert found is not None
    return found


@pytest.fixture(scope="module")
def calibrated() -> tuple[nn.Module, sslth.Ticket]:
    model = network()
    return model, sslth.extract(
        model, images(1), width=128, low=0.0, high=1.0, progress=False, solver=SOLVER, calibration=images(96), jobs=2
    )


def test_calibration_lowers_the_error_on_other_inputs(calibrated: tuple[nn.Module, sslth.Ticket]) -> None:
    model, ticket = calibrated
    without = sslth.extract(model, images(1), width=128, low=0.0, high=1.0, progress=False, solver=SOLVER)
    other = images(200, seed=1)
    assert error(ticket, model, other) < 0.6 * error(without, model, other)
    note = ticket.summary()["settings"]["compensation"]
    assert note["matched"] == "calibration"
    assert note["inputs"] == 96
    assert note["kernels_not_refitted"] == []
    assert note["output_error"]["with"] == pytest.approx(error(ticket, model, images(96)), rel=0.02)


def test_the_certificate_is_against_the_users_model(calibrated: tuple[nn.Module, sslth.Ticket]) -> None:
    model, ticket = calibrated
    x = images(20, seed=3)
    report = sslth.certify(ticket, model, data=x, starts=2, steps=3, hops=0, slope_steps=0)
    with torch.no_grad():
        apart = (ticket.to_module().double()(x.double()) - model.double()(x.double())).abs().max()
    model.float()
    assert float(apart) * (1 - 1e-6) <= report.lower <= report.upper < math.inf
    assert report.output_error == ticket.settings["compensation"]["output_error"]
    # the kernels were moved away from the user's, and the search is as good as ever at what it was aimed at
    assert report.kernel_error["3"] > 1.5 * report.matched_error["3"] > 0


def test_neither_order_nor_batches_nor_threads_matter(calibrated: tuple[nn.Module, sslth.Ticket]) -> None:
    model, ticket = calibrated
    data = TensorDataset(images(96).flip(0), torch.zeros(96))
    again = sslth.extract(
        model,
        images(1),
        width=128,
        low=0.0,
        high=1.0,
        progress=False,
        solver=SOLVER,
        calibration=DataLoader(data, 40),
        jobs=1,
    )
    assert ticket_bytes(again) == ticket_bytes(ticket)


def test_activations_beyond_the_budget_go_to_files() -> None:
    torch.manual_seed(4)
    model = nn.Sequential(nn.Conv1d(1, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).double()
    x = torch.rand(40, 1, 4)
    chunks = checked_calibration([x[:7], x[7:]], (1, 4), (np.zeros(()), np.ones(())))
    results = []
    for memory in (1 << 20, 0):
        layers = [
            FittedLayer.of(
                with_constants(plan_layer(name, i, module, 32, 0, True, None, None, SortedPursuit(presorted=True)))
            )
            for i, (name, module) in enumerate(find_layers(model).items())
        ]
        found = calibrate(
            layers, 0, trace(model, x[:1].double()), chunks, lambda tasks: [search(t, SORTED, None) for t in tasks], 1,
            memory,
        )  # fmt: skip
        results.append((found, [np.concatenate(layer.channels) for layer in layers]))
    assert results[0][0] == results[1][0]
    assert all(np.array_equal(a, b) for a, b in zip(results[0][1], results[1][1], strict=True))


SORTED = SortedPursuit(presorted=True)


def test_layers_called_twice_and_never() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.twice, self.never, self.last = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.tanh(self.twice(torch.tanh(self.twice(x)))))

    torch.manual_seed(5)
    model = Odd().eval()
    x = torch.rand(30, 3) * 2 - 1
    ticket = sslth.extract(model, x[:1], width=64, progress=False, solver=SOLVER, calibration=x)
    assert ticket.settings["compensation"]["kernels_not_refitted"] == ["never"]
    assert ticket.layers[1].kept > 0
    assert error(ticket, model, x) < 0.05


def batches(*items: object) -> Iterator[object]:
    yield from items


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (7, "calibration is a int"),
        ("data", "calibration is a str"),
        ([], "no inputs"),
        (torch.empty(0, 2, 6, 6), "no inputs"),
        (torch.rand(3, 2, 6, 5), r"batch of shape \(3, 2, 6, 5\)"),
        (torch.full((1, 2, 6, 6), float("nan")), "finite"),
        (torch.ones((1, 2, 6, 6), dtype=torch.int64), "finite real"),
        (torch.full((1, 2, 6, 6), 3.0), "leave the box"),
        (batches(torch.rand(1, 2, 6, 6), {"x": 1}), "yields a dict"),
    ],
)
def test_impossible_calibrations_are_refused(calibration: object, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        sslth.extract(
            network(), images(1), width=16, low=0.0, high=1.0, progress=False, solver=SOLVER, calibration=calibration
        )
    assert "\n" not in str(caught.value)


def test_calibration_needs_a_graph() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) if x.sum() > -1 else -self.a(x)

    with pytest.raises(InvalidInputError, match="can be traced"):
        sslth.extract(
            Branching(), torch.rand(1, 3), width=16, progress=False, solver=SOLVER, calibration=torch.rand(4, 3)
        )
