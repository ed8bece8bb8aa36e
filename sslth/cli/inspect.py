"""`sslth inspect`: what a ticket file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sslth.cli.output import echo_json
from sslth.errors import InvalidInputError

__all__ = ["inspect"]


def inspect(
    ticket: Annotated[Path, typer.Argument(help="A ticket.safetensors.")],
    model: Annotated[
        Path | None, typer.Option(help="State dict of the target network, for the error of every layer.")
    ] = None,
    arch: Annotated[
        str | None,
        typer.Option(help="module:callable, or file.py:callable, that builds the network without arguments."),
    ] = None,
    source: Annotated[
        Path | None, typer.Option(help="The random network, if it is your own: .safetensors with LAYER.v and LAYER.u.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Say what a ticket holds, layer by layer, and verify its checksum.

    Example: sslth inspect ticket/ticket.safetensors --model target.safetensors --arch my_model:build
    """
    from sslth.experiments.inspect_ticket import inspect_ticket, inspection_table
    from sslth.experiments.user_files import load_network, load_source

    if (model is None) != (arch is None):
        raise InvalidInputError("--model and --arch go together")
    network = None if model is None or arch is None else load_network(model, arch)
    found = inspect_ticket(ticket, network, None if source is None else load_source(str(source)))
    if as_json:
        echo_json(found)
    else:
        typer.echo(inspection_table(found))
    return 0
