"""Reading the reader's own random pairs: tensors, arrays, modules, or a whole random network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sslth.cnn.layers import Convolution, Wiring
from sslth.cnn.modules import RandomPair
from sslth.cnn.own_weights import OwnPair
from sslth.errors import InvalidInputError

__all__ = ["read_pairs"]

Float32 = npt.NDArray[np.float32]

_REMEDY = "give {layer: (V, U)} of tensors or modules, or a network with two weighted layers for each of the target's"


def read_pairs(source: Any, wirings: Mapping[str, Wiring]) -> dict[str, OwnPair]:
    """One pair for every layer, in the layers' order, checked and copied; V is (2n c_in, c_in), filters by channel.

    U has the shape that the target's weight would have with V's filters as its input channels: a batch norm counts as a
    grouped 1x1 convolution, (c, 2n).

    Raises
    ------
    InvalidInputError
        If a pair is missing or too many, does not fit its layer, has a bias, or is not finite float32 numbers.
    """
    if isinstance(source, nn.Module):
        source = _pairs_of_network(source, wirings)
    if not isinstance(source, Mapping):
        raise InvalidInputError(f"source is a {type(source).__name__}; {_REMEDY}")
    for name in source:
        if name not in wirings:
            raise InvalidInputError(f"source names the layer {name!r}, which the target network does not have")
    for name in wirings:
        if name not in source:
            raise InvalidInputError(f"source has no pair for layer {name!r}; {_REMEDY}")
    return {name: _pair(name, source[name], wiring) for name, wiring in wirings.items()}


def _pairs_of_network(network: nn.Module, wirings: Mapping[str, Wiring]) -> dict[str, Any]:
    made = {name: module for name, module in network.named_modules() if isinstance(module, RandomPair)}
    if made:
        return dict(made)
    kinds = (*get_args(Convolution), nn.Linear)
    weighted = [(name, module) for name, module in network.named_modules() if type(module) in kinds]
    if len(weighted) != 2 * len(wirings):
        raise InvalidInputError(
            f"the random network has {len(weighted)} convolutions and linear layers; the {len(wirings)} layers of the "
            f"target need {2 * len(wirings)}, a 1x1 convolution and what stands in the target's place for each"
        )
    modules = [module for _, module in weighted]
    return dict(zip(wirings, zip(modules[::2], modules[1::2], strict=True), strict=True))


def _pair(name: str, given: Any, wiring: Wiring) -> OwnPair:
    if isinstance(given, RandomPair):
        constants: tuple[Any, ...] = ()
        if given.constant_v.numel():
            constants = (given.constant_v, _own_group(given.constant_u, wiring))
        # its U is stored filter by filter, as OwnPair has it
        return _checked(name, _array(name, "V", given.v), _array(name, "U", given.u), constants, wiring)
    if not isinstance(given, tuple | list) or len(given) not in (2, 4):
        raise InvalidInputError(f"source of layer {name} must be (V, U) or (V, U, v, u), not {str(given)[:60]}")
    v = _array(name, "V", given[0])
    if v.ndim < 2 or v.shape[1] != wiring.in_channels or math.prod(v.shape[2:]) != 1:
        raise InvalidInputError(
            f"V of layer {name} has shape {v.shape}; a 1x1 convolution from {wiring.in_channels} channels is needed"
        )
    v = v.reshape(v.shape[:2])
    return _checked(name, v, _by_filter(name, _array(name, "U", given[1]), wiring, len(v)), tuple(given[2:]), wiring)


def _by_filter(name: str, u: Float32, wiring: Wiring, filters: int) -> Float32:
    """U in torch's layout as [filters, c_out / groups, *kernel_size]."""
    size = (wiring.outputs_per_group, *wiring.kernel_size)
    wide = replace(wiring, in_channels=filters)
    wanted = wide.weight_shape
    if wiring.kind == "batch_norm":
        wanted = (wiring.out_channels, filters // wiring.groups)
        u = u.reshape(u.shape[:2]) if u.ndim > 2 and math.prod(u.shape[2:]) == 1 else u
    if u.shape != wanted:
        raise InvalidInputError(f"U of layer {name} has shape {u.shape}; behind {filters} filters it must be {wanted}")
    if wiring.transposed:
        return u
    split = u.reshape(wiring.groups, wiring.outputs_per_group, filters // wiring.groups, *wiring.kernel_size)
    return np.ascontiguousarray(np.moveaxis(split, 2, 1).reshape(filters, *size))


def _own_group(constant_u: Tensor, wiring: Wiring) -> Tensor:
    """The entries of a RandomPair's constants that belong to their group: [m, c_out] to [m, c_out / groups]."""
    rows = constant_u.reshape(wiring.groups, -1, wiring.groups, wiring.outputs_per_group)
    return torch.cat([rows[group, :, group] for group in range(wiring.groups)])


def _checked(name: str, v: Float32, u: Float32, constants: tuple[Any, ...], wiring: Wiring) -> OwnPair:
    if len(v) == 0 or len(v) % (2 * wiring.in_channels):
        raise InvalidInputError(
            f"V of layer {name} has {len(v)} filters; its {wiring.in_channels} input channels need an even number each"
        )
    wanted = ((len(v), wiring.in_channels), (len(v), wiring.outputs_per_group, *wiring.kernel_size))
    if (v.shape, u.shape) != wanted:
        raise InvalidInputError(f"the random pair of layer {name} has shapes {v.shape} and {u.shape}, not {wanted}")
    if not v.any() or not u.any():
        raise InvalidInputError(f"the random pair of layer {name} is all zeros")
    if not constants:
        return OwnPair(v, u)
    if not wiring.has_bias:
        raise InvalidInputError(f"source gives constants for layer {name}, which has no bias")
    scales, kernels = _array(name, "v", constants[0]), _array(name, "u", constants[1])
    count = scales.size // wiring.groups
    if count == 0 or scales.size % wiring.groups or kernels.size != scales.size * wiring.outputs_per_group:
        raise InvalidInputError(
            f"v and u of layer {name} have shapes {scales.shape} and {kernels.shape}; m numbers a group and m rows of "
            f"{wiring.outputs_per_group} are needed"
        )
    shape = (wiring.groups, count)
    return OwnPair(v, u, scales.reshape(shape), kernels.reshape(*shape, wiring.outputs_per_group))


def _array(name: str, part: str, values: Any) -> Float32:
    """A read-only copy as float32, which must hold the values exactly."""
    if isinstance(values, nn.Module):
        if getattr(values, "bias", None) is not None:
            raise InvalidInputError(f"{part} of layer {name} has a bias; the layers of a random pair have none")
        values = getattr(values, "weight", None)
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = values.float().numpy() if values.dtype in (torch.float16, torch.bfloat16) else values.numpy()
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        raise InvalidInputError(f"{part} of layer {name} is a {type(values).__name__}, not real numbers")
    with np.errstate(over="ignore"):
        copied = values.astype(np.float32)
    if not np.isfinite(copied).all() or not (copied == values).all():
        raise InvalidInputError(f"{part} of layer {name} holds numbers that are not finite float32 numbers")
    copied.flags.writeable = False
    return copied
