"""Extraction: quality, determinism, arguments, and every refusal."""

from __future__ import annotations

import copy
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sslth
from sslth.cnn.gain import constants_per_width, pursuit_gain
from sslth.cnn.ticket_file import ticket_bytes
from sslth.data.digits import Split
from sslth.errors import InvalidInputError, UnsupportedModuleError

EXAMPLE = torch.zeros(1, 1, 8, 8)


@torch.no_grad()
def test_a_trained_network_keeps_its_predictions(trained: nn.Module, digits: Split) -> None:
    ticket = sslth.extract(trained, EXAMPLE, width=8192, low=0.0, high=1.0, progress=False)
    expected, found = trained(digits.test_images), ticket.to_module()(digits.test_images)
    assert float((found - expected).norm() / expected.norm()) < 5e-3
    assert float((found.argmax(1) == expected.argmax(1)).float().mean()) >= 0.995


def test_the_error_falls_with_the_width(trained: nn.Module) -> None:
    errors = []
    for width in (256, 1024, 4096):
        ticket = sslth.extract(trained, EXAMPLE, width=width, low=0.0, high=1.0, progress=False)
        errors.append(sslth.certify(ticket, trained, starts=1, steps=1).kernel_error["conv2"])
    assert errors[0] > 2 * errors[1] > 10 * errors[2]


@pytest.mark.parametrize("jobs", [1, 3])
def test_two_runs_with_one_seed_give_identical_bytes(trained: nn.Module, jobs: int) -> None:
    def run(jobs: int | None) -> bytes:
        return ticket_bytes(
            sslth.extract(trained, EXAMPLE, width=300, seed=5, low=0, high=1, progress=False, jobs=jobs)
        )

    assert run(jobs) == run(None)
    other = sslth.extract(trained, EXAMPLE, width=300, seed=6, low=0, high=1, progress=False)
    assert ticket_bytes(other) != run(jobs)


def test_the_model_is_not_changed(trained: nn.Module) -> None:
    before = copy.deepcopy(trained.state_dict())
    trained.train()
    sslth.extract(trained, EXAMPLE, width=50, progress=False)
    assert trained.training
    trained.eval()
    assert all(torch.equal(before[name], values) for name, values in trained.state_dict().items())


def test_max_kept_bounds_every_block(trained: nn.Module) -> None:
    ticket = sslth.extract(trained, EXAMPLE, width=2048, low=0.0, high=1.0, progress=False, max_kept=20)
    sizes = [filters.size for kept in ticket.layers for filters in (*kept.channels, *kept.constants)]
    assert 0 < max(sizes) <= 20
    free = sslth.extract(trained, EXAMPLE, width=2048, low=0.0, high=1.0, progress=False)
    assert ticket.kept_filters < free.kept_filters / 10
    few = sslth.certify(ticket, trained, starts=1, steps=1).kernel_error
    assert max(few.values()) < 0.7


def test_a_traced_sign_halves_the_problem_and_an_untraceable_forward_does_not() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.a(x))
            return self.b(x) if x.sum() > -1 else -self.b(x)

    torch.manual_seed(0)
    model = Branching().eval()
    x = torch.rand(6, 3)
    ticket = sslth.extract(model, x, width=400, low=0.0, high=1.0, progress=False)
    assert [kept.layer.nonnegative for kept in ticket.layers] == [False, False]
    assert "traced" in ticket.settings["both_signs_because"]
    with torch.no_grad():
        assert float((ticket.to_module()(x) - model(x)).abs().max()) < 0.05
    report = sslth.certify(ticket, model, data=x)
    assert report.upper == float("inf")
    assert report.reason is not None
    assert 0 < report.lower < 0.1


def test_gain_can_be_given_and_is_reported(trained: nn.Module) -> None:
    ticket = sslth.extract(trained, EXAMPLE, width=50, progress=False, gain=3.5)
    assert [kept.layer.gain for kept in ticket.layers] == [3.5] * 3
    ticket = sslth.extract(trained, EXAMPLE, width=50, progress=False, gain={"conv2": 7.0})
    assert ticket.layers[1].layer.gain == 7.0
    assert ticket.layers[0].layer.gain != 7.0


def test_gain_rule() -> None:
    norms = np.array([1.0, 2.0])
    assert pursuit_gain(norms, 0.0, 7 * 72, 72) * 2 == pytest.approx(0.12 * 7 * 72, rel=0.01)
    assert pursuit_gain(norms, 0.0, 28 * 72, 72) * 2 == pytest.approx(0.2 * 28 * 72, rel=0.01)
    assert pursuit_gain(norms, 0.0, 10**6, 72) * 2 == pytest.approx(0.22 * 10**6, rel=0.01)
    assert constants_per_width(norms, 5.0) == 3
    assert pursuit_gain(norms, 5.0, 10**6, 72) == pursuit_gain(norms, 0.0, 10**6, 72)
    assert pursuit_gain(norms, 80.0, 10**6, 72) == pytest.approx(pursuit_gain(norms, 0.0, 10**6, 72) / 10, rel=0.01)
    assert pursuit_gain(np.zeros(3), 0.0, 100, 9) == 1.0


def test_progress_is_reported_and_may_stop_the_work(trained: nn.Module) -> None:
    seen = []
    sslth.extract(trained, EXAMPLE, width=20, progress=lambda done, total, stage: seen.append((done, total, stage)))
    assert seen[-1][0] == seen[-1][1]

    class Stop(Exception):
        pass

    def stop(done: int, total: int, stage: str) -> None:
        if stage == "searching blocks" and done == 3:
            raise Stop

    with pytest.raises(Stop):
        sslth.extract(trained, EXAMPLE, width=20, progress=stop)


def nan_weights() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(1, 2, 3))
    with torch.no_grad():
        model[0].weight[0, 0, 1, 1] = float("nan")
    return model


def infinite_bias() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(1, 2, 3))
    with torch.no_grad():
        model[0].bias[1] = float("inf")
    return model


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Sequential(nn.Flatten()), InvalidInputError, "no convolution and no Linear"),
        (
            lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False)),
            UnsupportedModuleError,
            "1 is a BatchNorm2d without running statistics",
        ),
        (lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2)), UnsupportedModuleError, "1 is a GroupNorm"),
        (lambda: nn.Sequential(nn.LSTM(8, 2)), UnsupportedModuleError, "0 is a LSTM"),
        (lambda: nn.Sequential(nn.Embedding(8, 2)), UnsupportedModuleError, "0 is a Embedding with weights"),
        (lambda: nn.LayerNorm(8), UnsupportedModuleError, "the model itself is a LayerNorm"),
        (lambda: nn.Sequential(nn.LazyConv2d(2, 3)), UnsupportedModuleError, "LazyConv2d"),
        (
            lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 1, 3))),
            UnsupportedModuleError,
            "Parametrized",
        ),
        (nan_weights, InvalidInputError, "0.weight holds NaN"),
        (infinite_bias, InvalidInputError, "0.bias holds NaN"),
        (lambda: nn.Sequential(nn.Conv2d(3, 2, 3)), InvalidInputError, "fails on example_input"),
        (lambda: "resnet", InvalidInputError, "must be a torch.nn.Module"),
    ],
)
def test_models_that_cannot_be_targets(make: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        sslth.extract(make(), EXAMPLE, width=4, progress=False)  # type: ignore[operator]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width is 0"),
        ({"width": -1}, "width is -1"),
        ({"width": 10**20}, "width is 1"),
        ({"width": 2.5}, "width is 2.5"),
        ({"width": True}, "width is True"),
        ({"seed": -1}, "seed is -1"),
        ({"low": float("nan")}, "low holds NaN"),
        ({"high": float("inf")}, "high holds NaN or inf"),
        ({"low": 1.0, "high": 0.0}, "low is above high"),
        ({"low": np.zeros((3, 3))}, "low has shape"),
        ({"low": "a"}, "low is 'a'"),
        ({"gain": 0.0}, "gain of conv1 is 0.0"),
        ({"gain": {"nowhere": 1.0}}, "nowhere"),
        ({"max_kept": 0}, "max_kept is 0"),
        ({"memory": "5 bananas"}, "memory is '5 bananas'"),
        ({"memory": 1000, "width": 4096}, "GiB for one block of layer conv1"),
        ({"jobs": 0}, "jobs is 0"),
        ({"device": "gpu9"}, "device 'gpu9' cannot be used"),
        ({"solver": "magic"}, "no solver named 'magic'"),
        ({"example_input": torch.full((1, 1, 8, 8), float("nan"))}, "finite"),
        ({"example_input": torch.zeros(0, 1, 8, 8)}, "at least one input"),
        ({"example_input": torch.zeros(1, 1, 8, 8, dtype=torch.int64)}, "finite real numbers"),
        ({"example_input": np.zeros((1, 1, 8, 8))}, "must be a torch tensor"),
    ],
)
def test_impossible_arguments(trained: nn.Module, arguments: dict, message: str) -> None:
    call = {"model": trained, "example_input": EXAMPLE, "width": 8, "progress": False, **arguments}
    with pytest.raises(InvalidInputError, match=message) as caught:
        sslth.extract(**call)
    assert "\n" not in str(caught.value)


def test_ctrl_c_stops_cleanly() -> None:
    """SIGINT in the middle of the search ends the process with KeyboardInterrupt, at once."""
    script = textwrap.dedent(
        """
        import os, signal, torch, sslth
        from torch import nn
        def progress(done, total, stage):
            if stage == "searching blocks" and done == 2:
                signal.raise_signal(signal.SIGINT)
        try:
            sslth.extract(nn.Sequential(nn.Linear(64, 10)), torch.zeros(1, 64), width=2000, progress=progress)
        except KeyboardInterrupt:
            raise SystemExit(130)
        """
    )
    result = subprocess.run([sys.executable, "-c", script], timeout=120, check=False, stderr=subprocess.PIPE)
    assert result.returncode == 130, result.stderr.decode()
    assert signal.getsignal(signal.SIGINT) is not None


@torch.no_grad()
def test_forwards_that_overwrite_and_that_name_the_input() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.r = nn.Linear(3, 4), nn.Linear(4, 2), nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            x.sub_(0.5)
            y = self.a(input=x) - 0.3
            self.r(y)
            y -= 0.5
            return self.b(y)

    torch.manual_seed(0)
    model, x = Odd().eval(), torch.rand(5, 3)
    before = x.clone()
    ticket = sslth.extract(model, x, width=600, progress=False)
    assert torch.equal(x, before)
    assert float((ticket.to_module()(x.clone()) - model(x.clone())).abs().max()) < 0.01
    report = sslth.certify(ticket, model, data=before)
    assert report.lower >= 0
    assert report.same_target


def test_hooks_on_layers_are_refused_because_a_ticket_would_drop_them() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    model[0].register_forward_hook(lambda _module, _inputs, output: output * 2)
    with pytest.raises(UnsupportedModuleError, match="0 has forward hooks"):
        sslth.extract(model, torch.zeros(1, 3), progress=False)
    with pytest.raises(InvalidInputError, match="meta device"):
        sslth.extract(nn.Sequential(nn.Linear(3, 2, device="meta")), torch.zeros(1, 3), progress=False)


def test_a_forward_that_reads_a_weight_itself_is_refused() -> None:
    class Reading(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(self.a(x), self.b.weight)

    class Untraceable(Reading):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x if float(x.sum()) < 1e9 else 2 * x)

    for kind in (Reading, Untraceable):
        with pytest.raises(UnsupportedModuleError, match=r"reads b\.weight itself and does not call b; a ticket only"):
            sslth.extract(kind(), torch.zeros(1, 3), width=8, progress=False)


@torch.no_grad()
@pytest.mark.parametrize("traceable", [True, False])
def test_a_forward_may_ask_layers_for_their_sizes(traceable: bool) -> None:
    class Asking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv1d(1, 3, 2), nn.Linear(9, 2)

        def forward(self, x: Tensor) -> Tensor:
            assert traceable or float(x.sum()) < 1e9
            size = self.conv.out_channels * (x.shape[-1] - self.conv.kernel_size[0] + 1)
            return self.head(torch.relu(self.conv(x)).view(-1, size))

    torch.manual_seed(0)
    model, x = Asking(), torch.rand(5, 1, 4)
    ticket = sslth.extract(model, x, width=64, low=0, progress=False)
    pruned = ticket.to_module()(x)
    torch.testing.assert_close(ticket.to_module(merged=True)(x), pruned, rtol=1e-4, atol=1e-4)
    assert ticket.random_network()(x).shape == pruned.shape


def test_a_box_beyond_what_the_model_takes_is_refused() -> None:
    class Picky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            torch._assert(bool((x >= 0).all()), "negative input")
            return self.linear(x)

    message = r"fails on inputs of -1 to -1, a corner of the box \(negative input\); give its corners as low and high"
    with pytest.raises(InvalidInputError, match=message):
        sslth.extract(Picky(), torch.zeros(1, 3), width=8, progress=False)
    ticket = sslth.extract(Picky(), torch.zeros(1, 3), width=8, low=0, progress=False)
    with pytest.raises(InvalidInputError, match="fails on inputs of -2 to -2"):
        sslth.certify(ticket, Picky(), low=-2)


@torch.no_grad()
def test_a_single_layer_is_a_network() -> None:
    torch.manual_seed(0)
    model, x = nn.Linear(4, 3), torch.rand(5, 4)
    ticket = sslth.extract(model, x, width=600, progress=False)
    assert float((ticket.to_module()(x) - model(x)).abs().max()) < 1e-3
