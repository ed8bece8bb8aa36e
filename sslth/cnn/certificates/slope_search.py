"""Better slopes by gradient steps: every bound on the way is sound, so the least of them is kept."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, fx

from sslth.cnn.certificates.joint_windows import JointSlopes
from sslth.cnn.certificates.relaxation_rules import Slopes

__all__ = ["Chosen", "least_bound"]

# Of slopes, and of shares: tensors of four axes.
_RATE = 0.05
_SHARES_RATE = 0.1
# Steps from which the start is chosen for where it leads.
_MANY = 20
# The rate at the last step, as a share of that at the first.
_COOLED = 0.05


class Chosen(dict[fx.Node, Slopes | JointSlopes]):
    """The slopes of every node on a way back; those missing are filled in when they are first needed.

    `even` says how those of windows start.
    """

    def __init__(self, even: bool = False) -> None:
        super().__init__()
        self.even = even


def least_bound(back: Callable[[Chosen], Tensor], steps: int) -> Tensor:
    """The least bound of every functional over the starting slopes and so many gradient steps: float64[k].

    Parameters
    ----------
    back : callable
        The bounds float64[k] for given slopes; fills in those that are missing.
    steps : int
    """
    start = Chosen()
    best = back(start)
    if any(isinstance(part, JointSlopes) for part in start.values()):
        other = Chosen(even=True)
        second = back(other)
        # Even slopes are the better start of a long search, whichever bound is the smaller at first.
        start = other if steps >= _MANY else _better(start, other, second < best)
        best = torch.minimum(best, second)
    if not steps or not start:
        return best
    known = [(key, part.leaves()) for key, part in start.items()]
    leaves = [leaf.clone().requires_grad_(True) for _, parts in known for leaf, _, _ in parts]
    ranges = [(low, high) for _, parts in known for _, low, high in parts]
    rates = [_SHARES_RATE if leaf.ndim == 4 else _RATE for leaf in leaves]
    stepper = torch.optim.Adam([{"params": [leaf], "lr": rate} for leaf, rate in zip(leaves, rates, strict=True)])
    for step in range(steps):
        for group, rate in zip(stepper.param_groups, rates, strict=True):
            group["lr"] = rate * _COOLED ** (step / steps)
        with torch.enable_grad():
            bound = back(_with_leaves(start, leaves))
            best = torch.minimum(best, bound.detach())
            if not bool(torch.isfinite(bound).all()):
                return best
            stepper.zero_grad()
            bound.sum().backward()  # type: ignore[no-untyped-call]
        stepper.step()
        for leaf, (low, high) in zip(leaves, ranges, strict=True):
            leaf.data.clamp_(low, high)
    return torch.minimum(best, back(_with_leaves(start, [leaf.detach() for leaf in leaves])))


def _better(start: Chosen, other: Chosen, wins: Tensor) -> Chosen:
    """For each functional one of two ways to start: the other where that wins, bool[k]."""
    leaves = []
    for key, part in start.items():
        for (one, _, _), (two, _, _) in zip(part.leaves(), other[key].leaves(), strict=True):
            leaves.append(torch.where(wins.reshape(-1, *[1] * (one.ndim - 1)), two, one))
    return _with_leaves(start, leaves)


def _with_leaves(slopes: Chosen, leaves: list[Tensor]) -> Chosen:
    result, begin = Chosen(), 0
    for key, part in slopes.items():
        count = len(part.leaves())
        result[key] = part.replaced(leaves[begin : begin + count])
        begin += count
    return result
