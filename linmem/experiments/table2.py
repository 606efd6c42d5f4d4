"""Table 2: every model on the four sets of polyphonic music, ours beside the published figures. [L18, table 2.]

Two protocols, kept apart. *Plain* is the papers': Adam at 1e-3, L2, early stopping on valid, tanh, a pretrained memory
that keeps everything. *Ours* is the same for every model, too: Adam at 3e-3, dropout, a running average of the weights;
an LMN's functional part is a ReLU and its pretrained memory fades. In both, W_mm learns at a tenth of the rate (see
`TrainingOptions.memory_rate`), a readout starts at the rates of the notes or as torch draws it, whichever suits the
model, and every row has the same number of trials. Valid chooses the trial and the epoch by NLL, and the threshold;
test is read once, for the chosen runs of all seeds. The long pieces of the larger sets are backpropagated through 100
steps at a time, the state carried on: with 87 pieces an epoch would else be six steps of Adam.

"Fifth" is the pretrained LMN-B chosen among trials with at most a fifth of the chosen LSTM's parameters [L19].
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from linmem import data, runs
from linmem.experiments.work import shared, trained
from linmem.metrics import FrameScores
from linmem.model import parameter_count
from linmem.run_folder import HISTORY, RunOptions, load_run, read_lines
from linmem.sweeps import space
from linmem.sweeps.sweep import Outcome

from .table2_shown import show, targets

__all__ = ["CONFIGS", "TITLE", "run", "show", "targets"]

TITLE = "Table 2: polyphonic music, frame accuracy and likelihood"
SETS = ("jsb_chorales", "piano_midi", "nottingham", "muse_data")
_PAPER = [list(pair) for pair in space.PAPER_SIZES]
_ALL: dict[str, Any] = {"without": []}
# Rows for which two cores have no time on the large sets, and what suits pieces of thousands of steps.
_LARGE = {"without": ["RNN", "pret-RNN", "GRU", "RNN-RBM"], "truncate": 100, "patience": 8}
_SEARCHED = {
    **_LARGE,
    "seeds": 3,
    "starts": ["rates"],
    "dropout": [[0.0, 0.0], [0.1, 0.2]],
    "clip": 0.25,
    "fading": 0.7,
}
_MOVED = {**_LARGE, "seeds": 1, "chosen on": "jsb_chorales"}
_LENGTHS = {"piano_midi": 60, "nottingham": 50, "muse_data": 25}  # epochs

# A grid has parts, each a set under a protocol. What a part says of itself goes before what the grid says of all.
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "smoke": {
        "parts": [
            {"set": "chorales", "protocol": "plain"},
            {"set": "chorales", "protocol": "ours", "pairs": [[4, 5]]},
        ],
        "seeds": 1,
        "units": [4],
        "pairs": [[4, 6]],
        "L2": [0.0],
        "starts": ["rates"],
        "dropout": [[0.1, 0.3]],
        "epochs": 1,
        "pretraining epochs": 1,
        "patience": 1,
        "without": ["pret-RNN", "GRU", "RNN-RBM", "LMN-A"],
    },
    "small": {
        "parts": [
            {"set": "jsb_chorales", "protocol": "plain", "pairs": [[50, 100], [100, 250]], **_ALL},
            {"set": "jsb_chorales", "protocol": "ours", **_ALL},
            *({"set": name, "protocol": "ours", "epochs": epochs, **_SEARCHED} for name, epochs in _LENGTHS.items()),
            *({"set": name, "protocol": "plain", "epochs": epochs, **_MOVED} for name, epochs in _LENGTHS.items()),
        ],
        "seeds": 3,
        "units": [100, 250],
        "pairs": [[100, 100], [250, 200]],
        "L2": [0.0],
        "starts": ["rates", "drawn"],
        "dropout": [[0.1, 0.3], [0.2, 0.5]],
        "epochs": 120,
        "pretraining epochs": 25,
        "patience": 10,
    },
    "paper": {
        "parts": [{"set": name, "protocol": protocol} for protocol in ("plain", "ours") for name in SETS],
        "seeds": 3,
        "units": [50, 100, 250, 500, 750],
        "pairs": _PAPER,
        "L2": [0.0, 1e-7, 1e-6, 1e-5, 1e-4],
        "starts": ["rates", "drawn"],
        "dropout": [[0.0, 0.0], [0.1, 0.3], [0.2, 0.5]],
        "epochs": 1000,
        "pretraining epochs": 60,
        "patience": 20,
        **_ALL,
    },
}


def parts(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every part of a grid, with all that holds for it."""
    return [{**config, **part} for part in config["parts"]]


def rows(part: Mapping[str, Any]) -> dict[str, space.Space]:
    """Search space of every row of a part."""
    common: dict[str, Any] = {
        "max_epochs": part["epochs"],
        "patience": part["patience"],
        "truncate": part.get("truncate", 0),
        "pretrain_epochs": part["pretraining epochs"],
        "readout_start": part["starts"],
    }
    if part["protocol"] == "plain":
        found = space.table2_rows(part["units"], part["pairs"], weight_decay=part["L2"], **common)
    else:
        better = {"learning_rate": 3e-3, "averaging": 0.98, "input_dropout, readout_dropout": part["dropout"]}
        clip = {"clip": part["clip"]} if "clip" in part else {}
        found = space.table2_rows(part["units"], part["pairs"], **better, **clip, **common)
        del found["RNN-RBM"]  # its task reads the trained weights, not their average, and it has no dropout
        for row in ("LMN-A", "LMN-B", "pret-LMN-B"):
            found[row] = {**found[row], "nonlinearity": "relu"}
        fading = {"lags": 4, "unfolded_nonlinearity": "relu", "fading": part.get("fading", 0.3)}
        found["pret-LMN-B"] = {**found["pret-LMN-B"], **fading}
    return {row: one for row, one in found.items() if row not in part["without"]}


def run(config: Mapping[str, Any], seed: int, work: Path) -> Iterator[dict[str, Any]]:
    """Persistence, then a line a row and seed, for every set and protocol; the runs are kept in `work/../runs`."""
    folder, known = work.parent / "runs", parts(config)
    for part in known:
        name, protocol, model = part["set"], part["protocol"], _chosen_on(part, known)
        yield {"set": name, "protocol": protocol, "row": "persistence", "test": _persistence(name)}
        chosen, here = _chosen(model, seed, folder), rows(part)
        final = {
            (row, s): _moved(best.options, part, s)
            for row, (best, _) in chosen.items()
            if row.removesuffix(", a fifth") in here
            for s in range(seed, seed + part["seeds"])
        }
        done = _done(final.values(), folder)  # two rows may have chosen the same run
        outcomes = {place: done[options] for place, options in final.items()}
        tested = shared(work, {one.name: partial(_test, folder / one.name) for one in outcomes.values()})
        for (row, s), one in outcomes.items():
            result = _result(one, folder / one.name)
            yield {
                "set": name,
                "protocol": protocol,
                "row": row,
                "trials": chosen[row][1],
                "chosen on": model["set"],
                "seed": s,
                "model": asdict(one.options.model),
                "training": asdict(one.options.training),
                "pretraining": asdict(one.options.pretraining),
                "parameters": result["parameters"],
                "epochs": result["epochs"],
                "diverged": one.loss is None,
                "valid": result["scores"],
                "test": tested[one.name],
            }


def _chosen_on(part: Mapping[str, Any], known: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The part whose valid chooses the settings: that of the same protocol on the set that is named, or itself."""
    wanted = part.get("chosen on", part["set"]), part["protocol"]
    return next(one for one in known if (one["set"], one["protocol"]) == wanted)


def _chosen(part: Mapping[str, Any], seed: int, folder: Path) -> dict[str, tuple[Outcome, int]]:
    """Best trial on valid of every row, and of how many; with it the pretrained LMN-B that is small beside the LSTM."""
    plans = {row: [_moved(o, part, seed) for o in space.plan(part["set"], one)] for row, one in rows(part).items()}
    done = _done([options for plan in plans.values() for options in plan], folder)
    trials = {row: [done[options] for options in plan] for row, plan in plans.items()}
    chosen = {row: (min(found, key=_loss), len(found)) for row, found in trials.items()}
    allowed = chosen["LSTM"][0].result["parameters"] / 5
    small = [one for one in trials["pret-LMN-B"] if one.result["parameters"] <= allowed]
    if small:
        chosen["pret-LMN-B, a fifth"] = min(small, key=_loss), len(small)
    return chosen


def _done(plan: Iterable[RunOptions], folder: Path) -> dict[RunOptions, Outcome]:
    return {one.options: one for one in trained(list(dict.fromkeys(plan)), folder, may_diverge=True)}


def _loss(one: Outcome) -> float:
    return math.inf if one.loss is None else one.loss  # None: it diverged


def _result(one: Outcome, folder: Path) -> Mapping[str, Any]:
    """What a run reports; of one that diverged, its best epoch before that."""
    if one.loss is not None:
        return one.result
    scores = list(runs.evaluate_run(folder, "valid").values())[-1]
    epochs = len(read_lines(folder / HISTORY))
    return {"parameters": parameter_count(load_run(folder)[1]), "epochs": epochs, "scores": asdict(scores)}


def _moved(options: RunOptions, part: Mapping[str, Any], seed: int) -> RunOptions:
    """The same run on the part's set and from another seed, with the epochs, patience and truncation of the part."""
    training = replace(
        options.training,
        seed=seed,
        max_epochs=part["epochs"],
        patience=part["patience"],
        truncate=part.get("truncate", 0),
    )
    return replace(options, data=part["set"], training=training)


def _test(folder: Path) -> dict[str, Any]:
    """Test scores of a run at its epoch of best NLL on valid, and its accuracy at its epoch of best accuracy there."""
    by_loss, by_accuracy = (list(runs.evaluate_run(folder, "test", best).values())[-1] for best in ("loss", "accuracy"))
    assert isinstance(by_loss, FrameScores)
    assert isinstance(by_accuracy, FrameScores)
    return asdict(by_loss) | {"accuracy_of_its_best_epoch": by_accuracy.accuracy}


def _persistence(name: str) -> dict[str, Any]:
    return asdict(runs.simplest_scores(data.load(name), "test")[1])
