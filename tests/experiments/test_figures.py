"""Figures: they can be drawn from anything sensible, are not blank, and are the same bytes each time."""

import io
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread

from sslth.errors import InvalidInputError
from sslth.experiments.error_vs_width import WidthPoint
from sslth.experiments.figures import (
    draw_error_vs_width,
    draw_kept_filters,
    draw_kernel_comparison,
    draw_layer_errors,
    figure_to_png,
    save_figure,
)


def some_points(series=1, widths=(64, 128, 256, 512), seeds=3):
    rng = np.random.default_rng(0)
    return [
        WidthPoint(
            width, seed, float(40 / width**1.5 * np.exp(0.3 * rng.standard_normal())), 5, 2 * width, 0.1, f"{s}" * 64
        )
        for s in range(series)
        for width in widths
        for seed in range(seeds)
    ]


def kernels(*shape):
    return np.random.default_rng(0).standard_normal(shape)


DRAWN = {
    "widths": lambda: draw_error_vs_width(some_points()),
    "several series": lambda: draw_error_vs_width(some_points(series=3)),
    "one point": lambda: draw_error_vs_width(some_points(widths=(64,), seeds=1)),
    "kept": lambda: draw_kept_filters(kernels(50, 8, 3, 3), total=100, title="conv1"),
    "kept, many channels": lambda: draw_kept_filters(kernels(50, 64, 5, 3), total=100),
    "one kept": lambda: draw_kept_filters(kernels(1, 10, 1, 1), total=100),
    "none kept": lambda: draw_kept_filters(kernels(0, 8, 3, 3), total=100),
    "kernels": lambda: draw_kernel_comparison(kernels(16, 3, 3), kernels(16, 3, 3) * 1.001, title="conv2"),
    "many kernels": lambda: draw_kernel_comparison(kernels(64, 7, 7), kernels(64, 7, 7) + 1),
    "equal kernels": lambda: draw_kernel_comparison(kernels(10, 1, 1), kernels(10, 1, 1)),
    "zero kernels": lambda: draw_kernel_comparison(np.zeros((2, 3, 3)), np.zeros((2, 3, 3))),
    "layers": lambda: draw_layer_errors({"conv1": 1e-4, "conv2": 2e-2, "odd": None, "inf": np.inf, "zero": 0.0}),
    "layers without errors": lambda: draw_layer_errors({"conv1": None}),
    "one layer": lambda: draw_layer_errors({"fc": 1e-3}),
    "many layers": lambda: draw_layer_errors({f"layer{i}.conv": [1e-4 * i, None][i == 7] for i in range(90)}),
}


@pytest.mark.parametrize("name", DRAWN)
def test_pictures_are_png_not_blank_and_repeatable(name):
    png = figure_to_png(DRAWN[name](), dpi=60)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    pixels = imread(io.BytesIO(png))[..., :3]
    assert pixels.std() > 0.02
    # Nothing is cut off: the outermost pixels are paper.
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert edge.min() > 0.99
    assert figure_to_png(DRAWN[name](), dpi=60) == png


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_suffix_chooses_the_format_and_no_date_is_written(tmp_path, suffix, start):
    path = tmp_path / f"picture.{suffix.upper()}"
    draw_error_vs_width(some_points(), path)
    content = path.read_bytes()
    assert content.startswith(start)
    assert b"Date" not in content
    stream = io.BytesIO()
    draw_error_vs_width(some_points(), stream, suffix)
    assert stream.getvalue() == content
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_the_fit_stands_in_the_legend():
    (axes,) = draw_error_vs_width(some_points()).axes
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert any(text.startswith("slope −1.") and "± " in text and "95 %" in text for text in texts)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_titles_say_how_much_is_shown():
    figure = draw_kept_filters(kernels(50, 64, 3, 3), total=1234, title="conv1, input channel 0")
    assert figure.get_suptitle() == "50 kept of 1,234 filters in conv1, input channel 0"
    assert "(40 of 50 shown)" in figure.axes[0].get_xlabel()
    assert "(16 of 64 shown)" in figure.axes[0].get_ylabel()


def test_the_enlargement_stands_beside_the_difference():
    target = kernels(4, 3, 3)
    difference = np.zeros_like(target)
    difference[0, 0, 0] = np.abs(target).max() / 250
    figure = draw_kernel_comparison(target, target + difference)
    assert [axes.get_ylabel() for axes in figure.axes[:3]] == ["target", "kept filters", "difference\n× 200"]


def test_points_without_a_positive_error_are_not_drawn():
    points = [*some_points(), WidthPoint(1024, 0, None, 1, 2, 0.1), WidthPoint(2048, 0, 0.0, 1, 2, 0.1)]
    (axes,) = draw_error_vs_width(points).axes
    assert list(axes.get_xticks()) == [64, 128, 256, 512]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: draw_error_vs_width([]),
        lambda: draw_error_vs_width(some_points(series=7)),
        lambda: draw_kept_filters(kernels(3, 3), total=5),
        lambda: draw_kept_filters(kernels(3, 2, 3, 3) * np.nan, total=5),
        lambda: draw_kernel_comparison(kernels(3, 3, 3), kernels(2, 3, 3)),
        lambda: draw_kernel_comparison(kernels(0, 3, 3), kernels(0, 3, 3)),
        lambda: draw_layer_errors({}),
        lambda: save_figure(DRAWN["one layer"](), "picture.jpg"),
        lambda: save_figure(DRAWN["one layer"](), "picture"),
        lambda: save_figure(DRAWN["one layer"](), "/nowhere/at/all/picture.png"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(draw):
    with pytest.raises(InvalidInputError, match=r"^[^\n]+$"):
        draw()


def test_the_users_settings_stay_and_do_not_matter():
    before = figure_to_png(DRAWN["layers"](), dpi=60)
    with matplotlib.rc_context(
        {"font.size": 30.0, "axes.facecolor": "red", "savefig.bbox": "tight", "lines.linewidth": 9}
    ):
        settings = dict(matplotlib.rcParams)
        assert figure_to_png(DRAWN["layers"](), dpi=60) == before
        assert dict(matplotlib.rcParams) == settings


def test_pyplot_is_not_touched():
    program = (
        "import sys, sslth.experiments.figures; sys.exit('matplotlib.pyplot' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0
