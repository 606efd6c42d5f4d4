"""Lag decay: CPU time of the fit with and without it, with one and two workers, and a figure of error against lag.

The times are CPU seconds of `fit` on one thread, measured in one run, so other load on the machine changes them less
than wall-clock time. For two workers it is the CPU time of the busier one; wall times are printed beside.

    python benchmarks/lag_decay.py                    # times on MuseData, p = 100
    python benchmarks/lag_decay.py --workers          # one worker and two, MuseData
    python benchmarks/lag_decay.py --curve            # error against lag on JSB chorales: docs/pictures/lag_decay.png
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist

from linmem import data
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.autoencoder.history.distributed import Shard

DECAYS = (1.0, 0.9, 0.5)
PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "lag_decay.png"


def compare_times(options: argparse.Namespace) -> None:
    """Print the CPU time of the fit for each decay and its ratio to the plain fit's."""
    sequences = data.load(options.set).train
    plain = 0.0
    for decay in DECAYS:
        start, cpu = time.perf_counter(), time.process_time()
        ae = LinearAutoencoder(options.size, lag_decay=decay).fit(sequences)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - start
        plain = plain or cpu
        print(
            f"lag_decay {decay}: {cpu:.1f} s CPU, {wall:.1f} s, 1/{plain / cpu:.1f} of the plain fit; {ae.solver_}, "
            f"{ae.lags_} lags; bound {ae.optimal_error_:.4f}, error {ae.training_error_:.4f}, "
            f"unweighted {ae.unweighted_optimal_error_:.4f}, {ae.unweighted_error_:.4f}",
            flush=True,
        )


def draw_curve(options: argparse.Namespace) -> None:
    """Print the error of single lags for each decay and draw it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    splits = data.load("jsb_chorales")
    figure, axes = pyplot.subplots(figsize=(6, 3.5))
    for decay in DECAYS:
        ae = LinearAutoencoder(options.size, lag_decay=decay).fit(splits.train)
        curve = ae.reconstruction_error(splits.train, per_lag=True)[:60]
        axes.plot(range(len(curve)), curve, label=f"lag_decay={decay:g}")
        shown = ", ".join(f"{lag}: {float(curve[lag]):.3f}" for lag in (0, 1, 5, 10, 20, 50) if lag < len(curve))
        print(f"lag_decay {decay}: error at lag {shown}")
    axes.set(xlabel="lag (steps before the state)", ylabel="relative error", ylim=(0, 1.05))
    axes.set_title(f"Decoding the past of JSB chorales from {options.size} memory units", fontsize=10)
    axes.legend()
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=120)


def shard(name: str, rank: int, workers: int) -> list[torch.Tensor]:
    """Return this worker's sequences, every worker about the same number of steps."""
    ordered = sorted(data.load(name).train, key=len)
    return ordered[rank::workers]


def work(options: argparse.Namespace) -> None:
    """Fit as one worker of the group."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, workers = dist.get_rank(), dist.get_world_size()
    sequences = shard(options.set, rank, workers)
    best: tuple[float, float] = (float("inf"), float("inf"))
    for _ in range(options.rounds):
        dist.barrier()
        start, cpu = time.perf_counter(), time.process_time()
        ae = LinearAutoencoder(options.size, lag_decay=0.9).fit(Shard(sequences))
        busy = torch.tensor(time.process_time() - cpu)
        dist.all_reduce(busy, dist.ReduceOp.MAX)
        best = min(best, (busy.item(), time.perf_counter() - start))
    if rank == 0:
        print("RESULT " + json.dumps({"cpu": best[0], "s": best[1], "error": ae.training_error_}))
    dist.destroy_process_group()


def compare_workers(options: argparse.Namespace) -> None:
    """Start one worker and two by torchrun and print how much faster two are."""
    found = []
    for workers in (1, 2):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(workers)]
        arguments = [
            __file__,
            "--worker",
            f"--set={options.set}",
            f"--size={options.size}",
            f"--rounds={options.rounds}",
        ]
        output = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True).stdout
        found.append(json.loads(next(line for line in output.splitlines() if line.startswith("RESULT "))[7:]))
    one, two = found
    print(
        f"one worker {one['cpu']:.1f} s CPU ({one['s']:.1f} s), two {two['cpu']:.1f} s CPU ({two['s']:.1f} s): "
        f"{one['cpu'] / two['cpu']:.2f} times as fast in CPU time of the busier, {one['s'] / two['s']:.2f} by the "
        f"clock; errors {one['error']:.8f} and {two['error']:.8f}"
    )


def main() -> None:
    """Run what the options select."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="muse_data")
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--workers", action="store_true")
    parser.add_argument("--curve", action="store_true")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.worker:
        return work(options)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"{platform.machine()}, {os.cpu_count()} cores (load {load}), one thread, torch {torch.__version__}", flush=True
    )
    (compare_workers if options.workers else draw_curve if options.curve else compare_times)(options)


if __name__ == "__main__":
    main()
