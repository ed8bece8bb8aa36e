"""Sanity checks: is it this mask in these weights that is good, or would any other of its kind do?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sslth.data.splits import Splits
from sslth.errors import InvalidInputError
from sslth.mining.finetune import finetune
from sslth.mining.intervals import mean_interval
from sslth.mining.masks import Mask
from sslth.mining.mined import Mined
from sslth.mining.seeds import stream
from sslth.mining.training import accuracy

__all__ = ["CONTROLS", "SanityReport", "arm_accuracies", "sanity_checks"]

CONTROLS = ("shuffled", "redrawn", "inverted", "matched_random")


@dataclass(frozen=True)
class SanityReport:
    """Test accuracies after finetuning, by arm and seed, and what they say.

    `accuracies` has the arm "ticket" and the controls, each with one number a seed in the same order. The ticket is
    compared with each control seed by seed; an interval is Student's for the mean of the differences, at a confidence
    shared out over the controls so that it holds for all of them together. It assumes independent, roughly normal
    differences, and speaks of the seeds: not of another test part, nor of other data.

    Raises
    ------
    InvalidInputError
        If an arm is missing, the arms differ in length, there are fewer than two seeds, or a value is no accuracy.

    Examples
    --------
    >>> arms = {name: (0.80, 0.82, 0.81) for name in CONTROLS}
    >>> SanityReport({"ticket": (0.95, 0.96, 0.95), **arms}).is_rare_gem
    True
    """

    accuracies: Mapping[str, Sequence[float]]
    confidence: float = 0.95
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if set(self.accuracies) != {"ticket", *CONTROLS}:
            raise InvalidInputError(f"accuracies need the arms ticket, {', '.join(CONTROLS)}")
        lengths = {len(values) for values in self.accuracies.values()}
        if len(lengths) != 1 or lengths.pop() < 2:
            raise InvalidInputError("every arm needs the same number of seeds, at least 2: one gives no interval")
        if not all(0.0 <= value <= 1.0 for values in self.accuracies.values() for value in values):
            raise InvalidInputError("an accuracy lies outside [0, 1]")
        if not 0.0 < self.confidence < 1.0:
            raise InvalidInputError(f"confidence is {self.confidence}; it lies inside (0, 1)")

    @property
    def seeds(self) -> int:
        """How many."""
        return len(self.accuracies["ticket"])

    def difference(self, control: str) -> tuple[float, tuple[float, float]]:
        """Mean of ticket minus control, and its interval."""
        differences = np.subtract(self.accuracies["ticket"], self.accuracies[control])
        return mean_interval(differences, 1.0 - (1.0 - self.confidence) / len(CONTROLS))

    def mean(self, arm: str) -> tuple[float, tuple[float, float]]:
        """Mean accuracy of an arm, and its interval at the whole confidence."""
        return mean_interval(np.asarray(self.accuracies[arm], dtype=np.float64), self.confidence)

    @property
    def better_than(self) -> dict[str, bool]:
        """For each control whether the whole interval of the difference is above 0."""
        return {control: self.difference(control)[1][0] > 0.0 for control in CONTROLS}

    @property
    def is_rare_gem(self) -> bool:
        """Whether the ticket is better after finetuning than every control."""
        return all(self.better_than.values())

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        arms: dict[str, Any] = {}
        for arm in ("ticket", *CONTROLS):
            mean, interval = self.mean(arm)
            arms[arm] = {"mean": mean, "interval": list(interval), "values": list(self.accuracies[arm])}
            if arm != "ticket":
                difference, interval = self.difference(arm)
                arms[arm] |= {"ticket_minus_this": difference, "difference_interval": list(interval)}
        return {
            "arms": arms,
            "is_rare_gem": self.is_rare_gem,
            "seeds": self.seeds,
            "confidence": self.confidence,
            **self.settings,
        }

    def table(self) -> str:
        """Lines for people."""
        lines = [f"ticket          {self.mean('ticket')[0]:.4f} after finetuning, {self.seeds} seeds"]
        for control in CONTROLS:
            difference, (low, high) = self.difference(control)
            words = "better" if low > 0 else "worse" if high < 0 else "no difference shown"
            lines.append(
                f"{control:15s} {self.mean(control)[0]:.4f}; ticket minus this {difference:+.4f} "
                f"[{low:+.4f}, {high:+.4f}]: {words}"
            )
        return "\n".join([*lines, f"rare gem        {'yes' if self.is_rare_gem else 'not shown'}"])


def sanity_checks(
    mined: Mined | Sequence[Mined],
    data: Splits,
    *,
    seeds: int = 5,
    confidence: float = 0.95,
    epochs: int | None = None,
    progress: Callable[[int, int, str], object] | None = None,
) -> SanityReport:
    """Finetune a ticket and four controls under each of several seeds, and compare them.

    - "shuffled": the mask's entries of each layer at random places, the same weights;
    - "redrawn": the same mask, all weights drawn again from their law;
    - "inverted": in each layer the lowest scores, as many as the mask keeps, the same weights;
    - "matched_random": layerwise-matched random pruning, that is a random mask with the same counts in new weights.

    A seed decides on the order of batches, the same for all arms, and on what is drawn. Nothing is chosen on the
    test part. Source: [SreenivasanEtAl2022]_ (see `GemMiner`) and [FrankleEtAl2021]_.

    Parameters
    ----------
    mined : Mined or sequence of Mined
        One ticket, finetuned under `seeds` seeds: the intervals then speak of this ticket's finetuning only. Or one
        ticket a mining seed, at least two: then of the way to a ticket.
    epochs : int
        Of finetuning; those that the ticket was finetuned with, if not given.

    References
    ----------
    .. [FrankleEtAl2021] J. Frankle, G. K. Dziugaite, D. M. Roy, M. Carbin, "Pruning Neural Networks at
       Initialization: Why are We Missing the Mark?", ICLR 2021. arXiv:2009.08576
    """
    several = not isinstance(mined, Mined)
    tickets = list(mined) if not isinstance(mined, Mined) else [mined] * seeds
    if len(tickets) < 2:
        raise InvalidInputError(f"{len(tickets)} seeds give no interval; at least 2 are needed")
    accuracies: dict[str, list[float]] = {arm: [] for arm in ("ticket", *CONTROLS)}
    for number, ticket in enumerate(tickets):
        seed = ticket.setup.seed if several else stream(ticket.setup.seed, "sanity", number)

        def told(done: int, arms: int, stage: str, number: int = number) -> None:
            if progress is not None:
                progress(number * arms + done, len(tickets) * arms, stage)

        for arm, value in arm_accuracies(ticket, data, seed, epochs=epochs, progress=told).items():
            accuracies[arm].append(value)
    settings = {
        "tickets": len(tickets) if several else 1,
        "epochs": tickets[0].setup.finetune if epochs is None else epochs,
    }
    return SanityReport({arm: tuple(values) for arm, values in accuracies.items()}, confidence, settings)


def arm_accuracies(
    ticket: Mined,
    data: Splits,
    seed: int,
    *,
    epochs: int | None = None,
    progress: Callable[[int, int, str], object] | None = None,
) -> dict[str, float]:
    """The test accuracies after finetuning of a ticket and its four controls under one seed: one row of a report."""
    arms = _arms(ticket, seed)
    found = {}
    for place, (arm, (mask, start)) in enumerate(arms.items()):
        if progress is not None:
            progress(place, len(arms), f"sanity: {arm}")
        found[arm] = _finetuned_accuracy(ticket, mask, start, data, seed, epochs)
    return found


def _arms(ticket: Mined, seed: int) -> dict[str, tuple[Mask, dict[str, Tensor]]]:
    new = {name: value.detach().clone() for name, value in ticket.redrawn(stream(seed, "redraw")).state_dict().items()}
    newer = {name: value.detach().clone() for name, value in ticket.redrawn(stream(seed, "match")).state_dict().items()}
    return {
        "ticket": (ticket.mask, ticket.start),
        "shuffled": (ticket.mask.shuffled(seed), ticket.start),
        "redrawn": (ticket.mask, new),
        "inverted": (ticket.mask.inverted(ticket.scores, seed), ticket.start),
        "matched_random": (ticket.mask.shuffled(stream(seed, "match")), newer),
    }


def _finetuned_accuracy(
    ticket: Mined, mask: Mask, start: Mapping[str, Tensor], data: Splits, seed: int, epochs: int | None
) -> float:
    device = torch.device(
        ("cuda" if torch.cuda.is_available() else "cpu") if ticket.setup.device == "auto" else ticket.setup.device
    )
    network, _ = finetune(
        ticket.template,
        start,
        mask,
        data,
        ticket.setup.training,
        epochs=ticket.setup.finetune if epochs is None else epochs,
        seed=seed,
        device=device,
        phase="sanity",
    )
    return accuracy(network, data.test, device)
