"""Speeds of a torch device: copy, matrix product, the generator of random weights, the search of many blocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.virtual_width import aim
from sslth.cnn.layers import Layer, Wiring
from sslth.cnn.plan import Task, search_all
from sslth.cnn.random_layer import RandomLayer
from sslth.cnn.search import TiledSearch
from sslth.cnn.torch_weights import draw_many_rows
from sslth.subset_sum.random_weights import Part, counter_word

__all__ = ["Draw", "SearchSpeed", "copy_speed", "draw_speed", "matrix_speed", "search_speed", "synchronise"]

_REPEATS = 5
_D = 64

Draw = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]
"""`draw_many_rows`, by torch or by Triton."""


def synchronise(where: torch.device) -> None:
    """Wait until the device has done all it was asked for."""
    if where.type == "cuda":
        torch.cuda.synchronize(where)


def seconds(work: Callable[[], object], where: torch.device, repeats: int = _REPEATS) -> float:
    """The quickest of some runs, after one that does not count."""
    spent = []
    for _ in range(repeats + 1):
        synchronise(where)
        started = time.perf_counter()
        work()
        synchronise(where)
        spent.append(time.perf_counter() - started)
    return min(spent[1:])


def copy_speed(where: torch.device, numbers: int) -> float:
    """Bytes a second, read and written, of a copy of so many float32."""
    source, copy = torch.zeros(numbers, device=where), torch.empty(numbers, device=where)
    return 8 * numbers / seconds(lambda: copy.copy_(source), where)


def matrix_speed(where: torch.device, side: int) -> float:
    """Float32 operations a second of a product of square matrices."""
    left, right = torch.ones((side, side), device=where), torch.ones((side, side), device=where)
    out = torch.empty((side, side), device=where)
    return 2 * side**3 / seconds(lambda: torch.mm(left, right, out=out), where)


def draw_speed(where: torch.device, normals: int, draw: Draw = draw_many_rows) -> tuple[float, float]:
    """Random weights a second: ours, and torch.randn's, which are another sequence."""
    filters = torch.arange(normals // _D, device=where)[None]
    word, block = torch.tensor([counter_word(0, Part.U)], device=where), torch.zeros(1, dtype=torch.int64, device=where)
    buffer = torch.empty(normals, device=where)
    ours = seconds(lambda: draw(0, word, block, filters, _D), where)
    return filters.numel() * _D / ours, normals / seconds(lambda: buffer.normal_(), where)


class SearchSpeed(NamedTuple):
    """Nanoseconds an entry of a row, drawing included, and whether both kept the same filters."""

    device: float
    kernel: float
    same: bool


def search_speed(where: torch.device, blocks: int, width: int, d: int) -> SearchSpeed:
    """Search blocks on the device and with the compiled kernels on one core, each once more to warm up."""
    layer = Layer("layer", 0, Wiring("linear", blocks, d, False), width, 0, True, 1.0)
    tasks = [Task(block, 1, aim(width, d, block.channel)) for block in RandomLayer(0, layer).channels]
    found, spent = [], []
    for device in (str(where), None):
        solver = replace(TiledSearch(), device=device)
        list(search_all(tasks[:1], solver, None, 1))
        synchronise(where)
        started = time.perf_counter()
        found.append(dict(search_all(tasks, solver, None, 1)))
        synchronise(where)
        spent.append(1e9 * (time.perf_counter() - started) / (blocks * width * d))
    same = all(np.array_equal(found[0][number], found[1][number]) for number in range(blocks))
    return SearchSpeed(spent[0], spent[1], same)
