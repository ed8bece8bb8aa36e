"""Tensors with a JSON description in one safetensors file, written in one step."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from sslth.errors import InvalidInputError
from sslth.subset_sum.files import write_bytes

__all__ = ["read_tensors", "write_tensors"]

_KEY = "sslth"


def write_tensors(
    path: str | os.PathLike[str], form: str, tensors: Mapping[str, Tensor], description: Mapping[str, Any]
) -> None:
    """Write tensors and their description; the file is either what it was before or complete."""
    text = json.dumps(
        {"format": form, "version": 1, **description}, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    # clones, because safetensors refuses tensors that share storage (tied weights)
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    write_bytes(path, save_safetensors(plain, {_KEY: text}))


def read_tensors(path: str | os.PathLike[str], form: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the description of a file of that form.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, is cut short, or holds something else.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InvalidInputError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        tensors = load_safetensors(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        description = json.loads(header["__metadata__"][_KEY])
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        detail = " ".join(str(error).split())[:100]
        raise InvalidInputError(f"{path} is no file of ours, or is damaged: {type(error).__name__}: {detail}") from None
    if not isinstance(description, dict) or description.get("format") != form or description.get("version") != 1:
        raise InvalidInputError(f"{path} does not hold {form}, version 1")
    return tensors, description
