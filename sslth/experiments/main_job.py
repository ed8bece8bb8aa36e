"""The main job from end to end: extract, certify, compare, draw, and leave everything in one folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from sslth.cnn.certificates.certify import Report, certify
from sslth.cnn.extract import extract
from sslth.cnn.layers import find_layers, kernel_and_bias
from sslth.cnn.progress import report_progress
from sslth.cnn.ticket import Ticket
from sslth.cnn.widths.width_plan import WidthPlan
from sslth.errors import InvalidInputError
from sslth.experiments.comparison import compare
from sslth.experiments.deployed_size import deployed_sizes
from sslth.experiments.error_vs_width import error_vs_width
from sslth.experiments.figure_style import figure_to_png
from sslth.experiments.figures import draw_error_vs_width, draw_layer_errors
from sslth.experiments.kernel_figures import as_tile, draw_kept_filters, draw_kernel_comparison
from sslth.experiments.planned import planned_and_reached
from sslth.experiments.report import write_report
from sslth.experiments.store import Store
from sslth.experiments.summary import summary_of
from sslth.experiments.without_compensation import with_error_without
from sslth.subset_sum.files import write_bytes

__all__ = ["run_main_job"]

_DRAWN = 1 << 14  # kept filters of a block, those of the largest |v_t|, among which the longest are shown


def run_main_job(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor | None,
    *,
    out: Path,
    width: int | None,
    seed: int,
    low: Any,
    high: Any,
    evaluated_on: str,
    command: str,
    solver: str = "auto",
    gain: float | None = None,
    target_error: float | None = None,
    time_limit: float | None = None,
    max_kept: int | None = None,
    max_bytes: int | str | None = None,
    calibration: Tensor | None = None,
    compensate: bool = True,
    source: Any = None,
    carry_over: Collection[str] = (),
    device: str = "auto",
    memory: str = "1GiB",
    jobs: int | None = None,
    with_widths: bool = False,
    restart: bool = False,
    slope_steps: int = 20,
    progress: bool = True,
    on_plan: Callable[[WidthPlan], object] = lambda _plan: None,
    stages: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Make a ticket of the model and everything that a person wants to see of it; returns `summary.json`'s content.

    Leaves in `out`: target.safetensors, ticket.safetensors, summary.json, report.html, layer_errors.png,
    kept_filters.png, kernels.png and, `with_widths`, error_vs_width.png with its store. `inputs` [m, ...] are what
    both networks are compared on; `stages` are seconds already spent, such as on training; `on_plan` sees the plan of
    widths, if one is asked for, before the extraction.
    """
    out = Path(out)
    _make_folder(out)
    store_path = out / "error_vs_width.db"
    if restart:
        for leftover in out.glob("error_vs_width.db*"):
            leftover.unlink()
        _forget_blocks(out)
    seconds = dict(stages or {})
    planned: list[WidthPlan] = []

    def show_plan(plan: WidthPlan) -> None:
        planned.append(plan)
        on_plan(plan)

    with report_progress(progress) as report:
        with _timed(seconds, "extract"):
            ticket = extract(
                model, inputs, width, seed, solver=solver, low=low, high=high, device=device, progress=report,
                gain=gain, max_kept=max_kept, memory=memory, jobs=jobs, calibration=calibration, compensate=compensate,
                source=source, carry_over=carry_over, target_error=target_error, time_limit=time_limit,
                max_bytes=max_bytes, _blocks=out / "blocks.db", _show_plan=show_plan,
            )  # fmt: skip
            target = save_safetensors(
                {name: values.detach().cpu().contiguous().clone() for name, values in model.state_dict().items()}
            )
            write_bytes(out / "target.safetensors", target)
            ticket.save(out / "ticket.safetensors")
        with _timed(seconds, "certify"):
            certificate = certify(
                ticket,
                model,
                device=device,
                data=inputs,
                starts=256,
                steps=200,
                slope_steps=slope_steps,
                progress=report,
            )
        with _timed(seconds, "compare"):
            comparison = compare(model, ticket, inputs, labels)
        settings = ticket.settings
        if isinstance(calibration, Tensor):
            with _timed(seconds, "without_calibration"):
                settings = with_error_without(
                    model, ticket, calibration, solver=solver, device=device, progress=report, gain=gain,
                    max_kept=max_kept, memory=memory, jobs=jobs, source=source, carry_over=carry_over,
                    _blocks=out / "blocks.db",
                )  # fmt: skip
        with _timed(seconds, "measure_sizes"):
            deployed = deployed_sizes(ticket, model, inputs)
        pictures: dict[str, bytes] = {}
        if with_widths:
            with _timed(seconds, "error_vs_width"), Store(store_path) as store:
                rows = error_vs_width(model, inputs[:1], inputs, low=low, high=high, store=store, progress=report)
                draw_error_vs_width(rows, out / "error_vs_width.png")
                pictures["error_vs_width"] = (out / "error_vs_width.png").read_bytes()
    with _timed(seconds, "draw"):
        pictures |= _draw(model, ticket, certificate)
        for name in ("layer_errors", "kept_filters", "kernels"):
            write_bytes(out / f"{name}.png", pictures[name])
    summary = summary_of(
        ticket,
        certificate,
        comparison,
        settings=settings,
        stays=ticket.names_that_stay,
        deployed=deployed,
        planned=planned_and_reached(planned[0], ticket, seconds["extract"]) if planned else None,
        target_bytes=len(target),
        seconds=seconds,
        evaluated_on=evaluated_on,
        command=command,
    )
    write_bytes(out / "summary.json", (json.dumps(summary, indent=2, allow_nan=False) + "\n").encode())
    write_report(out / "report.html", summary, pictures, command)
    _forget_blocks(out)  # the ticket has them
    return summary


def _forget_blocks(out: Path) -> None:
    """Remove the finished blocks of an extraction that is over, or that shall begin anew."""
    for leftover in out.glob("blocks.db*"):
        leftover.unlink()


def _draw(model: nn.Module, ticket: Ticket, certificate: Report) -> dict[str, bytes]:
    """Pictures of one block of the layer with the largest kernel error, and of all layers' errors."""
    name = max(certificate.kernel_error, key=lambda layer: certificate.kernel_error[layer])
    kept = next(kept for kept in ticket.layers if kept.layer.name == name)
    wiring = kept.layer.wiring
    weight, _ = kernel_and_bias(find_layers(ticket.plain_target(model), ticket.carry_over)[name])
    channel = max(range(wiring.in_channels), key=lambda b: float(np.linalg.norm(wiring.block(weight, b))))
    block, packed = kept.blocks(ticket.seed)[channel]
    filters = packed.numbers()
    scales = block.scales(filters)
    positive = scales > 0
    filters, scales = filters[positive], scales[positive]
    largest = np.sort(
        np.argsort(-scales, kind="stable")[:_DRAWN]
    )  # of a wide block there are too many to draw them all
    shape = (wiring.outputs_per_group, *as_tile(wiring.kernel_size))
    rows = block.rows(filters[largest], scales[largest]).reshape(-1, *shape)
    target = np.array(wiring.block(weight, channel)).reshape(shape)
    total = int((block.scales() > 0).sum())
    where = f"{name}, input channel {channel}"
    approximation = block.total(filters).reshape(target.shape) / kept.layer.gain
    return {
        "layer_errors": figure_to_png(draw_layer_errors(certificate.kernel_error)),
        "kept_filters": figure_to_png(draw_kept_filters(rows, total=total, title=where, kept=filters.size)),
        "kernels": figure_to_png(draw_kernel_comparison(target, approximation, title=where)),
    }


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(f"cannot make the output folder {out}: {error.strerror or error}") from error
    probe = out / ".writable"
    write_bytes(probe, b"")
    probe.unlink()


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - started
