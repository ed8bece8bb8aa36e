"""The Triton kernel of random rows: its arithmetic on arrays, in Triton's interpreter if there is one; the switch."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from sslth.cnn import torch_weights, triton_draw
from sslth.errors import InvalidInputError
from sslth.subset_sum.kernels.normal import normals_of_words
from sslth.subset_sum.random_weights import Part, counter_word

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
without_triton = pytest.mark.skipif(find_spec("triton") is not None, reason="with Triton its own interpreter is used")
SEED = 0xF00DFACE12345678

# rows of two blocks in Triton's interpreter, on the CPU, against the torch path
INTERPRETED = f"""
import torch
from sslth.cnn import torch_weights, triton_draw
words, channels = torch.tensor([65543, 65544]), torch.tensor([2**31 + 3, 0])
filters = torch.tensor([[0, 5, 2**32 - 1], [7, 8, 123456]])
for d in (1, 4, 37, 700):
    found = triton_draw.draw_many_rows({SEED}, words, channels, filters, d)
    expected = torch_weights.draw_many_rows({SEED}, words, channels, filters, d)
    assert torch.equal(found.view(torch.int32), expected.view(torch.int32)), d
"""


@needs_triton
def test_rows_in_tritons_interpreter() -> None:
    subprocess.run([sys.executable, "-c", INTERPRETED], check=True, env={**os.environ, "TRITON_INTERPRET": "1"})


@pytest.mark.skipif(not torch.cuda.is_available() or find_spec("triton") is None, reason="there is no GPU with Triton")
@pytest.mark.parametrize("d", [1, 37, 144])
def test_rows_on_a_gpu(d: int) -> None:
    words, channels = torch.tensor([65543, 65544]), torch.tensor([2**31 + 3, 0])
    filters = torch.arange(20_000).reshape(2, -1)
    found = triton_draw.draw_many_rows(SEED, words.cuda(), channels.cuda(), filters.cuda(), d)
    expected = torch_weights.draw_many_rows(SEED, words, channels, filters, d)
    assert torch.equal(found.cpu().view(torch.int32), expected.view(torch.int32))


# ---------------------------------------------------------------- arrays in the place of Triton's tensors


class Block(np.ndarray):
    """An array with the conversions of a Triton tensor."""

    def to(self, dtype, bitcast=False):
        return self.view(dtype) if bitcast else self.astype(dtype)


class Pointer:
    """A place in memory, or a block of places."""

    def __init__(self, memory, places=0):
        self.memory, self.places = memory, places

    def __add__(self, offset):
        return Pointer(self.memory, self.places + np.asarray(offset))


class Language:
    """As much of `triton.language` as the kernel uses, for one program."""

    int32, int64, uint32, uint64, float32 = np.int32, np.int64, np.uint32, np.uint64, np.float32
    static_range = staticmethod(range)

    def __init__(self, program):
        self.program = program

    def program_id(self, axis):
        assert axis == 0
        return np.array([self.program]).view(Block)

    def arange(self, start, stop):
        return np.arange(start, stop).view(Block)

    def where(self, condition, one, other):  # a number is a float32 in Triton
        one, other = (np.float32(value) if isinstance(value, float) else value for value in (one, other))
        return np.where(condition, one, other).view(Block)

    def load(self, pointer, mask=None, other=None):
        places = np.atleast_1d(pointer.places)
        mask = np.ones(places.shape, dtype=bool) if mask is None else np.asarray(mask)
        values = np.full(places.shape, other or 0, dtype=pointer.memory.dtype)
        values[mask] = pointer.memory[places[mask]]
        return values.view(Block)

    def store(self, pointer, values, mask):
        assert values.dtype == pointer.memory.dtype
        pointer.memory[np.asarray(pointer.places)[mask]] = np.asarray(values)[mask]


def on_arrays(monkeypatch, function, *arguments, program=0, **options):
    """A kernel as Python runs it; integers wrap around as on a GPU."""
    monkeypatch.setattr(triton_draw, "tl", Language(program))
    with np.errstate(over="ignore"):
        return function(*arguments, **options)


@without_triton
def test_normals_of_words_on_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    edges = [0, 1, 1486847, 1486848, 2**31 - 1, 2**31, 2**31 + 1486847, 2**32 - 1]
    words = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint32)
    words = np.concatenate([words, np.array(edges, dtype=np.uint32)])
    expected = np.empty(words.size, dtype=np.float32)
    normals_of_words(words, expected, words.size)
    found = np.asarray(on_arrays(monkeypatch, triton_draw._normal, words.view(Block)))
    assert found.dtype == np.float32
    assert np.array_equal(found.view(np.uint32), expected.view(np.uint32))


@without_triton
@pytest.mark.parametrize("d", [1, 4, 37])
@pytest.mark.parametrize("seed", [0, SEED, 2**64 - 1])
def test_rows_on_arrays(seed: int, d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.array([counter_word(7, Part.U), counter_word(0, Part.BIAS_U)])
    channels = np.array([2**31 + 3, 0])
    filters = np.array([[0, 5, 2**32 - 1], [7, 8, 123_456]])
    tensors = [torch.from_numpy(values) for values in (words, channels, filters)]
    expected = torch_weights.draw_many_rows(seed, *tensors, d).numpy()
    rows = np.full(expected.size + 3, 99.0, dtype=np.float32)
    key = np.array([seed & 0xFFFFFFFF, seed >> 32])
    groups = (d + 3) // 4
    pointers = [Pointer(memory) for memory in (key, words, channels, filters.ravel(), rows)]
    for program in range(-(-6 * groups // 16)):
        sizes = (3, d, groups, 6 * groups)
        on_arrays(monkeypatch, triton_draw._draw, *pointers, *sizes, program=program, BLOCK=16)
    assert np.array_equal(rows[:-3].view(np.uint32), expected.ravel().view(np.uint32))
    assert rows[-3:].tolist() == [99.0] * 3


# ---------------------------------------------------------------- the switch


def test_the_kernel_is_off_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    monkeypatch.setattr(triton_draw, "triton", object())
    for value, wanted in ((None, False), ("0", False), ("1", True)):
        monkeypatch.delenv("SSLTH_TRITON", raising=False)
        if value is not None:
            monkeypatch.setenv("SSLTH_TRITON", value)
        assert triton_draw.is_wanted(gpu) is wanted
        assert not triton_draw.is_wanted(torch.device("cpu"))


def test_a_kernel_that_is_asked_for_but_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_draw, "triton", None)
    monkeypatch.setenv("SSLTH_TRITON", "1")
    with pytest.raises(InvalidInputError, match="triton is not installed"):
        triton_draw.is_wanted(torch.device("cuda"))


def test_rows_come_from_the_kernel_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(triton_draw, "is_wanted", lambda where: asked.append(where.type) or True)
    monkeypatch.setattr(triton_draw, "draw_many_rows", lambda *arguments: arguments)
    arguments = (1, torch.tensor([2]), torch.tensor([3]), torch.tensor([[4]]), 5)
    assert torch_weights.draw_many_rows(*arguments) == arguments
    assert asked == ["cpu"]
