"""Which solver is best where, drawn from the table that `auto` chooses by. python -m benchmarks.solver_map"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import Patch, Rectangle

from sslth.subset_sum.solvers.auto_table import TABLE

_OUT = Path("docs/images/solver_map.png")
_COLOURS = {  # Okabe and Ito's, and two greys: told apart by colour-blind readers
    "meet_in_the_middle": "#0072B2",
    "branch_and_bound": "#56B4E9",
    "branch_and_meet": "#004466",
    "k_tree": "#E69F00",
    "differencing": "#F0E442",
    "sign_beam": "#009E73",
    "message_passing": "#D55E00",
    "local_search": "#CC79A7",
    "sorted_pursuit": "#BBBBBB",
    "best_first_pursuit": "#888888",
    "sign_pursuit": "#DDDDDD",
}
_PANELS = (("nsn", False), ("nsn", True), ("gaussian", False), ("gaussian", True))
_TITLES = {
    ("nsn", False): "normally-scaled normal rows, any number",
    ("nsn", True): "normally-scaled normal rows, k = n/3",
    ("gaussian", False): "Gaussian rows, any number",
    ("gaussian", True): "Gaussian rows, k = n/3",
}


def main() -> None:
    """Draw docs/images/solver_map.png."""
    table = json.loads(TABLE.read_text())
    best = {**_best_heuristics(table), **_proofs(table)}
    dimensions = sorted({d for _, _, _, d in best})
    widths = sorted({n for _, _, n, _ in best})
    figure, axes = plt.subplots(2, 2, figsize=(13, 9.5), sharex=True, sharey=True, layout="constrained")
    seen: set[str] = set()
    for axis, (law, sized) in zip(axes.flat, _PANELS, strict=True):
        for (cell_law, cell_sized, n, d), (solver, label) in best.items():
            if (cell_law, cell_sized) != (law, sized):
                continue
            seen.add(solver)
            x, y = widths.index(n), dimensions.index(d)
            axis.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=_COLOURS[solver]))
            ink = "white" if solver in ("meet_in_the_middle", "branch_and_meet") else "black"
            axis.text(x, y, label, ha="center", va="center", fontsize=8.5, color=ink)
        axis.set(xlim=(-0.6, len(widths) - 0.4), ylim=(-0.6, len(dimensions) - 0.4), title=_TITLES[law, sized])
        axis.set_xticks(range(len(widths)), [f"{n:,}" for n in widths])
        axis.set_yticks(range(len(dimensions)), [str(d) for d in dimensions])
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("coordinates d")
    for axis in axes[1]:
        axis.set_xlabel("rows n")
    handles = [Patch(color=colour, label=name) for name, colour in _COLOURS.items() if name in seen]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
    figure.suptitle(
        f"Best solver. Blue: proved optimal, seconds to the proof. Other colours: sup-norm error after up to"
        f" {table['budgets'][-1]:g} s, target in the unit cube. White: not measured",
        fontsize=11,
    )
    _OUT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(_OUT, dpi=110)
    print(_OUT)


def _best_heuristics(table: dict[str, Any]) -> dict[tuple[str, bool, int, int], tuple[str, str]]:
    best = {}
    for cell in table["cells"]:
        last = {name: runs[max(runs, key=float)] for name, runs in cell["errors"].items()}
        solver = min(last, key=lambda name: tuple(last[name]))
        best[cell["law"], cell["sized"], cell["n"], cell["d"]] = (solver, _short(last[solver][0]))
    return best


def _proofs(table: dict[str, Any]) -> dict[tuple[str, bool, int, int], tuple[str, str]]:
    best = {}
    for cell in table["proofs"]:
        proven = {name: seconds for name, seconds in cell["proof"].items() if seconds is not None}
        if proven:
            solver = min(proven, key=lambda name: proven[name])
            best[cell["law"], cell["sized"], cell["n"], cell["d"]] = (solver, f"{proven[solver]:.2g} s")
    return best


def _short(error: float) -> str:
    if error == 0:
        return "0"
    exponent = math.floor(math.log10(error))
    return f"{error:.2g}" if exponent >= -3 else f"{error:.0e}".replace("e-0", "e-")


if __name__ == "__main__":
    main()
