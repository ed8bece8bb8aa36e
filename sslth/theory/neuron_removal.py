"""One ReLU neuron of two inputs from a random two-layer ReLU network: the best that removing neurons or weights can do.

The random network is x -> Σ u_i relu(w_i · x), x in [-1, 1]², with standard normal u_i and w_i; the target is v · x or
relu(v · x). Everything here is a sup norm over that box, so the box is walked along its boundary: all functions are
positively homogeneous, and linear between the points where an edge meets a kink.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.instance import Instance
from sslth.subset_sum.solve import solve
from sslth.subset_sum.solve_many import solve_many

__all__ = [
    "RandomNetwork",
    "blocked_error",
    "draw_network",
    "kink_bound",
    "kink_points",
    "linear_problem",
    "relu_lower_bound",
    "relu_problem",
    "smallest_error",
]

FloatArray = npt.NDArray[np.float64]

_BRUTE_FORCE = 20  # neurons; above it branch and bound is faster
_CORNERS = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])


@dataclass(frozen=True)
class RandomNetwork:
    """Hidden weights float64[n, 2] and output weights float64[n]."""

    hidden: FloatArray
    output: FloatArray


def draw_network(n: int, rng: np.random.Generator) -> RandomNetwork:
    """Draw n neurons with standard normal weights. O(n)."""
    return RandomNetwork(rng.standard_normal((n, 2)), rng.standard_normal(n))


def kink_points(network: RandomNetwork, target: FloatArray) -> FloatArray:
    """Return where kinks of any neuron or of relu(target · x) meet the boundary of [-1, 1]², and its corners.

    Returns
    -------
    float64[2 n + 6, 2]

    Examples
    --------
    >>> network = RandomNetwork(np.array([[1.0, 0.0]]), np.array([1.0]))
    >>> kink_points(network, np.array([1.0, 2.0]))[:2].tolist()
    [[0.0, 1.0], [-1.0, 0.5]]
    """
    normals = np.vstack([network.hidden, target])
    along = np.stack([-normals[:, 1], normals[:, 0]], axis=1)
    along /= np.abs(along).max(axis=1, keepdims=True)
    return np.vstack([along, -along, _CORNERS]) + 0.0  # no -0.0


def linear_problem(network: RandomNetwork, target: FloatArray) -> Instance:
    """Return the subset sum whose error is the sup norm over the box of Σ over kept neurons minus target · x.

    One row a neuron, one column a kink point: between these the difference is linear along an edge, so
    the largest column is the sup norm, up to the rounding of the columns.
    """
    points = kink_points(network, target)
    return Instance(_values(network, points), points @ target)


def relu_problem(network: RandomNetwork, target: FloatArray) -> Instance:
    """Return the same for the target relu(target · x)."""
    points = kink_points(network, target)
    return Instance(_values(network, points), np.maximum(points @ target, 0.0))


def smallest_error(instance: Instance) -> float:
    """Return the proved smallest error over all subsets, from an exact search without a limit."""
    solver = "brute_force" if instance.n <= _BRUTE_FORCE else "branch_and_bound"
    return solve(instance, solver=solver, time_limit=None).lower_bound


def relu_lower_bound(network: RandomNetwork, target: FloatArray) -> float:
    """Return a lower bound on sup |relu(Σ over kept neurons) - relu(target · x)|, whatever is kept.

    Where target · x >= t, an error e < t keeps the inner sum positive, so there the inner sums are compared, by an
    exact search over all subsets; F(t) is the best error at those points. Every t gives e >= min(F(t), t); F falls, so
    t = F(0) gives F(F(0)). What the network does where the target is 0 is not used.
    """
    points = kink_points(network, target)
    bound = 0.0
    for _ in range(2):
        inside = points[points @ target >= bound]
        bound = smallest_error(Instance(_values(network, inside), inside @ target)) if len(inside) else bound
    return bound


def _values(network: RandomNetwork, points: FloatArray) -> FloatArray:
    """float64[n, points]: what each neuron adds at each point."""
    values: FloatArray = network.output[:, None] * np.maximum(network.hidden @ points.T, 0.0)
    return values


def kink_bound(network: RandomNetwork, target: FloatArray) -> float:
    """Return a lower bound on sup |Σ c_i relu(w_i · x) - relu(target · x)|, whatever the c_i are.

    Where the target's kink meets an edge of the box, its slope along the edge jumps by J. Up to the next kinks of
    neurons (or corners) at distances a and b every such sum is linear, and a line misses a corner of
    slopes 0 and J on [-a, b] by at least J a b / (2 (a + b)): half of how far the corner lies below its chord. O(n).

    Examples
    --------
    >>> network = RandomNetwork(np.array([[1.0, 1.0], [1.0, -1.0]]), np.ones(2))
    >>> kink_bound(network, np.array([1.0, 0.0]))  # |x₁| / 2 + x₁ / 2 on the upper edge: linear, against a corner
    0.25
    """
    steep = int(np.abs(target).argmin())  # the kink line target · x = 0 meets the edges on which this one is ±1
    free = 1 - steep
    jump = float(abs(target[free]))
    at = -target[steep] / target[free]
    with np.errstate(divide="ignore"):
        others = -network.hidden[:, steep] / network.hidden[:, free]
    left = at - others[others <= at].max(initial=-1.0)
    right = others[others >= at].min(initial=1.0) - at
    return 0.0 if left + right <= 0.0 else jump * float(left * right / (2.0 * (left + right)))


def blocked_error(networks: list[RandomNetwork], target: FloatArray, channels: npt.NDArray[np.int64]) -> FloatArray:
    """Return what is left of Σ over kept neurons minus target · x, at most, if each neuron reads one input only.

    Neuron i keeps the weight of input channels[i]; with c inputs and two signs these are 2 c subset sums of one
    dimension, each solved exactly. Σ over inputs of the larger of the two errors bounds the sup norm, and with it that
    of relu(…) - relu(target · x). Errors of opposite signs may partly cancel; the best mask has at least half of it.

    Parameters
    ----------
    networks : list of RandomNetwork
        m of them, of the same width n.
    channels : int64[m, n]

    Returns
    -------
    float64[m]
    """
    problems: dict[int, list[tuple[int, int, FloatArray, float]]] = {}
    errors = np.zeros((len(networks), 2, 2))  # network, input, sign
    for place, network in enumerate(networks):
        for channel in range(2):
            weights = np.where(channels[place] == channel, network.hidden[:, channel], 0.0)
            for sign, part in enumerate((weights > 0, weights < 0)):
                samples = np.abs(weights[part]) * network.output[part]
                goal = float(target[channel]) * (1 - 2 * sign)
                if samples.size == 0:
                    errors[place, channel, sign] = abs(goal)
                else:
                    problems.setdefault(samples.size, []).append((place, 2 * channel + sign, samples, goal))
    flat = errors.reshape(len(networks), 4)
    for group in problems.values():
        samples = np.stack([entry[2] for entry in group])[:, :, None]
        found = solve_many(samples, np.array([[entry[3]] for entry in group]), time_limit=None)
        flat[[entry[0] for entry in group], [entry[1] for entry in group]] = found.errors
    result: FloatArray = errors.max(axis=2).sum(axis=1)
    return result
