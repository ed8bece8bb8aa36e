"""What a ticket's network takes from the target as it is: carried-over modules, slopes of activations, and buffers."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from sslth.cnn.layers import find_layers, is_carried

__all__ = ["Stays", "stays_of"]


@dataclass(frozen=True)
class Stays:
    """The target's real numbers that no layer of a ticket replaces; a ticket's file does not hold them.

    Attributes
    ----------
    names : tuple of str
        Parameters and buffers outside of carried-over modules: the slopes of a PReLU, the mean and deviation that
        inputs are normalised by, or the scales of a batch norm that somebody froze into buffers.
    sha256 : str
        Over the names, shapes and float64 values of these and of what is carried over.
    """

    names: tuple[str, ...]
    sha256: str


def stays_of(plain: nn.Module, carry_over: Collection[str] = ()) -> Stays | None:
    """What stays of a plain network; None if all of its real numbers belong to layers.

    Examples
    --------
    >>> stays_of(nn.Sequential(nn.Linear(2, 3), nn.PReLU())).names
    ('1.weight',)
    >>> stays_of(nn.Sequential(nn.Linear(2, 3))) is None
    True
    """
    layers = find_layers(plain, carry_over)
    digest, names, some = hashlib.sha256(), [], False
    for name, values in [*plain.named_parameters(), *plain.named_buffers()]:
        owner = name.rpartition(".")[0]
        if owner in layers or not values.is_floating_point():
            continue
        some = True
        if not is_carried(owner, carry_over):
            names.append(name)
        array = np.ascontiguousarray(values.detach().to("cpu", torch.float64).numpy())
        digest.update(f"{name}:{array.shape};".encode())
        digest.update(array.astype("<f8").tobytes())
    return Stays(tuple(names), digest.hexdigest()) if some else None
