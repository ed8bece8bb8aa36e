"""Pictures of a comparison: accuracy of each way, and what it costs; reliability is drawn elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from sslth.errors import InvalidInputError
from sslth.experiments.compare.table import Results
from sslth.experiments.figure_style import MARKERS, PALETTE, Destination, saved, styled, tidy
from sslth.mining.metrics.reliability import Reliability

__all__ = ["accuracy_figure", "cost_figure", "diagrams"]

Table = Mapping[str, Any]


def accuracy_figure(
    table: Table, titles: Mapping[str, str], path_or_stream: Destination | None = None, format: str | None = None
) -> Figure:
    """Draw accuracy before and after finetuning for each way, with intervals over seeds and the share kept.

    Raises
    ------
    InvalidInputError
        If no way has an accuracy.
    """
    shown = [way for way, entry in table["methods"].items() if entry["accuracy_before"] or entry["accuracy_after"]]
    if not shown:
        raise InvalidInputError("no method has an accuracy to draw")
    return saved(_accuracies(table["methods"], shown, titles), path_or_stream, format)


@styled
def _accuracies(methods: Table, shown: list[str], titles: Mapping[str, str]) -> Figure:
    figure = Figure(figsize=(9.0, 1.4 + 0.42 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    for number, (name, label) in enumerate(
        (("accuracy_before", "before finetuning"), ("accuracy_after", "after finetuning"))
    ):
        places = [place for place, way in enumerate(shown) if methods[way][name]]
        figures = [methods[shown[place]][name] for place in places]
        axes.errorbar(
            [100 * one["mean"] for one in figures],
            [place + 0.14 * (2 * number - 1) for place in places],
            xerr=_bars(figures, 100),
            color=PALETTE[1 - number],
            marker=MARKERS[1 - number],
            linestyle="none",
            markersize=6,
            capsize=3,
            label=label,
        )
    labels = [f"{titles.get(way, way)} ({_share(methods[way])})" for way in shown]
    axes.set_yticks(range(len(shown)), labels)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 102)
    axes.set_xlabel("test accuracy (%), mean and 95 % interval over seeds")
    tidy(axes)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.0 + 0.9 / len(shown)), ncols=2)
    return figure


def _share(entry: Mapping[str, Any]) -> str:
    keep = entry["keep"]
    return "keep unknown" if keep is None else f"{100 * keep['mean']:.3g} % kept"


def cost_figure(
    table: Table, titles: Mapping[str, str], path_or_stream: Destination | None = None, format: str | None = None
) -> Figure:
    """Draw what each way costs: bytes of its ticket, steps of training and seconds, on logarithmic axes.

    Raises
    ------
    InvalidInputError
        If no way has the numbers.
    """
    methods = table["methods"]
    shown = [way for way in methods if all(methods[way][name] for name in _COSTS)]
    if not shown:
        raise InvalidInputError("no method has bytes, steps and seconds to draw")
    return saved(_costs(methods, shown, titles), path_or_stream, format)


_COSTS = {"bytes": "bytes of the finished ticket", "steps": "steps of training", "seconds": "seconds"}


@styled
def _costs(methods: Table, shown: list[str], titles: Mapping[str, str]) -> Figure:
    figure = Figure(figsize=(10.5, 1.2 + 0.36 * len(shown)), layout="constrained")
    for number, (axes, (name, words)) in enumerate(
        zip(figure.subplots(1, 3, sharey=True), _COSTS.items(), strict=True)
    ):
        means = [methods[way][name]["mean"] for way in shown]
        axes.plot(means, range(len(shown)), color=PALETTE[number], marker=MARKERS[number], linestyle="none")
        axes.set_xscale("log")
        # whole powers of ten at both ends, so that there are labels however close the numbers are
        low, high = (max(value, 1e-3) for value in (min(means), max(means)))
        axes.set_xlim(10.0 ** np.floor(np.log10(low) - 0.1), 10.0 ** np.ceil(np.log10(high) + 0.1))
        axes.xaxis.set_major_locator(LogLocator(numticks=6))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(words)
        tidy(axes)
        if number == 0:
            axes.set_yticks(range(len(shown)), [titles.get(way, way) for way in shown])
            axes.set_ylim(len(shown) - 0.4, -0.6)
    return figure


def _bars(figures: list[Mapping[str, Any]], scale: float) -> list[list[float]]:
    low = [scale * (one["mean"] - one["interval"][0]) for one in figures]
    high = [scale * (one["interval"][1] - one["mean"]) for one in figures]
    return [low, high]


def diagrams(results: Results, keep: float, titles: Mapping[str, str]) -> dict[str, Reliability]:
    """The reliability diagram of each way, the test parts of all seeds together."""
    found: dict[str, Reliability] = {}
    for way in results.ways:
        for chosen in results.chosen(way, keep).values():
            bins = chosen.result["bins"]
            counts = np.array(bins["counts"], dtype=np.int64)
            confidence = np.where(counts > 0, np.array(bins["confidence"], dtype=np.float64), np.nan)
            edges = np.arange(len(counts) + 1) / len(counts)
            one = Reliability(edges, counts, np.array(bins["right"], dtype=np.int64), confidence)
            title = titles.get(way, way)
            found[title] = found[title] + one if title in found else one
    return found
