"""Letters as the digits are stored: drawn on 32x32 dots, counted in blocks of 4x4, 8x8 grey values."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sslth.data.splits import Examples
from sslth.errors import InvalidInputError

__all__ = ["FONTS", "LETTERS", "draw_letter", "letters"]

LETTERS = "ACEFHJKLMNPRTUVWXY"  # without those that look like digits: B, D, G, I, O, Q, S, Z
# bold, because the strokes of the digits are 3 to 5 of 32 dots wide
FONTS = ("DejaVuSans-Bold", "DejaVuSans-BoldOblique", "DejaVuSansMono-Bold", "DejaVuSerif-Bold")
_DOTS, _BLOCK = 32, 4


def letters(count: int, *, seed: int = 0, alphabet: str = LETTERS) -> Examples:
    """Draw letters in the fonts that come with matplotlib: inputs float32[count, 1, 8, 8], labels into `alphabet`.

    The grey values are those of the digits (see `load_digits`): of a bitmap of 32x32 dots the share of the dots of each
    4x4 block that are ink, so 17 values from 0 to 1. Letter, font, slant, turn (up to 15 degrees) and size are drawn by
    the seed; a letter fills the height and .6 to .85 of the width, as most digits do.

    Raises
    ------
    InvalidInputError
        If count is below 1, or the alphabet is empty or has a character without an outline.

    Examples
    --------
    >>> some = letters(3, seed=1)
    >>> tuple(some.inputs.shape), bool((some.inputs * 16 == (some.inputs * 16).round()).all())
    ((3, 1, 8, 8), True)
    """
    if count < 1 or not alphabet:
        raise InvalidInputError(f"cannot draw {count} letters of {alphabet!r}; at least one of at least one is needed")
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(alphabet), size=count)
    images = np.empty((count, 1, _DOTS // _BLOCK, _DOTS // _BLOCK), dtype=np.float32)
    for number, place in enumerate(chosen):
        font = FONTS[int(rng.integers(len(FONTS)))]
        turn, slant = np.deg2rad(rng.uniform(-15.0, 15.0)), rng.uniform(-0.2, 0.2)
        size = (rng.uniform(0.6, 0.85), rng.uniform(0.9, 1.0))
        images[number, 0] = draw_letter(alphabet[place], font, float(turn), slant, size)
    return Examples(torch.from_numpy(images), torch.from_numpy(chosen.astype(np.int64)))


def draw_letter(
    letter: str,
    font: str = FONTS[0],
    turn: float = 0.0,
    slant: float = 0.0,
    size: tuple[float, float] | None = None,
) -> npt.NDArray[np.float64]:
    """One character, float64[8, 8] in [0, 1], stretched to shares `size` of the image's width and height.

    Parameters
    ----------
    font : str
        One of `FONTS`.
    turn : float
        Radians, anticlockwise.
    slant : float
        To the right, per unit of height.
    size : (float, float), optional
        Without it the character keeps its proportions, and fills the image in one direction.

    Examples
    --------
    >>> draw_letter("I", size=(0.25, 1.0))[0].tolist()
    [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    """
    cos, sin = np.cos(turn), np.sin(turn)
    shape = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1.0, slant], [0.0, 1.0]])
    outline = [polygon @ shape.T for polygon in _outline(letter, font)]
    points = np.concatenate(outline)
    low, high = points.min(axis=0), points.max(axis=0)
    extent = high - low
    scale = _DOTS * (np.asarray(size) / extent if size is not None else 1.0 / extent.max())
    centre = (low + high) / 2
    ink = _inside([(polygon - centre) * scale + _DOTS / 2 for polygon in outline])
    blocks = ink.reshape(_DOTS // _BLOCK, _BLOCK, _DOTS // _BLOCK, _BLOCK)
    return np.asarray(blocks.mean(axis=(1, 3)))


@lru_cache(maxsize=512)
def _outline(letter: str, font: str) -> tuple[npt.NDArray[np.float64], ...]:
    """The closed polygons of a glyph, curves as many short lines."""
    import matplotlib
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path as Outline
    from matplotlib.textpath import text_to_path

    if font not in FONTS:
        raise InvalidInputError(f"there is no font {font!r}; choose one of {', '.join(FONTS)}")
    # the file by its path: a search by name may find another font on another machine
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font}.ttf"
    points, codes = text_to_path.get_text_path(FontProperties(fname=path), letter)
    if len(points) == 0:
        raise InvalidInputError(f"{letter!r} has no outline to draw")
    polygons = Outline(points, codes).to_polygons(closed_only=True)
    return tuple(np.asarray(polygon, dtype=np.float64) for polygon in polygons)


def _inside(polygons: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """1.0 for each dot, from the top left, that an odd number of the polygons contain; else 0.0."""
    from matplotlib.path import Path as Outline

    across = np.arange(_DOTS) + 0.5
    dots = np.stack(np.meshgrid(across, _DOTS - across), axis=-1).reshape(-1, 2)
    ink = np.zeros(len(dots), dtype=bool)
    for polygon in polygons:
        ink ^= Outline(polygon, closed=True).contains_points(dots)
    return ink.reshape(_DOTS, _DOTS).astype(np.float64)
