"""Enclosures contain every sampled value and difference, are tight at points, and survive cancellation."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslth.cnn.certificates.bounds import Enclosure, UnsupportedOperation
from sslth.cnn.certificates.propagation import propagate
from sslth.cnn.certificates.rounding32 import float32_error
from sslth.cnn.merged import MergedLayer, merged_module
from sslth.cnn.trace import tensors_of, trace

SHAPE = (3, 7, 6)


# Torch says so once, on machines where it falls back to another float32 convolution.
pytestmark = pytest.mark.filterwarnings("ignore:Could not initialize NNPACK")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """These networks are tiny: threads that wait for each other would be most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def perturbed(model: nn.Module, scale: float, seed: int, *, two_sided: bool = True) -> dict[str, MergedLayer]:
    """Merge every weighted layer with errors of relative size `scale`, alternately with and without sides."""
    rng = torch.Generator().manual_seed(seed)

    def noisy(value: Tensor) -> Tensor:
        return value * (1 + scale * torch.randn(value.shape, generator=rng, dtype=torch.float64))

    merged = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = module.weight.detach().double()
            bias = None if module.bias is None else noisy(module.bias.detach().double())
            negative = noisy(-weight) if two_sided else None
            zero = torch.zeros_like(weight)
            merged[name] = MergedLayer(
                noisy(weight), negative, bias, zero, None if negative is None else zero,
                None if bias is None else torch.zeros_like(bias),
            )  # fmt: skip
    return merged


def assert_sound(
    model: nn.Module,
    low: float = -1.0,
    high: float = 1.0,
    shape: tuple[int, ...] = SHAPE,
    *,
    two_sided: bool = True,
    scale: float = 1e-2,
    seed: int = 0,
) -> tuple[Enclosure, ...]:
    """Check the box, a small box and single points of it against float64 samples."""
    model = model.double().eval()
    rng = torch.Generator().manual_seed(seed)
    centre = low + (high - low) * torch.rand((1, *shape), generator=rng, dtype=torch.float64)
    traced = trace(model, centre)
    assert traced.reason is None
    merged = perturbed(model, scale, seed, two_sided=two_sided)
    ticket = merged_module(model, merged, torch.float64).eval()
    outer = torch.full((1, *shape), low).double(), torch.full((1, *shape), high).double()
    small = torch.clamp(centre - 0.02, *outer), torch.clamp(centre + 0.02, *outer)
    result: tuple[Enclosure, ...] = ()
    for a, b in ((centre, centre), small, outer):
        result = propagate(traced, merged, a, b)
        x = a + (b - a) * torch.rand((200, *shape), generator=rng, dtype=torch.float64)
        x[:60] = torch.where(torch.rand(60, *shape, generator=rng) < 0.5, a, b)
        with torch.no_grad():
            wanted, found = tensors_of(model(x.clone())), tensors_of(ticket(x.clone()))
        assert wanted is not None
        assert found is not None
        assert len(result) == len(wanted) == len(found)
        for enclosure, value, other in zip(result, wanted, found, strict=True):
            slack = 1e-13 * (1 + float(value.abs().max()))
            for interval, exact in (
                (enclosure.target, value),
                (enclosure.ticket, other),
                (enclosure.shift, other - value),
            ):
                assert interval.low.shape == (1, *value.shape[1:])
                assert bool((interval.low <= exact + slack).all())
                assert bool((interval.high >= exact - slack).all())
            if bool((a == b).all()):
                width = float((enclosure.shift.high - enclosure.shift.low).max())
                assert width <= 1e-10 * (1 + float(value.abs().max()))
    assert_float32_is_covered(model, merged, x, rough=float32_error(traced, merged, *outer))
    return result


def assert_float32_is_covered(model: nn.Module, merged: dict[str, MergedLayer], x: Tensor, rough: float) -> None:
    if any(isinstance(module, Lambda) and module.function is FUNCTIONS["cast"] for module in model.modules()):
        return  # it cannot run in float32
    exact, single = (merged_module(model, merged, dtype).eval() for dtype in (torch.float64, torch.float32))
    with torch.no_grad():
        wanted, found = tensors_of(exact(x.clone())), tensors_of(single(x.float()))
    assert wanted is not None
    assert found is not None
    seen = max(float((a - b.double()).abs().max()) for a, b in zip(wanted, found, strict=True))
    size = 1 + max(float(value.abs().max()) for value in wanted)
    # A softplus with a low threshold has a jump there, and float32 may be on the other side of it.
    jumps = any(isinstance(module, nn.Softplus) and module.threshold < 10 for module in model.modules())
    assert seen <= rough < (1.0 if jumps else 1e-2) * size


def conv(*arguments: int, seed: int = 0, **keywords: object) -> nn.Conv2d:
    torch.manual_seed(seed)
    return nn.Conv2d(*arguments, **keywords)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "layer",
    [
        {},
        {"padding": 1},
        {"padding": "same", "dilation": 2},
        {"padding": "valid", "bias": False},
        {"stride": (2, 1), "padding": (0, 2)},
        {"dilation": (2, 1), "padding": 2},
        {"groups": 3, "padding": 1},
        {"padding": 1, "padding_mode": "reflect"},
        {"padding": "same", "padding_mode": "circular"},
        {"padding": (2, 1), "padding_mode": "replicate", "stride": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("two_sided", [True, False])
def test_convolutions(layer: dict[str, object], two_sided: bool) -> None:
    low = -1.0 if two_sided else 0.0
    torch.manual_seed(3)
    model = nn.Sequential(conv(3, 6, 3, **layer), nn.ReLU(), conv(6, 4, 2, seed=1))
    # The second layer is one-sided in both cases' structure; two sides there must be sound as well.
    assert_sound(model, low=low, two_sided=two_sided)


@pytest.mark.parametrize("two_sided", [True, False])
def test_one_sided_layers_are_sound_even_on_boxes_of_both_signs(two_sided: bool) -> None:
    assert_sound(nn.Sequential(conv(3, 4, 3), nn.Tanh(), conv(4, 2, 3, seed=1)), two_sided=two_sided)


ACTIVATIONS = [
    nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.1), nn.LeakyReLU(-0.3), nn.Hardtanh(-0.2, 0.4), nn.Sigmoid(),
    nn.LogSigmoid(), nn.Tanh(), nn.Tanhshrink(), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Mish(),
    nn.ELU(0.7), nn.ELU(2.0), nn.SELU(), nn.CELU(1.7), nn.Softplus(), nn.Softplus(3.0, 2.0), nn.Softsign(),
    nn.Softshrink(0.1), nn.Hardsigmoid(), nn.Hardswish(),
]  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("gain", [1.0, 12.0])
def test_activations(activation: nn.Module, gain: float) -> None:
    first = conv(3, 5, 3)
    first.weight.data *= gain
    assert_sound(nn.Sequential(first, activation, conv(5, 3, 3, seed=2)), scale=0.05)


class Composite(nn.Module):
    """Functional forms, methods, skip connections, shared layers and several outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = conv(3, 4, 3, padding=1)
        self.again = conv(4, 4, 3, padding=1, seed=1)
        self.head = nn.Linear(8 * 3 * 3, 5)
        self.other = nn.Linear(8, 3)
        self.register_buffer("scale", torch.linspace(0.5, 1.5, 4).reshape(1, 4, 1, 1))
        self.offset = nn.Parameter(torch.tensor(0.3))

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        y = F.relu(self.first(x))
        z = torch.relu(self.again(y)) * self.scale + self.offset
        z = y + F.dropout(self.again(z), training=self.training).tanh()
        z = torch.cat([z, -z.abs() / 3 + 0.25], dim=1)
        z = F.pad(z, (1, 0, 0, 1), value=0.5)
        z = F.max_pool2d(z, 3, stride=2, padding=1, ceil_mode=True)
        z = F.adaptive_avg_pool2d(z, 3)
        gate = torch.sigmoid(z.mean((2, 3), keepdim=True))
        z = z * gate
        logits = self.head(z.view(z.size(0), -1))
        small = self.other(z.amax(dim=(2, 3)).clamp(min=-0.5)) - 2 * z[:, :3, 1, 1]
        return logits, {"log": F.log_softmax(logits, dim=1), "soft": small.softmax(-1), "pow": small**2}


def test_functional_network_with_skips_and_several_outputs() -> None:
    torch.manual_seed(5)
    outputs = assert_sound(Composite(), scale=1e-3)
    assert len(outputs) == 4


POOLINGS = [
    nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.MaxPool2d(2, 1, 0, 2),
    nn.AvgPool2d(2), nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.AvgPool2d((2, 3), ceil_mode=True),
    nn.AvgPool2d(2, divisor_override=3), nn.AdaptiveAvgPool2d((2, 3)), nn.AdaptiveAvgPool2d(1),
    nn.AdaptiveMaxPool2d(2), nn.BatchNorm2d(4), nn.Upsample(scale_factor=2), nn.PixelShuffle(2),
    nn.ZeroPad2d(1), nn.ConstantPad2d(1, -2.0), nn.ReflectionPad2d(1), nn.Dropout(), nn.Softmax(dim=1),
    nn.LogSoftmax(dim=1), nn.Identity(), nn.Flatten(), nn.Unflatten(1, (2, 2)),
]  # fmt: skip


@pytest.mark.parametrize("module", POOLINGS, ids=str)
def test_weightless_modules(module: nn.Module) -> None:
    if isinstance(module, nn.BatchNorm2d):
        module.running_mean = torch.tensor([0.1, -0.2, 0.3, 0.0])
        module.running_var = torch.tensor([1.1, 0.2, 2.0, 0.5])
        module.weight.data = torch.tensor([1.0, -2.0, 0.5, 0.1])
    assert_sound(nn.Sequential(conv(3, 4, 3), nn.ReLU(), module))


class Lambda(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self.layer = conv(3, 4, 3)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer(x))  # type: ignore[operator]


FUNCTIONS = {
    "flatten": lambda x: torch.flatten(x, 1),
    "reshape": lambda x: x.reshape(-1, 4, 5 * 4),
    "permute": lambda x: x.permute(0, 2, 3, 1).contiguous(),
    "chunk": lambda x: torch.stack(x.chunk(2, dim=1)[::-1], dim=1),
    "shape": lambda x: x.view(x.shape[0], x.shape[1], -1).transpose(1, 2),
    "square": lambda x: x * x,
    "product": lambda x: x * torch.tanh(x),
    "maximum": lambda x: torch.maximum(x, 0.5 - x),
    "minimum": lambda x: torch.minimum(x, x.mean(dim=1, keepdim=True)),
    "rsub": lambda x: 1 - x,
    "alpha": lambda x: torch.add(x, x.abs(), alpha=2),
    "inplace": lambda x: F.leaky_relu(x, 0.2, True).add_(1.0),
    "augmented": lambda x: x.exp().mul_(0.5).neg(),
    "sum": lambda x: x.sum((2, 3)),
    "spatial": lambda x: F.avg_pool2d(F.max_pool2d(x, (2, 1)), 2, 1),
    "interpolate": lambda x: F.interpolate(x, scale_factor=2),
    "hard": lambda x: F.hardswish(x) + F.hardtanh(x, -0.1, 0.2) + x.clamp(max=0.1) + F.relu6(x),
    "softmin": lambda x: torch.softmax(-10 * x, 1),
    "cast": lambda x: x.to(torch.float64) / 7,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    assert_sound(Lambda(FUNCTIONS[name]), scale=0.05)


UNKNOWN = {
    "cumsum": lambda x: x.cumsum(1),
    "division": lambda x: x / x,
    "random": lambda x: F.dropout(x, 0.0, training=True),
    "matmul": lambda x: x @ x.transpose(2, 3),
    "divisor": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_operations_without_a_rule_are_named(name: str) -> None:
    model = Lambda(UNKNOWN[name]).double()
    x = torch.ones((1, *SHAPE), dtype=torch.float64)
    with pytest.raises(UnsupportedOperation) as caught:
        propagate(trace(model, x), {}, -x, x)
    assert caught.value.reason
    assert "\n" not in caught.value.reason


class ReadsItsWeight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.layer.weight.sum()


def test_weights_read_outside_their_layer_are_refused() -> None:
    model = ReadsItsWeight().double()
    x = torch.ones((1, 3), dtype=torch.float64)
    with pytest.raises(UnsupportedOperation, match="reads"):
        propagate(trace(model, x), perturbed(model, 0.1, 0), -x, x)


def test_equal_networks_differ_by_nothing() -> None:
    model = nn.Sequential(conv(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3)).double()
    x = torch.ones((1, *SHAPE), dtype=torch.float64)
    for merged in ({}, perturbed(model, 0.0, 0)):
        (out,) = propagate(trace(model, x), merged, -x, x)
        assert float(out.shift.magnitude().max()) < 1e-280


def test_a_single_layer_is_bounded_exactly() -> None:
    model = nn.Linear(4, 3).double()
    merged = {"": perturbed(nn.Sequential(model), 0.1, 1, two_sided=False)["0"]}
    ones = torch.ones((1, 4), dtype=torch.float64)
    (out,) = propagate(trace(nn.Sequential(model), ones), {"0": merged[""]}, 0 * ones, ones)
    error = merged[""].positive - model.weight.detach()
    offset = merged[""].bias - model.bias.detach()  # type: ignore[operator]
    assert torch.allclose(out.shift.high[0], error.clamp(min=0).sum(1) + offset, atol=1e-13)
    assert torch.allclose(out.shift.low[0], error.clamp(max=0).sum(1) + offset, atol=1e-13)


def test_radii_widen_the_difference() -> None:
    model = nn.Sequential(nn.Linear(2, 1, bias=False)).double()
    weight = model[0].weight.detach()
    merged = {"0": MergedLayer(weight, -weight, None, torch.full_like(weight, 0.25), torch.zeros_like(weight), None)}
    ones = torch.ones((1, 2), dtype=torch.float64)
    (out,) = propagate(trace(model, ones), merged, -ones, ones)
    assert float(out.shift.high) == pytest.approx(0.5, abs=1e-12)
    assert float(out.shift.low) == pytest.approx(-0.5, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_rounding_is_covered_where_everything_cancels(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)

    def wild(*shape: int) -> Tensor:
        exponents = torch.randint(-30, 30, shape, generator=rng).double()
        return torch.randn(shape, generator=rng, dtype=torch.float64) * 2.0**exponents

    x, weight, positive = wild(1, 12), wild(1, 12), wild(1, 12)
    # The second half repeats the first with the other sign: what is left is rounding and one odd term.
    x[:, 6:], weight[:, 6:], positive[:, 6:] = x[:, :6], -weight[:, :6], -positive[:, :6]
    x[0, 0] *= 1 + 2.0**-52
    model = nn.Sequential(nn.Linear(12, 1, bias=False)).double()
    model[0].weight.data = weight
    negative = wild(1, 12)
    zero = torch.zeros_like(weight)
    merged = {"0": MergedLayer(positive, negative, None, zero, zero, None)}
    (out,) = propagate(trace(model, x), merged, x, x)

    def exact(kernel: Tensor, inputs: Tensor) -> Fraction:
        pairs = zip(kernel.flatten().tolist(), inputs.flatten().tolist(), strict=True)
        return sum((Fraction(a) * Fraction(b) for a, b in pairs), Fraction(0))

    target = exact(weight, x)
    ticket = exact(positive, x.clamp(min=0)) + exact(negative, (-x).clamp(min=0))
    for interval, value in ((out.target, target), (out.ticket, ticket), (out.shift, ticket - target)):
        assert Fraction(interval.low.item()) <= value <= Fraction(interval.high.item())


def test_a_divisor_that_differs_between_the_networks_is_refused() -> None:
    model = Lambda(lambda x: 1 / (1 + x.abs())).double()
    x = torch.ones((1, *SHAPE), dtype=torch.float64)
    assert propagate(trace(model, x), {}, -x, x)  # the same in both networks, and never 0
    weight = model.layer.weight.detach()
    bias = model.layer.bias.detach()
    off = MergedLayer(weight + 0.1, None, bias, torch.zeros_like(weight), None, torch.zeros_like(bias))
    with pytest.raises(UnsupportedOperation, match="differs or may be zero"):
        propagate(trace(model, x), {"layer": off}, -x, x)
