"""Tickets on a data diet: which examples the steps before rewinding see, and what the tickets are worth then."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sslth.data.splits import Examples, Splits
from sslth.errors import InvalidInputError
from sslth.mining.connectivity import sgd_children
from sslth.mining.initial import Model
from sslth.mining.masks import Mask
from sslth.mining.methods.imp import Imp, masks_by_round
from sslth.mining.mined import Mined
from sslth.mining.search import mine
from sslth.mining.seeds import generator, stream
from sslth.mining.training import Training, accuracy

__all__ = ["DIETS", "DietPoint", "diet_curve", "diet_rows", "mine_on_a_diet"]

DIETS = ("all", "random", "easiest", "hardest")


@dataclass(frozen=True)
class DietPoint:
    """What the ticket of one round is worth: two trainings from its weights that differ in the order of batches.

    Attributes
    ----------
    round, kept, keep : int, int, float
        0 is the dense network; entries kept are counted.
    validation, test : tuple of float
        Accuracies of the two trained networks.
    barrier, test_barrier : float
        Of the error on the line between the two, on the training and on the test part.
    connected : float
        The share of training examples that are classified rightly all along that line.
    unbarred : float
        The share of training examples whose own error has no barrier there, those wrong at both ends included.
    """

    round: int
    kept: int
    keep: float
    validation: tuple[float, ...]
    test: tuple[float, ...]
    barrier: float
    test_barrier: float
    connected: float
    unbarred: float


def diet_rows(
    kind: str,
    data: Examples,
    *,
    fraction: float = 0.1,
    scores: Tensor | None = None,
    balanced: bool = True,
    seed: int = 0,
) -> tuple[int, ...]:
    """The rows of the training part that pre-training is to see, sorted, for `Imp(rows=…)`; () stands for all.

    After [PaulEtAl2022]_.

    Parameters
    ----------
    kind : str
        "all"; "random"; or the "easiest" or "hardest", those of lowest or highest score, ties by position.
    fraction : float
        round(fraction · m) rows; with `balanced` a class gives its share, rounded, and at least one.
    scores : Tensor
        float[m], such as `score_examples` gives; needed for the easiest and the hardest.
    balanced : bool
        Whether each class gives in proportion. Without it the easiest rows of a small fraction may miss a class.

    Raises
    ------
    InvalidInputError
        If an argument cannot be, or scores are missing.

    References
    ----------
    .. [PaulEtAl2022] M. Paul, B. W. Larsen, S. Ganguli, J. Frankle, G. K. Dziugaite, "Lottery Tickets on a Data Diet:
       Finding Initializations with Sparse Trainable Networks", NeurIPS 2022. arXiv:2206.01278

    Examples
    --------
    >>> data = Examples(torch.zeros(6, 1), torch.tensor([0, 0, 0, 1, 1, 1]))
    >>> hardness = torch.tensor([0.3, 0.1, 0.2, 0.9, 0.8, 0.7])
    >>> diet_rows("easiest", data, fraction=1 / 3, scores=hardness)
    (1, 5)
    >>> diet_rows("easiest", data, fraction=1 / 3, scores=hardness, balanced=False)
    (1, 2)
    """
    if kind not in DIETS:
        raise InvalidInputError(f"there is no diet {kind!r}; choose one of {', '.join(DIETS)}")
    if not 0.0 < fraction <= 1.0:
        raise InvalidInputError(f"fraction is {fraction}; it is the share of examples to see, above 0 and at most 1")
    if kind == "all":
        return ()
    order = _order(kind, len(data), scores, seed)
    groups = [order]
    if balanced:
        groups = [order[data.labels[order] == label] for label in sorted(set(data.labels.tolist()))]
    counts = [math.floor(fraction * len(group) + 0.5) for group in groups]
    rows = torch.cat([group[: max(count, 1)] for group, count in zip(groups, counts, strict=True)])
    return tuple(sorted(rows.tolist()))


def mine_on_a_diet(
    model: Model,
    data: Splits,
    kind: str,
    *,
    fraction: float = 0.1,
    scores: Tensor | None = None,
    rewind: int = 20,
    rate: float = 0.2,
    keep: float = 0.05,
    epochs: int = 10,
    training: Training | None = None,
    seed: int = 0,
    device: str = "cpu",
    out: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int, str], object] | None = None,
) -> Mined:
    """A ticket by iterative magnitude pruning whose first `rewind` steps saw a diet only; not finetuned.

    The seed draws weights, batches and random rows. All that follows the pre-training sees the whole training part.
    A layer that the budget would empty keeps one entry. With `out` resumable, as `mine` is.
    """
    rows = diet_rows(kind, data.train, fraction=fraction, scores=scores, seed=seed)
    return mine(
        model,
        data,
        Imp(rate=rate, rewind=rewind, rows=rows),
        keep=keep,
        epochs=epochs,
        finetune_epochs=0,
        training=training,
        seed=seed,
        device=device,
        on_empty="keep_one",
        out=out,
        progress=progress,
    )


def diet_curve(
    mined: Mined,
    data: Splits,
    rounds: Sequence[int],
    *,
    epochs: int,
    points: int = 11,
    reestimate: bool = False,
    device: str = "cpu",
) -> list[DietPoint]:
    """Accuracy and connectivity against sparsity: the tickets of some rounds of one run, each trained twice.

    Every ticket starts from the rewound weights. Batches are those of (seed of the run, round), the same for every
    diet. The test part is looked at only when all masks are fixed; nothing is chosen by it.

    Parameters
    ----------
    rounds : sequence of int
        0 is the dense network; a round that the run did not have is refused.
    points, reestimate
        Of the line between the two trained networks: how many points, and whether batch norms measure their
        statistics again at each, on the training part; otherwise they are interpolated.

    Raises
    ------
    InvalidInputError
        If the ticket is not one of `Imp`, or a round is not one of its rounds.
    """
    method = mined.setup.method
    if not isinstance(method, Imp):
        raise InvalidInputError(f"the ticket was mined by {method.name}; only one of imp has rounds")
    masks = masks_by_round(mined.scores, method.rounds(mined.setup.keep))
    missing = [number for number in rounds if not 0 <= number < len(masks)]
    if missing:
        raise InvalidInputError(f"there is no round {missing[0]}; the run had rounds 1 to {len(masks) - 1}")
    return [
        _point(mined, number, masks[number], data, epochs, points, reestimate, torch.device(device))
        for number in rounds
    ]


def _order(kind: str, count: int, scores: Tensor | None, seed: int) -> Tensor:
    if kind == "random":
        return torch.randperm(count, generator=generator(seed, "diet"))
    if scores is None:
        raise InvalidInputError(f"the {kind} examples need scores; score_examples() measures them")
    if scores.shape != (count,) or not bool(torch.isfinite(scores).all()):
        raise InvalidInputError(f"scores have shape {list(scores.shape)}; one finite number for each of {count} rows")
    return torch.sort(scores, descending=kind == "hardest", stable=True).indices


def _point(
    mined: Mined,
    number: int,
    mask: Mask,
    data: Splits,
    epochs: int,
    points: int,
    reestimate: bool,
    device: torch.device,
) -> DietPoint:
    training = mined.setup.training
    children = sgd_children(
        mined.template,
        mined.start,
        mask,
        data,
        training,
        epochs=epochs,
        seed=stream(mined.setup.seed, "diet", number),
        device=device,
    )
    on = data.train if reestimate else None
    train, test = (
        children.line(part, points=points, reestimate_on=on, batch_size=training.batch_size, device=device)
        for part in (data.train, data.test)
    )
    pair: tuple[nn.Module, ...] = (children.first.to(device), children.second.to(device))
    return DietPoint(
        round=number,
        kept=mask.kept,
        keep=mask.keep,
        validation=tuple(accuracy(network, data.validation, device) for network in pair),
        test=tuple(accuracy(network, data.test, device) for network in pair),
        barrier=train.barrier,
        test_barrier=test.barrier,
        connected=float(train.connected.double().mean()),
        unbarred=float((train.example_barriers == 0).double().mean()),
    )
