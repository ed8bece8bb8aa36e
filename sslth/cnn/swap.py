"""Replacing modules in a copy of a network, so that the user's forward stays as it is."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import nn

__all__ = ["swapped_copy"]


def swapped_copy(model: nn.Module, replacements: Mapping[str, nn.Module]) -> nn.Module:
    """A copy of the model in which every named module is replaced, under all the names that it has.

    The weights of replaced modules are not copied, but what else a forward may read of them is, such as `out_channels`.
    Cost: one copy of what is not replaced.

    Examples
    --------
    >>> network = swapped_copy(nn.Sequential(nn.Linear(2, 3)), {"0": nn.Identity()})
    >>> network[0], network[0].out_features
    (Identity(), 3)
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    for name, replacement in replacements.items():
        for key, value in vars(modules[name]).items():
            if not key.startswith("_") and not hasattr(replacement, key):
                setattr(replacement, key, value)
    if "" in replacements:
        return replacements[""]
    by_identity = {id(modules[name]): replacement for name, replacement in replacements.items()}
    # deepcopy consults the memo first: a replaced module is "already copied", as its replacement
    return copy.deepcopy(model, memo=dict(by_identity))
