"""Networks trained on the bundled digits: the same weights each time on one machine, kept in a folder of your own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslth.data.digits import load_digits
from sslth.errors import InvalidInputError
from sslth.networks.cnn1d import cnn1d
from sslth.networks.densenet import densenet121
from sslth.networks.lenet5_tanh import lenet5_tanh
from sslth.networks.mobilenet import mobilenet_v2
from sslth.networks.resnet import resnet18, resnet20
from sslth.networks.squeezenet import squeezenet1_1
from sslth.networks.training import train_classifier
from sslth.networks.vgg import vgg11_bn
from sslth.subset_sum.files import write_atomically

__all__ = ["RECIPES", "Recipe", "TrainedNetwork", "digits_for", "trained_on_digits"]

_SPLIT_SEED = 0  # the same images are held out for every network and seed


@dataclass(frozen=True)
class Recipe:
    """How a network is built and trained.

    Attributes
    ----------
    make : callable
        Builds the network, without arguments.
    side : int
        The digits are brought to side x side pixels, bilinearly; 0 makes them signals of 64 samples.
    channels : int
        How many times the image is repeated.
    epochs, batch_size, learning_rate
        For `train_classifier`.
    shift : int
        Training images move by up to so many pixels in each direction.
    """

    make: Callable[[], nn.Module]
    side: int
    channels: int
    epochs: int
    batch_size: int = 64
    learning_rate: float = 3e-3
    shift: int = 0


RECIPES: dict[str, Recipe] = {
    "resnet20": Recipe(resnet20, 16, 3, 24, shift=1),
    "resnet20_narrow": Recipe(lambda: resnet20(width=4), 16, 3, 10),
    "resnet18_narrow": Recipe(lambda: resnet18(10, width=8), 32, 3, 8),
    "vgg11_bn_narrow": Recipe(lambda: vgg11_bn(10, width=4, hidden=32, pooled=1), 32, 3, 12),
    "mobilenet_v2_narrow": Recipe(lambda: mobilenet_v2(10, 0.25, divisor=4, blocks=1), 32, 3, 12),
    "squeezenet1_1_narrow": Recipe(lambda: squeezenet1_1(10, width=16), 32, 3, 20, learning_rate=1e-3),
    "densenet_narrow": Recipe(lambda: densenet121(10, growth=4, layers=(2, 2, 2)), 32, 3, 12),
    "lenet5_tanh": Recipe(lenet5_tanh, 32, 1, 8),
    "cnn1d": Recipe(cnn1d, 0, 1, 20),
}


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A trained network in evaluation mode, the images it was not trained on, and how it does on them.

    Attributes
    ----------
    model : torch.nn.Module
    train_images : float32[m, ...] in [0, 1], as the network takes them
    test_images, test_labels : float32[m, ...], int64[m]
        Held out.
    accuracy : float
        Share of the held-out images that it gets right.
    """

    model: nn.Module
    train_images: Tensor
    test_images: Tensor
    test_labels: Tensor
    accuracy: float


def trained_on_digits(
    name: str,
    *,
    seed: int = 0,
    cache: str | Path | None = None,
    progress: Callable[[int, int, str], object] | None = None,
) -> TrainedNetwork:
    """Return a network of `RECIPES` that was trained on the digits, from the cache where it is there.

    Parameters
    ----------
    name : str
        "resnet20" at full size; the others are small versions: "resnet18_narrow", "mobilenet_v2_narrow", ...
    seed : int
        Of weights and shuffling. The held-out images do not depend on it.
    cache : path, optional
        A folder for the weights, as safetensors; made where it is missing. Another recipe is another file.
    progress : callable(epoch, epochs, stage), optional

    Raises
    ------
    InvalidInputError
        For an unknown name, or a file of the cache that does not fit.

    Notes
    -----
    Weights are the same for the same seed on one machine, not between machines. Training uses one thread, so that sums
    are the same on any number of cores (and a busy machine does not wait for its slowest core at every layer): about
    100 s for "resnet20" on an idle core, 1 to 15 s for the others.
    """
    if name not in RECIPES:
        raise InvalidInputError(f"no network {name!r} is trained here; take one of {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    train_images, train_labels, test_images, test_labels = digits_for(recipe)
    path = None if cache is None else Path(cache) / f"{name}-{seed}-{_recipe_hash(recipe)}.safetensors"
    if path is not None and path.is_file():
        model = _loaded(recipe, path)
    else:
        with _one_thread():
            model = train_classifier(
                recipe.make,
                train_images,
                train_labels,
                epochs=recipe.epochs,
                batch_size=recipe.batch_size,
                learning_rate=recipe.learning_rate,
                seed=seed,
                augment=_shifted(recipe.shift) if recipe.shift else None,
                progress=progress,
            )
        if path is not None:
            _store(model, path)
    with torch.no_grad():
        right = (model(test_images).argmax(dim=1) == test_labels).double().mean()
    return TrainedNetwork(model, train_images, test_images, test_labels, float(right))


def digits_for(recipe: Recipe) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images and labels, held-out images and labels, as the recipe's network takes them."""
    digits = load_digits(seed=_SPLIT_SEED)
    images = [_resized(part, recipe) for part in (digits.train_images, digits.test_images)]
    return images[0], digits.train_labels, images[1], digits.test_labels


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _resized(images: Tensor, recipe: Recipe) -> Tensor:
    if recipe.side == 0:
        return images.flatten(2)
    larger = F.interpolate(images, size=(recipe.side, recipe.side), mode="bilinear", align_corners=False)
    return larger.clamp(0.0, 1.0).repeat(1, recipe.channels, 1, 1)


def _shifted(most: int) -> Callable[[Tensor, torch.Generator], Tensor]:
    """Move a whole batch by one random offset, which is cheap and enough: batches are small and many."""

    def augment(images: Tensor, generator: torch.Generator) -> Tensor:
        down, right = torch.randint(0, 2 * most + 1, (2,), generator=generator).tolist()
        height, width = images.shape[-2:]
        return F.pad(images, (most,) * 4)[..., down : down + height, right : right + width]

    return augment


def _recipe_hash(recipe: Recipe) -> str:
    """Names the weights by what made them: shapes of the network, and the numbers of the recipe."""
    with torch.device("meta"):
        shapes = [(name, list(values.shape)) for name, values in recipe.make().state_dict().items()]
    numbers = [recipe.side, recipe.channels, recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.shift]
    return hashlib.sha256(json.dumps([shapes, numbers]).encode()).hexdigest()[:12]


def _store(model: nn.Module, path: Path) -> None:
    from safetensors.torch import save

    path.parent.mkdir(parents=True, exist_ok=True)
    content = save({name: values.contiguous() for name, values in model.state_dict().items()})
    write_atomically(path, lambda stream: stream.write(content))


def _loaded(recipe: Recipe, path: Path) -> nn.Module:
    from safetensors import SafetensorError
    from safetensors.torch import load

    model = recipe.make()
    try:
        model.load_state_dict(load(path.read_bytes()))
    except (SafetensorError, RuntimeError, OSError) as error:
        detail = " ".join(str(error).split())[:160]
        raise InvalidInputError(f"{path} does not hold this network ({detail}); delete it to train again") from None
    return model.eval()
