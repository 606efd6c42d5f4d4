"""Growth of MemoryClassifier: time and memory against the number of series and their length, over a factor of 100.

1,000 projections, landmarks 100, one channel of noise. Processor seconds of fit and predict on the same series, per
million steps; peak of the memory that Python and NumPy allocate in both, without the series themselves, in MB.

    python benchmarks/estimators_growth.py
"""

from __future__ import annotations

import time
import tracemalloc

import numpy as np

from linmem import MemoryClassifier

SIZES = [(100, 50), (1000, 50), (10_000, 50), (20, 100), (20, 1000), (20, 10_000)]  # series, steps


def main() -> None:
    """Print a row per size."""
    print("| series | steps each | seconds | seconds per million steps | peak MB |\n|---|---|---|---|---|")
    for count, steps in SIZES:
        rng = np.random.default_rng(0)
        series, labels = list(rng.standard_normal((count, steps, 1))), np.arange(count) % 2
        tracemalloc.start()
        start = time.process_time()
        MemoryClassifier(n_projections=1000, n_landmarks=100).fit(series, labels).predict(series)
        seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        print(f"| {count} | {steps} | {seconds:.2f} | {seconds / (count * steps) * 1e6:.1f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
