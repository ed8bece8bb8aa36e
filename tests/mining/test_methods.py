"""Every method through the same cases."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from sslth.data.splits import Examples, Splits
from sslth.errors import InvalidInputError
from sslth.mining import (
    EdgePopup,
    GemMiner,
    Imp,
    Magnitude,
    Random,
    Scope,
    Snip,
    SynFlow,
    Training,
    known_methods,
    method_named,
    mine,
)
from sslth.mining.run import Method
from sslth.networks.resnet import resnet20

METHODS: list[Method] = [
    Random("uniform"),
    Random("erdos_renyi_kernel"),
    Random("smart_ratio"),
    Magnitude(),
    Magnitude(of="init", budget="uniform"),
    Snip(),
    SynFlow(rounds=10),
    EdgePopup(),
    EdgePopup(weights="kaiming_normal", scale_keep=True, budget="global"),
    Imp(rate=0.5, rewind=4),
    GemMiner(),
    GemMiner(weights="as_given", budget="erdos_renyi_kernel", freezes=3),
]
FROZEN = (EdgePopup, GemMiner, Random, Snip, SynFlow)
Build = Callable[[], nn.Module]


def label(method: Method) -> str:
    return f"{method.name}-{getattr(method, 'budget', '')}"


@pytest.mark.parametrize("method", METHODS, ids=label)
def test_budget_is_met_exactly_and_weights_stay(method: Method, conv: Build, blobs: Splits) -> None:
    mined = mine(conv, blobs, method, keep=0.13, epochs=2, finetune_epochs=1, seed=3, on_empty="keep_one")
    assert mined.mask.size == 54 + 432 + 96
    assert mined.mask.kept == round(0.13 * 582)  # the uniform budget too: remainders are shared out
    assert mined.keep == mined.results["keep"] == mined.mask.kept / 582
    assert not mined.mask.empty_layers()
    for name, keep in mined.mask.items():
        assert torch.equal(mined.final[name] != 0, keep)  # trained weights are never exactly 0
        assert mined.scores[name].shape == keep.shape
    if isinstance(method, FROZEN):
        drawn = mined.template.state_dict()
        assert all(torch.equal(mined.start[name], drawn[name]) for name in mined.mask)
        assert all(torch.equal(mined.start[name], drawn[name]) for name in drawn if name.endswith("bias"))


@pytest.mark.parametrize("method", METHODS, ids=label)
def test_same_seed_same_ticket(method: Method, mlp: Build, blobs: Splits) -> None:
    with torch.random.fork_rng():
        state = torch.random.get_rng_state()
        runs = [mine(mlp, blobs, method, keep=0.2, epochs=2, finetune_epochs=1, seed=seed) for seed in (1, 1, 2)]
        assert torch.equal(torch.random.get_rng_state(), state)
    assert runs[0].mask == runs[1].mask
    assert runs[0].history == runs[1].history
    assert runs[0].results == runs[1].results
    assert all(torch.equal(runs[0].final[name], runs[1].final[name]) for name in runs[0].final)
    assert runs[0].mask != runs[2].mask


@pytest.mark.parametrize("name", list(known_methods()))
def test_names_give_methods_with_one_line_each(name: str) -> None:
    assert method_named(name).name == name
    assert known_methods()[name].endswith(".")


@pytest.mark.parametrize("method", METHODS, ids=label)
def test_the_test_part_decides_nothing(method: Method, mlp: Build, blobs: Splits) -> None:
    other = Examples(torch.flip(blobs.test.inputs, [0]) + 1, blobs.test.labels)
    runs = [
        mine(mlp, data, method, keep=0.2, epochs=1, finetune_epochs=1)
        for data in (blobs, Splits(blobs.train, blobs.validation, other, blobs.classes))
    ]
    assert runs[0].mask == runs[1].mask
    assert all(torch.equal(runs[0].final[name], runs[1].final[name]) for name in runs[0].final)
    assert runs[0].history == runs[1].history  # validation accuracies among them
    assert all(torch.equal(runs[0].scores[name], runs[1].scores[name]) for name in runs[0].scores)
    assert all(runs[0].results[name] == runs[1].results[name] for name in ("validation_before", "validation_after"))


def test_a_model_that_is_given_is_not_changed(mlp: Build, blobs: Splits) -> None:
    model = mlp()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    mined = mine(model, blobs, "gem_miner", keep=0.3, epochs=1)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert type(mined.module()) is type(model)


@pytest.mark.parametrize("name", ["random", "snip", "synflow", "edge_popup", "gem_miner"])
def test_weights_are_frozen_by_choice(name: str, mlp: Build, blobs: Splits) -> None:
    settings = {"weights": "as_given"} if name in ("edge_popup", "gem_miner") else {}
    method = method_named(name, settings)
    model = mlp()
    model.get_parameter("1.weight").requires_grad_(False)
    given = {path: value.clone() for path, value in model.state_dict().items()}
    mined = mine(model, blobs, method, keep=0.3, epochs=1)
    kept = mined.mask["1.weight"]
    assert torch.equal(mined.final["1.weight"], given["1.weight"] * kept)
    other = mined.mask["3.weight"]
    assert not torch.equal(mined.final["3.weight"], given["3.weight"] * other)
    assert not mined.template.get_parameter("1.weight").requires_grad
    model.requires_grad_(False)
    frozen = mine(model, blobs, method, keep=0.3, epochs=1, finetune_epochs=0)
    assert all(torch.equal(frozen.start[path], value) for path, value in given.items())
    assert all(torch.equal(frozen.final[path], given[path] * keep) for path, keep in frozen.mask.items())
    with pytest.raises(InvalidInputError, match="finetune has nothing to train"):
        mine(model, blobs, method, keep=0.3, epochs=1, finetune_epochs=1)


def test_module_carries_the_ticket(mlp: Build, blobs: Splits) -> None:
    mined = mine(mlp, blobs, "magnitude", keep=0.3, epochs=3)
    plain, with_masks = mined.module(), mined.module(masks=True)
    outputs = plain(blobs.test.inputs)
    right = float((outputs.argmax(1) == blobs.test.labels).float().mean())
    assert right == pytest.approx(mined.results["accuracy_after"], abs=1e-6)
    assert torch.equal(with_masks(blobs.test.inputs), outputs)
    optimizer = torch.optim.SGD(with_masks.parameters(), 0.1)
    with_masks(blobs.train.inputs).logsumexp(1).sum().backward()
    optimizer.step()
    assert torch.equal(with_masks[1].weight != 0, mined.mask["1.weight"])
    before = mined.module(finetuned=False)
    right = float((before(blobs.test.inputs).argmax(1) == blobs.test.labels).float().mean())
    assert right == pytest.approx(mined.results["accuracy_before"], abs=1e-6)


def test_methods_learn_these_blobs(mlp: Build, blobs: Splits) -> None:
    for name in ("magnitude", "edge_popup", "gem_miner"):
        mined = mine(mlp, blobs, name, keep=0.3, epochs=15, finetune_epochs=8)
        assert mined.results["accuracy_after"] > 0.8, name  # chance is 1/3
        assert mined.results["accuracy_before"] > 0.6, name


def test_zero_biases_stay_zero_and_trained_ones_move(mlp: Build, blobs: Splits) -> None:
    mined = mine(mlp, blobs, "edge_popup", keep=0.3, epochs=1, scope=Scope(biases="zero"))
    assert all(not mined.final[name].any() for name in mined.final if name.endswith("bias"))
    mined = mine(mlp, blobs, "edge_popup", keep=0.3, epochs=1, finetune_epochs=0, scope=Scope(biases="trained"))
    assert not torch.equal(mined.start["1.bias"], mined.template.state_dict()["1.bias"])
    mined = mine(mlp, blobs, "gem_miner", keep=0.3, epochs=1, scope=Scope(biases="masked"), on_empty="keep_one")
    assert mined.mask.size == 708 + 39
    assert mined.mask.kept == round(0.3 * 747)


@pytest.mark.parametrize("name", ["edge_popup", "gem_miner"])
def test_resnet20_at_the_shape_of_cifar(name: str) -> None:
    """On a GPU where there is one."""
    place = "cuda" if torch.cuda.is_available() else "cpu"
    draw = torch.Generator().manual_seed(0)
    part = Examples(torch.rand(16, 3, 32, 32, generator=draw), torch.arange(16) % 10)
    data = Splits(part, part, part, 10)
    first, again = (
        mine(resnet20, data, name, keep=0.05, epochs=2, finetune_epochs=1, on_empty="keep_one", device=place)
        for _ in range(2)
    )
    assert first.mask.size == 268_336  # weights of convolutions and the linear layer
    assert first.mask.kept == round(0.05 * 268_336)
    drawn = first.template.state_dict()
    assert all(torch.equal(first.start[path], drawn[path]) for path in first.mask)
    assert all(torch.equal(first.final[path] != 0, keep) for path, keep in first.mask.items())
    if place == "cpu":
        assert first.mask == again.mask
        assert all(torch.equal(values, again.final[path]) for path, values in first.final.items())


def test_batch_norms_are_measured_again_by_choice(conv: Build, blobs: Splits) -> None:
    plain, again = (
        mine(conv, blobs, "snip", keep=0.5, finetune_epochs=0, scope=Scope(reestimate=choice))
        for choice in (False, True)
    )
    assert plain.mask == again.mask
    assert (plain.results["batch_norms"], again.results["batch_norms"]) == ("running", "reestimated")
    assert torch.equal(plain.start["1.running_mean"], torch.zeros(6))
    network = again.module(finetuned=False)
    convolved = network[0](blobs.train.inputs).transpose(0, 1).flatten(1)
    parts = [len(rows) for rows in torch.split(blobs.train.inputs, again.setup.training.batch_size)]
    means = [network[0](part).mean((0, 2, 3)) for part in torch.split(blobs.train.inputs, parts[0])]
    assert torch.allclose(again.start["1.running_mean"], torch.stack(means).mean(0), atol=1e-5)
    assert torch.allclose(again.start["1.running_mean"], convolved.mean(1), atol=0.05)


@pytest.mark.parametrize("law", ["signed_constant", "kaiming_normal"])
def test_weight_laws(law: str, mlp: Build, blobs: Splits) -> None:
    weights = mine(mlp, blobs, EdgePopup(weights=law), keep=0.5, epochs=0).start["1.weight"]
    scale = (2 / 16) ** 0.5
    if law == "signed_constant":
        assert torch.allclose(weights.abs(), torch.full_like(weights, scale))
        assert 0.3 < float((weights > 0).float().mean()) < 0.7
    else:
        assert float(weights.std()) == pytest.approx(scale, rel=0.15)
    scaled = mine(mlp, blobs, EdgePopup(weights=law, scale_keep=True), keep=0.5, epochs=0).start["1.weight"]
    assert torch.allclose(scaled, weights * 2**0.5)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("gems", {}, "no method 'gems'"),
        ("random", {"colour": 1}, "no hyper-parameter 'colour'"),
        ("edge_popup", {"structured": "yes"}, "structured of edge_popup is 'yes'"),
        ("gem_miner", {"freezes": 0}, "freezes=0"),
        ("synflow", {"rounds": 0}, "rounds is 0"),
        ("snip", {"examples": 0}, "examples is 0"),
        ("magnitude", {"of": "end"}, "of is 'end'"),
        ("gem_miner", {"training": {"speed": 1}}, "training is"),
        ("gem_miner", {"training": {"optimizer": "Newton"}}, "no optimizer 'Newton'"),
        ("gem_miner", {"training": {"learning_rate": -1.0}}, "must both be positive"),
        ("gem_miner", {"training": {"learning_rate": "fast"}}, "learning_rate is 'fast'"),
        ("gem_miner", {"training": {"learning_rate": 1e38}}, r"learning_rate is 1e\+38"),
        ("gem_miner", {"training": {"momentum": -0.5}}, "momentum=-0.5"),
        ("gem_miner", {"training": {"batch_size": 1.5}}, "batch_size is 1.5"),
        ("gem_miner", {"training": {"batch_size": "all"}}, "batch_size is 'all'"),
        ("gem_miner", {"training": {"amp": 1}}, "amp is 1"),
        ("gem_miner", {"training": {"optimizer": 3}}, "no optimizer 3"),
    ],
)
def test_bad_hyper_parameters(name: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        method_named(name, settings)


@pytest.mark.parametrize(
    "training",
    [Training("LBFGS"), Training("SparseAdam"), Training("Optimizer"), Training("Adam", momentum=0.9)],
    ids=lambda training: f"{training.optimizer}-{training.momentum:g}",
)
def test_an_optimizer_that_cannot_be_used_is_refused(training: Training, mlp: Build, blobs: Splits) -> None:
    with pytest.raises(InvalidInputError, match=f"the optimizer {training.optimizer} cannot be used here"):
        mine(mlp, blobs, "random", keep=0.3, epochs=1, training=training)


def test_settings_by_name() -> None:
    assert method_named("gem_miner", {"penalty": 0, "training": {"learning_rate": 0.5}}) == GemMiner(
        penalty=0, training=Training(learning_rate=0.5)
    )
