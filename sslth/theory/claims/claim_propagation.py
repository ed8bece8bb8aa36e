"""Claim 11, error propagation: a convolution carries sup norms by at most its largest filter's 1-norm."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from sslth.theory.claims.claim import Case, Claim, Effort, Findings, Panel, Parameters, Result, Series, Side, cell_rng
from sslth.theory.convolution import convolve, layer_gain

__all__ = ["CLAIM", "claim"]

NUMBER = 11
IntArray = npt.NDArray[np.int64]

# c_out, c_in, side, pixels, stride, padding, dilation; every input is so large that a whole kernel fits inside
_GEOMETRIES = (
    (1, 1, 1, 4, 1, 0, 1),
    (4, 1, 3, 8, 1, 1, 1),
    (3, 2, 3, 9, 2, 1, 1),
    (2, 8, 3, 9, 1, 2, 2),
    (2, 6, 5, 11, 3, 2, 1),
)
_DEPTHS = (1, 2, 3, 4)
_LARGEST = 1 << 18  # of the integers in one layer: sums of 150 products stay below 2^44
_LARGEST_DEEP = 1 << 5  # of the kernels of several layers: four times a factor of at most 18 * 2^6, and 2^6


def cells(effort: Effort, seed: int) -> list[dict[str, Any]]:
    """One cell for each geometry and each depth, more of them with FULL."""
    batches, repetitions = (1, 30) if effort is Effort.QUICK else (20, 200)
    every: list[dict[str, Any]] = []
    for _ in range(batches):
        for geometry in _GEOMETRIES:
            every.append({"part": "layer", "geometry": list(geometry)})
        for depth in _DEPTHS:
            every.append({"part": "network", "depth": depth})
    return [{**cell, "repetitions": repetitions, "seed": seed, "index": i} for i, cell in enumerate(every)]


def evaluate(parameters: Parameters) -> dict[str, Any]:
    """The largest and smallest of the ratios that one cell looks at, as exact fractions in words."""
    rng = cell_rng(NUMBER, parameters)
    draw = _layer if parameters["part"] == "layer" else _network
    ratios = [draw(parameters, rng) for _ in range(parameters["repetitions"])]
    typical, extreme = zip(*ratios, strict=True)
    return {"largest": str(max(typical)), "largest_extreme": str(max(extreme)), "smallest_extreme": str(min(extreme))}


def _layer(parameters: Parameters, rng: np.random.Generator) -> tuple[Fraction, Fraction]:
    """‖K * x‖ / (max ‖K_o‖₁ ‖x‖) for a random input and for the signs of the largest filter, all integers."""
    c_out, c_in, side, pixels, stride, padding, dilation = parameters["geometry"]
    kernel = rng.integers(-_LARGEST, _LARGEST + 1, (c_out, c_in, side, side))
    kernel[rng.integers(c_out), rng.integers(c_in), 0, 0] = _LARGEST  # no kernel is all zeros
    x = rng.integers(-_LARGEST, _LARGEST + 1, (c_in, pixels, pixels))
    x[0, 0, 0] = _LARGEST
    signs = np.zeros_like(x)
    at = stride * math.ceil(padding / stride) - padding  # the first window that meets no padding
    window = slice(at, at + dilation * (side - 1) + 1, dilation)
    signs[:, window, window] = np.sign(kernel[np.abs(kernel).sum(axis=(1, 2, 3)).argmax()])
    gain = int(layer_gain(kernel))

    def ratio(x: IntArray) -> Fraction:
        y = convolve(kernel, x, stride, padding, dilation)
        return Fraction(int(np.abs(y).max()), gain * int(np.abs(x).max()))

    return ratio(x), ratio(signs)


def _network(parameters: Parameters, rng: np.random.Generator) -> tuple[Fraction, Fraction]:
    """Error over bound after some layers with ReLU: kernels of both signs, then the case that attains the bound."""
    depth, channels = parameters["depth"], 2
    kernels = rng.integers(-_LARGEST_DEEP, _LARGEST_DEEP + 1, (depth, channels, channels, 3, 3))
    changes = rng.integers(-2, 3, kernels.shape)
    changes[:, 0, 0, 0, 0] = 1  # no layer is copied exactly
    x = rng.integers(-_LARGEST_DEEP, _LARGEST_DEEP + 1, (channels, 11, 11))
    x[0, 0, 0] = _LARGEST_DEEP
    # All weights and changes of one sign, filters alike, inputs all 1: no triangle inequality loses anything.
    same = np.broadcast_to(np.abs(kernels[:, :1]), kernels.shape)
    same_changes = np.broadcast_to(np.abs(changes[:, :1]), kernels.shape)
    return (
        _network_ratio(kernels, kernels + changes, x, padding=1),
        _network_ratio(same, same + same_changes, np.ones_like(x), padding=0),
    )


def _network_ratio(kernels: IntArray, others: IntArray, x: IntArray, padding: int) -> Fraction:
    """‖f(x) - g(x)‖ over the bound e_i = ‖K_i - K'_i‖ a_(i-1) + ‖K'_i‖ e_(i-1), a_i = ‖K_i‖ a_(i-1), in integers."""
    size, error = int(np.abs(x).max()), 0
    one, other = x, x
    for kernel, changed in zip(kernels, others, strict=True):
        error = int(layer_gain(kernel - changed)) * size + int(layer_gain(changed)) * error
        size *= int(layer_gain(kernel))
        one = np.maximum(convolve(kernel, one, padding=padding), 0)
        other = np.maximum(convolve(changed, other, padding=padding), 0)
    return Fraction(int(np.abs(one - other).max()), error)


def judge(pairs: Sequence[tuple[Parameters, Result]], _confidence: float, factor: float) -> Findings:
    """Four computed numbers: the bound is never passed, and it is attained; for one layer and for several."""
    cases = []
    for part, name in (("layer", "one layer"), ("network", f"{_DEPTHS[0]} to {_DEPTHS[-1]} layers with ReLU")):
        chosen = [(p, r) for p, r in pairs if p["part"] == part]
        largest = max(max(Fraction(r["largest"]), Fraction(r["largest_extreme"])) for _, r in chosen)
        attained = min(Fraction(r["smallest_extreme"]) for _, r in chosen)
        draws = {"draws": sum(int(p["repetitions"]) for p, _ in chosen)}
        cases.append(_case(f"{name}: largest norm over bound", largest, factor, Side.AT_MOST, draws))
        cases.append(_case(f"{name}: norm over bound at the worst input", attained, factor, Side.AT_LEAST, draws))
    return Findings(
        cases,
        [_layer_panel(pairs, factor), _network_panel(pairs, factor)],
        "The inequality is proved in a line; integer kernels and inputs show that it is stated rightly for stride, "
        "padding and dilation, and that it cannot be improved. Typical errors lie far below it, as the largest of the "
        "random ones show.",
    )


def _case(name: str, ratio: Fraction, factor: float, side: Side, parameters: dict[str, Any]) -> Case:
    value = float(ratio)
    ends = (value, value) if Fraction(value) == ratio else (math.nextafter(value, 0.0), math.nextafter(value, math.inf))
    return Case(name, value, ends, factor, side, parameters)


def _layer_panel(pairs: Sequence[tuple[Parameters, Result]], factor: float) -> Panel:
    def weights(parameters: Parameters) -> float:
        _, c_in, side, *_ = parameters["geometry"]
        return float(c_in * side**2)

    chosen = [(weights(p), r) for p, r in pairs if p["part"] == "layer"]
    return _panel("One layer: sup norm carried", "weights of one filter", chosen, factor, log_x=True)


def _network_panel(pairs: Sequence[tuple[Parameters, Result]], factor: float) -> Panel:
    chosen = [(float(p["depth"]), r) for p, r in pairs if p["part"] == "network"]
    return _panel("Several layers: error of the output", "layers", chosen, factor, log_x=False)


def _panel(title: str, x_label: str, chosen: Sequence[tuple[float, Result]], factor: float, log_x: bool) -> Panel:
    x = sorted({at for at, _ in chosen})

    def values(key: str, extreme: Callable[[list[Fraction]], Fraction]) -> list[float]:
        return [float(extreme([Fraction(r[key]) for place, r in chosen if place == at])) for at in x]

    series = [
        Series("random inputs, largest", x, values("largest", max)),
        Series("worst inputs, smallest", x, values("smallest_extreme", min)),
        Series("bound", x, [factor] * len(x), role="bound"),
    ]
    return Panel(title, x_label, "norm / bound", series, log_x=log_x, log_y=True)


def claim(factor: float = 1.0) -> Claim:
    """Return the claim with `factor` on its right-hand side; it is true and sharp for 1 alone.

    Examples
    --------
    >>> pairs = [(cell, CLAIM.evaluate(cell)) for cell in CLAIM.cells(Effort.QUICK, 0)]
    >>> str(CLAIM.judge(pairs, 0.99).verdict), str(claim(factor=0.5).judge(pairs, 0.99).verdict)
    ('holds', 'violated')
    """
    return Claim(
        NUMBER,
        "error propagation",
        "‖K * x‖_∞ <= max over filters of ‖K_o‖₁ · ‖x‖_∞, hence errors of ReLU layers add up, each times the gains of "
        "the layers after it",
        "Hölder's inequality; used layer by layer in da Cunha, d'Amore, Natale 2023, arXiv:2311.09858",
        cells,
        evaluate,
        partial(judge, factor=factor),
    )


CLAIM = claim()
