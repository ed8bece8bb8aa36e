"""What the inputs of every layer are on average, known without data: from batch norm's statistics or the input box."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import ndtr, ndtri
from torch import Tensor, fx, nn

from sslth.cnn.channel_affine import ChannelAffine
from sslth.cnn.layers import Wiring, is_replaceable_norm
from sslth.cnn.operation import window_rank
from sslth.cnn.trace import Traced, canonical_names
from sslth.subset_sum.random_weights import Part, draw_rows

__all__ = ["ChannelMeans", "channel_means", "normal_samples", "with_few_bits"]

FloatArray = npt.NDArray[np.float64]

FROM_STATISTICS = "batch norm's running statistics"
FROM_BOX = "the input box"

_ENTRIES = 1 << 21  # of the drawn input; the samples are as many as that allows
_FEWEST, _MOST = 8, 64
_COMMON = 0.5  # share of the variance that all positions of a map have in common: neighbouring pixels are alike
_BITS = 12  # of a mean: machines may round its last bits differently, and no ticket should depend on them


@dataclass(frozen=True, eq=False)
class ChannelMeans:
    """E[x⁺] and E[x⁻] of every input channel of a layer: float64[c_in] each; and where they come from."""

    positive: FloatArray
    negative: FloatArray
    origin: str


def channel_means(
    model: nn.Module,
    traced: Traced,
    folds: Mapping[str, str],
    wirings: Mapping[str, Wiring],
    box: tuple[FloatArray, FloatArray],
    input_shape: tuple[int, ...],
) -> dict[str, ChannelMeans]:
    """Return the channel means of the layers' inputs; empty where the forward has no graph.

    Parameters
    ----------
    model : nn.Module
        The network with its batch norms.
    traced : Traced
        Its plain form.
    folds : mapping
        {batch norm: layer} of the plain form.
    wirings : mapping from layer names
    box : pair of float64 arrays
    input_shape : tuple of int
        Without the batch.

    Notes
    -----
    A batch norm's result has mean β and variance γ², whatever the data; it is taken to be normal, and samples of it
    (stratified, so that their mean is exact) are sent through what follows: activations, pooling, additions. A layer
    without batch norm is computed on the samples. Inputs are uniform in the box. Cost: a forward pass of at most 64
    inputs without the layers that batch norm follows. The samples are drawn by our own generator: no seed enters, and
    the means are rounded to twelve bits.
    """
    if traced.graph_module is None:
        return {}
    names = canonical_names(traced.model)
    modules = dict(model.named_modules())
    drawn = {names[layer]: modules[norm] for norm, layer in folds.items()}
    plain = dict(traced.graph_module.named_modules())
    matched = {
        name: modules[name]
        for name, module in plain.items()
        if isinstance(module, ChannelAffine) and is_replaceable_norm(modules.get(name, nn.Identity()))
    }
    size = math.prod(input_shape)
    count = max(_FEWEST, min(_MOST, _ENTRIES // max(1, size)))
    normal = torch.from_numpy(ndtr(normal_samples((count, *input_shape), 0).numpy()))
    low, high = (torch.as_tensor(np.broadcast_to(end, input_shape).copy()) for end in box)
    sampler = _Sampler(traced.graph_module, drawn, matched, {names[name]: wirings[name] for name in wirings})
    with torch.no_grad():
        sampler.run(low + (high - low) * normal)
    return {name: sampler.result(names[name]) for name in wirings if names[name] in sampler.sums}


def normal_samples(shape: tuple[int, ...], number: int) -> Tensor:
    """Return standard normal samples [samples, channels, *positions]; `number` tells streams apart.

    Half of the variance is common to all positions of a map. Over the samples, that part is stratified, with mean 0
    and the variance it should have.
    """
    count, channels, positions = shape[0], shape[1], math.prod(shape[2:])
    rows = np.arange(count, dtype=np.uint32)
    order = np.argsort(draw_rows(0, number, Part.INSTANCE_ROWS, 0, rows, channels), axis=0, kind="stable")
    grid = ndtri((np.arange(count) + 0.5) / count)
    common = (grid / np.sqrt(np.mean(grid**2)))[order]
    if len(shape) == 2:
        return torch.from_numpy(common)
    noise = draw_rows(0, number, Part.INSTANCE_ROWS, 1, rows, channels * positions)
    mixed = math.sqrt(_COMMON) * common[:, :, None] + math.sqrt(1 - _COMMON) * noise.reshape(count, channels, -1)
    return torch.from_numpy(mixed).reshape(shape)


class _Sampler(fx.Interpreter):
    """Runs the graph on samples; what batch norm says replaces what the layer before it would compute."""

    def __init__(
        self,
        graph_module: fx.GraphModule,
        drawn: Mapping[str, nn.Module],
        matched: Mapping[str, nn.Module],
        wirings: Mapping[str, Wiring],
    ) -> None:
        super().__init__(graph_module)
        self.sums: dict[str, list[tuple[FloatArray, FloatArray]]] = {}
        self._drawn, self._matched, self._wirings = drawn, matched, wirings
        self._known: dict[fx.Node, bool] = {}
        self._origin: dict[str, bool] = {}
        self._streams = 0

    def run_node(self, n: fx.Node) -> Any:
        name = str(n.target) if n.op == "call_module" else "\0"  # a model that is one layer has the name ""
        self._known[n] = bool(n.all_input_nodes) and all(self._known[source] for source in n.all_input_nodes)
        arguments, _ = self.fetch_args_kwargs_from_env(n)
        if name in self._wirings and arguments and isinstance(arguments[0], Tensor):
            self.sums.setdefault(name, []).append(_means(arguments[0], self._wirings[name]))
            self._origin[name] = self._origin.get(name, True) and self._known[n]
        if name in self._drawn:
            self._known[n] = True
            self._streams += 1
            x = arguments[0]
            shape = self.submodules[name](x[:1]).shape
            return _with_moments(normal_samples((x.shape[0], *shape[1:]), self._streams), self._drawn[name])
        result = super().run_node(n)
        if name in self._matched and isinstance(result, Tensor):
            self._known[n] = True
            axes = [axis for axis in range(result.dim()) if axis != 1]
            centred = result - result.mean(axes, keepdim=True)
            spread = centred.square().mean(axes, keepdim=True).sqrt()
            return _with_moments(torch.where(spread > 0, centred / spread, 0.0), self._matched[name])
        return result

    def result(self, name: str) -> ChannelMeans:
        """The means over all calls of a layer."""
        positive, negative = (np.mean([call[side] for call in self.sums[name]], axis=0) for side in (0, 1))
        origin = FROM_STATISTICS if self._origin[name] else FROM_BOX
        return ChannelMeans(with_few_bits(positive, _BITS), with_few_bits(negative, _BITS), origin)


def _with_moments(standard: Tensor, norm: nn.Module) -> Tensor:
    """Values of mean 0 and variance 1, moved to the mean and variance of the batch norm's result."""
    shape = (1, -1) + (1,) * (standard.dim() - 2)
    variance = _double(norm.running_var)
    scale = (variance / (variance + float(norm.eps))).sqrt()  # type: ignore[arg-type]
    if norm.weight is not None:
        scale = scale * _double(norm.weight)
    moved = standard * scale.reshape(shape)
    offset = torch.zeros(1, dtype=torch.float64) if norm.bias is None else _double(norm.bias)
    return torch.add(moved, offset.reshape(shape))


def _double(values: object) -> Tensor:
    assert isinstance(values, Tensor)
    return values.detach().to("cpu", torch.float64)


def _means(x: Tensor, wiring: Wiring) -> tuple[FloatArray, FloatArray]:
    axis = {"linear": x.dim() - 1, "batch_norm": 1}.get(wiring.kind, x.dim() - 1 - window_rank(wiring))
    flat = x.double().movedim(axis, 0).flatten(1)
    return torch.relu(flat).mean(dim=1).numpy(), torch.relu(-flat).mean(dim=1).numpy()


def with_few_bits(values: FloatArray, bits: int) -> FloatArray:
    """Every number rounded to so many significant bits."""
    mantissa, exponent = np.frexp(values)
    rounded: FloatArray = np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits)
    return rounded
