"""`sslth certify`: a ticket on disk, proved against a model on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sslth.cli.output import echo_json

__all__ = ["certify"]


def certify(
    ticket: Annotated[Path, typer.Argument(help="A ticket.safetensors.")],
    model: Annotated[
        Path, typer.Argument(help="State dict of the target network: .safetensors, or .pt (weights only).")
    ],
    arch: Annotated[
        str, typer.Option(help="module:callable, or file.py:callable, that builds the network without arguments.")
    ],
    low: Annotated[
        str | None, typer.Option(help="Lower end of the box, a number or .npy; the ticket's own if not given.")
    ] = None,
    high: Annotated[str | None, typer.Option(help="Upper end of that box.")] = None,
    device: Annotated[str, typer.Option(help="Where gradients climb: auto, cpu, cuda.")] = "auto",
    data: Annotated[
        Path | None,
        typer.Option(
            help="Independent inputs, .npy, that extraction has not seen: what they say about others like them."
        ),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of what the inputs of --data say.")] = 0.999,
    out: Annotated[Path | None, typer.Option(help="Folder for certificate.json and witness.npy.")] = None,
    export_vnnlib: Annotated[
        Path | None, typer.Option(help="Folder for both networks as ONNX and the claim as VNN-LIB.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option(help="The random network, if it is your own: .safetensors with LAYER.v and LAYER.u.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar and no table.")] = False,
) -> int:
    """Prove how far a ticket and a model can be apart on a box of inputs. Exit status 1: nothing could be proved.

    Example: sslth certify ticket/ticket.safetensors target.safetensors --arch my_model:build --out proof
    --export-vnnlib proof/claim
    """
    from sslth.cnn.ticket import Ticket
    from sslth.experiments.certify_job import certificate_table, run_certify_job
    from sslth.experiments.user_files import load_corner, load_network, load_rows, load_source

    loaded = Ticket.load(ticket, None if source is None else load_source(str(source)))
    summary = run_certify_job(
        loaded,
        load_network(model, arch),
        low=None if low is None else load_corner(low, "--low"),
        high=None if high is None else load_corner(high, "--high"),
        device=device,
        data=None if data is None else load_rows(data, loaded.input_shapes or (loaded.input_shape,)),
        confidence=confidence,
        out=out,
        vnnlib=export_vnnlib,
        progress=not (quiet or as_json),
    )
    if as_json:
        echo_json(summary)
    elif not quiet:
        typer.echo(certificate_table(summary))
    return 0 if summary["upper"] is not None else 1
