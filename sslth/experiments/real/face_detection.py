"""The face detector around MTCNN's three networks: pyramid, box regression, non-maximum suppression."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Faces", "crops", "detect_faces", "non_maximum_suppression", "normalised", "pyramid_scales"]

FloatArray = npt.NDArray[np.float64]
Proposer = Callable[[Tensor], tuple[Tensor, Tensor]]
Refiner = Callable[[Tensor], tuple[Tensor, Tensor]]
Decider = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]

WINDOW, STRIDE = 12, 2  # of P-Net, in pixels of the scaled picture
_SHRINK = 0.709  # about half the area a step
_THRESHOLDS = (0.6, 0.7, 0.7)
_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Faces:
    """What was found in a picture, the surest first.

    Attributes
    ----------
    boxes : float64[faces, 4]
        Left, top, right, bottom in pixels.
    scores : float64[faces]
        Probability that it is a face.
    landmarks : float64[faces, 5, 2]
        x and y of the eyes, the nose and the ends of the mouth.
    proposals : tuple of int
        How many boxes P-Net and R-Net left.
    """

    boxes: FloatArray
    scores: FloatArray
    landmarks: FloatArray
    proposals: tuple[int, int]


def normalised(pixels: Tensor) -> Tensor:
    """Pixels from 0 to 255 as the networks expect them: (x - 127.5) / 128, within 127.5 / 128 of zero."""
    return (pixels - 127.5) / 128.0


def pyramid_scales(height: int, width: int, smallest: float) -> list[float]:
    """The scales at which a face of `smallest` pixels, and larger ones step by step, fill a 12x12 window.

    Examples
    --------
    >>> [round(scale, 3) for scale in pyramid_scales(60, 80, smallest=24)]
    [0.5, 0.354, 0.251]
    """
    scales = []
    scale = WINDOW / smallest
    while min(height, width) * scale >= WINDOW:
        scales.append(scale)
        scale *= _SHRINK
    return scales


def non_maximum_suppression(
    boxes: FloatArray, scores: FloatArray, threshold: float, *, of_smaller: bool = False
) -> npt.NDArray[np.int64]:
    """The boxes that stay, the surest first: each removes those that overlap it by more than the threshold.

    Parameters
    ----------
    boxes : float64[m, 4]
        Left, top, right, bottom.
    scores : float64[m]
        Ties go to the earlier box.
    threshold : float
    of_smaller : bool
        Measure overlap as a share of the smaller box; of the union otherwise.

    Returns
    -------
    int64[kept]

    Notes
    -----
    Cost O(m kept).
    """
    left, top, right, bottom = boxes.T
    areas = (right - left) * (bottom - top)
    waiting = np.argsort(-scores, kind="stable")
    kept = []
    while waiting.size:
        best, others = waiting[0], waiting[1:]
        kept.append(int(best))
        across = np.minimum(right[best], right[others]) - np.maximum(left[best], left[others])
        down = np.minimum(bottom[best], bottom[others]) - np.maximum(top[best], top[others])
        shared = np.clip(across, 0.0, None) * np.clip(down, 0.0, None)
        whole = np.minimum(areas[best], areas[others]) if of_smaller else areas[best] + areas[others] - shared
        waiting = others[shared <= threshold * whole]
    return np.array(kept, dtype=np.int64)


def crops(pixels: Tensor, boxes: FloatArray, size: int) -> Tensor:
    """The boxes of a picture, each scaled to size x size: float32[boxes, 3, size, size], black outside the picture.

    Boxes are rounded to whole pixels. `pixels` is float32[1, 3, height, width].
    """
    height, width = pixels.shape[2:]
    parts = []
    for left, top, right, bottom in np.round(boxes).astype(int).tolist():
        right, bottom = max(right, left + 1), max(bottom, top + 1)
        inside = pixels[:, :, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        sides = [max(-left, 0), max(right - width, 0), max(-top, 0), max(bottom - height, 0)]
        if inside.numel() == 0:
            inside, sides = pixels.new_zeros((1, 3, bottom - top, right - left)), [0, 0, 0, 0]
        parts.append(_scaled(F.pad(inside, sides), size, size))
    return torch.cat(parts) if parts else pixels.new_zeros((0, 3, size, size))


@torch.no_grad()
def detect_faces(
    image: npt.NDArray[np.float32],
    propose: Proposer,
    refine: Refiner,
    decide: Decider,
    *,
    smallest: float = 40.0,
) -> Faces:
    """Find the faces in a picture by the cascade of [ZhangEtAl2016]_: propose, refine, decide.

    Parameters
    ----------
    image : float32[height, width, 3]
        Red, green, blue, 0 to 255.
    propose, refine, decide
        P-Net, R-Net and O-Net, or what stands for them.
    smallest : float
        Side of the smallest face to look for, in pixels.

    Returns
    -------
    Faces
    """
    pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
    boxes = _proposals(pixels, propose, smallest)
    proposed = len(boxes)
    scores, offsets, _ = _judged(refine, normalised(crops(pixels, boxes, 24)))
    boxes, scores, offsets, _ = _above(_THRESHOLDS[1], boxes, scores, offsets)
    staying = non_maximum_suppression(boxes, scores, 0.7)
    boxes = _squared(_moved(boxes[staying], offsets[staying]))
    refined = len(boxes)
    scores, offsets, shares = _judged(decide, normalised(crops(pixels, boxes, 48)))
    boxes, scores, offsets, shares = _above(_THRESHOLDS[2], boxes, scores, offsets, shares)
    sides = np.stack([boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]], axis=1)
    landmarks = boxes[:, None, :2] + shares.reshape(-1, 2, 5).transpose(0, 2, 1) * sides[:, None]
    boxes = _moved(boxes, offsets)
    staying = non_maximum_suppression(boxes, scores, 0.7, of_smaller=True)
    return Faces(boxes[staying], scores[staying], landmarks[staying], (proposed, refined))


def _proposals(pixels: Tensor, propose: Proposer, smallest: float) -> FloatArray:
    """P-Net over the pyramid: square boxes."""
    height, width = pixels.shape[2:]
    found = []
    for scale in pyramid_scales(height, width, smallest):
        small = _scaled(pixels, math.ceil(height * scale), math.ceil(width * scale))
        logits, offsets = propose(normalised(small))
        scores = torch.softmax(logits[0].double(), dim=0)[1].numpy()
        rows, columns = np.nonzero(scores >= _THRESHOLDS[0])
        corner = STRIDE * np.stack([columns, rows], axis=1)
        boxes = np.concatenate([corner, corner + WINDOW], axis=1) / scale
        moves = offsets[0].double().numpy()[:, rows, columns].T
        staying = non_maximum_suppression(boxes, scores[rows, columns], 0.5)
        found.append((boxes[staying], scores[rows, columns][staying], moves[staying]))
    if not found:
        return np.zeros((0, 4))
    boxes, likely, moves = (np.concatenate(part) for part in zip(*found, strict=True))
    staying = non_maximum_suppression(boxes, likely, 0.7)
    return _squared(_moved(boxes[staying], moves[staying]))


def _judged(
    network: Callable[[Tensor], tuple[Tensor, ...]], inputs: Tensor
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Scores, offsets and, where there are any, landmarks of crops."""
    parts = [network(some) for some in torch.split(inputs, _AT_ONCE)] if len(inputs) else []
    if not parts:
        return np.zeros(0), np.zeros((0, 4)), np.zeros((0, 10))
    logits, offsets, *rest = (torch.cat(part).double() for part in zip(*parts, strict=True))
    shares = rest[0].numpy() if rest else np.zeros((len(inputs), 10))
    return torch.softmax(logits, dim=1)[:, 1].numpy(), offsets.numpy(), shares


def _above(
    threshold: float, boxes: FloatArray, scores: FloatArray, offsets: FloatArray, shares: FloatArray | None = None
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    likely = scores > threshold
    rest = np.zeros((len(boxes), 10)) if shares is None else shares
    return boxes[likely], scores[likely], offsets[likely], rest[likely]


def _moved(boxes: FloatArray, offsets: FloatArray) -> FloatArray:
    """Each side moves by its offset, in shares of the box's width (left, right) or height (top, bottom)."""
    sides = np.stack([boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]], axis=1)
    result: FloatArray = boxes + offsets * np.tile(sides, 2)
    return result


def _squared(boxes: FloatArray) -> FloatArray:
    """The squares with the same centre and the longer side."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])[:, None] / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def _scaled(pixels: Tensor, height: int, width: int) -> Tensor:
    """Every pixel is the mean of the ones it covers."""
    return F.interpolate(pixels, size=(height, width), mode="area")
