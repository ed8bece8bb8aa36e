"""The Triton kernel of random rows: bit for bit in Triton's interpreter, what its compiler makes of it, the switch.

This file run as a script, with TRITON_INTERPRET=1, does the interpreter's part in a process of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from triton_tools import fused_multiply_adds, needs_triton, run_in_the_interpreter

from sslth.cnn import torch_weights, triton_draw
from sslth.errors import InvalidInputError
from sslth.subset_sum.kernels.normal import normals_of_words
from sslth.subset_sum.random_weights import Part, counter_word

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None

SEED = 0xF00DFACE12345678
SEEDS = [0, SEED, 2**64 - 1]
DIMENSIONS = [1, 4, 37, 700]
EDGES = [0, 1, 1486847, 1486848, 2**31 - 1, 2**31, 2**31 + 1486847, 2**32 - 1]  # of the sign, of the tail
NEAR_THE_TAIL = np.arange(1486848 - 300, 1486848 + 300)
WORDS = np.concatenate([np.random.default_rng(0).integers(0, 2**32, 100_000), EDGES, NEAR_THE_TAIL]).astype(np.int64)
GUARD = 99.0


def two_blocks() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Words, channels and filters of two blocks, up to the largest numbers there are."""
    words = torch.tensor([counter_word(7, Part.U), counter_word(0, Part.BIAS_U)])
    return words, torch.tensor([2**31 + 3, 0]), torch.tensor([[0, 5, 2**32 - 1], [7, 8, 123_456]])


# ---------------------------------------------------------------- in Triton's interpreter

if triton is not None:

    @triton.jit
    def normals_kernel(words, normals, count, BLOCK: tl.constexpr):
        place = tl.arange(0, BLOCK)
        word = tl.load(words + place, mask=place < count, other=0).to(tl.uint32)
        tl.store(normals + place, triton_draw.normals_of(word), mask=place < count)


def interpret(file: str) -> None:
    """Run the kernels, and write what they made."""
    words, normals = torch.from_numpy(WORDS), torch.full((WORDS.size + 3,), GUARD)
    normals_kernel[(1,)](words, normals, WORDS.size, BLOCK=1 << 17)
    found = {"normals": normals}
    for seed in SEEDS:
        for d in DIMENSIONS:
            found[f"{seed} {d}"] = triton_draw.draw_many_rows(seed, *two_blocks(), d)
    found["guarded"] = torch.full((6 * 37 + 3,), GUARD)  # by programs so small that the last one is not full
    key, groups = torch.tensor([SEED & 0xFFFFFFFF, SEED >> 32]), 10
    triton_draw._draw[(4,)](key, *two_blocks(), found["guarded"], 3, 37, groups, 6 * groups, BLOCK=16)
    np.savez(file, **{name: tensor.numpy() for name, tensor in found.items()})


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, npt.NDArray[np.float32]]:
    return run_in_the_interpreter(__file__, tmp_path_factory.mktemp("triton"))


@needs_triton
def test_normals_in_tritons_interpreter(interpreted: dict[str, npt.NDArray[np.float32]]) -> None:
    expected = np.full(WORDS.size + 3, GUARD, dtype=np.float32)
    normals_of_words(WORDS.astype(np.uint32), expected, WORDS.size)
    assert interpreted["normals"].dtype == np.float32
    assert np.array_equal(interpreted["normals"].view(np.uint32), expected.view(np.uint32))


@needs_triton
@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("seed", SEEDS)
def test_rows_in_tritons_interpreter(seed: int, d: int, interpreted: dict[str, npt.NDArray[np.float32]]) -> None:
    expected = torch_weights.draw_many_rows(seed, *two_blocks(), d).numpy()
    found = interpreted[f"{seed} {d}"]
    assert found.shape == expected.shape == (2, 3, d)
    assert np.array_equal(found.view(np.uint32), expected.view(np.uint32))


@needs_triton
def test_nothing_is_written_behind_the_rows(interpreted: dict[str, npt.NDArray[np.float32]]) -> None:
    assert np.array_equal(interpreted["guarded"][:-3], interpreted[f"{SEED} 37"].ravel())
    assert interpreted["guarded"][-3:].tolist() == [GUARD] * 3


# ---------------------------------------------------------------- as Triton's compiler and a GPU see it


@needs_triton
def test_the_compiler_fuses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fused multiply-add rounds differently; compiled for a GPU that need not be there."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    numbers = dict.fromkeys(("k", "d", "groups", "total"), "i32")
    places = dict.fromkeys(("key", "words", "channels", "filters"), "*i64")
    made = triton_draw._draw, {**places, "rows": "*fp32", **numbers}, {"BLOCK": triton_draw._BLOCK}
    assert fused_multiply_adds(*made, triton_draw.OPTIONS) == 0
    assert fused_multiply_adds(*made, {"enable_fp_fusion": True}) > 0  # so that the count would have seen one


@pytest.mark.skipif(not torch.cuda.is_available() or triton is None, reason="there is no GPU with Triton")
@pytest.mark.parametrize("d", [1, 37, 144])
def test_rows_on_a_gpu(d: int) -> None:
    words, channels = torch.tensor([65543, 65544]), torch.tensor([2**31 + 3, 0])
    filters = torch.arange(20_000).reshape(2, -1)
    where = torch.device("cuda", torch.cuda.device_count() - 1)  # not always the current one
    found = triton_draw.draw_many_rows(SEED, words.to(where), channels.to(where), filters.to(where), d)
    expected = torch_weights.draw_many_rows(SEED, words, channels, filters, d)
    assert torch.equal(found.cpu().view(torch.int32), expected.view(torch.int32))


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


if __name__ == "__main__":
    interpret(sys.argv[1])
