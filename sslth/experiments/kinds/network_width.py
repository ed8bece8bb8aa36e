"""The output error of tickets of whole networks against the width: trained digits, or random CNNs of any depth."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from sslth.experiments.kinds.kind import Kind, Settings, seed_of
from sslth.experiments.kinds.layer_width import width_solver

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["KIND"]

_INPUTS = 64
_IMAGE = 8
_EPOCHS = 10


class NetworkWidth(Settings):
    """target "digits": the demo's CNN, its other sizes fixed; "random": depth layers channels -> channels."""

    target: Literal["digits", "random"] = "random"
    side: int = Field(default=3, ge=1, le=7)
    channels: int = Field(default=4, ge=1, le=256)
    depth: int = Field(default=2, ge=1, le=64)
    width: int = Field(ge=2, le=1 << 20)
    solver: Literal["sorted_pursuit", "message_passing"] = "sorted_pursuit"
    repetition: int = Field(default=0, ge=0)


def evaluate(parameters: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Extract a ticket and compare its outputs with the target's in float64; likewise for kernels off by the floor.

    `floor_error` is the output error of the target network after each block was moved, uniformly at random, in the cube
    of its first-moment floor: about what exhaustive search would leave, were it possible. Networks, inputs and random
    weights depend on seed, shape and repetition alone, so that widths nest. `rng` is not used.
    """
    del rng
    import torch

    from sslth.cnn.extract import extract
    from sslth.experiments.comparison import outputs_of

    shape = {key: parameters[key] for key in ("seed", "target", "side", "channels", "depth", "repetition")}
    own = seed_of(shape)
    if parameters["target"] == "digits":
        network, inputs, low = *_digits(), 0.0
    else:
        network, inputs, low = (
            *_random_network(own, parameters["side"], parameters["channels"], parameters["depth"]),
            -1.0,
        )
    ticket = extract(
        network,
        torch.zeros_like(inputs[:1], dtype=torch.float32),
        width=parameters["width"],
        seed=own,
        solver=width_solver(parameters["solver"]),
        low=low,
        high=1.0,
        progress=False,
        jobs=1,  # sweeps run one cell a core already
    )
    exact = copy.deepcopy(network).double().eval()
    wanted = outputs_of(exact, inputs)
    size = float(wanted.norm())
    found = outputs_of(copy.deepcopy(ticket.to_module(network, merged=True)).double().eval(), inputs)
    blurred = outputs_of(_blurred(exact, parameters["width"], own), inputs)
    return {
        "relative_output_error": float((found - wanted).norm()) / size,
        "largest_output_error": float((found - wanted).abs().max()),
        "floor_error": float((blurred - wanted).norm()) / size,
        "kept_filters": int(ticket.kept_filters),
        "total_filters": int(ticket.total_filters),
    }


@functools.cache
def _digits() -> tuple[nn.Module, Tensor]:
    """The demo's network, trained for fewer epochs, and held-out images: float64[64, 1, 8, 8]."""
    from sslth.data.digits import load_digits
    from sslth.networks.small_cnn import small_cnn
    from sslth.networks.training import train_classifier

    digits = load_digits()
    network = train_classifier(small_cnn, digits.train_images, digits.train_labels, epochs=_EPOCHS)
    return network, digits.test_images[:_INPUTS].double()


def _random_network(seed: int, side: int, channels: int, depth: int) -> tuple[nn.Module, Tensor]:
    """Normal kernels without bias, ReLU between them, and inputs uniform in [-1, 1]: float64[64, channels, 8, 8].

    The kernels' scale does not matter to a relative error.
    """
    import torch
    from torch import nn

    rng = np.random.Generator(np.random.Philox(seed))
    layers: list[nn.Module] = []
    for _ in range(depth):
        convolution = nn.Conv2d(channels, channels, side, padding=side // 2, bias=False)
        deviation = (channels * side**2 / 2) ** -0.5
        kernels = deviation * rng.standard_normal((channels, channels, side, side))
        convolution.weight = nn.Parameter(torch.tensor(kernels, dtype=torch.float32), requires_grad=False)
        layers += [convolution, nn.ReLU()]
    inputs = torch.tensor(rng.uniform(-1.0, 1.0, (_INPUTS, channels, _IMAGE, _IMAGE)))
    return nn.Sequential(*layers[:-1]), inputs


def _blurred(network: nn.Module, width: int, seed: int) -> nn.Module:
    """A copy in float64 with each kernel moved within its first-moment floor."""
    import torch

    from sslth.cnn.layers import find_layers

    moved = copy.deepcopy(network)
    rng = np.random.Generator(np.random.Philox(seed ^ 1))
    with torch.no_grad():
        for module in find_layers(moved).values():
            kernel: Any = module.weight
            kernel += torch.from_numpy(_within_floor(kernel.numpy(), width, rng))
    return moved


def _within_floor(kernel: npt.NDArray[np.float64], width: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Uniform noise of a kernel [c_out, c_in, ...]: each input channel within the floor of n NSN rows at its gain."""
    import sslth
    from sslth.cnn.gain import pursuit_gain

    blocks = np.moveaxis(kernel, 1, 0).reshape(kernel.shape[1], -1)
    d = blocks.shape[1]
    gain = pursuit_gain(np.linalg.norm(blocks, axis=1), 0.0, width, d)
    floors = []
    rows = np.zeros((width, d))  # with a law the rows themselves are not looked at
    for block in blocks:
        floors.append(sslth.first_moment_floor(sslth.Instance(rows, gain * block), law="nsn") / gain)
    scale = np.array(floors).reshape((1, -1) + (1,) * (kernel.ndim - 2))
    noise: npt.NDArray[np.float64] = rng.uniform(-1.0, 1.0, kernel.shape) * scale
    return noise


def seconds(parameters: Mapping[str, Any]) -> float:
    """Drawing the weights and one pass for each block; the constants are of one two-core machine."""
    if parameters["target"] == "digits":
        return float(1.5 + 1e-3 * parameters["width"])
    entries = parameters["depth"] * parameters["channels"] ** 2 * parameters["side"] ** 2 * parameters["width"]
    return float(0.1 + 4e-8 * entries * (1 if parameters["solver"] == "sorted_pursuit" else 20))


KIND = Kind(
    "network_width", NetworkWidth, evaluate, seconds, "The output error of a whole network's ticket against its width."
)
