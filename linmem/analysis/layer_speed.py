"""Speed of an LMN and of torch.nn's recurrent layers on this machine: one training step and one step of inference.

In each round all layers run once, in turn, so that other load on the machine affects all of them; the results are
medians and their ratios. `LSTM(f + p)` has as many units as the LMN has in total, `LSTM(p)` the same output size.

Symbols: T steps, B sequences, a inputs, f functional units, p memory units.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from tqdm import tqdm

from linmem.nn.lmn import LMN
from linmem.nn.scan.checks import check_choice
from linmem.reporting import tables

Run = Callable[[], None]
Clock = Callable[[], float]  # seconds
CLOCKS: Mapping[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
TRAINING, INFERENCE = "training step", "inference, one step of one sequence"
REPEATS = 200  # steps of inference per measurement, because one step is shorter than the clock resolves


class Size(NamedTuple):
    """Sizes of a measurement; T and B only for training, because inference is one step of one sequence."""

    steps: int  # T
    batch: int  # B
    features: int  # a
    hidden_size: int  # f
    memory_size: int  # p


SIZES = (Size(160, 16, 88, 50, 100), Size(160, 16, 88, 100, 250), Size(784, 64, 1, 128, 128))


def measure(
    sizes: Sequence[Size] = SIZES,
    *,
    rounds: int = 5,
    clock: str = "wall",
    device: str = "cpu",
    seed: int = 0,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Measure all layers at all sizes, on as many threads as torch is set to.

    Parameters
    ----------
    sizes : sequence of Size
    rounds : int
        The result is the median of all rounds, after one round that is not counted.
    clock : str
        "wall", or "cpu": CPU seconds of the process, for a machine with other load.
    device : str
        The device of the layers.
    seed : int
        Seed of weights and inputs; the state of torch's generator is restored.
    progress : bool
        Show a progress bar, on a terminal.

    Returns
    -------
    list of dict
        One row per size and kind of step: the sizes, then the median of each layer in milliseconds.

    Raises
    ------
    ValueError
        `rounds` is below 1, `sizes` is empty, or `clock` is unknown or does not measure `device`.
    """
    if rounds < 1 or not sizes:
        raise ValueError(f"rounds and the number of sizes must be at least 1, got {rounds} and {len(sizes)}.")
    check_choice("clock", clock, CLOCKS)
    if clock == "cpu" and torch.device(device).type != "cpu":
        raise ValueError(f"clock must be 'wall' on {device}, got 'cpu', which does not measure its work.")
    tick = _waiting(CLOCKS[clock], device)
    with torch.random.fork_rng(), tqdm(total=2 * len(sizes), disable=None if progress else True) as bar:
        torch.manual_seed(seed)
        rows = []
        for kind, runs, repeats in ((TRAINING, _training, 1), (INFERENCE, _inference, REPEATS)):
            for size in sizes:
                found = medians(runs(size, device), rounds, tick)
                rows.append({"what": kind} | size._asdict() | {name: ms / repeats for name, ms in found.items()})
                bar.update()
    return rows


def training_step(layer: nn.Module, steps: int, batch: int, features: int) -> Run:
    """Forward and backward of one batch, all weight gradients included."""
    x = torch.randn(steps, batch, features, device=next(layer.parameters()).device)
    with torch.no_grad():
        seed = torch.randn_like(layer(x)[0])

    def run() -> None:
        layer.zero_grad(set_to_none=True)
        layer(x)[0].backward(seed)

    return run


def medians(runs: Mapping[str, Run], rounds: int, clock: Clock) -> dict[str, float]:
    """Median milliseconds of each run; see :func:`times`."""
    return {name: statistics.median(values) for name, values in times(runs, rounds, clock).items()}


def times(runs: Mapping[str, Run], rounds: int, clock: Clock) -> dict[str, list[float]]:
    """Milliseconds of each run in every round; all of them in turn, and the first round is not counted."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(rounds + 1):
        for name, run in runs.items():
            start = clock()
            run()
            if round_ > 0:
                found[name].append(1e3 * (clock() - start))
    return found


def machine(clock: str, rounds: int, device: str = "cpu") -> str:
    """One line that describes machine and method."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    kind = f"{torch.cuda.get_device_name(device)}, " if torch.device(device).type == "cuda" else ""
    return (
        f"{kind}{_processor()}, {os.cpu_count()} cores (load {load}), torch {torch.__version__},"
        f" {torch.get_num_threads()} thread(s); {clock} clock, median of {rounds}"
    )


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One Markdown table per kind of step, with the ratio of LSTM time to LMN time: above 1 the LMN is faster."""
    texts = []
    for kind, unit, scale in ((TRAINING, "ms", 1.0), (INFERENCE, "µs", 1e3)):
        shown = [row for row in rows if row["what"] == kind]
        if not shown:
            continue
        names = [name for name in shown[0] if name not in ("what", *Size._fields)]
        body = [
            _letters(row)
            | {name: scale * row[name] for name in names}
            | {f"{name} / LMN": f"{row[name] / row['LMN']:.2f}" for name in names if name.startswith("LSTM")}
            for row in shown
        ]
        texts.append(f"{kind.capitalize()}, {unit}:\n\n{tables.markdown(body, dict.fromkeys(names, 1))}")
    return "\n\n".join(texts)


def _letters(row: Mapping[str, Any]) -> dict[str, Any]:
    size = Size(*(row[name] for name in Size._fields))
    inside = f"({size.hidden_size}, {size.memory_size})"
    if row["what"] == TRAINING:
        return {"T, B, a, (f, p)": f"{size.steps}, {size.batch}, {size.features}, {inside}"}
    return {"a, (f, p)": f"{size.features}, {inside}"}


def _training(size: Size, device: str) -> dict[str, Run]:
    a, f, p = size.features, size.hidden_size, size.memory_size
    layers = {
        "LMN": LMN(a, f, p),
        "LSTM(f+p)": nn.LSTM(a, f + p),
        "LSTM(p)": nn.LSTM(a, p),
        "GRU(f+p)": nn.GRU(a, f + p),
        "RNN(f+p)": nn.RNN(a, f + p),
    }
    return {name: training_step(layer.to(device), size.steps, size.batch, a) for name, layer in layers.items()}


def _inference(size: Size, device: str) -> dict[str, Run]:
    """Step by step without gradients, each from the previous state: LMN.step and torch's cells."""
    a, f, p = size.features, size.hidden_size, size.memory_size
    lmn, x = LMN(a, f, p).to(device).eval(), torch.randn(1, a, device=device)
    cells: dict[str, tuple[nn.Module, int]] = {
        "LSTM(f+p)": (nn.LSTMCell(a, f + p), f + p),
        "LSTM(p)": (nn.LSTMCell(a, p), p),
        "GRU(f+p)": (nn.GRUCell(a, f + p), f + p),
        "RNN(f+p)": (nn.RNNCell(a, f + p), f + p),
    }
    runs = {"LMN": _repeated(lambda m: lmn.step(x, m)[1], torch.zeros(1, 1, p, device=device))}
    for name, (cell, width) in cells.items():
        zero = torch.zeros(1, width, device=device)
        step = partial(cell.to(device).eval(), x)
        runs[name] = _repeated(step, (zero, zero) if name.startswith("LSTM") else zero)
    return runs


def _repeated(step: Callable[[Any], Any], start: Any) -> Run:
    def run() -> None:
        state = start
        with torch.no_grad():
            for _ in range(REPEATS):
                state = step(state)

    return run


def _waiting(clock: Clock, device: str) -> Clock:
    """The clock, read after the device has finished its work."""
    if torch.device(device).type != "cuda":
        return clock

    def tick() -> float:
        torch.cuda.synchronize(device)
        return clock()

    return tick


def _processor() -> str:
    """Name of the processor on Linux, otherwise the kind of machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
