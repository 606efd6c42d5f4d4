"""Pixel by pixel: a picture is heard one pixel a step and named after the last; the tables of `smnist` and `psmnist`.

Three ways to S20's task. *Readouts without backpropagation*: the LAES of the inputs is solved, and its last state read
by ridge, logistic regression, SVM or a small MLP; the LAES is fitted to other training pictures with every seed. *A
deep readout*: the same linear memory, its last state read by ReLU layers with dropout, which alone are trained
(`last_state`); also the mean probability of the readouts of all seeds. *Networks* trained through time, at equal units
(f = p): LSTM with forget bias 1, LMN-B from its own beginning, with its memory kept orthogonal, and from the LAES, with
and without stochastic detach.

Whatever is chosen is chosen on valid: a learning rate or a deep readout's shape with the first seed, a solved readout's
penalty or size with each. Test is read for the chosen alone. S20's protocol: 128 units, all pictures, Adam 1e-4, 1e-3,
clip 10, L2 1e-5, 100 epochs, batch 64. Our departure: W_mm learns at a tenth of the rate.

Letters: p memory units, f functional units.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from linmem import data
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.data import LabelledSplits
from linmem.experiments.harness.jobs import shared, trained
from linmem.experiments.static import last_state
from linmem.experiments.static.last_state import States
from linmem.nn.registry import ModelOptions
from linmem.runs.directory import (
    HISTORY,
    PRETRAINING,
    PretrainingOptions,
    RunOptions,
)
from linmem.runs.runner import evaluate_run
from linmem.runs.sweep.sweep import Outcome
from linmem.storage.atomic import read_lines
from linmem.training.loop import TrainingOptions

Config = Mapping[str, Any]
Line = dict[str, Any]

# Rows of the networks: model, whether it begins as the LAES of its inputs, whether it detaches.
NETWORKS: Mapping[str, tuple[str, bool, bool]] = {
    "LSTM": ("lstm", False, False),
    "LMN-B": ("lmn-b", False, False),
    "LMN-B, detach": ("lmn-detach", False, True),
    "LMN-B, orthogonal": ("lmn-orthogonal", False, False),
    "LMN-B, LAES": ("lmn-b", True, False),
    "LMN-B, LAES, detach": ("lmn-detach", True, True),
}


def run(config: Config, seed: int, work: Path) -> Iterator[Line]:
    """A line a memory, a readout, a deep readout and a network, each with every seed; ensembles have seed None."""
    memories = _Memories(config, work / "memories")
    seeds = range(seed, seed + config["seeds"])
    for p in config["sizes"]:
        for own in seeds:
            yield {"part": "memory", "set": config["set"], "p": p, "seed": own} | memories.line(p, own)
        for name, how in config["readouts"].items():
            jobs = {own: f"{name}-{p}-{own}" for own in seeds[: how.get("seeds")]}
            todo = {job: partial(_solved, memories, name, p, own, how) for own, job in jobs.items()}
            for (own, _), found in zip(jobs.items(), shared(work / "readouts", todo).values(), strict=True):
                yield {"part": "readout", "set": config["set"], "readout": name, "p": p, "seed": own} | found
        for line in _deep(memories, config["deep"], p, seeds, work / "deep") if p in config["deep"]["sizes"] else ():
            yield {"part": "deep", "set": config["set"], "p": p} | line
    for name in config["networks"]["rows"]:
        for line in _networks(config["networks"], name, seed, work / "networks"):
            yield {"part": "network", "set": config["set"], "model": name} | line


class _Memories:
    """The solved memories of a run: fitted once, kept in a folder, the last states of a few at hand."""

    def __init__(self, config: Config, folder: Path) -> None:
        self.config, self.folder = config, folder
        self.states: Callable[[int, int], States] = lru_cache(config["seeds"])(self._states)

    @property
    def splits(self) -> LabelledSplits:
        """The whole data set."""
        return _loaded(self.config["set"])

    def line(self, p: int, seed: int) -> Line:
        """Fit the memory if that is not done yet, and say how well it remembers."""
        return dict(shared(self.folder, {f"memory-{p}-{seed}": partial(self._fit, p, seed)})[f"memory-{p}-{seed}"])

    def _fit(self, p: int, seed: int) -> Line:
        began, splits = time.process_time(), self.splits
        drawn = torch.randperm(len(splits.train), generator=torch.Generator().manual_seed(seed))
        sequences = [splits.train[i] for i in drawn[: self.config["fitted"]].tolist()]
        solved = LinearAutoencoder(p, decoder="tied", random_state=seed).fit(sequences)
        solved.save(self._place(p, seed))
        errors = {"bound": float(solved.optimal_error_), "error": float(solved.training_error_)}
        return {"fitted": len(sequences)} | errors | {"CPU s": round(time.process_time() - began, 2)}

    def _states(self, p: int, seed: int) -> States:
        self.line(p, seed)
        return last_state.encode(LinearAutoencoder.load(self._place(p, seed)), self.splits)

    def _place(self, p: int, seed: int) -> Path:
        return self.folder / f"memory-{p}-{seed}.safetensors"


def _solved(memories: _Memories, name: str, p: int, seed: int, how: Config) -> Line:
    return last_state.solved(name, memories.states(p, seed), how["grid"], how.get("pictures"), seed)


def _deep(memories: _Memories, config: Config, p: int, seeds: Sequence[int], work: Path) -> Iterator[Line]:
    """Deep readouts: the variant that is best on valid with the first seed, with every seed and all together."""

    def fitted(seed: int, index: int) -> last_state.Deep:
        options = TrainingOptions(**config["training"], patience=10**6, seed=seed)
        place = work / f"deep-{p}-{seed}-{index}.safetensors"
        return last_state.deep(memories.states(p, seed), config["variants"][index], options, place)

    def searched(seed: int, index: int) -> Line:
        found = fitted(seed, index)
        weights = sum(weight.numel() for weight in found.readout.parameters())
        ended = {"epochs": found.epochs, "best epoch": found.best_epoch, "valid loss": found.valid_loss}
        return ended | {"trained": weights, "solved": p * (p + memories.splits.features), "CPU s": found.cpu_seconds}

    def read(seeds: Sequence[int], index: int) -> Line:
        readouts, states = [fitted(own, index).readout for own in seeds], [memories.states(p, own) for own in seeds]
        return {f"{split} %": last_state.right(readouts, states, split) for split in ("valid", "test")}

    def named(seed: int, index: int) -> str:
        return f"deep-{p}-{seed}-{index}"

    variants = range(len(config["variants"]))
    first = shared(work, {named(seeds[0], i): partial(searched, seeds[0], i) for i in variants})
    best = min(variants, key=lambda i: first[named(seeds[0], i)]["valid loss"])
    rows = shared(work, {named(own, best): partial(searched, own, best) for own in seeds})
    scores = shared(work, {f"test-{named(own, best)}": partial(read, [own], best) for own in seeds})
    for own in seeds:
        yield (
            {"seed": own, "variant": config["variants"][best]}
            | rows[named(own, best)]
            | scores[f"test-{named(own, best)}"]
        )
    if len(seeds) > 1:
        name = f"all-{p}-{seeds[0]}-{best}"
        together = shared(work, {name: partial(read, seeds, best)})[name]
        sums = {key: sum(row[key] for row in rows.values()) for key in ("trained", "solved", "CPU s")}
        yield {"seed": None, "of": len(seeds), "variant": config["variants"][best]} | sums | together


def _networks(config: Config, name: str, seed: int, work: Path) -> Iterator[Line]:
    """A network with the options that are best on valid with the first seed, a line a seed; none if all diverged."""
    searched = trained(_options(config, name, seed), work, may_diverge=True, progress=True)
    done = [one for one in searched if one.loss is not None]
    best = min(done, key=lambda one: one.loss or 0.0, default=None)
    tried = [_tried(one) for one in searched]
    if best is None:
        yield {"seed": seed, "tried": tried}
        return
    training = best.options.training
    plan = [replace(best.options, training=replace(training, seed=own)) for own in range(seed, seed + config["seeds"])]
    for one in trained(plan, work, may_diverge=True, progress=True):
        line = {"seed": one.options.training.seed, "tried": tried, "rate": one.options.training.learning_rate}
        line |= {"units": config["units"], "pictures": len(_loaded(one.options.data).train)}
        if one.loss is not None:
            line |= shared(work / "scores", {one.name: partial(_scores, one, work)})[one.name]
        yield line


def _scores(one: Outcome, work: Path) -> Line:
    """What a trained network is worth; test is read here."""
    folder = work / one.name
    found = {split: list(evaluate_run(folder, split).values())[1].row() for split in ("valid", "test")}
    rows, begun = read_lines(folder / HISTORY), folder / PRETRAINING
    seconds = [row["cpu_seconds"] for row in rows]
    if begun.exists():
        seconds.append(json.loads(begun.read_text(encoding="utf-8"))["cpu_seconds"])
    return {
        "epochs": len(rows),
        "best epoch": one.result["best_epoch"],
        "parameters": one.result["parameters"],
        "valid by epoch %": [round(100 * row["valid"]["accuracy"], 2) for row in rows],
        **{f"{split} %": scores["accuracy %"] for split, scores in found.items()},
        "CPU s": round(sum(seconds), 1),
    }


def _options(config: Config, name: str, seed: int) -> list[RunOptions]:
    """What is searched for one row: learning rates, and where it has them, probabilities of detaching and λ."""
    model, from_laes, detaches = NETWORKS[name]
    penalties = config.get("orthogonality", [0.0]) if model == "lmn-b" else [0.0]
    units = config["units"]
    return [
        RunOptions(
            config["data"],
            ModelOptions(model, units, units, forget_bias=1.0 if model == "lstm" else 0.0, detach=q),
            TrainingOptions(
                rate,
                batch_size=64,
                max_epochs=config["epochs"],
                patience=config["epochs"],
                clip=10.0,
                weight_decay=1e-5,
                memory_lr_scale=config["memory_lr_scale"],
                orthogonality=penalty,
                seed=seed,
            ),
            PretrainingOptions("inputs" if from_laes else "none"),
        )
        for rate in config["rates"]
        for q in (config["detach"] if detaches else [0.0])
        for penalty in penalties
    ]


def _tried(one: Outcome) -> Line:
    """What one run of a search was, and its loss on valid; None where it diverged."""
    training = one.options.training
    options = {"rate": training.learning_rate, "detach": one.options.model.detach}
    return options | {"orthogonality": training.orthogonality, "valid NLL": one.loss}


@lru_cache(2)
def _loaded(name: str) -> LabelledSplits:
    splits = data.load(name)
    assert isinstance(splits, LabelledSplits)
    return splits
