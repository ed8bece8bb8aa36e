"""`sslth extract`: a trained network's state dict in, a ticket with its proof and pictures out."""

from __future__ import annotations

import math
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sslth.cli.output import echo_json
from sslth.errors import InvalidInputError
from sslth.subset_sum.arguments import written_number

if TYPE_CHECKING:
    from torch import Tensor

    from sslth.cnn.widths.width_plan import WidthPlan

__all__ = ["extract"]

_RANDOM_INPUTS = 256


def extract(
    model: Annotated[
        Path, typer.Argument(help="State dict of the trained network: .safetensors, or .pt (weights only).")
    ],
    arch: Annotated[
        str, typer.Option(help="module:callable, or file.py:callable, that builds the network without arguments.")
    ],
    input_shape: Annotated[
        list[str], typer.Option(help="Shape of one input, such as 1,8,8; repeat it where the forward takes several.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for ticket.safetensors, summary.json, report.html and pictures.")],
    width: Annotated[
        str | None,
        typer.Option(
            metavar="INTEGER",
            help="n: every input channel has 2n random filters, such as 1e7. 4096; with a plan, the most a layer gets.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random network.")] = 0,
    low: Annotated[
        str,
        typer.Option(help="Lower end of the box the inputs live in: a number, .npy array, or numbers 0,-1 by input."),
    ] = "-1",
    high: Annotated[str, typer.Option(help="Upper end of that box.")] = "1",
    calibration: Annotated[
        Path | None, typer.Option(help=".npy inputs to refit every layer on; better not those of --data.")
    ] = None,
    compensate: Annotated[
        bool, typer.Option(help="Without calibration: let biases cancel the mean error of the other filters.")
    ] = True,
    carry_over: Annotated[
        list[str] | None, typer.Option(help="A module to take along as it is, weights and all; may be repeated.")
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            help="Random weights: normal, uniform, kaiming, or your own, a .safetensors with LAYER.v and LAYER.u."
        ),
    ] = "normal",
    data: Annotated[
        Path | None, typer.Option(help=".npy inputs to compare on; random ones from the box if not given.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help=".npy classes of --data, for accuracies.")] = None,
    solver: Annotated[str, typer.Option(help="How filters are chosen; see `sslth solve --explain`.")] = "auto",
    gain: Annotated[float | None, typer.Option(help="Override the gain of every layer.")] = None,
    target_error: Annotated[
        float | None,
        typer.Option(help="Plan widths for this (centred) relative output error on --data."),
    ] = None,
    time_limit: Annotated[
        float | None, typer.Option(help="Plan widths so that the extraction is predicted to stay below, in seconds.")
    ] = None,
    max_bytes: Annotated[
        str | None, typer.Option(help="Plan widths so that the ticket file is predicted to stay below, such as 200kB.")
    ] = None,
    max_kept: Annotated[int | None, typer.Option(help="The most filters to keep in a block.")] = None,
    device: Annotated[
        str,
        typer.Option(help="Where networks are run: auto, cpu, cuda; cuda also searches, on all GPUs, cuda:1 on one."),
    ] = "auto",
    memory: Annotated[str, typer.Option(help="Budget for the blocks that are searched at the same time.")] = "1GiB",
    jobs: Annotated[int | None, typer.Option(help="Threads; one a core if not given.")] = None,
    error_vs_width: Annotated[
        bool, typer.Option("--error-vs-width", help="Also measure the error at 8 widths and 5 seeds (resumable).")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Discard what an earlier run left in the folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar and no table.")] = False,
) -> int:
    """Pull a structured strong lottery ticket out of a random CNN. Exit status 1: a wish was not reached.

    Example: sslth extract target.safetensors --arch my_model:build --input-shape 1,8,8 --low 0 --high 1 --width 4096
    --out ticket
    """
    import torch

    from sslth.cnn.joined import corners_of, joined
    from sslth.experiments.main_job import run_main_job
    from sslth.experiments.planned import unmet_wishes
    from sslth.experiments.summary import summary_table
    from sslth.experiments.user_files import load_array, load_corner, load_network, load_rows, load_source

    shapes = tuple(_shape(text) for text in input_shape)
    network = load_network(model, arch)
    box = load_corner(low, "--low"), load_corner(high, "--high")
    if len(shapes) > 1:
        network, box = joined(network, shapes), corners_of(*box, shapes)
    inputs, evaluated_on = _inputs(data, shapes, *box, seed)
    classes = None if labels is None else torch.from_numpy(load_array(labels))
    if labels is not None and data is None:
        raise InvalidInputError("--labels needs --data")
    summary = run_main_job(
        network,
        inputs,
        classes,
        out=out,
        width=None if width is None else written_number(width, "width"),
        seed=seed,
        low=box[0],
        high=box[1],
        solver=solver,
        gain=gain,
        target_error=target_error,
        time_limit=time_limit,
        max_bytes=max_bytes,
        max_kept=max_kept,
        calibration=None if calibration is None else load_rows(calibration, shapes),
        compensate=compensate,
        source=load_source(source),
        carry_over=carry_over or (),
        device=device,
        memory=memory,
        jobs=jobs,
        with_widths=error_vs_width,
        restart=restart,
        evaluated_on=evaluated_on,
        command=shlex.join(["sslth", *sys.argv[1:]]),
        progress=not (quiet or as_json),
        on_plan=_show_plan if not (quiet or as_json) else lambda _plan: None,
    )
    if as_json:
        echo_json(summary)
    elif not quiet:
        typer.echo(summary_table(summary))
        typer.echo(f"report: {out / 'report.html'}")
    unmet = unmet_wishes(summary["plan"])
    for sentence in unmet:
        typer.echo(f"sslth: {sentence}", err=True)
    return 1 if unmet else 0


def _show_plan(plan: WidthPlan) -> None:
    from sslth.cnn.widths.width_plan import plan_table

    typer.echo(plan_table(plan), err=True)


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise InvalidInputError(f"--input-shape is {text!r}; write positive whole numbers such as 1,8,8")
    return shape


def _inputs(
    data: Path | None, shapes: tuple[tuple[int, ...], ...], low: Any, high: Any, seed: int
) -> tuple[Tensor, str]:
    """The inputs to compare on, and what to call them."""
    import torch

    from sslth.cnn.box import as_box
    from sslth.experiments.user_files import load_rows

    if data is None:
        shape = shapes[0] if len(shapes) == 1 else (sum(math.prod(shape) for shape in shapes),)
        bottom, top = (torch.from_numpy(corner).float() for corner in as_box(low, high, shape))
        generator = torch.Generator().manual_seed(seed & (2**63 - 1))
        inputs = bottom + (top - bottom) * torch.rand((_RANDOM_INPUTS, *shape), generator=generator)
        return inputs, f"{_RANDOM_INPUTS} uniformly random inputs from the box"
    inputs = load_rows(data, shapes)
    return inputs, f"{len(inputs)} inputs from {data.name}"
