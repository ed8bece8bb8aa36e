"""The table of a study as Markdown and CSV: where ours is not ahead on top, then false claims, then every cell."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.solver_study.grid import Cell, Side, Skip
from benchmarks.solver_study.results import CellResult, FalseClaim, Measured, Standing, Verdict

__all__ = ["cells_csv", "markdown", "skips_csv", "trials_csv"]

_HEAD = (
    "| law | n | d | size | s | our best | error | seconds | proven | auto / best | best peer | error | seconds "
    "| proven | peer error / ours | peer time / ours to proof | verdict |"
)
_HOW_TO_READ = (
    "Medians over the instances of a cell at its largest time limit (column s, seconds). Errors are recomputed by "
    "`sslth.verify`, whatever a solver says. Ours is ahead where its error is smaller, or the same with a faster "
    "proof or the only proof; level where the errors are the same and nobody has a proof. `auto / best` is the "
    "error of `auto` over that of our best solver. A time ratio with ≥ is a lower bound: the peer had no proof at "
    "its limit. Solvers of ours that call somebody else's engine count for neither side."
)
_NOT_AHEAD = (Verdict.BEHIND, Verdict.LEVEL)
_MOST_FAILURES = 30


def markdown(
    results: Sequence[CellResult],
    claims: Sequence[FalseClaim],
    skips: Sequence[Skip],
    measured: Sequence[Measured],
    failed: Mapping[str, str],
    missing: int,
    settings: Mapping[str, Any],
) -> str:
    """The whole report."""
    behind = [result for result in results if result.verdict in _NOT_AHEAD]
    counted = [result for result in results if result.verdict in (*_NOT_AHEAD, Verdict.AHEAD)]
    lines = [
        "# Solvers beside their peers",
        "",
        *(f"- {name}: {value}" for name, value in settings.items()),
        "",
        _HOW_TO_READ,
        "",
        f"## Cells where ours is not ahead: {len(behind)} of {len(counted)} with a peer",
        "",
        *(_table(behind) if behind else ["None."]),
        "",
        f"## False claims: {len(claims)}",
        "",
        *(_claims(claims) if claims else ["None."]),
        "",
        "## All cells",
        "",
        *_table(results),
        "",
        "## Not run",
        "",
        *(_skips(skips) if skips else ["Every solver took every cell."]),
        *([f"- {missing} planned trials have not been run yet; the same command goes on with them."] * bool(missing)),
        "",
        "## Late, killed and failed",
        "",
        *_troubles(measured, failed),
    ]
    return "\n".join(lines) + "\n"


def _table(results: Iterable[CellResult]) -> list[str]:
    lines = [_HEAD, "|" + "---|" * (_HEAD.count("|") - 1)]
    for it in results:
        cell = it.cell
        sign = "≥ " if it.proof_ratio_is_bound else ""
        columns = [
            *(cell.law, f"{cell.n:,}", str(cell.d), cell.size, f"{it.time_limit:g}"),
            *_standing(it.ours),
            _number(it.auto_ratio),
            *_standing(it.peer),
            _number(it.error_ratio),
            "" if math.isnan(it.proof_ratio) else sign + _number(it.proof_ratio),
            it.verdict.value,
        ]
        lines.append("| " + " | ".join(columns) + " |")
    return lines


def _standing(standing: Standing | None) -> list[str]:
    if standing is None:
        return ["none", "", "", ""]
    proven = "yes" if standing.proven else "no"
    return [f"`{standing.contestant.name}`", f"{standing.error:.2e}", f"{standing.seconds:.3g}", proven]


def _number(value: float) -> str:
    if math.isnan(value):
        return ""
    return "1" if value == 1.0 else f"{value:,.3g}" if value < 1e4 else f"{value:.1e}"


def _claims(claims: Sequence[FalseClaim]) -> list[str]:
    lines = [
        "| who | cell | seed | s | claimed | value | verified error | by | claimed above it |",
        "|" + "---|" * 9,
    ]
    for claim in claims:
        excess = claim.claimed - claim.error
        lines.append(
            f"| `{claim.contestant}` | {claim.problem.cell} | {claim.problem.seed} | {claim.time_limit:g} "
            f"| {claim.what} | {claim.claimed:.6g} | {claim.error:.6g} | `{claim.found_by}` | {excess:.1e} |"
        )
    return lines


def _skips(skips: Iterable[Skip]) -> list[str]:
    """One line a reason and its cells; numbers in a reason differ from cell to cell, so the first one stands."""
    grouped: dict[tuple[str, str], list[Skip]] = defaultdict(list)
    for skip in skips:
        grouped[str(skip.contestant), re.sub(r"\d[\d.,]*", "#", skip.reason)].append(skip)
    together: dict[tuple[str, frozenset[Cell]], list[tuple[str, list[Skip]]]] = defaultdict(list)
    for (who, reason), some in grouped.items():
        together[reason, frozenset(skip.cell for skip in some)].append((who, some))
    lines = []
    for (_, cells), each in together.items():
        who, (_, some) = ", ".join(f"`{name}`" for name, _ in each), each[0]
        where = f"{len(cells)} cell{'s' if len(cells) > 1 else ''} (n = {_values(some, 'n')}; d = {_values(some, 'd')})"
        lines.append(f"- {who} in {where}: {'such as: ' if len(cells) > 1 else ''}{some[0].reason}")
    return lines


def _values(skips: Iterable[Skip], axis: str) -> str:
    return ", ".join(f"{value:,}" for value in sorted({getattr(skip.cell, axis) for skip in skips}))


def _troubles(measured: Iterable[Measured], failed: Mapping[str, str]) -> list[str]:
    late: dict[str, list[Measured]] = defaultdict(list)
    for trial in measured:
        if trial.is_late and not math.isnan(trial.seconds):
            late[str(trial.contestant)].append(trial)
    lines = [
        f"- `{who}`: {len(some)} answers more than .2 s late, the worst {worst.seconds:.3g} s at a limit of "
        f"{worst.time_limit:g} s ({worst.problem.cell}{'; ' + worst.note if 'killed' in worst.note else ''})"
        for who, some in late.items()
        for worst in [max(some, key=lambda trial: trial.seconds - trial.time_limit)]
    ]
    lines += [f"- {what}: {why}" for what, why in list(failed.items())[:_MOST_FAILURES]]
    if len(failed) > _MOST_FAILURES:
        lines.append(f"- and {len(failed) - _MOST_FAILURES} more failures, see trials.csv")
    return lines or ["None."]


# ------------------------------------------------------------------------------------------------------- CSV


def cells_csv(results: Iterable[CellResult]) -> str:
    """One line a cell, numbers in full."""
    head = ["law", "n", "d", "cardinality", "time_limit_s", "instances"]
    head += [f"{side}_{what}" for side in ("ours", "peer") for what in ("solver", "error", "seconds", "proven")]
    head += ["auto_over_best", "peer_error_over_ours", "peer_seconds_over_ours", "is_lower_bound", "verdict"]
    lines: list[list[Any]] = [head]
    for it in results:
        cell = it.cell
        line: list[Any] = [cell.law, cell.n, cell.d, cell.cardinality, it.time_limit, it.instances]
        for standing in (it.ours, it.peer):
            if standing is None:
                line += [None] * 4
            else:
                line += [standing.contestant.name, standing.error, standing.seconds, standing.proven]
        line += [it.auto_ratio, it.error_ratio, it.proof_ratio, it.proof_ratio_is_bound, it.verdict.value]
        lines.append(line)
    return _csv(lines)


def trials_csv(measured: Iterable[Measured]) -> str:
    """One line a trial."""
    head = "law n d cardinality seed side solver time_limit_s error seconds claimed_optimal claimed_bound work found_by"
    lines: list[list[Any]] = [[*head.split(), "note", "revision"]]
    for it in measured:
        cell = it.problem.cell
        lines.append(
            [
                *(cell.law, cell.n, cell.d, cell.cardinality, it.problem.seed),
                *(it.contestant.side.value, it.contestant.name, it.time_limit, it.error, it.seconds),
                *(it.optimal, it.bound, it.work, it.found_by, it.note, it.revision),
            ]
        )
    return _csv(lines)


def skips_csv(skips: Iterable[Skip]) -> str:
    """One line a cell and contestant that was left out."""
    lines: list[list[Any]] = [["law", "n", "d", "cardinality", "side", "solver", "reason"]]
    for it in skips:
        side: Side = it.contestant.side
        cell = it.cell
        lines.append([cell.law, cell.n, cell.d, cell.cardinality, side.value, it.contestant.name, it.reason])
    return _csv(lines)


def _csv(lines: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
