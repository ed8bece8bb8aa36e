"""
The phase transition
====================

How many random vectors does it take until some subset comes within ε of a target? Few suddenly become enough, and
each further dimension asks for about as many again.
"""

import numpy as np
from matplotlib.figure import Figure

import sslth
from sslth.experiments.figure_style import MARKERS, PALETTE, styled, tidy
from sslth.theory.intervals import clopper_pearson

# %%
# Gaussian vectors, targets uniform in the cube, ε = .1, and an exact solver: a miss is proved, not assumed.
EPSILON, REPETITIONS = 0.1, 300
rng = np.random.default_rng(0)
hits = {}
for d in (1, 2, 3):
    for n in range(2, 23, 2):
        samples = rng.standard_normal((REPETITIONS, n, d))
        targets = rng.uniform(-1, 1, (REPETITIONS, d))
        found = sslth.solve_many(samples, targets, tolerance=EPSILON)
        assert all(status is not sslth.Status.BEST_FOUND for status in found.statuses)  # nothing was left open
        hits[d, n] = int((found.errors <= EPSILON).sum())


# %%
# Counting, drawn as dashed lines: the first n at which one subset is expected within ε of a typical target. Left of it
# success is rarer than the expected number of such subsets (Markov's inequality); right of it counting says nothing,
# and the distance of the curves from the lines is what a second moment has to explain.
def expected_from(d: int) -> int:
    """The first n whose first-moment floor, averaged over targets, is at most ε."""
    for n in range(1, 60):
        floors = [
            sslth.first_moment_floor(sslth.Instance(np.ones((n, d)), target), law="gaussian")
            for target in np.random.default_rng(d).uniform(-1, 1, (20, d))
        ]
        if np.median(floors) <= EPSILON:
            return n
    raise AssertionError("no n below 60")


@styled
def draw_transition() -> Figure:
    """The frequency of success over n, with 99 % intervals, for each d."""
    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    axes = figure.add_subplot()
    for number, d in enumerate((1, 2, 3)):
        widths = np.array([n for dimension, n in hits if dimension == d])
        share = np.array([hits[d, n] / REPETITIONS for n in widths])
        ends = np.array([clopper_pearson(hits[d, n], REPETITIONS, 0.99) for n in widths])
        bars = np.abs(ends.T - share)
        colour, marker = PALETTE[number], MARKERS[number]
        axes.errorbar(widths, share, yerr=bars, color=colour, marker=marker, capsize=3, label=f"d = {d}")
        axes.axvline(expected_from(d), color=colour, linestyle="--", linewidth=1.2)
    axes.set_xticks(range(2, 23, 2))
    axes.set_xlabel("number of vectors n  (dashed: one subset is expected within ε)")
    axes.set_ylabel("share of instances with a subset within ε")
    axes.set_title(f"Success at ε = {EPSILON}, {REPETITIONS} instances each, 99 % intervals")
    axes.legend(loc="lower right")
    tidy(axes)
    return figure


figure = draw_transition()
