"""The methods by name; each is a frozen dataclass of hyper-parameters in a file of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from sslth.errors import InvalidInputError
from sslth.mining.run import Method
from sslth.mining.training import Training

__all__ = ["known_methods", "method_named"]

_HOMES = {
    "random": ("sslth.mining.methods.random", "Random"),
    "magnitude": ("sslth.mining.methods.magnitude", "Magnitude"),
    "snip": ("sslth.mining.methods.snip", "Snip"),
    "synflow": ("sslth.mining.methods.synflow", "SynFlow"),
    "edge_popup": ("sslth.mining.methods.edge_popup", "EdgePopup"),
    "imp": ("sslth.mining.methods.imp", "Imp"),
    "gem_miner": ("sslth.mining.methods.gem_miner", "GemMiner"),
}


def known_methods() -> dict[str, str]:
    """Names of the methods and what each does, in one line."""
    return {name: (_home(name).__doc__ or "").split("\n")[0] for name in _HOMES}


def method_named(name: str, settings: Mapping[str, Any] | None = None) -> Method:
    """The method of that name with its defaults, or these hyper-parameters.

    Raises
    ------
    InvalidInputError
        If there is no such method, hyper-parameter or value.

    Examples
    --------
    >>> method_named("random", {"budget": "uniform"})
    Random(budget='uniform')
    """
    if name not in _HOMES:
        raise InvalidInputError(f"there is no method {name!r}; choose one of {', '.join(_HOMES)}")
    kind = _home(name)
    known = {field.name: field for field in dataclasses.fields(kind)}
    given = dict(settings or {})
    for key, value in given.items():
        if key not in known:
            raise InvalidInputError(f"{name} has no hyper-parameter {key!r}; it has {', '.join(known) or 'none'}")
        if isinstance(value, list) and isinstance(known[key].default, tuple):
            given[key] = value = tuple(value)  # JSON has no tuples
        if key == "training":
            given[key] = _training(value)
        elif type(value) is not type(known[key].default) and not (
            isinstance(value, int) and isinstance(known[key].default, float) and not isinstance(value, bool)
        ):
            raise InvalidInputError(f"{key} of {name} is {value!r}; a value like {known[key].default!r} is needed")
    method: Method = kind(**given)
    return method


def _training(value: Any) -> Training:
    if isinstance(value, Training):
        return value
    names = {field.name for field in dataclasses.fields(Training)}
    if not isinstance(value, Mapping) or not set(value) <= names:
        raise InvalidInputError(f"training is {value!r}; give an object with some of {', '.join(sorted(names))}")
    return Training(**value)


def _home(name: str) -> Any:
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
