"""Time of a product with the Gram matrix, the main cost of a fit, against the number of sequences and their length.

Linear in the number of sequences, N log L in their length; each table covers a factor of 100. The last column is the
time divided by the expected growth, relative to the first row: it should stay near 1. Short sets are
dominated by the fixed cost of a call, long sequences in small numbers by the transforms of the block, which do not
depend on N.

    python benchmarks/closed_form_growth.py
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import time
from typing import Any

import torch

from linmem.autoencoder.history.in_memory import InMemoryHistory
from linmem.reporting import tables

FEATURES, COLUMNS = 16, 16


def product_time(count: int, length: int, rounds: int) -> float:
    """CPU seconds of one product with 16 columns, spectra kept."""
    generator = torch.Generator().manual_seed(0)
    history = InMemoryHistory([torch.randn(length, FEATURES, generator=generator) for _ in range(count)])
    block = torch.randn(length, FEATURES, COLUMNS, generator=generator, dtype=torch.float64)
    history.gram_matvec(block)
    times = []
    for _ in range(rounds):
        start = time.process_time()
        history.gram_matvec(block)
        times.append(time.process_time() - start)
    return statistics.median(times)


def table(cases: list[tuple[int, int]], rounds: int) -> str:
    """Times of the cases (sequences, length) against N log L."""
    rows: list[dict[str, Any]] = []
    for count, length in cases:
        seconds = product_time(count, length, rounds)
        work = count * length * math.log2(2 * length)
        rows.append({"sequences": count, "length": length, "steps": count * length, "ms": 1e3 * seconds})
        rows[-1]["relative to N log L"] = seconds / work * rows[0].setdefault("_", work / seconds)
    for row in rows:
        row.pop("_", None)
    return tables.markdown(rows, {"ms": 1, "relative to N log L": 2})


def main() -> None:
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"{platform.machine()}, {os.cpu_count()} cores (load {load}), one thread, torch {torch.__version__}; CPU time, "
        f"medians of {options.rounds}; a = {FEATURES}, {COLUMNS} columns"
    )
    print("\nnumber of sequences\n" + table([(count, 200) for count in (50, 158, 500, 1580, 5000)], options.rounds))
    print("\ntheir length\n" + table([(100, length) for length in (50, 158, 500, 1580, 5000)], options.rounds))


if __name__ == "__main__":
    main()
