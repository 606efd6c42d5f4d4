"""Figure 4: reconstruction error of a LAES, and accuracy lost when a network is moved into it. [L18, figure 4.]

a: relative error of the best linear code of p numbers (the bound, by SVD) and of the LAES, against p. b: accuracy of an
unfolded network (ULM) and of the LMN initialised from it, before any fine-tuning, against p. c: error of each step of
the first training sequence, decoded from its last state. Parts a and c are measured on the inputs and on the hidden
states of the ULM. L18's curves are not available to us as numbers; L18 states that the error of c lies in the first
steps. The LMN has the ULM's activation (SELU), so that b shows the effect of the memory size alone.

Symbol: p memory units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from linmem import data
from linmem.analysis import memory_curve
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.autoencoder.solvers import Remembered
from linmem.data import Splits
from linmem.experiments.harness.summarize import Result, Results, averages, draw_curves, select
from linmem.experiments.harness.targets import Target
from linmem.nn.initialize import from_unfolded_
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel
from linmem.nn.unfolded import UnfoldedNetwork
from linmem.reporting import figures, tables
from linmem.reporting.output import figure
from linmem.training.loop import evaluate, train
from linmem.training.metrics import FrameScores
from linmem.training.options import TrainingOptions
from linmem.training.pretraining import hidden_states
from linmem.training.tasks import NextFrame

TITLE = "Figure 4: error and accuracy against memory units"


@dataclass(frozen=True)
class Config:
    """Data set, the unfolded network's units, lags and epochs, and the memory sizes."""

    data: str
    hidden_size: int
    lags: int
    max_epochs: int
    sizes: tuple[int, ...]


GRIDS = {
    "smoke": Config("chorales:12:12:12", 4, 2, 1, (5, 20)),
    "paper": Config("jsb_chorales", 50, 10, 60, (10, 50, 100, 250, 500, 1000)),
}


def run(config: Config, seed: int, work: Path) -> Iterator[Result]:
    """Train the unfolded network, then yield one result per point of a and b and per sequence of c."""
    splits = data.load(config.data)
    size = ModelOptions("unfolded", config.hidden_size, lags=config.lags)
    unfolded = build_model(size, splits.features, splits.features, seed)
    assert isinstance(unfolded, UnfoldedNetwork)
    train(unfolded, splits, NextFrame(), TrainingOptions(max_epochs=config.max_epochs, patience=10, seed=seed))
    hidden = hidden_states(unfolded, splits.train), hidden_states(unfolded, splits.valid)
    solver = LinearAutoencoder(decoder="refit", refine=None, random_state=seed)
    for source, (training, valid) in {"inputs": (splits.train, splits.valid), "hidden states": hidden}.items():
        for point in memory_curve.curve(training, valid, config.sizes, solver):
            yield {"part": "a", "source": source} | point._asdict()
        fitted = LinearAutoencoder(max(config.sizes), decoder="refit", refine=None, random_state=seed).fit(training)
        _, errors = memory_curve.per_step(fitted, training[0])
        energy = float(training[0].square().sum())
        shares = [round(error / energy, 8) for error in errors.tolist()]
        yield {"part": "c", "source": source, "memory_size": fitted.memory_size_, "errors": shares}
    yield from _initialized(unfolded, splits, hidden[0], config.sizes, seed)


def _initialized(
    unfolded: UnfoldedNetwork, splits: Splits, hidden: list[Tensor], sizes: Sequence[int], seed: int
) -> Iterator[Result]:
    """Yield the accuracy of the unfolded network and of an LMN of each size that was only initialised from it."""
    solver = Remembered("auto")
    before = _accuracies(unfolded, splits, "ulm")
    for p in sorted(sizes, reverse=True):
        autoencoder = LinearAutoencoder(p, decoder="tied", solver=solver, random_state=seed).fit(hidden)
        options = ModelOptions("lmn-b", unfolded.hidden_size, p, nonlinearity="selu")
        model = build_model(options, splits.features, splits.features, seed)
        assert isinstance(model, SequenceModel)
        from_unfolded_(model.recurrent, model.readout, unfolded, autoencoder)  # type: ignore[arg-type]
        yield {"part": "b", "memory_size": p} | before | _accuracies(model, splits, "lmn")


def _accuracies(model: torch.nn.Module, splits: Splits, name: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for split in ("train", "valid"):
        scores = evaluate(model, splits, NextFrame(), split)
        assert isinstance(scores, FrameScores)
        found |= {f"{name}_{split}_accuracy": 100 * scores.accuracy, f"{name}_{split}_nll": scores.nll}
    return found


def show(results: Results, folder: Path) -> str:
    """Tables of a and b, the share of c's error in the first half of the steps; one figure per part."""
    a, b, c = (select(results, part=part) for part in "abc")
    texts = []
    sources = list(dict.fromkeys(one["source"] for one in a))
    with figure(folder / "figure4a.png", len(sources)) as axes:
        for panel, source in zip(axes, sources, strict=True):
            points = [
                memory_curve.Point(**{key: one[key] for key in memory_curve.Point._fields})
                for one in select(a, source=source)
            ]
            memory_curve.draw(panel, points)
            panel.set_title(source)
            texts.append(f"a, {source}:\n\n{memory_curve.table(points)}")
    b.sort(key=lambda one: one["memory_size"])
    rows = [
        {"memory units": one["memory_size"]}
        | {
            f"{name.upper()}, {split} {head}": one[f"{name}_{split}_{metric}"]
            for name in ("ulm", "lmn")
            for split in ("train", "valid")
            for head, metric in (("%", "accuracy"), ("NLL", "nll"))
        }
        for one in b
    ]
    if rows:
        texts.append(f"b:\n\n{tables.markdown(rows)}")
    accuracies = {
        f"{name.upper()}, {split}": averages(b, "memory_size", f"{name}_{split}_accuracy")
        for split in ("train", "valid")
        for name in ("lmn", "ulm")
    }
    draw_curves(folder / "figure4b.png", {"": accuracies}, "frame accuracy %", dashed=("ULM, train", "ULM, valid"))
    with figure(folder / "figure4c.png", len(c) or 1) as axes:
        for panel, one in zip(axes, c, strict=False):
            figures.error_per_step(panel, one["errors"])
            panel.set(title=f"{one['source']}, {one['memory_size']} units", ylabel="squared error / energy")
    if c:
        texts.append(f"c:\n\n{tables.markdown([_error_location(one) for one in c], {'relative error': 4})}")
    return "\n\n".join(texts)


def targets(results: Results) -> list[Target]:
    """L18's statement about c: the error lies in the first steps; here, most of it in the first half."""
    return [
        Target.compare(
            f"{source}: most of the error of a sequence decoded from its last state lies in its first half",
            "above 50 %",
            [_first_half(one) for one in select(results, part="c", source=source)],
            lambda share: share > 50,
            "{:.0f} %",
        )
        for source in ("inputs", "hidden states")
    ]


def _error_location(result: Mapping[str, Any]) -> Result:
    return {
        "source": result["source"],
        "memory units": result["memory_size"],
        "steps": len(result["errors"]),
        "relative error": sum(result["errors"]),
        "share in the first half of the steps, %": _first_half(result),
    }


def _first_half(result: Mapping[str, Any]) -> float | None:
    """Return the share of the error in the first half of the steps, in per cent; None without any error."""
    errors = result["errors"]
    return 100 * sum(errors[: len(errors) // 2]) / sum(errors) if sum(errors) > 0 else None
