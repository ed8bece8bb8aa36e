"""The backward relaxation is sound on samples, inside the intervals, and tighter where neurons share their inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslth.cnn.activations import curve_of
from sslth.cnn.certificates.bounds import Enclosure
from sslth.cnn.certificates.intervals import Interval
from sslth.cnn.certificates.linear_bound import Coefficients, Total
from sslth.cnn.certificates.propagation import propagate
from sslth.cnn.certificates.relaxation import propagate_relaxed
from sslth.cnn.certificates.relaxation_rules import Slopes, curve_step, pool_step
from sslth.cnn.certificates.windows import pooling_windows
from sslth.cnn.merged import MergedLayer, merged_module
from sslth.cnn.trace import trace

# Torch says so once, on machines where it falls back to another float32 convolution.
pytestmark = pytest.mark.filterwarnings("ignore:Could not initialize NNPACK")

SHAPE = (2, 6, 5)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """These networks are tiny: threads that wait for each other would be most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Skipping(nn.Module):
    """Additions, a difference, concatenation, a layer used twice, means."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        x = x + F.relu(self.second(x))
        y = x - self.second(x)
        z = torch.cat([F.relu(y), x], dim=1)
        return self.head(z.mean(dim=(2, 3)))


class Unknown(nn.Module):
    """A product of two activations has no backward rule: there the intervals take over."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3), nn.Conv2d(3, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.first(x)) * torch.sigmoid(self.second(x))).flatten(1)


def chain(*parts: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), *parts)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "max pooling": lambda: chain(nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True), nn.Flatten(), nn.Linear(36, 3)),
    "overlapping pooling": lambda: chain(
        nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 3, 2, groups=1), nn.ReLU(), nn.Flatten(), nn.Linear(12, 3)
    ),
    "pooling before the activation": lambda: chain(nn.MaxPool2d(2, 2), nn.LeakyReLU(0.2), nn.Conv2d(4, 3, 2)),
    "mean pooling": lambda: chain(
        nn.ReLU6(), nn.AvgPool2d(2), nn.Conv2d(4, 4, 2, groups=2), nn.Hardtanh(), nn.Flatten()
    ),
    "tanh": lambda: chain(
        nn.Tanh(), nn.Conv2d(4, 3, 3, stride=2, dilation=2), nn.Sigmoid(), nn.Flatten(), nn.Linear(3, 2)
    ),
    "transposed": lambda: chain(nn.ReLU(), nn.ConvTranspose2d(4, 2, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
    "reflecting": lambda: chain(nn.ReLU(), nn.Conv2d(4, 3, 3, padding=2, padding_mode="reflect"), nn.ReLU()),
    "softmax at the end": lambda: chain(nn.ReLU(), nn.Flatten(), nn.Linear(120, 3), nn.Softmax(dim=1)),
    "skipping": Skipping,
    "unknown": Unknown,
}


def perturbed(model: nn.Module, scale: float, *, two_sided: bool) -> dict[str, MergedLayer]:
    rng = torch.Generator().manual_seed(3)

    def noisy(value: Tensor) -> Tensor:
        return value * (1 + scale * torch.randn(value.shape, generator=rng, dtype=torch.float64))

    merged = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            weight = module.weight.detach().double()
            bias = None if module.bias is None else noisy(module.bias.detach().double())
            zero = torch.zeros_like(weight)
            merged[name] = MergedLayer(
                noisy(weight), noisy(-weight) if two_sided else None, bias, zero, zero if two_sided else None,
                None if bias is None else torch.zeros_like(bias),
            )  # fmt: skip
    return merged


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_sound_and_inside_the_intervals(name: str, two_sided: bool) -> None:
    torch.manual_seed(1)
    model = NETWORKS[name]().double().eval()
    bottom = -1.0 if two_sided else 0.0
    rng = torch.Generator().manual_seed(5)
    centre = bottom + (1 - bottom) * torch.rand((1, *SHAPE), generator=rng, dtype=torch.float64)
    traced = trace(model, centre)
    merged = perturbed(model, 1e-2, two_sided=two_sided)
    ticket = merged_module(model, merged, torch.float64).eval()
    for radius, steps in ((0.0, 0), (0.03, 2), (3.0, 1)):
        low, high = (centre - radius).clamp(min=bottom), (centre + radius).clamp(max=1.0)
        (plain,) = propagate(traced, merged, low, high)
        (found,) = propagate_relaxed(traced, merged, low, high, steps=steps).outputs
        x = low + (high - low) * torch.rand((300, *SHAPE), generator=rng, dtype=torch.float64)
        x[:150] = torch.where(torch.rand((150, *SHAPE), generator=rng) < 0.5, low, high)
        with torch.no_grad():
            values, others = model(x), ticket(x)
        for interval, seen in ((found.target, values), (found.ticket, others), (found.shift, others - values)):
            slack = 1e-12 * (1 + seen.abs())
            assert bool((interval.low <= seen + slack).all())
            assert bool((interval.high >= seen - slack).all())
        assert bool((found.shift.high <= plain.shift.high).all())
        assert bool((found.shift.low >= plain.shift.low).all())
        if radius == 0.03 and name not in ("unknown", "softmax at the end"):
            assert found.shift.magnitude().sum() < 0.99 * plain.shift.magnitude().sum()


def test_neurons_that_cancel_are_seen_to_cancel() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)).double()
    with torch.no_grad():
        model[0].weight[2:] = model[0].weight[:2]
        model[0].bias.copy_(torch.full((4,), 5.0))  # every rectifier passes its input
        model[2].weight.copy_(torch.tensor([[1.0, 2.0, -1.0, -2.0]]))
    merged = {"0": perturbed(model, 0.0, two_sided=True)["0"]}
    merged["0"].positive[:] *= 1.1
    merged["0"].negative[:] *= 1.1  # type: ignore[index]
    box = -torch.ones(1, 3).double(), torch.ones(1, 3).double()
    (plain,) = propagate(trace(model, box[0]), merged, *box)
    (found,) = propagate_relaxed(trace(model, box[0]), merged, *box).outputs
    assert plain.shift.magnitude().item() > 0.1
    assert found.shift.magnitude().item() < 1e-10


def rectangle(z: tuple[float, float], d: tuple[float, float]) -> Enclosure:
    ends = [torch.tensor([[end]], dtype=torch.float64) for end in (*z, *d)]
    target, shift = Interval(ends[0], ends[1]), Interval(ends[2], ends[3])
    return Enclosure(target, Interval(ends[0] + ends[2], ends[1] + ends[3]), shift)


@pytest.mark.parametrize(
    "module", [nn.ReLU(), nn.LeakyReLU(0.3), nn.ReLU6(), nn.Hardtanh(-0.2, 0.4), nn.Tanh(), nn.GELU()]
)
def test_the_offset_of_a_curve_is_its_maximum_over_the_rectangle(module: nn.Module) -> None:
    net = nn.Sequential(module)
    graph = trace(net, torch.zeros(1, 1)).graph_module
    assert graph is not None
    curve = curve_of(list(graph.graph.nodes)[1], module)
    assert curve is not None
    rng = torch.Generator().manual_seed(2)
    for z, d in (
        ((-1.0, 1.5), (-0.3, 0.2)),
        ((0.1, 7.0), (-0.5, -0.1)),
        ((-0.4, -0.1), (0.05, 0.9)),
        ((0.5, 0.5), (0, 0)),
    ):
        x = rectangle(z, d)
        line = [torch.linspace(*ends, 401, dtype=torch.float64) for ends in (z, d)]
        grid = torch.meshgrid(*line, indexing="ij")
        for _ in range(8):
            given = torch.randn(2, 1, 1, generator=rng, dtype=torch.float64)
            slopes = torch.rand(2, 1, 1, generator=rng, dtype=torch.float64)
            total = Total(1)
            left = curve_step(curve, x, Coefficients(given[0], given[1]), Slopes(slopes[0], slopes[1]), total)
            moved = module(grid[0] + grid[1]) - module(grid[0])
            seen = given[0] * module(grid[0]) + given[1] * moved - left.value * grid[0] - left.shift * grid[1]
            assert total.upper().item() >= seen.max().item() - 1e-12
            if curve.exact:
                assert total.upper().item() <= seen.max().item() + 0.02


def test_pooling_is_bounded_for_any_shares() -> None:
    rng = torch.Generator().manual_seed(8)
    net = nn.Sequential(nn.MaxPool2d(2))
    graph = trace(net, torch.zeros(1, 1, 4, 4)).graph_module
    assert graph is not None
    windows = pooling_windows(list(graph.graph.nodes)[1], net[0], torch.Size([1, 1, 4, 4]))
    assert windows is not None
    assert windows.tolist()[0] == [0, 1, 4, 5]
    for _ in range(30):
        z = torch.randn(2, 1, 1, 4, 4, generator=rng, dtype=torch.float64).sort(dim=0).values
        d = 0.5 * torch.randn(2, 1, 1, 4, 4, generator=rng, dtype=torch.float64).sort(dim=0).values
        x = Enclosure(Interval(z[0], z[1]), Interval(z[0] + d[0], z[1] + d[1]), Interval(d[0], d[1]))
        given = torch.randn(2, 1, 1, 2, 2, generator=rng, dtype=torch.float64)
        shares = torch.rand(2, 1, *windows.shape, generator=rng, dtype=torch.float64)
        total = Total(1)
        left = pool_step(windows, x, Coefficients(given[0], given[1]), Slopes(shares[0], shares[1]), total)
        share = torch.rand(2, 4000, 1, 4, 4, generator=rng, dtype=torch.float64)
        share[:, ::2] = share[:, ::2].round()
        a, b = z[0] + share[0] * (z[1] - z[0]), d[0] + share[1] * (d[1] - d[0])
        seen = given[0] * net(a) + given[1] * (net(a + b) - net(a))
        seen = seen.flatten(1).sum(1) - (left.value * a + left.shift * b).flatten(1).sum(1)
        assert total.upper().item() >= seen.max().item() - 1e-12


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(2),
        nn.MaxPool2d(3, 2, 1),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.MaxPool2d(2, 1, 0, 2),
        nn.MaxPool1d(3, 2, 1),
    ],
)
def test_windows_are_those_of_torch(pool: nn.Module) -> None:
    shape = (2, 7) if isinstance(pool, nn.MaxPool1d) else (2, 7, 5)
    net = nn.Sequential(pool)
    x = torch.randn(1, *shape)
    graph = trace(net, x).graph_module
    assert graph is not None
    windows = pooling_windows(list(graph.graph.nodes)[1], pool, x.shape)
    assert windows is not None
    values = torch.where(windows >= 0, x.flatten()[windows.clamp(min=0)], -torch.inf).amax(1)
    assert torch.equal(values, net(x).flatten())


def test_margins_prove_a_class() -> None:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    merged = perturbed(model, 1e-3, two_sided=True)
    ticket = merged_module(model, merged, torch.float64)
    x = torch.randn(1, 4).double()
    chosen = int(model(x).argmax())
    others = [index for index in range(3) if index != chosen]
    samples = x - 0.1 + 0.2 * torch.rand(500, 4).double()
    margins = propagate_relaxed(trace(model, x), merged, x - 0.1, x + 0.1).least_margins(chosen)
    assert margins is not None
    for network, margin in zip((model, ticket), margins, strict=True):
        with torch.no_grad():
            seen = network(samples)
        assert bool((seen[:, [chosen]] - seen[:, others] >= margin - 1e-12).all())


def test_too_little_work_keeps_the_intervals_of_inner_layers() -> None:
    torch.manual_seed(1)
    model = NETWORKS["overlapping pooling"]().double().eval()
    merged = perturbed(model, 1e-2, two_sided=False)
    box = torch.zeros(1, *SHAPE).double(), 0.1 * torch.ones(1, *SHAPE).double()
    much, little = (propagate_relaxed(trace(model, box[0]), merged, *box, work=work).outputs[0] for work in (1e12, 0.0))
    assert much.shift.magnitude().max() <= little.shift.magnitude().max()
