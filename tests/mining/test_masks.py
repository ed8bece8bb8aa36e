"""Masks: counted, saved, shuffled, inverted; put on a model without touching its weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sslth.errors import InvalidInputError
from sslth.mining import Mask, Scope, masked
from sslth.mining.scope import masked_slots


def some_mask() -> Mask:
    draw = torch.Generator().manual_seed(0)
    return Mask({"1.weight": torch.rand(24, 16, generator=draw) < 0.3, "3.weight": torch.rand(12, 24) < 0.5})


def test_round_trip(tmp_path: Path) -> None:
    mask = some_mask()
    mask.save(tmp_path / "mask.safetensors", method="random")
    again = Mask.load(tmp_path / "mask.safetensors")
    assert again == mask
    assert list(again) == list(mask)
    assert load_file(tmp_path / "mask.safetensors")["1.weight"].dtype is torch.bool
    first = (tmp_path / "mask.safetensors").read_bytes()
    mask.save(tmp_path / "mask.safetensors", method="random")
    assert (tmp_path / "mask.safetensors").read_bytes() == first


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.safetensors"
    with pytest.raises(InvalidInputError, match="cannot read"):
        Mask.load(path)
    some_mask().save(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InvalidInputError, match="damaged"):
        Mask.load(path)
    save_file({"a": torch.ones(2, dtype=torch.bool)}, path)
    with pytest.raises(InvalidInputError, match="no file of ours"):
        Mask.load(path)


def test_shuffling_keeps_the_count_of_each_layer() -> None:
    mask = some_mask()
    moved = mask.shuffled(1)
    assert moved.counts() == mask.counts()
    assert moved != mask
    assert moved == mask.shuffled(1) != mask.shuffled(2)


def test_inverting_takes_the_lowest_scores() -> None:
    mask = Mask({"a": torch.tensor([True, False, False, False, True])})
    worst = mask.inverted({"a": torch.tensor([5.0, 1.0, 2.0, 3.0, 4.0])}, seed=0)
    assert worst["a"].tolist() == [False, True, True, False, False]
    with pytest.raises(InvalidInputError, match="no scores"):
        mask.inverted({}, seed=0)


def test_a_mask_cannot_be_changed_from_outside() -> None:
    mask = some_mask()
    kept = mask.kept
    mask["1.weight"][:] = True
    assert mask.kept == kept
    with pytest.raises(InvalidInputError, match="bool is needed"):
        Mask({"a": torch.ones(3)})
    with pytest.raises(InvalidInputError, match="at least one"):
        Mask({})


def test_a_mask_leaves_the_weights_alone(mlp: Callable[[], nn.Module]) -> None:
    network, mask = mlp(), some_mask()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    parameters = {id(parameter) for parameter in network.parameters()}
    with masked(network, mask):
        weight = network[1].weight
        assert torch.equal(weight != 0, mask["1.weight"])
        weight.sum().backward()
    assert torch.equal(network[1].weight.grad != 0, mask["1.weight"])
    assert {id(parameter) for parameter in network.parameters()} == parameters
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_tied_weights_stay_tied() -> None:
    network = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    network[1].weight = network[0].weight
    mask = Mask({"0.weight": torch.eye(4, dtype=torch.bool)})
    with masked(network, mask):
        assert torch.equal(network[0].weight, network[1].weight)
        assert int((network[1].weight != 0).sum()) == 4
    assert network[0].weight is network[1].weight


def test_scope_chooses_what_is_masked(conv: Callable[[], nn.Module]) -> None:
    network = conv()
    assert list(masked_slots(network, Scope())) == ["0.weight", "3.weight", "8.weight"]
    assert list(masked_slots(network, Scope(first="dense", last="dense"))) == ["3.weight"]
    everything = masked_slots(network, Scope(biases="masked", norms="masked"))
    assert set(everything) == {name for name, _ in network.named_parameters()}
    assert "3.weight" not in masked_slots(network, Scope(exclude=("3.weight",)))


def test_a_scope_that_leaves_nothing_is_refused(conv: Callable[[], nn.Module]) -> None:
    with pytest.raises(InvalidInputError, match="does not have"):
        masked_slots(conv(), Scope(exclude=("nonsense",)))
    with pytest.raises(InvalidInputError, match="nothing is left"):
        masked_slots(nn.Linear(2, 2), Scope(first="dense"))
    with pytest.raises(InvalidInputError, match="biases is 'gone'"):
        Scope(biases="gone")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="parametrized already"):
        masked_slots(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), Scope())


def test_a_mask_of_another_model_is_refused(conv: Callable[[], nn.Module]) -> None:
    with pytest.raises(InvalidInputError, match="another model"), masked(conv(), some_mask()):
        pass
