"""A plan that looked at the clock, kept beside the finished blocks: an extraction that goes on must not plan again."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from sslth.cnn.block_store import BlockStore
from sslth.cnn.layers import fingerprint
from sslth.cnn.prepared import Prepared
from sslth.cnn.progress import Progress
from sslth.cnn.widths.rehearsal import stage_for
from sslth.cnn.widths.width_plan import WidthPlan, plan_widths
from sslth.cnn.widths.wish import Wish
from sslth.errors import InvalidInputError

__all__ = ["plan_once"]


def plan_once(
    ready: Prepared, wish: Wish, threads: int, report: Progress, started: float, store: BlockStore | None
) -> WidthPlan:
    """The plan of these widths; with a time limit and a store, the one that was made the first time.

    Arguments and errors are those of `plan_widths`. Other plans do not look at the clock and come out the same again.
    """
    if store is None or wish.time_limit is None:
        return plan_widths(ready, wish, threads, report, started)
    key = _key(ready, wish)
    said = store.note(key)
    if said is None:
        plan = plan_widths(ready, wish, threads, report, started)
        store.put_note(key, _said(plan))
        return plan
    try:
        return WidthPlan(wish, **said, stage=stage_for(ready))
    except TypeError:
        raise InvalidInputError(f"{store.path} holds a plan that cannot be read; remove it") from None


def _said(plan: WidthPlan) -> dict[str, object]:
    return {
        "widths": plan.widths,
        "shares": plan.shares,
        "predicted_error": plan.predicted_error,
        "predicted_seconds": plan.predicted_seconds,
        "predicted_bytes": plan.predicted_bytes,
    }


def _key(ready: Prepared, wish: Wish) -> bytes:
    """SHA-256 of what a plan depends on, but for the machine."""
    named = {
        "plan": wish.asked | {"width": wish.widest},
        "seed": ready.seed,
        "solver": repr(ready.solver),
        "max_kept": ready.max_kept,
        "compensate": ready.compensate,
        "memory": ready.memory,
        "law": ready.origin.law,
        "gains": ready.gains,
        "weights": fingerprint(ready.plain, ready.carried),
    }
    digest = hashlib.sha256(json.dumps(named, sort_keys=True).encode())
    for edge in ready.box:
        digest.update(np.ascontiguousarray(edge, dtype="<f8").tobytes())
    for rows in [ready.inputs] if ready.chunks is None else ready.chunks:
        digest.update(np.ascontiguousarray(rows.detach().cpu().numpy(), dtype="<f8").tobytes())
    return digest.digest()
