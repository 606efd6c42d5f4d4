"""Time: CPU seconds until an LMN-B reaches the LSTM's best score on valid, pretraining included.

An LSTM, an LMN-B and a pretrained LMN-B are trained with the options that a search of twelve trials per model chose on
the chorales. The dropout is chosen per model and set: the first seed tries all values, the lowest NLL on valid decides.
The LSTM's time is that of all epochs up to its best one; the others' time ends with the first epoch that reaches the
score of the LSTM of the same seed. Times are CPU seconds of the process without validation; of the pretraining
everything counts. Test is not read, and no published figures exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from linmem.experiments.harness.choose import best_of
from linmem.experiments.harness.summarize import Result, Results, column, group_by, mean_range, select
from linmem.experiments.harness.targets import Target
from linmem.experiments.harness.training import read_history, train_all, with_seed
from linmem.nn.registry import ModelOptions
from linmem.reporting import figures, tables
from linmem.reporting.output import figure
from linmem.runs.options import PretrainingOptions, RunOptions
from linmem.training.options import TrainingOptions

TITLE = "Time to the LSTM's best score, pretraining included"
MODELS = ("LSTM", "LMN-B", "pretrained LMN-B")
SCORES = {"nll": "NLL", "accuracy": "accuracy %"}
TOLERANCE = {"nll": 0.1, "accuracy": 0.5}  # an LSTM's last gains are small and take long


@dataclass(frozen=True)
class Config:
    """Sets, seeds, sizes (the LMN's are f and p), pairs of dropout rates (input, readout), and limits of epochs."""

    sets: tuple[str, ...]
    seeds: int
    lstm_size: int = 250
    lmn_size: tuple[int, int] = (250, 200)
    dropout: tuple[tuple[float, float], ...] = ((0.1, 0.3), (0.2, 0.5))
    max_epochs: int = 300
    pretrain_epochs: int = 25


GRIDS = {
    "smoke": Config(("chorales",), 1, 4, (6, 6), ((0.1, 0.3),), 2, 1),
    "small": Config(("jsb_chorales",), 3),
    "paper": Config(("jsb_chorales", "piano_midi", "nottingham", "muse_data"), 5),
}


def run(config: Config, seed: int, work: Path) -> Iterator[Result]:
    """One result per set, seed and model, with scores and CPU seconds after every epoch."""
    for data in config.sets:
        chosen = [_choose_dropout(name, data, seed, config, work) for name in MODELS]
        for own_seed in range(seed, seed + config.seeds):
            plan = [with_seed(options, own_seed) for options in chosen]
            trained = train_all(plan, work, progress=True)
            for name, options in zip(MODELS, plan, strict=True):
                outcome = trained[options]
                epochs, pretraining = read_history(work / outcome.name)
                seconds = accumulate(row["cpu_seconds"] for row in epochs)
                yield {
                    "set": data,
                    "model": name,
                    "seed": own_seed,
                    "dropout": [options.model.input_dropout, options.model.readout_dropout],
                    "trials": len(config.dropout),
                    "parameters": outcome.result["parameters"],
                    "best_epoch": outcome.result["best_epoch"],
                    "pretraining_seconds": round(pretraining, 3),
                    "nll": [round(row["valid_loss"], 5) for row in epochs],
                    "accuracy": [round(100 * row["valid"]["accuracy"], 4) for row in epochs],
                    "cpu_seconds": [round(pretraining + spent, 3) for spent in seconds],
                }


def _choose_dropout(name: str, data: str, seed: int, config: Config, work: Path) -> RunOptions:
    plan = [run_options(name, data, seed, config, dropout) for dropout in config.dropout]
    return best_of(train_all(plan, work, progress=True).values()).options


def run_options(name: str, data: str, seed: int, config: Config, dropout: tuple[float, float]) -> RunOptions:
    """Return the options of one run."""
    rates: dict[str, Any] = dict(zip(("input_dropout", "readout_dropout"), dropout, strict=True))
    f, p = config.lmn_size
    model = ModelOptions("lstm", config.lstm_size, **rates)
    if name != "LSTM":
        model = ModelOptions("lmn-b", f, p, nonlinearity="relu", lags=4, **rates)
    pretraining = PretrainingOptions(
        pretrain="unfolded" if name == "pretrained LMN-B" else "none",
        pretrain_epochs=config.pretrain_epochs,
        output_bias_init="marginal" if name == "LMN-B" else "default",
    )
    if pretraining.pretrain == "unfolded":
        pretraining = replace(pretraining, unfolded_nonlinearity="relu", memory_decay=0.3)
    training = TrainingOptions(3e-3, 16, config.max_epochs, patience=20, ema_decay=0.98, seed=seed)
    return RunOptions(data, model, training, pretraining)


class Reached(NamedTuple):
    """When a model first reached the LSTM's best score, or one within the tolerance."""

    score: float  # the score to reach
    lstm_seconds: float
    seconds: float | None  # None: never

    @property
    def ratio(self) -> float | None:
        """The LSTM's time divided by the model's."""
        return None if self.seconds is None else self.lstm_seconds / self.seconds


def reached(lstm: Mapping[str, Any], result: Mapping[str, Any], score: str, tolerance: float = 0.0) -> Reached:
    """Return when `result` came within `tolerance` of the best `score` ("nll" or "accuracy") of the LSTM in `lstm`."""
    sign = 1 if score == "nll" else -1  # the lower sign · score, the better
    goal = min(sign * value for value in lstm[score]) + tolerance
    lstm_seconds, seconds = (
        next((s for value, s in zip(one[score], one["cpu_seconds"], strict=True) if sign * value <= goal), None)
        for one in (lstm, result)
    )
    assert lstm_seconds is not None  # the LSTM reaches its own best score
    return Reached(sign * goal, lstm_seconds, seconds)


def compare(results: Results, data: str, model: str, score: str, tolerance: float = 0.0) -> list[Reached]:
    """Compare a model with the LSTM on one set, seed by seed."""
    lstms = {one["seed"]: one for one in select(results, set=data, model="LSTM")}
    own = select(results, set=data, model=model)
    return [reached(lstms[one["seed"]], one, score, tolerance) for one in own if one["seed"] in lstms]


def show(results: Results, folder: Path) -> str:
    """Scores and times, one table per score; a figure of the scores against CPU seconds."""
    texts = []
    for score, words in SCORES.items():
        rows = [
            _row(results, data, name, score)
            for data in group_by(results, "set")
            for name in group_by(results, "model")
            if select(results, set=data, model=name)
        ]
        texts.append(f"By {words} on valid; CPU seconds, mean (range) over seeds:\n\n{tables.markdown(rows)}")
    first = select(results, set=results[0]["set"])
    with figure(folder / "time.png", len(SCORES)) as axes:
        for panel, (score, words) in zip(axes, SCORES.items(), strict=True):
            curves = [(one["model"], one["cpu_seconds"], one[score]) for one in first]
            figures.score_against_time(panel, curves, f"valid {words}")
    return "\n\n".join(texts)


def _row(results: Results, data: str, name: str, score: str) -> Result:
    own = select(results, set=data, model=name)
    exact, near = (compare(results, data, name, score, tolerance) for tolerance in (0.0, TOLERANCE[score]))
    times = [one.seconds for one in exact if one.seconds is not None]
    per_epoch = [(one["cpu_seconds"][-1] - one["pretraining_seconds"]) / len(one["cpu_seconds"]) for one in own]
    best = [(min if score == "nll" else max)(one[score]) for one in own]
    return {
        "set": data,
        "model": name,
        "dropout": "/".join(f"{rate:g}" for rate in own[0]["dropout"]),
        "parameters": own[0]["parameters"],
        "pretraining": mean_range(column(own, "pretraining_seconds"), 1),
        "per epoch": mean_range(per_epoch, 2),
        f"best {SCORES[score]}": mean_range(best, 3),
        "to the LSTM's best": mean_range(times, 1),
        "seeds that reach it": f"{len(times)} of {len(exact)}",
        "LSTM's time / its time": _ratio(exact),
        f"the same, within {TOLERANCE[score]}": _ratio(near),
    }


def targets(results: Results) -> list[Target]:
    """Whether an LMN-B reaches the LSTM's best score in less time, with every seed."""
    found = []
    for data in dict.fromkeys(["jsb_chorales", *(one["set"] for one in results)]):
        for model in MODELS[1:]:
            for score, words in SCORES.items():
                seeds = compare(results, data, model, score)
                statement = f"{data}: {model} reaches the LSTM's best {words} on valid in less CPU time"
                target = Target(statement, "LSTM's time / its time > 1 with every seed")
                if seeds:
                    reached = sum(one.ratio is not None for one in seeds)
                    faster = all(one.ratio is not None and one.ratio > 1 for one in seeds)
                    text = f"{_ratio(seeds) or '–'}, {reached} of {len(seeds)} seeds"
                    target = target._replace(found=text, reached=faster)
                found.append(target)
    return found


def _ratio(times: Sequence[Reached]) -> str | None:
    return mean_range([one.ratio for one in times if one.ratio is not None], 2)
