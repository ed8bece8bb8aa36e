"""How fast training under a mask and the choice of the top k are.

`python -m benchmarks.mining [--seconds 2] [--optimizer Adam] [--device cpu] [--json FILE]` measures, on one thread of
the CPU or on a GPU, training steps (forward, backward, optimizer) against those of the same network dense and without
masks: finetuning what a mask keeps, the same with the mask as a parametrization on the model, and the steps on scores
of edge-popup and Gem-Miner, with all that these methods do in a step. Then choosing the top 5 % of 11 million scores by
the k-th value, as `top_k` does, against sorting them all, as public implementations do; and two parts of a step. What
is compared takes turns of some 20 ms: in a turn it finds its own data in the cache, as in training. Medians are
reported, of the times and of the ratios within a turn: a machine that slows down meanwhile slows down both.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslth.data.splits import Examples
from sslth.mining.kept import trained_under
from sslth.mining.masks import Mask
from sslth.mining.methods.edge_popup import EdgePopup, PopupSearch
from sslth.mining.methods.gem_miner import GemMiner, GemSearch
from sslth.mining.parametrized import OnlyKept, attach
from sslth.mining.run import Run
from sslth.mining.scope import Scope, masked_slots
from sslth.mining.selection import choose
from sslth.mining.top_k import MovingTopK, top_k
from sslth.mining.training import Hooks, Training
from sslth.mining.weights import draw_weights
from sslth.networks.lenet_300_100 import lenet_300_100
from sslth.networks.resnet import resnet20
from sslth.networks.small_cnn import small_cnn
from sslth.subset_sum.files import write_bytes

KEEP = 0.05
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "small CNN, 8x8": (small_cnn, (1, 8, 8)),
    "LeNet-300-100, 8x8": (lenet_300_100, (1, 8, 8)),
    "LeNet-300-100, 28x28": (lambda: lenet_300_100(784), (1, 28, 28)),
    "ResNet-20, 3x32x32": (resnet20, (3, 32, 32)),
}
BATCH, BATCHES, LABELS = 64, 8, 1009
OPTIMIZERS = {"Adam": Training("Adam", 1e-3), "SGD": Training("SGD", 0.1, momentum=0.9)}
LAYER = 300 * 784  # of the widest LeNet
TURN = 0.02  # seconds
SCORES = 11_173_962  # the parameters of a ResNet-18
Step = Callable[[], object]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of every measurement")
    parser.add_argument("--optimizer", choices=sorted(OPTIMIZERS), default="Adam")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    torch.set_num_threads(1)
    place = torch.device(given.device)
    hardware = torch.cuda.get_device_name(place) if place.type == "cuda" else f"one thread of {platform.machine()}"
    print(f"torch {torch.__version__}, {hardware}\n")
    versions = {"torch": torch.__version__, "hardware": hardware, "optimizer": given.optimizer}
    found: dict[str, Any] = {**versions, "steps": {}, "top_k": {}}
    print(f"time of a step over a dense one, {given.optimizer}\n")
    print("| network | dense, steps a second | masked | parametrized | edge-popup | Gem-Miner |")
    print("|---|---|---|---|---|---|")
    for name, (make, shape) in CASES.items():
        row = steps_of(make, shape, place, given.seconds, OPTIMIZERS[given.optimizer])
        found["steps"][name] = row
        ratios = " | ".join(f"{row[f'{kind} / dense']:.3f}" for kind in list(KINDS)[1:])
        print(f"| {name} | {1 / row['dense']:,.1f} | {ratios} |", flush=True)
    found["top_k"] = row = choices(place, given.seconds)
    print(f"\ntop {KEEP:.0%} of {SCORES:,} scores: {1e3 * row['k-th value']:.0f} ms by the k-th value, ", end="")
    print(f"{1e3 * row['full sort']:.0f} ms by a full sort: {row['full sort / k-th value']:.1f} times as long")
    found["parts"] = parts = parts_of_steps(place, given.seconds)
    times = {name: f"{1e6 * value:.0f} µs" for name, value in parts.items()}
    print(f"{LAYER:,} entries: top {KEEP:.0%} {times['again']}, near the last threshold {times['near']}; ", end="")
    print(f"square roots {times['roots']}, of zeros {times['roots of 0']}")
    if given.json is not None:
        write_bytes(given.json, (json.dumps(found, indent=2) + "\n").encode())


def steps_of(
    make: Callable[[], nn.Module], shape: tuple[int, ...], place: torch.device, seconds: float, training: Training
) -> dict[str, float]:
    """Seconds of a step of each kind, and ratios to the dense one."""
    steps = {}
    for name, kind in KINDS.items():  # each with batches of its own: none finds them in the cache after another
        torch.manual_seed(0)
        steps[name] = kind(make().to(place), Feed(shape, place), training)
    return taking_turns(steps, place, seconds)


class Feed:
    """Batches of noise with labels that are new at every step, so that no network can learn them.

    Were a batch learnt by heart, gradients would shrink until their squares are denormal numbers, whose roots take Adam
    many times as long, in masked networks sooner than in dense ones.
    """

    def __init__(self, shape: tuple[int, ...], place: torch.device) -> None:
        self.inputs = torch.randn(BATCHES, BATCH, *shape, device=place)
        self.labels = torch.randint(10, (LABELS, BATCH), device=place)

    def batch(self, number: int) -> tuple[Tensor, Tensor]:
        """The batch of a step."""
        return self.inputs[number % BATCHES], self.labels[number % LABELS]


def dense(network: nn.Module, feed: Feed, training: Training) -> Step:
    """A step of an ordinary network."""
    return training_step(network, list(network.parameters()), feed, training, Hooks())


def masked(network: nn.Module, feed: Feed, training: Training) -> Step:
    """A step of finetuning under a mask."""
    parameters, hooks = trained_under(network, masked_slots(network, Scope()), some_mask(network), training)
    return training_step(network, parameters, feed, training, hooks)


def parametrized(network: nn.Module, feed: Feed, training: Training) -> Step:
    """A step under a mask that is a parametrization on the model, as `Mined.module(masks=True)` gives it."""
    slots, mask = masked_slots(network, Scope()), some_mask(network)
    attach(slots.values(), {name: OnlyKept(keep.to(feed.labels.device)) for name, keep in mask.items()})
    return training_step(network, list(network.parameters()), feed, training, Hooks())


def some_mask(network: nn.Module) -> Mask:
    """Keeps random entries."""
    slots = masked_slots(network, Scope())
    return Mask(
        choose({name: torch.rand(slot.parameter.shape) for name, slot in slots.items()}, KEEP, "global", "keep_one")
    )


def edge_popup(network: nn.Module, feed: Feed, training: Training) -> Step:
    """A step on scores: the top k of every layer, then forward and backward."""
    run = run_on(network, feed)
    search = PopupSearch(EdgePopup(), run)
    return training_step(run.network, [search.scores.vector], feed, training, search.hooks)


def gem_miner(network: nn.Module, feed: Feed, training: Training) -> Step:
    """A step on scores that are rounded, penalised and projected; the few freezes of a search are not in it."""
    run = run_on(network, feed)
    search = GemSearch(GemMiner(), run)
    return training_step(run.network, [search.scores.vector], feed, training, search.hooks)


def run_on(network: nn.Module, feed: Feed) -> Run:
    """A run of a method on the network, with the method's frozen weights."""
    slots = masked_slots(network, Scope())
    draw_weights(slots, "signed_constant", 0)
    examples = Examples(*(part.cpu() for part in feed.batch(0)))
    place = feed.labels.device
    return Run(network, slots, Scope(), examples, examples, KEEP, 1, 0, place, "keep_one")


KINDS = {
    "dense": dense,
    "masked": masked,
    "parametrized": parametrized,
    "edge_popup": edge_popup,
    "gem_miner": gem_miner,
}


def training_step(
    network: nn.Module, parameters: list[nn.Parameter], feed: Feed, training: Training, hooks: Hooks
) -> Step:
    """Forward, backward and a step of the optimizer, as the training loop does them."""
    optimizer = training.build(parameters)
    network.train()
    number = 0

    def step() -> None:
        nonlocal number
        number += 1
        inputs, labels = feed.batch(number)
        if hooks.before_forward is not None:
            hooks.before_forward()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(F.cross_entropy(network(inputs), labels))
        if hooks.after_backward is not None:
            hooks.after_backward()
        optimizer.step()
        if hooks.after_step is not None:
            hooks.after_step(number, 1 << 40)

    return step


def choices(place: torch.device, seconds: float) -> dict[str, float]:
    """Seconds of choosing the top k of many scores in two ways, which must choose the same."""
    scores = torch.rand(SCORES, generator=torch.Generator().manual_seed(0)).to(place)
    k = round(KEEP * SCORES)
    assert torch.equal(top_k(scores, k), by_sorting(scores, k)) or place.type != "cpu"
    ways: dict[str, Step] = {"k-th value": lambda: top_k(scores, k), "full sort": lambda: by_sorting(scores, k)}
    row = taking_turns(ways, place, seconds)
    row["full sort / k-th value"] = row["full sort"] / row["k-th value"]
    return row


def parts_of_steps(place: torch.device, seconds: float) -> dict[str, float]:
    """Seconds of parts of a step on a large layer: the top few of scores that move, and the roots that Adam takes.

    Moving the scores is included in both ways to choose.
    """
    start = torch.rand(LAYER, generator=torch.Generator().manual_seed(0)).to(place)
    k, step = round(KEEP * LAYER), 1e-4 * torch.randn(LAYER, device=place)
    moved, moved_too, kept = start.clone(), start.clone(), torch.empty_like(start)
    choice = MovingTopK(moved, kept, k)

    def near() -> None:
        moved.add_(step)
        choice.update()

    def again() -> None:
        moved_too.add_(step)
        kept.copy_(top_k(moved_too, k))

    ways: dict[str, Step] = {
        "again": again,
        "near": near,
        "roots": start.sqrt,
        "roots of 0": torch.zeros_like(start).sqrt,
    }
    return taking_turns(ways, place, seconds)


def by_sorting(scores: Tensor, k: int) -> Tensor:
    """The k highest by sorting all; among equal ones the first."""
    kept = torch.zeros_like(scores, dtype=torch.bool)
    kept[torch.sort(scores, descending=True, stable=True).indices[:k]] = True
    return kept


def taking_turns(steps: dict[str, Step], place: torch.device, seconds: float) -> dict[str, float]:
    """The median seconds of each, and the median of its ratio to the first one in the same turn, in drawn orders."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _warm in range(3):
        for step in steps.values():
            step()
    first = next(iter(steps))
    in_a_row = max(1, round(TURN / timed(steps[first], place, 1)))
    order, rng = list(steps), random.Random(0)
    end = time.perf_counter() + seconds * len(steps)
    while time.perf_counter() < end or len(times[first]) < 5:
        rng.shuffle(order)
        for name in order:
            times[name].append(timed(steps[name], place, in_a_row))
    found = {name: statistics.median(values) for name, values in times.items()}
    for name in list(steps)[1:]:
        ratios = [one / other for one, other in zip(times[name], times[first], strict=True)]
        found[f"{name} / {first}"] = statistics.median(ratios)
    return found


def timed(step: Step, place: torch.device, calls: int) -> float:
    """Seconds of a call, of so many in a row, finished on the device too.

    One more goes before them: after the turns of others nothing is left in the cache, unlike in training.
    """
    step()
    if place.type == "cuda":
        torch.cuda.synchronize(place)
    began = time.perf_counter()
    for _call in range(calls):
        step()
    if place.type == "cuda":
        torch.cuda.synchronize(place)
    return (time.perf_counter() - began) / calls


if __name__ == "__main__":
    main()
