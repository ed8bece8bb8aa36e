"""How hard each training example is, from the first steps of training: EL2N and GraNd."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from sslth.data.splits import Examples, Splits
from sslth.errors import InvalidInputError
from sslth.mining.initial import Model, initial_network
from sslth.mining.seeds import stream
from sslth.mining.training import Training, train

__all__ = ["SCORES", "el2n", "grand", "score_examples"]

SCORES = ("el2n", "grand")
_AT_ONCE = 1000
_GRADIENT_ENTRIES = 1 << 26  # 256 MiB of per-example gradients at a time


@torch.no_grad()
def el2n(network: nn.Module, data: Examples, device: torch.device | str = "cpu") -> Tensor:
    """float64[m]: for each example the Euclidean norm of softmax outputs minus one-hot label; in [0, √2].

    The network is evaluated (no dropout, running statistics) and left in the mode it was in. O(m) forward passes.
    Source: [PaulEtAl2021]_.

    References
    ----------
    .. [PaulEtAl2021] M. Paul, S. Ganguli, G. K. Dziugaite, "Deep Learning on a Data Diet: Finding Important Examples
       Early in Training", NeurIPS 2021. arXiv:2107.07075

    Examples
    --------
    >>> sure = Examples(torch.tensor([[50.0, 0.0], [50.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1, 0]))
    >>> [round(float(score), 3) for score in el2n(nn.Identity(), sure)]
    [0.0, 1.414, 0.707]
    """
    was_training = network.training
    network.eval()
    found = []
    for start in range(0, len(data), _AT_ONCE):
        outputs = network(data.inputs[start : start + _AT_ONCE].to(device)).double()
        labels = data.labels[start : start + _AT_ONCE].to(device)
        errors = outputs.softmax(1) - torch.nn.functional.one_hot(labels, outputs.shape[1])
        found.append(errors.norm(dim=1).cpu())
    network.train(was_training)
    return torch.cat(found)


def grand(network: nn.Module, data: Examples, device: torch.device | str = "cpu") -> Tensor:
    """float64[m]: for each example the norm of the gradient of its cross-entropy in all trainable parameters.

    The network is evaluated (no dropout, running statistics) and left in the mode it was in. One backward pass an
    example, in batches; memory for at most 256 MiB of gradients, or for one example's. Source: [PaulEtAl2021]_
    (see `el2n`).

    Examples
    --------
    >>> layer = nn.Linear(1, 2, bias=False)
    >>> with torch.no_grad():
    ...     layer.weight.zero_()
    Parameter containing:
    tensor([[0.],
            [0.]], requires_grad=True)
    >>> grand(layer, Examples(torch.tensor([[1.0], [3.0]]), torch.tensor([0, 1])))  # |x| · √(1/4 + 1/4)
    tensor([0.7071, 2.1213], dtype=torch.float64)
    """
    was_training = network.training
    network.eval()
    trained = {name: value.detach() for name, value in network.named_parameters() if value.requires_grad}
    fixed = {name: value.detach() for name, value in network.named_parameters() if not value.requires_grad}
    fixed |= dict(network.named_buffers())

    def loss(parameters: dict[str, Tensor], example: Tensor, label: Tensor) -> Tensor:
        outputs: Tensor = functional_call(network, {**parameters, **fixed}, (example[None],))
        return torch.nn.functional.cross_entropy(outputs, label[None])

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))
    size = sum(value.numel() for value in trained.values())
    at_once = max(1, min(_AT_ONCE, _GRADIENT_ENTRIES // max(size, 1)))
    found = []
    for start in range(0, len(data), at_once):
        rows = slice(start, start + at_once)
        each = gradients(trained, data.inputs[rows].to(device), data.labels[rows].to(device))
        squares = [values.double().flatten(1).square().sum(1) for values in each.values()]
        found.append(torch.stack(squares).sum(0).sqrt().cpu())
    network.train(was_training)
    return torch.cat(found)


def score_examples(
    model: Model,
    data: Splits,
    *,
    score: str = "el2n",
    seeds: int = 10,
    steps: int = 40,
    training: Training | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> Tensor:
    """float64[m]: the mean score of each training example over networks trained for a few steps; higher is harder.

    Each network has weights and an order of batches of its own and sees all of the training part, at a constant
    rate. Only the training part is scored; validation is evaluated by the training loop, the test part is not seen.

    Parameters
    ----------
    model : Module or callable
        Its weights are drawn anew for every network.
    score : str
        "el2n" or "grand".
    seeds, steps : int
        Networks, and steps of training of each; 0 steps score networks at initialisation.

    Raises
    ------
    InvalidInputError
        If an argument cannot be.
    DivergedError
        If a loss or a score is not finite.
    """
    if score not in SCORES:
        raise InvalidInputError(f"score is {score!r}; choose one of {', '.join(SCORES)}")
    if seeds < 1 or steps < 0:
        raise InvalidInputError(f"seeds={seeds} must be at least 1, and steps={steps} not negative")
    constant = replace(training or Training(), schedule="constant")
    place = torch.device(device)
    total = torch.zeros(len(data.train), dtype=torch.float64)
    for number in range(seeds):
        own = stream(seed, "example scores", number)
        network = initial_network(model, own, redraw=True).to(place)
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        train(
            network,
            trained,
            data.train,
            data.validation,
            constant,
            phase="scores",
            epochs=0,
            steps=steps,
            seed=own,
            device=place,
        )
        total += el2n(network, data.train, place) if score == "el2n" else grand(network, data.train, place)
    if not math.isfinite(float(total.sum())):
        raise InvalidInputError(f"a {score} score is not finite; lower the learning rate")
    return total / seeds
