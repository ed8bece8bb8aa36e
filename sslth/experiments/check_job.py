"""The check from end to end: results, page and numbers in one folder, where the next run goes on."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from sslth.errors import InvalidInputError
from sslth.experiments.check import CheckReport, check
from sslth.experiments.check_json import check_json
from sslth.experiments.grid import Progress
from sslth.experiments.store import Store
from sslth.subset_sum.files import write_bytes
from sslth.theory.claims import Claim, Effort

__all__ = ["page_path", "run_check"]


def run_check(
    effort: Effort,
    claims: Collection[int] | None,
    *,
    out: Path | None,
    jobs: int,
    seed: int,
    restart: bool = False,
    progress: Progress | None = None,
    catalogue: Mapping[int, Claim] | None = None,
) -> CheckReport:
    """Check the claims and leave page, numbers and the store check.db in `out`; with None nothing is written.

    The page is check.html and the numbers check.json; of chosen claims check-7.html and check-7.json, since their
    intervals are corrected for fewer numbers than those of the whole table.

    Raises
    ------
    InvalidInputError
        As `check` does; also if `out` cannot be made or written, or `restart` would discard results of claims that
        were not asked for.
    """
    if out is None:
        return check(effort, claims, None, jobs, progress, seed, catalogue=catalogue)
    _make_folder(out)
    if restart:
        _discard(out, claims)
    with Store(out / "check.db") as store:
        report = check(effort, claims, store, jobs, progress, seed, catalogue=catalogue)
    from sslth.experiments.check_report import write_check  # jinja2 and matplotlib, only where there is a page

    text = json.dumps(check_json(report), indent=2, allow_nan=False) + "\n"
    page = page_path(out, claims)
    write_bytes(page.with_suffix(".json"), text.encode("utf-8"))
    write_check(page, report, str(out))
    return report


def page_path(out: Path, claims: Collection[int] | None) -> Path:
    """Return where the page of these claims lies."""
    chosen = "" if claims is None else "".join(f"-{number}" for number in sorted(set(claims)))
    return out / f"check{chosen}.html"


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(f"cannot make the output folder {out}: {error.strerror or error}") from error


def _discard(out: Path, claims: Collection[int] | None) -> None:
    found = sorted(out.glob("check.db*"))
    if found and claims is not None:
        raise InvalidInputError(
            f"--restart discards the results of all claims in {out}: leave --claim out, or take another --out"
        )
    try:
        for leftover in found:
            leftover.unlink()
    except OSError as error:
        raise InvalidInputError(f"cannot discard {error.filename}: {error.strerror or error}") from error
