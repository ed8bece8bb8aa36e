"""lower <= what is true <= upper, on traced and untraced networks; planted errors are found."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslth.cnn.certificates.certificate import Report, certify_merged
from sslth.cnn.merged import MergedLayer, TwoSided, merged_module
from sslth.cnn.trace import trace
from sslth.errors import InvalidInputError, UnsupportedModuleError

# Torch says so once, on machines where it falls back to another float32 convolution.
pytestmark = pytest.mark.filterwarnings("ignore:Could not initialize NNPACK")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """These networks are tiny: threads that wait for each other would be most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def digits_net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 5),
    )  # fmt: skip


def merge(module: nn.Module, scale: float, seed: int, *, two_sided: bool = False) -> MergedLayer:
    rng = torch.Generator().manual_seed(seed)
    weight = module.weight.detach().double()  # type: ignore[union-attr,operator]
    bias = module.bias.detach().double()  # type: ignore[union-attr,operator]

    def noisy(value: Tensor) -> Tensor:
        return value * (1 + scale * torch.randn(value.shape, generator=rng, dtype=torch.float64))

    zero = torch.zeros_like(weight)
    return MergedLayer(
        noisy(weight), noisy(-weight) if two_sided else None, noisy(bias), zero, zero if two_sided else None,
        torch.zeros_like(bias),
    )  # fmt: skip


def merge_all(model: nn.Module, scale: float, *, two_sided: bool = False) -> dict[str, MergedLayer]:
    return {
        name: merge(module, scale, index, two_sided=two_sided)
        for index, (name, module) in enumerate(model.named_modules())
        if isinstance(module, nn.Conv2d | nn.Linear)
    }


def attained(model: nn.Module, merged: dict[str, MergedLayer], x: Tensor) -> float:
    target = merged_module(model, {}, torch.float64).eval()
    ticket = merged_module(model, merged, torch.float64).eval()
    with torch.no_grad():
        return float((ticket(x.double()) - target(x.double())).abs().max())


@pytest.mark.parametrize("two_sided", [True, False])
def test_lower_and_upper_hold(two_sided: bool) -> None:
    model = digits_net()
    merged = merge_all(model, 1e-3, two_sided=two_sided)
    low = -1.0 if two_sided else 0.0
    data = low + (1 - low) * torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    traced = trace(model, data[:1])
    report = certify_merged(model, traced, merged, low, 1.0, (1, 8, 8), data=data, starts=12, steps=20)
    assert report.reason is None
    assert 0 < report.lower <= report.upper < 100 * report.lower
    assert report.lower >= attained(model, merged, data) * (1 - 1e-9)
    at_witness = attained(model, merged, torch.from_numpy(report.witness)[None])
    assert report.lower == pytest.approx(at_witness, rel=1e-8)
    assert report.witness.shape == (1, 8, 8)
    assert report.witness.min() >= low
    assert report.witness.max() <= 1.0
    assert isinstance(report.upper_per_output, np.ndarray)
    assert report.upper_per_output.shape == (5,)
    assert report.upper_per_output.max() == report.upper
    with torch.no_grad():
        single, double = (merged_module(model, merged, kind) for kind in (torch.float32, torch.float64))
        assert float((single(data) - double(data.double())).abs().max()) <= report.float32_error < 1e-3
    samples = low + (1 - low) * torch.rand(500, 1, 8, 8).round().double()
    assert attained(model, merged, samples) <= report.upper


def test_a_planted_error_shows_up_below() -> None:
    model = digits_net()
    merged = merge_all(model, 0.0)
    merged["0"].positive[2, 0, 1, 1] += 0.5
    traced = trace(model, torch.zeros(1, 1, 8, 8))
    report = certify_merged(model, traced, merged, 0.0, 1.0, (1, 8, 8), starts=6, steps=10)
    assert report.lower > 1e-3
    assert report.upper >= report.lower
    assert report.kernel_error["0"] > 0.1
    assert report.kernel_error["3"] == report.kernel_error["7"] == 0.0


def test_equal_networks() -> None:
    model = digits_net()
    traced = trace(model, torch.zeros(1, 1, 8, 8))
    report = certify_merged(model, traced, merge_all(model, 0.0), 0.0, 1.0, (1, 8, 8), starts=3, steps=3)
    assert report.lower == 0.0
    assert report.upper < 1e-250


def test_same_seed_same_report() -> None:
    model = digits_net()
    merged = merge_all(model, 1e-2)
    traced = trace(model, torch.zeros(1, 1, 8, 8))

    def run(seed: int) -> Report:
        return certify_merged(model, traced, merged, 0.0, 1.0, (1, 8, 8), starts=6, steps=8, seed=seed)

    assert run(3).lower == run(3).lower
    assert np.array_equal(run(3).witness, run(3).witness)


class DataDependent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.a(x))
        return self.b(y) if y.sum() > -1 else self.b(-y)


def test_without_a_graph_upper_is_infinite_and_says_why() -> None:
    model = DataDependent()
    merged = merge_all(model, 1e-2, two_sided=True)
    data = torch.rand(20, 3)
    traced = trace(model, data[:1])
    report = certify_merged(model, traced, merged, -1.0, 1.0, (3,), data=data, starts=9, steps=10)
    assert report.upper == math.inf
    assert report.reason is not None
    assert np.isinf(report.upper_per_output).all()
    assert report.lower >= attained(model, merged, data) * (1 - 1e-6)


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = F.relu(self.a(x), inplace=True)
        return self.b(y), y


def test_several_outputs_have_one_bound_each() -> None:
    model = TwoHeads()
    merged = merge_all(model, 1e-2, two_sided=True)
    traced = trace(model, torch.rand(1, 3))
    report = certify_merged(model, traced, merged, [-1.0, 0.0, 0.5], 1.0, (3,), starts=3, steps=5)
    assert isinstance(report.upper_per_output, tuple)
    assert [part.shape for part in report.upper_per_output] == [(2,), (4,)]
    assert report.upper == max(part.max() for part in report.upper_per_output)
    assert report.low.tolist() == [-1.0, 0.0, 0.5]


def test_kernel_errors_of_groups() -> None:
    model = nn.Sequential(nn.Conv2d(4, 6, 1, groups=2, bias=False))
    weight = model[0].weight.detach().double()
    changed = weight.clone()
    changed[3:, 1] *= 1.5  # second group, its second input channel: channel 3
    zero = torch.zeros_like(weight)
    merged = {"0": MergedLayer(changed, -weight, None, zero, zero, None)}
    traced = trace(model, torch.rand(1, 4, 2, 2))
    report = certify_merged(model, traced, merged, -1.0, 1.0, (4, 2, 2), starts=3, steps=3)
    blocks = report.kernel_error_per_block["0"]
    assert blocks["positive"] == pytest.approx([0.0, 0.0, 0.0, 0.5])
    assert blocks["negative"].tolist() == [0.0] * 4
    assert "bias" not in blocks
    assert report.kernel_error["0"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("low", "high", "data", "words"),
    [
        (1.0, 0.0, None, "empty"),
        (-math.inf, 0.0, None, "finite"),
        ([0.0, 1.0], 1.0, None, "broadcast"),
        (0.0, 1.0, torch.full((2, 3), 2.0), "outside"),
        (0.0, 1.0, torch.full((2, 3), math.nan), "outside"),
        (0.0, 1.0, torch.zeros(2, 4), "shape"),
    ],
)
def test_bad_input(low: object, high: object, data: Tensor | None, words: str) -> None:
    model = TwoHeads()
    with pytest.raises(InvalidInputError, match=words):
        certify_merged(model, trace(model, torch.rand(1, 3)), {}, low, high, (3,), data=data)  # type: ignore[arg-type]


def test_float32_data_are_clipped_to_the_box() -> None:
    model = TwoHeads()
    edge = float(torch.tensor(0.1)) - 1e-9
    report = certify_merged(
        model, trace(model, torch.rand(1, 3)), {}, 0.0, edge, (3,), data=torch.full((1, 3), 0.1), starts=1
    )
    assert report.witness.max() <= edge


def test_progress_can_stop() -> None:
    model = TwoHeads()

    def stop(done: int, total: int, stage: str) -> None:
        assert 0 < done <= total
        assert stage
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        certify_merged(model, trace(model, torch.rand(1, 3)), {}, 0.0, 1.0, (3,), progress=stop)


def test_merged_module_swaps_shared_layers_and_keeps_the_forward() -> None:
    layer = nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")
    model = nn.Sequential(layer, nn.ReLU(), nn.Sequential(layer)).double()
    two = merged_module(model, {"2.0": merge(layer, 0.0, 0, two_sided=True)}, torch.float64)
    assert two.get_submodule("0") is two.get_submodule("2.0")
    assert isinstance(two.get_submodule("0"), TwoSided)
    x = torch.randn(3, 2, 5, 5, dtype=torch.float64)
    assert torch.allclose(two(x), model(x))
    assert model[0] is layer
    plain = merged_module(model, {"0": merge(layer, 0.0, 0)}, torch.float32, plain=True)
    assert type(plain.get_submodule("0")) is nn.Conv2d
    assert plain.get_submodule("0").padding_mode == "reflect"
    assert torch.allclose(plain(x.float()).double(), model(x), atol=1e-5)


def test_merged_module_refuses_what_does_not_fit() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    layer = merge(model[0], 0.0, 0)
    with pytest.raises(InvalidInputError, match="no module"):
        merged_module(model, {"7": layer}, torch.float64)
    with pytest.raises(UnsupportedModuleError, match="LayerNorm"):
        merged_module(model, {"1": layer}, torch.float64)
    with pytest.raises(InvalidInputError, match="shape"):
        merged_module(nn.Sequential(nn.Linear(3, 2)), {"0": layer}, torch.float64)
    with pytest.raises(InvalidInputError, match="float64"):
        MergedLayer(layer.positive.float(), None, None, layer.positive_radius, None, None)
    with pytest.raises(InvalidInputError, match="together"):
        MergedLayer(layer.positive, layer.positive, None, layer.positive_radius, None, None)
