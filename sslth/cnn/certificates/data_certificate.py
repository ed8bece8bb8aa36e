"""What a sample of inputs says about all inputs of the same source: exact confidence statements, no assumptions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sslth.cnn.box import as_box
from sslth.cnn.joined import join_batches
from sslth.cnn.merged import merged_module
from sslth.cnn.ticket import Ticket
from sslth.cnn.trace import tensors_of
from sslth.errors import InvalidInputError
from sslth.theory.intervals import clopper_pearson

__all__ = ["DataCertificate", "data_certificate"]

FloatArray = npt.NDArray[np.float64]

_CLIPPED = 1e-6
_BATCH = 256


@dataclass(frozen=True, eq=False)
class DataCertificate:
    """Confidence statements about inputs of one source.

    Attributes
    ----------
    inputs : int
        N, how many were seen.
    confidence : float
        Of both statements together.
    error : float
        e: the given one, or the largest difference that was seen.
    exceeding : int
        How many of the N differ by more than e.
    share_above : float
        p: at most this share of such inputs differs by more than e.
    same_class : int or None
        How many of the N get the same class from both networks; None where the output is not one list of numbers.
    share_same_class : float or None
        q: at least this share of such inputs gets the same class.
    errors : float64[N]
        Largest |ticket - target| over the outputs, of every input, evaluated in float64.
    """

    inputs: int
    confidence: float
    error: float
    exceeding: int
    share_above: float
    same_class: int | None
    share_same_class: float | None
    errors: FloatArray

    def sentence(self) -> str:
        """Both statements, and what they do not say."""
        text = (
            f"with confidence {100 * self.confidence:.4g} %, at most {100 * self.share_above:.3g} % of such inputs "
            f"differ by more than {self.error:.3g}"
        )
        if self.share_same_class is not None:
            text += f", and the classes agree on at least {100 * self.share_same_class:.4g} %"
        return (
            f"{text} ({self.inputs:,} inputs seen). This is about inputs drawn independently from the same source as "
            "these; it says nothing about any single input, inputs of another source or inputs chosen by an adversary, "
            "and it does not hold for inputs that the ticket or its settings were fitted on."
        )


def data_certificate(
    ticket: Ticket,
    model: nn.Module,
    inputs: Tensor | Iterable[Any],
    confidence: float = 0.999,
    *,
    error: float | None = None,
) -> DataCertificate:
    """Bound how often ticket and model differ on inputs like these, with stated confidence.

    Parameters
    ----------
    ticket : Ticket
    model : torch.nn.Module
        The target network.
    inputs : Tensor[N, *input_shape], or an iterable of batches
        Batches are tensors, or tuples whose first item is one, as a data loader gives them. Independent draws of one
        source; inputs that extraction was calibrated on do not count as such.
    confidence : float
        That both statements hold, each with half of the rest.
    error : float, optional
        e, fixed before the inputs were seen; None for the largest difference among them.

    Raises
    ------
    InvalidInputError
        If there are no inputs, they have another shape or leave the ticket's box, the outputs are not finite, or
        confidence does not lie between 0 and 1.

    Notes
    -----
    A fixed e is exceeded by a binomial count [ClopperPearson1934]_. The largest of N values is exceeded by more than a
    share p only if all N are in the other 1 - p, hence with probability at most (1 - p)^N, whatever the distribution
    [Wilks1941]_. Costs two forward passes of the merged size for every input.

    .. [ClopperPearson1934] C. J. Clopper, E. S. Pearson, "The use of confidence or fiducial limits illustrated in the
       case of the binomial", Biometrika 26 (1934), doi:10.1093/biomet/26.4.404.
    .. [Wilks1941] S. S. Wilks, "Determination of sample sizes for setting tolerance limits", Annals of Mathematical
       Statistics 12 (1941), doi:10.1214/aoms/1177731788.

    Examples
    --------
    >>> import sslth
    >>> net = nn.Linear(2, 3)
    >>> x = torch.rand(1000, 2)
    >>> ticket = sslth.extract(net, x[:1], width=100, low=0.0, progress=False)
    >>> found = data_certificate(ticket, net, x)
    >>> found.inputs, found.exceeding, round(found.share_above, 5)
    (1000, 0, 0.00757)
    """
    if not isinstance(confidence, int | float) or not 0.0 < confidence < 1.0:
        raise InvalidInputError(f"confidence is {confidence!r}; it must lie strictly between 0 and 1")
    if error is not None and not (isinstance(error, int | float) and math.isfinite(error) and error >= 0):
        raise InvalidInputError(f"error is {error!r}; it must be a finite number, at least 0")
    plain = ticket.plain_target(model)
    networks = [merged_module(plain, layers, torch.float64).eval() for layers in ({}, ticket.merged_layers())]
    box = as_box(ticket.low, ticket.high, ticket.input_shape)
    errors: list[Tensor] = []
    agreeing: list[Tensor | None] = []
    with torch.no_grad():
        shapes = ticket.input_shapes
        for batch in _batches(inputs if shapes is None else join_batches(inputs, shapes, "inputs")):
            rows = _checked(batch, box, ticket.input_shape)
            first, second = (tensors_of(network(rows.clone())) for network in networks)
            if first is None or second is None:
                raise InvalidInputError("the model must map a batch of inputs to tensors with a batch dimension")
            apart = [(b - a).abs().reshape(len(rows), -1).amax(1) for a, b in zip(first, second, strict=True)]
            errors.append(torch.stack(apart).amax(0))
            single = len(first) == 1 and first[0].ndim == 2 and first[0].shape[1] > 1
            agreeing.append(first[0].argmax(1) == second[0].argmax(1) if single else None)
    if not errors:
        raise InvalidInputError("there are no inputs; a statement about a source needs some of its inputs")
    seen = torch.cat(errors).numpy()
    if not np.isfinite(seen).all():
        raise InvalidInputError("the networks' outputs are not finite for some of the inputs")
    same = (
        None
        if any(part is None for part in agreeing)
        else sum(int(part.sum()) for part in agreeing if part is not None)
    )
    return _statement(seen, same, float(confidence), error)


def _statement(errors: FloatArray, same: int | None, confidence: float, error: float | None) -> DataCertificate:
    count = len(errors)
    # One-sided limits: a two-sided interval has half of what is left on each side, and there are up to two statements.
    each = 1.0 - (1.0 - confidence) / (1 if same is None else 2)
    limit = float(errors.max()) if error is None else float(error)
    exceeding = int((errors > limit).sum())
    return DataCertificate(
        inputs=count,
        confidence=confidence,
        error=limit,
        exceeding=exceeding,
        share_above=clopper_pearson(exceeding, count, 2.0 * each - 1.0)[1],
        same_class=same,
        share_same_class=None if same is None else clopper_pearson(same, count, 2.0 * each - 1.0)[0],
        errors=errors,
    )


def _batches(inputs: Tensor | Iterable[Any]) -> Iterator[Tensor]:
    if isinstance(inputs, Tensor):
        for begin in range(0, len(inputs), _BATCH):
            yield inputs[begin : begin + _BATCH]
        return
    if not isinstance(inputs, Iterable):
        raise InvalidInputError(f"inputs is a {type(inputs).__name__}; it must be a tensor or an iterable of batches")
    for batch in inputs:
        first = batch[0] if isinstance(batch, tuple | list) and batch else batch
        if not isinstance(first, Tensor):
            raise InvalidInputError(f"a batch is a {type(first).__name__}; it must be a tensor or begin with one")
        yield from _batches(first)


def _checked(batch: Tensor, box: tuple[FloatArray, FloatArray], shape: tuple[int, ...]) -> Tensor:
    if tuple(batch.shape[1:]) != tuple(shape):
        raise InvalidInputError(f"inputs have shape {tuple(batch.shape[1:])}, but the ticket's have {tuple(shape)}")
    rows = batch.detach().to("cpu", torch.float64)
    low, high = (torch.from_numpy(np.array(np.broadcast_to(end, shape))) for end in box)
    inside = (rows >= low - _CLIPPED * (1 + low.abs())) & (rows <= high + _CLIPPED * (1 + high.abs()))
    if not bool(inside.all()):
        raise InvalidInputError("some inputs lie outside the ticket's box (or are NaN); extract with a wider box")
    return torch.clamp(rows, low, high)
