"""A plan of widths: for a wanted output error, time or size, how wide each layer should be, and what it will give."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sslth.cnn.compensation import FittedLayer
from sslth.cnn.layers import OWN
from sslth.cnn.plan import LayerPlan, bytes_of_block
from sslth.cnn.prepared import Prepared
from sslth.cnn.progress import Progress
from sslth.cnn.ticket_file import ticket_size
from sslth.cnn.widths.frontier import LayerModel, Point, layer_models, points, trimmed
from sslth.cnn.widths.pilot import Pilot, run_pilot
from sslth.cnn.widths.rehearsal import Stage, stage_for, with_gains_below
from sslth.cnn.widths.wish import WIDEST, Wish
from sslth.errors import InvalidInputError

__all__ = ["WidthPlan", "plan_table", "plan_widths", "show_plan"]

_STAGE = "planning widths"
_AIM, _ENOUGH, _TOO_GOOD = 0.75, 0.85, 0.5  # of the wanted error: aimed at; taken; wasteful, so aimed at again
_REHEARSALS = 5
_TIME_AIM, _BYTES_AIM = 0.9, 0.97
_DIGITS_OF_SIZES = 64  # bytes that numbers in the settings may take more


@dataclass(frozen=True, eq=False)
class WidthPlan:
    """How wide every layer will be, and what is predicted of that.

    Attributes
    ----------
    wish : Wish
    widths : dict
        n by layer.
    shares : dict
        Each layer's share of the squared output error.
    predicted_error : float
        ‖ticket - target‖₂ / ‖target - its mean over the inputs‖₂, over all inputs of `measured_on` and all outputs.
    predicted_seconds : float
        Of the whole extraction on this machine, the pilot included.
    predicted_bytes : int
        Of the ticket file.
    """

    wish: Wish
    widths: dict[str, int]
    shares: dict[str, float]
    predicted_error: float
    predicted_seconds: float
    predicted_bytes: int
    stage: Stage

    @property
    def measured_on(self) -> str:
        """What the inputs are on which errors are predicted and measured."""
        return self.stage.name

    def stored(self, layers: Sequence[FittedLayer]) -> dict[str, Any]:
        """What the ticket says: what was asked, predicted, and reached by these layers.

        Times are left out unless one was asked for, so that the same arguments give the same bytes.
        """
        predicted: dict[str, Any] = {"error": self.predicted_error, "bytes": self.predicted_bytes}
        if self.wish.time_limit is not None:
            predicted["seconds"] = self.predicted_seconds
        asked = self.wish.asked if self.wish.widest is None else self.wish.asked | {"width": self.wish.widest}
        return {
            "asked": asked,
            "predicted": predicted,
            "reached": {"error": self.stage.final_error(layers)},
            "on": self.measured_on,
            "inputs": len(self.stage.all_inputs),
        }


def plan_widths(ready: Prepared, wish: Wish, threads: int, report: Progress, started: float) -> WidthPlan:
    """Choose the widths of an extraction.

    Parameters
    ----------
    ready : Prepared
    wish : Wish
        With a target error: the least work (or, with `max_bytes`, the smallest ticket) that is predicted to reach it.
        Without one: the smallest predicted error within the limits.
    threads : int
    started : float
        When the extraction began, by `time.perf_counter()`.

    Raises
    ------
    InvalidInputError
        If the random network is the reader's own, outputs are constant, or no widths fulfil the wish.

    Notes
    -----
    A pilot searches some blocks at small widths; rehearsals, with noise in the place of searches, say what errors of
    that size do to the outputs; then the widths follow from what each layer adds to the error and to the work. Only
    `time_limit` looks at the clock: without one the same arguments give the same widths.
    """
    if ready.origin.law == OWN:
        raise InvalidInputError(f"source is a random network that says how wide it is; leave out {_first(wish)}")
    stage = stage_for(ready)
    widest = wish.widest or WIDEST
    pilot = run_pilot(ready, widest, threads, report)
    alone = {}
    for number, plan in enumerate(pilot.plans):
        report(number, len(pilot.plans), _STAGE)
        alone[plan.layer.name] = stage.alone(plan, pilot.laws), stage.alone(plan, None)
    models = layer_models(ready, pilot.plans, pilot.laws, alone, widest)
    layers, note, seconds = stage.in_full(pilot.plans, pilot.laws)
    tried = sum(model.error(model.tried_at) ** 2 for model in models) ** 0.5
    ratio = stage.error(layers) / tried if tried > 0 else 1.0
    empty = ticket_size(ready.ticket(layers, {"compensation": note})) + _DIGITS_OF_SIZES
    empty += len(repr(WidthPlan(wish, {}, {}, 1.23e-4, 123.0, 12345, stage).stored(layers)))
    costs = _Costs(wish, ready, models, threads, started, seconds, empty)
    frontier = points(models, by_bytes=costs.by_bytes)
    point, error = _chosen(frontier, costs, pilot, stage, ratio, lambda: report(0, 1, _STAGE))
    total = sum(candidate.error**2 for candidate in point.chosen.values())
    return WidthPlan(
        wish,
        point.widths,
        {name: float(f"{c.error**2 / total:.3g}") if total else 0.0 for name, c in point.chosen.items()},
        error,
        float(f"{costs.seconds(point):.3g}"),
        costs.bytes(point),
        stage,
    )


@dataclass(frozen=True, eq=False)
class _Costs:
    """What a point costs in all, and whether the wish allows it."""

    wish: Wish
    ready: Prepared
    models: Sequence[LayerModel]
    threads: int
    started: float
    besides: float
    empty: int

    @property
    def by_bytes(self) -> bool:
        """Whether widths are to save bytes and not work."""
        return self.wish.max_bytes is not None

    def seconds(self, point: Point) -> float:
        """Time spent so far, one more rehearsal, and the extraction itself."""
        size = bytes_of_block(self.ready.solver)
        largest = max(size(width, self.ready.wirings[name].d) for name, width in point.widths.items())
        side_by_side = max(1, min(self.threads, self.ready.memory // max(1, largest)))
        return time.perf_counter() - self.started + 2 * self.besides + point.seconds / side_by_side

    def bytes(self, point: Point) -> int:
        """Of the ticket file."""
        return round(self.empty + point.index_bytes)

    def allowed(self, point: Point) -> bool:
        """Whether limits of time and size leave room for it."""
        wish = self.wish
        in_time = wish.time_limit is None or self.seconds(point) <= _TIME_AIM * wish.time_limit
        return in_time and (wish.max_bytes is None or self.bytes(point) <= _BYTES_AIM * wish.max_bytes)

    def refusal(self, point: Point) -> str:
        """Which limit it breaks."""
        wish = self.wish
        if wish.time_limit is not None and self.seconds(point) > _TIME_AIM * wish.time_limit:
            return f"{self.seconds(point):.3g} s, and time_limit is {wish.time_limit:g}"
        return f"{self.bytes(point):,} bytes, and max_bytes is {wish.max_bytes}"


def _chosen(
    frontier: Sequence[Point], costs: _Costs, pilot: Pilot, stage: Stage, ratio: float, rehearsing: Callable[[], object]
) -> tuple[Point, float]:
    """The point that fulfils the wish, and the error that a rehearsal predicts there."""
    wanted = costs.wish.target_error
    if not costs.allowed(frontier[0]):
        raise InvalidInputError(f"even the narrowest plan is predicted to take {costs.refusal(frontier[0])}")
    if wanted is None:
        point = [point for point in frontier if costs.allowed(point)][-1]
        rehearsing()
        return point, _rehearsed(point, pilot, stage)
    found: tuple[Point, float] | None = None
    for _ in range(_REHEARSALS):
        aim = _AIM * wanted / ratio
        enough = next((point for point in frontier if point.error <= aim), None)
        if enough is None and frontier[-1].error > 2 * wanted / ratio:
            raise _out_of_reach(wanted, frontier[-1], frontier[-1].error * ratio)
        point = frontier[-1] if enough is None else trimmed(enough, costs.models, aim, by_bytes=costs.by_bytes)
        if found is not None and point.widths == found[0].widths:
            break
        rehearsing()
        error = _rehearsed(point, pilot, stage)
        ratio = error / point.error if point.error > 0 else 1.0
        if error <= _ENOUGH * wanted and (found is None or point.error > found[0].error):
            found = point, error
            if error >= _TOO_GOOD * wanted:
                break
    if found is None:
        raise _out_of_reach(wanted, point, error)
    if not costs.allowed(found[0]):
        raise InvalidInputError(f"target_error {wanted:g} is predicted to take {costs.refusal(found[0])}")
    return found


def _out_of_reach(wanted: float, point: Point, error: float) -> InvalidInputError:
    widest = max(point.widths.values())
    return InvalidInputError(
        f"target_error is {wanted:g}, but the widest plan that is allowed (up to {widest:,}) is predicted to reach "
        f"{error:.2g}; ask for less, or raise width or memory"
    )


def _rehearsed(point: Point, pilot: Pilot, stage: Stage) -> float:
    ready = stage.ready
    plans: list[LayerPlan] = ready.plans(point.widths, lambda _done, _total, _stage: None, try_gains=False)
    if ready.max_kept is not None:
        plans = with_gains_below(plans, {plan.layer.name: plan.layer.gain for plan in pilot.plans})
    return stage.error(stage.fitted(plans, pilot.laws))


def _first(wish: Wish) -> str:
    return next(iter(wish.asked))


def plan_table(plan: WidthPlan) -> str:
    """The plan for people: a few lines, then one line a layer."""
    wirings = plan.stage.ready.wirings
    asked = ", ".join(f"{name} {value:g}" for name, value in plan.wish.asked.items())
    lines = [
        f"plan for {asked}",
        f"predicted: output error {plan.predicted_error:.2g} on {plan.measured_on}",
        f"predicted: {plan.predicted_seconds:,.3g} s, a ticket of {plan.predicted_bytes:,} bytes",
    ]
    names = max(5, *(len(name) for name in plan.widths))
    lines.append(f"{'layer':{names}s} {'d':>6s} {'width':>9s} {'share of squared error':>23s}")
    lines += [
        f"{name:{names}s} {wirings[name].d:6d} {width:9,d} {plan.shares[name]:23.1%}"
        for name, width in plan.widths.items()
    ]
    return "\n".join(lines)


def show_plan(plan: WidthPlan, progress: bool | Progress) -> None:
    """Print it where a progress bar would be; tell a callable in one line."""
    if callable(progress):
        narrow, wide = min(plan.widths.values()), max(plan.widths.values())
        progress(
            0,
            len(plan.widths),
            f"plan: widths {narrow:,} to {wide:,}, predicted error {plan.predicted_error:.2g}, "
            f"{plan.predicted_seconds:.3g} s, {plan.predicted_bytes:,} bytes",
        )
    elif progress and sys.stderr.isatty():
        print(plan_table(plan), file=sys.stderr)
