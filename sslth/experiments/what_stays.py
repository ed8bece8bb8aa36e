"""What a ticket's network takes from the target besides what is carried over: slopes of activations, and buffers."""

from __future__ import annotations

from torch import nn

from sslth.cnn.layers import find_layers, is_carried
from sslth.cnn.ticket import Ticket

__all__ = ["what_stays", "words_for"]

_MOST_NAMES = 8


def what_stays(ticket: Ticket, model: nn.Module) -> list[str]:
    """Names of the model's real numbers that neither belong to a layer of the ticket nor are carried over.

    They belong to what passes through: the slopes of a PReLU, the mean and deviation that inputs are normalised by, or
    the scales of a batch norm that somebody froze into buffers. A ticket's file does not hold them.

    Examples
    --------
    >>> import sslth, torch
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.PReLU())
    >>> what_stays(sslth.extract(net, torch.rand(2, 2), width=8, progress=False), net)
    ['1.weight']
    """
    plain = ticket.plain_target(model)
    layers = find_layers(plain, ticket.carry_over)
    found = []
    for name, values in [*plain.named_parameters(), *plain.named_buffers()]:
        owner = name.rpartition(".")[0]
        if values.is_floating_point() and owner not in layers and not is_carried(owner, ticket.carry_over):
            found.append(name)
    return found


def words_for(names: list[str]) -> str:
    """The names in one line, the first of them where there are many.

    Examples
    --------
    >>> words_for(["a.weight", "b.weight"])
    'a.weight, b.weight'
    """
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
