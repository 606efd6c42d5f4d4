"""One fit by one and by two one-thread workers (torchrun, gloo): equality of singular values, and speed-up.

The time is that of `fit` between two barriers, the median over rounds. On a machine with other load, two workers do
not get two cores; the CPU time of the busier worker estimates their time on idle cores.

Workers share the products with the data; every worker repeats the transforms of the block and the orthogonalization,
whose size is L·a. Workers pay off if N is large against L·a, as with `walks` (1.2 million steps, L·a = 12,800), and
less on a set like MuseData (245,000 steps, L·a = 263,000), where shards are split by length to divide at least
the transforms.

    python benchmarks/closed_form_distributed.py                          # walks: 6,000 of 200 steps, 64 features
    python benchmarks/closed_form_distributed.py --set muse_data --size 50
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
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.autoencoder.history.distributed import Shard


def shard(name: str, rank: int, workers: int) -> list[torch.Tensor]:
    """Return this worker's sequences: of similar length, and the same number of steps for all."""
    if name == "walks":
        mixing = torch.randn(12, 64, generator=torch.Generator().manual_seed(99))
        hidden = torch.randn(6000, 200, 12, generator=torch.Generator().manual_seed(0)).cumsum(1)[rank::workers]
        return [one @ mixing for one in hidden]
    ordered = sorted(data.load(name).train, key=len)
    done, steps, mine = 0, sum(len(one) for one in ordered), []
    for one in ordered:
        if done * workers // steps == rank:
            mine.append(one)
        done += len(one)
    return mine


def work(options: argparse.Namespace) -> None:
    """Fit as one worker of the group."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, workers = dist.get_rank(), dist.get_world_size()
    sequences = shard(options.set, rank, workers)
    times, busy = [], []
    for _ in range(options.rounds):
        dist.barrier()
        start, cpu = time.perf_counter(), time.process_time()
        ae = LinearAutoencoder(options.size, solver="randomized", refine=options.refine).fit(Shard(sequences))
        busy.append(time.process_time() - cpu)
        dist.barrier()
        times.append(time.perf_counter() - start)
    most = torch.tensor(statistics.median(busy))
    dist.all_reduce(most, dist.ReduceOp.MAX)
    if rank == 0:
        values = ae.singular_values_.tolist()
        found = {"s": statistics.median(times), "cpu": most.item(), "values": values, "error": ae.training_error_}
        print("RESULT " + json.dumps(found))
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
    parser.add_argument("--set", default="walks")
    parser.add_argument("--size", type=int, default=20)
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
        f"CPU time of the busier worker {one['cpu']:.1f} s and {two['cpu']:.1f} s: {one['cpu'] / two['cpu']:.2f}; "
        f"singular values differ by {apart:.1e} at most, errors {one['error']:.8f} and {two['error']:.8f}"
    )


if __name__ == "__main__":
    main()
