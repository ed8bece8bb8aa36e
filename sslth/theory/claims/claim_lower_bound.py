"""Claim 9, structured lower bound: removing neurons needs width 1/ε for one ReLU neuron, removing weights log(1/ε)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from sslth.theory.claims.claim import Case, Claim, Effort, Findings, Panel, Parameters, Result, Series, Side, cell_rng
from sslth.theory.least_squares import coefficient_interval
from sslth.theory.neuron_removal import (
    blocked_error,
    draw_network,
    kink_bound,
    relu_lower_bound,
    relu_problem,
    smallest_error,
)
from sslth.theory.order_statistics import median_interval

__all__ = ["CLAIM", "claim"]

NUMBER = 9
FloatArray = npt.NDArray[np.float64]
Pairs = Sequence[tuple[Parameters, Result]]

TARGET = (0.6, 0.4)
_SEARCHED = {Effort.QUICK: (8, 14, 20), Effort.FULL: (8, 12, 16, 20, 24, 28, 32, 36, 40, 44)}
_BOUNDED = {Effort.QUICK: (16, 64, 256, 1024), Effort.FULL: (16, 64, 256, 1024, 4096, 16384)}
_BLOCKED = {Effort.QUICK: (16, 24, 32, 40, 48, 56, 64), Effort.FULL: (16, 24, 32, 40, 48, 56, 64, 72, 80, 88)}
_WAYS = 16  # to give every neuron one input, of which removing weights takes the best


def cells(effort: Effort, seed: int) -> list[dict[str, Any]]:
    """Widths whose subsets are all searched, widths whose kinks are looked at, and widths with one input a neuron."""
    quick = effort is Effort.QUICK
    every: list[dict[str, Any]] = []
    for _ in range(1 if quick else 8):
        every += [
            {"part": "searched", "n": n, "repetitions": 250 if n < 20 else 80 if n == 20 else 30 if n < 36 else 12}
            for n in _SEARCHED[effort]
        ]
        every += [{"part": "bounded", "n": n, "repetitions": 500} for n in _BOUNDED[effort]]
        every += [{"part": "blocked", "n": n, "repetitions": 60} for n in _BLOCKED[effort]]
    return [{**cell, "target": list(TARGET), "seed": seed, "index": index} for index, cell in enumerate(every)]


def evaluate(parameters: Parameters) -> dict[str, Any]:
    """Errors and bounds of `repetitions` random networks of one width."""
    rng = cell_rng(NUMBER, parameters)
    n, target = parameters["n"], np.asarray(parameters["target"])
    networks = [draw_network(n, rng) for _ in range(parameters["repetitions"])]
    if parameters["part"] == "bounded":
        return {"kink_bound": [kink_bound(network, target) for network in networks]}
    blocked = weights = blocked_error(networks, target, rng.integers(0, 2, (len(networks), n)))
    for _ in range(_WAYS - 1):
        other = blocked_error(networks, target, rng.integers(0, 2, (len(networks), n)))
        weights = np.minimum(weights, other)
    result: dict[str, Any] = {"blocked": blocked.tolist(), "weights": weights.tolist()}
    if parameters["part"] == "searched":
        result["neurons"] = [relu_lower_bound(network, target) for network in networks]
        few = networks[:20]
        result["best_of_linear_output"] = [smallest_error(relu_problem(network, target)) for network in few]
        result["kink_bound"] = [kink_bound(network, target) for network in few]
    return result


def judge(
    pairs: Pairs, confidence: float, exponent: float, margin: float, smallest_rate: float, smallest_separation: float
) -> Findings:
    """Power of the width in the kink bound, the search against it, rates with one input a neuron, the separation."""
    cases = [_power(pairs, confidence, -(exponent + margin)), _search_against_bound(pairs)]
    for key, name in (("blocked", "channel-blocked mask"), ("weights", "single weights")):
        n, values = _draws(pairs, "blocked", key)
        design = np.stack([np.ones_like(n), np.log2(n), n], axis=1)
        rate, ends = coefficient_interval(design, np.log2(values), 2, confidence)
        here = {"n": _range(n), "target": list(TARGET)}
        name = f"{name}: b of log2 error = a + b n + c log n"
        cases.append(Case(name, rate, ends, -smallest_rate, Side.AT_MOST, here, n.size))
    n, neurons = _draws(pairs, "searched", "neurons")
    _, weights = _draws(pairs, "searched", "weights")
    design = np.stack([np.ones_like(n), n], axis=1)
    gap, ends = coefficient_interval(design, np.log2(neurons / weights), 1, confidence)
    here = {"n": _range(n), "target": list(TARGET)}
    name = "separation: log2 of error, neurons over weights, per neuron"
    cases.append(Case(name, gap, ends, smallest_separation, Side.AT_LEAST, here, n.size))
    note = (
        "For one fixed target of two inputs. The kink bound holds for every subset, even with new output weights, if "
        "the output is linear; with a ReLU at the output, which removing weights needs, all subsets are searched, and "
        "these widths are too small for the power 1: from 1 the error first falls faster. With "
        "one input a neuron (channel-blocked mask: at most twice the best; weights: the best of a few such masks) the "
        "errors are upper bounds, as their side of the claim needs."
    )
    return Findings(cases, [_panel(pairs, confidence, True), _panel(pairs, confidence, False)], note)


def _power(pairs: Pairs, confidence: float, bound: float) -> Case:
    n, values = _draws(pairs, "bounded", "kink_bound")
    slope, ends = coefficient_interval(
        np.stack([np.ones_like(n), np.log(n)], axis=1), np.log(np.maximum(values, 1e-300)), 1, confidence
    )
    constant, around = median_interval(n * values, confidence)
    here = {"n": _range(n), "target": list(TARGET), "width times bound": constant, "its interval": list(around)}
    return Case("removing neurons: power of the width in the bound", slope, ends, bound, Side.AT_LEAST, here, n.size)


def _search_against_bound(pairs: Pairs) -> Case:
    """The smallest ratio of what an exact search finds and the bound: computed for each draw, no sampling in it."""
    ratios = [
        error / bound
        for parameters, result in pairs
        if parameters["part"] == "searched"
        for error, bound in zip(result["best_of_linear_output"], result["kink_bound"], strict=True)
        if bound > 0.0
    ]
    least = min(ratios)
    n, _ = _draws(pairs, "searched", "neurons")
    here = {"n": _range(n), "draws": len(ratios)}
    ends = (least * (1.0 - 1e-12), least * (1.0 + 1e-12))  # columns of the search and the bound are rounded
    return Case("removing neurons: best of all subsets over the bound", least, ends, 1.0, Side.AT_LEAST, here)


def _draws(pairs: Pairs, part: str, key: str) -> tuple[FloatArray, FloatArray]:
    """Widths and values, one each for every draw."""
    chosen = [(p, r) for p, r in pairs if p["part"] == part]
    n = np.concatenate([np.full(len(r[key]), float(p["n"])) for p, r in chosen])
    return n, np.concatenate([np.asarray(r[key], dtype=np.float64) for _, r in chosen])


def _range(n: FloatArray) -> list[int]:
    return [int(n.min()), int(n.max())]


def _panel(pairs: Pairs, confidence: float, log_x: bool) -> Panel:
    """All widths on log axes, or the widths up to 100 on a linear one, where an exponential is straight."""
    series = []
    for label, part, key in (
        ("neurons removed, ReLU output: at least", "searched", "neurons"),
        ("neurons removed, linear output: exact", "searched", "best_of_linear_output"),
        ("neurons removed, linear output: kink bound", "bounded", "kink_bound"),
        ("channel-blocked mask: at most", "blocked", "blocked"),
        ("weights removed: at most", "blocked", "weights"),
    ):
        n, values = _draws(pairs, part, key)
        series.append(_medians(label, n, values, confidence, np.inf if log_x else 100.0))
    if log_x:
        n, values = _draws(pairs, "bounded", "kink_bound")
        ends = [float(n.min()), float(n.max())]
        constant = float(np.median(n * values))
        series.append(Series("c / n", ends, [constant / at for at in ends], role="theory"))
    title = "One ReLU neuron: error against width" + ("" if log_x else ", linear axis")
    return Panel(title, "width n", "median error, sup norm on [−1, 1]²", series, log_x=log_x, log_y=True)


def _medians(label: str, n: FloatArray, values: FloatArray, confidence: float, widest: float) -> Series:
    widths = [at for at in np.unique(n).tolist() if at <= widest]
    found = [median_interval(values[n == at], confidence) for at in widths]
    low = [max(ends[0], float(values[n == at].min())) for at, (_, ends) in zip(widths, found, strict=True)]
    high = [min(ends[1], float(values[n == at].max())) for at, (_, ends) in zip(widths, found, strict=True)]
    return Series(label, widths, [median for median, _ in found], low, high)


def claim(
    exponent: float = 1.0, margin: float = 0.1, smallest_rate: float = 0.0, smallest_separation: float = 0.0
) -> Claim:
    """Return the claim that removing neurons leaves an error of at least c / n^exponent, and weights do better.

    Parameters
    ----------
    exponent, margin : float
        The fitted power of the width in the lower bound must not be steeper than their sum.
    smallest_rate : float
        So many bits a neuron the error falls at least, beside any power of the width, with one input a neuron.
    smallest_separation : float
        So many bits a neuron removing weights gains on removing neurons.
    """
    return Claim(
        NUMBER,
        "structured lower bound",
        "Approximating one bias-free ReLU neuron by a pruned random two-layer ReLU network needs Ω(1/ε) hidden neurons "
        "if neurons are removed, and O(log(1/ε)) if weights are",
        "Ferre', Giroire, Mallmann-Trenn, Natale 2026, arXiv:2603.02234 (v3)",
        cells,
        evaluate,
        partial(
            judge,
            exponent=exponent,
            margin=margin,
            smallest_rate=smallest_rate,
            smallest_separation=smallest_separation,
        ),
    )


CLAIM = claim()
