"""A reader of ticket files written from docs/format.md alone: NumPy and the standard library, nothing of ours."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Kernels", "merged_kernels", "read_file"]

TYPES = {"U8": np.uint8, "U32": np.uint32, "F64": np.float64, "F32": np.float32}
LOG = "340E21F3 3FB8AA6A BF38ACA2 3EF5FBA4 BEB7B544 3E9849F3 BE8C1BD1 3E2F3B0E"
CENTRAL = "40194BC0 BE6EFACF BB8DF3FB 399908E5 386FDBCF 3663575C B432384E B330D149 B091E294 2F2F5B0F"
TAIL = "40A23123 BE071F7D BAD23E23 B8206F2F B594FB31 B306B714 B0A41C46 AEA7C122 2BE5EF8F 2AB55DE6"
WINDOWLESS = ("linear", "batch_norm")

Kernels = dict[str, np.ndarray]


# ------------------------------------------------------------------------------------------------- the file


def read_file(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The metadata and the tensors; ValueError if the checksum is wrong."""
    content = Path(path).read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    metadata = json.loads(header.pop("__metadata__")["sslth"])
    stored = metadata["sha256"].encode()
    if hashlib.sha256(content.replace(stored, b"0" * 64, 1)).hexdigest().encode() != stored:
        raise ValueError("the checksum is wrong")
    tensors = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        values = np.frombuffer(content[start + first : start + last], dtype=TYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return metadata, tensors


def numbers(data: np.ndarray, counts: np.ndarray) -> list[list[int]]:
    """The kept filters of every block."""
    stream = iter(data.tolist())
    blocks = []
    for count in counts.tolist():
        block, last = [], -1
        for _ in range(count):
            gap, shift = 0, 0
            while True:
                byte = next(stream)
                gap |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
            last += gap + 1
            block.append(last)
        blocks.append(block)
    return blocks


# ---------------------------------------------------------------------------------------------- the weights


def words(seed: int, c3: int, c2: int, filters: list[int], entries: list[int]) -> np.ndarray:
    """The words of entries `entries` of filters `filters`: uint32[filters, entries]."""
    low = 0xFFFFFFFF
    e, t = np.meshgrid(np.array(entries, dtype=np.uint64), np.array(filters, dtype=np.uint64))
    c = [e >> np.uint64(2), t, np.full_like(e, c2), np.full_like(e, c3)]
    k0, k1 = seed & low, seed >> 32
    mask, half = np.uint64(low), np.uint64(32)
    for _ in range(10):
        p, q = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(q >> half) ^ c[1] ^ np.uint64(k0), q & mask, (p >> half) ^ c[3] ^ np.uint64(k1), p & mask]
        k0, k1 = (k0 + 0x9E3779B9) & low, (k1 + 0xBB67AE85) & low
    chosen = np.select([(e & np.uint64(3)) == i for i in range(4)], c)
    return chosen.astype(np.uint32)


def floats(text: str) -> np.ndarray:
    return np.array([int(bits, 16) for bits in text.split()], dtype=np.uint32).view(np.float32)


def horner(coefficients: np.ndarray, t: np.ndarray) -> np.ndarray:
    total = np.full_like(t, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * t + coefficient
    return total


def normal(w: np.ndarray) -> np.ndarray:
    """float32 normals; every operation is one float32 operation."""
    high = ((w >> np.uint32(16)) & np.uint32(0x7FFF) | np.uint32(0x43800000)).view(np.float32)
    f = (high - np.float32(256.00390625)) + (w & np.uint32(0xFFFF) | np.uint32(0x3B800001)).view(np.float32)
    s = np.float32(1) - f
    v = (f * (np.float32(1) + s)).view(np.int32)
    delta = v - np.int32(0x3F3504F3)
    z = (v - (delta & np.int32(-8388608))).view(np.float32) - np.float32(1)
    log2_v = (delta >> np.int32(23)).astype(np.float32) + horner(floats(LOG), z)
    central = (w & np.uint32(0x7FFFFFFF)) >= 1486848
    y = np.where(
        central,
        horner(floats(CENTRAL), log2_v + np.float32(4.75)),
        horner(floats(TAIL), log2_v + np.float32(20.25)),
    )
    return ((s * y).view(np.uint32) ^ (w & np.uint32(0x80000000))).view(np.float32)


def uniform(w: np.ndarray) -> np.ndarray:
    odd = 2 * (w >> np.uint32(8)).astype(np.int64) + 1 - 2**24
    return (odd / 2**24).astype(np.float32) * np.uint32(0x3FDDB3D7).view(np.float32)


def drawn(metadata: dict[str, Any], layer: dict[str, Any], part: int, block: int, filters: list[int], size: int) -> Any:
    """Entries 0 to size - 1: float32[filters, size]; for V only the entry that the mask leaves."""
    law = uniform if metadata["source"] == "uniform" else normal
    entries = [block] if part == 0 else list(range(size))
    return law(words(metadata["seed"], layer["index"] | part << 16 | 1 << 24, block, filters, entries))


# ------------------------------------------------------------------------------------------------ the sums


def sum_of_block(
    metadata: dict[str, Any], layer: dict[str, Any], parts: tuple[int, int], block: int, filters: list[int], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The sums over the filters with v > 0 and with v < 0 of |v| U / gain: float64[size] each."""
    v = drawn(metadata, layer, parts[0], block, filters, 1)[:, 0].astype(np.float64)
    u = drawn(metadata, layer, parts[1], block, filters, size).astype(np.float64)
    rows = np.abs(v)[:, None] * u
    sides = (rows[v > 0], rows[v < 0])
    return tuple(np.array([math.fsum(column) for column in side.T.tolist()]) / layer["gain"] for side in sides)  # type: ignore[return-value]


def shape_of_weight(layer: dict[str, Any], inputs: int) -> tuple[int, ...]:
    outputs, groups, window = layer["out_channels"], layer["groups"], layer["kernel_size"]
    if layer["kind"] == "linear":
        return (outputs, inputs)
    if layer["kind"] == "batch_norm":
        return (outputs,)
    if layer["kind"].startswith("conv_transpose"):
        return (inputs, outputs // groups, *window)
    return (outputs, inputs // groups, *window)


def put(layer: dict[str, Any], weight: np.ndarray, inputs: int, channel: int, total: np.ndarray) -> None:
    """Set K[:, channel] of a weight for `inputs` input channels."""
    groups, per_output = layer["groups"], layer["out_channels"] // layer["groups"]
    window = layer["kernel_size"]
    block = total.reshape(per_output, *window)
    if layer["kind"].startswith("conv_transpose"):
        weight[channel] = block
        return
    per_group = inputs // groups
    first = channel // per_group * per_output
    view = weight.reshape(layer["out_channels"], per_group, *window)
    view[first : first + per_output, channel % per_group] = block


def merged_kernels(path: str | Path) -> dict[str, Kernels]:
    """By layer: "positive", and where the layer has them "negative", "bias", "taps", float64."""
    metadata, tensors = read_file(path)
    assert (metadata["format"], metadata["generator"]) == ("sslth-ticket", 1)
    assert metadata["version"] in (1, 2)
    assert metadata["source"] in ("normal", "uniform", "kaiming")
    result = {}
    for number, layer in enumerate(metadata["layers"]):
        inputs, outputs, groups = layer["in_channels"], layer["out_channels"], layer["groups"]
        per_output = outputs // groups
        d = per_output * math.prod(layer["kernel_size"])
        blocks = iter(numbers(tensors[f"layers.{number}.kept"], tensors[f"layers.{number}.counts"]))
        kernels = {name: np.zeros(shape_of_weight(layer, inputs)) for name in ("positive", "negative")}
        for channel in range(inputs):
            sides = sum_of_block(metadata, layer, (0, 1), channel, next(blocks), d)
            put(layer, kernels["positive"], inputs, channel, sides[0])
            put(layer, kernels["negative"], inputs, channel, sides[1])
        if layer["nonnegative"]:
            del kernels["negative"]
        if layer["constants"]:
            sums = [sum_of_block(metadata, layer, (4, 2), g, next(blocks), per_output)[0] for g in range(groups)]
            kernels["bias"] = np.concatenate(sums)
        if layer.get("tap_constants", 0):
            kernels["taps"] = np.zeros(shape_of_weight(layer, groups))
            for group in range(groups):
                total = sum_of_block(metadata, layer, (5, 3), group, next(blocks), d)[0]
                put(layer, kernels["taps"], groups, group, layer["tap_value"] * total)
        assert next(blocks, None) is None
        result[layer["name"]] = kernels
    return result
