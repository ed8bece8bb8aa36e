"""Claim 5: subsets of a fixed size hit a target with constant probability once n H2(k/n) is about log2(k/ε)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from sslth.theory.claims.claim import Case, Claim, Effort, Findings, Panel, Parameters, Result, Series, Side, cell_rng
from sslth.theory.claims.smallest_errors import (
    Setting,
    collected,
    constant_series,
    draw_samples,
    frequency_series,
    frequency_within,
    largest_constant,
    smallest_errors,
)
from sslth.theory.fixed_size_sums import covering_radius, sums_of_size
from sslth.theory.second_moment import enclose_gaussian, flint_is_here, paley_zygmund

__all__ = ["CLAIM", "fixed_size_hits"]

Pairs = Sequence[tuple[Parameters, Result]]

_PROBABILITY = 0.5  # what "constant probability" is taken to be
_BOUNDS = ((20, 10, 0.01), (40, 10, 1e-4))  # n, k, ε of the Paley-Zygmund bounds
_EPSILONS = [10.0 ** (exponent / 4) for exponent in range(-24, -1)]  # of the curves, n = 20, k = 10
# (n, k) -> repetitions of each target, and their number in one cell
_QUICK = {(12, 6): 500, (16, 4): 500, (16, 8): 500, (20, 5): 500, (20, 10): 2000}
_FULL = dict.fromkeys((*_QUICK, (24, 6), (24, 12)), 10_000) | {(28, 7): 2000, (40, 10): 1000}
_BATCHES = {28: 1000, 40: 100}
_BATCH = 5000
_QUICK_COVERS = {(12, 6): 200, (16, 8): 200, (20, 10): 60}
_FULL_COVERS = {(12, 6): 2000, (16, 8): 2000, (20, 10): 1000, (24, 12): 200}
_COVER_BATCHES = {20: 500, 24: 50}


def fixed_size_hits(factor: float = 1.0, constant: float | None = None, constant_all: float | None = None) -> Claim:
    """Return the claim on subsets of a fixed size (RFSS).

    Parameters
    ----------
    factor : float
        The probability of a hit is claimed to be at least this times the Paley-Zygmund bound; 1 is proved.
    constant, constant_all : float, optional
        c of n >= c log2(k/ε) / H2(k/n) for one target, and of n >= c log2²(k/ε) / H2(k/n) for all targets. The paper
        leaves both unnamed: None estimates the smallest one that the draws bear.
    """
    return Claim(
        number=5,
        name="fixed-size subsets hit a target",
        statement="If k <= n/2 and n >= c log2(k/epsilon) / H2(k/n), each fixed |z| <= sqrt(k) is within epsilon of "
        "the sum of a k-subset with constant probability (all of them at once with log2² in place of log2); the "
        "probability is at least E[Y]²/E[Y²] for the number Y of such subsets"
        + (f" times {factor:g}" if factor != 1.0 else "")
        + ".",
        source="Natale, Ferré, Giambartolomei, Giroire, Mallmann-Trenn (2024), Theorem 2 and Corollary 1, "
        "arXiv:2410.14754",
        cells=_cells,
        evaluate=_evaluate,
        judge=partial(_judge, factor, constant, constant_all),
    )


def _cells(effort: Effort, seed: int) -> list[dict[str, Any]]:
    quick = effort is Effort.QUICK
    cells: list[dict[str, Any]] = [
        {"part": "bound", "n": n, "k": k, "epsilon": epsilon, "target": target}
        for n, k, epsilon in _BOUNDS
        for target in (0.0, math.sqrt(k))
    ]
    cells += [{"part": "curve", "n": 20, "k": 10, "target": target} for target in (0.0, math.sqrt(10))]

    def add(part: str, n: int, k: int, target: float | None, repetitions: int, batch: int) -> None:
        for done in range(0, repetitions, batch):
            cell = {"part": part, "n": n, "k": k, "repetitions": min(batch, repetitions - done), "seed": seed}
            cells.append(cell | {"index": len(cells)} | ({} if target is None else {"target": target}))

    for (n, k), repetitions in (_QUICK if quick else _FULL).items():
        for target in (0.0, math.sqrt(k)):
            add("errors", n, k, target, repetitions, _BATCHES.get(n, _BATCH))
    for (n, k), repetitions in (_QUICK_COVERS if quick else _FULL_COVERS).items():
        add("cover", n, k, None, repetitions, _COVER_BATCHES.get(n, _BATCH))
    return cells


def _evaluate(parameters: Parameters) -> dict[str, Any]:
    n, k = int(parameters["n"]), int(parameters["k"])
    if parameters["part"] == "curve":
        bounds = [
            paley_zygmund("gaussian", n, 1, k, epsilon=epsilon, target=parameters["target"]).bound
            for epsilon in _EPSILONS
        ]
        return {"epsilons": _EPSILONS, "bounds": bounds}
    if parameters["part"] == "bound":
        return _bound(n, k, float(parameters["epsilon"]), float(parameters["target"]))
    rng = cell_rng(5, parameters)
    samples = draw_samples("gaussian", rng, int(parameters["repetitions"]), n, 1)
    if parameters["part"] == "cover":
        reach = math.sqrt(k)
        return {"errors": [covering_radius(sums_of_size(row, k), reach) for row in samples]}
    return {"errors": smallest_errors(samples, [float(parameters["target"])], k).tolist()}


def _bound(n: int, k: int, epsilon: float, target: float) -> dict[str, Any]:
    found = paley_zygmund("gaussian", n, 1, k, epsilon=epsilon, target=target)
    low, high = found.interval
    proof = "quadrature, its inner integral measured (python-flint is missing)"
    if flint_is_here():
        low, high = enclose_gaussian(n, k, epsilon, [target])
        proof = "interval arithmetic (python-flint)"
    return {"bound": found.bound, "low": low, "high": high, "proved_by": proof}


def _entropy(share: float) -> float:
    """H2, in bits."""
    return -share * math.log2(share) - (1 - share) * math.log2(1 - share)


def _setting(n: int, k: int, label: str, errors: Any, power: int) -> Setting:
    def constant(epsilon: float) -> float:
        if epsilon <= 0.0:
            return 0.0
        # at ε >= 1 the theorem is not meant
        return n * _entropy(k / n) / math.log2(k / min(epsilon, 1.0)) ** power

    return Setting(label, errors, constant)


def _judge(
    factor: float, constant: float | None, constant_all: float | None, pairs: Pairs, confidence: float
) -> Findings:
    errors = collected(pairs, "errors", ("n", "k", "target"))
    covers = collected(pairs, "cover", ("n", "k"))
    cases = _frequency_cases(factor, pairs, errors, confidence)
    # the target at the edge of what is claimed is the hardest
    edge = [_setting(n, k, f"n = {n}, k = {k}, z = {z:.3g}", found, 1) for (n, k, z), found in errors.items() if z > 0]
    every = [_setting(n, k, f"n = {n}, k = {k}", found, 2) for (n, k), found in covers.items()]
    law = {"law": "gaussian"}
    name = "smallest c for a fixed target"
    cases.append(largest_constant(name, edge, _PROBABILITY, confidence, constant, law | {"z": "sqrt(k)"}))
    name = "smallest c, with log2², for all targets"
    cases.append(largest_constant(name, every, _PROBABILITY, confidence, constant_all, law))
    rows = [
        constant_series(
            f"fixed target √k: n H2 / log2(k/ε), k = n/{part}", *_of_share(errors, edge, part), 0.5, confidence
        )
        for part in (2, 4)
    ]
    rows += [
        constant_series("all targets: n H2 / log2²(k/ε)", [n for n, _ in covers], every, 0.5, confidence),
    ]
    panels = [
        _curve_panel(pairs, errors, confidence),
        Panel("The constant that probability 1/2 asks for", "samples n", "constant c", rows),
    ]
    return Findings(cases, panels, _NOTE)


def _of_share(
    errors: dict[tuple[Any, ...], Any], settings: Sequence[Setting], part: int
) -> tuple[list[float], list[Setting]]:
    """The n with k = n / part and their settings; these are in the order of the errors with z > 0."""
    edge = [(n, k) for n, k, z in errors if z > 0]
    found = [(n, setting) for (n, k), setting in zip(edge, settings, strict=True) if n == part * k]
    return [n for n, _ in found], [setting for _, setting in found]


_NOTE = (
    "Constant probability is taken as 1/2. The constants are the largest that the sizes drawn ask for; "
    "other n, k and epsilon may need larger ones."
)


def _frequency_cases(factor: float, pairs: Pairs, errors: dict[tuple[Any, ...], Any], confidence: float) -> list[Case]:
    cases = []
    for parameters, result in pairs:
        if parameters["part"] != "bound":
            continue
        n, k, epsilon, target = (parameters[name] for name in ("n", "k", "epsilon", "target"))
        given = {"n": n, "k": k, "epsilon": epsilon, "z": target, "law": "gaussian"}
        given |= {"paley_zygmund": result["bound"], "bound proved by": result["proved_by"]}
        if (n, k, target) not in errors:
            continue
        found = errors[n, k, target]
        frequency, interval = frequency_within(found, epsilon, confidence)
        name = f"frequency of a hit, n = {n}, k = {k}, epsilon = {epsilon:g}, z = {target:.3g}"
        cases.append(Case(name, frequency, interval, factor * result["high"], Side.AT_LEAST, given, found.size))
    return cases


def _curve_panel(pairs: Pairs, errors: dict[tuple[Any, ...], Any], confidence: float) -> Panel:
    series = []
    for parameters, result in pairs:
        if parameters["part"] != "curve":
            continue
        target = parameters["target"]
        label = "z = 0" if target == 0 else "z = √k"
        found = errors[parameters["n"], parameters["k"], target]
        series.append(frequency_series(f"measured, {label}", found, result["epsilons"][::2], confidence))
        series.append(Series(f"Paley-Zygmund, {label}", result["epsilons"], result["bounds"], role="bound"))
    return Panel("A 10-subset of 20 normal samples within ε", "ε", "probability", series, log_x=True)


CLAIM = fixed_size_hits()
