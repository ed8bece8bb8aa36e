"""Time of `import sslth` in a fresh interpreter, and what it loads. python -m benchmarks.import_time"""

from __future__ import annotations

import statistics
import subprocess
import sys

_SCRIPT = "import time; t = time.perf_counter(); import sslth; print(time.perf_counter() - t)"


def main(repetitions: int = 11) -> None:
    """Print median and extremes; the goal is 0.3 s."""
    seconds = sorted(
        float(subprocess.run([sys.executable, "-c", _SCRIPT], check=True, capture_output=True, text=True).stdout)
        for _ in range(repetitions)
    )
    print(f"import sslth: median {statistics.median(seconds):.4f} s, from {seconds[0]:.4f} to {seconds[-1]:.4f} s")


if __name__ == "__main__":
    main()
