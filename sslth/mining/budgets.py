"""How many entries each layer keeps: uniform, Erdős–Rényi-kernel and smart ratio, always adding up exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from sslth.errors import InvalidInputError

__all__ = ["BUDGETS", "check_keep", "layer_counts", "total_count"]

BUDGETS = ("global", "uniform", "erdos_renyi_kernel", "smart_ratio")
_LAST_SHARE = 0.3  # what smart ratio keeps of the last layer


def check_keep(keep: float) -> float:
    """The share as a float, if it is one.

    Raises
    ------
    InvalidInputError
        If it is outside (0, 1].
    """
    if not (isinstance(keep, (int, float)) and 0.0 < keep <= 1.0):
        raise InvalidInputError(f"keep is {keep!r}; it is the share of entries that stay, above 0 and at most 1")
    return float(keep)


def total_count(size: int, keep: float) -> int:
    """round(keep * size), halves up.

    Raises
    ------
    InvalidInputError
        If that is 0.
    """
    count = math.floor(check_keep(keep) * size + 0.5)
    if count == 0:
        raise InvalidInputError(f"keep={keep} of {size:,} entries is none; raise keep above {0.5 / size:.3g}")
    return count


def layer_counts(
    shapes: Mapping[str, tuple[int, ...]], keep: float, budget: str, on_empty: str = "refuse"
) -> dict[str, int]:
    """How many entries each layer keeps; together exactly round(keep * size), each at most its size.

    Layers are in the order of the network. Shares before rounding (largest remainders first):

    - "uniform": the same density everywhere;
    - "erdos_renyi_kernel": density proportional to the sum of a shape's sides over their product [EvciEtAl2020]_;
    - "smart_ratio": density of layer l of L proportional to (L - l + 1)² + (L - l + 1), and .3 of the last layer
      [SuEtAl2020]_. Where .3 of the last layer would be more than half of the whole budget the last layer follows the
      same rule as the others.

    A density above 1 is cut to 1 and the rest is shared out again.

    Raises
    ------
    InvalidInputError
        If the name is unknown, or a layer would keep nothing and `on_empty` is "refuse" (with "keep_one" it keeps 1).

    References
    ----------
    .. [EvciEtAl2020] U. Evci, T. Gale, J. Menick, P. S. Castro, E. Elsen, "Rigging the Lottery: Making All Tickets
       Winners", ICML 2020. arXiv:1911.11134
    .. [SuEtAl2020] J. Su, Y. Chen, T. Cai, T. Wu, R. Gao, L. Wang, J. D. Lee, "Sanity-Checking Pruning Methods: Random
       Tickets can Win the Jackpot", NeurIPS 2020. arXiv:2009.11094

    Examples
    --------
    >>> shapes = {"first": (300, 64), "second": (100, 300), "last": (10, 100)}
    >>> layer_counts(shapes, 0.05, "uniform")
    {'first': 960, 'second': 1500, 'last': 50}
    >>> sum(layer_counts(shapes, 0.05, "erdos_renyi_kernel").values())
    2510
    """
    check_on_empty(on_empty)
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    total = total_count(sum(sizes.values()), keep)
    wanted = _shares(shapes, sizes, total, budget)
    counts = {name: min(math.floor(share), sizes[name]) for name, share in wanted.items()}
    by_remainder = sorted(wanted, key=lambda name: (counts[name] - wanted[name], list(wanted).index(name)))
    missing = total - sum(counts.values())
    while missing > 0:
        for name in by_remainder:
            if missing and counts[name] < sizes[name]:
                counts[name] += 1
                missing -= 1
    return _without_empty(counts, total, on_empty)


def check_on_empty(on_empty: str) -> None:
    """Refuse what is no way to treat a layer that would keep nothing.

    Raises
    ------
    InvalidInputError
        If it is neither "refuse" nor "keep_one".
    """
    if on_empty not in ("refuse", "keep_one"):
        raise InvalidInputError(f"on_empty is {on_empty!r}; choose 'refuse' or 'keep_one'")


def _shares(
    shapes: Mapping[str, tuple[int, ...]], sizes: Mapping[str, int], total: int, budget: str
) -> dict[str, float]:
    names = list(shapes)
    if budget == "uniform":
        density = np.ones(len(names))
    elif budget == "erdos_renyi_kernel":
        density = np.array([sum(shapes[name]) / sizes[name] for name in names])
    elif budget == "smart_ratio":
        places = np.arange(len(names), 0, -1, dtype=np.float64)
        density = places**2 + places
        last = _LAST_SHARE * sizes[names[-1]]
        if len(names) > 1 and last <= total / 2:
            body = _filled(density[:-1], np.array([sizes[name] for name in names[:-1]]), total - last)
            if body.sum() + last >= total - 0.5:
                return dict(zip(names, [*body, last], strict=True))
    else:
        raise InvalidInputError(f"there is no budget {budget!r}; choose one of {', '.join(BUDGETS)}")
    return dict(zip(names, _filled(density, np.array([sizes[name] for name in names]), total), strict=True))


def _filled(density: np.ndarray, sizes: np.ndarray, total: float) -> np.ndarray:
    """Shares proportional to density * size, each at most its size, that add up to `total` if the sizes allow."""
    full = np.zeros(len(sizes), dtype=bool)
    while True:
        open_weight = (density * sizes)[~full].sum()
        left = max(total - sizes[full].sum(), 0.0)
        scale = left / open_weight if open_weight else 0.0
        shares: np.ndarray = np.where(full, sizes, scale * density * sizes)
        over = ~full & (shares > sizes)
        if not over.any():
            return shares
        full |= over


def _without_empty(counts: dict[str, int], total: int, on_empty: str) -> dict[str, int]:
    empty = [name for name, count in counts.items() if count == 0]
    if not empty:
        return counts
    if on_empty != "keep_one":
        raise InvalidInputError(
            f"the budget of {total} entries empties {', '.join(empty)}; raise keep, use on_empty='keep_one' "
            "or another budget"
        )
    if total < len(counts):
        raise InvalidInputError(f"{total} kept entries cannot leave one in each of {len(counts)} layers")
    for name in empty:
        counts[max(counts, key=lambda other: counts[other])] -= 1
        counts[name] = 1
    return counts
