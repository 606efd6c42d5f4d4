"""Decay of a solved memory: a pretrained LMN-B on two sets with W_mm = γ B.

γ = 1 is L18's value: hidden states do not decay. 0 keeps only the last hidden state; "none" is the same network without
pretraining. Adam at 3e-3, no dropout, clipped at 0.25, 100 steps of backpropagation at a time, with carried
state; the epoch is selected on valid. Finished runs in `--out` are reused; several processes share the work.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from linmem.experiments.harness.training import train_all
from linmem.reporting import tables
from linmem.runs.sweep import space
from linmem.runs.sweep.run_sweep import Outcome

EPOCHS = {"jsb_chorales": 60, "nottingham": 15}
FADINGS = [0.0, 0.3, 0.7, 0.9, 1.0]


def runs_on(name: str) -> dict[str, space.Space]:
    """Search space of either way to begin."""
    common = {
        "model": "lmn-b",
        "hidden_size": 250,
        "memory_size": 200,
        "nonlinearity": "relu",
        "learning_rate": 3e-3,
        "ema_decay": 0.98,
        "clip": 0.25,
        "truncate": 100,
        "max_epochs": EPOCHS[name],
    }
    solved = {"pretrain": "unfolded", "unfolded_nonlinearity": "relu", "lags": 4, "pretrain_epochs": 25}
    return {"none": common, "solved": {**common, **solved, "memory_decay": FADINGS}}


def row(kind: str, one: Outcome) -> dict[str, object]:
    """What of a run is shown."""
    scores = one.result["scores"]
    return {
        "set": one.options.data,
        "γ": "none" if kind == "none" else f"{one.options.pretraining.memory_decay:g}",
        "valid NLL": scores["nll"],
        "valid accuracy %": 100 * scores["accuracy"],
        "best epoch": one.result["best_epoch"],
        "epochs": one.result["epochs"],
        "pretraining s": round(one.result["pretraining_seconds"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/memory-memory_decay"))
    parser.add_argument("--sets", nargs="+", choices=EPOCHS, default=list(EPOCHS))
    options = parser.parse_args()
    rows = [
        row(kind, one)
        for name in options.sets
        for kind, one_space in runs_on(name).items()
        for one in train_all(space.plan(name, one_space), options.out, progress=True).values()
    ]
    print(tables.markdown(rows, {"valid NLL": 3, "valid accuracy %": 2}))


if __name__ == "__main__":
    main()
