"""Several tickets that answer together: each with its own seed, and its own share of attention to hard examples."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sslth.data.splits import Splits
from sslth.errors import InvalidInputError
from sslth.mining.budgets import total_count
from sslth.mining.checkpoints import Checkpoints
from sslth.mining.initial import Model, initial_network
from sslth.mining.methods.edge_popup import EdgePopup
from sslth.mining.mined import Mined
from sslth.mining.predictions import Averaged
from sslth.mining.run import Method
from sslth.mining.scope import Scope, masked_slots
from sslth.mining.search import mine
from sslth.mining.seeds import stream
from sslth.mining.training import Training, accuracy

__all__ = ["Ensemble", "member_keeps", "mine_ensemble"]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Tickets of one kind of network, whose probabilities are averaged.

    Attributes
    ----------
    members : tuple of Mined
    lambdas : tuple of float
        The KL penalty of each; infinite for a plain one.
    results : dict
        `accuracy_before` and `accuracy_after` finetuning of the average on the test part, `validation_before`,
        `validation_after`, `keep`, `kept`, `size`, `density`, `steps` of all members together.
    """

    members: tuple[Mined, ...]
    lambdas: tuple[float, ...]
    results: dict[str, Any]

    @property
    def kept(self) -> int:
        """Entries kept in all members together, counted."""
        return sum(member.mask.kept for member in self.members)

    @property
    def size(self) -> int:
        """Entries of the masked tensors of one network."""
        return self.members[0].mask.size

    @property
    def keep(self) -> float:
        """All kept entries over the size of one network: what a single ticket of the same cost keeps."""
        return self.kept / self.size

    def __repr__(self) -> str:
        before, after = self.results["accuracy_before"], self.results["accuracy_after"]
        return f"Ensemble({len(self.members)} members, keep={self.keep:.4g}, accuracy {before:.4f} -> {after:.4f})"

    def module(self, *, finetuned: bool = True) -> nn.Module:
        """The averaging network, in evaluation mode: its softmax is the mean of the members' probabilities."""
        return Averaged([member.module(finetuned=finetuned) for member in self.members]).eval()


def mine_ensemble(
    model: Model,
    data: Splits,
    lambdas: Sequence[float] = (math.inf, 5.0, 2.0),
    *,
    method: Method | None = None,
    keep: float = 0.05,
    epochs: int = 20,
    finetune_epochs: int | None = None,
    training: Training | None = None,
    seed: int = 0,
    device: str = "auto",
    scope: Scope | None = None,
    on_empty: str = "refuse",
    out: str | os.PathLike[str] | None = None,
    restart: bool = False,
    checkpoint_seconds: float = 5.0,
    progress: Callable[[int, int, str], object] | None = None,
) -> Ensemble:
    """Mine one ticket for each λ, each with a seed of its own, that together keep as much as one ticket of `keep`.

    Every member is trained, in the search and in finetuning, with the KL-penalised robust loss of its λ (see
    `robust_weights`): infinite is plain training, a small λ looks at the hard examples of each batch. So an easy, a
    middle and a hard view are averaged [SapkotaEtAl2023]_. With all λ infinite it is an ordinary ensemble; member m
    has the same seed whatever the λ are, so that two ensembles can be compared member by member.

    What is not masked (biases, unless the scope says otherwise) comes once a member; `results["density"]` counts it.

    Parameters
    ----------
    lambdas : sequence of float
        One a member; above 0, infinity allowed.
    method : Method
        Edge-popup if not given. Where a method trains scores, their training takes the λ; where it trains weights,
        `training` does.
    keep : float
        Of all members together: the kept entries of all, over the entries of one network.
    out : path
        A folder with one run a member. The same call goes on where an earlier one was stopped.

    Other parameters, errors and determinism are those of `mine`.

    Raises
    ------
    InvalidInputError
        If there is no λ or one is not positive, the budget gives a member nothing, or the method keeps whole filters.

    References
    ----------
    .. [SapkotaEtAl2023] H. Sapkota, D. Wang, Z. Tao, Q. Yu, "Distributionally Robust Ensemble of Lottery Tickets
       Towards Calibrated Sparse Network Training", NeurIPS 2023.

    Examples
    --------
    >>> from sslth.data.splits import digit_splits
    >>> from sslth.networks import small_cnn
    >>> both = mine_ensemble(small_cnn, digit_splits(), (math.inf, 1.0), keep=0.5, epochs=1)
    >>> [member.mask.kept for member in both.members], both.keep
    ([466, 466], 0.5)
    """
    penalties = _checked_lambdas(lambdas)
    base: Any = EdgePopup() if method is None else method
    if getattr(base, "structured", False):
        raise InvalidInputError("an ensemble's budget counts entries; leave structured=True to single tickets")
    keeps = member_keeps(model, scope or Scope(), keep, len(penalties))
    weights = training or Training()
    folder = None if out is None else Path(out)
    store = None
    if folder is not None:
        settings = {"lambdas": [_name(penalty) for penalty in penalties], "keep": keep, "seed": seed}
        store = Checkpoints(folder, {"ensemble": settings}, restart=restart)
    members = []
    for number, (penalty, share) in enumerate(zip(penalties, keeps, strict=True)):
        if hasattr(base, "training"):
            chosen = dataclasses.replace(base, training=dataclasses.replace(base.training, kl_penalty=penalty))
        else:
            chosen = base
        members.append(
            mine(
                model,
                data,
                chosen,
                keep=share,
                epochs=epochs,
                finetune_epochs=finetune_epochs,
                training=dataclasses.replace(weights, kl_penalty=penalty),
                seed=stream(seed, "member", number),
                device=device,
                scope=scope,
                on_empty=on_empty,
                out=None if folder is None else folder / f"member-{number}",
                restart=restart,
                checkpoint_seconds=checkpoint_seconds,
                progress=_told(progress, number, len(penalties)),
            )
        )
    ensemble = Ensemble(tuple(members), tuple(_lambda(penalty) for penalty in penalties), {})
    ensemble.results.update(_results(ensemble, data))
    if store is not None:
        store.write_json("result.json", {"results": ensemble.results})
    return ensemble


def member_keeps(model: Model, scope: Scope, keep: float, members: int) -> list[float]:
    """Shares of the masked entries for each member whose counts add up to those of one ticket that keeps `keep`.

    Raises
    ------
    InvalidInputError
        If there are fewer entries to keep than members.
    """
    slots = masked_slots(initial_network(model, 0, redraw=False), scope)
    size = sum(slot.parameter.numel() for slot in slots.values())
    total = total_count(size, keep)
    if total < members:
        raise InvalidInputError(f"keep={keep} leaves {total} of {size:,} entries for {members} members; raise keep")
    return [(total // members + (number < total % members)) / size for number in range(members)]


def _checked_lambdas(lambdas: Sequence[float]) -> list[float | None]:
    if len(lambdas) == 0:
        raise InvalidInputError("lambdas is empty; give one for each member, math.inf for a plain one")
    for value in lambdas:
        if not value > 0.0:
            raise InvalidInputError(f"a λ is {value}; it is above 0, and math.inf for a plain member")
    return [None if math.isinf(value) else float(value) for value in lambdas]


def _lambda(penalty: float | None) -> float:
    return math.inf if penalty is None else penalty


def _name(penalty: float | None) -> float | str:
    return "inf" if penalty is None else penalty  # JSON has no infinity


def _told(
    progress: Callable[[int, int, str], object] | None, number: int, members: int
) -> Callable[[int, int, str], object] | None:
    if progress is None:
        return None
    return lambda done, total, stage: progress(done, total, f"member {number + 1} of {members}: {stage}")


def _results(ensemble: Ensemble, data: Splits) -> dict[str, Any]:
    cpu = torch.device("cpu")
    results: dict[str, Any] = {}
    for when, finetuned in (("before", False), ("after", True)):
        network = ensemble.module(finetuned=finetuned)
        results[f"accuracy_{when}"] = accuracy(network, data.test, cpu)
        results[f"validation_{when}"] = accuracy(network, data.validation, cpu)
    counted = {"keep": ensemble.keep, "kept": ensemble.kept, "size": ensemble.size}
    density = sum(member.results["density"] for member in ensemble.members)
    steps = sum(sum(member.results["steps"].values()) for member in ensemble.members)
    return {**results, **counted, "density": density, "steps": steps}
