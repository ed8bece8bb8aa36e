"""What the main paper has no experiment for: the width its theorem asks for beside the width that the search needs."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from sslth.cnn.certificates.certify import certify
from sslth.cnn.extract import extract
from sslth.data.digits import Split, load_digits
from sslth.experiments.reproduce.experiment import Cell, Experiment, Outcome
from sslth.experiments.reproduce.setup import Setup, one_thread
from sslth.experiments.reproduce.table import Row
from sslth.networks.small_cnn import small_cnn
from sslth.networks.training import train_classifier

__all__ = ["EXPERIMENT", "needed_width", "theorem_width"]

EPSILONS = (1.0, 0.1, 0.01)
EPOCHS, QUICK_EPOCHS = 40, 10
WIDTHS = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
QUICK_WIDTHS = (1024, 4096, 16384)
SEEDS, QUICK_SEEDS = 3, 1

MEASURES = {
    "held_out": "held-out images",
    "certified": "proved, whole box",
}

_targets: dict[tuple[int, int], tuple[nn.Module, Split]] = {}


def theorem_width(
    shapes: Sequence[tuple[int, int]],
    epsilon: float,
    constant: float = 1.0,
    kernel_exponent: float = 12.0,
    channel_exponent: float = 6.0,
) -> float:
    """Return the largest of C·d^a·c^b·log³(d²·c·ℓ/ε) over the layers: the width n of [daCunhaDAmoreNatale2023]_.

    Parameters
    ----------
    shapes : sequence of (d, c)
        Side of the kernel and output channels of each of the ℓ layers. The natural logarithm is meant.
    constant, kernel_exponent, channel_exponent : float
        C, which the paper leaves unnamed, and (a, b).

    References
    ----------
    .. [daCunhaDAmoreNatale2023] A. da Cunha, F. d'Amore, E. Natale, "Polynomially Over-Parameterized Convolutional
       Neural Networks Contain Structured Strong Winning Lottery Tickets", NeurIPS 2023.

    Examples
    --------
    >>> f"{theorem_width([(3, 8)], 0.1):.2e}"
    '3.97e+13'
    """
    layers = len(shapes)
    widths: list[float] = []
    for d, c in shapes:
        power = math.pow(d, kernel_exponent) * math.pow(c, channel_exponent)
        widths.append(constant * power * math.log(d * d * c * layers / epsilon) ** 3)
    return max(widths)


def needed_width(errors: Mapping[int, float], epsilon: float) -> int | None:
    """Return the smallest measured width from which on all measured errors are at most epsilon; None if none is.

    Examples
    --------
    >>> needed_width({64: 0.5, 128: 0.09, 256: 0.2, 512: 0.05, 1024: 0.01}, 0.1)
    512
    """
    needed = None
    for width in sorted(errors, reverse=True):
        if not errors[width] <= epsilon:
            break
        needed = width
    return needed


def cells(setup: Setup) -> list[dict[str, Any]]:
    """Widths and seeds of random networks; the target network depends on the root seed alone."""
    widths, seeds = (QUICK_WIDTHS, QUICK_SEEDS) if setup.quick else (WIDTHS, SEEDS)
    epochs = QUICK_EPOCHS if setup.quick else EPOCHS
    return [{"epochs": epochs, "width": width, "network": number} for width in widths for number in range(seeds)]


def evaluate(setup: Setup, cell: Cell) -> dict[str, Any]:
    """Extract a ticket of this width and measure how far its logits are from the target's, in the sup norm."""
    network, digits = _target(cell["epochs"], cell["seed"], setup)
    with one_thread():
        ticket = extract(
            network, digits.test_images[:1], cell["width"], cell["network"], low=0.0, high=1.0, progress=False
        )
        report = certify(ticket, network, data=digits.test_images, device="cpu")
        exact = copy.deepcopy(network).double()
        inputs = digits.test_images.double()
        with torch.no_grad():
            wanted = exact(inputs)
            got = copy.deepcopy(ticket.to_module(network, merged=True)).double()(inputs)
    return {
        "held_out": float((got - wanted).abs().max()),
        "certified": report.upper,
        "attained": report.lower,
        "largest_logit": float(wanted.abs().max()),
        "shapes": _shapes(network),
        "log_norms": _log_norms(network),
        "held_out_images": len(inputs),
    }


def rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """For each epsilon: the theorem's width, what the search needs by either measure, and the ratio."""
    first = outcomes[0].result
    shapes = [(int(d), int(c)) for d, c in first["shapes"]]
    norms = math.exp(math.fsum(first["log_norms"]))
    made = []
    for epsilon in EPSILONS:
        asked = theorem_width(shapes, epsilon)
        for measure, words in MEASURES.items():
            made.append(_needed(outcomes, epsilon, measure, words, asked))
        scaled = theorem_width(shapes, epsilon / norms)
        note = (
            f"the theorem's kernels have ‖K‖₁ <= 1; this network's have product {norms:.3g}, so that an error of"
            f" {epsilon:g} in its logits is one of {epsilon / norms:.2g} in the normalised network; only the logarithm"
            " feels it"
        )
        made.append(Row(f"theorem's width, normalised, error {epsilon:g}", scaled, None, None, note))
    return made


def differs(setup: Setup) -> list[str]:
    """No experiment was published: what is compared, and what it does not show."""
    theorem = (
        "`Theirs` is the theorem's sufficient width C·d^12·c^6·log³(d²cℓ/ε) with C = 1, d the side of the kernel, c the"
        " output channels, ℓ = 3 layers; the largest of the layers counts. C is unnamed in the paper: the ratio is one"
        " of scales, no refutation, and the theorem holds for all targets at once with probability 1 - ε."
    )
    search = (
        "`Ours` is the smallest width of the grid from which on sslth.extract keeps every logit within ε, for one"
        " trained network: the median over random networks, and from the last width that is too small for all of them"
        " to the first that suffices for all. It shows what is enough for this search, not what is necessary."
    )
    network = (
        "Target: the network of the demo (3x3 convolutions 1 -> 8 -> 16 with bias, a linear layer 64 -> 10 as a 1x1"
        " convolution) on 8x8 digits in [0, 1]; the theorem has no biases and inputs in [-1, 1]. The search takes"
        " subsets of any size and scales the target by a gain; the theorem's subsets have size √n, and no gain."
    )
    sentences = [theorem, search, network]
    if setup.images.folder is not None:
        sentences.append("--data is not used here: the network takes 8x8 images.")
    if setup.quick:
        sentences.append(f"--quick: {QUICK_EPOCHS} epochs, {len(QUICK_WIDTHS)} widths, one random network.")
    return sentences


def _needed(outcomes: Sequence[Outcome], epsilon: float, measure: str, words: str, asked: float) -> Row:
    errors: dict[int, dict[int, float]] = {}
    for outcome in outcomes:
        value = outcome.result[measure]  # null where no bound could be proved
        by_width = errors.setdefault(outcome.cell["network"], {})
        by_width[outcome.cell["width"]] = math.inf if value is None else value
    widths = sorted({outcome.cell["width"] for outcome in outcomes})
    needed = [needed_width(by_width, epsilon) for by_width in errors.values()]
    name = f"width for error {epsilon:g}, {words}"
    finest = min(by_width[widths[-1]] for by_width in errors.values())
    reached = [width for width in needed if width is not None]
    if len(reached) < len(needed):
        note = f"not reached by every network up to width {widths[-1]:,}, where the smallest error is {finest:.2g}"
        return Row(name, asked, None, None, note)
    ours = float(np.median(reached))
    below = [width for width in widths if width < min(reached)]
    interval = (float(below[-1]) if below else 0.0, float(max(reached)))
    largest = outcomes[0].result["largest_logit"]
    note = (
        f"ratio {asked / ours:.1e}; {len(reached)} random network{'s' if len(reached) > 1 else ''}; the range is that"
        f" of the grid, no confidence interval; the largest logit is {largest:.3g}"
    )
    return Row(name, asked, ours, interval, note)


def _target(epochs: int, seed: int, setup: Setup) -> tuple[nn.Module, Split]:
    if (epochs, seed) not in _targets:
        digits = load_digits()
        with one_thread():
            network = train_classifier(
                small_cnn, digits.train_images, digits.train_labels, epochs=epochs, seed=seed, progress=setup.progress
            )
        _targets[epochs, seed] = network, digits
    return _targets[epochs, seed]


def _shapes(network: nn.Module) -> list[tuple[int, int]]:
    shapes = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            shapes.append((max(int(side) for side in layer.kernel_size), layer.out_channels))
        elif isinstance(layer, nn.Linear):
            shapes.append((1, layer.out_features))
    return shapes


def _log_norms(network: nn.Module) -> list[float]:
    """log ‖K‖₁ of every layer: the sum of all absolute entries of its kernel."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    return [math.log(float(layer.weight.detach().double().abs().sum())) for layer in layers]


EXPERIMENT = Experiment(
    "theorem_width",
    "The width of the theorem and the width of the search",
    "A. da Cunha, F. d'Amore, E. Natale, \"Polynomially Over-Parameterized Convolutional Neural Networks Contain"
    ' Structured Strong Winning Lottery Tickets", NeurIPS 2023',
    cells,
    evaluate,
    rows,
    differs,
)
