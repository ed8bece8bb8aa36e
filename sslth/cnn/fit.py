"""What the blocks of a network are aimed at: the target as it is, compensated without data, or refitted on data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, Protocol

from torch import Tensor, nn

from sslth.cnn.block_store import BlockStore
from sslth.cnn.calibration import calibrate, errors_with_and_without
from sslth.cnn.channel_means import ChannelMeans
from sslth.cnn.compensation import FittedLayer, Sum, compensated, uncompensated, with_constants
from sslth.cnn.kept_filters import KeptFilters
from sslth.cnn.plan import LayerPlan, Searcher, Task, search_all
from sslth.cnn.progress import Bar, Progress
from sslth.cnn.spool import Spool
from sslth.cnn.trace import Traced

__all__ = ["BlockFinder", "Finder", "fit_to_data", "fit_to_means", "fit_to_weights"]

_MEASURED = 256  # inputs of the example, at most, on which the error is measured
_STAGE = "searching blocks"


class BlockFinder(Protocol):
    """Answers tasks, by a search or by a guess of what it would find."""

    threads: int | None

    @property
    def keeps_few(self) -> bool:
        """Whether the number of filters that a block may keep is limited."""
        ...

    def expect(self, plans: Sequence[LayerPlan]) -> None:
        """All blocks of these layers are going to be asked for."""
        ...

    def __call__(self, tasks: Sequence[Task]) -> Sequence[KeptFilters | Sum]:
        """One answer for every task, in their order."""
        ...


class Finder:
    """Searches blocks side by side, and tells how far the work is."""

    def __init__(
        self,
        solver: Searcher,
        max_kept: int | None,
        threads: int | None,
        memory: int,
        store: BlockStore | None,
        report: Progress,
    ) -> None:
        self.threads = threads
        self._memory = memory
        self._solver, self._max_kept, self._store, self._report = solver, max_kept, store, report
        self._spool = Spool()
        self._done = self._total = 0

    @property
    def keeps_few(self) -> bool:
        """Whether the number of filters that a block may keep is limited."""
        return self._max_kept is not None

    def expect(self, plans: Sequence[LayerPlan]) -> None:
        """All blocks of these layers are going to be searched."""
        for plan in plans:
            layer = plan.layer
            constants = bool(layer.constants) + bool(layer.tap_constants)
            self._total += layer.wiring.in_channels * (1 if layer.nonnegative else 2) + layer.wiring.groups * constants
        self._report(self._done, self._total, _STAGE)

    def __call__(self, tasks: Sequence[Task]) -> list[KeptFilters]:
        """The kept filters of every task, in their order."""
        found = [KeptFilters.none()] * len(tasks)
        bar = self._report if isinstance(self._report, Bar) else None
        if bar is not None:
            bar.searched(0)
        with closing(
            search_all(tasks, self._solver, self._max_kept, self.threads, store=self._store, memory=self._memory)
        ) as searched:
            for number, filters in searched:
                found[number] = KeptFilters.of(filters, self._spool)
                self._done += 1
                if bar is not None:
                    bar.searched(tasks[number].block.size)
                self._report(self._done, self._total, _STAGE)
        return found


def fit_to_weights(
    plans: Sequence[LayerPlan], seed: int, find: BlockFinder, because: str
) -> tuple[list[FittedLayer], dict[str, Any]]:
    """Aim every block at the target's own weights; return the layers, and what the ticket says of it."""
    find.expect(plans)
    layers = uncompensated(plans, seed, find, find.threads)
    return layers, {"matched": "weights", "because": because, "matched_error": _errors(layers)}


def fit_to_means(
    plans: Sequence[LayerPlan],
    seed: int,
    find: BlockFinder,
    means: Mapping[str, ChannelMeans],
    plain: nn.Module,
    example: Tensor,
) -> tuple[list[FittedLayer], dict[str, Any]]:
    """Cancel mean errors; measure what it does, if the example holds several inputs."""
    plans = [with_constants(plan) if plan.layer.name in means else plan for plan in plans]
    find.expect(plans)
    # a constant channel's kernel is small and scaled up to what many rows reach: few never come near it
    layers = compensated(plans, seed, means, find, find.threads, taps=not find.keeps_few)
    note: dict[str, Any] = {"matched": "channel means", "means": {name: item.origin for name, item in means.items()}}
    if len(example) > 1:
        measured = example[:_MEASURED]
        error, without = errors_with_and_without(plain, layers, measured)
        note["output_error"] = {"with": error, "without": without, "inputs": len(measured), "on": "example_input"}
    return layers, _with_errors(note, layers)


def fit_to_data(
    plans: Sequence[LayerPlan], seed: int, find: BlockFinder, traced: Traced, chunks: Sequence[Tensor], memory: int
) -> tuple[list[FittedLayer], dict[str, Any]]:
    """Refit every layer on the ticket's own activations; the inputs are in chunks."""
    plans = [with_constants(plan, refitted=True) for plan in plans]
    find.expect(plans)
    layers = [FittedLayer.of(plan) for plan in plans]
    error, left = calibrate(layers, seed, traced, chunks, find, find.threads, memory)
    inputs = sum(len(chunk) for chunk in chunks)
    note: dict[str, Any] = {"matched": "calibration", "inputs": inputs, "kernels_not_refitted": left}
    note["output_error"] = {"with": error, "without": None, "inputs": inputs, "on": "calibration"}
    return layers, _with_errors(note, layers)


def _with_errors(note: dict[str, Any], layers: Sequence[FittedLayer]) -> dict[str, Any]:
    added = [fitted.plan.layer.name for fitted in layers if fitted.constants and not fitted.plan.layer.wiring.has_bias]
    return note | {"matched_error": _errors(layers), "added_bias": added}


def _errors(layers: Sequence[FittedLayer]) -> dict[str, float]:
    """Three digits, so that no ticket depends on the last bits of a norm."""
    return {fitted.plan.layer.name: float(f"{fitted.matched:.3g}") for fitted in layers}
