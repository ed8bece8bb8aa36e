"""One run of `sslth mine`: what the command line names, mined, checked and summed up."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sslth.data.load import load_splits
from sslth.data.splits import Splits
from sslth.errors import InvalidInputError
from sslth.experiments.user_files import build_network
from sslth.mining.methods import method_named
from sslth.mining.mined import Mined
from sslth.mining.sanity import SanityReport, sanity_checks
from sslth.mining.scope import Scope
from sslth.mining.search import mine
from sslth.mining.training import Training
from sslth.subset_sum.files import write_bytes

__all__ = ["mining_table", "run_mining_job"]

_STATISTICS = {
    "reestimated": "mean and variance measured again under the mask, before finetuning",
    "running": "mean and variance as training left them, not measured again under the mask",
}


def run_mining_job(
    method: str,
    *,
    arch: str,
    data: str,
    keep: float,
    epochs: int,
    finetune_epochs: int | None,
    learning_rate: float,
    seed: int,
    scope: Mapping[str, Any],
    on_empty: str,
    options: Sequence[str],
    sanity_seeds: int,
    device: str,
    out: Path | None,
    restart: bool,
    progress: Callable[[int, int, str], object],
) -> dict[str, Any]:
    """Mine one ticket, run the sanity checks if asked for, and return everything that JSON can say about it.

    `scope` has fields of `Scope`. With `out` the result, the mask and the networks are stored there, and `sanity.json`
    beside them.
    """
    splits = load_splits(data)
    if sanity_seeds == 1 or sanity_seeds < 0:
        raise InvalidInputError(f"--sanity is {sanity_seeds}; 0 leaves the checks out, an interval needs at least 2")
    mined = mine(
        lambda: build_network(arch),
        splits,
        method_named(method, _options(options)),
        keep=keep,
        epochs=epochs,
        finetune_epochs=finetune_epochs,
        training=Training(learning_rate=learning_rate),
        seed=seed,
        device=device,
        scope=Scope(**scope),
        on_empty=on_empty,
        out=out,
        restart=restart,
        progress=progress,
    )
    summary = {
        "method": method,
        "arch": arch,
        "data": data,
        "seed": seed,
        "keep_wanted": keep,
        **mined.results,
        "seconds": mined.seconds,
        "history": mined.history,
        "sanity": None,
    }
    if sanity_seeds:
        summary["sanity"] = _sanity(mined, splits, sanity_seeds, out, progress)
    return summary


def mining_table(summary: dict[str, Any]) -> str:
    """Lines for people."""
    lines = [
        f"method           {summary['method']} on {summary['arch']}, seed {summary['seed']}",
        f"kept             {summary['kept']:,} of {summary['size']:,} entries ({summary['keep']:.4%}, counted)",
        f"test accuracy    {summary['accuracy_before']:.4f} before finetuning, {summary['accuracy_after']:.4f} after",
        f"validation       {summary['validation_before']:.4f} before, {summary['validation_after']:.4f} after",
        f"steps            {', '.join(f'{phase} {steps:,}' for phase, steps in summary['steps'].items()) or 'none'}",
        f"filters removed  {sum(summary['filters_removed'].values()):,}",
    ]
    if summary.get("batch_norms") is not None:
        lines.append(f"batch norms      {_STATISTICS[summary['batch_norms']]}")
    if summary["sanity"] is not None:
        lines += ["", SanityReport(_arms(summary["sanity"]), summary["sanity"]["confidence"]).table()]
    return "\n".join(lines)


def _sanity(
    mined: Mined, splits: Splits, seeds: int, out: Path | None, progress: Callable[[int, int, str], object]
) -> dict[str, Any]:
    path = None if out is None else out / "sanity.json"
    stamp = mined.results | {"seconds": mined.seconds}  # a restarted run has other seconds
    if path is not None and path.exists():
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored["of"] == stamp and stored["report"]["seeds"] == seeds:
                found: dict[str, Any] = stored["report"]
                return found
        except (OSError, ValueError, KeyError, TypeError):
            pass  # damaged: measured again
    report = sanity_checks(mined, splits, seeds=seeds, progress=progress).as_dict()
    if path is not None:
        write_bytes(path, (json.dumps({"of": stamp, "report": report}, indent=2) + "\n").encode())
    return report


def _arms(report: dict[str, Any]) -> dict[str, Sequence[float]]:
    return {arm: values["values"] for arm, values in report["arms"].items()}


def _options(texts: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise InvalidInputError(f"--set is {text!r}; write name=value, such as structured=true")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value  # a bare word
    return found
