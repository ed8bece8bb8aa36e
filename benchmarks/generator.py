"""Speed and exactness of the generator of random weights. python -m benchmarks.generator [--all-words]

Nanoseconds a normal on one core, beside NumPy's and torch's own; with --all-words the error of the transform over all
2^32 words (minutes).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy import special

from sslth.subset_sum.kernels.draw import draw_normal_rows
from sslth.subset_sum.kernels.normal import normals_of_words
from sslth.subset_sum.random_weights import Part, counter_word

_NORMALS = 20_000_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generator", description=__doc__.splitlines()[0])
    parser.add_argument("--all-words", action="store_true", help="also the transform's error over all 2^32 words")
    all_words = parser.parse_args(arguments).all_words
    torch.set_num_threads(1)
    print("one core, best of 5; 'in cache' draws the same 1 MiB again and again; a row takes 4 * ceil(d / 4) normals")
    for d, count in [(d, n) for n in (1 << 18, _NORMALS) for d in (9, 10, 72, 144, 576)]:
        rows = np.empty((count // d, d), dtype=np.float32)
        filters = np.arange(len(rows), dtype=np.uint32)
        scales = np.ones(len(rows), dtype=np.float32)
        word = np.uint32(counter_word(0, Part.U))

        repetitions = _NORMALS // count

        def draw(
            rows: Any = rows,
            filters: Any = filters,
            scales: Any = scales,
            word: Any = word,
            repetitions: int = repetitions,
        ) -> None:
            for _ in range(repetitions):
                draw_normal_rows(np.uint32(1), np.uint32(2), filters, scales, np.uint32(0), word, rows)

        where = "to memory" if count == _NORMALS else "in cache "
        entry = _best(draw) / rows.size / repetitions * 1e9
        normal = entry * d / (4 * ((d + 3) // 4))
        print(f"  sslth, d = {d:4d}, {where}    {normal:6.2f} ns a normal, {entry:6.2f} ns an entry")
    rng = np.random.Generator(np.random.Philox(0))
    out = np.empty(_NORMALS, dtype=np.float32)
    numpy_seconds = _best(lambda: rng.standard_normal(out=out, dtype=np.float32))
    print(f"  numpy Philox standard_normal  {numpy_seconds / _NORMALS * 1e9:6.2f}")
    buffer = torch.empty(_NORMALS)
    print(f"  torch.randn                   {_best(lambda: buffer.normal_()) / _NORMALS * 1e9:6.2f}")
    copy = np.empty_like(out)
    print(f"  copy of the same bytes        {_best(lambda: np.copyto(copy, out)) / _NORMALS * 1e9:6.2f}")
    if all_words:
        _all_words()


def _best(run: Callable[[], object]) -> float:
    run()
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _all_words(chunk: int = 1 << 24) -> None:
    """Largest error against the exact quantile over all magnitudes (the sign is symmetric), and the moments."""
    worst = {1.0: 0.0, 3.0: 0.0, 7.0: 0.0}
    second = fourth = 0.0
    for start in range(0, 1 << 31, chunk):
        words = np.arange(start, start + chunk, dtype=np.uint32)
        found = np.empty(chunk, dtype=np.float32)
        normals_of_words(words, found, chunk)
        exact = -special.ndtri((words | 1).astype(np.float64) / 2.0**32)
        error = np.abs(found - exact)
        for limit in worst:
            inside = exact < limit
            worst[limit] = max(worst[limit], float(error[inside].max(initial=0.0)))
        squares = found.astype(np.float64) ** 2
        second += float(squares.sum())
        fourth += float((squares**2).sum())
    print("all 2^32 words: largest error " + ", ".join(f"{e:.2e} (|x| < {limit:g})" for limit, e in worst.items()))
    print(f"variance {second / 2**31:.8f}, kurtosis {fourth / 2**31 / (second / 2**31) ** 2:.7f}")


if __name__ == "__main__":
    main()
