"""How fast masked training and the choice of the top k are.

`python -m benchmarks.mining [--seconds 2] [--device cpu] [--json FILE]` measures, on one thread of the CPU or on a GPU,
a training step (forward, backward, Adam) of a masked network against the same network dense and without masks, and
against the steps of the two methods that learn scores; then choosing the top 5 % of 11 million scores by the k-th
value, as `top_k` does, against sorting them all, as public implementations do. What is compared takes turns. Medians
are reported, of the times and of the ratios of neighbours: a machine that slows down meanwhile slows down both.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslth.mining.masks import Mask
from sslth.mining.parametrized import Masked, Scored, attach
from sslth.mining.scope import Scope, masked_slots
from sslth.mining.selection import choose, top_k
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
BATCH = 64
SCORES = 11_173_962  # the parameters of a ResNet-18
Step = Callable[[], object]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of every measurement")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    torch.set_num_threads(1)
    place = torch.device(given.device)
    hardware = torch.cuda.get_device_name(place) if place.type == "cuda" else f"one thread of {platform.machine()}"
    print(f"torch {torch.__version__}, {hardware}\n")
    found: dict[str, Any] = {"torch": torch.__version__, "hardware": hardware, "steps": {}, "top_k": {}}
    print("| network | dense, steps a second | masked | time of a step, masked / dense | edge-popup | Gem-Miner |")
    print("|---|---|---|---|---|---|")
    for name, (make, shape) in CASES.items():
        row = steps_of(make, shape, place, given.seconds)
        found["steps"][name] = row
        print(
            f"| {name} | {1 / row['dense']:,.1f} | {1 / row['masked']:,.1f} | {row['masked / dense']:.3f} | "
            f"{row['edge_popup / dense']:.2f} | {row['gem_miner / dense']:.2f} |"
        )
    found["top_k"] = row = choices(place, given.seconds)
    print(f"\ntop {KEEP:.0%} of {SCORES:,} scores: {1e3 * row['k-th value']:.0f} ms by the k-th value, ", end="")
    print(f"{1e3 * row['full sort']:.0f} ms by a full sort: {row['full sort / k-th value']:.1f} times as long")
    if given.json is not None:
        write_bytes(given.json, (json.dumps(found, indent=2) + "\n").encode())


def steps_of(
    make: Callable[[], nn.Module], shape: tuple[int, ...], place: torch.device, seconds: float
) -> dict[str, float]:
    """Seconds of a step of each kind, and ratios to the dense one."""
    torch.manual_seed(0)
    inputs, labels = torch.randn(BATCH, *shape, device=place), torch.randint(10, (BATCH,), device=place)
    kinds = {"dense": dense, "masked": masked, "edge_popup": edge_popup, "gem_miner": gem_miner}
    return taking_turns({name: kind(make().to(place), inputs, labels) for name, kind in kinds.items()}, place, seconds)


def dense(network: nn.Module, inputs: Tensor, labels: Tensor) -> Step:
    """A step of an ordinary network."""
    return training_step(network, list(network.parameters()), inputs, labels)


def masked(network: nn.Module, inputs: Tensor, labels: Tensor) -> Step:
    """A step of finetuning under a mask, as `finetune` does it."""
    slots = masked_slots(network, Scope())
    scores = {name: torch.rand_like(slot.parameter) for name, slot in slots.items()}
    mask = Mask(choose(scores, KEEP, "global", "keep_one"))
    attach(slots.values(), {name: Masked(mask[name].to(inputs.device)) for name in slots})
    return training_step(network, list(network.parameters()), inputs, labels)


def edge_popup(network: nn.Module, inputs: Tensor, labels: Tensor) -> Step:
    """A step on scores: the top k of every layer, then forward and backward."""
    return _scored(network, inputs, labels, absolute=True)


def gem_miner(network: nn.Module, inputs: Tensor, labels: Tensor) -> Step:
    """A step on scores that are rounded at 1/2."""
    return _scored(network, inputs, labels, absolute=False)


def _scored(network: nn.Module, inputs: Tensor, labels: Tensor, *, absolute: bool) -> Step:
    slots = masked_slots(network, Scope())
    parts = {name: Scored(torch.rand_like(slot.parameter), absolute=absolute) for name, slot in slots.items()}
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    attach(slots.values(), parts)
    step = training_step(network, [part.scores for part in parts.values()], inputs, labels)

    def whole() -> None:
        if absolute:
            for name, kept in choose(
                {name: part.ranking for name, part in parts.items()}, KEEP, "uniform", "keep_one"
            ).items():
                parts[name].hard.copy_(kept)
        else:
            for part in parts.values():
                part.hard.copy_(part.scores.detach() >= 0.5)
        step()

    return whole


def training_step(network: nn.Module, parameters: list[nn.Parameter], inputs: Tensor, labels: Tensor) -> Step:
    """Forward, backward and Adam, as the training loop does them, on one batch.

    The step size is so small that the network stays as it was drawn. Were the batch learnt by heart, the squares of
    its gradients would be denormal numbers, whose roots take Adam four times as long: in masked networks sooner.
    """
    optimizer = torch.optim.Adam(parameters, lr=1e-9)
    network.train()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(F.cross_entropy(network(inputs), labels))
        optimizer.step()

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


def by_sorting(scores: Tensor, k: int) -> Tensor:
    """The k highest by sorting all; among equal ones the first."""
    kept = torch.zeros_like(scores, dtype=torch.bool)
    kept[torch.sort(scores, descending=True, stable=True).indices[:k]] = True
    return kept


def taking_turns(steps: dict[str, Step], place: torch.device, seconds: float) -> dict[str, float]:
    """The median seconds of each, and the median of its ratio to the first one just before it."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _warm in range(3):
        for step in steps.values():
            step()
    end = time.perf_counter() + seconds * len(steps)
    while time.perf_counter() < end or len(next(iter(times.values()))) < 5:
        for name, step in steps.items():
            times[name].append(timed(step, place))
    first = next(iter(steps))
    found = {name: statistics.median(values) for name, values in times.items()}
    for name in list(steps)[1:]:
        ratios = [one / other for one, other in zip(times[name], times[first], strict=True)]
        found[f"{name} / {first}"] = statistics.median(ratios)
    return found


def timed(step: Step, place: torch.device) -> float:
    """Seconds of one call, finished on the device too."""
    if place.type == "cuda":
        torch.cuda.synchronize(place)
    began = time.perf_counter()
    step()
    if place.type == "cuda":
        torch.cuda.synchronize(place)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
