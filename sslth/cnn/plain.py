"""The plain form of a network: batch norm folded into its convolution, or left as a scale for every channel."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from sslth.cnn.channel_affine import ChannelAffine
from sslth.cnn.layers import Weighted, is_carried, is_replaceable_norm, wiring_of
from sslth.cnn.swap import swapped_copy
from sslth.cnn.trace import Traced, canonical_names
from sslth.errors import InvalidInputError

__all__ = ["find_folds", "plain_network"]

FloatArray = npt.NDArray[np.float64]

_U = 2.0**-53


def find_folds(traced: Traced, example: Tensor, carry_over: Collection[str] = ()) -> dict[str, str]:
    """Return which batch norms follow a layer that nothing else reads: {batch norm: layer}, by the graph.

    Parameters
    ----------
    traced : Traced
        Without a graph nothing is folded.
    example : Tensor[batch, ...]
        For the shapes: a Linear is folded only where its features are the channels.

    Notes
    -----
    Both modules must be called once, the layer's result must be read by the batch norm alone, and neither may be
    carried over. Cost: one forward pass.
    """
    graph_module = traced.graph_module
    if graph_module is None:
        return {}
    with torch.no_grad():
        ShapeProp(graph_module).propagate(example.clone())
    nodes = list(graph_module.graph.nodes)
    calls: dict[str, int] = {}
    for node in nodes:
        if node.op == "call_module":
            calls[str(node.target)] = calls.get(str(node.target), 0) + 1
    names = {id(module): name for name, module in reversed(list(traced.model.named_modules()))}
    folds: dict[str, str] = {}
    for node in nodes:
        if node.op != "call_module" or len(node.args) != 1 or node.kwargs or calls[str(node.target)] != 1:
            continue
        norm = graph_module.get_submodule(str(node.target))
        before = node.args[0]
        if not is_replaceable_norm(norm) or not isinstance(before, fx.Node) or before.op != "call_module":
            continue
        layer = graph_module.get_submodule(str(before.target))
        if not isinstance(layer, Weighted) or isinstance(layer, ChannelAffine) or calls[str(before.target)] != 1:
            continue
        rank = len(before.meta["tensor_meta"].shape) if "tensor_meta" in before.meta else 0
        if len(before.users) != 1 or rank < 2 or (isinstance(layer, nn.Linear) and rank != 2):
            continue
        if not isinstance(layer, nn.Linear) and rank != 2 + len(layer.kernel_size):
            continue  # without a batch dimension the first axis is not what a batch norm takes it for
        norm_name, layer_name = names[id(norm)], names[id(layer)]
        if not is_carried(norm_name, carry_over) and not is_carried(layer_name, carry_over):
            folds[norm_name] = layer_name
    return folds


def plain_network(model: nn.Module, folds: Mapping[str, str], carry_over: Collection[str] = ()) -> nn.Module:
    """Return a float64 copy in evaluation mode without batch norm, equal to the model up to rounding in float64.

    A batch norm named in `folds` becomes an Identity, its layer gets the product as weights; any other becomes a
    `ChannelAffine`. Layers that were made so have `weight_radius` and `bias_radius`, entrywise bounds on how far
    the stored weights are from the real ones.

    Raises
    ------
    InvalidInputError
        If a fold names modules that the model does not have, or that do not fit.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    names = canonical_names(model)
    replaced: dict[str, nn.Module] = {}
    for norm_name, layer_name in folds.items():
        norm, layer = modules.get(norm_name), modules.get(layer_name)
        if norm is None or layer is None or not is_replaceable_norm(norm) or not isinstance(layer, Weighted):
            raise InvalidInputError(f"the model has no batch norm {norm_name!r} after a layer {layer_name!r}")
        if norm.num_features != _outputs(layer):
            raise InvalidInputError(f"{norm_name!r} does not have the channels of {layer_name!r}")
        replaced[names[layer_name]] = _folded(layer, norm)
        replaced[names[norm_name]] = nn.Identity()
    for name, module in model.named_modules():
        if is_replaceable_norm(module) and name not in replaced and not is_carried(name, carry_over):
            scale, radius, offset, offset_radius = _scale_and_offset(module)
            affine = ChannelAffine(torch.from_numpy(scale), torch.from_numpy(offset))
            _note_radii(affine, radius, offset_radius)
            replaced[name] = affine
    # to float64 last: it would convert what is in the copy, and the replacements are float64 already
    return swapped_copy(model, replaced).cpu().to(torch.float64).eval() if replaced else _double(model)


def _double(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).cpu().to(torch.float64).eval()


def _outputs(layer: Weighted) -> int:
    return wiring_of(layer).out_channels


def _scale_and_offset(norm: nn.Module) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """γ / √(σ² + ε) and β - μ times that, each with a bound on its rounding."""
    count = int(norm.num_features)  # type: ignore[arg-type]
    mean, variance = _array(norm.running_mean), _array(norm.running_var)
    weight = np.ones(count) if norm.weight is None else _array(norm.weight)
    bias = np.zeros(count) if norm.bias is None else _array(norm.bias)
    scale = weight / np.sqrt(variance + float(norm.eps))  # type: ignore[arg-type]
    scale_radius = 4.0 * _U * np.abs(scale)
    product = mean * scale
    offset = bias - product
    return scale, scale_radius, offset, 8.0 * _U * np.abs(product) + 2.0 * _U * np.abs(offset)


def _folded(layer: Weighted, norm: nn.Module) -> nn.Module:
    """A copy of the layer that computes the batch norm of its result."""
    scale, _, offset, offset_radius = _scale_and_offset(norm)
    weight = _array(layer.weight)
    groups = int(getattr(layer, "groups", 1))
    if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        per_group = np.repeat(scale.reshape(groups, -1), weight.shape[0] // groups, axis=0)
        factors = per_group.reshape(*weight.shape[:2], *(1,) * (weight.ndim - 2))
    else:
        factors = scale.reshape(-1, *(1,) * (weight.ndim - 1))
    product = weight * factors
    bias = np.zeros_like(scale) if layer.bias is None else _array(layer.bias) * scale
    total = bias + offset
    fresh = copy.deepcopy(layer).cpu().to(torch.float64)
    fresh.weight = nn.Parameter(torch.from_numpy(product), requires_grad=False)
    fresh.bias = nn.Parameter(torch.from_numpy(total), requires_grad=False)
    _note_radii(
        fresh, 6.0 * _U * np.abs(product), 6.0 * _U * np.abs(bias) + 1.01 * offset_radius + 2.0 * _U * np.abs(total)
    )
    return fresh


def _note_radii(module: nn.Module, weight_radius: FloatArray, bias_radius: FloatArray) -> None:
    """Radii of numbers below 2^-1022 / _U would underflow: the smallest number is added where something is not zero."""
    for name, radius in (("weight_radius", weight_radius), ("bias_radius", bias_radius)):
        safe = np.where(radius > 0, radius + 1e-300, 0.0)
        module.register_buffer(name, torch.from_numpy(safe), persistent=False)


def _array(values: object) -> FloatArray:
    assert isinstance(values, Tensor)
    array: FloatArray = values.detach().to("cpu", torch.float64).numpy().copy()
    return array
