"""Speed of the NADE readout: a training step against autograd, growth with notes and hidden units, an epoch, a bar.

A step is forward and backward of the mean NLL to c, b, W and V. Every figure is a median of `--rounds` rounds in
milliseconds of CPU time; in each round both versions run in turn, so that other load affects both.

    python benchmarks/nade_speed.py                 # random frames with 4 of D notes
    python benchmarks/nade_speed.py --data jsb_chorales   # real frames; seconds per epoch and per generated bar

Symbols: M frames, D notes, H hidden units.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from linmem import data
from linmem.nn.nade import NADE, Voices, nade_nll
from linmem.nn.nade.reference import reference_nll
from linmem.reporting import tables

SIZES = [(1000, 88, 150), (250, 88, 150), (1000, 44, 150), (1000, 176, 150), (1000, 88, 75), (1000, 88, 300)]
GROWTH = [(44, 150), (88, 75), (88, 150), (88, 300), (88, 600), (176, 150)]
SOUNDING = 4
FRAMES_PER_BAR = 4


def random_frames(rows: int, notes: int) -> Tensor:
    """Frames with `SOUNDING` notes each, (M, D)."""
    order = torch.rand(rows, notes, generator=torch.Generator().manual_seed(0)).argsort(1)
    return (order < SOUNDING).float()


def step_times(frames: Tensor, hidden: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of a training step of both versions, and the median of their ratio."""
    generator, (rows, notes) = torch.Generator().manual_seed(1), frames.shape
    shapes = (rows, hidden), (rows, notes), (notes, hidden), (notes, hidden)
    weights = [(0.1 * torch.randn(shape, generator=generator)).requires_grad_() for shape in shapes]
    versions: dict[str, Callable[..., Tensor]] = {"autograd": reference_nll, "fused": nade_nll}
    seconds: dict[str, list[float]] = {name: [] for name in versions}
    for _ in range(rounds + 1):
        for name, nll in versions.items():
            started = time.process_time()
            torch.autograd.grad(nll(*weights, frames).mean(), weights)
            seconds[name].append(time.process_time() - started)
    kept = {name: values[1:] for name, values in seconds.items()}  # the first round warms up
    ratios = [a / b for a, b in zip(kept["autograd"], kept["fused"], strict=True)]
    return {f"{name} ms": 1e3 * statistics.median(values) for name, values in kept.items()} | {
        "ratio": statistics.median(ratios)
    }


def row(frames: Tensor, hidden: int, rounds: int) -> dict[str, float | int]:
    """One row of the table."""
    sounding = float(frames.sum(1).mean())
    return {"frames": len(frames), "notes": frames.shape[1], "notes per frame": sounding, "hidden units": hidden} | (
        step_times(frames, hidden, rounds)
    )


def epoch(frames: Tensor, kind: str, orders: int, hidden: int = 150, batch_size: int = 500) -> dict[str, object]:
    """Seconds of one epoch of the readout alone with Adam, and of a generated bar of four frames."""
    nade = NADE(100, frames.shape[1], hidden, orders=orders, kind=kind)
    nade.set_note_biases_(None, torch.logit(frames.mean(0), eps=1e-4))
    features, recent = torch.zeros(len(frames), 100), torch.zeros(len(frames), nade.recent or 1, frames.shape[1])
    optimizer = torch.optim.Adam(nade.parameters())
    started, cpu = time.perf_counter(), time.process_time()
    for part, inputs, past in zip(*(x.split(batch_size) for x in (frames, features, recent)), strict=True):
        optimizer.zero_grad()
        nade.distribution(nade.biases(inputs), past).training_loss(part).mean().backward()
        optimizer.step()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    nade.eval()
    with torch.no_grad():
        one = nade.distribution(nade.biases(features[:1]), recent[:1])
        bars = []
        for _ in range(10):
            cpu = time.process_time()
            for _ in range(FRAMES_PER_BAR):
                one.sample(voices=Voices(minimum=SOUNDING, maximum=SOUNDING))
            bars.append(time.process_time() - cpu)
    return {
        "kind": kind,
        "orders": orders,
        "notes": frames.shape[1],
        "hidden units": hidden,
        "frames": len(frames),
        "s per epoch": seconds,
        "CPU s per epoch": cpu_seconds,
        "CPU ms per bar": 1e3 * statistics.median(bars),
    }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="a data set of piano rolls, instead of random frames")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.data:
        frames = torch.cat(list(data.load(arguments.data).train)).float()
        shuffled = frames[torch.randperm(len(frames), generator=torch.Generator().manual_seed(0))]
        sizes = [(1000, 150), (250, 150), (1000, 300)]
        rows = [row(shuffled[:count], hidden, arguments.rounds) for count, hidden in sizes]
    else:
        rows = [row(random_frames(count, notes), hidden, arguments.rounds) for count, notes, hidden in SIZES]
    print(tables.markdown(rows, {"ratio": 1}))
    if not arguments.data:
        print("\nGrowth with notes and hidden units: windows, two orders, an epoch of 5,000 random frames.\n")
        grown = [epoch(random_frames(5000, notes), "windows", 2, hidden) for notes, hidden in GROWTH]
        print(tables.markdown(grown, {"CPU s per epoch": 2, "CPU ms per bar": 1}))
    if arguments.data:
        kinds = [("plain", 1), ("plain", 2), ("windows", 1), ("windows", 2)]
        print("\nThe readout alone, 150 hidden units; a bar is four frames of four notes.\n")
        print(tables.markdown([epoch(frames, *kind) for kind in kinds], {"CPU s per epoch": 1, "CPU ms per bar": 1}))


if __name__ == "__main__":
    main()
