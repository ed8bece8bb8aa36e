"""Gem-Miner: scores in [0, 1] rounded in the forward pass, and iterative freezing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from sslth.errors import InvalidInputError
from sslth.mining.masks import Mask
from sslth.mining.run import Found, Run
from sslth.mining.scores import Scores
from sslth.mining.seeds import generator, stream
from sslth.mining.selection import choose
from sslth.mining.sides import Sides
from sslth.mining.training import Hooks, Training

__all__ = ["GemMiner"]


# Rate and penalty: chosen on the validation part of the digits, for 20 epochs of 18 steps. For CIFAR-10, 150 epochs
# of 391 steps, the authors used .1 and 1e-4.
_SCORES = Training("SGD", 1.0, momentum=0.9)


@dataclass(frozen=True)
class GemMiner:
    """Learns scores in [0, 1] of frozen weights, rounded at 1/2, and freezes the lowest at 0 until the budget is met.

    The forward pass uses the rounded scores, the gradient goes straight through, a step is projected back to [0, 1],
    and `penalty` times the sum of squared scores drives them to 0. At `freezes` regular times the lowest of the scores
    that are left are frozen at 0, so that the share left falls geometrically and is exactly `keep` one period before
    the end [SreenivasanEtAl2022]_. The mask is all that was never frozen: a score that ends below 1/2 counts as kept
    (it is rounded to 0 during the search, and free again in finetuning); `Mined.results` reports accuracy both ways.

    Attributes
    ----------
    weights : str
        "signed_constant", "kaiming_normal" or "as_given".
    penalty : float
        Weight of the sum of squared scores in the loss.
    freezes : int
        How often scores are frozen.
    budget : str
        "global" compares scores of all layers, as in the paper; or the name of a layerwise budget.
    training : Training
        Of the scores.

    References
    ----------
    .. [SreenivasanEtAl2022] K. Sreenivasan, J. Sohn, L. Yang, M. Grinde, A. Nagle, H. Wang, E. Xing, K. Lee,
       D. Papailiopoulos, "Rare Gems: Finding Lottery Tickets at Initialization", NeurIPS 2022. arXiv:2202.12002
    """

    weights: str = "signed_constant"
    penalty: float = 3e-4
    freezes: int = 20
    budget: str = "global"
    training: Training = _SCORES
    name: ClassVar[str] = "gem_miner"

    def __post_init__(self) -> None:
        if self.freezes < 1 or not self.penalty >= 0:
            raise InvalidInputError(
                f"freezes={self.freezes} must be at least 1, and penalty={self.penalty} not negative"
            )

    def search(self, run: Run) -> Found:
        """Train the scores for the run's epochs."""
        search = GemSearch(self, run)
        run.train([search.scores.vector, *run.along()], self.training, phase="scores", hooks=search.hooks)
        return search.found()


class GemSearch:
    """One search: gated weights on the network of a run, and what a step on their scores adds to the training loop.

    Gradients and momentum move frozen scores as well; the projection before the next step puts them back to 0.
    """

    def __init__(self, method: GemMiner, run: Run) -> None:
        run.freeze()
        self.method, self.run = method, run
        start = {
            name: torch.rand(slot.parameter.shape, generator=generator(run.seed, "scores", name))
            for name, slot in run.slots.items()
        }
        self.scores = Scores(run.slots, start, absolute=False)
        # which scores are not frozen; and of what is frozen, when and how low it was
        self._alive = self.scores.remember("alive", torch.ones_like(self.scores.hard, dtype=torch.bool))
        self._rank = self.scores.remember("rank", torch.zeros_like(self.scores.hard))
        hard, alive = self.scores.hard_by_name, self.scores.parts(self._alive)
        self._sides = [
            (Sides(values.view(-1), hard[name].view(-1), self.scores.shown(name)), alive[name].view(-1).numpy())
            for name, values in self.scores.by_name.items()
            if self.scores.plain
        ]
        self._refresh()

    @property
    def hooks(self) -> Hooks:
        """Rounding, the penalty, the projection, freezing when it is time, and notes for the history."""
        return Hooks(
            before_forward=self._refresh,
            after_backward=self._after_backward,
            after_step=self._after_step,
            notes=self._notes,
        )

    def found(self) -> Found:
        """The mask of all that was never frozen, with the network's weights left as they were."""
        if self.run.epochs == 0:
            self._freeze(self.method.freezes)  # nothing was trained: random scores decide
        self._refresh()
        self.scores.detach()
        ranked = torch.where(self._alive, self.method.freezes + self.scores.vector.detach(), self._rank)
        return Found(
            Mask(self.scores.parts(self._alive)),
            {name: values.cpu() for name, values in self.scores.parts(ranked).items()},
            Mask(self.scores.parts(self.scores.hard > 0)),
        )

    @torch.no_grad()
    def _refresh(self) -> None:
        for sides, alive in self._sides:
            sides.round(alive)
        if not self._sides:
            scores = self.scores.vector.detach()
            scores.clamp_(0.0, 1.0).mul_(self._alive)
            torch.ge(scores, 0.5, out=self.scores.hard)  # what is frozen is 0
            self.scores.gate()

    def _after_backward(self) -> None:
        """Add the gradient of the penalty, which is 2 * penalty * scores."""
        self.scores.collect(pull=2.0 * self.method.penalty)

    def _after_step(self, step: int, total: int) -> None:
        freezes = min(self.method.freezes, max(total - 1, 1))
        before, now = (min(freezes, (freezes + 1) * s // total) for s in (step - 1, step))
        if now > before:
            self._refresh()  # the projection
            # a short run freezes less often, but ends on the same share
            self._freeze(round(self.method.freezes * now / freezes))

    @torch.no_grad()
    def _freeze(self, number: int) -> None:
        run, method, scores = self.run, self.method, self.scores.vector
        fraction = number / method.freezes
        ties = stream(run.seed, "freeze", number)  # many scores end at exactly 1
        allowed = self.scores.parts(self._alive)
        chosen = choose(
            self.scores.by_name, run.keep, method.budget, run.on_empty, allowed=allowed, fraction=fraction, ties=ties
        )
        stay = torch.cat([chosen[name].flatten() for name in allowed])
        # halved, so that what went at a later freeze, or never, ranks higher for certain
        self._rank.copy_(torch.where(self._alive & ~stay, number - 1 + scores / 2, self._rank))
        self._alive.copy_(stay)
        scores.mul_(self._alive)

    def _notes(self) -> dict[str, Any]:
        size, scores = len(self._alive), self.scores.vector.detach()
        return {
            "penalty": float(self.method.penalty * torch.dot(scores, scores)),  # not in the loss
            "alive": int(self._alive.count_nonzero()) / size,
            "rounded_up": int(self.scores.hard.count_nonzero()) / size,
        }
