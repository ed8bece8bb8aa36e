"""The heuristics for wide instances beside the prototypes' figures. python -m benchmarks.message_passing [--quick]"""

from __future__ import annotations

import argparse
import time

import numpy as np

from sslth.subset_sum.draw_instance import draw_instance
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.kernels.message_passing import combine
from sslth.subset_sum.kernels.sign_pursuit import sign_pass
from sslth.subset_sum.solve import solve

# n, d, seconds, the prototype's error (message passing after sign pursuit)
_PASSING = (
    (5_000, 72, 0.1, 0.050),
    (5_000, 72, 1.0, 0.047),
    (20_000, 72, 0.1, 0.0129),
    (20_000, 72, 1.0, 0.0120),
    (100_000, 72, 0.1, 0.0026),
    (100_000, 72, 1.0, 0.0023),
    (20_000, 144, 0.1, 0.039),
    (20_000, 144, 1.0, 0.036),
    (20_000, 288, 0.1, 0.118),
    (20_000, 288, 1.0, 0.110),
    (60_000, 576, 0.1, 0.148),
    (60_000, 576, 1.3, 0.108),
    (1_000, 72, 1.0, 0.235),
    (1_000, 144, 1.0, 0.80),
)
_BEAM = ((18, 0.06, 0.0012), (27, 0.09, 0.0023), (36, 0.47, 0.0040), (48, 0.19, 0.0061))  # n = 20,000
# n, d, gain of a target in the unit cube, the prototype's relative error
_GAINS = (
    (20_000, 72, 0.85, 1.1e-5),
    (20_000, 144, 0.85, 4.7e-5),
    (20_000, 288, 0.85, 2.1e-4),
    (60_000, 576, 0.85, 9.5e-5),
)


def main() -> None:
    """Print the tables; three minutes, or half a minute with --quick."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, n * d up to 6,000,000")
    quick = parser.parse_args().quick
    seeds = (0,) if quick else (0, 1, 2)
    for name in ("sign_pursuit", "sign_beam", "message_passing"):
        _run(name, 500, 16, 1.0, 0, cardinality=200)  # compiles
        _run(name, 500, 16, 1.0, 0)
    print("n, d, seconds allowed, used: error (smallest to largest), times n / d^1.5; prototype's error")
    print("message_passing, normally-scaled normal rows")
    for n, d, seconds, prototype in _PASSING:
        if not quick or n * d <= 6_000_000:
            _line("message_passing", n, d, seconds, seeds, prototype)
    print("sign_beam, normally-scaled normal rows")
    for d, seconds, prototype in _BEAM:
        _line("sign_beam", 20_000, d, seconds, seeds, prototype)
    print("message_passing where the prototype had a beam")
    for d, seconds, prototype in _BEAM:
        _line("message_passing", 20_000, d, seconds, seeds, prototype)
    print("cardinality k: message_passing, sorted_pursuit, 1 s each")
    for n, d, k in ((5_000, 48, 500), (5_000, 48, 1_500), (5_000, 72, 2_500), (20_000, 144, 8_000)):
        for name in ("message_passing", "sorted_pursuit"):
            errors = [_run(name, n, d, 1.0, seed, cardinality=k)[0] for seed in seeds]
            print(f"  {n:7,d} {d:4d} k={k:5d} {name:16s} {np.mean(errors):.3g}, {np.mean(errors) * n / d**1.5:.2f}")
    print("relative error at 85 % of the largest scale; the prototype's (1 s)")
    for n, d, share, prototype in _GAINS:
        if not quick or n * d <= 6_000_000:
            gain = share * 0.32 * n * np.sqrt(3 / d)
            errors = [_run("message_passing", n, d, 1.0, seed, gain=gain)[0] / gain for seed in seeds]
            print(f"  {n:7,d} {d:4d} gain {gain:6.0f}: {np.mean(errors):.2g}; {prototype:.2g}")
    print("few rows: gain, error, relative; prototype's error")
    for n, d, gain, old in ((16_384, 576, 250.0, 0.41), (16_384, 576, 300.0, 2.9), (4_096, 576, 30.0, 1.75)):
        if not quick:
            error = _run("message_passing", n, d, 3.0, 0, gain=gain)[0]
            print(f"  {n:7,d} {d:4d} gain {gain:4.0f}: {error:.3g}, {error / gain:.2g}; {old}")
    print("standard normal rows, target 30 times the unit cube, 1 s: error over sqrt(d)")
    for name in ("message_passing", "sign_beam", "sorted_pursuit"):
        errors = [_run(name, 5_000, 72, 1.0, seed, gain=30.0, law="gaussian")[0] for seed in seeds]
        print(f"  5,000 72 {name:16s} {np.mean(errors) / 72**0.5:.3f}")
    _costs()


def _run(
    name: str,
    n: int,
    d: int,
    seconds: float,
    seed: int,
    cardinality: int | None = None,
    gain: float = 1.0,
    law: str = "nsn",
) -> tuple[float, float]:
    drawn = draw_instance(law, n, d, seed, cardinality=cardinality)
    instance = Instance(drawn.samples, gain * drawn.target, cardinality=cardinality)
    solution = solve(instance, name, time_limit=seconds, seed=seed)
    return solution.error, solution.seconds


def _line(name: str, n: int, d: int, seconds: float, seeds: tuple[int, ...], prototype: float) -> None:
    runs = [_run(name, n, d, seconds, seed) for seed in seeds]
    errors = np.array([error for error, _ in runs])
    used, scaled = np.mean([used for _, used in runs]), errors.mean() * n / d**1.5
    spread = f"({errors.min():.3g} to {errors.max():.3g})"
    print(f"  {n:7,d} {d:4d} {seconds:5.2f} {used:5.2f}: {errors.mean():.3g} {spread}, {scaled:.3f}; {prototype:.3g}")


def _costs() -> None:
    """CPU nanoseconds a row-entry of the front end, and an entry and round of message passing; best of 5."""
    print("CPU ns an entry: front end (prototype 1.2 to 2.5), message passing a round (.15 to .23)")
    for n, d in ((20_000, 72), (20_000, 144), (20_000, 288)):
        drawn = draw_instance("nsn", n, d, 0)
        order = np.argsort(-(drawn.samples**2).sum(axis=1))
        keep = np.zeros(n, dtype=np.bool_)
        m = 5 * d
        rows = drawn.samples[:m].astype(np.float32)
        columns = np.ascontiguousarray(rows.T)
        weights, sums = np.ones(m, dtype=np.float32), np.zeros(d, dtype=np.float32)
        passes, rounds = [], []
        for _ in range(5):
            residual = drawn.target - 0.5 * drawn.samples.sum(axis=0)
            started = time.thread_time()
            sign_pass(drawn.samples, order, residual, keep, 0.5, 0.0, 0.0)
            passes.append(time.thread_time() - started)
            started = time.thread_time()
            for _ in range(100):
                combine(rows, weights, sums)
                combine(columns, sums, weights)
            rounds.append((time.thread_time() - started) / 100)
        print(f"  d={d:3d}: {min(passes) / (n * d) * 1e9:.2f}, {min(rounds) / (m * d) * 1e9:.3f} (products alone)")


if __name__ == "__main__":
    main()
