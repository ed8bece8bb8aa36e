"""Tables, verdicts and the figure of the data-diet study, from its stored cells."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sslth.errors import InvalidInputError
from sslth.experiments.figure_style import MARKERS, PALETTE, save_figure, styled, tidy
from sslth.mining.correlation import rank_correlation
from sslth.mining.data_diet import DIETS
from sslth.mining.intervals import mean_interval

__all__ = ["Arms", "curves_figure", "report", "save_curves", "words"]

SPARSE = 3  # quality is the mean test accuracy over so many of the sparsest tickets
MARGIN = 1.0  # per cent: what counts as equally good

Row = dict[str, Any]


class Arms:
    """The cells by (diet, steps), each with its points by seed.

    Raises
    ------
    InvalidInputError
        If an arm lacks a seed that another has, or there are fewer than two.
    """

    def __init__(self, rows: list[Row]) -> None:
        self.seeds = sorted({row["seed"] for row in rows})
        self.points: dict[tuple[str, int], list[list[Row]]] = {}
        keys = sorted({(row["kind"], row["steps"]) for row in rows}, key=lambda key: (key[1], DIETS.index(key[0])))
        for key in keys:
            by_seed = {row["seed"]: row["points"] for row in rows if (row["kind"], row["steps"]) == key}
            if sorted(by_seed) != self.seeds or len(self.seeds) < 2:
                raise InvalidInputError(f"the arm {key} has {len(by_seed)} seeds of {len(self.seeds)}; 2 are needed")
            self.points[key] = [by_seed[seed] for seed in self.seeds]
        self.steps = sorted({steps for _, steps in keys if steps})

    def of(self, key: tuple[str, int], what: str, place: int) -> list[float]:
        """One number a seed: a field of the point at a place, in per cent; both trainings' mean where there are two."""
        return [100 * float(np.mean(points[place][what])) for points in self.points[key]]

    def quality(self, key: tuple[str, int]) -> list[float]:
        """One number a seed: the mean test accuracy of the sparsest tickets, in per cent."""
        places = range(-SPARSE, 0)
        return [float(np.mean(values)) for values in zip(*(self.of(key, "test", p) for p in places), strict=True)]

    def difference(self, one: tuple[str, int], other: tuple[str, int], comparisons: int) -> tuple[float, float, float]:
        """Mean of quality(one) - quality(other), paired by seed, with an interval that holds for all comparisons."""
        values = np.subtract(self.quality(one), self.quality(other))
        mean, (low, high) = mean_interval(values, 1.0 - 0.05 / comparisons)
        return mean, low, high


def report(rows: list[Row]) -> str:
    """The tables and the verdicts, as Markdown."""
    arms = Arms(rows)
    return "\n".join([*_accuracies(arms), "", *_differences(arms), "", *_barriers(arms), "", *_correlations(arms)])


def words(low: float, high: float) -> str:
    """What an interval of a difference, in per cent, says."""
    if low >= -MARGIN and high <= MARGIN:
        return f"equal within {MARGIN:g}" + (", slightly better" if low > 0 else ", slightly worse" if high < 0 else "")
    return "better" if low > 0 else "worse" if high < 0 else "cannot be judged"


def _label(key: tuple[str, int]) -> str:
    return "no pre-training" if key[1] == 0 else f"{key[0]}, {key[1]} steps"


def _accuracies(arms: Arms) -> list[str]:
    keeps = [point["keep"] for point in next(iter(arms.points.values()))[0]]
    lines = [
        "| pre-trained on | " + " | ".join(f"{keep:.1%}" for keep in keeps) + " |",
        "|---" * (len(keeps) + 1) + "|",
    ]
    for key in arms.points:
        cells = [_with_interval(arms.of(key, "test", place), 1) for place in range(len(keeps))]
        lines.append(f"| {_label(key)} | " + " | ".join(cells) + " |")
    return lines


def _differences(arms: Arms) -> list[str]:
    """Every question with as many comparisons as there are numbers of steps; its intervals hold jointly."""
    questions: dict[str, list[tuple[tuple[str, int], tuple[str, int]]]] = {
        "all minus no pre-training": [(("all", t), ("all", 0)) for t in arms.steps],
        "random minus all": [(("random", t), ("all", t)) for t in arms.steps],
        "easiest minus all": [(("easiest", t), ("all", t)) for t in arms.steps],
        "easiest minus random": [(("easiest", t), ("random", t)) for t in arms.steps],
        "hardest minus all": [(("hardest", t), ("all", t)) for t in arms.steps],
        "easiest minus all at the next larger number": [
            (("easiest", t), ("all", later)) for t, later in zip(arms.steps, arms.steps[1:], strict=False)
        ],
    }
    lines = ["| difference of quality | steps | mean | joint 95 % interval | |", "|---|---|---|---|---|"]
    for question, pairs in questions.items():
        for one, other in pairs:
            mean, low, high = arms.difference(one, other, len(pairs))
            lines.append(f"| {question} | {one[1]} | {mean:+.1f} | [{low:+.1f}, {high:+.1f}] | {words(low, high)} |")
    return lines


def _barriers(arms: Arms) -> list[str]:
    lines = [
        "| pre-trained on | barrier, train | barrier, test | largest of a ticket | right all along | no barrier |",
        "|---|---|---|---|---|---|",
    ]
    for key, seeds in arms.points.items():
        cells = [_with_interval(arms.of(key, what, 0), 2) for what in ("barrier", "test_barrier")]
        cells.append(f"{statistics.mean(max(100 * point['barrier'] for point in points[1:]) for points in seeds):.2f}")
        cells += [_with_interval(arms.of(key, what, 0), 1) for what in ("connected", "unbarred")]
        lines.append(f"| {_label(key)} | " + " | ".join(cells) + " |")
    return lines


def _with_interval(values: list[float], digits: int) -> str:
    mean, (low, _) = mean_interval(values)
    return f"{mean:.{digits}f} ± {mean - low:.{digits}f}"


def _correlations(arms: Arms) -> list[str]:
    """Connected examples against quality over the arms of a seed: over all, and with the number of steps taken out."""
    keys = list(arms.points)
    quality = np.array([arms.quality(key) for key in keys]).T
    fed = [place for place, key in enumerate(keys) if key[1]]
    groups = [[place for place, key in enumerate(keys) if key[1] == steps] for steps in arms.steps]
    lines = [
        "| share of training examples (dense networks) | against quality | mean rank correlation | 95 % interval | |",
        "|---|---|---|---|---|",
    ]
    for what, label in (("connected", "right all along the line"), ("unbarred", "without a barrier of their own")):
        share = np.array([arms.of(key, what, 0) for key in keys]).T
        within = _centred(share, groups, fed), _centred(quality, groups, fed)
        for over, (x, y) in (("over all arms", (share, quality)), ("over diets, at equal steps", within)):
            try:
                found = rank_correlation(x.tolist(), y.tolist())
            except InvalidInputError as error:
                lines.append(f"| {label} | {over} | none | {error} | cannot be judged |")
                continue
            low, high = found.interval
            lines.append(f"| {label} | {over} | {found.mean:+.2f} | [{low:+.2f}, {high:+.2f}] | {found.verdict} |")
    return lines


def _centred(values: np.ndarray, groups: list[list[int]], places: list[int]) -> np.ndarray:
    centred = values.astype(np.float64)
    for group in groups:
        centred[:, group] -= centred[:, group].mean(1, keepdims=True)
    return centred[:, places]


@styled
def curves_figure(rows: list[Row]) -> Figure:
    """Draw test accuracy against the share kept, a panel for each number of steps, with 95 % intervals."""
    arms = Arms(rows)
    figure = Figure(figsize=(3.6 * len(arms.steps) + 0.6, 4.2), layout="constrained")
    panels = figure.subplots(1, len(arms.steps), sharey=True, squeeze=False)[0]
    for axes, steps in zip(panels, arms.steps, strict=True):
        tidy(axes)
        curves = [("all", 0), *((kind, steps) for kind in DIETS)]
        for number, key in enumerate(curves):
            points = arms.points[key][0]
            keeps = np.array([100 * point["keep"] for point in points])
            found = [mean_interval(arms.of(key, "test", place)) for place in range(len(points))]
            means = [mean for mean, _ in found]
            errors = [[mean - low for mean, (low, _) in found], [high - mean for mean, (_, high) in found]]
            axes.errorbar(
                keeps * 1.06 ** (number - 2),  # beside each other, not on top of each other
                means,
                errors,
                color="#666666" if key[1] == 0 else PALETTE[number - 1],
                marker="x" if key[1] == 0 else MARKERS[number - 1],
                linestyle=":" if key[1] == 0 else "-",
                markersize=5,
                capsize=2,
                linewidth=1.2,
                label="no pre-training" if key[1] == 0 else key[0],
            )
        axes.set_xscale("log")
        ticks = [100, 20, 5, 2, 1, 0.5]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.invert_xaxis()
        axes.set_title(f"{steps} steps of pre-training")
        axes.set_xlabel("kept (%)")
    panels[0].set_ylabel("test accuracy (%)")
    panels[0].legend(frameon=False, loc="lower left")
    return figure


def save_curves(rows: list[Row], path: Path) -> None:
    """Draw the figure into a file."""
    save_figure(curves_figure(rows), path)
