"""
The construction
================

One layer of a trained network, the random pair that takes its place, the two masks, and the sums that are left. All
numbers are those of a real ticket, so small that every filter can be drawn: two input channels, one output channel,
kernels of 3x1, so d = 3, and n = 16, that is 32 random filters an input channel.
"""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import sslth
from sslth.experiments.figure_style import DIVERGING, INK, PALETTE, styled

# %%
# A target layer and its ticket. Inputs have both signs, so each channel needs two sums: filters with v > 0 see the
# positive part of the input, those with v < 0 the negative part. The errors are large because the width is tiny, and
# they differ much from seed to seed: at seed 0 one block has nothing but short kernels that point the wrong way.
torch.manual_seed(0)
target = torch.nn.Sequential(torch.nn.Conv2d(2, 1, (3, 1), bias=False))
ticket = sslth.extract(target, torch.zeros(1, 2, 4, 4), width=16, seed=3, solver="brute_force", progress=False)
kernels = target[0].weight.detach().numpy()[0]  # [channel, 3, 1]
gain = ticket.layers[0].layer.gain

# %%
# The random pair with all its filters: V is dense, [filters, channels]; U is [filters, 1, 3, 1].
random_pair = ticket.random_network()[0]
v, u = random_pair.v.numpy(), random_pair.u.numpy()[:, 0]
masks = ticket.masks("0")
blocked, keep = masks.blocked[: len(v)], masks.keep[: len(v)]  # filters that read the constant 1 come last
scales = v[blocked]  # v_t: what the channel-blocked mask leaves of each filter's row of V
rows = np.abs(scales)[:, None, None] * u  # Y_t
channel = blocked.argmax(axis=1)
blocks = [(b, sign, np.flatnonzero((channel == b) & (sign * scales > 0))) for b in (0, 1) for sign in (1, -1)]
for b, sign, filters in blocks:
    kept = filters[keep[filters]]
    error = np.abs(rows[kept].sum(axis=0) / gain - sign * kernels[b]).max()
    print(f"channel {b + 1}, v {'> 0' if sign > 0 else '< 0'}: {len(kept)} of {len(filters)} kept, error {error:.3f}")


# %%
# The figure: filters stand in columns, sorted by channel and sign.
def draw_tiles(axes: Axes, tiles: np.ndarray, places: np.ndarray, largest: float, faint: np.ndarray) -> None:
    """Kernels [m, 3, 1] as little pictures, each 0.9 wide, at the places given; faint ones are pruned."""
    for tile, place, is_faint in zip(tiles, places, faint, strict=True):
        extent = (place - 0.45, place + 0.45, -0.45, 0.45)
        axes.imshow(tile, extent=extent, cmap=DIVERGING, vmin=-largest, vmax=largest, alpha=0.22 if is_faint else 1.0)
        if not is_faint:
            axes.add_patch(Rectangle((place - 0.45, -0.45), 0.9, 0.9, fill=False, edgecolor=INK, linewidth=1.2))


def draw_words(axes: Axes) -> None:
    """The layer and the pair in its place, as words and arrows."""
    words = [
        "input\n$x$, 2 channels",
        "$V$: random 1×1\n64 filters",
        "ReLU",
        "$U$: random 3×1\n1 output",
        "output\n$y$",
    ]
    for place, word in zip((0.06, 0.28, 0.5, 0.72, 0.94), words, strict=True):
        style = {"boxstyle": "round,pad=0.4", "facecolor": "#F2F2F2", "edgecolor": "#888888"}
        axes.text(place, 0.55, word, ha="center", va="center", bbox=style, transform=axes.transAxes)
    for start, end in ((0.125, 0.205), (0.355, 0.465), (0.535, 0.645), (0.795, 0.89)):
        axes.annotate(
            "", (end, 0.55), (start, 0.55), xycoords="axes fraction", arrowprops={"arrowstyle": "->", "color": INK}
        )


@styled
def draw_construction() -> Figure:
    """The pair, V with its mask, the scaled kernels with those kept, and the sums beside their targets."""
    figure = Figure(figsize=(12.0, 7.2), layout="constrained")
    words, matrix, tiles, sums = figure.subplots(4, 1, height_ratios=(0.9, 1.1, 1.0, 2.0))
    order = np.concatenate([filters for _, _, filters in blocks])
    places = np.arange(len(order))
    draw_words(words)
    words.set_title("a random pair in the place of a trained layer", loc="left")

    matrix.imshow(v[order].T, cmap=DIVERGING, vmin=-2.5, vmax=2.5, aspect="auto")
    for place, filter_ in enumerate(order):
        hidden = 1 - channel[filter_]
        matrix.add_patch(
            Rectangle((place - 0.5, hidden - 0.5), 1, 1, facecolor="white", edgecolor="#BBBBBB", hatch="///")
        )
    matrix.set_yticks([0, 1], ["channel 1", "channel 2"])
    matrix.set_title(
        "$V$, a column a filter; the channel-blocked mask (hatched) leaves each filter one channel", loc="left"
    )

    largest = float(np.quantile(np.abs(rows), 0.98))
    draw_tiles(tiles, rows[order], places, largest, ~keep[order])
    tiles.set_xlim(-0.5, len(order) - 0.5)
    tiles.set_ylim(-0.6, 0.6)
    tiles.set_title("$Y_t = |v_t|\\, U_t$: a whole filter is kept (framed) or removed (faint)", loc="left")

    start = 0
    for b, sign, filters in blocks:
        middle = start + (len(filters) - 1) / 2
        got = rows[filters[keep[filters]]].sum(axis=0) / gain
        for tile, place in ((got, middle - 2.6), (sign * kernels[b], middle + 2.6)):
            extent = (place - 1.5, place + 1.5, -1.5, 1.5)
            sums.imshow(tile, extent=extent, cmap=DIVERGING, vmin=-0.4, vmax=0.4)
            sums.add_patch(Rectangle((place - 1.5, -1.5), 3, 3, fill=False, edgecolor=INK))
        sums.text(middle, 0, "≈", ha="center", va="center", fontsize=18)
        target_name = f"$K_{b + 1}$" if sign > 0 else f"$-K_{b + 1}$"
        sums.text(middle - 2.6, -2.2, "sum of kept", ha="center", va="center")
        sums.text(middle + 2.6, -2.2, target_name, ha="center", va="center")
        part = f"$v_t {'>' if sign > 0 else '<'} 0$: acts on $x_{b + 1}^{'+' if sign > 0 else '-'}$"
        sums.text(middle, 2.25, part, ha="center", va="center", color=PALETTE[0 if sign > 0 else 1])
        start += len(filters)
        for axes in (matrix, tiles):
            axes.axvline(start - 0.5, color=INK, linewidth=1.5 if sign < 0 else 0.8)
    sums.set_xlim(-0.5, len(order) - 0.5)
    sums.set_ylim(-2.8, 2.8)
    sums.set_title("four subset sums, one for each input channel and sign", loc="left")
    for axes in (words, tiles, sums):
        axes.set_axis_off()
    for axes in (tiles, sums):
        axes.set_aspect("auto")
    matrix.set_xticks([])
    matrix.spines[:].set_visible(False)
    matrix.tick_params(length=0)
    return figure


figure = draw_construction()
