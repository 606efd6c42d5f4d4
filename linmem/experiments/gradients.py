"""Gradients: how much of ∂L/∂m_t and ∂L/∂h_t is left when it has gone back to step t. [S20; pixel by pixel MNIST.]

An image is read pixel by pixel and named after its last step, so all that a loss says of the first pixels has to pass
through every state between. In an LMN that way is linear, W_mm; an orthogonal W_mm loses nothing on it. Measured on one
batch of the validation split, at the start and in training (weights of the best epoch so far, by validation loss):
LSTM (forget bias 1), RNN, and LMN-B from its own beginning, orthogonal (trained among orthogonal matrices), from the
LAES of the inputs, and from it with the gradient from function to memory cut at random. S20's options: 128 units, clip
10, L2 1e-5, Adam at 1e-3 or 1e-4; here 1e-4 where the memory is solved, as at 1e-3 the loss of its first epoch was
millions of nats. S20's curves were not at hand as numbers.

Letters: T steps, h functional and m memory states, c cells of an LSTM.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from linmem import data
from linmem.analysis.gradient_norms import gradient_norms, spectrum, state_gradient_norms
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.data import LabelledSplits
from linmem.experiments.harness.jobs import Job, shared
from linmem.experiments.harness.targets import Target
from linmem.nn.baselines import StochasticDetach
from linmem.nn.initialize import fit_readout_, from_autoencoder_
from linmem.nn.lmn import LMN
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel, parameter_count
from linmem.reporting import figures, tables
from linmem.reporting.output import figure
from linmem.training.loop import TrainingOptions, evaluate, train
from linmem.training.tasks import Classes

TITLE = "Gradients: what reaches the first step"
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "smoke": {"set": "digits", "units": 8, "sequences": 40, "measured": 4, "fitted": 20, "epochs": [0, 1], "seeds": 1},
    "small": {
        "set": "psmnist",
        "units": 128,
        "sequences": 1280,
        "measured": 64,
        "fitted": 256,
        "epochs": [0, 1, 4],
        "seeds": 3,
    },
    "paper": {
        "set": "psmnist",
        "units": 128,
        "sequences": 50_000,
        "measured": 64,
        "fitted": 1000,
        "epochs": [0, 1, 10, 100],
        "seeds": 3,
    },
}
POINTS = 112  # of a curve that are kept
PART = 500  # sequences encoded at once: all states of all MNIST would take 40 GB
RATIO = "Norm of the gradient at the first step over that at the last but one, log10; mean and range over seeds"
REACHED = "Steps back from the last until the norm falls below a hundredth"
REACH = 0.01  # share of the last step's norm below which a gradient counts as lost


class Row(NamedTuple):
    """What a model is and how it begins."""

    model: str
    solved: bool = False  # from the LAES of the inputs
    detach: float = 0.0


MODELS = {
    "LSTM": Row("lstm"),
    "RNN": Row("rnn"),
    "LMN-B": Row("lmn-b"),
    "LMN-B, orthogonal": Row("lmn-orthogonal"),
    "LMN-B, LAES": Row("lmn-b", True),
    "LMN-B, LAES, detach 0.25": Row("lmn-detach", True, 0.25),
    "LMN-B, LAES, detach 1": Row("lmn-detach", True, 1.0),
}
States = Mapping[str, Tensor]  # name of a state → (T − 1,) norms of its gradients, all but the last step's


def run(config: Mapping[str, Any], seed: int, work: Path) -> Iterator[dict[str, Any]]:
    """A line a seed, model and number of epochs."""
    splits = _first(data.load(config["set"]), config["sequences"])

    @cache
    def autoencoder() -> LinearAutoencoder:
        return LinearAutoencoder(config["units"], decoder="tied", random_state=seed).fit(
            splits.train[: config["fitted"]]
        )

    for own in range(seed, seed + config["seeds"]):
        places = {name: f"{_file(name)}-{own}" for name in MODELS}
        jobs: dict[str, Job] = {
            place: partial(_followed, name, own, config, splits, autoencoder, work / place)
            for name, place in places.items()
        }
        for lines in shared(work, jobs).values():
            yield from lines


def _followed(
    name: str,
    seed: int,
    config: Mapping[str, Any],
    splits: LabelledSplits,
    autoencoder: Callable[[], LinearAutoencoder],
    folder: Path,
) -> list[dict[str, Any]]:
    """Train one model, and measure it after each of the epochs asked for."""
    rate = 1e-4 if MODELS[name].solved else 1e-3
    options = TrainingOptions(rate, 64, clip=10.0, weight_decay=1e-5, memory_lr_scale=1.0, patience=10**6, seed=seed)

    def measured(epochs: int) -> dict[str, Any]:
        model = build(MODELS[name], config["units"], splits, seed, autoencoder)
        if epochs:
            kept = folder / "state.safetensors"
            train(model, splits, Classes(), replace(options, max_epochs=epochs), checkpoint=kept)
        x, y = torch.stack(splits.valid[: config["measured"]]), splits.labels["valid"][: config["measured"]]
        scores = evaluate(model, splits, Classes(), "valid")
        found = norms(model, x, y, MODELS[name].detach)
        return {
            "seed": seed,
            "model": name,
            "epoch": epochs,
            "steps": x.shape[1],
            "valid accuracy %": 100 * scores.accuracy,
            "valid NLL": scores.loss,
            "parameters": parameter_count(model),
            "radius": _radius(model),
            "first / last, log10": {state: _logarithm(values[0] / values[-1]) for state, values in found.items()},
            "reach": {state: reach(values) for state, values in found.items()},
            "norms, log10": {
                state: [_logarithm(v) for v in _thinned(values.tolist())] for state, values in found.items()
            },
        }

    return [shared(folder, {f"epoch{n}": partial(measured, n)})[f"epoch{n}"] for n in config["epochs"]]


def build(
    row: Row, units: int, splits: LabelledSplits, seed: int, autoencoder: Callable[[], LinearAutoencoder]
) -> SequenceModel:
    """A model of so many units as it begins; f = p = units in an LMN."""
    options = ModelOptions(row.model, units, units, forget_bias=1.0, detach=row.detach)
    model = build_model(options, splits.features, splits.classes, seed)
    assert isinstance(model, SequenceModel)
    if row.solved:
        solved = autoencoder()
        layer = model.recurrent.lmn if isinstance(model.recurrent, StochasticDetach) else model.recurrent
        assert isinstance(layer, LMN)
        from_autoencoder_(layer, solved)
        parts = (splits.train[i : i + PART] for i in range(0, len(splits.train), PART))
        states = torch.cat([torch.as_tensor(solved.transform(part)) for part in parts])
        fit_readout_(model.readout, states, Classes().as_outputs(splits.labels["train"], splits.classes))
    return model


def norms(model: SequenceModel, x: Tensor, y: Tensor, detach: float = 0.0) -> States:
    """Norms against t of the gradient of the cross-entropy after the last step, in float64.

    Parameters
    ----------
    model : its weights are read.
    x : (B, T, a) sequences.
    y : (B,) classes.
    detach : with which the model is trained.

    Returns
    -------
    dict from "m" and "h", or "(h, c)", or "h" of a network without memory, to (T − 1,)
    """
    model = copy.deepcopy(model).double().eval()
    layer: Any = model.recurrent.lmn if isinstance(model.recurrent, StochasticDetach) else model.recurrent
    layer.batch_first = False
    steps = x.double().transpose(0, 1)

    def loss(outputs: Tensor) -> Tensor:
        return F.cross_entropy(model.readout(outputs[-1]), y)

    if isinstance(layer, LMN):
        found = gradient_norms(layer, steps, loss, detach)
        return {"m": found.memory[:-1], "h": found.hidden[:-1]}
    return {"(h, c)" if isinstance(layer, nn.LSTM) else "h": state_gradient_norms(layer, steps, loss)}


def reach(values: Tensor) -> int:
    """Steps that the gradient goes back from the last before it falls below a hundredth of what it was there."""
    lost = (values < REACH * values[-1]).nonzero().flatten()
    return len(values) - 1 - int(lost[-1]) if len(lost) else len(values)


def show(lines: Sequence[dict[str, Any]], folder: Path) -> str:
    """What is left at the first step, at the start and in training, and how far gradients reach; a picture of both."""
    epochs = sorted({line["epoch"] for line in lines})
    texts = []
    for what, head, digits in (("first / last, log10", RATIO, 1), ("reach", REACHED, 0)):
        rows: list[dict[str, Any]] = []
        for name, state in dict.fromkeys((line["model"], state) for line in lines for state in line["reach"]):
            own = [line for line in lines if line["model"] == name]
            row = {"model": name, "gradient by": state}
            row |= {_after(n): _of(own, n, digits, what, state) for n in epochs}
            rows.append(row)
        texts.append(f"{head}:\n\n{tables.markdown(rows)}")
    rows = []
    for name in dict.fromkeys(line["model"] for line in lines):
        own = [line for line in lines if line["model"] == name]
        row = {"model": name, "parameters": own[0]["parameters"]}
        for head, what, digits in (("ρ(W)", "radius", 3), ("valid %", "valid accuracy %", 1)):
            row |= {f"{head}, {_after(n)}": _of(own, n, digits, what) for n in epochs}
        rows.append(row)
    texts.append(f"Spectral radius of the recurrent matrix (W_mm of an LMN), and accuracy:\n\n{tables.markdown(rows)}")
    _draw(lines, epochs, folder / "gradients.png")
    return "\n\n".join(texts)


def targets(lines: Sequence[dict[str, Any]]) -> list[Target]:
    """Whether more of the gradient reaches the first step of a solved memory than of an LSTM, by any seed and epoch."""
    found = []
    for name in ("LMN-B, orthogonal", "LMN-B, LAES"):
        kept, lstm = (_logarithms(lines, model) for model in (name, "LSTM"))
        both = kept.keys() & lstm.keys()
        said = f"{min(kept[k] for k in both):.1f} against {max(lstm[k] for k in both):.1f} at worst" if both else "–"
        claim = f"More of the gradient reaches the first step in {name} than in the LSTM"
        verdict = all(kept[k] > lstm[k] for k in both) if both else None
        found.append(Target(claim, "log10 of first / last above the LSTM's, every seed and epoch", said, verdict))
    return found


def _logarithms(lines: Sequence[dict[str, Any]], model: str) -> dict[tuple[int, int], float]:
    """By seed and epoch; what has vanished altogether counts as 1e-300."""
    own = [line for line in lines if line["model"] == model]
    first = [next(iter(line["first / last, log10"].values())) for line in own]
    return {
        (line["seed"], line["epoch"]): -300.0 if value is None else value
        for line, value in zip(own, first, strict=True)
    }


def _draw(lines: Sequence[dict[str, Any]], epochs: Sequence[int], path: Path) -> None:
    """The first seed's norms, of the memory or carried state, a panel a number of epochs."""
    first = lines[0]["seed"]
    with figure(path, len(epochs)) as axes:
        for panel, n in zip(axes, epochs, strict=True):
            curves = {}
            for line in lines:
                if (line["seed"], line["epoch"]) == (first, n):
                    state, logs = next(iter(line["norms, log10"].items()))
                    steps = _thinned(range(1, line["steps"]))
                    curves[f"{line['model']}: {state}"] = (steps, [0.0 if v is None else 10**v for v in logs])
            figures.gradient_by_step(panel, curves)
            panel.set_title(_after(n))


def _after(epochs: int) -> str:
    return "at the start" if epochs == 0 else "after 1 epoch" if epochs == 1 else f"best of {epochs} epochs"


def _of(lines: Sequence[dict[str, Any]], epochs: int, digits: int, what: str, by: str | None = None) -> str | None:
    """Mean and range of a value over the lines after so many epochs."""
    found = [line[what] if by is None else line[what][by] for line in lines if line["epoch"] == epochs]
    values = [value for value in found if value is not None]
    if not values:
        return None
    mean, low, high = (f"{value:.{digits}f}" for value in (sum(values) / len(values), min(values), max(values)))
    return mean if low == high else f"{mean} ({low} … {high})"


def _thinned(values: Sequence[Any]) -> list[Any]:
    every = max(1, -(-len(values) // POINTS))
    return list(values[::-1][::every][::-1])  # the last one stays


def _logarithm(value: Tensor | float) -> float | None:
    return round(math.log10(value), 3) if 0 < value < math.inf else None


def _radius(model: SequenceModel) -> float | None:
    layer = model.recurrent.lmn if isinstance(model.recurrent, StochasticDetach) else model.recurrent
    weight = getattr(layer, "weight_mm_l0" if isinstance(layer, LMN) else "weight_hh_l0")
    return float(spectrum(weight)[0]) if weight.shape[0] == weight.shape[1] else None


def _file(name: str) -> str:
    return name.lower().replace(",", "").replace(" ", "-")


def _first(splits: Any, count: int) -> LabelledSplits:
    """The first `count` training sequences, and a fifth as many of the others."""
    kept = {"train": count, "valid": max(1, count // 5), "test": max(1, count // 5)}
    return replace(
        splits,
        **{split: getattr(splits, split)[:n] for split, n in kept.items()},
        labels={split: splits.labels[split][:n] for split, n in kept.items()},
    )
