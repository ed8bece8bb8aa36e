"""Tickets of a face detector and a pitch tracker that other people trained: `python -m sslth.experiments.real`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sslth.errors import SslthError
from sslth.experiments.real.run import results_table, run_real

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run everything; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sslth.experiments.real", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/real"))
    parser.add_argument("--wheels", type=Path, help="where the wheels are or go to; OUT/wheels by default")
    parser.add_argument("--width", type=int, help="of all random networks; chosen for each by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--restart", action="store_true", help="make the tickets anew")
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args(arguments)
    try:
        results = run_real(
            options.out,
            options.wheels or options.out / "wheels",
            seed=options.seed,
            width=options.width,
            restart=options.restart,
            progress=not options.quiet,
            say=(lambda _line: None) if options.quiet else (lambda line: print(line, file=sys.stderr)),
        )
    except SslthError as error:
        print(f"sslth: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sslth: interrupted; the same command goes on", file=sys.stderr)
        return 130
    print(results_table(results))
    print(f"\nLook at {options.out / 'faces.png'} and {options.out / 'pitch.png'}; the numbers are in results.json.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
