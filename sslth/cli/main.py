"""The `sslth` command: its parts, and what every failure looks like from outside."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

import sslth
from sslth.cli.certify import certify
from sslth.cli.check import check
from sslth.cli.compare import compare
from sslth.cli.extract import extract
from sslth.cli.inspect import inspect
from sslth.cli.mine import mine
from sslth.cli.plot import plot
from sslth.cli.reproduce import reproduce
from sslth.cli.solve import solve
from sslth.cli.sweep import sweep
from sslth.errors import DeviceLostError, SslthError

if TYPE_CHECKING:
    from sslth.theory.claims import Claim

__all__ = ["app", "main"]

_INTERRUPTED = 130
_UsageError: Any = typer.BadParameter.__mro__[1]  # click's UsageError, from wherever typer's version takes click

app = typer.Typer(
    name="sslth",
    help="Structured strong lottery tickets in random CNNs, by multidimensional random subset sum.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("extract")(extract)
app.command("certify")(certify)
app.command("inspect")(inspect)
app.command("solve")(solve)
app.command("plot")(plot)
app.command("reproduce")(reproduce)
app.command("sweep")(sweep)
app.command("check")(check)
app.command("mine")(mine)
app.command("compare")(compare)


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


def main(arguments: list[str] | None = None, *, claims: Mapping[int, Claim] | None = None) -> int:
    """Run the command line; returns the exit status. Users see one line for every error of theirs.

    `claims` are those that `check` knows, the papers' by default.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        if not given:
            app(["--help"], prog_name="sslth", standalone_mode=False)
            return 2
        status = app(given, prog_name="sslth", standalone_mode=False, obj=claims)
    except SslthError as error:
        typer.echo(f"sslth: {' '.join(str(error).split())}", err=True)
        return 1 if isinstance(error, DeviceLostError) else 2
    except _UsageError as error:
        message = " ".join(error.format_message().split())
        typer.echo(f"sslth: {message} (see --help)", err=True)
        return 2
    except MemoryError as error:
        typer.echo(f"sslth: not enough memory: {error}; ask for something smaller", err=True)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("sslth: interrupted", err=True)
        return _INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    if status == _INTERRUPTED:
        typer.echo("sslth: interrupted", err=True)
    return status if isinstance(status, int) else 0


def run() -> None:
    """Entry point of the console script."""
    sys.exit(main())


if __name__ == "__main__":
    run()
