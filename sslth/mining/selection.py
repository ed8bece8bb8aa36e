"""Which entries a budget keeps: the highest scores, exactly as many as asked for, ties by position."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from sslth.errors import InvalidInputError
from sslth.mining.budgets import check_on_empty, layer_counts, total_count
from sslth.mining.seeds import generator
from sslth.mining.top_k import top_k

__all__ = ["choose"]


def choose(
    scores: Mapping[str, Tensor],
    keep: float,
    budget: str,
    on_empty: str,
    *,
    allowed: Mapping[str, Tensor] | None = None,
    fraction: float = 1.0,
    ties: int | None = None,
) -> dict[str, Tensor]:
    """For each layer bool of its scores' shape: the highest scores that a budget keeps, exactly round(keep * size).

    Parameters
    ----------
    budget : str
        "global" compares scores of different layers; otherwise each layer gets its count from `layer_counts`.
    on_empty : str
        What to do about a layer that would keep nothing: "refuse", or "keep_one", its highest score.
    allowed : mapping of bool tensors
        Only these entries may be kept, where given.
    fraction : float
        How far on the way to the budget: counts fall geometrically from everything at 0 to the budget at 1, so that
        what an earlier fraction allowed is always enough for a later one.
    ties : int
        A seed: equal scores are taken in an order that it decides, over all layers, instead of by position. Scores
        that saturate need it: by position, ties would all go to the first layer.

    Raises
    ------
    InvalidInputError
        If a layer would be empty and that is refused; the message names it.
    """
    check_on_empty(on_empty)
    ranked = {name: values.detach() for name, values in scores.items()}
    if allowed is not None:
        ranked = {name: values.masked_fill(~allowed[name], -torch.inf) for name, values in ranked.items()}
    if budget != "global":
        shapes = {name: tuple(values.shape) for name, values in ranked.items()}
        counts = layer_counts(shapes, keep, budget, on_empty)
        return {
            name: _mixed(values.flatten(), _on_the_way(values.numel(), counts[name], fraction), ties).reshape(
                values.shape
            )
            for name, values in ranked.items()
        }
    size = sum(values.numel() for values in ranked.values())
    return _global(ranked, _on_the_way(size, total_count(size, keep), fraction), on_empty, ties)


def _on_the_way(size: int, final: int, fraction: float) -> int:
    return final if fraction >= 1.0 else max(final, math.floor(size * (final / size) ** fraction + 0.5))


def _global(ranked: dict[str, Tensor], total: int, on_empty: str, ties: int | None) -> dict[str, Tensor]:
    if on_empty == "keep_one":
        if total < len(ranked):
            raise InvalidInputError(f"{total} kept entries cannot leave one in each of {len(ranked)} layers")
        # the best of each layer goes in first; where a layer keeps something anyway, its best would have been in it
        return _cut(
            {
                name: values.masked_fill(_mixed(values.flatten(), 1, ties).reshape(values.shape), torch.inf)
                for name, values in ranked.items()
            },
            total,
            ties,
        )
    found = _cut(ranked, total, ties)
    empty = [name for name, chosen in found.items() if not chosen.any()]
    if empty:
        raise InvalidInputError(
            f"the budget of {total} entries empties {', '.join(empty)}; raise keep, use on_empty='keep_one' "
            "or another budget"
        )
    return found


def _cut(ranked: dict[str, Tensor], total: int, ties: int | None) -> dict[str, Tensor]:
    chosen = _mixed(torch.cat([values.flatten() for values in ranked.values()]), total, ties)
    parts = torch.split(chosen, [values.numel() for values in ranked.values()])
    return {name: part.reshape(values.shape) for part, (name, values) in zip(parts, ranked.items(), strict=True)}


def _mixed(flat: Tensor, k: int, ties: int | None) -> Tensor:
    if ties is None:
        return top_k(flat, k)
    order = torch.randperm(flat.numel(), generator=generator(ties, "ties")).to(flat.device)
    chosen = torch.zeros(flat.shape, dtype=torch.bool, device=flat.device)
    chosen[order] = top_k(flat[order], k)
    return chosen
