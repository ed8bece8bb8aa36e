"""Compensation without data: constant channels and biases, searched last, cancel the mean error of what was kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sslth.cnn.channel_means import ChannelMeans
from sslth.cnn.gain import pursuit_gain
from sslth.cnn.kept_filters import KeptFilters
from sslth.cnn.kept_layer import KeptLayer
from sslth.cnn.layers import Layer, Wiring
from sslth.cnn.plan import LayerPlan, Task
from sslth.cnn.random_layer import RandomLayer

__all__ = [
    "Find",
    "FittedLayer",
    "Sum",
    "add_up",
    "channel_tasks",
    "compensated",
    "tap_value",
    "uncompensated",
    "with_constants",
    "zero_padding_shows",
]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sum:
    """In the place of kept filters: what they would add up to, float64[d]. A rehearsal answers with it."""

    total: FloatArray


Find = Callable[[Sequence[Task]], Sequence[KeptFilters | Sum]]
"""Searches tasks, side by side where it can, and returns their kept filters in the same order."""


@dataclass(eq=False)
class FittedLayer:
    """A layer whose filters are being found, and what they add up to so far; filled in place.

    Attributes
    ----------
    plan : LayerPlan
        With the user's kernel and bias.
    kernels : float64[2, *weight_shape]
        What acts on relu(x), and on relu(-x).
    taps : float64, the weight shape of the constant channel
    bias : float64[c_out]
    matched : float
        The largest relative error of a channel block against what it was aimed at.
    """

    plan: LayerPlan
    kernels: FloatArray
    taps: FloatArray
    bias: FloatArray
    channels: list[KeptFilters]
    constants: list[KeptFilters]
    tap_filters: list[KeptFilters]
    matched: float = 0.0

    @classmethod
    def of(cls, plan: LayerPlan) -> FittedLayer:
        """Nothing found yet."""
        wiring, nothing = plan.layer.wiring, KeptFilters.none()
        return cls(
            plan,
            np.zeros((2, *wiring.weight_shape)),
            np.zeros(wiring.constant_channel.weight_shape) if not wiring.pointwise else np.zeros(0),
            np.zeros(wiring.out_channels),
            [nothing] * wiring.in_channels,
            [nothing] * (wiring.groups if plan.layer.constants else 0),
            [nothing] * (wiring.groups if plan.layer.tap_constants else 0),
        )

    @property
    def wanted_bias(self) -> FloatArray:
        """The target's bias, zeros where it has none."""
        return np.zeros_like(self.bias) if self.plan.bias is None else self.plan.bias

    def kept(self) -> KeptLayer:
        """The layer of the ticket."""
        return KeptLayer(self.plan.layer, tuple(self.channels), tuple(self.constants), tuple(self.tap_filters))

    def aim(self, layer: Layer) -> None:
        """Take another number of constant filters, or another value of the constant channel."""
        groups, nothing = layer.wiring.groups, KeptFilters.none()
        self.plan = replace(self.plan, layer=layer)
        self.constants = [nothing] * (groups if layer.constants else 0)
        self.tap_filters = [nothing] * (groups if layer.tap_constants else 0)

    def take(self, task: Task, filters: KeptFilters, total: FloatArray) -> None:
        """Note the filters that were found for one block and sign, and their sum divided by the gain."""
        block, wiring = task.block, self.plan.layer.wiring
        if block.is_tap:
            self.tap_filters[block.channel] = filters
            target = wiring.constant_channel.block(self.taps, block.channel)
            target[...] = self.plan.layer.tap_value * total.reshape(target.shape)
        elif block.is_constant:
            self.constants[block.channel] = filters
            size = wiring.outputs_per_group
            self.bias[block.channel * size : (block.channel + 1) * size] = total
        else:
            self.channels[block.channel] = self.channels[block.channel].joined(filters)
            target = wiring.block(self.kernels[0 if task.sign > 0 else 1], block.channel)
            target[...] = total.reshape(target.shape)
            wanted = float(np.linalg.norm(task.target)) / self.plan.layer.gain
            if wanted > 0:
                off = float(np.linalg.norm(total - task.target / self.plan.layer.gain))
                self.matched = max(self.matched, off / wanted)


def channel_tasks(fitted: FittedLayer, seed: int, weight: FloatArray | None = None) -> list[Task]:
    """One task an input channel and sign, aimed at the target's kernel or at `weight` float64[2, *weight_shape]."""
    layer = fitted.plan.layer
    signs = (1,) if layer.nonnegative else (1, -1)
    wanted = np.stack([fitted.plan.weight, -fitted.plan.weight]) if weight is None else weight
    return [
        Task(block, sign, layer.gain * layer.wiring.block(wanted[0 if sign > 0 else 1], block.channel).ravel())
        for block in RandomLayer(seed, layer).channels
        for sign in signs
    ]


def bias_tasks(fitted: FittedLayer, seed: int, bias: FloatArray) -> list[Task]:
    """One task a group."""
    parts = bias.reshape(fitted.plan.layer.wiring.groups, -1)
    return [
        Task(block, 1, fitted.plan.layer.gain * parts[block.channel])
        for block in RandomLayer(seed, fitted.plan.layer).constants
    ]


def tap_tasks(fitted: FittedLayer, seed: int, taps: FloatArray) -> list[Task]:
    """One task a group, for the constant channel's kernel."""
    layer, constant = fitted.plan.layer, fitted.plan.layer.wiring.constant_channel
    return [
        Task(block, 1, layer.gain / layer.tap_value * constant.block(taps, block.channel).ravel())
        for block in RandomLayer(seed, layer).taps
    ]


def add_up(work: Sequence[tuple[FittedLayer, Task]], find: Find, threads: int | None) -> None:
    """Search the tasks and enter filters and sums in their layers; drawing the kept rows again is O(kept d)."""
    found = find([task for _, task in work])

    def total(item: tuple[tuple[FittedLayer, Task], KeptFilters | Sum]) -> FloatArray:
        (fitted, task), answer = item
        if isinstance(answer, Sum):
            return answer.total / fitted.plan.layer.gain
        summed: FloatArray = task.block.total(answer) / fitted.plan.layer.gain
        return summed

    with ThreadPoolExecutor(threads) as pool:
        for (fitted, task), answer, summed in zip(
            work, found, pool.map(total, zip(work, found, strict=True)), strict=True
        ):
            fitted.take(task, KeptFilters.none() if isinstance(answer, Sum) else answer, summed)


def uncompensated(plans: Iterable[LayerPlan], seed: int, find: Find, threads: int | None) -> list[FittedLayer]:
    """Every block aimed at the target's own kernel and bias, all at once."""
    layers = [FittedLayer.of(plan) for plan in plans]
    work = [(fitted, task) for fitted in layers for task in channel_tasks(fitted, seed)]
    work += [(fitted, task) for fitted in layers for task in bias_tasks(fitted, seed, fitted.wanted_bias)]
    add_up(work, find, threads)
    return layers


def compensated(
    plans: Iterable[LayerPlan],
    seed: int,
    means: Mapping[str, ChannelMeans],
    find: Find,
    threads: int | None,
    *,
    taps: bool = True,
) -> list[FittedLayer]:
    """Channel blocks first, then constant channels that cancel their mean error tap by tap, then biases.

    Parameters
    ----------
    plans : iterable of LayerPlan
        Already with the filters that `with_constants` adds.
    means : mapping from layer names
        A layer that is not in there is aimed at its own bias.
    taps : bool
        False: the bias alone cancels what the taps add up to inside of a map.
    """
    layers = [FittedLayer.of(plan) for plan in plans]
    add_up([(fitted, task) for fitted in layers for task in channel_tasks(fitted, seed)], find, threads)
    errors = [mean_error(fitted, means.get(fitted.plan.layer.name)) for fitted in layers]
    work = []
    for fitted, error in zip(layers, errors, strict=True):
        if fitted.plan.layer.tap_constants and taps:
            fitted.aim(replace(fitted.plan.layer, tap_value=tap_value(fitted.plan.layer, error)))
            work += [(fitted, task) for task in tap_tasks(fitted, seed, -error)]
    add_up(work, find, threads)
    work = []
    for fitted, error in zip(layers, errors, strict=True):
        left = error if fitted.plan.layer.wiring.pointwise else error + fitted.taps
        bias = fitted.wanted_bias - sum_over_taps(left, fitted.plan.layer.wiring)
        work += [(fitted, task) for task in bias_tasks(fitted, seed, bias)]
    add_up(work, find, threads)
    return layers


def with_constants(plan: LayerPlan, *, refitted: bool = False) -> LayerPlan:
    """Give a layer without a bias filters for one, and a layer whose padding shows a constant input channel.

    Both are as many as an input channel has. A scale alone leaves no mean error of its own that would be worth them
    (d = 1); refitted on data it takes over what the layers before it left.
    """
    layer = plan.layer
    if not layer.constants and (refitted or layer.wiring.kind != "batch_norm"):
        layer = replace(layer, constants=layer.filters_per_channel)
    if zero_padding_shows(layer.wiring):
        layer = replace(layer, tap_constants=layer.filters_per_channel)
    return replace(plan, layer=layer)


def zero_padding_shows(wiring: Wiring) -> bool:
    """Whether the taps that reach the input differ from place to place, so that no bias can stand for them."""
    if wiring.pointwise or math.prod(wiring.kernel_size) == 1:
        return False
    if wiring.transposed:
        return True
    return wiring.padding_mode == "zeros" and (wiring.padding == "same" or any(p != 0 for p in _numbers(wiring)))


def _numbers(wiring: Wiring) -> tuple[int, ...]:
    return () if isinstance(wiring.padding, str) else wiring.padding


def mean_error(fitted: FittedLayer, means: ChannelMeans | None) -> FloatArray:
    """Return sum over b of E[x_b⁺] (K̂⁺_b - K_b) + E[x_b⁻] (K̂⁻_b + K_b), tap by tap, the constant channel's shape."""
    wiring = fitted.plan.layer.wiring
    constant = wiring.constant_channel
    total = np.zeros(constant.weight_shape)
    if means is None:
        return total
    for channel in range(wiring.in_channels):
        own = wiring.block(fitted.plan.weight, channel)
        error = means.positive[channel] * (wiring.block(fitted.kernels[0], channel) - own)
        if not fitted.plan.layer.nonnegative:
            error = error + means.negative[channel] * (wiring.block(fitted.kernels[1], channel) + own)
        place = constant.block(total, channel // wiring.inputs_per_group)
        place += error.reshape(place.shape)
    return total


def tap_value(layer: Layer, taps: FloatArray) -> float:
    """What the constant channel should hold, so that its kernel is as long as random rows reach: a power of two.

    The kernel is divided by the value and its error multiplied: the smaller the error to cancel, the finer.
    """
    constant = layer.wiring.constant_channel
    norms = np.array([np.linalg.norm(constant.block(taps, group)) for group in range(constant.in_channels)])
    if not norms.any():
        return 1.0
    reach = pursuit_gain(norms, 0.0, layer.tap_constants // 2, layer.wiring.d)
    return math.ldexp(1.0, min(100, max(-100, math.ceil(math.log2(layer.gain / reach)))))


def sum_over_taps(kernel: FloatArray, wiring: Wiring) -> FloatArray:
    """What a constant channel of ones adds to outputs far from a border; for a stride that spreads, on average."""
    if wiring.pointwise:
        return kernel.reshape(wiring.out_channels)
    total: FloatArray = kernel.reshape(wiring.out_channels, -1).sum(axis=1)
    return total / math.prod(wiring.stride) if wiring.transposed else total
