"""The kinds of experiments that a sweep can run, by name."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from sslth.errors import InvalidInputError
from sslth.experiments.kinds.kind import Kind, Settings, rng_of, seed_of

__all__ = ["KINDS", "Kind", "Settings", "kind_named", "rng_of", "seed_of"]

# name -> module with a KIND; imported when used, because some need torch
KINDS: dict[str, str] = {
    "solver": "sslth.experiments.kinds.solver",
    "layer_width": "sslth.experiments.kinds.layer_width",
    "network_width": "sslth.experiments.kinds.network_width",
    "smallest_n": "sslth.experiments.kinds.smallest_n",
    "structure": "sslth.experiments.kinds.structure",
    "success": "sslth.experiments.kinds.success",
}


@cache
def kind_named(name: str) -> Kind:
    """Return a kind by its name.

    Raises
    ------
    InvalidInputError
        If there is none of that name.
    """
    if name not in KINDS:
        raise InvalidInputError(f"there is no kind of experiment {name!r}; take one of {', '.join(sorted(KINDS))}")
    kind: Kind = import_module(KINDS[name]).KIND
    return kind
