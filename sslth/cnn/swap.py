"""Replacing modules in a copy of a network, so that the user's forward stays as it is."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import nn

__all__ = ["swapped_copy"]


def swapped_copy(model: nn.Module, replacements: Mapping[str, nn.Module]) -> nn.Module:
    """A copy of the model in which every named module is replaced, under all the names that it has.

    The weights of replaced modules are not copied. Cost: one copy of what is not replaced.
    """
    if "" in replacements:
        return replacements[""]
    modules = dict(model.named_modules(remove_duplicate=False))
    by_identity = {id(modules[name]): replacement for name, replacement in replacements.items()}
    # deepcopy consults the memo first: a replaced module is "already copied", as its replacement
    return copy.deepcopy(model, memo=dict(by_identity))
