"""The search for inputs at which ticket and target differ most, by the signs of gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from sslth.cnn.merged import MergedLayer, merged_module
from sslth.cnn.progress import Progress
from sslth.cnn.trace import tensors_of
from sslth.errors import InvalidInputError

__all__ = ["Attack", "attack", "evaluated"]

# How many of the best points are handed on, to be recomputed rigorously.
_CANDIDATES = 4
# How far they are apart at least, in the mean over the entries, as a share of the box's sides.
_APART = 0.05
# Entries of one evaluated chunk of inputs; keeps memory bounded for large images.
_CHUNK = 2**20
# Shares of the box's side that the first and the last step take.
_FIRST_STEP, _LAST_STEP = 0.5, 0.01


@dataclass(frozen=True, eq=False)
class Attack:
    """The best points found, best first, by plain float64 evaluation.

    Attributes
    ----------
    points : float64[k, *input_shape]
    values : float64[k]
        Largest |ticket - target| over the outputs at each point.
    sizes : float64[k]
        Largest |ticket| or |target| at each point, the scale of what rounding may do.
    output_shapes : tuple of shapes, without batch
    """

    points: Tensor
    values: Tensor
    sizes: Tensor
    output_shapes: tuple[tuple[int, ...], ...]


def attack(
    model: nn.Module,
    merged: Mapping[str, MergedLayer],
    box: tuple[Tensor, Tensor],
    rows: Tensor,
    *,
    device: torch.device,
    starts: int,
    steps: int,
    seed: int,
    progress: Progress | None = None,
) -> Attack:
    """Climb |ticket_i - target_i| inside the box; i is the output that is largest at each start.

    Parameters
    ----------
    model, merged
        The target and what replaces its layers.
    box : pair of float64[*input_shape]
    rows : float64[n, *input_shape]
        Inputs of the box; all are evaluated, the worst third of the starts comes from them.
    device : torch.device
    starts, steps, seed : int
    progress : callable (done, total, stage), optional

    Notes
    -----
    Projected ascent: every step moves each coordinate by the same share of its side of the box in the
    direction of the gradient's sign; the share falls geometrically from 1/2 to 1/100, and the best point
    of the path counts. (Taking back and halving steps that do not rise found a quarter less on a small
    rectified network, with as many evaluations: the function is full of small ridges.)
    """
    pair = _Pair(model, merged, device)
    low, high = box[0].to(device), box[1].to(device)
    per_chunk = max(1, min(256, _CHUNK // max(1, low.numel())))
    total = len(rows) + starts * steps
    done = 0
    found: list[tuple[Tensor, Tensor, Tensor]] = []

    def report(amount: int) -> None:
        nonlocal done
        done += amount
        if progress is not None:
            progress(done, total, "certify")

    for chunk in _chunks(rows, per_chunk):
        values, sizes = pair.values(chunk.to(device))
        found.append((chunk, values.cpu(), sizes.cpu()))
        report(len(chunk))
    begin = _starts(box, found, starts, torch.Generator().manual_seed(seed))
    for chunk in _chunks(begin, per_chunk):
        points = pair.climb(chunk.to(device), low, high, steps, partial(report, len(chunk)))
        values, sizes = pair.values(points)
        found.append((points.cpu(), values.cpu(), sizes.cpu()))
    points, values, sizes = (torch.cat(parts) for parts in zip(*found, strict=True))
    if not bool(torch.isfinite(values).all()):
        raise InvalidInputError("the networks' outputs are not finite somewhere in the box")
    best = _apart(points, torch.argsort(values, descending=True, stable=True), high.cpu() - low.cpu())
    return Attack(points[best], values[best], sizes[best], pair.output_shapes)


def _apart(points: Tensor, order: Tensor, sides: Tensor) -> Tensor:
    """The first few of the order that are not close to one another: many starts end on the same hill."""
    chosen = [int(order[0])]
    scale = sides.abs().mean().clamp(min=1e-300)
    for index in order[1:].tolist():
        if len(chosen) == _CANDIDATES:
            break
        if all(float((points[index] - points[other]).abs().mean()) > _APART * scale for other in chosen):
            chosen.append(index)
    return torch.tensor(chosen)


def evaluated(model: nn.Module, merged: Mapping[str, MergedLayer], points: Tensor) -> tuple[Tensor, Tensor]:
    """The largest |ticket - target| over the outputs, and the largest output, at each of some points: float64[k]."""
    return _Pair(model, merged, torch.device("cpu")).values(points)


def _chunks(rows: Tensor, size: int) -> Iterator[Tensor]:
    for begin in range(0, len(rows), size):
        yield rows[begin : begin + size]


def _starts(
    box: tuple[Tensor, Tensor], found: list[tuple[Tensor, Tensor, Tensor]], count: int, rng: torch.Generator
) -> Tensor:
    """Return the worst data rows, random points and random corners of the box, about a third each."""
    low, high = box
    count = max(1, count)
    parts: list[Tensor] = []
    if found:
        rows, values = torch.cat([part[0] for part in found]), torch.cat([part[1] for part in found])
        parts.append(rows[torch.argsort(values, descending=True, stable=True)[: (count + 2) // 3]])
    rest = count - sum(len(part) for part in parts)
    inside = torch.rand((rest - rest // 2, *low.shape), generator=rng, dtype=torch.float64)
    corner = torch.randint(0, 2, (rest // 2, *low.shape), generator=rng).to(torch.float64)
    for share in (inside, corner):
        # A convex combination written so that 0 and 1 give the ends exactly.
        parts.append(torch.clamp(low * (1.0 - share) + high * share, low, high))
    return torch.cat(parts)


class _Pair:
    """Target and ticket in float64, evaluated side by side."""

    def __init__(self, model: nn.Module, merged: Mapping[str, MergedLayer], device: torch.device) -> None:
        target = copy.deepcopy(model).to(device, torch.float64)
        ticket = merged_module(model, merged, torch.float64).to(device)
        self._networks = [network.eval().requires_grad_(False) for network in (target, ticket)]
        self.output_shapes: tuple[tuple[int, ...], ...] = ()

    def _outputs(self, network: nn.Module, x: Tensor) -> Tensor:
        try:
            # A clone, because the forward may overwrite its input.
            outputs = tensors_of(network(x.clone()))
        except (RuntimeError, TypeError, ValueError) as error:
            text = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise InvalidInputError(f"the model fails on {len(x)} float64 inputs: {text}") from error
        if outputs is None or any(out.ndim == 0 or len(out) != len(x) for out in outputs):
            raise InvalidInputError("the model must map a batch of inputs to tensors with a batch dimension")
        self.output_shapes = tuple(tuple(out.shape[1:]) for out in outputs)
        return torch.cat([out.reshape(len(x), -1) for out in outputs], dim=1).to(torch.float64)

    def values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the largest |ticket - target|, and the largest output, of each input."""
        with torch.no_grad():
            target, ticket = (self._outputs(network, x) for network in self._networks)
        if target.shape[1] == 0:
            raise InvalidInputError("the model's outputs are empty")
        size = torch.maximum(target.abs(), ticket.abs()).amax(dim=1)
        return (ticket - target).abs().amax(dim=1), size

    def _differences(self, x: Tensor) -> Tensor:
        target, ticket = (self._outputs(network, x) for network in self._networks)
        return ticket - target

    def climb(self, x: Tensor, low: Tensor, high: Tensor, steps: int, tick: Callable[[], None]) -> Tensor:
        """Return the points reached from x, each the best of its path."""
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            best = torch.full((len(x),), -torch.inf, dtype=x.dtype, device=x.device)
            place, chosen, sign = x, None, best
            shape = (-1,) + (1,) * (x.ndim - 1)
            for step in range(steps):
                trial = x.detach().requires_grad_(True)
                outputs = self._differences(trial)
                if chosen is None:
                    chosen = outputs.detach().abs().argmax(dim=1, keepdim=True)
                    sign = torch.sign(outputs.detach().gather(1, chosen)).squeeze(1)
                    sign = torch.where(sign == 0, 1.0, sign)
                value = sign * outputs.gather(1, chosen).squeeze(1)
                slope = _slope(value, trial)
                better = value.detach() > best
                best = torch.where(better, value.detach(), best)
                place = torch.where(better.reshape(shape), trial.detach(), place)
                if slope is not None:
                    share = _FIRST_STEP * (_LAST_STEP / _FIRST_STEP) ** (step / max(1, steps - 1))
                    x = torch.clamp(trial.detach() + share * (high - low) * torch.sign(slope), low, high)
                tick()
        return place


def _slope(value: Tensor, place: Tensor) -> Tensor | None:
    """The gradient, or None where the model has none: then the starting points are what is attained."""
    if not value.requires_grad:
        return None
    try:
        return torch.autograd.grad(value.sum(), place, allow_unused=True)[0]
    except RuntimeError:  # the forward overwrites what its own backward pass needs
        return None
