"""Checking what users pass to the main job, and what their model does with it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sslth.cnn.layers import Wiring
from sslth.cnn.swap import swapped_copy
from sslth.cnn.trace import Traced, canonical_names
from sslth.errors import InvalidInputError, UnsupportedModuleError
from sslth.subset_sum.arguments import non_negative

__all__ = [
    "check_corners",
    "check_memory",
    "checked_example",
    "checked_gains",
    "checked_names",
    "refuse_weights_read_directly",
    "refuse_weights_read_unseen",
    "resolve_device",
    "run_once",
]

FloatArray = npt.NDArray[np.float64]


def resolve_device(device: str) -> torch.device:
    """The torch device of a name, "auto" being the GPU where there is one; InvalidInputError if it cannot be used."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an old driver warns as well; the error says it
            where = torch.device(device)
            torch.zeros(1, device=where).cpu()
    except (RuntimeError, AssertionError, TypeError, AttributeError, ImportError) as error:
        detail = " ".join(str(error).split())[:100]
        raise InvalidInputError(f"the device {device!r} cannot be used ({detail}); try 'cpu'") from None
    return where


def checked_example(example_input: Any) -> Tensor:
    """A batch of finite real inputs, detached."""
    if not isinstance(example_input, Tensor):
        raise InvalidInputError(f"example_input is a {type(example_input).__name__}; it must be a torch tensor")
    if example_input.dim() < 2 or example_input.numel() == 0:
        raise InvalidInputError(
            f"example_input has shape {tuple(example_input.shape)}; it must be a batch of at least one input"
        )
    if not example_input.is_floating_point() or not bool(torch.isfinite(example_input).all()):
        raise InvalidInputError(
            "example_input must hold finite real numbers; what looks up whole numbers can convert them in its forward"
        )
    return example_input.detach()


def run_once(model: nn.Module, sample: Tensor) -> None:
    """Run the model on one input, so that a shape that does not fit is one sentence and not a traceback."""
    try:
        with torch.no_grad():
            model(sample.clone())
    except Exception as error:  # it is the user's forward that runs here
        detail = " ".join(str(error).split())[:160]
        raise InvalidInputError(f"the model fails on example_input of shape {tuple(sample.shape)}: {detail}") from None


def check_corners(model: nn.Module, box: tuple[FloatArray, FloatArray], sample: Tensor) -> None:
    """Run the model on the least and the largest inputs of the box, which may reach beyond what it can take."""
    for corner in box:
        inputs = torch.as_tensor(corner).to(sample).expand(sample.shape).clone()
        try:
            with torch.no_grad():
                model(inputs)
        except Exception as error:  # it is the user's forward that runs here
            detail = " ".join(str(error).split())[:160]
            raise InvalidInputError(
                f"the model fails on inputs of {float(inputs.min()):g} to {float(inputs.max()):g}, a corner of the box "
                f"({detail}); give its corners as low and high"
            ) from None


def refuse_weights_read_directly(traced: Traced, layers: Mapping[str, nn.Module]) -> None:
    """Refuse a forward that uses a layer's weight without calling the layer: a ticket has no such tensor."""
    if traced.graph_module is None:
        return
    names = canonical_names(traced.model)
    replaced = {names[name] for name in layers}
    for node in traced.graph_module.graph.nodes:
        owner = str(node.target).rpartition(".")[0]
        if node.op == "get_attr" and names.get(owner, owner) in replaced:
            raise UnsupportedModuleError(
                f"the forward reads {node.target} itself and does not call {owner}; a ticket only replaces calls"
            )


class _ReadsWeight(AttributeError):
    pass


class _OnlyCalled(nn.Module):
    """A layer whose weight cannot be read, as in a ticket."""

    def __init__(self, name: str, layer: nn.Module) -> None:
        super().__init__()
        self._name, self._layer = name, (layer,)  # in a tuple, or it would be a child with weights

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self._layer[0](*inputs, **named)

    def __getattr__(self, name: str) -> Any:
        if name in ("weight", "bias"):
            raise _ReadsWeight(f"the forward reads {self._name}.{name} itself and does not call {self._name}")
        return super().__getattr__(name)


def refuse_weights_read_unseen(plain: nn.Module, layers: Mapping[str, nn.Module], sample: Tensor) -> None:
    """The same of a forward that cannot be traced, by running it once on layers that have no weights to read."""
    calling = swapped_copy(plain, {name: _OnlyCalled(name, layer) for name, layer in layers.items()})
    try:
        with torch.no_grad():
            calling(sample.clone())
    except _ReadsWeight as error:
        raise UnsupportedModuleError(f"{error}; a ticket only replaces calls") from None


def checked_names(names: Any) -> tuple[str, ...]:
    """Module names, sorted, each once."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise InvalidInputError(f"carry_over is {names!r}; it must be a collection of module names")
    return tuple(sorted(set(names)))


def checked_gains(gain: float | Mapping[str, float] | None, modules: Mapping[str, nn.Module]) -> dict[str, float]:
    """The gains that the user wants, by layer."""
    if gain is None:
        return {}
    gains = dict(gain) if isinstance(gain, Mapping) else dict.fromkeys(modules, gain)
    for name, value in gains.items():
        if name not in modules:
            raise InvalidInputError(f"gain names the layer {name!r}, which the model does not have")
        if not 0 < non_negative(value, f"the gain of {name}") < math.inf:
            raise InvalidInputError(f"the gain of {name} is {value!r}; it must be a positive number")
    return {name: float(value) for name, value in gains.items()}


def check_memory(
    wirings: Mapping[str, Wiring], widths: Mapping[str, int], memory: int, bytes_of_block: Callable[[int, int], int]
) -> None:
    """Refuse widths at which the search of one block would not fit, before anything is drawn.

    `bytes_of_block(width, d)` is what that takes.
    """
    for name, wiring in wirings.items():
        needed = bytes_of_block(widths[name], wiring.d)
        if needed > memory:
            raise InvalidInputError(
                f"width {widths[name]} needs {needed / 2**30:.1f} GiB for one block of layer {name}; "
                f"lower the width or raise memory"
            )
