"""From cells to one table: settings picked by validation, figures with intervals over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sslth.experiments.store import Row
from sslth.mining.intervals import mean_interval

__all__ = ["FIGURES", "Chosen", "Results", "choices_json", "figure_of", "table_json", "table_text"]

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
_PERCENT = ("accuracy_before", "accuracy_after", "keep")
_COLUMNS = ("accuracy_before", "accuracy_after", "keep", "ece", "brier", "nll", "barrier", "steps", "seconds", "bytes")


@dataclass(frozen=True)
class Chosen:
    """What validation picked for one way, share and seed: the setting, its result, and all that it picked from."""

    settings: Mapping[str, Any]
    result: Mapping[str, Any]
    candidates: tuple[tuple[Mapping[str, Any], Mapping[str, Any]], ...]


class Results:
    """The finished cells of a comparison.

    Parameters
    ----------
    cells : sequence of mappings
        All that were asked for.
    rows : iterable of Row
        What is stored of them.
    """

    def __init__(self, cells: Sequence[Mapping[str, Any]], rows: Iterable[Row]) -> None:
        self.errors: dict[str, str] = {}
        found: dict[tuple[str, float, int], list[tuple[Mapping[str, Any], Mapping[str, Any]]]] = {}
        for row in rows:
            way, keep, seed = (row.parameters[name] for name in ("way", "keep", "seed"))
            if row.result is None:
                self.errors.setdefault(way, row.error or "unknown error")
            else:
                found.setdefault((way, keep, seed), []).append((row.parameters["settings"], row.result))
        wanted = [cell["settings"] for cell in cells]
        self._chosen = {
            key: _picked(sorted(candidates, key=lambda pair: wanted.index(pair[0])))
            for key, candidates in found.items()
        }
        self.seeds = sorted({cell["seed"] for cell in cells})
        self.ways = list(dict.fromkeys(cell["way"] for cell in cells))

    def chosen(self, way: str, keep: float) -> dict[int, Chosen]:
        """By seed, for those seeds that have a result."""
        return {seed: self._chosen[way, keep, seed] for seed in self.seeds if (way, keep, seed) in self._chosen}

    def with_settings(self, way: str, keep: float, settings: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
        """By seed the results of one setting, picked or not."""
        return {
            seed: result
            for seed, chosen in self.chosen(way, keep).items()
            for given, result in chosen.candidates
            if dict(given) == dict(settings)
        }


def _picked(candidates: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Chosen:
    """The highest validation accuracy; among equals the lowest validation likelihood loss, then the first."""
    best = min(
        range(len(candidates)),
        key=lambda place: (
            -candidates[place][1]["validation"]["accuracy"],
            candidates[place][1]["validation"]["nll"]
            if candidates[place][1]["validation"]["nll"] is not None
            else 1e300,
            place,
        ),
    )
    settings, result = candidates[best]
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
    """The table: {"methods": {name: {figure: {"mean", "interval", "seeds"} or None, and "<figure>_reason"}}}."""
    methods: dict[str, Any] = {}
    for way in results.ways:
        chosen = results.chosen(way, keep)
        entry: dict[str, Any] = {}
        for name in FIGURES:
            figure, reason = figure_of([one.result for one in chosen.values()], name)
            entry[name] = figure
            if figure is None:
                entry[f"{name}_reason"] = results.errors.get(way, reason) if not chosen else reason
        methods[way] = entry
    return {"methods": methods}


def choices_json(results: Results, keeps: Sequence[float]) -> list[dict[str, Any]]:
    """For every way, share and seed what validation saw and what it picked."""
    return [
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


def table_text(table: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """The table as lines for people: mean ± half of the interval."""
    heads = [name.replace("accuracy_", "acc. ").replace("_", " ") for name in _COLUMNS]
    lines = [["method", *heads]]
    for way, entry in table["methods"].items():
        lines.append([titles.get(way, way), *(shown(entry[name], name) for name in _COLUMNS)])
    widths = [max(len(line[place]) for line in lines) for place in range(len(heads) + 1)]
    return "\n".join(
        "  ".join(text.ljust(width) if place == 0 else text.rjust(width) for place, (text, width) in
                  enumerate(zip(line, widths, strict=True)))
        for line in lines
    )  # fmt: skip


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
    if name in _PERCENT:
        return f"{100 * mean:.1f} ± {100 * half:.1f}" if half > 5e-5 or mean > 0.1 else f"{100 * mean:.2f}"
    if name in ("steps", "bytes", "filters_removed", "filters"):
        return f"{mean:,.0f}" + (f" ± {half:,.0f}" if half >= 0.5 else "")
    if name == "seconds":
        return f"{mean:.1f}"
    return f"{mean:.3f} ± {half:.3f}"
