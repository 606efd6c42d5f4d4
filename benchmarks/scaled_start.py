"""What the scale of the functional units is worth where an LMN starts from the autoencoder of its inputs.

Sets, networks and options are those of `linmem reproduce encoding`, with lower limits of epochs: Mackey-Glass series,
15 steps ahead, 20 units, and the next frame of JSB Chorales, 100 units; and the images of `digits`, pixel by pixel, 64
units. The learning rate is the one of two that is better on valid with the first seed; patience or a limit of epochs
ends training. "Scaled" is `linmem.nn.functional_scale.scale_functional_`: the largest net input is 1 at the start.
Controls: the default start scaled, the solved start without a patience, with limits on the norms of the recurrent
weights, and with both; of JSB the solved starts alone. On the series other largest net inputs are tried, on valid
alone, and linear regression on their last values. About an hour on one thread; an interrupted run continues, and
several processes share the work.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import torch
from sklearn.linear_model import LinearRegression
from torch import Tensor
from torch.nn.functional import pad

from linmem.experiments.encoding.grids import GRIDS, NetworkConfig, TaskPlan
from linmem.experiments.encoding.tasks import NextFrames
from linmem.nn.functional_scale import scale_functional_
from linmem.nn.lmn import LMN
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel
from linmem.reporting import tables
from linmem.reporting.tables import mean_std
from linmem.runs.queue import run_jobs
from linmem.training.loop import evaluate, train
from linmem.training.options import TrainingOptions
from linmem.training.pretraining import pretrain_on_inputs

CONFIG = GRIDS["small"]
RATES, SEEDS = CONFIG.learning_rates, range(CONFIG.seeds)
PLANS = {plan.name: plan for plan in CONFIG.tasks}
SERIES = ("Mackey-Glass, τ = 17", "Mackey-Glass, τ = 30")
LIMITS = {"jsb_chorales": 200} | dict.fromkeys(SERIES, 500)  # of epochs; those of `encoding` are higher
for name, max_epochs in LIMITS.items():
    networks = PLANS[name].networks or PLANS[SERIES[0]].networks
    assert networks is not None
    PLANS[name] = replace(PLANS[name], networks=replace(networks, max_epochs=max_epochs))
PLANS["digits"] = TaskPlan("digits", NextFrames("digits"), (64,), NetworkConfig(64, 64, 200, 20, 16))


class Start(NamedTuple):
    """A model, whether its memory is solved, its largest net input at the start (None: as it is), and its training."""

    label: str
    model: str = "lmn-b"
    solved: bool = False
    largest: float | None = None
    patience: bool = True
    limit_norms: bool = False
    center: bool = True

    def file(self, rate: float, seed: int) -> str:
        """Return the name of the file of a run."""
        return f"{self.label}-{rate:g}-{seed}".replace(", ", "_").replace(" ", "_")


STARTS = (
    Start("LSTM", "lstm"),
    Start("default"),
    Start("default, scaled", largest=1.0),
    Start("solved", solved=True),
    Start("solved, no patience", solved=True, patience=False),
    Start("solved, limits", solved=True, limit_norms=True),
    Start("solved, limits, no patience", solved=True, limit_norms=True, patience=False),
    Start("solved, scaled", solved=True, largest=1.0),
    Start("solved, scaled, not centered", solved=True, largest=1.0, center=False),
    Start("solved, scaled, limits", solved=True, largest=1.0, limit_norms=True),
)
LARGEST = tuple(Start(f"solved, at most {largest:g}", solved=True, largest=largest) for largest in (0.1, 0.3, 3.0))
SCORED = ("valid", "test")
TABLES = (
    *((title, STARTS, SCORED) for title in (*SERIES, "digits")),
    *((title, LARGEST, SCORED[:1]) for title in SERIES),
    (
        "jsb_chorales",
        [one for one in STARTS if one.label in ("solved", "solved, scaled", "solved, scaled, not centered")],
        SCORED,
    ),
)


def trained(plan: TaskPlan, start: Start, rate: float, seed: int) -> dict[str, Any]:
    """Train one network; its accuracy or R² on valid before, on valid and on test after, in per cent."""
    config = plan.networks
    assert config is not None
    splits, task = (problem := plan.task.draw(plan.name, seed)).splits, problem.task
    options = ModelOptions(start.model, config.units, config.units, limit_norms=start.limit_norms)
    model = build_model(options, splits.features, task.output_size(splits), seed)
    assert isinstance(model, SequenceModel)

    def percent(split: str) -> float:
        return 100 * evaluate(model, splits, task, split).accuracy

    inputs, targets = task.examples(splits, "train")
    if start.solved:
        pretrain_on_inputs(model.recurrent, model.readout, inputs, targets, task=task, seed=seed)
    if start.largest is not None:
        scale_functional_(model.recurrent, inputs, start.largest, center=start.center)
    found = {"rate": rate, "net input": _largest_net_input(model, inputs), "before": percent("valid")}
    patience = config.patience if start.patience else config.max_epochs
    how = TrainingOptions(rate, config.batch_size, max_epochs=config.max_epochs, patience=patience, seed=seed)
    history = train(model, splits, task, how)
    after = {"loss": history.best.valid_loss, "valid": percent("valid"), "test": percent("test")}
    after["norm"] = _memory_norm(model)
    return found | after | {"best epoch": history.best_epoch, "epochs": len(history.epochs)}


def _largest_net_input(model: SequenceModel, inputs: Sequence[Tensor]) -> float | None:
    if not isinstance(model.recurrent, LMN):
        return None
    return 1 / scale_functional_(deepcopy(model.recurrent), inputs, center=False)


def _memory_norm(model: SequenceModel) -> float | None:
    """Return the spectral norm of W_mm."""
    if not isinstance(model.recurrent, LMN):
        return None
    return float(torch.linalg.matrix_norm(model.recurrent.get_parameter("weight_mm_l0").detach(), 2))


def linear_regression(plan: TaskPlan, lags: int) -> str:
    """R² on valid of linear regression on the last `lags` values, in per cent: what a linear network can reach."""
    found = []
    for seed in SEEDS:
        splits, task = (problem := plan.task.draw(plan.name, seed)).splits, problem.task
        train_windows, valid_windows = (_windows(*task.examples(splits, split), lags) for split in ("train", "valid"))
        found.append(100 * LinearRegression().fit(*train_windows).score(*valid_windows))
    return mean_std(found)


def _windows(inputs: Sequence[Tensor], targets: Sequence[Tensor], lags: int) -> tuple[Tensor, Tensor]:
    pairs = zip(inputs, targets, strict=True)
    windows = [pad(x, (0, 0, lags - 1, 0)).unfold(0, lags, 1).flatten(1)[-len(y) :] for x, y in pairs]
    return torch.cat(windows).double(), torch.cat(list(targets)).double()


def chosen(plan: TaskPlan, starts: Sequence[Start], folder: Path) -> list[list[dict[str, Any]]]:
    """Return the runs of all seeds of every start, at the rate that is better on valid with the first seed."""

    def run_all(tried: Sequence[tuple[Start, float, int]]) -> list[dict[str, Any]]:
        jobs = {start.file(rate, seed): partial(trained, plan, start, rate, seed) for start, rate, seed in tried}
        return list(run_jobs(folder, jobs, progress=True).values())

    first = run_all([(start, rate, SEEDS[0]) for start in starts for rate in RATES])
    best = [min(own, key=lambda one: one["loss"])["rate"] for own in batched(first, len(RATES))]
    found = run_all([(start, rate, seed) for start, rate in zip(starts, best, strict=True) for seed in SEEDS])
    return list(batched(found, len(SEEDS)))


def batched(results: list[dict[str, Any]], count: int) -> Iterator[list[dict[str, Any]]]:
    """Yield `count` results at a time."""
    return (results[start : start + count] for start in range(0, len(results), count))


def row(start: Start, runs: list[dict[str, Any]], splits: Sequence[str]) -> dict[str, Any]:
    """Mean and standard deviation over seeds."""

    def of_lmn(key: str) -> str | None:
        return None if runs[0][key] is None else mean_std([one[key] for one in runs])

    return {
        "start": start.label,
        "largest net input": of_lmn("net input"),
        "learning rate": f"{runs[0]['rate']:g}",
        "valid before, %": mean_std([one["before"] for one in runs]),
        "best epoch": round(mean(one["best epoch"] for one in runs)),
        "epochs": round(mean(one["epochs"] for one in runs)),
        "‖W_mm‖ after": of_lmn("norm"),
    } | {f"{split}, %": mean_std([one[split] for one in runs]) for split in splits}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/scaled-start"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for title, starts, splits in TABLES:
        found = chosen(PLANS[title], starts, arguments.out / title.replace(" ", "_"))
        rows = [row(start, runs, splits) for start, runs in zip(starts, found, strict=True)]
        print(
            f"\n{title}, {len(SEEDS)} seeds, one thread, torch {torch.__version__}\n\n{tables.markdown(rows)}",
            flush=True,
        )
    for title in SERIES:
        found = {lags: linear_regression(PLANS[title], lags) for lags in (20, 80, 200)}
        print(f"{title}, linear regression on the last values, valid, %, by their number: {found}")


if __name__ == "__main__":
    main()
