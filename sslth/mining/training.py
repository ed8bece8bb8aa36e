"""The training loop: ordinary, deterministic for one seed on the CPU, and taken up again where it was killed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from sslth.data.splits import Examples
from sslth.errors import InvalidInputError
from sslth.mining.diverged import DivergedError
from sslth.mining.objective import batch_loss, check_objective, is_number
from sslth.mining.seeds import generator, stream

__all__ = ["Training", "accuracy", "train"]

_EVALUATED_AT_ONCE = 1000
_SCHEDULES = ("constant", "cosine")
_HIGHEST = 1e30  # optimizers divide by numbers down to .001 or so, and float32 ends at 3e38


@dataclass(frozen=True)
class Training:
    """How parameters are trained: a torch optimizer by its name, with a schedule over the whole run.

    Attributes
    ----------
    optimizer : str
        A class of `torch.optim`, such as "SGD" or "Adam".
    learning_rate : float
        At the start.
    momentum, weight_decay : float
        momentum is given to optimizers that have it ("SGD").
    schedule : str
        "cosine" down to 0, step by step, or "constant".
    batch_size : int
    amp : bool
        Automatic mixed precision (bfloat16) in the forward pass.
    label_smoothing : float
        Share of a label that is spread evenly over all classes.
    mixup : float
        α of the Beta law of mixup's shares; 0 is none.
    kl_penalty : float, optional
        λ of the robust loss, see `robust_weights`: the smaller, the more the hard examples of a batch count. None is
        infinity, the plain mean.
    """

    optimizer: str = "Adam"
    learning_rate: float = 3e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine"] = "cosine"
    batch_size: int = 64
    amp: bool = False
    label_smoothing: float = 0.0
    mixup: float = 0.0
    kl_penalty: float | None = None

    def __post_init__(self) -> None:
        check_objective(self.label_smoothing, self.mixup, self.kl_penalty)
        for name in ("learning_rate", "momentum", "weight_decay"):
            value = getattr(self, name)
            if not (is_number(value) and abs(value) <= _HIGHEST):
                raise InvalidInputError(f"{name} is {value!r}; a number up to {_HIGHEST:g} is needed")
        if min(self.momentum, self.weight_decay) < 0:
            raise InvalidInputError(f"momentum={self.momentum} and weight_decay={self.weight_decay} go from 0 on")
        if not isinstance(self.amp, bool):
            raise InvalidInputError(f"amp is {self.amp!r}; True or False is needed")
        found = getattr(torch.optim, str(self.optimizer), None)
        if not (isinstance(found, type) and issubclass(found, torch.optim.Optimizer)):
            raise InvalidInputError(f"torch.optim has no optimizer {self.optimizer!r}")
        if self.schedule not in _SCHEDULES:
            raise InvalidInputError(f"schedule is {self.schedule!r}; choose one of {', '.join(_SCHEDULES)}")
        batch: object = self.batch_size
        if not (is_number(batch) and isinstance(batch, Integral)):
            raise InvalidInputError(f"batch_size is {batch!r}; a whole number is needed")
        if self.batch_size < 1 or not self.learning_rate > 0:
            raise InvalidInputError(
                f"batch_size={self.batch_size} and learning_rate={self.learning_rate} must both be positive"
            )

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer of these parameters.

        Raises
        ------
        InvalidInputError
            If the optimizer does not take these settings, or parameters of these shapes.
        """
        more: dict[str, Any] = {"momentum": self.momentum} if self.momentum else {}
        kind: Any = getattr(torch.optim, self.optimizer)
        try:
            optimizer: torch.optim.Optimizer = kind(
                list(parameters), lr=self.learning_rate, weight_decay=self.weight_decay, **more
            )
        except (TypeError, ValueError) as error:
            detail = " ".join(str(error).split())[:100]
            raise InvalidInputError(f"the optimizer {self.optimizer} cannot be used here: {detail}") from None
        return optimizer


@dataclass
class Hooks:
    """What a method adds to the loop; every one may be left out."""

    before_forward: Callable[[], object] | None = None
    after_backward: Callable[[], object] | None = None  # may change gradients
    after_step: Callable[[int, int], object] | None = None
    loss: Callable[[Tensor, Tensor], Tensor] | None = None  # in place of the objective of `Training`
    notes: Callable[[], dict[str, Any]] | None = None  # for the history of an epoch, of numbers


@dataclass
class Loop:
    """The state of one training phase between two epochs: what a checkpoint holds."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


def train(
    network: nn.Module,
    parameters: Iterable[nn.Parameter],
    data: Examples,
    validation: Examples,
    training: Training,
    *,
    phase: str,
    epochs: int,
    seed: int,
    device: torch.device,
    steps: int | None = None,
    hooks: Hooks | None = None,
    restore: Callable[[Loop], None] | None = None,
    checkpoint: Callable[[Loop, bool], None] | None = None,
    progress: Callable[[int, int, str], object] | None = None,
) -> list[dict[str, Any]]:
    """Train in place for so many epochs; returns one entry an epoch: loss, validation accuracy, steps so far.

    With `steps` it is exactly so many steps instead, and the last epoch ends early where they do not fill it.

    The batches of an epoch depend on (seed, phase, epoch) only, and so does what dropout draws on the CPU: a run that
    is restored from a checkpoint continues as if it had never stopped.

    Raises
    ------
    InvalidInputError
        If there are steps and no parameters.
    DivergedError
        If the mean loss of an epoch is not finite; the checkpoint of the epoch before is left as it is.
    """
    hooks = hooks or Hooks()
    a_pass = -(-len(data) // training.batch_size)
    if steps is not None:
        epochs = -(-steps // a_pass)
    parameters = list(parameters)
    if not parameters and epochs:
        raise InvalidInputError(f"{phase} has nothing to train: no parameter of the model requires a gradient")
    optimizer = training.build(parameters or [nn.Parameter(torch.zeros(()))])  # torch wants one, if for no step
    total = max(epochs * a_pass if steps is None else steps, 1)
    scheduler: torch.optim.lr_scheduler.LRScheduler = (
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
        if training.schedule == "cosine"
        else torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    )
    loop = Loop(network, optimizer, scheduler)
    if restore is not None:
        restore(loop)
    for epoch in range(loop.epoch, epochs):
        if progress is not None:
            progress(epoch, epochs, phase)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream(seed, phase, "dropout", epoch))
            mixing = np.random.default_rng(stream(seed, phase, "mixup", epoch))
            loss = _epoch(loop, data, training, hooks, generator(seed, phase, "batches", epoch), mixing, device, total)
        _check(loss, "loss", phase, epoch)
        if hooks.before_forward is not None:
            hooks.before_forward()
        notes = hooks.notes() if hooks.notes is not None else {}
        for name, value in notes.items():
            _check(value, name, phase, epoch)
        loop.epoch = epoch + 1
        entry = {
            "phase": phase,
            "epoch": loop.epoch,
            "steps": min(loop.epoch * a_pass, total),
            "loss": loss,
            "validation_accuracy": accuracy(network, validation, device),
            **notes,
        }
        loop.history.append(entry)
        if checkpoint is not None:
            checkpoint(loop, loop.epoch == epochs)
    if hooks.before_forward is not None:
        hooks.before_forward()
    network.eval()
    return loop.history


def _check(value: float, what: str, phase: str, epoch: int) -> None:
    if not math.isfinite(value):
        raise DivergedError(
            f"the {what} of {phase} is {value} in epoch {epoch + 1}; lower the learning rate (the last good "
            "checkpoint is kept)"
        )


def _epoch(
    loop: Loop,
    data: Examples,
    training: Training,
    hooks: Hooks,
    shuffle: torch.Generator,
    mixing: np.random.Generator,
    device: torch.device,
    total: int,
) -> float:
    loop.network.train()
    order = torch.randperm(len(data), generator=shuffle)
    steps = -(-len(data) // training.batch_size)
    summed = torch.zeros((), device=device)
    here = min(steps, total - loop.epoch * steps)  # fewer where the wanted number of steps ends within the epoch
    for number, rows in enumerate(torch.split(order, training.batch_size)[:here]):
        if hooks.before_forward is not None:
            hooks.before_forward()
        inputs, labels = data.inputs[rows].to(device), data.labels[rows].to(device)
        loop.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=training.amp):
            if hooks.loss is not None:
                loss = hooks.loss(loop.network(inputs), labels)
            else:
                loss = batch_loss(loop.network, inputs, labels, training, mixing)
        torch.autograd.backward(loss)
        if hooks.after_backward is not None:
            hooks.after_backward()
        loop.optimizer.step()
        loop.scheduler.step()
        if hooks.after_step is not None:
            hooks.after_step(loop.epoch * steps + number + 1, total)
        summed += loss.detach()
    return float(summed) / here


@torch.no_grad()
def accuracy(network: nn.Module, data: Examples, device: torch.device) -> float:
    """The share of examples whose highest output is their label; the network is left in the mode it was in."""
    was_training = network.training
    network.eval()
    right = 0
    for start in range(0, len(data), _EVALUATED_AT_ONCE):
        rows = slice(start, start + _EVALUATED_AT_ONCE)
        outputs = network(data.inputs[rows].to(device))
        right += int((outputs.argmax(1) == data.labels[rows].to(device)).sum())
    network.train(was_training)
    return right / len(data)
