"""One fit by one and by two one-thread workers (torchrun, gloo): the same singular values, and how much faster.

Each worker loads the whole set and keeps every second sequence, so that the shards are alike. The time is that of `fit`
between two barriers, the median over rounds.

    python benchmarks/closed_form_distributed.py                          # MuseData, p = 50
    python benchmarks/closed_form_distributed.py --set jsb_chorales --size 100
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

import torch
import torch.distributed as dist

from linmem import data
from linmem.autoencoder import LinearAutoencoder
from linmem.distributed import Shard


def work(options: argparse.Namespace) -> None:
    """Fit as one worker of the group."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, workers = dist.get_rank(), dist.get_world_size()
    sequences = sorted(data.load(options.set).train, key=len)[rank::workers]
    times = []
    for _ in range(options.rounds):
        dist.barrier()
        start = time.perf_counter()
        ae = LinearAutoencoder(options.size, solver="randomized", refine=options.refine).fit(Shard(sequences))
        dist.barrier()
        times.append(time.perf_counter() - start)
    if rank == 0:
        values = ae.singular_values_.tolist()
        print("RESULT " + json.dumps({"s": statistics.median(times), "values": values, "error": ae.training_error_}))
    dist.destroy_process_group()


def launch(workers: int, options: argparse.Namespace) -> dict[str, float | list[float]]:
    """Start the workers by torchrun and wait."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(workers),
        __file__,
    ]
    command += ["--worker", "--set", options.set, "--size", str(options.size), "--rounds", str(options.rounds)]
    command += ["--refine", options.refine] if options.refine else []
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(lines[-1].removeprefix("RESULT "))


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="muse_data")
    parser.add_argument("--size", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--refine", default=None, help="decoder or joint; by default none, which every worker repeats")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options)
        return
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"{platform.machine()}, {os.cpu_count()} cores (load {load}), torch {torch.__version__}; {options.set}, "
        f"p = {options.size}, one thread a worker, medians of {options.rounds}"
    )
    one, two = launch(1, options), launch(2, options)
    apart = max(abs(a - b) / a for a, b in zip(one["values"], two["values"], strict=True))
    print(
        f"one worker {one['s']:.1f} s, two workers {two['s']:.1f} s: {one['s'] / two['s']:.2f} times as fast; "
        f"singular values differ by {apart:.1e} at most, errors {one['error']:.8f} and {two['error']:.8f}"
    )


if __name__ == "__main__":
    main()
