"""Time, memory and accuracy against peers, in one run; each solver runs alone in a separate process.

Peers need the dense history matrix; building it is part of their time. "missing" is the energy that the p directions
lack against the converged spectrum, as a share of the bound. Peak memory is that of the process above its memory after
loading the sequences. Slices on a large set are extrapolated from a few slices (`--slices`): all slices cost the same
once p + spare directions are kept.

    python benchmarks/closed_form_peers.py                                # JSB Chorales, p = 100, three rounds
    python benchmarks/closed_form_peers.py --set muse_data --rounds 1     # slices extrapolated from three of 346
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from linmem import data
from linmem.autoencoder.history.in_memory import InMemoryHistory
from linmem.autoencoder.history.survey import Survey
from linmem.autoencoder.solvers import Randomized, Slices
from linmem.autoencoder.solvers.column_blocks import compress
from linmem.reporting import tables
from linmem.sequences import check_sequences

SLICE = 10


def ours(history: InMemoryHistory, size: int, slices: int) -> tuple[Tensor, float]:
    """Block Krylov, matrix-free."""
    return Randomized()(history, size, torch.Generator().manual_seed(0)).right_vectors[:, :, :size], 1.0


def by_slices(spare: int) -> Callable[[InMemoryHistory, int, int], tuple[Tensor | None, float]]:
    """Return the papers' procedure, whole or some slices of it."""

    def run(history: InMemoryHistory, size: int, slices: int) -> tuple[Tensor | None, float]:
        whole = -(-history.lags // SLICE)
        if slices >= whole:
            return Slices(SLICE, spare)(history, size).right_vectors, 1.0
        states = torch.randn(history.rows, size + spare, dtype=torch.float64)  # as many directions as it carries later
        start = time.perf_counter()
        for index in range(slices):
            states, _ = compress(history.columns(index * SLICE, (index + 1) * SLICE), states, size + spare)
        elapsed = time.perf_counter() - start
        return None, elapsed * whole / slices

    return run


def by_sklearn(history: InMemoryHistory, size: int, slices: int) -> tuple[Tensor, float]:
    """`sklearn.utils.extmath.randomized_svd` of the dense matrix, its defaults."""
    from sklearn.utils.extmath import randomized_svd

    _, _, right = randomized_svd(history.dense().numpy(), size, random_state=0)
    return torch.from_numpy(right.T.copy()).view(history.lags, history.features, size), 1.0


def by_torch(history: InMemoryHistory, size: int, slices: int) -> tuple[Tensor, float]:
    """`torch.svd_lowrank` of the dense matrix, its defaults."""
    _, _, right = torch.svd_lowrank(history.dense(), size)
    return right.reshape(history.lags, history.features, size), 1.0


def by_fbpca(history: InMemoryHistory, size: int, slices: int) -> tuple[Tensor, float]:
    """`fbpca.pca` of the dense matrix, uncentred, its defaults."""
    import fbpca

    _, _, right = fbpca.pca(history.dense().numpy(), size, raw=True)
    return torch.from_numpy(right.T.copy()).view(history.lags, history.features, size), 1.0


SOLVERS = {
    "ours (auto: randomized)": ours,
    "slices": by_slices(0),
    "slices, 32 spare": by_slices(32),
    "sklearn randomized_svd, dense": by_sklearn,
    "torch.svd_lowrank, dense": by_torch,
    "fbpca, dense": by_fbpca,
}


def one(name: str, options: argparse.Namespace) -> None:
    """Run one solver here and print what it found, for the parent."""
    torch.set_num_threads(1)
    sequences = check_sequences(data.load(options.set).train)
    survey = Survey.of(sequences, sequences[0].shape[1], sequences[0].device)
    history = InMemoryHistory(sequences, features=survey.active())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    vectors, extrapolated = SOLVERS[name](history, options.size, options.slices)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6
    captured = None
    if vectors is not None:
        captured = float((vectors * history.gram_matvec(vectors.contiguous())).sum()) / history.energy
    if extrapolated != 1.0:
        cpu, wall = cpu / wall * extrapolated, extrapolated
    print(json.dumps({"s": wall, "cpu": cpu, "GB": peak, "captured": captured}))


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="jsb_chorales")
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--slices", type=int, help="extrapolate slices from so many (default: all, or 3 of a large set)"
    )
    parser.add_argument("--one", choices=list(SOLVERS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    splits = data.load(options.set)
    rows_count = sum(len(one) for one in splits.train)
    lags = max(len(one) for one in splits.train)
    large = rows_count * lags * 88 * 8 > 20e9
    options.slices = options.slices or (3 if large else 10**9)
    if options.one:
        one(options.one, options)
        return
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"{platform.machine()}, {os.cpu_count()} cores (load {load}), one thread, torch {torch.__version__}; "
        f"{options.set}, p = {options.size}, medians of {options.rounds}"
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for _ in range(options.rounds):
        for name in SOLVERS:
            if large and "dense" in name:
                continue
            command = [sys.executable, __file__, "--one", name, "--set", options.set, "--size", str(options.size)]
            command += ["--slices", str(options.slices)]
            environment = os.environ | dict.fromkeys(
                ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
            )
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            if done.returncode:
                print(f"{name}: {(done.stderr.strip().splitlines() or ['killed'])[-1]}")
                continue
            found.setdefault(name, []).append(json.loads(done.stdout.splitlines()[-1]))
    best = found["ours (auto: randomized)"]
    captured = max(row["captured"] for row in best)
    fast = statistics.median(row["s"] for row in best)
    rows = []
    for name, runs in found.items():
        wall = statistics.median(run["s"] for run in runs)
        lacks = None if runs[0]["captured"] is None else (captured - runs[0]["captured"]) / (1 - captured)
        rows.append(
            {
                "solver": name,
                "s": wall,
                "CPU s": statistics.median(run["cpu"] for run in runs),
                "times ours": wall / fast,
                "peak GB": max(run["GB"] for run in runs),
                "missing": None if lacks is None else f"{max(lacks, 0.0):.1e}",
            }
        )
    print(tables.markdown(rows, {"s": 1, "CPU s": 1, "times ours": 1, "peak GB": 2}))
    if large:
        print(
            f"slices: extrapolated from {options.slices} of {-(-lags // SLICE)}; the dense matrix would take "
            f"{rows_count * lags * 88 * 8 / 1e9:.0f} GB"
        )


if __name__ == "__main__":
    main()
