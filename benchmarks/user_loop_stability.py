"""Stability of layers in a plain training loop: the highest loss of LMN, LSTM, GRU and RNN.

Each layer reads a labelled series; a linear head on the last step is trained with it for 15 epochs by
`torch.optim.Adam(model.parameters(), lr=1e-2)`, batches of 16 and gradients clipped at norm 1. ArrowHead (251 steps)
and BasicMotions (100 steps) are read from the files of an installed aeon or sktime; without them, two generated sets of
similar sizes are used. Prints the highest and the median over seeds of each run's highest loss, and the mean accuracy.

    python benchmarks/user_loop_stability.py            # an interrupted run continues
    python benchmarks/user_loop_stability.py --cost     # CPU time of the norm limits relative to a training step
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from linmem.data.ts_file import read_ts
from linmem.nn.lmn import LMN
from linmem.reporting import tables
from linmem.runs.queue import run_jobs

Layer = Callable[[int], nn.Module]
NOT_FINITE = 1e30  # JSON has no infinity


class Labelled(NamedTuple):
    """Equally long labelled series."""

    x: Tensor  # (n, T, a)
    y: Tensor  # (n,)


class Problem(NamedTuple):
    """Training and test series."""

    name: str
    train: Labelled
    test: Labelled


class Outcome(NamedTuple):
    """One run."""

    highest_loss: float  # NOT_FINITE if a loss is not finite
    accuracy: float


def labelled(path: Path, classes: list[str]) -> Labelled:
    """Series of a .ts file; `classes` collects the labels."""
    file = read_ts(path)
    classes += sorted(set(file.labels) - set(classes))
    x = torch.stack([torch.from_numpy(case).float() for case in file.cases])
    return Labelled(x, torch.tensor([classes.index(label) for label in file.labels]))


def installed(name: str) -> Problem | None:
    """A data set from the files of aeon or sktime, or None."""
    for package in ("aeon", "sktime"):
        spec = find_spec(package)
        for root in (spec.submodule_search_locations or []) if spec else []:
            paths = [Path(root) / "datasets" / "data" / name / f"{name}_{split}.ts" for split in ("TRAIN", "TEST")]
            if all(path.exists() for path in paths):
                classes: list[str] = []
                return Problem(name, *(labelled(path, classes) for path in paths))
    return None


def generated(name: str, steps: int, channels: int, classes: int) -> Problem:
    """Noisy sines whose frequency is the class."""
    draw = torch.Generator().manual_seed(0)

    def series(count: int) -> Labelled:
        y = torch.arange(count) % classes
        phase = 6.28 * torch.rand(count, 1, channels, generator=draw)
        t = torch.arange(steps)[None, :, None]
        x = torch.sin(0.1 * (1 + y[:, None, None]) * t + phase)
        return Labelled(x + 0.3 * torch.randn(x.shape, generator=draw), y)

    return Problem(f"{name} (generated)", series(40), series(80))


def layers(sizes: tuple[int, int, int]) -> Iterator[tuple[str, Layer]]:
    """Layers by name; sizes are those of the LMN (f, p) and of the others (h)."""
    f, p, h = sizes
    for memory in ("dense", "diagonal"):
        for output, sigma in (("memory", "tanh"), ("functional", "tanh"), ("memory", "relu"), ("functional", "relu")):
            kind = f"LMN-{'B' if output == 'memory' else 'A'} {sigma}" + (" diagonal" if memory == "diagonal" else "")
            yield (
                kind,
                lambda a, o=output, s=sigma, m=memory: LMN(  # type: ignore[misc]
                    a, f, p, output=o, nonlinearity=s, batch_first=True, memory=m
                ),
            )
    yield (
        "LMN-B tanh, limit_norms=False",
        lambda a: LMN(a, f, p, batch_first=True, limit_norms=False),
    )
    yield "LSTM", lambda a: nn.LSTM(a, h, batch_first=True)
    yield "GRU", lambda a: nn.GRU(a, h, batch_first=True)
    yield "RNN tanh", lambda a: nn.RNN(a, h, batch_first=True)
    yield "RNN relu", lambda a: nn.RNN(a, h, batch_first=True, nonlinearity="relu")


def train(problem: Problem, layer: Layer, seed: int, epochs: int, lr: float) -> Outcome:
    """Run the plain loop."""
    torch.manual_seed(seed)
    (x, y), classes = problem.train, int(problem.train.y.max()) + 1
    recurrent = layer(x.shape[2])
    head = nn.Linear(recurrent(x[:1])[0].shape[-1], classes)
    parameters = [*recurrent.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=lr)
    highest = 0.0
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(16):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(head(recurrent(x[rows])[0][:, -1]), y[rows])
            if not math.isfinite(loss.item()):
                return Outcome(NOT_FINITE, 0.0)
            highest = max(highest, loss.item())
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
    with torch.no_grad():
        predicted = head(recurrent(problem.test.x)[0][:, -1]).argmax(1)
    return Outcome(highest, float((predicted == problem.test.y).float().mean()))


def shown(loss: float) -> str:
    """A loss with one digit, or in powers of ten."""
    return "not finite" if loss >= NOT_FINITE else f"{loss:.1f}" if loss < 1e4 else f"{loss:.0e}"


def print_cost() -> None:
    """Median CPU time of applying the limits, and of a step of Adam with everything else, T = 160, B = 16, a = 88."""
    rows = []
    for f, p in ((50, 100), (100, 250), (250, 500)):
        for memory, sigma in product(("dense", "diagonal"), ("tanh", "relu")):
            torch.manual_seed(0)
            lmn, x = LMN(88, f, p, memory=memory, nonlinearity=sigma), torch.randn(160, 16, 88)
            optimizer = torch.optim.Adam(lmn.parameters(), lr=1e-6)
            limits, steps = [], []
            for _ in range(23):
                start = time.process_time()
                lmn.limit_norms = True
                lmn.apply_norm_limits()
                lmn.limit_norms = False  # otherwise the optimizer's step applies them, too
                limits.append(time.process_time() - start)
                optimizer.zero_grad()
                lmn(x)[0].square().mean().backward()
                optimizer.step()
                steps.append(time.process_time() - start - limits[-1])
            cost, step = (1e3 * statistics.median(times[3:]) for times in (limits, steps))
            rows.append(
                {"(f, p)": f"({f}, {p})", "memory": memory, "σ": sigma, "limits, ms": cost, "step, ms": step}
                | {"limits / step": f"{100 * cost / step:.1f} %"}
            )
    print(f"torch {torch.__version__}, one thread, CPU time, medians of 20 steps\n")
    print(tables.markdown(rows, {"limits, ms": 2, "step, ms": 1}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/user-loop-stability"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.cost:
        return print_cost()
    problems = [
        installed("ArrowHead") or generated("ArrowHead", 251, 1, 3),
        installed("BasicMotions") or generated("BasicMotions", 100, 6, 4),
    ]
    cells = [(problem, *named) for problem in problems for named in layers((50, 100, 60))]
    jobs = {
        f"{problem.name} {name} {seed} {options.epochs} {options.lr:g}".replace(" ", "_"): partial(
            train, problem, layer, seed, options.epochs, options.lr
        )
        for seed in range(options.seeds)
        for problem, name, layer in cells
    }
    found = [Outcome(*run) for run in run_jobs(options.out, jobs).values()]
    rows = []
    for index, (problem, name, _) in enumerate(cells):
        runs = found[index :: len(cells)]
        losses = [run.highest_loss for run in runs]
        rows.append(
            {
                "set": problem.name,
                "layer": name,
                "highest loss": shown(max(losses)),
                "median of highest losses": shown(statistics.median(losses)),
                "test accuracy": f"{statistics.mean(run.accuracy for run in runs):.3f}",
            }
        )
    print(f"\nAdam {options.lr:g}, clip 1, {options.epochs} epochs, {options.seeds} seeds, torch {torch.__version__}\n")
    print(tables.markdown(rows, {}))


if __name__ == "__main__":
    main()
