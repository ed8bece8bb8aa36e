"""Independent random streams from one seed: each use of randomness names itself, so that no order matters."""

from __future__ import annotations

import hashlib

import torch

__all__ = ["generator", "stream"]


def stream(seed: int, *names: object) -> int:
    """A seed in [0, 2^63) for the use of randomness that `names` names.

    Examples
    --------
    >>> stream(0, "batches", 1) == stream(0, "batches", 1) != stream(0, "batches", 2)
    True
    """
    text = "\0".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(seed: int, *names: object) -> torch.Generator:
    """A generator on the CPU for that stream, so that draws do not depend on the device."""
    return torch.Generator().manual_seed(stream(seed, *names))
