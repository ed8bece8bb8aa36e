"""What a reproduction is run with: seed, size, and the images that target networks are trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslth.data.digits import Split, load_digits
from sslth.data.idx import load_idx_folder
from sslth.errors import InvalidInputError
from sslth.experiments.error_vs_width import array_fingerprint
from sslth.networks.training import train_classifier

__all__ = ["DIGITS", "Images", "Setup", "accuracy", "one_thread"]

_AT_ONCE = 1000  # images
SIDE = 28  # pixels; the published networks take images of this size
DIGITS = "the 1,797 digits bundled with scikit-learn, 8x8, enlarged to 28x28 (bilinear), 360 of them held out"


@dataclass(eq=False)
class Images:
    """28x28 images to train on: the bundled digits, enlarged, or a folder of IDX files such as MNIST's.

    Attributes
    ----------
    folder : Path or None
        None for the bundled digits.
    split : Split
        Read once. float32[m, 1, 28, 28] in [0, 1].
    fingerprint : str
        Of all images and labels: it names cells.
    """

    folder: Path | None = None
    _targets: dict[tuple[Any, ...], nn.Module] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """What to call them; no path, because results travel."""
        return DIGITS if self.folder is None else f"{len(self.split.train_images):,} images from IDX files"

    @cached_property
    def split(self) -> Split:
        if self.folder is None:
            digits = load_digits()
            train, test = (_enlarged(part) for part in (digits.train_images, digits.test_images))
            return Split(train, digits.train_labels, test, digits.test_labels)
        split = load_idx_folder(self.folder)
        if split.train_images.shape[2:] != (SIDE, SIDE):
            height, width = split.train_images.shape[2:]
            raise InvalidInputError(f"the images in {self.folder} are {height}x{width}; {SIDE}x{SIDE} is needed")
        if int(split.train_labels.max()) > 9 or int(split.test_labels.max()) > 9:
            raise InvalidInputError(f"the labels in {self.folder} go beyond 9; the published networks have ten classes")
        return split

    @cached_property
    def fingerprint(self) -> str:
        parts = (
            self.split.train_images, self.split.train_labels, self.split.test_images, self.split.test_labels,
        )  # fmt: skip
        return "-".join(array_fingerprint(part.numpy())[:16] for part in parts)

    def target(
        self,
        make: Callable[[], nn.Module],
        key: tuple[Any, ...],
        *,
        epochs: int,
        seed: int,
        progress: Callable[[int, int, str], object],
    ) -> nn.Module:
        """A network trained on these images; `key` names it, and it is trained once."""
        key = (*key, epochs, seed)
        if key not in self._targets:
            with one_thread():
                self._targets[key] = train_classifier(
                    make, self.split.train_images, self.split.train_labels,
                    epochs=epochs, batch_size=64, seed=seed, progress=progress,
                )  # fmt: skip
        return self._targets[key]


@dataclass(frozen=True, eq=False)
class Setup:
    """How to run: `quick` takes smaller samples; everything random depends on `seed`."""

    seed: int = 0
    quick: bool = False
    images: Images = field(default_factory=Images)
    progress: Callable[[int, int, str], object] = field(default=lambda _done, _total, _stage: None)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: for networks this small, two threads on a busy machine take ten times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of images whose largest logit is that of the label."""
    right = 0
    with torch.no_grad(), one_thread():
        for start in range(0, len(images), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            right += int((network(images[some]).argmax(dim=1) == labels[some]).sum())
    return right / len(labels)


def _enlarged(images: Tensor) -> Tensor:
    return F.interpolate(images, size=SIDE, mode="bilinear", align_corners=False)
