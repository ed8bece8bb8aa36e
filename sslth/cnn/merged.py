"""The merged network: the target's shape, with the kept sums as kernels, one for each sign of the input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import get_args

import torch
from torch import Tensor, nn

from sslth.cnn.channel_affine import ChannelAffine
from sslth.cnn.constant_channel import WithConstantChannel
from sslth.cnn.layers import NORMS, Weighted, Wiring, empty_module, wiring_of
from sslth.cnn.swap import swapped_copy
from sslth.errors import InvalidInputError, UnsupportedModuleError

__all__ = ["MergedLayer", "TwoSided", "merged_module"]


@dataclass(frozen=True, eq=False)
class MergedLayer:
    """The kernels that the kept filters of one layer add up to, and how exactly they are known.

    Parameters
    ----------
    positive : float64, the target kernel's shape
        Acts on ``relu(x)``; approximates the target kernel K.
    negative : float64, the same shape, or None
        Acts on ``relu(-x)``; approximates -K. None means zero: right where x is never negative.
    bias : float64[c_out] or None
        Replaces the target's bias; None means zero.
    taps : float64, the weight shape of the wiring's `constant_channel`, or None
        The kernel of a constant input channel of ones, one a group, padded by zeros where the input is; None means
        zero. Whoever adds up what the ticket computes must add it: the target has nothing like it.
    positive_radius, negative_radius, bias_radius, taps_radius
        Entrywise bounds on |exact - stored|, of the same shapes, finite and not negative.

    Raises
    ------
    InvalidInputError
        On another dtype, shapes that differ, values that are not finite, negative radii, and a radius
        without its kernel or a kernel without its radius.
    """

    positive: Tensor
    negative: Tensor | None
    bias: Tensor | None
    positive_radius: Tensor
    negative_radius: Tensor | None
    bias_radius: Tensor | None
    taps: Tensor | None = None
    taps_radius: Tensor | None = None

    def __post_init__(self) -> None:
        _check_pair("positive", self.positive, self.positive_radius)
        _check_pair("negative", self.negative, self.negative_radius)
        _check_pair("bias", self.bias, self.bias_radius)
        _check_pair("taps", self.taps, self.taps_radius)
        if self.negative is not None and self.negative.shape != self.positive.shape:
            raise InvalidInputError(
                f"the negative kernel has shape {tuple(self.negative.shape)} "
                f"but the positive one {tuple(self.positive.shape)}"
            )
        if self.bias is not None and self.bias.ndim != 1:
            raise InvalidInputError(f"the bias has shape {tuple(self.bias.shape)}, not one number a channel")

    def on_cpu(self) -> MergedLayer:
        """Return the layer with all its tensors in main memory."""
        return MergedLayer(
            self.positive.cpu(),
            None if self.negative is None else self.negative.cpu(),
            None if self.bias is None else self.bias.cpu(),
            self.positive_radius.cpu(),
            None if self.negative_radius is None else self.negative_radius.cpu(),
            None if self.bias_radius is None else self.bias_radius.cpu(),
            None if self.taps is None else self.taps.cpu(),
            None if self.taps_radius is None else self.taps_radius.cpu(),
        )


def _check_pair(name: str, value: Tensor | None, radius: Tensor | None) -> None:
    if value is None and radius is None:
        return
    if value is None or radius is None:
        raise InvalidInputError(f"`{name}` and `{name}_radius` must be given together, or both be None")
    if value.dtype != torch.float64 or radius.dtype != torch.float64:
        raise InvalidInputError(f"`{name}` must be float64, not {value.dtype} with a radius of {radius.dtype}")
    if value.shape != radius.shape:
        raise InvalidInputError(f"`{name}` has shape {tuple(value.shape)} but its radius {tuple(radius.shape)}")
    if not (torch.isfinite(value).all() and torch.isfinite(radius).all() and bool((radius >= 0).all())):
        raise InvalidInputError(f"`{name}` must be finite, and its radius finite and not negative")


class TwoSided(nn.Module):
    """A layer with one kernel for the positive part of its input and one for the negative part.

    ``positive(relu(x)) + negative(relu(-x))``, the second term missing where ``negative`` is None. The
    rectified input is what the layers pad, so every padding mode means what it meant in the target.
    """

    def __init__(self, positive: nn.Module, negative: nn.Module | None) -> None:
        super().__init__()
        self.positive = positive
        self.negative = negative

    def forward(self, input: Tensor) -> Tensor:
        """Apply both kernels to an input of the target layer's input shape."""
        out: Tensor = self.positive(torch.relu(input))
        if self.negative is not None:
            out = out + self.negative(torch.relu(-input))
        return out


def merged_module(
    model: nn.Module, merged: Mapping[str, MergedLayer], dtype: torch.dtype, *, plain: bool = False
) -> nn.Module:
    """Return a copy of the model that computes the ticket: its layers are swapped, its forward stays.

    Parameters
    ----------
    model : nn.Module
        The target network; it is not changed.
    merged : mapping from qualified module names to MergedLayer
        A module that the model holds under several names is swapped under all of them. Giving it twice
        needs the same object.
    dtype : torch.dtype
        The floating dtype of the whole copy.
    plain : bool
        Where ``negative`` is None, put a bare layer of torch there; equal wherever the
        layer's input is not negative. Otherwise a ReLU stands before it, which makes the copy equal to
        the ticket everywhere.

    Raises
    ------
    InvalidInputError
        For an unknown name, or kernels of another shape than the target's.
    UnsupportedModuleError
        For a module that is not a convolution or linear layer of torch, or has a forward of its own.

    Notes
    -----
    Cost O(parameters) time and memory.

    Examples
    --------
    >>> layer = MergedLayer(
    ...     torch.full((1, 2), 3.0, dtype=torch.float64), None, None,
    ...     torch.zeros((1, 2), dtype=torch.float64), None, None,
    ... )
    >>> ticket = merged_module(nn.Sequential(nn.Linear(2, 1)), {"0": layer}, torch.float64)
    >>> ticket(torch.tensor([[1.0, -1.0]], dtype=torch.float64)).item()
    3.0
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    swaps: dict[int, tuple[MergedLayer, nn.Module]] = {}
    for name, layer in merged.items():
        if name not in modules:
            raise InvalidInputError(f"the model has no module named `{name}`")
        module = modules[name]
        earlier = swaps.get(id(module))
        if earlier is not None and earlier[0] is not layer:
            raise InvalidInputError(f"`{name}` is a shared module that was given two different layers")
        if earlier is None:
            swaps[id(module)] = (layer, _replacement(name, module, layer, plain))
    replacements = {name: swaps[id(modules[name])][1] for name in merged}
    for name, replacement in replacements.items():
        replacement.train(modules[name].training)
    return swapped_copy(model, replacements).to(dtype)


def _replacement(name: str, module: nn.Module, layer: MergedLayer, plain: bool) -> nn.Module:
    positive = _with_weights(name, module, layer.positive, layer.bias)
    both = positive
    if layer.negative is not None:
        both = TwoSided(positive, _with_weights(name, module, layer.negative, None))
    elif not plain:
        both = TwoSided(positive, None)
    if layer.taps is None:
        return both
    wiring = wiring_of(module) if isinstance(module, Weighted) else None
    if wiring is None or wiring.pointwise or wiring.constant_channel.weight_shape != tuple(layer.taps.shape):
        raise InvalidInputError(f"the constant channel's kernel of `{name}` has shape {tuple(layer.taps.shape)}")
    return WithConstantChannel(both, wiring, layer.taps.detach().clone().to(next(positive.parameters()).device))


def _with_weights(name: str, module: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
    if type(module) in NORMS:  # in a user's own network, where its place is taken by a scale for every channel
        wiring = Wiring("batch_norm", *(int(module.num_features),) * 2, True, groups=int(module.num_features))  # type: ignore[arg-type]
    elif isinstance(module, Weighted) and type(module) in get_args(Weighted):
        wiring = replace(wiring_of(module), has_bias=bias is not None)
    else:
        raise UnsupportedModuleError(
            f"`{name}` is a {type(module).__name__}; only convolutions, Linear and batch norm can be replaced"
        )
    if wiring.weight_shape != tuple(weight.shape):
        raise InvalidInputError(
            f"the merged kernel of `{name}` has shape {tuple(weight.shape)} but the target's has {wiring.weight_shape}"
        )
    if bias is not None and bias.shape != (wiring.out_channels,):
        raise InvalidInputError(
            f"the merged bias of `{name}` has shape {tuple(bias.shape)}, the target {wiring.out_channels} channels"
        )
    stored = module.weight if isinstance(module.weight, Tensor) else torch.empty(0)
    device = "cpu" if stored.is_meta else stored.device  # a rebuilt network has no weights yet
    weight = weight.detach().clone().to(device)
    if wiring.kind == "batch_norm":
        return ChannelAffine(weight, None if bias is None else bias.detach().clone().to(device))
    fresh = empty_module(wiring)
    fresh.weight = nn.Parameter(weight)
    if bias is not None:
        fresh.bias = nn.Parameter(bias.detach().clone().to(device))
    return fresh
