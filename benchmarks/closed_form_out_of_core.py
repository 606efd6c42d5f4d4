"""Fit a set ten times as large as the memory limit of the process, which the kernel enforces.

Sequences are stored in files; a source opens them one after the other, once per product. `resource.setrlimit` caps the
process's private memory (RLIMIT_DATA: Python, torch and everything they allocate), so the set does not fit;
the script first checks that loading it raises a MemoryError.

    python benchmarks/closed_form_out_of_core.py                 # 448 MB, some minutes
    python benchmarks/closed_form_out_of_core.py --partial       # one pass by partial_fit instead
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from linmem.autoencoder.estimator import LinearAutoencoder

LENGTH, FEATURES, PER_FILE = 200, 64, 500  # a file holds 500 sequences: 51 MB in float64


class Files:
    """Sequences of a folder of .npy files, opened one at a time and memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self.paths, self.passes = sorted(folder.glob("*.npy")), 0

    def __iter__(self) -> Iterator[np.ndarray]:
        self.passes += 1
        for path in self.paths:
            yield from np.load(path, mmap_mode="r")


def write(folder: Path, gigabytes: float) -> int:
    """Write files of smooth random sequences; return their bytes."""
    size, number = 0, 0
    mixing = np.random.default_rng(0).standard_normal((12, FEATURES))
    while size < gigabytes * 1e9:
        random = np.random.default_rng(number)
        hidden = random.standard_normal((PER_FILE, LENGTH, 12)).cumsum(1)
        values = hidden @ mixing + random.standard_normal((PER_FILE, LENGTH, FEATURES))
        path = folder / f"{number:05d}.npy"
        np.save(path, values)
        size, number = size + path.stat().st_size, number + 1
    return size


def private_megabytes() -> float:
    """Private memory of this process, what RLIMIT_DATA counts."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmData")) / 1e3


def main() -> None:
    """Write the set, cap the memory, fit, say what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=448, help="megabytes the process may have")
    parser.add_argument("--times", type=float, default=10.0, help="the set's size, in limits")
    parser.add_argument("--size", type=int, default=8, help="memory units")
    parser.add_argument("--partial", action="store_true", help="one pass by partial_fit")
    options = parser.parse_args()
    torch.set_num_threads(1)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{platform.machine()}, {os.cpu_count()} cores (load {load}), one thread, torch {torch.__version__}")
    folder = Path(tempfile.mkdtemp(prefix="linmem-"))
    try:
        size = write(folder, options.limit * 1e6 * options.times / 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (options.limit * 10**6, options.limit * 10**6))
        files = Files(folder)
        print(
            f"{len(files.paths) * PER_FILE:,} sequences of {LENGTH} × {FEATURES}, {size / 1e9:.2f} GB on disk; "
            f"limit {options.limit} MB, of which {private_megabytes():.0f} MB are Python and torch"
        )
        try:
            held = [np.array(sequence) for sequence in files]
            raise SystemExit(f"the limit did not hold: {len(held)} sequences are in memory")
        except MemoryError:
            print("holding them in memory: MemoryError, as it should be")
        held = []
        files.passes = 0
        start, cpu = time.perf_counter(), time.process_time()
        ae = LinearAutoencoder(options.size, solver="randomized" if not options.partial else "auto")
        ae.fit(iter(files) if options.partial else files)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        print(
            f"fit: {wall:.0f} s ({cpu:.0f} s CPU), {files.passes} passes, error {ae.training_error_:.6f} "
            f"(bound {ae.optimal_error_:.6f}), private memory at the end {private_megabytes():.0f} MB"
        )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
