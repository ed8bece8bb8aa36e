"""From cells to one table: settings picked by validation, figures with intervals over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sslth.experiments.cells import cell_key
from sslth.experiments.store import Row
from sslth.mining.intervals import mean_interval

__all__ = ["FIGURES", "Chosen", "Results", "choices_json", "figure_of", "shown", "table_json", "table_text"]

FIGURES = (
    "accuracy_before",
    "accuracy_after",
    "keep",
    "filters_removed",
    "filters",
    "ece",
    "adaptive_ece",
    "brier",
    "nll",
    "confidence_when_wrong",
    "ood_auroc",
    "barrier",
    "steps",
    "seconds",
    "bytes",
)
_COUNTS = ("filters_removed", "filters", "steps", "bytes")
_COLUMNS = (
    *("accuracy_before", "accuracy_after", "keep", "filters_removed", "ece", "brier", "nll", "barrier"),
    *("steps", "seconds", "bytes"),
)


Pair = tuple[Mapping[str, Any], Mapping[str, Any]]


@dataclass(frozen=True)
class Chosen:
    """What validation picked for one way, share and seed: the setting, its result, and all that it picked from."""

    settings: Mapping[str, Any]
    result: Mapping[str, Any]
    candidates: tuple[Pair, ...]


class Results:
    """The finished cells of a comparison.

    Parameters
    ----------
    cells : sequence of mappings
        All that were asked for.
    rows : iterable of Row
        What is stored of them.

    Attributes
    ----------
    errors : dict of str
        For each way that has a failed cell the first error.
    failed : list of dict
        The failed cells: method, keep, seed, settings and error.
    """

    def __init__(self, cells: Sequence[Mapping[str, Any]], rows: Iterable[Row]) -> None:
        self.seeds = sorted({cell["seed"] for cell in cells})
        self.ways = list(dict.fromkeys(cell["way"] for cell in cells))
        stored = {row.key: row for row in rows}
        self._found: dict[tuple[str, float, int], list[Pair]] = {}
        self.errors: dict[str, str] = {}
        self.failed: list[dict[str, Any]] = []
        for cell in cells:
            row = stored.get(cell_key(cell))
            way, keep, seed, settings = (cell[name] for name in ("way", "keep", "seed", "settings"))
            if row is not None and row.result is not None:
                self._found.setdefault((way, keep, seed), []).append((settings, row.result))
                continue
            error = "not evaluated" if row is None or row.error is None else row.error
            self.errors.setdefault(way, error)
            self.failed.append({"method": way, "keep": keep, "seed": seed, "settings": settings, "error": error})

    def chosen(self, way: str, keep: float, among: Mapping[str, Any] | None = None) -> dict[int, Chosen]:
        """By seed what validation picks, of all settings or of those that agree with `among`, if there are any."""
        wanted = {} if among is None else among
        found: dict[int, Chosen] = {}
        for seed in self.seeds:
            candidates = [pair for pair in self._found.get((way, keep, seed), ()) if pair[0].items() >= wanted.items()]
            if candidates:
                found[seed] = _picked(candidates)
        return found


def _picked(candidates: Sequence[Pair]) -> Chosen:
    """The highest validation accuracy; among equals the lowest validation likelihood loss, then the first."""

    def rank(pair: Pair) -> tuple[float, float]:
        seen = pair[1]["validation"]
        return -seen["accuracy"], math.inf if seen["nll"] is None else seen["nll"]

    settings, result = min(candidates, key=rank)
    return Chosen(settings, result, tuple(candidates))


def figure_of(results: Iterable[Mapping[str, Any]], name: str) -> tuple[dict[str, Any] | None, str | None]:
    """A figure over seeds as {"mean", "interval", "seeds"}, or None and why there is none.

    The interval is Student's at 95 %. Seeds without a value are left out and `seeds` says how many had one.

    Examples
    --------
    >>> rows = [{"figures": {"ece": value}, "reasons": {}} for value in (0.25, 0.25)]
    >>> figure_of(rows, "ece")
    ({'mean': 0.25, 'interval': [0.25, 0.25], 'seeds': 2}, None)
    """
    values, reason = [], None
    for result in results:
        value = result["figures"][name]
        if value is None:
            reason = result["reasons"].get(name, "not measured")
        else:
            values.append(float(value))
    if not values:
        return None, reason or "no seed has a result"
    if len(values) < 2:
        return None, f"one seed has a value ({values[0]:.4g}), which gives no interval"
    mean, (low, high) = mean_interval(values)
    return {"mean": mean, "interval": [low, high], "seeds": len(values)}, None


def table_json(results: Results, keep: float) -> dict[str, Any]:
    """The table: {"methods": {name: {figure: {"mean", "interval", "seeds"} or None}}}.

    A figure that is None has its reason beside it ("ece", "ece_reason"); a method of which anything failed has "error".
    """
    methods: dict[str, Any] = {}
    for way in results.ways:
        chosen = results.chosen(way, keep)
        entry: dict[str, Any] = {}
        for name in FIGURES:
            figure, reason = figure_of([one.result for one in chosen.values()], name)
            entry[name] = figure
            if figure is None:
                entry[f"{name}_reason"] = results.errors.get(way, reason) if not chosen else reason
        if way in results.errors:
            entry["error"] = results.errors[way]
        methods[way] = entry
    return {"methods": methods}


def choices_json(results: Results, keeps: Sequence[float]) -> dict[str, Any]:
    """For every way, share and seed what validation saw and what it picked; and the cells that failed."""
    choices = [
        {
            "method": way,
            "keep": keep,
            "seed": seed,
            "chosen": dict(chosen.settings),
            "candidates": [
                {"settings": dict(settings), "validation": result["validation"]}
                for settings, result in chosen.candidates
            ],
        }
        for way in results.ways
        for keep in dict.fromkeys(keeps)
        for seed, chosen in results.chosen(way, keep).items()
    ]
    return {"choices": choices, "failed": results.failed}


def table_text(table: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """The table as lines for people: mean ± half of the interval."""
    heads = [name.replace("accuracy_", "acc. ").replace("_", " ") for name in _COLUMNS]
    lines = [["method", *heads]]
    for way, entry in table["methods"].items():
        title = titles.get(way, way) + (" (failed)" if "error" in entry else "")
        lines.append([title, *(shown(entry[name], name) for name in _COLUMNS)])
    widths = [max(len(line[place]) for line in lines) for place in range(len(heads) + 1)]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = (
        text.rjust(width) if place else text.ljust(width)
        for place, (text, width) in enumerate(zip(line, widths, strict=True))
    )
    return "  ".join([first, *rest])


def shown(figure: Mapping[str, Any] | None, name: str) -> str:
    """One figure in a few characters; a dash where there is none.

    Examples
    --------
    >>> shown({"mean": 0.9, "interval": [0.88, 0.92], "seeds": 5}, "accuracy_after"), shown(None, "barrier")
    ('90.0 ± 2.0', '-')
    """
    if figure is None:
        return "-"
    mean = figure["mean"]
    half = (figure["interval"][1] - figure["interval"][0]) / 2
    if name == "keep":
        return f"{100 * mean:.3g}" + (f" ± {100 * half:.1f}" if half >= 5e-4 else "")
    if name in ("accuracy_before", "accuracy_after"):
        return f"{100 * mean:.1f} ± {100 * half:.1f}"
    if name in _COUNTS:
        return f"{mean:,.0f}" + (f" ± {half:,.0f}" if half >= 0.5 else "")
    if name == "seconds":
        return f"{mean:.1f} ± {half:.1f}"
    return f"{mean:.3f} ± {half:.3f}"
