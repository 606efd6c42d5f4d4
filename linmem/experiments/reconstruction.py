"""Reconstruction: whole sequences from their last state, by a solved autoencoder and by trained ones. [S20.]

Error = Σ ‖x − x̂‖² / Σ ‖x‖² over all steps of all sequences of a split, decoded from p units after the last step;
silence has 1. The trained autoencoders (RNN, LSTM, LMN-B) hear a sequence and then give it back, the last step first,
by backpropagation through both (`linmem.training.tasks.Recall`), with the best epoch on valid; at one size some go on
much longer.

An LSTM's state holds 2 p numbers. A LAES is fitted to every step's past, which asks more. No linear code of p
numbers has an error below the bounds (Eckart–Young), one for whole sequences and one for all pasts, on the training
split; a network is not linear and may.

S20's own figures were not at hand. Letters: T steps, a features, p memory units.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor

from linmem import data
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.data import Splits
from linmem.data.splits import SPLITS
from linmem.data.synthetic import mackey_glass
from linmem.experiments.harness.diverging import train_while_finite
from linmem.experiments.harness.jobs import shared
from linmem.experiments.harness.targets import Target
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import parameter_count
from linmem.reporting import tables
from linmem.reporting.output import figure
from linmem.sequences import pad
from linmem.training.loop import TrainingOptions
from linmem.training.tasks import NextValue, Recall, Task

TITLE = "Reconstruction of whole sequences: solved and trained autoencoders"
NETWORKS = {"RNN": "rnn", "LSTM": "lstm", "LMN-B": "lmn-b"}
DECODERS = {"LAES, tied": ("tied", None), "LAES": ("refit", "decoder")}
SERIES = "Mackey-Glass, τ = 17"
RATE = 5e-3  # of all: at p = 100 on JSB, 25 epochs, valid 0.794 for an LSTM (1e-3: 0.800), 0.744 for an LMN-B (0.762)
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "smoke": {
        "seeds": 1,
        "sets": {
            "chorales": {"units": [5], "max_epochs": 1, "batch_size": 8, "sequences": 8},
            SERIES: {
                "units": [4, 8],
                "max_epochs": 1,
                "batch_size": 2,
                "counts": [2, 1, 1],
                "steps": 40,
                "longer": {"units": 8, "networks": ["LSTM"], "max_epochs": 2},
            },
        },
    },
    "small": {
        "seeds": 3,
        "sets": {
            "jsb_chorales": {
                "units": [50, 100, 200],
                "max_epochs": 15,
                "batch_size": 8,
                "longer": {"units": 100, "networks": ["LSTM", "LMN-B"], "max_epochs": 150},
            },
            SERIES: {
                "units": [10, 25, 50],
                "max_epochs": 40,
                "batch_size": 4,
                "counts": [24, 8, 8],
                "steps": 400,
                "longer": {"units": 25, "networks": ["LSTM", "LMN-B"], "max_epochs": 400},
            },
        },
    },
}
Line = dict[str, Any]


class RecallValues(NextValue):
    """Give back a series of real numbers, the last step first."""

    examples = Recall.examples


def run(config: Mapping[str, Any], seed: int, work: Path) -> Iterator[Line]:
    """A line a set, size, method and seed."""
    seeds = range(seed, seed + config["seeds"])
    for name, plan in config["sets"].items():
        for p in plan["units"]:
            drawn = seeds if "counts" in plan else seeds[:1]  # a solution hangs on the data alone
            yield from _done(work, _solved, [(name, plan, p, s) for s in drawn])
            for network in NETWORKS:
                yield from _done(work, _trained, [(name, plan, p, network, plan["max_epochs"], s) for s in seeds])
    for name, plan in config["sets"].items():
        if longer := plan.get("longer"):
            for network in longer["networks"]:
                what = (name, plan, longer["units"], network, longer["max_epochs"], seed)
                yield from _done(work, _trained, [what])

    for name, plan in config["sets"].items():
        yield from _done(work, _constant, [(name, plan, s) for s in (seeds if "counts" in plan else seeds[:1])])


def sequences(name: str, plan: Mapping[str, Any], seed: int) -> Splits:
    """A data set, or Mackey–Glass series from starting values drawn by `seed`, less the training split's mean."""
    if "counts" not in plan:
        loaded, first = data.load(name), plan.get("sequences")
        train, valid, test = (getattr(loaded, split)[:first] for split in SPLITS)
        return Splits(name, train, valid, test, kind=loaded.kind)
    starts, parts = iter(range(1000 * seed, 1000 * (seed + 1))), []
    for count in plan["counts"]:
        parts.append([mackey_glass(plan["steps"], tau=17, seed=next(starts), washout=200) for _ in range(count)])
    middle = torch.cat(parts[0]).mean()
    train, valid, test = ([x - middle for x in part] for part in parts)
    return Splits(name, train, valid, test)


def relative_error(truth: Sequence[Tensor], remembered: Sequence[Tensor]) -> float:
    """Σ ‖x − x̂‖² / Σ ‖x‖² over (T_i, a) sequences."""
    wrong = sum(float((x - y).double().square().sum()) for x, y in zip(truth, remembered, strict=True))
    return wrong / sum(float(x.double().square().sum()) for x in truth)


def whole_bound(sequences: Sequence[Tensor], p: int) -> float:
    """Least error of a linear code of p numbers for whole sequences, newest step first; 0 for p sequences and fewer."""
    rows = pad([x.double().flip(0) for x in sequences]).values.flatten(1)
    energies = torch.linalg.eigvalsh(rows @ rows.T).flip(0).clamp_min(0)
    return float(energies[p:].sum() / energies.sum())


def decoded(autoencoder: LinearAutoencoder, sequences: Sequence[Tensor]) -> list[Tensor]:
    """Each sequence as its last state remembers it."""
    states = autoencoder.transform(list(sequences))
    return [autoencoder.decode(state[None], len(x))[0] for state, x in zip(states, sequences, strict=True)]


@torch.no_grad()
def recalled(model: torch.nn.Module, task: Task, splits: Splits, split: str) -> list[Tensor]:
    """Each sequence as a trained network gives it back."""
    inputs, _ = task.examples(splits, split)
    model.eval()
    said = [model(x[None])[0][0][len(x) // 2 :].flip(0) for x in inputs]
    return [torch.sigmoid(y) for y in said] if isinstance(task, Recall) else said


def _constant(name: str, plan: Mapping[str, Any], seed: int) -> list[Line]:
    """What is known without any memory: the training split's mean step."""
    splits = sequences(name, plan, seed)
    middle = torch.cat(splits.train).mean(0)
    errors = {s: relative_error(getattr(splits, s), [middle.expand_as(x) for x in getattr(splits, s)]) for s in SPLITS}
    line = {"set": name, "units": 0, "method": "mean step", "seed": seed, "cpu seconds": 0.0}
    return [line | errors | {"parameters": len(middle)}]


def _solved(name: str, plan: Mapping[str, Any], p: int, seed: int) -> list[Line]:
    splits, lines = sequences(name, plan, seed), []
    bound = whole_bound(splits.train, p)
    for label, (decoder, refine) in DECODERS.items():
        begun = time.process_time()
        solved = LinearAutoencoder(p, decoder=decoder, refine=refine, random_state=seed).fit(splits.train)
        seconds = time.process_time() - begun
        errors = {
            split: relative_error(getattr(splits, split), decoded(solved, getattr(splits, split))) for split in SPLITS
        }
        line = {"set": name, "units": p, "method": label, "seed": seed, "cpu seconds": round(seconds, 2)} | errors
        pasts = {"all pasts": solved.training_error_, "all pasts, bound": solved.optimal_error_}
        weights = solved.A_.numel() + solved.B_.numel() + (0 if decoder == "tied" else solved.C_.numel())
        lines.append(line | pasts | {"bound": bound, "parameters": weights})
    return lines


def _trained(name: str, plan: Mapping[str, Any], p: int, network: str, epochs: int, seed: int) -> list[Line]:
    splits, begun = sequences(name, plan, seed), time.process_time()
    task: Task = Recall() if splits.kind == "piano_roll" else RecallValues()
    model = build_model(ModelOptions(NETWORKS[network], p, p), splits.features + 1, splits.features, seed)
    options = TrainingOptions(RATE, plan["batch_size"], epochs, patience=epochs, seed=seed)
    history = train_while_finite(model, splits, task, options)
    seconds = time.process_time() - begun
    errors = {split: relative_error(getattr(splits, split), recalled(model, task, splits, split)) for split in SPLITS}
    line = {"set": name, "units": p, "method": network, "seed": seed, "cpu seconds": round(seconds, 2)} | errors
    effort = {"rate": RATE, "best epoch": history.best_epoch, "epochs": epochs, "diverged": history.diverged}
    return [line | effort | {"parameters": parameter_count(model)}]


def _done(work: Path, do: Callable[..., list[Line]], places: Sequence[tuple[Any, ...]]) -> Iterator[Line]:
    """Lines of one job a place (set, plan, sizes …, seed), done once."""
    names = ["-".join("".join(c if c.isalnum() else "_" for c in str(part)) for part in (o[0], *o[2:])) for o in places]
    jobs = {f"{do.__name__.strip('_')}-{name}": partial(do, *place) for name, place in zip(names, places, strict=True)}
    for lines in shared(work, jobs).values():
        yield from lines


def show(lines: Sequence[Line], folder: Path) -> str:
    """Error of every method at every size, with the bounds; a picture of the error on test, a panel a set."""
    groups: dict[tuple[Any, ...], list[Line]] = {}
    for line in lines:
        groups.setdefault(_place(line), []).append(line)
    rows = [_row(group) for _, group in sorted(groups.items(), key=lambda one: one[0][:2])]
    names = list(dict.fromkeys(line["set"] for line in lines))
    with figure(folder / "reconstruction.png", len(names)) as axes:
        for panel, name in zip(axes, names, strict=True):
            _draw(panel, [line for line in lines if line["set"] == name])
            panel.set(title=name, xlabel="memory units", ylabel="relative error on test", ylim=(0, None))
            panel.legend()
    digits = {"CPU s": 1, "bound, train": 4, "all pasts, train": 4, "their bound": 4}
    return tables.markdown(rows, digits, words=("method",))


def targets(lines: Sequence[Line]) -> list[Target]:
    """S20: a solved autoencoder reconstructs better than trained ones of its size, here at every p."""
    found = []
    for name in ("jsb_chorales", SERIES):
        errors: dict[int, dict[str, list[float]]] = {}
        for line in lines:
            if line["set"] == name and line["units"]:
                errors.setdefault(line["units"], {}).setdefault(_named(line), []).append(line["test"])
        best = {
            p: (
                mean(of["LAES"]),
                *min((mean(values), trained) for trained, values in of.items() if trained not in DECODERS),
            )
            for p, of in errors.items()
            if "LAES" in of and len(of) > len(DECODERS)
        }
        said = "; ".join(f"p = {p}: {ours:.3f} v {theirs:.3f} ({who})" for p, (ours, theirs, who) in best.items())
        reached = all(ours < theirs for ours, theirs, _ in best.values()) if best else None
        claim = f"{name}: relative error of LAES on test below that of every trained autoencoder"
        found.append(Target(claim, "every p", said or "–", reached))
    return found


def _place(line: Line) -> tuple[Any, ...]:
    return line["set"], line["units"], line["method"], line.get("epochs")


def _row(lines: Sequence[Line]) -> Line:
    def average(name: str) -> float | None:
        return mean(line[name] for line in lines) if name in lines[0] else None

    first = lines[0]
    return {
        "set": first["set"],
        "units": first["units"],
        "method": first["method"],
        "parameters": first["parameters"],
        "train": _spread([line["train"] for line in lines]),
        "bound, train": average("bound"),
        "valid": _spread([line["valid"] for line in lines]),
        "test": _spread([line["test"] for line in lines]),
        "all pasts, train": average("all pasts"),
        "their bound": average("all pasts, bound"),
        "best epoch": _best_epoch(lines),
        "CPU s": average("cpu seconds"),
        "seeds": len(lines),
    }


def _best_epoch(lines: Sequence[Line]) -> str | None:
    if "epochs" not in lines[0]:
        return None
    lost = sum(line.get("diverged", False) for line in lines)
    said = f"{mean(line['best epoch'] for line in lines):.0f} of {lines[0]['epochs']}"
    return said + (f", {lost} diverged" if lost else "")


def _draw(panel: Any, lines: Sequence[Line]) -> None:
    for name in dict.fromkeys(_named(line) for line in lines if line["units"]):
        sizes = sorted({line["units"] for line in lines if _named(line) == name})
        errors = [mean(li["test"] for li in lines if (_named(li), li["units"]) == (name, p)) for p in sizes]
        panel.plot(sizes, errors, "o-", label=name)


def _named(line: Line) -> str:
    return f"{line['method']}, {line['epochs']} epochs" if "epochs" in line else str(line["method"])


def _spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation over seeds."""
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")
