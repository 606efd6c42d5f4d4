"""Speed of the NADE readout: a training step against plain autograd, growth with notes and hidden units, an epoch.

A step is forward and backward of the mean NLL to c, b, W and V. Every figure is a median of `--rounds` rounds in
milliseconds; in each round both versions run in turn, so that other load affects both.

    python benchmarks/nade_speed.py                 # random frames with 4 of D notes
    python benchmarks/nade_speed.py --data jsb_chorales   # real frames, and seconds per epoch of the readout alone

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
SOUNDING = 4


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
            started = time.perf_counter()
            torch.autograd.grad(nll(*weights, frames).mean(), weights)
            seconds[name].append(time.perf_counter() - started)
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


def epoch(frames: Tensor, hidden: int, batch_size: int = 500) -> str:
    """Seconds of one epoch of the readout alone with Adam, and of sampling every frame once."""
    nade, features = NADE(100, frames.shape[1], hidden), torch.zeros(len(frames), 100)
    optimizer = torch.optim.Adam(nade.parameters())
    started = time.perf_counter()
    for part, inputs in zip(frames.split(batch_size), features.split(batch_size), strict=True):
        optimizer.zero_grad()
        nade(inputs, part).mean().backward()
        optimizer.step()
    trained = time.perf_counter()
    nade.sample(features, voices=Voices(minimum=SOUNDING, maximum=SOUNDING))
    sampled = time.perf_counter()
    return (
        f"{len(frames)} frames, {hidden} hidden units: {trained - started:.2f} s per epoch of the readout alone, "
        f"{sampled - trained:.2f} s to sample every frame once"
    )


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
    if arguments.data:
        print(f"\n{epoch(frames, 150)}")


if __name__ == "__main__":
    main()
