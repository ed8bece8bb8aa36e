"""The ways to a ticket that are compared, and the settings that a validation part picks from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sslth.errors import InvalidInputError
from sslth.mining.training import Training

__all__ = [
    "REWINDS",
    "ROBUST_KEEP",
    "SINGLE",
    "TRAININGS",
    "WAYS",
    "TrainingEffort",
    "Way",
    "cells_of",
    "chosen_ways",
    "robust_keep",
]

REWINDS = (9, 36)  # steps of pre-training before the weights are rewound to: half an epoch and two of the digits
ROBUST_KEEP = 0.2  # where calibration is judged: at 2 % a member of three would keep .7 %, and hardly learn


@dataclass(frozen=True)
class Way:
    """A way to a ticket.

    Attributes
    ----------
    title : str
        What people call it.
    form : str
        Which function of `cells` makes it: "mined", "ensemble", "diet", "extracted" or "dense".
    candidates : tuple of dict
        Settings of which the validation part picks one for each seed; a single one is not picked.
    """

    title: str
    form: str
    candidates: tuple[dict[str, Any], ...] = ({},)


# Of all weights, in pruning and in finetuning. Which of the two suits differs much from way to way: magnitude pruning
# at 2 % has a validation accuracy of .68 with one and .94 with the other, and random pruning .5 and .1.
TRAININGS = {
    "Adam": Training("Adam", 0.01),
    "SGD": Training("SGD", 0.1, momentum=0.9),
}


def _trained(*settings: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Each of the settings with each of the two optimizers."""
    return tuple({**some, "optimizer": name} for name in TRAININGS for some in settings or ({},))


def _members(*lambdas: list[float | None]) -> tuple[dict[str, Any], ...]:
    """Ensembles of edge-popup with these λ, with weights scaled for sparsity or not."""
    return tuple({"lambdas": some, "scale_keep": scaled, **_ONLY_ADAM} for some in lambdas for scaled in (False, True))


_ONLY_ADAM: dict[str, Any] = {"optimizer": "Adam"}
_REWOUND = tuple({"rewind": steps} for steps in REWINDS)
_PLAIN: list[float | None] = [None, None, None]  # λ of three members; None is infinity
_ROBUST = ([None, 10.0, 5.0], [None, 5.0, 2.0])

WAYS: dict[str, Way] = {
    "dense": Way("nothing pruned", "dense", (_ONLY_ADAM,)),
    "random": Way(
        "random", "mined", _trained(*({"budget": name} for name in ("uniform", "erdos_renyi_kernel", "smart_ratio")))
    ),
    "magnitude": Way("magnitude", "mined", _trained({"budget": "global"}, {"budget": "uniform"})),
    "snip": Way("SNIP", "mined", _trained({"budget": "global"}, {"budget": "erdos_renyi_kernel"})),
    "synflow": Way("SynFlow", "mined", _trained()),
    "edge_popup": Way("edge-popup", "mined", _trained({"scale_keep": False}, {"scale_keep": True})),
    "gem_miner": Way("Gem-Miner", "mined", _trained({"penalty": 3e-4}, {"penalty": 1e-3})),
    "plain_ensemble": Way("plain ensemble", "ensemble", _members(_PLAIN)),
    "dro_ensemble": Way("DRO ensemble", "ensemble", _members(*_ROBUST)),
    "imp": Way("IMP, rewound", "diet", _trained({"rewind": 0}, *_REWOUND)),
    "imp_random": Way("IMP, 10 % random first", "diet", _trained(*_REWOUND)),
    "imp_easiest": Way("IMP, 10 % easiest first", "diet", _trained(*_REWOUND)),
    "subset_sum": Way("subset sums", "extracted", (_ONLY_ADAM,)),
}

# where calibration is judged, the single ticket and the members of ensembles have the same settings
SINGLE: dict[str, Any] = {"scale_keep": True, **_ONLY_ADAM}
_CALIBRATED = ("edge_popup", "plain_ensemble", "dro_ensemble")


@dataclass(frozen=True)
class TrainingEffort:
    """How long everything is trained, the same for all ways.

    Attributes
    ----------
    epochs, finetune : int
        Of a search that trains, and of finetuning.
    round_epochs : int
        Of each round of iterative pruning, and of the dense networks whose connectivity is measured.
    width : int
        Of the random network that subset sums are found in.
    """

    epochs: int
    finetune: int
    round_epochs: int
    width: int

    @classmethod
    def quick(cls) -> TrainingEffort:
        """Minutes for all ways and five seeds."""
        return cls(epochs=10, finetune=10, round_epochs=3, width=1024)

    @classmethod
    def full(cls) -> TrainingEffort:
        """A quarter of an hour or more on two cores."""
        return cls(epochs=20, finetune=40, round_epochs=8, width=4096)


def chosen_ways(text: str | None) -> tuple[str, ...]:
    """The names in a list with commas, in the order of the table; all of them for None.

    Raises
    ------
    InvalidInputError
        If a name is unknown, or there is none.

    Examples
    --------
    >>> chosen_ways("imp, random")
    ('random', 'imp')
    """
    if text is None:
        return tuple(WAYS)
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    for name in wanted:
        if name not in WAYS:
            raise InvalidInputError(f"there is no method {name!r} to compare; choose from {', '.join(WAYS)}")
    if not wanted:
        raise InvalidInputError(f"--methods is {text!r}; name some of {', '.join(WAYS)}")
    return tuple(name for name in WAYS if name in wanted)


def robust_keep(ways: Sequence[str], keep: float) -> float | None:
    """Where the findings on calibration are judged: None without the three ways that they compare."""
    return max(keep, ROBUST_KEEP) if set(_CALIBRATED) <= set(ways) else None


def cells_of(
    ways: Sequence[str], keep: float, seeds: int, effort: TrainingEffort, data: str, fingerprint: str, arch: str | None
) -> list[dict[str, Any]]:
    """The parameters of every cell: one a way, setting, share and seed; seed after seed.

    Examples
    --------
    >>> cells = cells_of(["synflow", "imp"], 0.1, 2, TrainingEffort(1, 1, 1, 64), "digits", "abc", None)
    >>> len(cells), cells[0]["way"], cells[0]["keep"]
    (16, 'synflow', 0.1)
    """
    common = {"kind": "compare", "data": data, "fingerprint": fingerprint, "arch": arch, **vars(effort)}
    where = [(way, keep) for way in ways]
    judged = robust_keep(ways, keep)
    if judged is not None and judged != keep:
        where += [(way, judged) for way in _CALIBRATED]
    return [
        {**common, "way": way, "keep": share, "settings": dict(settings), "seed": seed}
        for seed in range(seeds)
        for way, share in where
        for settings in WAYS[way].candidates
        if share == keep or settings.items() >= SINGLE.items()
    ]
