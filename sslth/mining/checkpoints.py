"""Checkpoints of a run: one folder, one file a training phase, no pickle; a killed run goes on from them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from sslth.errors import InvalidInputError
from sslth.mining.tensor_files import read_tensors, write_tensors
from sslth.mining.training import Loop
from sslth.subset_sum.files import write_bytes

__all__ = ["Checkpoints"]

_FORM = "sslth-mining-checkpoint-2"  # 2: optimizers train vectors of what is kept


class Checkpoints:
    """The folder of a run. Whoever opens it must want the same run: `settings` are compared.

    Raises
    ------
    InvalidInputError
        If the folder holds another model's or other settings' run, or cannot be made.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, restart: bool = False, every: float = 5.0) -> None:
        self.folder = folder
        self._every = every
        self._last = time.monotonic()
        self._unwritten: tuple[str, dict[str, Tensor], dict[str, Any]] | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInputError(f"cannot make the folder {folder}: {error.strerror or error}") from None
        if restart:
            for name in ("result.json", "settings.json"):
                (folder / name).unlink(missing_ok=True)
            self.discard()
        stored = folder / "settings.json"
        if stored.exists():
            self._compare(stored, json.loads(json.dumps(settings)))
        else:
            self.discard()
            write_bytes(stored, _text(settings))

    def _compare(self, path: Path, wanted: Mapping[str, Any]) -> None:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InvalidInputError(f"cannot read {path}: {error}; restart the run to discard it") from None
        if found == wanted:
            return
        keys = sorted({*found, *wanted}) if isinstance(found, dict) else []
        differing = [key for key in keys if found.get(key) != wanted.get(key)] or ["form"]
        model = {"model", "weights"} & set(differing)
        what = "another model" if model else f"another run: it differs in {differing[0]!r}"
        raise InvalidInputError(f"{self.folder} holds a checkpoint of {what}; choose another folder or restart")

    def path(self, name: str) -> Path:
        """Where a file of this run lies."""
        return self.folder / name

    def discard(self) -> None:
        """Remove the checkpoints of all phases."""
        for path in self.folder.glob("phase-*.safetensors"):
            path.unlink()

    def restore(self, phase: str, loop: Loop) -> None:
        """Put a phase back to where its checkpoint left it, if there is one."""
        path = self.folder / f"phase-{phase}.safetensors"
        if not path.exists():
            return
        tensors, description = read_tensors(path, _FORM)
        groups = _by_prefix(tensors)
        try:
            loop.network.load_state_dict(groups.get("network", {}))
            states: dict[int, dict[str, Any]] = {int(key): dict(value) for key, value in description["states"].items()}
            for name, value in groups.get("optimizer", {}).items():
                index, _, key = name.partition(".")
                states.setdefault(int(index), {})[key] = value
            loop.optimizer.load_state_dict({"state": states, "param_groups": description["groups"]})
            loop.scheduler.load_state_dict(description["scheduler"])
            loop.epoch, loop.history = int(description["epoch"]), list(description["history"])
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            detail = " ".join(str(error).split())[:100]
            raise InvalidInputError(f"{path} is a checkpoint of another model: {detail}") from None

    def save(self, phase: str, loop: Loop, finished: bool) -> None:
        """Write the state of a phase; a copy is only kept for `flush` if one was written moments ago."""
        tensors, description = _state(phase, loop)
        if not finished and time.monotonic() - self._last < self._every:
            self._unwritten = phase, {name: value.detach().clone() for name, value in tensors.items()}, description
            return
        self._write(phase, tensors, description)

    def flush(self) -> None:
        """Write the last state that was not, because the run ends here."""
        if self._unwritten is not None:
            self._write(*self._unwritten)

    def _write(self, phase: str, tensors: dict[str, Tensor], description: dict[str, Any]) -> None:
        write_tensors(self.folder / f"phase-{phase}.safetensors", _FORM, tensors, description)
        self._last, self._unwritten = time.monotonic(), None

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON file of this run in one step."""
        write_bytes(self.folder / name, _text(value))


def _state(phase: str, loop: Loop) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a phase as they are, not copied, and what JSON can write of the rest."""
    state = loop.optimizer.state_dict()
    tensors = {f"network.{name}": value for name, value in loop.network.state_dict().items()}
    states: dict[str, dict[str, Any]] = {}
    for index, values in state["state"].items():
        states[str(index)] = {}
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
            else:
                states[str(index)][key] = value
    description = {
        "phase": phase,
        "epoch": loop.epoch,
        "history": list(loop.history),
        "states": states,
        "groups": [dict(group) for group in state["param_groups"]],
        "scheduler": _plain(loop.scheduler.state_dict()),
    }
    return tensors, description


def _text(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def _by_prefix(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        group, _, rest = name.partition(".")
        groups.setdefault(group, {})[rest] = value
    return groups


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON can write of a scheduler's state; the rest (functions) comes from its construction."""
    return {key: value for key, value in state.items() if isinstance(value, (int, float, str, bool, list, tuple))}
