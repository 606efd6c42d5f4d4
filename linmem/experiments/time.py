"""Time: how long until an LMN-B is as good as an LSTM gets, the pretraining included, against the LSTM's own time.

An LSTM, an LMN-B and a pretrained LMN-B are trained with the options that a search of equal effort chose for each (see
`demo`), but for the dropout, which is chosen anew for each on each set: the first seed tries them all, and the lowest
validation loss decides. The LSTM's score is its best on the validation split, and its time that of all epochs up to
there. The others' time is up to the first epoch that reaches the score of the LSTM with the same seed. Times are CPU
seconds of the process; those of validation are left out, but for the pretraining, of which everything counts. Nothing
reads the test split, and nothing was published to stand beside.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from linmem.experiments.demo import MODELS
from linmem.experiments.harness.jobs import trained
from linmem.experiments.harness.targets import Target
from linmem.reporting import figures, tables
from linmem.reporting.output import figure
from linmem.runs.directory import (
    HISTORY,
    PRETRAINING,
    RunOptions,
)
from linmem.storage.atomic import read_lines

TITLE = "Time to the LSTM's best score, pretraining included"
_FULL = {
    "LSTM": {"hidden_size": 250},
    "LMN": {"hidden_size": 250, "memory_size": 200},
    "dropout": [[0.1, 0.3], [0.2, 0.5]],
    "max_epochs": 300,
    "pretrain_epochs": 25,
}
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "smoke": {
        "sets": ["chorales"],
        "seeds": 1,
        "LSTM": {"hidden_size": 4},
        "LMN": {"hidden_size": 6, "memory_size": 6},
        "dropout": [[0.1, 0.3]],
        "max_epochs": 2,
        "pretrain_epochs": 1,
    },
    "small": {"sets": ["jsb_chorales"], "seeds": 3} | _FULL,
    "paper": {"sets": ["jsb_chorales", "piano_midi", "nottingham", "muse_data"], "seeds": 5} | _FULL,
}
SCORES = {"NLL": "valid NLL", "accuracy %": "valid accuracy"}
SHORT = {"NLL": 0.1, "accuracy %": 0.5}  # nearly as good: an LSTM's last gains are small and take long


def run(config: Mapping[str, Any], seed: int, work: Path) -> Iterator[dict[str, Any]]:
    """A line a data set, seed and model, with its scores and CPU seconds after every epoch."""
    for data in config["sets"]:
        chosen = [_chosen([_options(name, data, seed, config, *d) for d in config["dropout"]], work) for name in MODELS]
        for own in range(seed, seed + config["seeds"]):
            plan = [replace(options, training=replace(options.training, seed=own)) for options in chosen]
            for name, options, outcome in zip(MODELS, plan, trained(plan, work, progress=True), strict=True):
                folder = work / outcome.name
                rows, begun = read_lines(folder / HISTORY), _pretraining(folder / PRETRAINING)
                yield {
                    "set": data,
                    "model": name,
                    "seed": own,
                    "dropout": [options.model.input_dropout, options.model.readout_dropout],
                    "trials": len(config["dropout"]),
                    "parameters": outcome.result["parameters"],
                    "best epoch": outcome.result["best_epoch"],
                    "pretraining CPU s": round(begun, 3),
                    "NLL": [round(row["valid_loss"], 5) for row in rows],
                    "accuracy %": [round(100 * row["valid"]["accuracy"], 4) for row in rows],
                    "CPU s": [round(begun + spent, 3) for spent in accumulate(row["cpu_seconds"] for row in rows)],
                }


def _chosen(plan: Sequence[RunOptions], work: Path) -> RunOptions:
    """The one of `plan` with the lowest validation loss."""
    return min(trained(plan, work, progress=True), key=lambda one: one.loss or 0.0).options


def _options(
    name: str, data: str, seed: int, config: Mapping[str, Any], input_dropout: float, readout_dropout: float
) -> RunOptions:
    """What the demo found best for a model, with the sizes, epochs and seed of this grid."""
    chosen = MODELS[name]
    dropout: dict[str, Any] = {"input_dropout": input_dropout, "readout_dropout": readout_dropout}
    return RunOptions(
        data,
        replace(chosen.model, **config["LSTM" if chosen.model.model == "lstm" else "LMN"], **dropout),
        replace(chosen.training, seed=seed, max_epochs=config["max_epochs"]),
        replace(chosen.pretraining, pretrain_epochs=config["pretrain_epochs"]),
    )


def _pretraining(path: Path) -> float:
    return float(json.loads(path.read_text(encoding="utf-8"))["cpu_seconds"]) if path.exists() else 0.0


class Reached(NamedTuple):
    """When a model first had the LSTM's best score, or nearly."""

    score: float  # what was to be reached
    lstm_seconds: float  # until the LSTM did
    seconds: float | None  # until the model did; None: it never did

    @property
    def ratio(self) -> float | None:
        """How many times faster than the LSTM."""
        return None if self.seconds is None else self.lstm_seconds / self.seconds


def reached(lstm: Mapping[str, Any], line: Mapping[str, Any], score: str, short: float = 0.0) -> Reached:
    """When `line` came to `short` of the best score of the LSTM in `lstm`; `score` is "NLL" or "accuracy %"."""
    if score == "NLL":
        goal = min(lstm[score]) + short
        good = [[value <= goal for value in one[score]] for one in (lstm, line)]
    else:
        goal = max(lstm[score]) - short
        good = [[value >= goal for value in one[score]] for one in (lstm, line)]
    lstm_seconds, seconds = (
        next((s for enough, s in zip(values, one["CPU s"], strict=True) if enough), None)
        for values, one in zip(good, (lstm, line), strict=True)
    )
    assert lstm_seconds is not None  # of its own best it is never short
    return Reached(goal, lstm_seconds, seconds)


def compared(
    lines: Sequence[Mapping[str, Any]], data: str, model: str, score: str, short: float = 0.0
) -> list[Reached]:
    """A model against the LSTM on one set, seed by seed."""
    own = {(line["model"], line["seed"]): line for line in lines if line["set"] == data}
    return [
        reached(own["LSTM", seed], line, score, short)
        for (name, seed), line in own.items()
        if name == model and ("LSTM", seed) in own
    ]


def show(lines: Sequence[dict[str, Any]], folder: Path) -> str:
    """What was reached and in what time, a table a score; the scores against CPU seconds as a picture."""
    texts, models = [], list(dict.fromkeys(line["model"] for line in lines))
    for score, words in SCORES.items():
        rows = []
        for data in dict.fromkeys(line["set"] for line in lines):
            for name in models:
                own = [line for line in lines if (line["set"], line["model"]) == (data, name)]
                found, near = (compared(lines, data, name, score, short) for short in (0.0, SHORT[score]))
                times = [one.seconds for one in found if one.seconds is not None]
                per_epoch = [(li["CPU s"][-1] - li["pretraining CPU s"]) / len(li["CPU s"]) for li in own]
                rows.append(
                    {
                        "set": data,
                        "model": name,
                        "dropout": "/".join(f"{rate:g}" for rate in own[0]["dropout"]) if own else None,
                        "parameters": own[0]["parameters"] if own else None,
                        "pretraining": _spread([line["pretraining CPU s"] for line in own], 1),
                        "an epoch": _spread(per_epoch, 2),
                        f"best {score}": _spread([(min if score == "NLL" else max)(line[score]) for line in own], 3),
                        "to the LSTM's best": _spread(times, 1),
                        "of the seeds": f"{len(times)} of {len(found)}",
                        "LSTM's time / its time": _ratio(found),
                        f"the same, {SHORT[score]} short of it": _ratio(near),
                    }
                )
        texts.append(f"By {words}; CPU seconds, mean and range over seeds:\n\n{tables.markdown(rows)}")
    _draw(lines, folder / "time.png")
    return "\n\n".join(texts)


def targets(lines: Sequence[dict[str, Any]]) -> list[Target]:
    """Whether an LMN-B is there before the LSTM, with every seed."""
    found = []
    for data in dict.fromkeys(["jsb_chorales", *(line["set"] for line in lines)]):
        for model in ("LMN-B", "pretrained LMN-B"):
            for score, words in SCORES.items():
                claim = f"{model} has the LSTM's best {words} on {data} in less time"
                seeds = compared(lines, data, model, score)
                ratios = [one.ratio for one in seeds if one.ratio is not None]
                said = f"{_ratio(seeds) or '–'}, {len(ratios)} of {len(seeds)} seeds" if seeds else "–"
                verdict = len(ratios) == len(seeds) and min(ratios) > 1 if seeds else None
                found.append(Target(claim, "LSTM's time / its time > 1 with every seed", said, verdict))
    return found


def _draw(lines: Sequence[dict[str, Any]], path: Path) -> None:
    """The first set's scores against CPU seconds, every seed a line."""
    with figure(path, len(SCORES)) as axes:
        for panel, (score, words) in zip(axes, SCORES.items(), strict=True):
            curves = [(line["model"], line["CPU s"], line[score]) for line in lines if line["set"] == lines[0]["set"]]
            figures.score_against_time(panel, curves, words)


def _ratio(found: Sequence[Reached]) -> str | None:
    return _spread([one.ratio for one in found if one.ratio is not None], 2)


def _spread(values: Sequence[float], digits: int) -> str | None:
    if not values:
        return None
    mean, low, high = (f"{value:.{digits}f}" for value in (sum(values) / len(values), min(values), max(values)))
    return mean if low == high else f"{mean} ({low} … {high})"
