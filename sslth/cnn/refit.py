"""Refitting a layer on data: channel after channel, what each leaves undone is spread over those not yet searched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sslth.cnn.channel_means import with_few_bits
from sslth.cnn.compensation import (
    Find,
    FittedLayer,
    add_up,
    bias_tasks,
    channel_tasks,
    tap_tasks,
    tap_value,
)
from sslth.cnn.gram import Moments
from sslth.cnn.layers import Wiring

__all__ = ["LARGEST_HESSIAN", "refit"]

FloatArray = npt.NDArray[np.float64]

LARGEST_HESSIAN = 6144  # features of a group; wider layers have their constants fitted, and their kernels left
_DAMPING = 0.01  # of the mean diagonal
_CONSTANT_DAMPING = 1e-6
_ROUNDS = 8  # channels of a group are searched in so many rounds at most; those of a round know nothing of each other
_BITS = 24  # of a refitted target: what rounding makes of linear algebra is cut off


@dataclass(eq=False)
class _System:
    """The least-squares problem of every group: features [g, F], in the order in which channels are searched.

    Attributes
    ----------
    order : int64[g, channels of a group]
        Channels by falling energy.
    targets : float64[g, F, O]
        What is still aimed at; changes as channels are finished.
    factor : float64[g, F, F]
        Upper Cholesky factor of the damped Hessian's inverse.
    block : int
        Features of one channel.
    """

    order: npt.NDArray[np.int64]
    targets: FloatArray
    factor: FloatArray
    block: int

    def spread(self, first: int, stop: int, found: FloatArray) -> None:
        """Channels first to stop are found: move the later ones by what makes up best for the difference."""
        a, b = first * self.block, stop * self.block
        error = found - self.targets[:, a:b]
        turned = np.swapaxes(self.factor, 1, 2)
        self.targets[:, b:] += turned[:, b:, a:b] @ np.linalg.solve(turned[:, a:b, a:b], error)
        self.targets[:, a:b] = found


def refit(fitted: FittedLayer, moments: Moments, seed: int, find: Find, threads: int | None) -> None:
    """Search all blocks of a layer so that it does on the ticket's own inputs what the target does on its own.

    Parameters
    ----------
    fitted : FittedLayer
        Filled in place; with filters for a bias.
    moments : Moments
        Of the ticket's inputs and the target's results, bias included, at the same places.

    Notes
    -----
    First the kernels are moved to the damped least-squares solution; then channels are searched by falling energy. The
    error of each finished channel is spread over the unfinished ones by the inverse Hessian, as GPTQ does it for
    columns [Frantar et al. 2023, arXiv:2210.17323]; constants are projected out before, and fitted last, first the
    constant channel, then the bias. O(F³) for F features, besides the search.
    """
    wiring, both = fitted.plan.layer.wiring, not fitted.plan.layer.nonnegative
    system = _system(fitted, moments) if moments.hessian is not None else None
    if system is None:
        add_up([(fitted, task) for task in channel_tasks(fitted, seed)], find, threads)
    else:
        per_round = math.ceil(wiring.inputs_per_group / _ROUNDS)
        for first in range(0, wiring.inputs_per_group, per_round):
            stop = min(first + per_round, wiring.inputs_per_group)
            chosen = {
                group * wiring.inputs_per_group + int(system.order[group, place]): (group, place)
                for group in range(wiring.groups)
                for place in range(first, stop)
            }
            weight = np.zeros_like(fitted.kernels)
            for channel, (group, place) in chosen.items():
                _write(weight, wiring, channel, system.targets[group, place * system.block :][: system.block], both)
            weight = with_few_bits(weight, _BITS)
            tasks = [task for task in channel_tasks(fitted, seed, weight) if task.block.channel in chosen]
            add_up([(fitted, task) for task in tasks], find, threads)
            found = np.zeros((wiring.groups, (stop - first) * system.block, wiring.outputs_per_group))
            for channel, (group, place) in chosen.items():
                start = (place - first) * system.block
                found[group, start : start + system.block] = _read(fitted.kernels, wiring, channel, both)
            system.spread(first, stop, found)
    _constants(fitted, moments, seed, find, threads)


def _system(fitted: FittedLayer, moments: Moments) -> _System:
    assert moments.hessian is not None
    wiring, both = fitted.plan.layer.wiring, not fitted.plan.layer.nonnegative
    wanted = np.stack([fitted.plan.weight, -fitted.plan.weight])
    start = _by_group(wanted, wiring, both)
    hessian, crossed = moments.hessian, moments.crossed
    offset = _group_bias(fitted)
    left = moments.targets - crossed[:, :, -1:] * offset - hessian @ start
    left_constants = moments.means - moments.constants[:, :, -1:] * offset - np.swapaxes(crossed, 1, 2) @ start
    absorbed = np.linalg.solve(_damped(moments.constants, _CONSTANT_DAMPING), np.swapaxes(crossed, 1, 2))
    reduced = hessian - crossed @ absorbed
    reduced = _damped((reduced + np.swapaxes(reduced, 1, 2)) / 2, _DAMPING)
    targets = start + np.linalg.solve(reduced, left - np.swapaxes(absorbed, 1, 2) @ left_constants)
    block = start.shape[1] // wiring.inputs_per_group
    energy = np.einsum("gii->gi", hessian).reshape(wiring.groups, -1, block).sum(axis=2)
    order = np.argsort(-energy, axis=1, kind="stable")
    places = (order[:, :, None] * block + np.arange(block)).reshape(wiring.groups, -1)
    reduced = np.take_along_axis(np.take_along_axis(reduced, places[:, :, None], axis=1), places[:, None, :], axis=2)
    inverse = np.linalg.inv(reduced)
    factor = np.swapaxes(np.linalg.cholesky((inverse + np.swapaxes(inverse, 1, 2)) / 2), 1, 2)
    return _System(order, np.take_along_axis(targets, places[:, :, None], axis=1), factor, block)


def _damped(matrices: FloatArray, share: float) -> FloatArray:
    """A share of the mean diagonal added to the diagonal; 1 where there is nothing."""
    size = matrices.shape[-1]
    mean = np.einsum("gii->g", matrices) / size
    damping = np.where(mean > 0, share * mean, 1.0)
    damped: FloatArray = matrices + damping[:, None, None] * np.eye(size)
    return damped


def _constants(fitted: FittedLayer, moments: Moments, seed: int, find: Find, threads: int | None) -> None:
    """The constant channel's kernel, then the bias, by least squares on what the channels left."""
    layer = fitted.plan.layer
    wiring = layer.wiring
    found = _by_group(fitted.kernels, wiring, not layer.nonnegative)
    offset = _group_bias(fitted)
    left = moments.means - moments.constants[:, :, -1:] * offset - np.swapaxes(moments.crossed, 1, 2) @ found
    if layer.tap_constants:
        solved = np.linalg.solve(_damped(moments.constants, _CONSTANT_DAMPING), left)
        wanted = np.asarray(solved, dtype=np.float64)[:, :-1]
        taps = _of_groups(with_few_bits(wanted, _BITS), wiring)
        fitted.aim(replace(layer, tap_value=tap_value(layer, taps)))
        add_up([(fitted, task) for task in tap_tasks(fitted, seed, taps)], find, threads)
        constant = wiring.constant_channel
        reached = np.stack(
            [constant.block(fitted.taps, g).reshape(wiring.outputs_per_group, -1).T for g in range(wiring.groups)]
        )
        left = left - moments.constants[:, :, :-1] @ reached
    rows = moments.constants[:, -1, -1]
    bias = fitted.wanted_bias + (left[:, -1] / rows[:, None]).ravel()
    add_up([(fitted, task) for task in bias_tasks(fitted, seed, with_few_bits(bias, _BITS))], find, threads)


def _group_bias(fitted: FittedLayer) -> FloatArray:
    return fitted.wanted_bias.reshape(fitted.plan.layer.wiring.groups, 1, -1)


def _by_group(kernels: FloatArray, wiring: Wiring, both_signs: bool) -> FloatArray:
    """Kernels float64[2, *weight_shape] as float64[g, F, O], in the order of a Gram's features."""
    rows = [_read(kernels, wiring, channel, both_signs) for channel in range(wiring.in_channels)]
    stacked: FloatArray = np.stack(rows).reshape(wiring.groups, -1, wiring.outputs_per_group)
    return stacked


def _read(kernels: FloatArray, wiring: Wiring, channel: int, both_signs: bool) -> FloatArray:
    """One channel's kernels as float64[signs * taps, O]."""
    sides: Sequence[int] = (0, 1) if both_signs else (0,)
    parts = [wiring.block(kernels[side], channel).reshape(wiring.outputs_per_group, -1).T for side in sides]
    return np.concatenate(parts)


def _write(kernels: FloatArray, wiring: Wiring, channel: int, rows: FloatArray, both_signs: bool) -> None:
    for side, part in enumerate(np.split(rows, 2 if both_signs else 1)):
        place = wiring.block(kernels[side], channel)
        place[...] = part.T.reshape(place.shape)


def _of_groups(taps: FloatArray, wiring: Wiring) -> FloatArray:
    """A kernel float64[g, taps, O] in the constant channel's weight shape."""
    kernel = np.zeros(wiring.constant_channel.weight_shape)
    for group in range(wiring.groups):
        place = wiring.constant_channel.block(kernel, group)
        place[...] = taps[group].T.reshape(place.shape)
    return kernel
