"""Linear mode connectivity: what happens to the error on the straight line between two networks."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sslth.data.splits import Examples, Splits
from sslth.errors import InvalidInputError
from sslth.mining.finetune import finetune, reestimate
from sslth.mining.masks import Mask
from sslth.mining.seeds import stream
from sslth.mining.training import Training

__all__ = ["Children", "Line", "line_between", "sgd_children"]

_AT_ONCE = 1000


@dataclass(frozen=True, eq=False)
class Line:
    """Which examples are classified wrongly at points of the line from one network to another.

    Attributes
    ----------
    positions : Tensor
        float64[p], from 0, the first network, to 1, the second.
    wrong : Tensor
        bool[p, m].
    reestimated : bool
        Whether batch norms measured their statistics again at each point, or were interpolated with the weights.

    Examples
    --------
    >>> wrong = torch.tensor([[False, True], [True, True], [False, False]])
    >>> found = Line(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), wrong, False)
    >>> found.barrier, found.example_barriers.tolist(), found.connected.tolist()
    (0.75, [1.0, 0.5], [False, False])
    """

    positions: Tensor
    wrong: Tensor
    reestimated: bool

    @property
    def errors(self) -> Tensor:
        """float64[p]: the share of wrong examples at each point."""
        return self.wrong.double().mean(1)

    @property
    def barrier(self) -> float:
        """The most by which the error exceeds the straight line between the errors at the ends; at least 0."""
        return float(_above(self.errors[:, None], self.positions)[0])

    @property
    def example_barriers(self) -> Tensor:
        """float64[m]: the same for the 0/1 error of every single example; 0 for one that is wrong at both ends."""
        return _above(self.wrong.double(), self.positions)

    @property
    def connected(self) -> Tensor:
        """bool[m]: the examples that are classified rightly at every point, ends included."""
        return ~self.wrong.any(0)


@dataclass(frozen=True, eq=False)
class Children:
    """Two networks trained from the same weights under the same mask, with batches in different orders."""

    first: nn.Module
    second: nn.Module

    def line(self, data: Examples, **options: object) -> Line:
        """The line between them; options as in `line_between`."""
        return line_between(self.first, self.second, data, **options)  # type: ignore[arg-type]


def line_between(
    first: nn.Module,
    second: nn.Module,
    data: Examples,
    *,
    points: int = 11,
    reestimate_on: Examples | None = None,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
) -> Line:
    """Evaluate networks at equally spaced points of the line from one to another.

    Weights, and running statistics with them, are interpolated; the ends are the networks themselves, bit by bit, and
    so is every point between a network and itself. The networks are not changed. The barrier after
    [FrankleEtAl2020]_ (see `Imp`); theirs is measured from the mean of the two errors, this one, like that of
    [PaulEtAl2022]_ (see `diet_rows`), from the line between them. Cost: `points` passes over the data.

    Parameters
    ----------
    points : int
        Ends included; a barrier is only seen at these.
    reestimate_on : Examples
        Where given, batch norms measure mean and variance again on these examples at every point, ends included.

    Raises
    ------
    InvalidInputError
        If the networks differ in names, shapes or types of their tensors, or there are fewer than 2 points.
    """
    states = first.state_dict(), second.state_dict()
    _check_alike(*states)
    if points < 2:
        raise InvalidInputError(f"points is {points}; a line needs its two ends")
    place = torch.device(device)
    between = copy.deepcopy(first).to(place)
    positions = torch.linspace(0.0, 1.0, points, dtype=torch.float64)
    wrong = []
    for position in positions.tolist():
        between.load_state_dict(_mixed(*states, position))
        if reestimate_on is not None:
            reestimate(between, None, reestimate_on, place, batch_size)
        wrong.append(_wrong(between.eval(), data, place))
    return Line(positions, torch.stack(wrong), reestimate_on is not None)


def sgd_children(
    template: nn.Module,
    start: Mapping[str, Tensor],
    mask: Mask | None,
    data: Splits,
    training: Training,
    *,
    epochs: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> Children:
    """Train twice from the same weights, with orders of batches (and dropout) of two seeds derived from one.

    `template` gives the shape, `start` the weights, as in `Mined`; without a mask the whole network is trained. The
    test part of `data` is not looked at.
    """
    if mask is None:
        mask = Mask({name: torch.ones_like(value, dtype=torch.bool) for name, value in template.named_parameters()})
    pair = [
        finetune(
            template,
            start,
            mask,
            data,
            training,
            epochs=epochs,
            seed=stream(seed, "child", number),
            device=torch.device(device),
            phase="child",
        )[0].cpu()
        for number in range(2)
    ]
    return Children(*pair)


def _above(errors: Tensor, positions: Tensor) -> Tensor:
    at = positions[:, None]
    chord = torch.lerp(errors[0].expand_as(errors), errors[-1].expand_as(errors), at.expand_as(errors))
    highest: Tensor = (errors - chord).max(0).values
    return highest.clamp(min=0.0)


def _mixed(first: Mapping[str, Tensor], second: Mapping[str, Tensor], position: float) -> dict[str, Tensor]:
    # lerp is exact at 0 and 1, and where both are equal; counters (whole numbers) are the first network's
    return {
        name: torch.lerp(value, second[name].to(value.device), position) if value.is_floating_point() else value
        for name, value in first.items()
    }


@torch.no_grad()
def _wrong(network: nn.Module, data: Examples, device: torch.device) -> Tensor:
    parts: Sequence[slice] = [slice(at, at + _AT_ONCE) for at in range(0, len(data), _AT_ONCE)]
    return torch.cat(
        [network(data.inputs[rows].to(device)).argmax(1).cpu() != data.labels[rows].cpu() for rows in parts]
    )


def _check_alike(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> None:
    alone = sorted(first.keys() ^ second.keys())
    if alone:
        raise InvalidInputError(f"there is no line between these networks: only one of them has {alone[0]}")
    for name, value in first.items():
        if value.shape != second[name].shape or value.dtype != second[name].dtype:
            shapes = f"{list(value.shape)} and {list(second[name].shape)}"
            raise InvalidInputError(f"there is no line between these networks: {name} differs, {shapes}")
