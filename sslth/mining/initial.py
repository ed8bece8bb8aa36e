"""Networks with their initial weights: the caller's own, or drawn anew under a seed."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn

from sslth.errors import InvalidInputError
from sslth.mining.seeds import stream

__all__ = ["Model", "initial_network"]

Model = nn.Module | Callable[[], nn.Module]


def initial_network(model: Model, seed: int, *, redraw: bool) -> nn.Module:
    """A copy of the model on the CPU; the global random state is left alone.

    Parameters
    ----------
    model : Module or callable
        A function that builds it is called under the seed.
    redraw : bool
        Whether a Module's own weights are drawn anew, by the `reset_parameters` of its parts.

    Raises
    ------
    InvalidInputError
        If the function gives no Module, or a part with parameters has no `reset_parameters`.

    Examples
    --------
    >>> layer = nn.Linear(3, 2)
    >>> copied = initial_network(layer, 0, redraw=False)
    >>> torch.equal(copied.weight, layer.weight), copied is layer
    (True, False)
    >>> one, other = (initial_network(layer, 7, redraw=True) for _ in range(2))
    >>> torch.equal(one.weight, other.weight), torch.equal(one.weight, layer.weight)
    (True, False)
    """
    if isinstance(model, nn.Module):
        network = copy.deepcopy(model).cpu()
        if redraw:
            _reset(network, seed)
        return network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(seed, "model"))
        network = model()
    if not isinstance(network, nn.Module):
        raise InvalidInputError(f"model() gave a {type(network).__name__}; a torch.nn.Module is needed")
    return network


def _reset(network: nn.Module, seed: int) -> None:
    """Draw every parameter anew, as its module's `reset_parameters` does."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(seed, "model"))
        for path, module in network.named_modules():
            if next(module.parameters(recurse=False), None) is None:
                continue
            reset = getattr(module, "reset_parameters", None)
            if reset is None:
                raise InvalidInputError(
                    f"{path or 'the model'} has parameters but no reset_parameters(); give a function that builds the "
                    "model, so that its weights can be drawn again"
                )
            reset()
