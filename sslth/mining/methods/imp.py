"""Iterative magnitude pruning with rewinding."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from sslth.data.splits import Examples
from sslth.errors import InvalidInputError
from sslth.mining.kept import trained_under
from sslth.mining.masks import Mask
from sslth.mining.run import Found, Run
from sslth.mining.selection import choose

__all__ = ["Imp", "masks_by_round"]


@dataclass(frozen=True)
class Imp:
    """Trains, drops the smallest weights and rewinds the rest to an early step, round after round.

    All parameters are trained for `rewind` steps at a constant rate: the pre-training. Each round then starts from
    those weights, trains what is kept for the run's epochs, and drops the share `rate` of what is left, smallest
    absolute trained weight first; the last round drops fewer, so that the budget is met exactly. The ticket's weights
    are those of step `rewind`, running statistics of batch norms included [FrankleEtAl2020]_. With `rewind=0` they are
    the initial ones [FrankleCarbin2019]_. A round has its own order of batches, and starts the optimizer and its
    schedule afresh. Cost: rounds times epochs of training; `rounds(keep)` says how many.

    Attributes
    ----------
    rate : float
        Share of the remaining entries that a round drops.
    rewind : int
        Steps of pre-training.
    rows : tuple of int
        The examples of the training part that pre-training sees; all, if empty. A choice smaller than a batch makes
        one batch. `diet_rows` makes such choices.
    budget : str
        "global" or the name of a layerwise one.

    References
    ----------
    .. [FrankleCarbin2019] J. Frankle, M. Carbin, "The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural
       Networks", ICLR 2019. arXiv:1803.03635
    .. [FrankleEtAl2020] J. Frankle, G. K. Dziugaite, D. M. Roy, M. Carbin, "Linear Mode Connectivity and the Lottery
       Ticket Hypothesis", ICML 2020. arXiv:1912.05671
    """

    rate: float = 0.2
    rewind: int = 20
    rows: tuple[int, ...] = ()
    budget: str = "global"
    name: ClassVar[str] = "imp"

    def __post_init__(self) -> None:
        if not 0.0 < self.rate < 1.0:
            raise InvalidInputError(f"rate is {self.rate}; a round drops a share inside (0, 1)")
        if self.rewind < 0:
            raise InvalidInputError(f"rewind is {self.rewind}; a number of steps, 0 or more, is needed")
        if not all(type(row) is int and row >= 0 for row in self.rows):
            raise InvalidInputError(f"rows are {str(self.rows)[:60]}; whole numbers, 0 or more, are needed")

    def rounds(self, keep: float) -> int:
        """How many rounds reach a share.

        Examples
        --------
        >>> Imp(rate=0.2).rounds(0.05), Imp(rate=0.5).rounds(0.25)
        (14, 2)
        """
        return math.ceil(math.log(keep) / math.log1p(-self.rate) - 1e-9)

    def search(self, run: Run) -> Found:
        """Pre-train, then as many rounds as the budget needs."""
        self._pretrain(run)
        start = {name: value.detach().clone() for name, value in run.network.state_dict().items()}
        kept = {name: torch.ones_like(slot.parameter, dtype=torch.bool) for name, slot in run.slots.items()}
        scores = _ranked(run, 0)
        rounds = self.rounds(run.keep)
        for number in range(1, rounds + 1):
            run.network.load_state_dict(start)
            _train_kept(run, kept, f"round-{number}")
            trained = {name: slot.parameter.detach().abs() for name, slot in run.slots.items()}
            # the share of the way to the budget, on a scale of logarithms, that the rate makes in so many rounds
            fraction = 1.0 if number == rounds else number * math.log1p(-self.rate) / math.log(run.keep)
            chosen = choose(trained, run.keep, self.budget, run.on_empty, allowed=kept, fraction=fraction)
            dropped, stayed = _ranked(run, number - 1), _ranked(run, number)
            for name, before in kept.items():
                scores[name] = torch.where(before, dropped[name], scores[name])
                scores[name] = torch.where(chosen[name], stayed[name], scores[name])
            kept = chosen
        run.network.load_state_dict(start)
        return Found(Mask(kept), {name: values.cpu() for name, values in scores.items()})

    def _pretrain(self, run: Run) -> None:
        data = run.train_part
        if self.rows:
            if len(set(self.rows)) < len(self.rows) or max(self.rows) >= len(data):
                raise InvalidInputError(f"rows must be different numbers from 0 to {len(data) - 1}")
            rows = torch.tensor(self.rows, dtype=torch.int64)
            data = Examples(data.inputs[rows], data.labels[rows])
        constant = replace(run.training, schedule="constant")
        trained = [parameter for parameter in run.network.parameters() if parameter.requires_grad]
        run.train(trained, constant, phase="pretrain", steps=self.rewind, data=data)


def masks_by_round(scores: Mapping[str, Tensor], rounds: int) -> list[Mask]:
    """The masks after 0, 1, … rounds of a run of `Imp`, from the scores that it gave: each holds the next.

    `rounds` is how many there were; `mined.setup.method.rounds(mined.setup.keep)` says so.

    Examples
    --------
    >>> masks = masks_by_round({"weight": torch.tensor([[0.3, 1.2, 2.5]])}, 2)
    >>> [mask.kept for mask in masks]
    [3, 2, 1]
    """
    return [Mask({name: values >= number for name, values in scores.items()}) for number in range(rounds + 1)]


def _train_kept(run: Run, kept: Mapping[str, Tensor], phase: str) -> None:
    parameters, hooks = trained_under(run.network, run.slots, kept, run.training)
    run.train(parameters, run.training, phase=phase, hooks=hooks)


def _ranked(run: Run, number: int) -> dict[str, Tensor]:
    """The absolute weights, squeezed into [number, number + 1/2]: what goes in a later round ranks higher."""
    absolute = {name: slot.parameter.detach().abs() for name, slot in run.slots.items()}
    largest = max(float(values.max()) for values in absolute.values()) or 1.0
    return {name: number + values / (2 * largest) for name, values in absolute.items()}
