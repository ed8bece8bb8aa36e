"""`sslth mine`: a ticket found by scores instead of subset sums."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sslth.cli.output import echo_json
from sslth.errors import InvalidInputError

__all__ = ["mine"]


def mine(
    method: Annotated[
        str | None, typer.Argument(help="random, magnitude, snip, synflow, edge_popup, imp or gem_miner.")
    ] = None,
    arch: Annotated[
        str, typer.Option(help="module:callable, or file.py:callable, that builds the network without arguments.")
    ] = "sslth.networks:small_cnn",
    data: Annotated[
        str, typer.Option(help="digits, mnist1d, an .npz file, or a folder of IDX, CIFAR or image files.")
    ] = "digits",
    keep: Annotated[float, typer.Option(help="Share of the weights to keep.")] = 0.05,
    epochs: Annotated[int, typer.Option(help="Of the search, where it trains.")] = 20,
    finetune: Annotated[int | None, typer.Option(help="Epochs of finetuning; --epochs if not given.")] = None,
    learning_rate: Annotated[float, typer.Option(help="Of finetuning, by Adam with a cosine schedule.")] = 3e-3,
    seed: Annotated[int, typer.Option(help="Of weights, scores and batches.")] = 0,
    biases: Annotated[
        str, typer.Option(help="frozen until finetuning, trained along with scores, masked, or zero.")
    ] = "frozen",
    norms: Annotated[
        str, typer.Option(help="Weights of normalisation layers: frozen until finetuning, trained, or masked.")
    ] = "frozen",
    first: Annotated[str, typer.Option(help="The first layer: masked, or dense.")] = "masked",
    last: Annotated[str, typer.Option(help="The last layer: masked, or dense.")] = "masked",
    reestimate: Annotated[
        bool, typer.Option("--reestimate", help="Measure batch norms' mean and variance again under the mask.")
    ] = False,
    on_empty: Annotated[str, typer.Option(help="A layer that would be emptied: refuse, or keep_one.")] = "refuse",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A hyper-parameter of the method, name=value; repeatable.")
    ] = None,
    sanity: Annotated[int, typer.Option(help="Seeds of the sanity checks; 0 leaves them out.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    out: Annotated[
        Path | None, typer.Option(help="Folder for checkpoints, mask, networks and result; resumable.")
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Discard what an earlier run left in the folder.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say what each method does, and leave.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar; print the two accuracies only.")] = False,
) -> int:
    """Find a ticket by scores: a mask that keeps a share of the weights, and what it is worth.

    Example: sslth mine gem_miner --keep .05 --epochs 20 --out mined

    Exit status 0: done; 1: the loss diverged, the last good checkpoint is in --out; 2: bad input; 130: interrupted
    (the same command goes on).
    """
    from sslth.mining.methods import known_methods

    if explain:
        for name, purpose in known_methods().items():
            typer.echo(f"{name:12s} {purpose}")
        return 0
    if method is None:
        raise InvalidInputError(f"name a method: {', '.join(known_methods())}")
    from sslth.experiments.mining_job import mining_table, run_mining_job
    from sslth.mining.diverged import DivergedError
    from sslth.mining.progress import progress_bar

    try:
        with progress_bar(not (quiet or as_json)) as progress:
            summary = run_mining_job(
                method,
                arch=arch,
                data=data,
                keep=keep,
                epochs=epochs,
                finetune_epochs=finetune,
                learning_rate=learning_rate,
                seed=seed,
                scope={"biases": biases, "norms": norms, "first": first, "last": last, "reestimate": reestimate},
                on_empty=on_empty,
                options=set_ or [],
                sanity_seeds=sanity,
                device=device,
                out=out,
                restart=restart,
                progress=progress,
            )
    except DivergedError as error:
        typer.echo(f"sslth: {error}", err=True)
        return 1
    if as_json:
        echo_json(summary)
    elif quiet:
        typer.echo(f"{summary['accuracy_before']:.4f} {summary['accuracy_after']:.4f}")
    else:
        typer.echo(mining_table(summary))
    return 0
