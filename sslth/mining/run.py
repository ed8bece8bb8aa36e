"""What a method sees of a run: the network, the training and validation parts, a seed; never the test part."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from sslth.data.splits import Examples
from sslth.mining.checkpoints import Checkpoints
from sslth.mining.masks import Mask
from sslth.mining.scope import Scope, Slot, trained_along
from sslth.mining.training import Hooks, Loop, Training, train

__all__ = ["Found", "Method", "Run"]


@dataclass(frozen=True, eq=False)
class Found:
    """A mask and the scores that chose it (higher is better), by parameter.

    `used` is the mask that the search computed with, where that is only a part of `mask`.
    """

    mask: Mask
    scores: dict[str, Tensor]
    used: Mask | None = None


class Method(Protocol):
    """A way to a mask: hyper-parameters, and the search.

    The search leaves on `run.network` the weights where finetuning starts, without any parametrization.
    """

    name: ClassVar[str]

    def search(self, run: Run) -> Found:
        """Choose the mask."""
        ...


@dataclass(eq=False)
class Run:
    """One search. `slots` are the tensors to mask; everything else of the network is left as the scope says."""

    network: nn.Module
    slots: dict[str, Slot]
    scope: Scope
    train_part: Examples
    validation: Examples
    keep: float
    epochs: int
    seed: int
    device: torch.device
    on_empty: str = "refuse"
    training: Training = field(default_factory=Training)  # of weights; methods have their own for scores
    checkpoints: Checkpoints | None = None
    progress: Callable[[int, int, str], object] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)

    def train(
        self,
        parameters: Iterable[nn.Parameter],
        training: Training,
        *,
        phase: str,
        epochs: int | None = None,
        steps: int | None = None,
        data: Examples | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        """Train the network as it stands; a phase that an earlier run finished or began is taken from its checkpoint.

        For the run's epochs on the training part, unless `epochs`, `steps` or `data` say otherwise. Each phase of a
        method needs a name of its own.
        """
        store = self.checkpoints

        def restore(loop: Loop) -> None:
            if store is not None:
                store.restore(phase, loop)

        def checkpoint(loop: Loop, finished: bool) -> None:
            if store is not None:
                store.save(phase, loop, finished)

        self.history += train(
            self.network,
            parameters,
            self.train_part if data is None else data,
            self.validation,
            training,
            phase=phase,
            steps=steps,
            epochs=self.epochs if epochs is None else epochs,
            seed=self.seed,
            device=self.device,
            hooks=hooks,
            restore=restore,
            checkpoint=checkpoint,
            progress=self.progress,
        )

    def freeze(self) -> None:
        """Stop the gradient of every parameter but those that the scope trains along with scores."""
        for parameter in self.network.parameters():
            parameter.requires_grad_(False)
        for parameter in self.along():
            parameter.requires_grad_(True)

    def along(self) -> list[nn.Parameter]:
        """What is trained besides scores."""
        return trained_along(self.network, self.scope, self.slots)
