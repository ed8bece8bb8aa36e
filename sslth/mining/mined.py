"""What mining gives: a mask, the weights it was found in, the finetuned network, and the numbers."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sslth.errors import InvalidInputError
from sslth.mining.masks import Mask
from sslth.mining.parametrized import OnlyKept, attach, slots_of
from sslth.mining.run import Method
from sslth.mining.scope import Scope
from sslth.mining.tensor_files import read_tensors, write_tensors
from sslth.mining.training import Training
from sslth.subset_sum.files import write_bytes

__all__ = ["Mined", "Setup"]

_FOUND, _NETWORK = "sslth-mining-found", "sslth-mining-network"


@dataclass(frozen=True)
class Setup:
    """How a ticket was asked for."""

    method: Method
    keep: float
    epochs: int
    finetune: int
    training: Training
    seed: int
    scope: Scope
    on_empty: str
    device: str


@dataclass(frozen=True, eq=False)
class Mined:
    """A ticket.

    Attributes
    ----------
    mask : Mask
        What is kept.
    scores : dict of Tensor
        What chose it, higher is better, by parameter.
    start : dict of Tensor
        The state dict where finetuning starts: all weights, also those that are not kept.
    final : dict of Tensor
        The state dict after finetuning, 0 where nothing is kept.
    history : list of dict
        One entry an epoch: phase, epoch, steps of the phase so far, loss, validation accuracy.
    results : dict
        `accuracy_before` and `accuracy_after` finetuning on the test part, `validation_before`, `validation_after`,
        `keep`, `kept`, `size`, `density` of all parameters, `filters_removed`, `steps` by phase; `batch_norms` says by
        which mean and variance they compute before finetuning: "reestimated" under the mask, the "running" ones, or
        None without any. For Gem-Miner `accuracy_before_rounded` and `keep_rounded`, with the scores below 1/2 rounded
        to 0.
    seconds : float
        Of this process.
    """

    mask: Mask
    scores: dict[str, Tensor]
    start: dict[str, Tensor]
    final: dict[str, Tensor]
    history: list[dict[str, Any]]
    results: dict[str, Any]
    seconds: float
    setup: Setup
    template: nn.Module
    redrawn: Callable[[int], nn.Module]

    @property
    def keep(self) -> float:
        """The share of the masked tensors' entries that is kept, counted."""
        return self.mask.keep

    def __repr__(self) -> str:
        before, after = self.results["accuracy_before"], self.results["accuracy_after"]
        return f"Mined({self.setup.method.name}, keep={self.keep:.4g}, accuracy {before:.4f} -> {after:.4f})"

    def module(self, *, finetuned: bool = True, masks: bool = False) -> nn.Module:
        """The model with the ticket's weights, in evaluation mode.

        Parameters
        ----------
        finetuned : bool
            Or the weights from before.
        masks : bool
            Keep the masks on as parametrizations, so that further training leaves zeros where they are: the parameters
            of masked tensors are then vectors of the kept entries, see `OnlyKept`. Otherwise zeros are written into an
            ordinary model.
        """
        network = copy.deepcopy(self.template)
        network.load_state_dict(self.final if finetuned else self.start)
        slots = slots_of(network, self.mask)
        if masks:
            attach(slots.values(), {name: OnlyKept(self.mask[name]) for name in slots})
        else:
            for name, slot in slots.items():
                slot.parameter.data.mul_(self.mask[name])
        return network.eval()

    def save(self, folder: Path) -> None:
        """Write mask.safetensors, found.safetensors, network.safetensors and, last, result.json."""
        self.mask.save(folder / "mask.safetensors", method=self.setup.method.name, seed=self.setup.seed)
        found = {f"scores.{name}": values for name, values in self.scores.items()}
        found |= {f"start.{name}": values for name, values in self.start.items()}
        write_tensors(folder / "found.safetensors", _FOUND, found, {})
        write_tensors(folder / "network.safetensors", _NETWORK, self.final, {})
        result = {"results": self.results, "history": self.history, "seconds": self.seconds}
        write_bytes(folder / "result.json", (json.dumps(result, indent=2, allow_nan=False) + "\n").encode())


def load_mined(folder: Path, setup: Setup, template: nn.Module, redrawn: Callable[[int], nn.Module]) -> Mined:
    """A ticket that `Mined.save` wrote, with the model that it belongs to.

    Raises
    ------
    InvalidInputError
        If a file is missing or damaged.
    """
    found, _ = read_tensors(folder / "found.safetensors", _FOUND)
    final, _ = read_tensors(folder / "network.safetensors", _NETWORK)
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        results, history, seconds = result["results"], result["history"], float(result["seconds"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(f"cannot read {folder / 'result.json'}: {error}; restart the run") from None
    return Mined(
        mask=Mask.load(folder / "mask.safetensors"),
        scores=_part(found, "scores."),
        start=_part(found, "start."),
        final=final,
        history=history,
        results=results,
        seconds=seconds,
        setup=setup,
        template=template,
        redrawn=redrawn,
    )


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): values for name, values in tensors.items() if name.startswith(prefix)}
