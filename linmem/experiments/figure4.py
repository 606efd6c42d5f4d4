"""Figure 4: how well a solved memory remembers, and what a network loses that is moved into it. [L18, figure 4.]

a: relative error of the best code of p numbers (the bound, by SVD) and of the LAES, against p. b: accuracy of an
unfolded network (ULM) and of the LMN just initialised from it, before any fine-tuning, against p. c: error of each step
of the first training sequence, decoded from its last state. Parts a and c are measured on the inputs and on the hidden
states of the ULM. L18's own curves were not at hand as numbers; it says that the error of c lies in the first steps.

The LMN has the ULM's activation (SELU), so that only the size of its memory costs. Letter: p memory units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from linmem import data
from linmem.analysis import memory_curve
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.autoencoder.solvers import Remembered
from linmem.data import Splits
from linmem.nn.initialize import from_unfolded_
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel
from linmem.nn.unfolded import UnfoldedNetwork
from linmem.reporting import figures, tables
from linmem.reporting.output import figure
from linmem.training.loop import TrainingOptions, evaluate, train
from linmem.training.metrics import FrameScores
from linmem.training.pretraining import hidden_states
from linmem.training.tasks import NextFrame

TITLE = "Figure 4: error and accuracy against memory units"
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "smoke": {"set": "chorales", "hidden_size": 4, "lags": 2, "max_epochs": 1, "sizes": [5, 20], "sequences": 12},
    "paper": {
        "set": "jsb_chorales",
        "hidden_size": 50,
        "lags": 10,
        "max_epochs": 60,
        "sizes": [10, 50, 100, 250, 500, 1000],
        "sequences": None,
    },
}


def run(config: Mapping[str, Any], seed: int, work: Path) -> Iterator[dict[str, Any]]:
    """Train the unfolded network, then a line a point of a and b and a sequence of c."""
    splits = _first(data.load(config["set"]), config["sequences"])
    size = ModelOptions("unfolded", config["hidden_size"], lags=config["lags"])
    unfolded = build_model(size, splits.features, splits.features, seed)
    assert isinstance(unfolded, UnfoldedNetwork)
    train(unfolded, splits, NextFrame(), TrainingOptions(max_epochs=config["max_epochs"], patience=10, seed=seed))
    hidden = hidden_states(unfolded, splits.train), hidden_states(unfolded, splits.valid)
    solver = LinearAutoencoder(decoder="refit", refine=None, random_state=seed)
    for of, (training, valid) in {"inputs": (splits.train, splits.valid), "hidden states": hidden}.items():
        for point in memory_curve.curve(training, valid, config["sizes"], solver):
            yield {"part": "a", "of": of} | point._asdict()
        fitted = LinearAutoencoder(max(config["sizes"]), decoder="refit", refine=None, random_state=seed).fit(training)
        _, errors = memory_curve.per_step(fitted, training[0])
        energy = float(training[0].square().sum())
        shares = [round(error / energy, 8) for error in errors.tolist()]
        yield {"part": "c", "of": of, "memory_size": fitted.memory_size_, "errors": shares}
    yield from _initialised(unfolded, splits, hidden[0], config["sizes"], seed)


def _initialised(
    unfolded: UnfoldedNetwork, splits: Splits, hidden: list[Tensor], sizes: Sequence[int], seed: int
) -> Iterator[dict[str, Any]]:
    """Accuracy of the unfolded network, and of an LMN of each size that was only initialised from it."""
    remembered = Remembered("auto")
    before = _accuracies(unfolded, splits, "ULM")
    for p in sorted(sizes, reverse=True):
        autoencoder = LinearAutoencoder(p, decoder="tied", solver=remembered, random_state=seed).fit(hidden)
        options = ModelOptions("lmn-b", unfolded.hidden_size, p, nonlinearity="selu")
        model = build_model(options, splits.features, splits.features, seed)
        assert isinstance(model, SequenceModel)
        from_unfolded_(model.recurrent, model.readout, unfolded, autoencoder)  # type: ignore[arg-type]
        yield {"part": "b", "memory_size": p} | before | _accuracies(model, splits, "LMN")


def _accuracies(model: torch.nn.Module, splits: Splits, name: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for split in ("train", "valid"):
        scores = evaluate(model, splits, NextFrame(), split)
        assert isinstance(scores, FrameScores)
        found |= {f"{name}, {split} %": 100 * scores.accuracy, f"{name}, {split} NLL": scores.nll}
    return found


def show(lines: Sequence[dict[str, Any]], folder: Path) -> str:
    """Tables of a and b, the share of c's error that lies in the first half; one picture a part."""
    parts = {part: [line for line in lines if line["part"] == part] for part in "abc"}
    texts = []
    kinds = list(dict.fromkeys(line["of"] for line in parts["a"]))
    with figure(folder / "figure4a.png", len(kinds)) as axes:
        for panel, of in zip(axes, kinds, strict=True):
            points = [memory_curve.Point(**_without(line, "part", "of")) for line in parts["a"] if line["of"] == of]
            memory_curve.draw(panel, points)
            panel.set_title(of)
            texts.append(f"a, {of}:\n\n{memory_curve.table(points)}")
    b = sorted((_without(line, "part") for line in parts["b"]), key=lambda line: line["memory_size"])
    texts.append(f"b:\n\n{tables.markdown(b)}")
    with figure(folder / "figure4b.png", 1) as (panel,):
        for split in ("train", "valid"):
            for name, style in (("LMN", "o-"), ("ULM", "--")):
                values = [line[f"{name}, {split} %"] for line in b]
                panel.plot([line["memory_size"] for line in b], values, style, label=f"{name}, {split}")
        panel.set(xlabel="memory units", ylabel="frame accuracy %")
        panel.legend()
    with figure(folder / "figure4c.png", len(parts["c"])) as axes:
        for panel, line in zip(axes, parts["c"], strict=True):
            figures.error_per_step(panel, line["errors"])
            panel.set(title=f"{line['of']}, {line['memory_size']} units", ylabel="squared error / energy")
    rows = [_where(line) for line in parts["c"]]
    texts.append(f"c:\n\n{tables.markdown(rows, {'relative error': 4})}")
    return "\n\n".join(texts)


def _where(line: Mapping[str, Any]) -> dict[str, Any]:
    errors = line["errors"]
    total, first = sum(errors), sum(errors[: len(errors) // 2])
    half = 100 * first / total if total > 0 else None
    row = {"of": line["of"], "memory units": line["memory_size"], "steps": len(errors), "relative error": total}
    return row | {"of it in the first half of the steps, %": half}


def _without(line: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in names}


def _first(splits: Splits, count: int | None) -> Splits:
    """Only the first `count` sequences of each split."""
    return replace(splits, train=splits.train[:count], valid=splits.valid[:count], test=splits.test[:count])
