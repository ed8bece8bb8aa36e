"""The first-moment floor: the error at which the expected number of good subsets is one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import gammaln

from sslth.errors import InvalidInputError
from sslth.subset_sum.instance import Instance
from sslth.theory.gaussian_box import GaussianBox
from sslth.theory.interval_probability import log_interval
from sslth.theory.uniform_sums import log_irwin_hall, log_tilted_normal

__all__ = ["first_moment_floor"]

FloatArray = npt.NDArray[np.float64]
LogCount = Callable[[float], float]  # ε -> log of the expected number of subsets within ε

_SMALLEST = 1e-290  # below it, expected counts are extrapolated
_EXACT_SIZES = 128  # up to this many uniform rows their sum has its exact law, and sizes are summed one by one


def first_moment_floor(instance: Instance, law: str | None = None) -> float:
    r"""The smallest ε at which the expected number of subsets with sup-norm error at most ε reaches 1.

    Parameters
    ----------
    instance : Instance
        Subsets of its cardinality count, or up to its maximal cardinality, or all 2^n.
    law : {"gaussian", "uniform", "nsn"}, optional
        None: the samples are as given and the subset is drawn uniformly at random. Else: the rows are i.i.d. of
        this law (N(0, 1), U[-1, 1], normally-scaled normal) and the samples themselves are not looked at.

    Returns
    -------
    float
        0.0 if a subset fits at every ε (target zero and the empty subset allowed) or the floor underflows;
        inf if no subset has a wanted size, and with a law for cardinality n, whose one subset has an expected
        count below 1 at every ε.

    Raises
    ------
    InvalidInputError
        For an unknown law.

    Notes
    -----
    A guide, not a bound: an instance may have a better subset, or none as good.

    With `law=None` the empty and the full subset count as what they are. The sum of a uniformly random one of
    the others is taken to be *one* Gaussian with its exact mean and covariance given the samples: for a random
    size K and :math:`C = \sum (x - \bar x)(x - \bar x)^T`,

    .. math:: E[K] \bar x, \qquad E\!\left[\tfrac{K (n - K)}{n (n - 1)}\right] C + Var(K) \bar x \bar x^T,

    which is :math:`\Sigma X / 2, X^T X / 4` over all subsets. The sizes up to a maximal cardinality are not
    mixed one by one: those near the largest dominate. The central limit theorem is poor for fewer than about ten
    chosen rows, and far in the tails. The probability of the box :math:`|S - z| \le \varepsilon` comes from
    expectation propagation [CunninghamEtAl2011]_: exact for a diagonal covariance and in the limit of small
    boxes; otherwise measured against sampling within .005 of the log-probability for d <= 5, and within .3 where the
    covariance is singular (d up to 5 n, columns repeated four times), which moves ε by a d-th part of that. It
    inverts no covariance: coordinates without variance bound ε by their distance, and if the target
    lies off the span of the sums by r (Euclidean), then ε >= r / √d.

    With a law the expectation is exact up to quadrature; beyond 128 uniform rows their sum is an exponentially
    tilted normal, whose ε is off by less than 0.2 / k of itself up to half of the largest sum.

    Cost: O(n d^2) time for the covariance, then O(d^3) for each of some hundred steps; O(n d + d^2) memory.
    With a law, O(√n d) for each of some twenty steps.

    .. [CunninghamEtAl2011] J. P. Cunningham, P. Hennig, S. Lacoste-Julien, "Gaussian Probabilities and
       Expectation Propagation", 2011. arXiv:1111.6832

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> instance = Instance(rng.standard_normal((30, 2)), [0.5, -0.5])
    >>> 1e-5 < first_moment_floor(instance) < 1e-3  # one box in 2^30
    True
    """
    if law is not None and law not in _LAWS:
        raise InvalidInputError(f"there is no law named {law!r}; choose one of {', '.join(sorted(_LAWS))}, or None")
    if not instance.is_feasible:
        return math.inf
    if law is not None:
        return _floor_of_law(instance, law)
    return _floor_of_samples(instance)


def _floor_of_law(instance: Instance, law: str) -> float:
    n, low, high = instance.n, instance.smallest_size, instance.largest_size
    target = np.abs(instance.target)  # the laws are symmetric in every coordinate
    empty = float(target.max()) if low == 0 else math.inf
    if high == 0 or low == n:
        return empty
    sizes, log_weights = _sizes(n, max(low, 1), high)
    log_count = _LAWS[law](target, sizes, log_weights)
    return _root(log_count, instance.d, start=1.0 + float(target.max()), largest=empty)


def _floor_of_samples(instance: Instance) -> float:
    n, low, high = instance.n, instance.smallest_size, instance.largest_size
    largest_entry = max(float(np.abs(instance.samples).max()), float(np.abs(instance.target).max()))
    exponent = math.frexp(largest_entry)[1]
    samples, target = np.ldexp(instance.samples, -exponent), np.ldexp(instance.target, -exponent)
    known = math.inf
    if low == 0:
        known = float(np.abs(target).max())
    if high == n:
        known = min(known, float(np.abs(samples.sum(axis=0) - target).max()))
    sizes = np.arange(max(low, 1), min(high, n - 1) + 1)
    if sizes.size == 0 or known == 0.0:
        return _scaled(known, exponent)
    log_weights = _log_binomial(n, sizes)
    log_total = _log_sum(log_weights)
    weights = np.exp(log_weights - log_total)
    mean_size = float(weights @ sizes)
    size_variance = float(weights @ (sizes - mean_size) ** 2)
    spread = float(weights @ (sizes * (n - sizes))) / (n * (n - 1.0))
    mean = samples.mean(axis=0)
    centred = samples - mean
    covariance = spread * (centred.T @ centred) + size_variance * np.outer(mean, mean)
    box = GaussianBox.of(mean_size * mean - target, covariance)
    if known <= box.smallest or box.rank == 0:
        return _scaled(min(known, box.smallest), exponent)

    def log_count(epsilon: float) -> float:
        return log_total + box.log_probability(epsilon)

    start = max(math.sqrt(float(np.diag(covariance).max())), 2.0 * box.smallest, 1e-300)
    root = _root(log_count, max(1, box.rank), start, largest=known, smallest=box.smallest)
    return _scaled(root, exponent)


def _scaled(value: float, exponent: int) -> float:
    return value if math.isinf(value) else math.ldexp(value, exponent)


def _root(log_count: LogCount, slope: int, start: float, largest: float, smallest: float = 0.0) -> float:
    """The ε in [smallest, largest] where `log_count`, which increases from below 0, reaches 0; else `largest`."""
    if math.isfinite(largest) and log_count(largest) <= 0.0:
        return largest
    high = min(start, largest)
    while log_count(high) < 0.0:
        smallest, high = high, min(4.0 * high, largest)
        if high > 1e300:
            return math.inf
    low, floor = high, max(smallest, _SMALLEST)
    value = log_count(high)
    while value >= 0.0:
        if low <= floor:
            if smallest > 0.0:
                return low
            return math.exp(max(-800.0, math.log(low) - value / slope))  # the count grows like ε^slope
        high = low
        low = max(floor, low * math.exp(-min(600.0, max(0.1, 1.2 * value / slope))))
        value = log_count(low)
    if low == high:
        return low
    ends = math.log(low), math.log(high)
    log_root = brentq(lambda x: max(-1e6, log_count(math.exp(x))), *ends, xtol=1e-10, rtol=1e-10)
    return math.exp(float(log_root))


# ------------------------------------------------------------------------------------------ sums over sizes


def _log_binomial(n: int, k: npt.NDArray[Any]) -> FloatArray:
    result: FloatArray = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
    return result


def _log_sum(logs: FloatArray) -> float:
    largest = float(logs.max())
    return largest if not math.isfinite(largest) else largest + math.log(float(np.exp(logs - largest).sum()))


def _sizes(n: int, low: int, high: int) -> tuple[FloatArray, FloatArray]:
    """Nodes and log weights of a rule for `sum of C(n, k) f(k) over low <= k <= high`, f smooth.

    Every k near 0 and n; between, a trapezoid rule with steps of at most a fifth of the width of C(n, k) f(k).
    O(√n) nodes.
    """
    nodes = [low]
    while nodes[-1] < high:
        k = nodes[-1]
        near = min(k, n - k)
        step = 1 if near <= 4 * _EXACT_SIZES or high - k <= 4 * _EXACT_SIZES else int(math.sqrt(near) / 8)
        nodes.append(min(high, k + max(1, step)))
    sizes = np.array(nodes, dtype=np.float64)
    weights = np.ones(sizes.size)
    if sizes.size > 1:
        gaps = np.diff(sizes)  # a gap g stands for g - 1 inner sizes, half of them with either end
        weights[:-1] += (gaps - 1) / 2
        weights[1:] += (gaps - 1) / 2
    return sizes, _log_binomial(n, sizes) + np.log(weights)


# ------------------------------------------------------------------------------------------------ the laws


def _gaussian_count(target: FloatArray, sizes: FloatArray, log_weights: FloatArray) -> LogCount:
    """A sum of k rows is N(0, k I)."""
    root = np.sqrt(sizes)[:, None]

    def log_count(epsilon: float) -> float:
        return _log_sum(log_weights + log_interval(target / root, epsilon / root).sum(axis=1))

    return log_count


def _nsn_count(target: FloatArray, sizes: FloatArray, log_weights: FloatArray) -> LogCount:
    """Given the scales a sum of k rows is N(0, q I), q ~ χ²_k: integrate over r = √q.

    The weight of r, summed over the sizes, depends on neither ε nor the target. What lies below r = 1e-12 / n
    has an expected count of at most 1e-12. The trapezoid rule in u, with r = s log(1 + e^u / s), is a rule in log r for
    small r and in r for large r, where χ_k is .7 wide.
    """
    step = min(0.05, 0.5 / math.sqrt(target.size))
    scale = 0.2 / step
    largest = math.sqrt(float(sizes[-1])) + 12.0
    u = np.arange(math.log(1e-12 / float(sizes[-1])), largest / scale + math.log(scale) + step, step)
    r = scale * np.logaddexp(0.0, u - math.log(scale))
    log_r = np.log(r)
    log_derivative = -np.logaddexp(0.0, math.log(scale) - u) + math.log(scale)  # d r / d u
    constants = log_weights + math.log(2.0) - (sizes / 2) * math.log(2.0) - gammaln(sizes / 2)
    log_mass = np.array([_log_sum(constants + (sizes - 1) * x) for x in log_r]) - r**2 / 2
    log_mass += log_derivative + math.log(step)

    def log_count(epsilon: float) -> float:
        return _log_sum(log_mass + log_interval(target / r[:, None], epsilon / r[:, None]).sum(axis=1))

    return log_count


def _uniform_count(target: FloatArray, sizes: FloatArray, log_weights: FloatArray) -> LogCount:
    """A sum of k rows has independent Irwin–Hall coordinates."""
    few = int(np.searchsorted(sizes, _EXACT_SIZES, side="right"))

    def log_count(epsilon: float) -> float:
        logs = log_weights + log_tilted_normal(target, epsilon, sizes[:, None]).sum(axis=1)
        if few and _log_sum(logs[:few]) > _log_sum(logs) - 20.0:  # else the small sizes do not matter
            exact = log_irwin_hall(target, epsilon, int(sizes[few - 1])).sum(axis=1)
            logs[:few] = log_weights[:few] + exact[sizes[:few].astype(int) - 1]
        return _log_sum(logs)

    return log_count


_LAWS: dict[str, Callable[[FloatArray, FloatArray, FloatArray], LogCount]] = {
    "gaussian": _gaussian_count,
    "nsn": _nsn_count,
    "uniform": _uniform_count,
}
