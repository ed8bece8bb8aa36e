"""The random network by other laws, and the reader's own."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sslth
from sslth.cnn.ticket_file import ticket_bytes
from sslth.cnn.weight_laws import LAWS, law_column, law_rows, uniforms_of_words
from sslth.errors import InvalidInputError, TicketFileError
from sslth.subset_sum.random_weights import Part, draw_words

SHAPE = (2, 6, 6)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, groups=2), nn.Tanh(), nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3)
    ).eval()


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.rand(8, *SHAPE, generator=torch.Generator().manual_seed(1)) * 2 - 1


def relative_error(ticket: sslth.Ticket, model: nn.Module, x: Tensor) -> float:
    with torch.no_grad():
        return float((ticket.to_module()(x) - model(x)).norm() / model(x).norm())


# ---------------------------------------------------------------------------------------------------- laws


def test_uniform_numbers_are_the_words_with_one_rounding() -> None:
    words = draw_words(5, 1, Part.U, 2, np.arange(400, dtype=np.uint32), 50)
    numbers = uniforms_of_words(words)
    root = np.float32(math.sqrt(3))
    for word, number in zip(words.ravel()[:2000].tolist(), numbers.ravel().tolist(), strict=False):
        exact = (2 * (word >> 8) + 1 - 2**24) / 2**24 * float(root)  # in float64, exact: 25 + 24 bits
        assert np.float32(exact) == number
    # 20,000 numbers of mean 0 and variance 1: five standard deviations of the sample's mean and variance
    assert abs(float(numbers.mean(dtype=np.float64))) < 5 / math.sqrt(numbers.size)
    assert abs(float(numbers.var(dtype=np.float64)) - 1) < 5 * math.sqrt(0.8 / numbers.size)
    assert np.abs(numbers).max() <= root


def test_rows_and_columns_of_a_law_are_the_same_numbers() -> None:
    filters = np.array([0, 3, 900], dtype=np.uint32)
    for law in LAWS:
        rows = law_rows(law, 9, 4, Part.V, 6, filters, 11)
        for entry in (0, 5, 10):
            assert np.array_equal(law_column(law, 9, 4, Part.V, 6, filters, entry), rows[:, entry].astype(np.float32))
        factors = np.array([0.5, 0.3, 2.0], dtype=np.float32)
        scaled = law_rows(law, 9, 4, Part.V, 6, filters, 11, factors)
        assert np.array_equal(scaled, rows * factors[:, None].astype(np.float64))


def test_no_source_is_the_normal_law_byte_for_byte(model: nn.Module, x: Tensor) -> None:
    tickets = [
        sslth.extract(model, x, width=32, source=source, solver="sorted_pursuit", progress=False)
        for source in (None, "normal")
    ]
    assert ticket_bytes(tickets[0]) == ticket_bytes(tickets[1])


@pytest.mark.parametrize("law", LAWS)
def test_tickets_of_every_law(law: str, model: nn.Module, x: Tensor, tmp_path: Path) -> None:
    ticket = sslth.extract(model, x, width=512, source=law, solver="sorted_pursuit", progress=False)
    assert relative_error(ticket, model, x) < 0.05
    report = sslth.certify(ticket, model, data=x, starts=2, steps=2)
    assert report.same_target
    assert report.lower <= report.upper < math.inf
    ticket.save(tmp_path / "t")
    for source in (None, law):
        loaded = sslth.Ticket.load(tmp_path / "t", source=source)
        assert loaded.summary()["source"] == law
        assert ticket_bytes(loaded) == ticket_bytes(ticket)
        with torch.no_grad():
            assert torch.equal(loaded.to_module()(x), ticket.to_module()(x))
    other = "normal" if law != "normal" else "uniform"
    with pytest.raises(InvalidInputError, match="law"):
        sslth.Ticket.load(tmp_path / "t", source=other)


def test_uniform_weights_are_in_the_ticket(model: nn.Module, x: Tensor) -> None:
    ticket = sslth.extract(model, x, width=32, source="uniform", solver="sorted_pursuit", progress=False)
    for pair in ticket.random_network().modules():
        if hasattr(pair, "u"):
            assert float(pair.u.abs().max()) <= math.sqrt(3) * (1 + 1e-7)
            assert float(pair.v.abs().max()) <= math.sqrt(3) * (1 + 1e-7)


def test_kaiming_is_the_scale_of_torch(model: nn.Module, x: Tensor) -> None:
    """The gain is what remains of torch's own initialisation of such a pair, whose weights have known variances."""
    width = 64
    ticket = sslth.extract(model, x, width=width, source="kaiming", solver="sorted_pursuit", progress=False)
    for kept in ticket.layers:
        wiring = kept.layer.wiring
        filters = 2 * width * wiring.in_channels
        torch.manual_seed(0)
        v = nn.init.kaiming_normal_(torch.empty(filters, wiring.in_channels, 1, 1))
        u = nn.init.kaiming_normal_(torch.empty(wiring.out_channels, filters // wiring.groups, *wiring.kernel_size))
        # the product of two standard deviations, each from at least 512 numbers: within 10 % (five of its own)
        assert float(v.std() * u.std()) * kept.layer.gain == pytest.approx(1, rel=0.16)
    with pytest.raises(InvalidInputError, match="fixes the gain"):
        sslth.extract(model, x, width=8, source="kaiming", gain=3.0, solver="sorted_pursuit", progress=False)


# ------------------------------------------------------------------------------------------ the reader's own


def own_pairs(width: int = 24) -> dict[str, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(6)
    return {
        "0": (
            torch.randn(4 * width, 2, 1, 1, generator=generator),
            torch.randn(4, 2 * width, 3, 3, generator=generator),
        ),
        "2": (
            torch.randn(4 * 4 * width, 4, generator=generator),
            torch.randn(3, 16 * width, 1, 1, generator=generator),
        ),
    }


def test_a_seed_s_own_network_gives_the_seed_s_ticket(model: nn.Module, x: Tensor, tmp_path: Path) -> None:
    ticket = sslth.extract(model, x, width=32, seed=4, compensate=False, solver="sorted_pursuit", progress=False)
    gains = {kept.layer.name: kept.layer.gain for kept in ticket.layers}
    network = ticket.random_network()
    own = sslth.extract(
        model, x, seed=99, source=network, gain=gains, compensate=False, solver="sorted_pursuit", progress=False
    )
    for mine, other in zip(own.layers, ticket.layers, strict=True):
        for blocks, others in ((mine.channels, other.channels), (mine.constants, other.constants)):
            assert all(np.array_equal(a, b) for a, b in zip(blocks, others, strict=True))
        assert mine.layer.width == other.layer.width
    with torch.no_grad():
        assert torch.equal(own.to_module(merged=True)(x), ticket.to_module(merged=True)(x))
    own.save(tmp_path / "t")
    assert ticket_bytes(sslth.Ticket.load(tmp_path / "t", source=network)) == ticket_bytes(own)


def test_own_tensors_are_what_the_ticket_is_made_of(model: nn.Module, x: Tensor, tmp_path: Path) -> None:
    pairs = own_pairs()
    ticket = sslth.extract(model, x, source=pairs, solver="sorted_pursuit", progress=False)
    assert [kept.layer.width for kept in ticket.layers] == [24, 48]
    assert ticket.width == 48
    kept = ticket.layers[0]
    filters = kept.channels[1].numbers().astype(np.int64)
    module = ticket.to_module().get_submodule("0")
    first = kept.channels[0].size
    v, u = pairs["0"]
    assert torch.equal(module.scales[first:], v[48 + filters, 1, 0, 0])  # type: ignore[index]
    # channel 1 is the second group: outputs 2 and 3, whose filters are numbered within the group
    assert torch.equal(module.kernels[first:], u[2:, filters].transpose(0, 1))  # type: ignore[index]
    network = ticket.random_network()
    for layer in ticket.layers:
        masks = ticket.masks(layer.layer.name)
        network.get_submodule(layer.layer.name).prune(masks.blocked, masks.keep)  # type: ignore[operator]
    with torch.no_grad():
        torch.testing.assert_close(network(x), ticket.to_module()(x), rtol=1e-4, atol=1e-5)
    assert sslth.certify(ticket, model, starts=2, steps=2).upper < math.inf


def test_the_ticket_asks_for_its_network_and_knows_it(model: nn.Module, x: Tensor, tmp_path: Path) -> None:
    ticket = sslth.extract(model, x, source=own_pairs(), solver="sorted_pursuit", progress=False)
    ticket.save(tmp_path / "t")
    with pytest.raises(InvalidInputError, match=r"reader's own, with SHA-256 [0-9a-f]{64}; pass it as source="):
        sslth.Ticket.load(tmp_path / "t")
    loaded = sslth.Ticket.load(tmp_path / "t", source=own_pairs())
    assert ticket_bytes(loaded) == ticket_bytes(ticket)
    with torch.no_grad():
        assert torch.equal(loaded.to_module()(x), ticket.to_module()(x))
    changed = own_pairs()
    changed["2"][1][0, 0] += 1e-6
    with pytest.raises(InvalidInputError, match="but this one's is"):
        sslth.Ticket.load(tmp_path / "t", source=changed)
    with pytest.raises(InvalidInputError, match="but this one's is the law uniform"):
        sslth.Ticket.load(tmp_path / "t", source="uniform")


def test_modules_and_whole_networks_pair_up(model: nn.Module, x: Tensor) -> None:
    torch.manual_seed(8)
    modules = [
        nn.Conv2d(2, 768, 1, bias=False),
        nn.Conv2d(768, 4, 3, groups=2, bias=False),
        nn.Conv2d(4, 1024, 1, bias=False),
        nn.Conv2d(1024, 3, 1, bias=False),
    ]
    whole = nn.Sequential(modules[0], nn.ReLU(), modules[1], nn.Tanh(), modules[2], nn.ReLU(), modules[3])
    pairs = {"0": (modules[0], modules[1]), "2": (modules[2], modules[3])}
    tickets = [
        sslth.extract(model, x, source=source, solver="sorted_pursuit", progress=False) for source in (whole, pairs)
    ]
    assert ticket_bytes(tickets[0]) == ticket_bytes(tickets[1])
    assert [kept.layer.width for kept in tickets[0].layers] == [192, 128]
    # torch's weights are small: the gain and the bias filters follow their size, so that they still reach the target
    assert relative_error(tickets[0], model, x) < 0.05


@pytest.mark.parametrize("kind", ["transposed", "batch norm", "linear", "conv1d"])
def test_every_kind_of_layer_takes_its_own_pair(kind: str) -> None:
    torch.manual_seed(9)
    kinds: dict[str, tuple[nn.Module, tuple[int, ...], Tensor, tuple[int, int]]] = {
        "transposed": (nn.ConvTranspose2d(2, 4, 3, groups=2), (2, 4, 4), torch.randn(64, 2, 3, 3), (2, 2)),
        "batch norm": (nn.BatchNorm2d(2), (2, 4, 4), torch.randn(2, 32), (2, 1)),
        "linear": (nn.Linear(2, 3), (2,), torch.randn(3, 64), (1, 3)),
        "conv1d": (nn.Conv1d(2, 3, 2), (2, 5), torch.randn(3, 64, 2), (1, 3)),
    }
    module, shape, u, (groups, outputs) = kinds[kind]
    source = {"0": (torch.randn(64, 2), u, torch.randn(20 * groups), torch.randn(20 * groups, outputs))}
    layers = [module]
    if kind == "batch norm":  # a network of batch norms alone is refused
        layers.append(nn.Conv2d(2, 1, 1))
        source["1"] = (torch.randn(16, 2), torch.randn(1, 16, 1, 1))  # type: ignore[assignment]
    model, inputs = nn.Sequential(*layers).eval(), torch.rand(2, *shape)
    ticket = sslth.extract(model, inputs, source=source, solver="sorted_pursuit", progress=False)
    first = ticket.layers[0].layer
    assert (first.width, first.constants) == (16, 20)
    network = ticket.random_network()
    for kept in ticket.layers:
        masks = ticket.masks(kept.layer.name)
        network.get_submodule(kept.layer.name).prune(masks.blocked, masks.keep)  # type: ignore[operator]
    with torch.no_grad():
        torch.testing.assert_close(network(inputs), ticket.to_module()(inputs), rtol=1e-4, atol=1e-4)


def replaced(**changes: object) -> dict:
    pairs: dict = dict(own_pairs(4))
    v, u = pairs["2"]
    pairs["2"] = (changes.get("v", v), changes.get("u", u), *changes.get("more", ()))  # type: ignore[misc]
    return pairs


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gaussian", "weight laws are normal, uniform, kaiming"),
        (5, "source is a int"),
        ({"0": own_pairs()["0"]}, "no pair for layer '2'"),
        ({**own_pairs(), "7": own_pairs()["0"]}, "names the layer '7'"),
        (replaced(v=torch.randn(64, 5)), "1x1 convolution from 4 channels"),
        (replaced(v=torch.randn(63, 4)), "must be"),
        (replaced(v=torch.randn(60, 4), u=torch.randn(3, 60, 1, 1)), "even number each"),
        (replaced(u=torch.randn(3, 65, 1, 1)), "must be"),
        (replaced(u=torch.full((3, 64, 1, 1), torch.nan)), "finite float32"),
        (replaced(u=torch.full((3, 64, 1, 1), 0.1, dtype=torch.float64)), "finite float32"),
        (replaced(u=torch.zeros(3, 64, 1, 1)), "all zeros"),
        (replaced(u=nn.Conv2d(64, 3, 1)), "has a bias"),
        (replaced(u="nonsense"), "not real numbers"),
        (replaced(more=(torch.randn(5),)), "must be"),
        (replaced(more=(torch.randn(5), torch.randn(4, 3))), "m numbers a group"),
        (nn.Sequential(nn.Conv2d(2, 8, 1)), "has 1 convolutions"),
    ],
)
def test_sources_that_do_not_fit(source: object, message: str, model: nn.Module, x: Tensor) -> None:
    with pytest.raises(InvalidInputError, match=message):
        sslth.extract(model, x, width=8, source=source, solver="sorted_pursuit", progress=False)


def test_a_ticket_without_its_network_says_so(model: nn.Module, x: Tensor, tmp_path: Path) -> None:
    from sslth.cnn.ticket_file import load_ticket

    sslth.extract(model, x, source=own_pairs(), solver="sorted_pursuit", progress=False).save(tmp_path / "t")
    bare = load_ticket(tmp_path / "t", sslth.Ticket, without_source=True)
    assert bare.kept_filters > 0
    with pytest.raises(InvalidInputError, match="load it with source="):
        bare.to_module()
    with pytest.raises(TicketFileError):
        sslth.Ticket.load(tmp_path / "nothing", source="normal")
