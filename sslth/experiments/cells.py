"""What names a cell of a grid: its parameters as canonical JSON, and the hash of that."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sslth.errors import InvalidInputError

__all__ = ["canonical_json", "cell_key", "key_of_json", "result_json"]


def canonical_json(parameters: Mapping[str, Any]) -> str:
    """Return the one JSON text that equal parameters have: sorted keys, no spaces, ASCII.

    NumPy scalars count as the Python numbers they hold, tuples and arrays as lists, -0.0 as 0.0. The
    integer 1 and the float 1.0 are different parameters, as they are in JSON.

    Raises
    ------
    InvalidInputError
        If a value is not finite or is nothing that JSON can hold, or a key is not a string.

    Examples
    --------
    >>> canonical_json({"width": 64, "kind": "error_vs_width", "low": -1.0})
    '{"kind":"error_vs_width","low":-1.0,"width":64}'
    """
    plain = _plain(parameters, "parameters")
    reason = _not_finite(plain)
    if reason is not None:
        raise InvalidInputError(f"the parameters of a cell hold {reason}, which JSON cannot say: leave it out")
    return _dump(plain)


def cell_key(parameters: Mapping[str, Any]) -> str:
    """Return the name of a cell: the SHA-256, in hexadecimal, of the canonical JSON of its parameters.

    Examples
    --------
    >>> cell_key({"width": 64, "seed": 0}) == cell_key({"seed": 0, "width": 64})
    True
    """
    return key_of_json(canonical_json(parameters))


def key_of_json(text: str) -> str:
    """`cell_key` of parameters that are canonical JSON already.

    Examples
    --------
    >>> key_of_json(canonical_json({"width": 64})) == cell_key({"width": 64})
    True
    """
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def result_json(result: Mapping[str, Any]) -> str:
    """Return a result as JSON in which every number that is not finite is null, with its reason beside it.

    The reason of the key `error` stands under `error_reason`; one that is there already is kept.

    Raises
    ------
    InvalidInputError
        If a value is nothing that JSON can hold, or a key is not a string.

    Examples
    --------
    >>> result_json({"error": float("inf"), "kept": 3})
    '{"error":null,"error_reason":"not finite: inf","kept":3}'
    """
    return _dump(_with_reasons(_plain(result, "result")))


def _dump(plain: Any) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: Any, where: str) -> Any:
    """The value in dicts, lists, str, int, float, bool and None only."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist(), where)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) + 0.0  # -0.0 + 0.0 is 0.0: two texts for one number would be two cells
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InvalidInputError(f"{where} has the key {key!r}; keys of a cell are strings")
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    raise InvalidInputError(f"{where} is of type {type(value).__name__}, which JSON cannot hold")


def _not_finite(plain: Any) -> str | None:
    """The first number that is not finite, as text, or None."""
    if isinstance(plain, float) and not math.isfinite(plain):
        return repr(plain)
    if isinstance(plain, dict):
        plain = list(plain.values())
    if isinstance(plain, list):
        return next((found for item in plain if (found := _not_finite(item)) is not None), None)
    return None


def _with_reasons(plain: dict[str, Any]) -> dict[str, Any]:
    clean: dict[str, Any] = {}
    for key, value in plain.items():
        if isinstance(value, dict):
            clean[key] = _with_reasons(value)
            continue
        clean[key] = _nulled(value)
        # A mapping inside a list gives its own reasons; only numbers of the list itself need one here.
        numbers = [item for item in value if not isinstance(item, dict)] if isinstance(value, list) else value
        reason = _not_finite(numbers)
        if reason is not None and plain.get(f"{key}_reason") is None:
            clean[f"{key}_reason"] = f"not finite: {reason}"
    given = {key: value for key, value in plain.items() if key.endswith("_reason") and isinstance(value, str)}
    return clean | given


def _nulled(value: Any) -> Any:
    if isinstance(value, list):
        return [_nulled(item) for item in value]
    if isinstance(value, dict):
        return _with_reasons(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
