"""Gem-Miner: scores in [0, 1] rounded in the forward pass, and iterative freezing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sslth.errors import InvalidInputError
from sslth.mining.masks import Mask
from sslth.mining.parametrized import Scored, attach, detach
from sslth.mining.run import Found, Run
from sslth.mining.seeds import generator, stream
from sslth.mining.selection import choose
from sslth.mining.training import Hooks, Training

__all__ = ["GemMiner"]


# Rate and penalty: chosen on the validation part of the digits, for 20 epochs of 18 steps. For CIFAR-10, 150 epochs
# of 391 steps, the authors used .1 and 1e-4.
_SCORES = Training("SGD", 1.0, momentum=0.9)


class _Gem(Scored):
    """Scores of which some are frozen at 0. `rank` orders what is frozen by when and how low it was."""

    alive: Tensor
    rank: Tensor

    def __init__(self, scores: Tensor) -> None:
        super().__init__(scores, absolute=False)
        self.register_buffer("alive", torch.ones_like(scores, dtype=torch.bool))
        self.register_buffer("rank", torch.zeros_like(scores))

    def forward(self, weight: Tensor) -> Tensor:
        """The weights whose scores are rounded to 1; no gradient reaches a frozen score."""
        return weight * (self.hard + self.alive * (self.scores - self.scores.detach()))

    def round_scores(self) -> None:
        """Bring `hard` up to date."""
        self.hard.copy_((self.scores.detach() >= 0.5) & self.alive)


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
        run.freeze()
        parts = {
            name: _Gem(torch.rand(slot.parameter.shape, generator=generator(run.seed, "scores", name))).to(run.device)
            for name, slot in run.slots.items()
        }
        attach(run.slots.values(), parts)

        def refresh() -> None:
            for part in parts.values():
                part.round_scores()

        refresh()
        hooks = Hooks(
            before_forward=refresh,
            penalty=lambda: self._penalty(parts),
            after_step=lambda step, total: self._after_step(run, parts, step, total),
            notes=lambda: _notes(parts),
        )
        scores: list[nn.Parameter] = [part.scores for part in parts.values()]
        run.train([*scores, *run.along()], self.training, phase="scores", hooks=hooks)
        if run.epochs == 0:
            self._freeze(run, parts, self.freezes)  # nothing was trained: random scores decide
        refresh()
        detach(run.slots.values(), bake=False)
        mask = Mask({name: part.alive for name, part in parts.items()})
        used = {name: part.hard.bool() for name, part in parts.items()}
        ranked = {
            name: torch.where(part.alive, self.freezes + part.scores.detach(), part.rank).cpu()
            for name, part in parts.items()
        }
        return Found(mask, ranked, Mask(used))

    def _penalty(self, parts: dict[str, _Gem]) -> Tensor:
        squares = [((part.scores * part.alive) ** 2).sum() for part in parts.values()]
        return self.penalty * torch.stack(squares).sum()

    def _after_step(self, run: Run, parts: dict[str, _Gem], step: int, total: int) -> None:
        with torch.no_grad():
            for part in parts.values():
                part.scores.clamp_(0.0, 1.0).mul_(part.alive)  # momentum would move frozen scores
        freezes = min(self.freezes, max(total - 1, 1))
        before, now = (min(freezes, (freezes + 1) * s // total) for s in (step - 1, step))
        if now > before:
            # a short run freezes less often, but ends on the same share
            self._freeze(run, parts, round(self.freezes * now / freezes))

    def _freeze(self, run: Run, parts: dict[str, _Gem], number: int) -> None:
        alive = {name: part.alive for name, part in parts.items()}
        scores = {name: part.scores.detach() for name, part in parts.items()}
        fraction = number / self.freezes
        ties = stream(run.seed, "freeze", number)  # many scores end at exactly 1
        chosen = choose(scores, run.keep, self.budget, run.on_empty, allowed=alive, fraction=fraction, ties=ties)
        with torch.no_grad():
            for name, part in parts.items():
                gone = part.alive & ~chosen[name]
                # halved, so that what went at a later freeze, or never, ranks higher for certain
                part.rank.copy_(torch.where(gone, number - 1 + part.scores / 2, part.rank))
                part.alive.copy_(chosen[name])
                part.scores.mul_(chosen[name])


def _notes(parts: dict[str, _Gem]) -> dict[str, Any]:
    size = sum(part.alive.numel() for part in parts.values())
    return {
        "alive": sum(int(part.alive.sum()) for part in parts.values()) / size,
        "rounded_up": sum(int(part.hard.sum()) for part in parts.values()) / size,
    }
