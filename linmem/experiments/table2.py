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

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from linmem import data, runs
from linmem.experiments.work import shared, trained
from linmem.metrics import FrameScores
from linmem.run_folder import RunOptions
from linmem.sweeps import space
from linmem.sweeps.sweep import Outcome

from .table2_shown import show, targets

__all__ = ["CONFIGS", "TITLE", "run", "show", "targets"]

TITLE = "Table 2: polyphonic music, frame accuracy and likelihood"
SETS = ("jsb_chorales", "piano_midi", "nottingham", "muse_data")
_PAPER = [list(pair) for pair in space.PAPER_SIZES]
_LARGE = ["RNN", "pret-RNN", "GRU", "RNN-RBM"]  # rows for which two cores have no time on the large sets
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "smoke": {
        "parts": [["chorales", "plain", 1], ["chorales", "ours", 1]],
        "chosen on": None,
        "units": [4],
        "pairs": {"plain": [[4, 6]], "ours": [[4, 5]]},
        "L2": [0.0],
        "starts": ["rates"],
        "dropout": [[0.1, 0.3]],
        "epochs": {"chorales": 1},
        "pretraining epochs": 1,
        "patience": 1,
        "without": {"chorales": ["pret-RNN", "GRU", "RNN-RBM", "LMN-A"]},
    },
    "small": {
        "parts": [
            ["jsb_chorales", "plain", 3],
            ["jsb_chorales", "ours", 3],
            ["piano_midi", "ours", 1],
            ["nottingham", "ours", 1],
            ["muse_data", "ours", 1],
            ["piano_midi", "plain", 1],
            ["nottingham", "plain", 1],
            ["muse_data", "plain", 1],
        ],
        "chosen on": "jsb_chorales",
        "units": [100, 250],
        "pairs": {"plain": [[50, 100], [100, 250]], "ours": [[100, 100], [250, 200]]},
        "L2": [0.0],
        "starts": ["rates", "drawn"],
        "dropout": [[0.1, 0.3], [0.2, 0.5]],
        "epochs": {"jsb_chorales": 120, "piano_midi": 25, "nottingham": 20, "muse_data": 10},
        "truncate": {"piano_midi": 100, "nottingham": 100, "muse_data": 100},
        "pretraining epochs": 25,
        "patience": 10,
        "without": {"piano_midi": _LARGE, "nottingham": _LARGE, "muse_data": _LARGE},
    },
    "paper": {
        "parts": [[name, protocol, 3] for protocol in ("plain", "ours") for name in SETS],
        "chosen on": None,
        "units": [50, 100, 250, 500, 750],
        "pairs": {"plain": _PAPER, "ours": _PAPER},
        "L2": [0.0, 1e-7, 1e-6, 1e-5, 1e-4],
        "starts": ["rates", "drawn"],
        "dropout": [[0.0, 0.0], [0.1, 0.3], [0.2, 0.5]],
        "epochs": dict.fromkeys(SETS, 1000),
        "pretraining epochs": 60,
        "patience": 20,
        "without": {},
    },
}


def rows(config: Mapping[str, Any], protocol: str, name: str) -> dict[str, space.Space]:
    """Search space of every row of a set under a protocol."""
    common: dict[str, Any] = {
        "max_epochs": config["epochs"][name],
        "patience": config["patience"],
        "pretrain_epochs": config["pretraining epochs"],
        "readout_start": config["starts"],
    }
    units, pairs = config["units"], config["pairs"][protocol]
    if protocol == "plain":
        found = space.table2_rows(units, pairs, weight_decay=config["L2"], **common)
    else:
        better = {"learning_rate": 3e-3, "averaging": 0.98, "input_dropout, readout_dropout": config["dropout"]}
        found = space.table2_rows(units, pairs, **better, **common)
        del found["RNN-RBM"]  # its task reads the trained weights, not their average, and it has no dropout
        for row in ("LMN-A", "LMN-B", "pret-LMN-B"):
            found[row] = {**found[row], "nonlinearity": "relu"}
        fading = {"lags": 4, "unfolded_nonlinearity": "relu", "fading": 0.3}
        found["pret-LMN-B"] = {**found["pret-LMN-B"], **fading}
    return {row: one for row, one in found.items() if row not in config["without"].get(name, ())}


def run(config: Mapping[str, Any], seed: int, work: Path) -> Iterator[dict[str, Any]]:
    """Persistence, then a line a row and seed, for every set and protocol; the runs are kept in `work/../runs`."""
    folder = work.parent / "runs"
    for name, protocol, seeds in config["parts"]:
        chosen_on = config["chosen on"] or name
        yield {"set": name, "protocol": protocol, "row": "persistence", "test": _persistence(name)}
        chosen = _chosen(rows(config, protocol, chosen_on), chosen_on, seed, folder, config)
        here = rows(config, protocol, name)
        final = {
            (row, s): _moved(best.options, name, s, config)
            for row, (best, _) in chosen.items()
            if row.removesuffix(", a fifth") in here
            for s in range(seed, seed + seeds)
        }
        done = _done(final.values(), folder)  # two rows may have chosen the same run
        outcomes = {place: done[options] for place, options in final.items()}
        tested = shared(work, {one.name: partial(_test, folder / one.name) for one in outcomes.values()})
        for (row, s), one in outcomes.items():
            yield {
                "set": name,
                "protocol": protocol,
                "row": row,
                "trials": chosen[row][1],
                "chosen on": chosen_on,
                "seed": s,
                "model": asdict(one.options.model),
                "training": asdict(one.options.training),
                "pretraining": asdict(one.options.pretraining),
                "parameters": one.result["parameters"],
                "epochs": one.result["epochs"],
                "valid": one.result["scores"],
                "test": tested[one.name],
            }


def _chosen(
    spaces: Mapping[str, space.Space], name: str, seed: int, folder: Path, config: Mapping[str, Any]
) -> dict[str, tuple[Outcome, int]]:
    """Best trial on valid of every row, and of how many; with it the pretrained LMN-B that is small beside the LSTM."""
    plans = {row: [_moved(o, name, seed, config) for o in space.plan(name, one)] for row, one in spaces.items()}
    done = _done([options for plan in plans.values() for options in plan], folder)
    trials = {row: [done[options] for options in plan] for row, plan in plans.items()}
    chosen = {row: (min(found, key=_loss), len(found)) for row, found in trials.items()}
    allowed = chosen["LSTM"][0].result["parameters"] / 5
    small = [one for one in trials["pret-LMN-B"] if one.result["parameters"] <= allowed]
    if small:
        chosen["pret-LMN-B, a fifth"] = min(small, key=_loss), len(small)
    return chosen


def _done(plan: Iterable[RunOptions], folder: Path) -> dict[RunOptions, Outcome]:
    return {one.options: one for one in trained(list(dict.fromkeys(plan)), folder)}


def _loss(one: Outcome) -> float:
    assert one.loss is not None
    return one.loss


def _moved(options: RunOptions, name: str, seed: int, config: Mapping[str, Any]) -> RunOptions:
    """The same run on another set and from another seed, with the epochs and the truncation of that set."""
    training = replace(
        options.training,
        seed=seed,
        max_epochs=config["epochs"][name],
        truncate=config.get("truncate", {}).get(name, 0),
    )
    return replace(options, data=name, training=training)


def _test(folder: Path) -> dict[str, Any]:
    """Test scores of a run at its epoch of best NLL on valid, and its accuracy at its epoch of best accuracy there."""
    by_loss, by_accuracy = (list(runs.evaluate_run(folder, "test", best).values())[-1] for best in ("loss", "accuracy"))
    assert isinstance(by_loss, FrameScores)
    assert isinstance(by_accuracy, FrameScores)
    return asdict(by_loss) | {"accuracy_of_its_best_epoch": by_accuracy.accuracy}


def _persistence(name: str) -> dict[str, Any]:
    return asdict(runs.simplest_scores(data.load(name), "test")[1])
