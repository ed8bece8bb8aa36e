"""Masks: which entries of a network's tensors are kept."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from sslth.errors import InvalidInputError
from sslth.mining.seeds import generator
from sslth.mining.tensor_files import read_tensors, write_tensors
from sslth.mining.top_k import top_k

__all__ = ["Mask"]

_FORM = "sslth-mask"


class Mask(Mapping[str, Tensor]):
    """Names of parameters with bool tensors of their shapes, True for kept; on the CPU, never changed.

    Raises
    ------
    InvalidInputError
        If there is no tensor, or one is not bool or has no entries.

    Examples
    --------
    >>> mask = Mask({"linear.weight": torch.tensor([[True, False], [False, False]])})
    >>> mask.kept, mask.size, mask.keep
    (1, 4, 0.25)
    >>> mask.filters_removed()
    {'linear.weight': 1}
    """

    def __init__(self, entries: Mapping[str, Tensor]) -> None:
        for name, keep in entries.items():
            if keep.dtype is not torch.bool or keep.numel() == 0:
                raise InvalidInputError(f"the mask of {name} is {keep.dtype}{list(keep.shape)}; bool is needed")
        if not entries:
            raise InvalidInputError("a mask needs at least one tensor")
        self._entries = MappingProxyType({name: keep.detach().cpu().clone() for name, keep in entries.items()})

    def __getitem__(self, name: str) -> Tensor:
        return self._entries[name].clone()  # a copy: nobody changes a mask

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return list(self) == list(other) and all(
            torch.equal(keep, other._entries[name]) for name, keep in self._entries.items()
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Mask({self.kept:,} of {self.size:,} entries kept in {len(self)} tensors)"

    @property
    def kept(self) -> int:
        """Entries kept, counted."""
        return sum(int(keep.sum()) for keep in self._entries.values())

    @property
    def size(self) -> int:
        """All entries of the masked tensors."""
        return sum(keep.numel() for keep in self._entries.values())

    @property
    def keep(self) -> float:
        """The share that is kept."""
        return self.kept / self.size

    def counts(self) -> dict[str, int]:
        """Entries kept in each tensor."""
        return {name: int(keep.sum()) for name, keep in self._entries.items()}

    def empty_layers(self) -> list[str]:
        """Tensors of which nothing is kept."""
        return [name for name, count in self.counts().items() if count == 0]

    def filters_removed(self) -> dict[str, int]:
        """For each weight the slices along its first dimension (filters, units) that are gone entirely."""
        return {name: int((~keep.flatten(1).any(1)).sum()) for name, keep in self._entries.items() if keep.dim() >= 2}

    def shuffled(self, seed: int) -> Mask:
        """The same number kept in each tensor, at random places."""
        moved = {}
        for name, keep in self._entries.items():
            order = torch.randperm(keep.numel(), generator=generator(seed, "shuffle", name))
            moved[name] = keep.flatten()[order].reshape(keep.shape)
        return Mask(moved)

    def inverted(self, scores: Mapping[str, Tensor], seed: int) -> Mask:
        """The lowest scores of each tensor, as many as this mask keeps; ties in an order of the seed.

        Raises
        ------
        InvalidInputError
            If a tensor has no scores of its shape.
        """
        worst = {}
        for name, keep in self._entries.items():
            if name not in scores or scores[name].shape != keep.shape:
                raise InvalidInputError(f"there are no scores of the shape of {name} to invert")
            order = torch.randperm(keep.numel(), generator=generator(seed, "ties", name))
            mixed = top_k(-scores[name].detach().cpu().flatten()[order], int(keep.sum()))
            flat = torch.zeros(keep.numel(), dtype=torch.bool)
            flat[order] = mixed
            worst[name] = flat.reshape(keep.shape)
        return Mask(worst)

    def save(self, path: str | os.PathLike[str], **notes: Any) -> None:
        """Write a safetensors file: one bool tensor a parameter, and a JSON description."""
        write_tensors(path, _FORM, self._entries, {"order": list(self), "kept": self.kept, "size": self.size, **notes})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Mask:
        """Read such a file.

        Raises
        ------
        InvalidInputError
            If it cannot be read, is damaged or is no mask.
        """
        tensors, description = read_tensors(path, _FORM)
        order = description.get("order")
        if not isinstance(order, list) or sorted(order) != sorted(tensors):
            raise InvalidInputError(f"{path} does not hold the tensors that it names")
        mask = cls({name: tensors[name] for name in order})
        if mask.kept != description.get("kept"):
            raise InvalidInputError(f"{path} keeps {mask.kept} entries but says {description.get('kept')}")
        return mask
