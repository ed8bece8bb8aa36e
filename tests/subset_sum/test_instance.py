"""An instance that exists is valid, and a file that is not one says so in one line."""

from __future__ import annotations

import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from sslth.errors import InvalidInputError
from sslth.subset_sum.instance import Instance

GOOD = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


def message_of(call, *arguments, **options) -> str:
    with pytest.raises(InvalidInputError) as caught:
        call(*arguments, **options)
    text = str(caught.value)
    assert text
    assert "\n" not in text
    return text


def with_entry(where, value, dtype=float):
    samples = GOOD.astype(dtype)
    samples[where] = value
    return samples


@pytest.mark.parametrize(
    ("samples", "target", "said"),
    [
        (with_entry((2, 1), np.nan), [0, 0], "samples[(2, 1)] is nan"),
        (with_entry((0, 1), np.inf), [0, 0], "samples[(0, 1)] is inf"),
        (with_entry((1, 0), -np.inf), [0, 0], "samples[(1, 0)] is -inf"),
        (GOOD, [0.0, np.nan], "target[1] is nan"),
        (GOOD, [np.inf, 0.0], "target[0] is inf"),
        (np.zeros((0, 2)), [0, 0], "(0, 2)"),
        (np.zeros((2, 0)), [], "(2, 0)"),
        ([], [], "1 dimension"),
        (GOOD, [0, 0, 0], "3 entries but samples have 2 columns"),
        (GOOD, [[0, 0]], "(1, 2)"),
        (GOOD, 1.0, "vector of 2"),
        (GOOD[None], [0, 0], "3 dimensions"),
        (GOOD[0], [0, 0], "1 dimensions"),
        (5.0, 1.0, "0 dimensions"),
        (GOOD.astype(complex), [0, 0], "complex128"),
        (GOOD, [0, 1j], "complex128"),
        (GOOD.astype(str), [0, 0], "samples has dtype <U"),
        (GOOD.astype(object), [0, 0], "dtype object"),
        ([[None, 1.0]], [0, 0], "dtype object"),
        ([[1.0], [1.0, 2.0]], [0], "rectangular"),
        (GOOD.astype("datetime64[s]"), [0, 0], "datetime64"),
        ([[2**53 + 1]], [0], str(2**53 + 1)),
        (np.array([[-(2**63)]]), [0], str(2**63)),
        (GOOD, np.array([0, 2**64 - 1], dtype=np.uint64), str(2**64 - 1)),
        ([[2**70]], [0], "dtype object"),
        (np.full((3, 2), 1e308), [0, 0], "column 0 overflow"),
        ([[0.0, 1e308]], [0, -1e308], "column 1 overflow"),
    ],
)
def test_what_is_not_an_instance_is_refused(samples, target, said):
    assert said in message_of(Instance, samples, target)


@pytest.mark.skipif(np.finfo(np.longdouble).max <= np.finfo(float).max, reason="long double is double here")
def test_long_doubles_that_float64_cannot_hold_are_refused():
    samples = np.array([["1e4000", "1"]]).astype(np.longdouble)
    assert "samples[(0, 0)] is inf" in message_of(Instance, samples, [0, 0])


@pytest.mark.parametrize("name", ["cardinality", "max_cardinality"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (-1, "cannot be negative"),
        (1.0, "1.0"),
        (np.float64(2), "whole number"),
        (True, "True"),
        (np.True_, "True"),
        ("2", "'2'"),
        (np.nan, "nan"),
        ([1], "[1]"),
    ],
)
def test_what_is_not_a_size_is_refused(name, value, said):
    text = message_of(Instance, GOOD, [0, 0], **{name: value})
    assert name in text
    assert said in text


@pytest.mark.parametrize("value", [0, 3, 100, np.int64(2), np.uint8(1)])
def test_any_whole_number_is_a_size(value):
    instance = Instance(GOOD, [0, 0], cardinality=value, max_cardinality=value)
    assert type(instance.cardinality) is type(instance.max_cardinality) is int
    assert instance.cardinality == value
    assert instance.is_feasible == (value <= 3)


@pytest.mark.parametrize(
    ("sizes", "smallest", "largest", "feasible"),
    [
        ({}, 0, 3, True),
        ({"cardinality": 2}, 2, 2, True),
        ({"cardinality": 4}, 4, 3, False),
        ({"max_cardinality": 2}, 0, 2, True),
        ({"max_cardinality": 9}, 0, 3, True),
        ({"cardinality": 2, "max_cardinality": 1}, 2, 1, False),
        ({"cardinality": 1, "max_cardinality": 2}, 1, 1, True),
        ({"cardinality": 0}, 0, 0, True),
    ],
)
def test_the_sizes_that_a_subset_may_have(sizes, smallest, largest, feasible):
    instance = Instance(GOOD, [0, 0], **sizes)
    assert (instance.smallest_size, instance.largest_size) == (smallest, largest)
    assert instance.is_feasible is feasible
    assert repr(instance).startswith("Instance(n=3, d=2")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint64, np.int64, bool])
def test_real_numbers_of_every_kind_become_float64(dtype):
    samples = np.array([[1, 0], [1, 1]], dtype=dtype)
    instance = Instance(samples, samples[0])
    assert instance.samples.dtype == instance.target.dtype == np.float64
    assert instance.samples.tolist() == [[1.0, 0.0], [1.0, 1.0]]


def test_arrays_are_read_only_copies():
    samples, target = GOOD.copy(), np.array([1.0, 2.0])
    instance = Instance(samples, target)
    samples[:] = 0.0
    target[:] = 0.0
    assert instance.samples.tolist() == GOOD.tolist()
    assert instance.target.tolist() == [1.0, 2.0]
    assert samples.flags.writeable
    for array in (instance.samples, instance.target):
        assert array.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0
    with pytest.raises(AttributeError):
        instance.cardinality = 2


def test_a_read_only_array_is_taken_without_a_copy():
    samples = GOOD.copy()
    samples.flags.writeable = False
    assert Instance(samples, [0.0, 0.0]).samples is samples
    view = GOOD.copy()[:]  # somebody else may write to what it shows
    view.flags.writeable = False
    assert Instance(view, [0.0, 0.0]).samples is not view
    single = GOOD.astype(np.float32)
    single.flags.writeable = False
    assert Instance(single, [0.0, 0.0]).samples.dtype == np.float64


@pytest.mark.parametrize("order", ["strided", "fortran", "reversed", "read-only"])
def test_any_memory_layout_is_accepted(order):
    match order:
        case "strided":
            samples = np.repeat(GOOD, 2, axis=0)[::2]
        case "fortran":
            samples = np.asfortranarray(GOOD)
        case "reversed":
            samples = GOOD[::-1].copy()[::-1]
        case _:
            samples = GOOD.copy()
            samples.flags.writeable = False
    instance = Instance(samples, [0, 0])
    assert instance.samples.tolist() == GOOD.tolist()
    assert instance.samples.flags.c_contiguous


def test_one_dimension_may_be_given_flat():
    instance = Instance([1.0, 2.0, 3.0], 2.5)
    assert (instance.n, instance.d) == (3, 1)
    assert instance.target.tolist() == [2.5]


def test_the_largest_exact_integer_and_the_largest_sum_are_accepted():
    assert Instance([[2**53]], [-(2**53)]).samples[0, 0] == 2.0**53
    assert Instance([[np.finfo(float).max]], [0.0]).n == 1
    assert Instance([[5e-324]], [0.0]).samples[0, 0] == 5e-324


# -------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    "sizes", [{}, {"cardinality": 2}, {"max_cardinality": 0}, {"cardinality": 5, "max_cardinality": 3}]
)
@pytest.mark.parametrize("name", ["a.npz", "no_suffix"])
def test_save_and_load_give_the_same_instance(tmp_path, sizes, name):
    samples = np.array([[0.1, -0.0], [1e300, 5e-324]])
    instance = Instance(samples, [1 / 3, -2.5], **sizes)
    instance.save(tmp_path / name)
    loaded = Instance.load(str(tmp_path / name))
    assert loaded.samples.tobytes() == instance.samples.tobytes()
    assert loaded.target.tobytes() == instance.target.tobytes()
    assert loaded.cardinality == instance.cardinality
    assert loaded.max_cardinality == instance.max_cardinality
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).stat().st_mode & 0o600 == 0o600


def test_saving_twice_gives_the_same_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        Instance(GOOD, [0, 0], cardinality=1).save(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_file_made_by_hand_is_read(tmp_path):
    samples = GOOD.astype(np.float32)
    np.savez_compressed(tmp_path / "x.npz", samples=samples, target=np.array([1, 2]), other=[1])
    loaded = Instance.load(tmp_path / "x.npz")
    assert loaded.samples.tolist() == GOOD.tolist()
    assert loaded.cardinality is None


def saved_bytes(tmp_path) -> bytes:
    Instance(GOOD, [0, 0], cardinality=1).save(tmp_path / "good.npz")
    return (tmp_path / "good.npz").read_bytes()


def test_truncated_files_are_refused(tmp_path):
    whole = saved_bytes(tmp_path)
    broken = tmp_path / "broken.npz"
    for length in range(0, len(whole), 7):
        broken.write_bytes(whole[:length])
        assert "broken.npz" in message_of(Instance.load, broken)


def test_flipped_bytes_are_refused_or_harmless(tmp_path):
    whole = saved_bytes(tmp_path)
    broken = tmp_path / "broken.npz"
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 300):
        content = bytearray(whole)
        content[place] ^= int(rng.integers(1, 256))
        broken.write_bytes(bytes(content))
        try:
            loaded = Instance.load(broken)
        except InvalidInputError as error:
            assert "\n" not in str(error)  # noqa: PT017 - either way is right
        else:
            assert loaded.samples.tolist() == GOOD.tolist()


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"PK\x03\x04", b"\x93NUMPY", b"\x00" * 1000, b"a,b\n1,2\n"], ids=range(6)
)
def test_garbage_is_refused(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    assert "x.npz" in message_of(Instance.load, tmp_path / "x.npz")


class Bomb:
    """Sets a flag when it is unpickled."""

    exploded = False

    def __reduce__(self):
        return (setattr, (Bomb, "exploded", True))


def test_pickles_are_refused_unopened(tmp_path):
    hostile = np.empty((1, 1), dtype=object)
    hostile[0, 0] = Bomb()
    np.savez(tmp_path / "inside.npz", samples=hostile, target=np.zeros(1))
    np.save(tmp_path / "alone.npy", hostile)
    (tmp_path / "plain.npz").write_bytes(pickle.dumps(Bomb()))
    for name in ("inside.npz", "alone.npy", "plain.npz"):
        assert name in message_of(Instance.load, tmp_path / name)
    assert not Bomb.exploded


def test_an_archive_whose_header_lies_is_refused(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**40, 2**20)})
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("samples.npy", header.getvalue() + b"\x00" * 64)
        archive.writestr("target.npy", b"not an array")
    assert "x.npz" in message_of(Instance.load, tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"samples": GOOD}, "'target'"),
        ({"target": np.zeros(2)}, "'samples'"),
        ({}, "'samples'"),
        ({"samples": GOOD, "target": np.zeros(3)}, "3 entries"),
        ({"samples": GOOD, "target": np.zeros(2), "cardinality": 1.5}, "one integer"),
        ({"samples": GOOD, "target": np.zeros(2), "cardinality": [1, 2]}, "one integer"),
        ({"samples": GOOD, "target": np.zeros(2), "max_cardinality": True}, "one integer"),
        ({"samples": GOOD, "target": np.zeros(2), "max_cardinality": -3}, "negative"),
        ({"samples": GOOD * np.nan, "target": np.zeros(2)}, "nan"),
    ],
)
def test_archives_that_lack_something_are_refused(tmp_path, arrays, said):
    np.savez(tmp_path / "x.npz", **arrays)
    assert said in message_of(Instance.load, tmp_path / "x.npz")


def test_a_single_array_is_not_an_instance_file(tmp_path):
    np.save(tmp_path / "x.npy", GOOD)
    assert "one array" in message_of(Instance.load, tmp_path / "x.npy")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "nowhere.npz" in message_of(Instance.load, tmp_path / "nowhere.npz")
    assert str(tmp_path) in message_of(Instance.load, tmp_path)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    instance = Instance(GOOD, [0, 0])
    for path in (tmp_path / "missing" / "x.npz", tmp_path / "file" / "x.npz", tmp_path):
        assert str(path) in message_of(instance.save, path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.npz"
    Instance(GOOD, [0, 0]).save(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left" in message_of(Instance(GOOD * 2, [0, 0]).save, path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.npz"]


def test_ctrl_c_while_saving_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.npz"
    Instance(GOOD, [0, 0]).save(path)
    before = path.read_bytes()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Instance(GOOD * 2, [0, 0]).save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.npz"]
