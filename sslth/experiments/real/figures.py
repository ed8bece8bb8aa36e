"""The pictures of `make real`: faces that target and tickets find, pitch that they hear."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sslth.experiments.figure_style import INK, PALETTE, Destination, saved, styled, tidy
from sslth.experiments.real.comparisons import Heard, Seen
from sslth.experiments.real.pitch import cents_of, hertz_of

__all__ = ["draw_faces", "draw_pitch"]

_CONTEXT = 1.6  # how much of a photograph is shown around its faces, in units of the faces' extent
_TARGET, _TICKET = PALETTE[4], PALETTE[1]
_TICKS = (50, 100, 200, 400, 800, 1600)


@styled
def draw_faces(seen: Sequence[Seen], path_or_stream: Destination | None = None, *, format: str | None = None) -> Figure:
    """Draw every picture with the boxes of the target (wide, blue) and of the tickets (narrow, orange, dashed)."""
    shares = [_window(one) for one in seen]
    ratios = [(right - left) / (bottom - top) for left, top, right, bottom in shares]
    figure = Figure(figsize=(2.9 * sum(ratios) + 0.4, 4.0), layout="constrained")
    for axes, one, window in zip(
        figure.subplots(1, len(seen), width_ratios=ratios, squeeze=False)[0], seen, shares, strict=True
    ):
        _draw_scene(axes, one, window)
    handles = [
        Rectangle((0, 0), 1, 1, fill=False, edgecolor=_TARGET, linewidth=4.0, label="target"),
        Rectangle((0, 0), 1, 1, fill=False, edgecolor=_TICKET, linewidth=1.4, linestyle="--", label="tickets"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return saved(figure, path_or_stream, format)


def _draw_scene(axes: Axes, one: Seen, window: tuple[float, float, float, float]) -> None:
    axes.imshow(one.image / 255.0, interpolation="antialiased")
    wide = 3.5 if len(one.target.boxes) < 5 else 2.2
    for faces, colour, width, dashes in ((one.target, _TARGET, wide, "-"), (one.ticket, _TICKET, wide * 0.4, "--")):
        for left, top, right, bottom in faces.boxes:
            axes.add_patch(
                Rectangle(
                    (left, top),
                    right - left,
                    bottom - top,
                    fill=False,
                    edgecolor=colour,
                    linewidth=width,
                    linestyle=dashes,
                )
            )
        points = faces.landmarks.reshape(-1, 2)
        size = 10.0 * width if len(one.target.boxes) < 5 else 2.0 * width
        axes.scatter(points[:, 0], points[:, 1], s=size, color=colour, linewidths=0)
    left, top, right, bottom = window
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    row = one.as_json()
    apart = row["largest_box_difference_pixels"]
    said = "not the same faces" if apart is None else f"at most {apart:.2f} px apart"
    axes.set_title(f"{one.name}: {row['faces_target']} and {row['faces_ticket']}\n{said}")


def _window(one: Seen) -> tuple[float, float, float, float]:
    """The part of the picture that is shown: all of it, or what surrounds the faces if these are few."""
    height, width = one.image.shape[:2]
    boxes = one.target.boxes
    if not 0 < len(boxes) < 5:
        return 0.0, 0.0, float(width), float(height)
    corner, end = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    half = _CONTEXT * float((end - corner).max()) / 2.0
    x, y = (corner + end) / 2.0
    return max(0.0, x - half), max(0.0, y - half), min(float(width), x + half), min(float(height), y + half)


@styled
def draw_pitch(
    heard: Sequence[Heard], path_or_stream: Destination | None = None, *, format: str | None = None
) -> Figure:
    """Draw the pitch over time, what is played behind it, and below how many cents target and ticket are apart."""
    figure = Figure(figsize=(4.0 * len(heard), 5.2), layout="constrained")
    above, below = figure.subplots(2, len(heard), height_ratios=(2.4, 1.0), squeeze=False, sharex="col", sharey="row")
    for upper, lower, one in zip(above, below, heard, strict=True):
        _draw_track(upper, one)
        apart = np.abs(one.target.cents - one.ticket.cents)
        lower.plot(one.target.seconds, np.maximum(apart, 1e-3), ".", markersize=3, color=INK)
        lower.axhline(5.0, color=PALETTE[2], linewidth=1.5)
        lower.set_yscale("log")
        lower.set_xlabel("seconds")
        tidy(lower)
    above[0].set_ylabel("pitch, Hz")
    below[0].set_ylabel("apart, cents")
    below[0].text(
        0.99, 7.0, "5 cents", transform=below[0].get_yaxis_transform(), color=PALETTE[2], fontsize=9, ha="right"
    )
    handles, labels = above[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return saved(figure, path_or_stream, format)


def _draw_track(axes: Axes, one: Heard) -> None:
    length = one.sound.hertz.shape[1]
    seconds = np.arange(length) / 16_000
    for index, voice in enumerate(one.sound.hertz):
        label = "played" if index == 0 else None
        axes.plot(seconds[::100], cents_of(voice[::100]), color="#BBBBBB", linewidth=5.0, label=label)
    axes.plot(one.target.seconds, one.target.cents, "o", markersize=4.0, color=_TARGET, label="target")
    axes.plot(one.ticket.seconds, one.ticket.cents, ".", markersize=2.5, color=_TICKET, label="ticket")
    ticks = cents_of(np.array(_TICKS, dtype=float))
    axes.set_yticks(ticks, [f"{value:,.0f}" for value in hertz_of(ticks)])
    axes.set_title(one.sound.name)
    tidy(axes)
