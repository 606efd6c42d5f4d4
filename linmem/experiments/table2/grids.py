"""What table 2 searches: its grids, their parts, and the search space of every row of a part.

A grid has parts, each a set under a protocol. What a part says of itself goes before what the grid says of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linmem.runs.sweep import space

SETS = ("jsb_chorales", "piano_midi", "nottingham", "muse_data")
_PAPER = [list(pair) for pair in space.PAPER_SIZES]
_ALL: dict[str, Any] = {"without": []}
# Rows for which two cores have no time on the large sets, and what suits pieces of thousands of steps.
_LARGE = {"without": ["RNN", "pret-RNN", "GRU", "RNN-RBM"], "truncate": 100, "patience": 8}
_SEARCHED = {
    **_LARGE,
    "starts": ["marginal"],
    "dropout": [[0.0, 0.0], [0.1, 0.2]],
    "clip": 0.25,
    "memory_decay": 0.7,
}
_MOVED = {**_LARGE, "seeds": 1, "chosen on": "jsb_chorales"}
_EPOCHS = {"piano_midi": 60, "nottingham": 50, "muse_data": 25}
_SEEDS = {"piano_midi": 3, "nottingham": 3, "muse_data": 1}

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
        "starts": ["marginal"],
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
            *(
                {"set": name, "protocol": "ours", "seeds": _SEEDS[name], "epochs": epochs, **_SEARCHED}
                for name, epochs in _EPOCHS.items()
            ),
            *({"set": name, "protocol": "plain", "epochs": epochs, **_MOVED} for name, epochs in _EPOCHS.items()),
        ],
        "seeds": 3,
        "units": [100, 250],
        "pairs": [[100, 100], [250, 200]],
        "L2": [0.0],
        "starts": ["marginal", "default"],
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
        "starts": ["marginal", "default"],
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
        "output_bias_init": part["starts"],
    }
    if part["protocol"] == "plain":
        found = space.table2_rows(part["units"], part["pairs"], weight_decay=part["L2"], **common)
    else:
        better = {"learning_rate": 3e-3, "ema_decay": 0.98, "input_dropout, readout_dropout": part["dropout"]}
        clip = {"clip": part["clip"]} if "clip" in part else {}
        found = space.table2_rows(part["units"], part["pairs"], **better, **clip, **common)
        del found["RNN-RBM"]  # its task reads the trained weights, not their average, and it has no dropout
        for row in ("LMN-A", "LMN-B", "pret-LMN-B"):
            found[row] = {**found[row], "nonlinearity": "relu"}
        memory_decay = {"lags": 4, "unfolded_nonlinearity": "relu", "memory_decay": part.get("memory_decay", 0.3)}
        found["pret-LMN-B"] = {**found["pret-LMN-B"], **memory_decay}
    return {row: one for row, one in found.items() if row not in part["without"]}
