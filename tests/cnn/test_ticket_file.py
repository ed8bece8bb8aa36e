"""Ticket files: round trips, byte stability, and files that somebody broke, by accident or on purpose."""

from __future__ import annotations

import copy
import errno
import hashlib
import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from torch import nn

import sslth
from sslth.cnn.index_codec import packed, unpacked
from sslth.cnn.kept_filters import KeptFilters, stretches_of
from sslth.cnn.kept_sections import kept_blocks
from sslth.cnn.spool import Spool
from sslth.cnn.tensor_file import TensorFile
from sslth.cnn.ticket_file import sealed, ticket_bytes, ticket_size
from sslth.cnn.ticket_metadata import stays_in
from sslth.errors import InvalidInputError, TicketFileError


@pytest.fixture(scope="module")
def content(ticket: sslth.Ticket) -> bytes:
    return ticket_bytes(ticket)


def parts(content: bytes) -> tuple[dict, dict]:
    size = int.from_bytes(content[:8], "little")
    metadata = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["sslth"])
    return load(content), metadata


def load_from(tmp_path: Path, content: bytes) -> sslth.Ticket:
    path = tmp_path / "ticket.safetensors"
    path.write_bytes(content)
    return sslth.Ticket.load(path)


@torch.no_grad()
def test_round_trip(ticket: sslth.Ticket, tmp_path: Path) -> None:
    path = tmp_path / "ticket.safetensors"
    ticket.save(path)
    loaded = sslth.Ticket.load(path)
    assert loaded.summary() == ticket.summary()
    assert ticket_bytes(loaded) == path.read_bytes() == ticket_bytes(ticket)
    images = torch.rand(4, 1, 8, 8)
    assert torch.equal(loaded.to_module()(images), ticket.to_module()(images))  # rebuilt without the model
    assert torch.equal(loaded.to_module(merged=True)(images), ticket.to_module(merged=True)(images))
    assert [p.name for p in tmp_path.iterdir()] == ["ticket.safetensors"]


def test_a_network_with_its_own_forward_needs_the_model(skipping: nn.Module, tmp_path: Path) -> None:
    x = torch.rand(2, 2, 9, 7)
    ticket = sslth.extract(skipping, x, width=16, progress=False, low=-np.ones((2, 9, 7)), high=1.0)
    ticket.save(tmp_path / "t")
    loaded = sslth.Ticket.load(tmp_path / "t")
    assert loaded.low.shape == (2, 9, 7)
    with pytest.raises(InvalidInputError, match="pass the model"):
        loaded.to_module()
    with torch.no_grad():
        assert torch.equal(loaded.to_module(skipping)(x), ticket.to_module()(x))


def test_one_metadata_key_and_no_weights(content: bytes, ticket: sslth.Ticket) -> None:
    size = int.from_bytes(content[:8], "little")
    assert list(json.loads(content[8 : 8 + size])["__metadata__"]) == ["sslth"]
    assert len(content) < 2 * ticket.kept_filters + 8000


@given(
    st.sets(st.integers(0, 2**32 - 2), max_size=60), st.sets(st.integers(0, 2**32 - 2), max_size=60), st.integers(1, 9)
)
@settings(derandomize=True, deadline=None, max_examples=100)
def test_codec_round_trip(first: set[int], second: set[int], stretch: int) -> None:
    arrays = [np.array(sorted(block), dtype=np.uint32) for block in (first, second - first)]
    data = [b"".join(packed(stretches_of(array, stretch))) for array in arrays]
    for array, whole in zip(arrays, data, strict=True):
        assert whole == b"".join(packed([array]))  # where a stretch ends makes no difference
        pieces = [whole[start : start + stretch] for start in range(0, len(whole), stretch)]
        assert [n for part in unpacked(pieces, 2**32, "x") for n in part.tolist()] == array.tolist()
    one, other = (KeptFilters.of(array) for array in arrays)
    both = one.joined(other)
    assert both.numbers().tolist() == sorted(first | second)
    assert [part.size for part in both.stretches(stretch)][:-1] == [stretch] * ((both.size - 1) // stretch)
    assert np.array_equal(np.concatenate([[], *both.stretches(stretch)]), both)
    assert copy.deepcopy(both).numbers().tolist() == both.numbers().tolist()


def test_numbers_that_are_not_sorted_are_sorted_and_merged_in_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sslth.cnn.kept_filters._STRETCH", 7)
    monkeypatch.setattr("sslth.cnn.kept_filters._CHUNK", 5)
    rng = np.random.default_rng(0)
    numbers = rng.permutation(3000)[:900].astype(np.uint32)
    joined = KeptFilters.of(numbers[:400]).joined(KeptFilters.of(numbers[400:]))
    assert joined.numbers().tolist() == sorted(numbers.tolist())
    assert b"".join(joined.chunks()) == b"".join(packed([np.sort(numbers)]))


def test_a_spool_goes_to_disk_and_says_so_when_that_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sslth.cnn.spool._HELD", 100)
    spool = Spool()
    rng = np.random.default_rng(0)
    arrays = [np.flatnonzero(rng.random(500) < share).astype(np.uint32) for share in (0.05, 0.9, 0.0, 0.5)]
    kept = [KeptFilters.of(array, spool) for array in arrays]
    assert all(np.array_equal(block, array) for block, array in zip(kept, arrays, strict=True))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "pwrite", full)
        with pytest.raises(InvalidInputError, match=r"cannot write kept filters to .*TMPDIR"):
            KeptFilters.of(arrays[1], spool)
    kept.append(KeptFilters.of(arrays[3], spool))  # there is room again
    assert all(np.array_equal(block, array) for block, array in zip(kept, [*arrays, arrays[3]], strict=True))


@pytest.mark.parametrize(
    ("data", "counts", "message"),
    [
        ([5], [2], "announces 2"),
        ([5, 6], [1], "announces 1"),
        ([5, 0x80], [1], "announces 1"),
        ([0x80, 0x80, 0x80, 0x80, 0x80, 0x00], [1], "more than 5 bytes"),
        ([0x80] * 9 + [0x00], [1], "more than 5 bytes"),
        ([0x64], [1], "filter 100 of 100"),
        ([5], [1, 0], "2 blocks"),
        ([], [0, 0], "2 blocks"),
    ],
)
def test_broken_blocks_are_refused(data: list[int], counts: list[int], message: str, tmp_path: Path) -> None:
    with pytest.raises(TicketFileError, match=message):
        blocks_of(data, counts, [100], tmp_path)


def blocks_of(data: list[int], counts: list[int], limits: list[int], tmp_path: Path) -> list[list[int]]:
    path = tmp_path / "blocks"
    path.write_bytes(save({"l.kept": np.array(data, dtype=np.uint8), "l.counts": np.array(counts, dtype=np.uint32)}))
    with path.open("rb") as stream:
        below = [(limit, 1) for limit in limits]
        return [block.numbers().tolist() for block in kept_blocks(TensorFile(stream), "l", below, "x", Spool())]


@pytest.mark.parametrize("piece", [1, 2, 3, 100])
def test_blocks_are_found_wherever_pieces_end(piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sslth.cnn.tensor_file._PIECE", piece)
    data = [3, 0, 0xAB, 0x02, 7, 0, 0, 0xFF, 0x01]
    found = blocks_of(data, [0, 3, 0, 0, 1, 3, 0], [1000] * 7, tmp_path)
    assert found == [[], [3, 4, 304], [], [], [7], [0, 1, 257], []]
    assert blocks_of([], [0, 0], [5, 5], tmp_path) == [[], []]


def test_the_bytes_are_those_of_the_library(content: bytes, ticket: sslth.Ticket, tmp_path: Path) -> None:
    header = 8 + int.from_bytes(content[:8], "little")
    tensors, text = load(content), json.loads(content[8:header])["__metadata__"]
    assert save(tensors, text) == content
    ticket.save(tmp_path / "t")
    assert (tmp_path / "t").read_bytes() == content
    assert ticket_size(ticket) == len(content)
    box = replace(ticket, low=np.zeros(ticket.input_shape), high=np.ones(ticket.input_shape))
    boxed = ticket_bytes(box)
    assert save(load(boxed), json.loads(boxed[8 : 8 + int.from_bytes(boxed[:8], "little")])["__metadata__"]) == boxed
    assert ticket_size(box) == len(boxed)


def with_header(content: bytes, change: Callable[[dict], object]) -> bytes:
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h["layers.0.kept"].update(data_offsets=[0, 4]), "another size"),
        (lambda h: h["layers.0.counts"]["data_offsets"].reverse(), "another size"),
        (lambda h: h["layers.0.kept"].update(shape=[-1]), "no list of whole numbers"),
        (lambda h: h["layers.0.kept"].update(shape=[True]), "no list of whole numbers"),
        (lambda h: h["layers.0.kept"].update(dtype="F16"), "another type"),
        (lambda h: h["layers.0.kept"].update(more=1), "not described"),
        (lambda h: h.update({"layers.0.kept": 5}), "not described"),
        (lambda h: h.update({"again": h["layers.0.kept"]}), "overlap"),
        (lambda h: h.pop("layers.0.counts"), "overlap|speaks of"),
        (lambda h: h.update({"__metadata__": {"sslth": 5}}), "not texts"),
        (lambda h: h["layers.0.counts"].update(shape=[2**62, 2**62]), "another size"),
        (lambda h: h["layers.0.counts"].update(shape=[2**62] * 100_000), "100000 axes"),  # takes minutes to multiply
    ],
)
def test_broken_headers_are_refused(
    content: bytes, tmp_path: Path, change: Callable[[dict], object], message: str
) -> None:
    with pytest.raises(TicketFileError, match=message):
        load_from(tmp_path, with_header(content, change))


def test_missing_empty_and_foreign_files(tmp_path: Path, trained: nn.Module) -> None:
    from safetensors.torch import save as save_torch

    with pytest.raises(TicketFileError, match="cannot read the ticket"):
        sslth.Ticket.load(tmp_path / "nothing")
    with pytest.raises(TicketFileError, match="cannot read the ticket"):
        sslth.Ticket.load(tmp_path)
    for foreign in (b"", b"PK\x03\x04", save_torch(trained.state_dict()), os.urandom(1000)):
        with pytest.raises(TicketFileError) as caught:
            load_from(tmp_path, foreign)
        assert "\n" not in str(caught.value)


def test_every_truncation_is_refused(content: bytes, tmp_path: Path) -> None:
    for size in [*range(0, 200, 7), *range(200, len(content), max(1, len(content) // 60)), len(content) - 1]:
        with pytest.raises(TicketFileError):
            load_from(tmp_path, content[:size])


def test_every_flipped_bit_is_found(content: bytes, tmp_path: Path) -> None:
    rng = random.Random(1)
    for place in (*range(8), *(rng.randrange(len(content)) for _ in range(300)), len(content) - 1):
        broken = bytearray(content)
        broken[place] ^= 1 << rng.randrange(8)
        with pytest.raises(TicketFileError) as caught:
            load_from(tmp_path, bytes(broken))
        assert "\n" not in str(caught.value)


def test_the_checksum_is_sha256_of_the_file_with_zeros_in_its_place(content: bytes) -> None:
    _, metadata = parts(content)
    stored = metadata["sha256"].encode()
    assert content.count(stored) == 1
    assert hashlib.sha256(content.replace(stored, b"0" * 64)).hexdigest().encode() == stored
    assert sealed(content) == content


def sealed_if_readable(content: bytes) -> bytes:
    """With the checksum of what somebody made of the file, so that only the checks behind it can refuse it."""
    try:
        return sealed(content)
    except (TicketFileError, ValueError, AttributeError, RecursionError):
        return content


def test_flipped_bytes_never_crash(content: bytes, tmp_path: Path) -> None:
    """A changed file either loads as another valid ticket or is refused in one line; nothing else may happen."""
    rng = random.Random(0)
    header = 8 + int.from_bytes(content[:8], "little")
    refused: list[str] = []
    for trial in range(600):
        broken = bytearray(content)
        for _ in range(rng.choice((1, 1, 1, 4, 30))):
            place = rng.randrange(header if trial % 3 else len(broken))
            broken[place] = rng.randrange(256)
        try:
            load_from(tmp_path, sealed_if_readable(bytes(broken)))
        except TicketFileError as error:
            refused.append(str(error))
    assert len(refused) > 300
    assert not any("\n" in message for message in refused)


def edited(content: bytes, **changes: object) -> bytes:
    tensors, metadata = parts(content)
    for key, value in changes.items():
        if key.startswith("layer_"):
            metadata["layers"][0][key.removeprefix("layer_")] = value
        else:
            metadata[key] = value
    return sealed_text(tensors, json.dumps(metadata))


def sealed_text(tensors: dict, text: str) -> bytes:
    return sealed_if_readable(save(tensors, {"sslth": text}))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "other"},
        {"version": 2},
        {"generator": 0},
        {"seed": -1},
        {"seed": 2**64},
        {"seed": "0"},
        {"width": 0},
        {"layers": []},
        {"layers": {}},
        {"input_shape": [0]},
        {"input_shape": "8"},
        {"low": "x"},
        {"low": [0.0]},
        {"settings": []},
        {"source": "gaussian"},
        {"source": None},
        {"source": {"sha256": 5}},
        {"sha256": None},
        {"network": [["conv1", "eval", {}]]},
        {"network": [["conv1", "ReLU", {"x": 1}]]},
        {"network": [["a.b", "layer", {}]]},
        {"network": [["a", "layer", {}], ["a", "layer", {}]]},
        {"network": [["a", "MaxPool2d", {"kernel_size": {}}]]},
        {"layer_kind": "conv9d"},
        {"layer_gain": -1.0},
        {"layer_gain": 1e999},
        {"layer_gain": "2"},
        {"layer_in_channels": 0},
        {"layer_in_channels": 5},
        {"layer_groups": 3},
        {"layer_index": 70000},
        {"layer_constants": -1},
        {"layer_constants": 1},
        {"layer_padding": [1]},
        {"layer_padding_mode": "magic"},
        {"layer_kernel_size": [3, -1]},
        {"layer_nonnegative": 1},
        {"layer_width": 2**40},
        {"layer_width": 1},
        {"layer_name": "conv2"},
        {"layer_name": "conv\x1b[2J1"},
        {"layer_out_channels": 2**31},
        {"layer_out_channels": 2**24},
        {"layer_kernel_size": [2**31, 2**31]},
        {"layer_padding": "same", "layer_stride": [2, 2]},
        {"layer_kind": "linear"},
        {"layer_bias": False},
        {"layer_gain": 1e-320},
        {"layer_index": 1},
        {"layer_stride": [9, 9]},
        {"width": 4},
        {"low": 2.0},
        {"input_shape": [2**31, 2**31, 2**31]},
        {"input_shape": [3, 8, 8]},
        {"settings": {"x": float("inf")}},
        {"settings": {"x": "\ud800"}},
        {"network": [["conv1", "layer", {}]]},
        {"network": [["linear", "layer", {}], ["conv2", "layer", {}], ["conv1", "layer", {}]]},
    ],
)
def test_hostile_metadata_is_refused(content: bytes, tmp_path: Path, changes: dict) -> None:
    with pytest.raises(TicketFileError) as caught:
        load_from(tmp_path, edited(content, **changes))
    assert "\n" not in str(caught.value)


def test_a_layer_of_more_blocks_than_memory_holds_is_refused(content: bytes, tmp_path: Path) -> None:
    one = {"layer_kernel_size": [1, 1], "layer_out_channels": 1, "layer_groups": 1, "network": None}
    with pytest.raises(TicketFileError, match=r"blocks; its shape asks for 21474836\d\d"):
        load_from(tmp_path, edited(content, layer_in_channels=2**31, **one))


def test_deep_nesting_is_refused(content: bytes, tmp_path: Path) -> None:
    inner: list = []
    for _ in range(200):
        inner = [["a", "Sequential", inner]]
    with pytest.raises(TicketFileError):
        load_from(tmp_path, edited(content, network=inner))


def test_extra_and_missing_tensors(content: bytes, tmp_path: Path) -> None:
    tensors, metadata = parts(content)
    text = json.dumps(metadata)
    with pytest.raises(TicketFileError, match=r"layers\.1\.kept"):
        load_from(tmp_path, sealed_text({k: v for k, v in tensors.items() if k != "layers.1.kept"}, text))
    with pytest.raises(TicketFileError, match="extra"):
        load_from(tmp_path, sealed_text({**tensors, "extra": np.zeros(1)}, text))
    with pytest.raises(TicketFileError, match="another type"):
        load_from(tmp_path, sealed_text({**tensors, "layers.0.kept": np.zeros(1)}, text))


def test_no_folder_no_half_written_file(ticket: sslth.Ticket, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot write"):
        ticket.save(tmp_path / "missing" / "ticket.safetensors")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInputError, match="cannot write"):
        ticket.save(tmp_path / "file" / "ticket.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_hostile_descriptions_are_refused_before_anything_is_allocated(content: bytes, tmp_path: Path) -> None:
    _, metadata = parts(content)
    first, second = metadata["network"][:3], metadata["network"][3:]
    for kind, arguments in (
        ("AdaptiveAvgPool2d", {"output_size": [100_000, 100_000]}),
        ("AdaptiveAvgPool2d", {"output_size": "abc"}),
        ("ZeroPad2d", {"padding": 10**6}),
        ("Softmax", {"dim": 99}),
        ("MaxPool2d", {"kernel_size": 0, "stride": 1, "padding": 0, "dilation": 1, "ceil_mode": False}),
    ):
        with pytest.raises(TicketFileError) as caught:
            load_from(tmp_path, edited(content, network=[*first, ["new", kind, arguments], *second]))
        assert "\n" not in str(caught.value)


@torch.no_grad()
@pytest.mark.parametrize("changed", ["0.weight", "1.weight", "2.weight", "mean"])
def test_what_stays_tells_networks_apart(changed: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.PReLU(8), nn.LayerNorm(8), nn.Linear(8, 3)).eval()
    model.register_buffer("mean", torch.rand(4))
    ticket = sslth.extract(model, torch.rand(9, 4), width=64, carry_over={"2"}, progress=False)
    ticket.save(tmp_path / "t.safetensors")
    loaded = sslth.Ticket.load(tmp_path / "t.safetensors")
    assert loaded.stays == ticket.stays
    assert loaded.names_that_stay == loaded.summary()["stays"] == ["1.weight", "mean"]
    assert sslth.certify(loaded, model).same_target
    values = dict([*model.named_parameters(), *model.named_buffers()])[changed]
    values[0] += 0.5
    assert sslth.certify(loaded, model).same_target is False


@pytest.mark.parametrize(
    "stays",
    [[], {}, {"names": ["a"]}, {"names": [3], "sha256": ""}, {"names": [], "sha256": 3}, {"names": "a", "b": 1}],
)
def test_what_stays_must_be_names_and_a_checksum(stays: object) -> None:
    with pytest.raises(TicketFileError, match=r"stays|names|sha256"):
        stays_in({"stays": stays})
