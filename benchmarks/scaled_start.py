"""What the scale of the functional units is worth where an LMN starts from the autoencoder of its inputs.

The networks, series and options are those of `linmem reproduce encoding` on Mackey-Glass: 20 units, 15 steps ahead, the
learning rate of two that is better on valid with the first seed, a patience of 50 and a limit of 500 epochs. "Scaled"
is `linmem.nn.functional_scale.scale_functional_`: the largest net input is 1 at the start. Controls: the default start
scaled, and the solved start without a patience. A second table has other largest net inputs, on valid alone. About 15
minutes per series on one thread; an interrupted run continues.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import torch

from linmem.experiments.encoding.grids import GRIDS, TaskPlan
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
SERIES = {plan.name: plan for plan in CONFIG.tasks if "Mackey" in plan.name}
(NETWORKS,) = (plan.networks for plan in SERIES.values() if plan.networks is not None)


class Start(NamedTuple):
    """A model, whether its memory is solved, its largest net input at the start (None: as it is), and patience."""

    model: str = "lmn-b"
    solved: bool = False
    largest: float | None = None
    patience: int = NETWORKS.patience


STARTS = {
    "LSTM": Start("lstm"),
    "LMN, default": Start(),
    "LMN, default, scaled": Start(largest=1.0),
    "LMN, solved": Start(solved=True),
    "LMN, solved, no patience": Start(solved=True, patience=NETWORKS.max_epochs),
    "LMN, solved, scaled": Start(solved=True, largest=1.0),
}
LARGEST = {f"{largest:g}": Start(solved=True, largest=largest) for largest in (0.1, 0.3, 3.0)}


def trained(plan: TaskPlan, start: Start, rate: float, seed: int) -> dict[str, Any]:
    """Train one network; its R² on valid before, on valid and on test after, in per cent."""
    splits, task = (problem := plan.task.draw(plan.name, seed)).splits, problem.task
    options = ModelOptions(start.model, NETWORKS.units, NETWORKS.units)
    model = build_model(options, splits.features, task.output_size(splits), seed)
    assert isinstance(model, SequenceModel)

    def percent(split: str) -> float:
        return 100 * evaluate(model, splits, task, split).accuracy

    inputs, targets = task.examples(splits, "train")
    if start.solved:
        pretrain_on_inputs(model.recurrent, model.readout, inputs, targets, task=task, seed=seed)
    if start.largest is not None:
        scale_functional_(model.recurrent, inputs, start.largest)
    found = {"rate": rate, "net input": _largest_net_input(model, inputs), "before": percent("valid")}
    how = TrainingOptions(rate, NETWORKS.batch_size, max_epochs=NETWORKS.max_epochs, patience=start.patience, seed=seed)
    history = train(model, splits, task, how)
    after = {"loss": history.best.valid_loss, "valid": percent("valid"), "test": percent("test")}
    return found | after | {"best epoch": history.best_epoch, "epochs": len(history.epochs)}


def _largest_net_input(model: SequenceModel, inputs: Sequence[torch.Tensor]) -> float | None:
    return 1 / scale_functional_(deepcopy(model.recurrent), inputs) if isinstance(model.recurrent, LMN) else None


def chosen(plan: TaskPlan, starts: Mapping[str, Start], folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the runs of all seeds of every start, at the rate that is better on valid with the first seed."""

    def run_all(rates: Mapping[str, Sequence[float]], seeds: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
        names = {
            (name, rate, seed): f"{name}-{rate:g}-{seed}" for name in starts for rate in rates[name] for seed in seeds
        }
        jobs = {file: partial(trained, plan, starts[key[0]], *key[1:]) for key, file in names.items()}
        found = run_jobs(folder, jobs, progress=True)
        return {name: [found[file] for key, file in names.items() if key[0] == name] for name in starts}

    tried = run_all(dict.fromkeys(starts, RATES), SEEDS[:1])
    best = {name: [min(own, key=lambda one: one["loss"])["rate"]] for name, own in tried.items()}
    return run_all(best, SEEDS)


def row(name: str, runs: list[dict[str, Any]], splits: Sequence[str]) -> dict[str, Any]:
    """Mean and standard deviation over seeds."""
    net_inputs = [one["net input"] for one in runs if one["net input"] is not None]
    return {
        "start": name,
        "largest net input": mean_std(net_inputs) if net_inputs else None,
        "learning rate": f"{runs[0]['rate']:g}",
        "valid before, %": mean_std([one["before"] for one in runs]),
        "best epoch": round(mean(one["best epoch"] for one in runs)),
        "epochs": round(mean(one["epochs"] for one in runs)),
    } | {f"{split}, %": mean_std([one[split] for one in runs]) for split in splits}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/scaled-start"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for title, plan in SERIES.items():
        folder = arguments.out / title.replace(" ", "_")
        for starts, splits in ((STARTS, ("valid", "test")), (LARGEST, ("valid",))):
            rows = [row(name, runs, splits) for name, runs in chosen(plan, starts, folder).items()]
            print(f"\n{title}, {len(SEEDS)} seeds, one thread, torch {torch.__version__}\n\n{tables.markdown(rows)}")


if __name__ == "__main__":
    main()
