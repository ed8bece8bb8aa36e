"""
One instance, solved
====================

Twenty-six random vectors in the plane, some of which add up to a target: one subset-sum problem, as a ticket has one
for every input channel and sign.
"""

from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure

import sslth
from sslth.experiments.figure_style import INK, PALETTE, styled

# %%
# A drawn instance of normally-scaled normal vectors, its proven optimum, and the best subsets after it. The
# first-moment floor is the error at which one subset is expected: a guide to how good the optimum can be.
instance = sslth.draw_instance("nsn", n=26, d=2, seed=0)
solution = sslth.solve(instance)
best = sslth.solutions(instance, limit=400)
floor = sslth.first_moment_floor(instance)
print(f"{solution.status.value}: error {solution.error:.3g} with {len(solution.subset)} of {instance.n} vectors")
print(f"first-moment floor {floor:.3g}; the 400th best subset has error {best[-1].error:.3g}")


# %%
# On the left the vectors that were kept, head to tail, longest first, and the others, faint, from the origin. On the
# right the sums of the 400 best of the 67,108,864 subsets, seen from the target: about the same number falls into
# each square of the same area.
@styled
def draw_instance() -> Figure:
    """The kept vectors as a path to the target, and the residuals of the best subsets."""
    figure = Figure(figsize=(10.5, 5.3), layout="constrained")
    path, near = figure.subplots(1, 2)
    for vector in instance.samples[~solution.mask]:
        path.annotate("", vector, (0, 0), arrowprops={"arrowstyle": "->", "color": "#BBBBBB"})
    kept = instance.samples[solution.subset]
    kept = kept[np.argsort(-np.linalg.norm(kept, axis=1))]
    ends = np.vstack([np.zeros(2), kept.cumsum(axis=0)])
    for start, end in pairwise(ends):
        path.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": PALETTE[0], "linewidth": 1.6})
    path.plot(*instance.target, marker="*", markersize=14, color=PALETTE[1], linestyle="none", label="target")
    everything = np.vstack([ends, instance.samples])
    path.set_xlim(everything[:, 0].min() - 0.3, everything[:, 0].max() + 0.3)
    path.set_ylim(everything[:, 1].min() - 0.3, everything[:, 1].max() + 0.3)
    path.set_title(f"{len(kept)} of {instance.n} vectors add up to the target")
    path.legend(loc="upper right")

    residuals = np.array([instance.samples[found.subset].sum(axis=0) - instance.target for found in best])
    near.plot(*residuals.T, marker=".", linestyle="none", markersize=4, color=PALETTE[0], label="sums of subsets")
    for side, colour, style, label in (
        (solution.error, INK, "-", "the optimum's error"),
        (floor, PALETTE[1], "--", "first-moment floor"),
    ):
        corners = side * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
        near.plot(*corners.T, color=colour, linestyle=style, label=label)
    near.ticklabel_format(style="sci", scilimits=(0, 0))
    near.set_aspect("equal")
    near.set_title("the 400 best sums, seen from the target")
    near.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3)
    return figure


figure = draw_instance()
