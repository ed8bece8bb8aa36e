"""The best widths for every amount of work or of bytes: what each layer adds to the error against what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslth.cnn.compensation import with_constants
from sslth.cnn.plan import LayerPlan, bytes_of_block, free_gain, lengths_of_blocks
from sslth.cnn.prepared import Prepared
from sslth.cnn.widths.width_law import SearchLaw, bytes_of_gaps

__all__ = ["Candidate", "LayerModel", "Point", "ladder", "layer_models", "points", "trimmed"]

FloatArray = npt.NDArray[np.float64]

_NARROWEST = 16
_WIDEST = 1 << 22  # beyond, a single block takes minutes
_STEPS = (4, 5, 6, 7)
_PRICES = np.geomspace(1e-12, 1e40, 2500)


def ladder(largest: int) -> list[int]:
    """Widths to choose from, four for every factor of 2, up to `largest`, which is one of them.

    Examples
    --------
    >>> ladder(50)
    [16, 20, 24, 28, 32, 40, 48, 50]
    """
    found = {min(largest, _NARROWEST), largest}
    step = _NARROWEST // 4
    while step * _STEPS[0] < largest:
        found |= {step * factor for factor in _STEPS if step * factor < largest}
        step *= 2
    return sorted(found)


@dataclass(frozen=True, eq=False)
class Candidate:
    """One width of one layer."""

    width: int
    error: float
    work: float
    seconds: float
    index_bytes: float


@dataclass(frozen=True, eq=False)
class LayerModel:
    """What one layer does to the error and what it costs, at any width.

    Attributes
    ----------
    blocks : int
        Channel blocks and signs, and constant channels.
    biases : int
        Bias blocks.
    per_width : int
        How many times 2n filters a bias block has.
    error_alone : float
        The output error when this layer alone has the errors of `relative(tried_at)`.
    error_lost : float
        The output error when nothing of it is kept.
    """

    name: str
    law: SearchLaw
    gain: Callable[[int], float]
    longest: float
    blocks: int
    signs: int
    biases: int
    per_width: float
    tried_at: int
    error_alone: float
    error_lost: float
    largest: int

    def relative(self, width: int) -> float:
        """The relative error of the longest block, at most 1: then nothing is kept."""
        reached = self.gain(width) * self.longest
        return min(1.0, self.law.error(width) / reached) if reached > 0 else 0.0

    def error(self, width: int) -> float:
        """What the layer alone adds to the output error."""
        tried, relative = self.relative(self.tried_at), self.relative(width)
        if tried == 0:
            return 0.0
        noise = math.sqrt(max(self.error_alone**2 - (self.error_lost * tried**2) ** 2, (0.1 * self.error_alone) ** 2))
        return math.hypot(noise * relative / tried, self.error_lost * relative**2)  # as in a rehearsal

    def work(self, width: int) -> float:
        """Seconds of one thread, the same on every machine."""
        return self.blocks * self.law.work(width)

    def seconds(self, width: int) -> float:
        """Seconds of one thread of this machine."""
        return self.blocks * self.law.seconds(width)

    def at(self, width: int) -> Candidate:
        """Everything about one width."""
        return Candidate(width, self.error(width), self.work(width), self.seconds(width), self.index_bytes(width))

    def index_bytes(self, width: int) -> float:
        """What the numbers of the kept filters take in a ticket."""
        kept = self.law.kept(width)
        channels = self.blocks / self.signs * bytes_of_gaps(kept * self.signs, 2 * width)
        of_a_bias = kept * self.per_width if self.law.kept_slope else kept
        return channels + self.biases * bytes_of_gaps(of_a_bias, 2 * width * self.per_width)


def layer_models(
    ready: Prepared,
    plans: Sequence[LayerPlan],
    laws: Mapping[str, SearchLaw],
    alone: Mapping[str, tuple[float, float]],
    widest: int,
) -> list[LayerModel]:
    """One model a layer; `plans` are the pilot's, `alone` the output errors of one layer's errors and of its loss."""
    models = []
    for plan in plans:
        layer, wiring, name = plan.layer, plan.layer.wiring, plan.layer.name
        extended = with_constants(plan, refitted=ready.chunks is not None).layer if ready.compensate else layer
        norms, bias_norm = lengths_of_blocks(name, ready.modules[name], ready.origin)
        signs = 1 if layer.nonnegative else 2
        has_taps = bool(extended.tap_constants) and ready.max_kept is None
        models.append(
            LayerModel(
                name=name,
                law=laws[name],
                gain=_gain_of(ready, plan, norms, bias_norm),
                longest=_longest(plan),
                blocks=wiring.in_channels * signs + (wiring.groups * signs if has_taps else 0),
                signs=signs,
                biases=wiring.groups if extended.constants else 0,
                per_width=extended.constants / (2 * layer.width),
                tried_at=layer.width,
                error_alone=alone[name][0],
                error_lost=alone[name][1],
                largest=_largest(ready, wiring.d, widest),
            )
        )
    return models


def _longest(plan: LayerPlan) -> float:
    wiring = plan.layer.wiring
    return max(float(np.linalg.norm(wiring.block(plan.weight, channel))) for channel in range(wiring.in_channels))


def _gain_of(ready: Prepared, plan: LayerPlan, norms: FloatArray, bias_norm: float) -> Callable[[int], float]:
    name, wiring = plan.layer.name, plan.layer.wiring
    if ready.origin.law == "kaiming" or name in ready.gains:
        return lambda width: ready.origin.fixed_gains(ready.gains, {name: wiring}, {name: width})[name]
    most = math.inf if ready.max_kept is None else plan.layer.gain  # what few rows reach depends little on the width
    return lambda width: min(most, free_gain(ready.solver, norms, bias_norm, width, wiring.d))


def _largest(ready: Prepared, d: int, widest: int) -> int:
    """The widest that fits into the budget of memory."""
    size = bytes_of_block(ready.solver)
    fitting = [width for width in ladder(min(widest, _WIDEST)) if size(width, d) <= ready.memory]
    return fitting[-1] if fitting else 1


@dataclass(frozen=True, eq=False)
class Point:
    """Widths of all layers; errors of layers are independent, so their squares add up."""

    chosen: dict[str, Candidate]

    @property
    def widths(self) -> dict[str, int]:
        """By layer."""
        return {name: candidate.width for name, candidate in self.chosen.items()}

    @property
    def error(self) -> float:
        """Of the output, before a rehearsal."""
        return float(np.sqrt(sum(candidate.error**2 for candidate in self.chosen.values())))

    @property
    def seconds(self) -> float:
        """Of one thread."""
        return sum(candidate.seconds for candidate in self.chosen.values())

    @property
    def index_bytes(self) -> float:
        """Of all kept filters' numbers."""
        return sum(candidate.index_bytes for candidate in self.chosen.values())


def points(models: Sequence[LayerModel], *, by_bytes: bool) -> list[Point]:
    """The widths that minimise cost + price * error² for falling errors, from the narrowest to the widest.

    At each of them a further second (or byte) gains as much in one layer as in any other.
    """
    choices = [[model.at(width) for width in ladder(model.largest)] for model in models]
    best = []
    for candidates in choices:
        cost = np.array([c.index_bytes if by_bytes else c.work for c in candidates])
        squared = np.array([c.error**2 for c in candidates])
        best.append(np.argmin(cost + _PRICES[:, None] * squared, axis=1))
    found = []
    for places in np.unique(np.stack(best, axis=1), axis=0):
        found.append(
            Point({m.name: row[place] for m, row, place in zip(models, choices, places.tolist(), strict=True)})
        )
    return sorted(found, key=lambda point: -point.error)


def trimmed(point: Point, models: Sequence[LayerModel], largest_error: float, *, by_bytes: bool) -> Point:
    """The point with layers made narrower, one step at a time, while its error stays below `largest_error`.

    Between two points of `points` a steep layer may jump from nothing to much: this fills the gap.
    """

    def cost(candidate: Candidate) -> float:
        return candidate.index_bytes if by_bytes else candidate.work

    chosen = dict(point.chosen)
    narrower = {model.name: ladder(model.largest) for model in models}
    while True:
        best: tuple[float, Candidate] | None = None
        for model in models:
            now = chosen[model.name]
            place = narrower[model.name].index(now.width)
            if place == 0:
                continue
            trial = model.at(narrower[model.name][place - 1])
            if Point(chosen | {model.name: trial}).error > largest_error:
                continue
            worth = (cost(now) - cost(trial)) / max(trial.error**2 - now.error**2, 1e-300)
            if best is None or worth > best[0]:
                best = worth, trial
                name = model.name
        if best is None:
            return Point(chosen)
        chosen[name] = best[1]
