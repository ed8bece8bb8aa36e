"""The public certificate: how far a ticket and a model can be apart, for all inputs of the box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sslth.cnn.arguments import check_corners, resolve_device
from sslth.cnn.box import as_box
from sslth.cnn.certificates.balls import ball
from sslth.cnn.certificates.certificate import Report, certify_merged
from sslth.cnn.certificates.relaxation import WORK
from sslth.cnn.fit_note import matched_errors, output_errors
from sslth.cnn.joined import corners_of, join_corners, join_rows
from sslth.cnn.plain import find_folds
from sslth.cnn.progress import Progress, report_progress
from sslth.cnn.signs import nonnegative_inputs
from sslth.cnn.ticket import Ticket
from sslth.cnn.trace import Traced, trace
from sslth.errors import InvalidInputError
from sslth.subset_sum.arguments import seed_number, whole_number

__all__ = ["Report", "certify"]

FloatArray = npt.NDArray[np.float64]


def certify(
    ticket: Ticket,
    model: nn.Module,
    low: Any = None,
    high: Any = None,
    device: str = "auto",
    *,
    data: Tensor | Sequence[Tensor] | None = None,
    starts: int = 32,
    steps: int = 60,
    seed: int = 0,
    around: Any = None,
    radius: float | None = None,
    hops: int = 12,
    slope_steps: int = 20,
    work: float = WORK,
    progress: bool | Progress = False,
) -> Report:
    """Prove how far ticket and model can be apart on a box of inputs, and attain as much of it as possible.

    Parameters
    ----------
    ticket : Ticket
    model : torch.nn.Module
        The target network, with its trained weights.
    low, high : float or array, optional
        The box; None for the ticket's own.
    device : str
        Where gradients climb for the attained error; the proof is in float64 on the CPU.
    data : Tensor[rows, *input_shape], or a tuple of them where the network takes several inputs, optional
        Inputs of the box: all are evaluated, the worst of them climbed from.
    starts, steps : int
        Points that climb, and steps of each.
    seed : int
        Of the random starts.
    around : array or Tensor[*input_shape], optional
        Certify a ball around this input instead of the whole box: what of the box is within `radius` of it, entry by
        entry. The report then also says whether the class is proved to be the same, as `same_class`.
    radius : float
        Of the ball; given together with `around`.
    hops : int
        Linear programs after the ascent, each inside one linear piece of both networks; 0 for none.
    slope_steps : int
        Gradient steps on the slopes of the linear relaxation, of inner layers too where `work` allows; 150 is thorough.
    work : float
        Multiply-adds that the relaxation of each layer may take; layers beyond it keep their intervals.
    progress : bool or callable(done, total, stage)

    Returns
    -------
    Report
        `.upper` is proved for every input in the box, `.lower` is attained by `.witness`. Both are about the real
        functions of the stored weights.

    Raises
    ------
    InvalidInputError
        If the model's layers are not those of the ticket, the box is not finite, or it is so wide that a layer
        whose filters were chosen for non-negative inputs could see negative ones.

    Notes
    -----
    Intervals cost about ten forward passes of the merged network; the relaxation four backward passes for each neuron
    behind the first activation, within `work`; the attained error 4 * starts * steps passes of one input, and `hops`
    linear programs from each of the four best points.
    """
    plain = ticket.plain_target(model)
    bottom, top = _region(ticket, low, high, around, radius)
    traced = _checked_trace(ticket, model, plain, bottom, top)
    effort = _effort(starts=starts, steps=steps, hops=hops, slope_steps=slope_steps)
    with report_progress(progress) as report:
        certificate = certify_merged(
            plain, traced, ticket.merged_layers(), bottom, top, ticket.input_shape, data=_tensor(data, ticket),
            device=resolve_device(device), seed=seed_number(seed), progress=report, work=work,
            classes=around is not None, **effort,
        )  # fmt: skip
    return _with_notes(certificate, ticket, plain)


def _region(ticket: Ticket, low: Any, high: Any, around: Any, radius: float | None) -> tuple[FloatArray, FloatArray]:
    """The corners of the box, or of its part near an input."""
    corners = corners_of(ticket.low if low is None else low, ticket.high if high is None else high, ticket.input_shapes)
    bottom, top = as_box(*corners, ticket.input_shape)
    if around is not None and ticket.input_shapes is not None:
        around = join_corners(around, ticket.input_shapes, "around")
    if around is not None or radius is not None:
        bottom, top = ball(around, radius, bottom, top, ticket.input_shape)
    return bottom, top


def _checked_trace(ticket: Ticket, model: nn.Module, plain: nn.Module, bottom: FloatArray, top: FloatArray) -> Traced:
    """The target's graph, after what the ticket takes for granted was checked on this model and box."""
    middle = torch.as_tensor((bottom + top) / 2).expand(ticket.input_shape)[None]
    _check_folds(ticket, ticket.seen(model), middle)
    traced = trace(plain, middle)
    check_corners(traced.model, (bottom, top), middle)
    _check_signs(ticket, traced, bool((bottom >= 0).all()))
    return traced


def _effort(**numbers: int) -> dict[str, int]:
    """Whole numbers of things to do, at least one start."""
    most = {"slope_steps": 10**6}
    return {
        name: whole_number(value, name, int(name == "starts"), most.get(name, 10**9)) for name, value in numbers.items()
    }


def _tensor(data: Any, ticket: Ticket) -> Tensor | None:
    if data is not None and ticket.input_shapes is not None and not isinstance(data, Tensor):
        return join_rows(data, ticket.input_shapes, "data")
    if data is not None and not isinstance(data, Tensor):
        raise InvalidInputError(f"data is a {type(data).__name__}; it must be a torch tensor")
    return data


def _with_notes(certificate: Report, ticket: Ticket, plain: nn.Module) -> Report:
    """The report with what only the ticket knows."""
    return replace(
        certificate,
        same_target=ticket.is_of(plain),
        matched_error=matched_errors(ticket.settings),
        output_error=output_errors(ticket.settings),
    )


def _check_signs(ticket: Ticket, traced: Traced, nonnegative: bool) -> None:
    """A layer whose filters were chosen for one sign must see no other, in this model and on this box."""
    names = [kept.layer.name for kept in ticket.layers]
    signs = nonnegative_inputs(traced, names, nonnegative)
    for kept in ticket.layers:
        if kept.layer.nonnegative and not signs[kept.layer.name]:
            raise InvalidInputError(
                f"layer {kept.layer.name} of the ticket was made for non-negative inputs, but on this box or in this "
                f"model they may be negative; extract again with the wider box"
            )


def _check_folds(ticket: Ticket, model: nn.Module, middle: Tensor) -> None:
    """Folding is right only where a batch norm follows its layer, and that is a matter of this model's forward."""
    if not ticket.folds:
        return
    example = middle.to(next(model.parameters()))
    found = find_folds(trace(model, example), example, ticket.carry_over)
    for norm, layer in ticket.folds.items():
        if found.get(norm) != layer:
            raise InvalidInputError(
                f"the ticket folds {norm} into {layer}, but in this model's forward it does not follow it alone"
            )
