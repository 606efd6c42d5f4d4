"""Forward, backward and weight gradients of one layer: LMN against torch's own recurrent layers, in one run.

Every number is a median of `--rounds` rounds in milliseconds. In each round all layers run once, in turn, so that other
load on the machine affects all of them. Ratios are medians, over the rounds, of the time of another layer divided by
that of the LMN: above 1 the LMN is faster. "Least" is the smallest ratio to nn.LSTM, nn.GRU and nn.RNN of f + p units.

    python benchmarks/layer_speed.py                      # one thread
    python benchmarks/layer_speed.py --threads 2
    python benchmarks/layer_speed.py --clock cpu          # CPU time of the process: on a machine with other load
    LINMEM_COMPILE=0 python benchmarks/layer_speed.py      # as on a machine without a C compiler
    python benchmarks/layer_speed.py --compile --only 0   # and torch.compile of the plain loop; minutes per size

Symbols: T steps, B sequences, a inputs, f functional units, p memory units.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from linmem.analysis.layer_speed import times, training_step
from linmem.nn.lmn import LMN
from linmem.nn.scan.engine import blas_threads
from linmem.nn.scan.libraries import ENGINES

SIZES = [  # T, B, a, f, p
    (160, 16, 88, 50, 100),
    (160, 16, 88, 100, 250),
    (200, 32, 88, 250, 500),
    (784, 64, 1, 128, 128),
    (500, 1, 88, 100, 250),
    (160, 1, 88, 50, 100),
    (160, 8, 88, 50, 100),
    (160, 64, 88, 50, 100),
    (160, 8, 88, 100, 250),
    (160, 64, 88, 100, 250),
    (200, 1, 88, 250, 500),
    (200, 8, 88, 250, 500),
    (200, 64, 88, 250, 500),
]
# least ratio to nn.LSTM(f + p) on one thread; 1 for other sizes
TARGETS = {SIZES[0]: 2.0, SIZES[1]: 3.5, SIZES[2]: 4.0, SIZES[3]: 4.0, SIZES[4]: 3.5}
ON_TWO_THREADS, TO_LSTM_P = 3.0, 1.5  # to nn.LSTM(f + p), and to nn.LSTM(p), for at least LARGE units f + p
LARGE = 250
DIAGONAL_TARGET = 1.5  # dense over diagonal memory, at (100, 250) and B = 16


def ratio(theirs: list[float], ours: list[float]) -> float:
    """The median, over the rounds, of their time over ours."""
    return statistics.median(a / b for a, b in zip(theirs, ours, strict=True))


def verdict(found: float, target: float | None) -> str:
    """The ratio, and whether it reaches the target."""
    if target is None:
        return f"{found:.2f}"
    return f"{found:.2f} ({target:g} {'reached' if found >= target else 'NOT reached'})"


def gemm_peak(batch: int, inner: int, outer: int, clock: Callable[[], float]) -> float:
    """GFLOP/s of the best product (batch, inner) x (inner, outer) among NumPy, torch (MKL) and oneDNN."""
    a, w, out = torch.randn(batch, inner), torch.randn(outer, inner), torch.empty(batch, outer)
    available = [e for e in ENGINES.values() if e.name != "native" and e.supports(torch.float32, torch.device("cpu"))]
    repeat, best = max(3, int(2e8 / (2 * batch * inner * outer))), float("inf")
    with torch.no_grad(), blas_threads():
        calls = [(e.linear(w, None, batch), e.array(a), e.array(out)) for e in available]
        for _ in range(10):
            for linear, left, space in calls:
                start = clock()
                for _ in range(repeat):
                    linear(left, space)
                best = min(best, (clock() - start) / repeat)
    return 2e-9 * batch * inner * outer / best


def layers_of(features: int, f: int, p: int, compiled: bool) -> dict[str, nn.Module]:
    """All layers; the first is the LMN."""
    layers: dict[str, nn.Module] = {
        "LMN": LMN(features, f, p),
        "LMN diagonal": LMN(features, f, p, memory="diagonal"),
        "LMN loop": LMN(features, f, p, backend="reference"),
        "LSTM(f+p)": nn.LSTM(features, f + p),
        "LSTM(p)": nn.LSTM(features, p),
        "GRU(f+p)": nn.GRU(features, f + p),
        "RNN(f+p)": nn.RNN(features, f + p),
    }
    if compiled:
        layers["compiled loop"] = torch.compile(LMN(features, f, p, backend="reference"))
    return layers


def streaming(rounds: int, clock: Callable[[], float]) -> None:
    """One step at a time at B = 1, without gradients: LMN.step against nn.LSTMCell(f + p)."""
    print("\nInference, one step at B = 1, µs per step\n")
    print("| a, (f, p) | LMN.step | LSTMCell(f+p) | ratio |\n|---|---|---|---|")
    for features, f, p in ((88, 50, 100), (88, 100, 250), (88, 250, 500)):
        lmn, cell = LMN(features, f, p).eval(), nn.LSTMCell(features, f + p).eval()
        x, m, h = torch.randn(1, features), torch.zeros(1, 1, p), torch.zeros(1, f + p)

        def ours(lmn: LMN = lmn, x: torch.Tensor = x, m: torch.Tensor = m) -> None:
            for _ in range(300):
                _, m = lmn.step(x, m)

        def theirs(cell: nn.LSTMCell = cell, x: torch.Tensor = x, h: torch.Tensor = h) -> None:
            state = (h, h)
            for _ in range(300):
                state = cell(x, state)

        with torch.no_grad():
            found = times({"ours": ours, "theirs": theirs}, rounds, clock)
        a, b = (1e3 * statistics.median(found[name]) / 300 for name in ("ours", "theirs"))
        faster = verdict(ratio(found["theirs"], found["ours"]), 1.0)
        print(f"| {features}, ({f}, {p}) | {a:.1f} | {b:.1f} | {faster} |", flush=True)


def kept(layer: nn.Module, x: torch.Tensor) -> float:
    """MiB that the forward pass stores for the backward pass, besides parameters and input."""
    sizes: dict[int, int] = {}
    given = {t.untyped_storage().data_ptr() for t in (x, *layer.parameters())}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_mkldnn:
            sizes[id(tensor)] = tensor.numel() * tensor.element_size()
        elif (address := tensor.untyped_storage().data_ptr()) not in given:
            sizes[address] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(x)
    return sum(sizes.values()) / 2**20


def memory() -> None:
    """What each layer stores for its backward pass."""
    print("\nStored for the backward pass, MiB\n")
    print("| T, B, a, (f, p) | LMN | LMN(backend='recompute') | LSTM(f+p) | LSTM(p) |\n|---|---|---|---|---|")
    for steps, batch, features, f, p in SIZES[:5]:
        x = torch.randn(steps, batch, features)
        layers = (
            LMN(features, f, p), LMN(features, f, p, backend="recompute"),
            nn.LSTM(features, f + p), nn.LSTM(features, p),
        )  # fmt: skip
        found = " | ".join(f"{kept(layer, x):.1f}" for layer in layers)
        print(f"| {steps}, {batch}, {features}, ({f}, {p}) | {found} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--compile", action="store_true", help="also torch.compile of the plain loop (minutes)")
    parser.add_argument("--sizes", type=int, default=len(SIZES), help="number of sizes to measure, from the first")
    parser.add_argument("--only", type=int, nargs="*", help="only these sizes, by number from 0")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    clock = time.perf_counter if arguments.clock == "wall" else time.process_time
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"{platform.machine()}, {os.cpu_count()} cores (load {load}), torch {torch.__version__}, NumPy "
        f"{np.__version__}; {arguments.threads} thread(s), {arguments.clock} clock, median of {arguments.rounds}\n"
    )
    names = list(layers_of(1, 1, 1, arguments.compile))
    columns = [
        *names,
        "LSTM(f+p) / LMN",
        "LSTM(p) / LMN",
        "LMN / LMN diagonal",
        "least",
        "share of best GEMM",
        "loop by",
    ]
    print(f"| T, B, a, (f, p) | {' | '.join(columns)} |")
    print("|---" * (len(columns) + 1) + "|")
    sizes = SIZES[: arguments.sizes] if arguments.only is None else [SIZES[i] for i in arguments.only]
    for size in sizes:
        steps, batch, features, f, p = size
        layers = layers_of(features, f, p, arguments.compile)
        runs = {name: training_step(layer, steps, batch, features) for name, layer in layers.items()}
        found = times(runs, arguments.rounds, clock)
        large = f + p >= LARGE
        target = TARGETS.get(size, 1.0) if arguments.threads == 1 else ON_TWO_THREADS if large else 1.0
        ratios = {name: ratio(found[name], found["LMN"]) for name in names}
        multiplications = steps * batch * (features * f + p * (f + p) + f * p) * 3 - steps * batch * features * f
        peak = gemm_peak(batch, p, f + p, clock)
        share = 2e-6 * multiplications / statistics.median(found["LMN"]) / peak
        lmn = layers["LMN"]
        assert isinstance(lmn, LMN)
        reason = lmn.backend_for(torch.empty(steps, batch, features)).reason
        cells = [
            *(f"{statistics.median(found[name]):.1f}" for name in names),
            verdict(ratios["LSTM(f+p)"], target),
            verdict(ratios["LSTM(p)"], TO_LSTM_P if large else None),
            verdict(ratio(found["LMN"], found["LMN diagonal"]), DIAGONAL_TARGET if size == SIZES[1] else None),
            f"{min(ratios[f'{kind}(f+p)'] for kind in ('LSTM', 'GRU', 'RNN')):.2f}",
            f"{100 * share:.0f} %",
            reason.split("time loop in ")[-1].split(",")[0],
        ]
        print(f"| {steps}, {batch}, {features}, ({f}, {p}) | {' | '.join(cells)} |", flush=True)
    streaming(arguments.rounds, clock)
    memory()


if __name__ == "__main__":
    main()
