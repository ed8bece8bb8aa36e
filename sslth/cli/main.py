"""The `sslth` command: its parts, and what every failure looks like from outside."""

from __future__ import annotations

import sys
from typing import Annotated

import click
import typer

import sslth
from sslth.cli.extract import extract
from sslth.cli.plot import plot
from sslth.cli.solve import solve
from sslth.errors import SslthError

__all__ = ["app", "main"]

app = typer.Typer(
    name="sslth",
    help="Structured strong lottery tickets in random CNNs, by multidimensional random subset sum.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("extract")(extract)
app.command("solve")(solve)
app.command("plot")(plot)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sslth {sslth.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Exit status: 0 done, 1 not reached within the limits or resumable, 2 bad input or infeasible, 130 Ctrl-C."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status. Users see one line for every error of theirs."""
    try:
        status = app(arguments, standalone_mode=False)
    except SslthError as error:
        click.echo(f"sslth: {' '.join(str(error).split())}", err=True)
        return 2
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        click.echo(f"sslth: {error.format_message()} (see --help)", err=True)
        return 2
    except (KeyboardInterrupt, click.exceptions.Abort):
        click.echo("sslth: interrupted", err=True)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    return status if isinstance(status, int) else 0


def run() -> None:
    """Entry point of the console script."""
    sys.exit(main())


if __name__ == "__main__":
    run()
